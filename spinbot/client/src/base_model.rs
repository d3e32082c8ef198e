//! Which model draws: the one that is built in, or one of the user's own by its id or path.
//!
//! What is in it is not looked at here: `spinbot-models` opens it when it draws.

use crate::loras::Lora;
use crate::models::{AddedModel, AddedModels};
use crate::plan::{Digest, Input};
use crate::suggest::nearest;
use crate::{Fault, Result};
use std::path::Path;

/// The model that draws when none is named: it is built in.
pub const DEFAULT_BASE: &str = "portraits";
/// The hash of its folder, as `spinbot-models` lists it.
const DEFAULT_SHA256: &str = "3b0cab864ba15a820ef3357798040802a3bffbf2477ad8b10449b160dee807a0";

/// A model that draws and learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseModel {
    /// What it is called.
    pub id: String,
    /// What it is known by: of a file its SHA-256, of a folder that of a listing of its files.
    pub sha256: Digest,
}

impl BaseModel {
    /// What feeds it to a step.
    pub fn input(&self) -> Input {
        Input::Model { id: self.id.clone(), sha256: self.sha256.clone() }
    }
}

impl From<&AddedModel> for BaseModel {
    fn from(model: &AddedModel) -> Self {
        BaseModel { id: model.id.clone(), sha256: model.sha256.clone() }
    }
}

/// The model that draws: of `given`, its id or where it lies, or [`DEFAULT_BASE`].
///
/// # Errors
/// There is none of that id, with the nearest one, or the path was not made known, with how to do that.
pub fn base_model(given: Option<&str>, models: &AddedModels) -> Result<BaseModel> {
    let id = given.unwrap_or(DEFAULT_BASE);
    if id == DEFAULT_BASE {
        return Ok(BaseModel { id: id.to_owned(), sha256: Digest(DEFAULT_SHA256.to_owned()) });
    }
    let all = models.list()?;
    if let Some(model) = all.iter().find(|model| model.id == id) {
        return Ok(model.into());
    }
    let path = Path::new(id);
    if let Some(model) = path.canonicalize().ok().and_then(|path| all.iter().find(|m| m.path == path)) {
        return Ok(model.into());
    }
    let fault = match path.exists() || id.contains('/') {
        true => Fault::new(format!("{id}: this model is not known yet"))
            .help(format!("make it known with `spinbot models add {id}` in a terminal, then give its id")),
        false => Fault::new(format!("there is no model of your own called `{id}`")).help(
            match nearest(id, all.iter().map(|model| model.id.as_str()).chain([DEFAULT_BASE])) {
                Some(near) => format!("did you mean `{near}`? `%models` lists them"),
                None => format!(
                    "make it known with `spinbot models add FOLDER --as {id}` in a terminal, for a diffusers folder \
                     or a .safetensors file of Stable Diffusion; `spinbot models scan` looks for some"
                ),
            },
        ),
    };
    Err(fault.about("base"))
}

/// The model for these LoRAs: the one that is `given`, else that of the first which says what it was made for where that is
/// known, else [`DEFAULT_BASE`].
///
/// # Errors
/// As [`base_model`].
pub fn base_model_for(given: Option<&str>, loras: &[Lora], models: &AddedModels) -> Result<BaseModel> {
    let own = |lora: &Lora| base_model(Some(lora.base()?), models).ok();
    match (given, loras.iter().find_map(own)) {
        (None, Some(model)) => Ok(model),
        (given, _) => base_model(given, models),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_found_by_id_and_path_and_what_is_not_says_how_to_add_it() {
        let folder = crate::voices::test_folder();
        let models = crate::models::tests::added(&folder);
        std::fs::write(folder.join("dreams.safetensors"), "x").unwrap();
        let file = folder.canonicalize().unwrap().join("dreams.safetensors");
        let known = |given: Option<&str>| base_model(given, &models);
        assert_eq!(known(Some("stories")).unwrap().id, "stories");
        assert_eq!(known(None).unwrap(), known(Some("portraits")).unwrap());
        assert_eq!(known(None).unwrap().sha256.0, DEFAULT_SHA256);
        for (given, expected, help) in [
            (Some("storys"), "called `storys`", "did you mean `stories`?"),
            (Some("portrait"), "called `portrait`", "did you mean `portraits`?"),
            (Some("dreams"), "called `dreams`", "models add FOLDER --as dreams"),
            (file.to_str(), "dreams.safetensors: this model is not known yet", "spinbot models add /"),
        ] {
            let fault = known(given).unwrap_err();
            assert!(fault.message.contains(expected), "{fault}");
            assert!(fault.help.unwrap().contains(help));
            assert_eq!(fault.argument.as_deref(), Some("base"));
        }
        let list = [serde_json::json!({"id": "dreams", "path": file, "sha256": "c".repeat(64)})];
        std::fs::write(folder.join("models/added.json"), serde_json::to_vec(&list).unwrap()).unwrap();
        assert_eq!(known(Some("dreams")).unwrap(), known(file.to_str()).unwrap());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
