//! Which model draws: one of the user's own by its id or path, else the standard one.
//!
//! What is in it is not looked at here: `spinbot-models` opens it when it draws.

use crate::models::{AddedModel, AddedModels};
use crate::suggest::nearest;
use crate::{Fault, Result};
use std::path::Path;

/// The model that draws when none is named.
pub const DEFAULT_BASE: &str = "portraits";

/// The model that draws: of `given`, its id or where it lies, or [`DEFAULT_BASE`].
///
/// # Errors
/// There is none of that id, with the nearest one, or the path was not made known, with how to do that.
pub fn base_model(given: Option<&str>, models: &AddedModels) -> Result<AddedModel> {
    let all = models.list()?;
    let id = given.unwrap_or(DEFAULT_BASE);
    if let Some(model) = all.iter().find(|model| model.id == id) {
        return Ok(model.clone());
    }
    let path = Path::new(id);
    if let Some(model) = path.canonicalize().ok().and_then(|path| all.iter().find(|m| m.path == path)) {
        return Ok(model.clone());
    }
    let fault = match given {
        None => Fault::new("there is no model to draw with on this machine yet").help(format!(
            "make one known in a terminal: `spinbot models add FOLDER` for a diffusers folder or a .safetensors file \
             of Stable Diffusion, with `--as {DEFAULT_BASE}` to draw with it when no --base is given; `spinbot models \
             scan` looks for some"
        )),
        Some(_) if path.exists() || id.contains('/') => {
            Fault::new(format!("{id}: this model is not known yet"))
                .help(format!("make it known with `spinbot models add {id}` in a terminal, then give its id"))
        }
        Some(_) => Fault::new(format!("there is no model of your own called `{id}`")).help(
            match nearest(id, all.iter().map(|model| model.id.as_str())) {
                Some(near) => format!("did you mean `{near}`? `%models` lists them"),
                None => format!("make it known with `spinbot models add FOLDER --as {id}` in a terminal"),
            },
        ),
    };
    Err(fault.about("base"))
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
        for (given, expected, help) in [
            (None, "no model to draw with", "--as portraits"),
            (Some("storys"), "called `storys`", "did you mean `stories`?"),
            (Some("dreams"), "called `dreams`", "models add FOLDER --as dreams"),
            (file.to_str(), "dreams.safetensors: this model is not known yet", "spinbot models add /"),
        ] {
            let fault = known(given).unwrap_err();
            assert!(fault.message.contains(expected), "{fault}");
            assert!(fault.help.unwrap().contains(help));
            assert_eq!(fault.argument.as_deref(), Some("base"));
        }
        let list = [serde_json::json!({"id": DEFAULT_BASE, "path": file, "sha256": "c".repeat(64)})];
        std::fs::write(folder.join("models/added.json"), serde_json::to_vec(&list).unwrap()).unwrap();
        assert_eq!(known(None).unwrap(), known(file.to_str()).unwrap());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
