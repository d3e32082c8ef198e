//! Models of the user's own, as `spinbot models add` made them known: which there are, where they lie, and the voices
//! beside them. Only read here; the list is `spinbot-models`' (its `added` module), and so is what is in the files.

use crate::plan::{Digest, Input};
use crate::suggest::nearest;
use crate::{Fault, Result, home};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A list above this is none.
const LONGEST_LIST: u64 = 1 << 20;
/// Voices beside one model that are looked at.
const MOST_VOICES: usize = 1000;

/// A weight file of the user's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AddedModel {
    /// What it is called.
    pub id: String,
    /// Where it lies.
    pub path: PathBuf,
    /// SHA-256 of its bytes when it was added.
    pub sha256: Digest,
}

impl AddedModel {
    /// What feeds it to a step.
    pub fn input(&self) -> Input {
        Input::Model { id: self.id.clone(), sha256: self.sha256.clone() }
    }

    /// The preset voices that lie beside it (`embeddings/NAME.safetensors`, as pocket-tts is published), by name.
    pub fn voices(&self) -> Vec<PresetVoice> {
        let folder = self.path.parent().unwrap_or(Path::new("")).join("embeddings");
        // A model without them is one without voices.
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_VOICES);
        let mut voices: Vec<PresetVoice> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
            .filter_map(|path| {
                let name = format!("{}/{}", self.id, path.file_stem()?.to_str()?);
                Some(PresetVoice { name, path, model: self.clone() })
            })
            .collect();
        voices.sort_by(|a, b| a.name.cmp(&b.name));
        voices
    }
}

/// A voice that came with a model of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetVoice {
    /// As it is typed: `pocket/alba`.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// The model that speaks with it.
    pub model: AddedModel,
}

/// The models added to one cache folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedModels {
    list: PathBuf,
}

impl Default for AddedModels {
    fn default() -> Self {
        Self::standard()
    }
}

impl AddedModels {
    /// The user's own.
    pub fn standard() -> Self {
        AddedModels::at(home::cache_dir())
    }

    /// Those of another cache folder.
    pub fn at(cache: impl Into<PathBuf>) -> Self {
        AddedModels { list: cache.into().join("models").join("added.json") }
    }

    /// All of them, in the order they were added.
    ///
    /// # Errors
    /// When the list is there and cannot be read.
    pub fn list(&self) -> Result<Vec<AddedModel>> {
        let wrong = |what: String| Fault::new(format!("{}: cannot be read: {what}", self.list.display()));
        match std::fs::metadata(&self.list) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(wrong(e.to_string())),
            Ok(found) if found.len() > LONGEST_LIST => return Err(wrong("it is too long".into())),
            Ok(_) => {}
        }
        let json = std::fs::read(&self.list).map_err(|e| wrong(e.to_string()))?;
        serde_json::from_slice(&json).map_err(|e| wrong(e.to_string()))
    }

    /// The model of that id.
    ///
    /// # Errors
    /// When there is none, with the nearest id.
    pub fn find(&self, id: &str) -> Result<AddedModel> {
        let all = self.list()?;
        if let Some(model) = all.iter().find(|model| model.id == id) {
            return Ok(model.clone());
        }
        let fault = Fault::new(format!("there is no model of your own called `{id}`"));
        Err(fault.help(match nearest(id, all.iter().map(|model| model.id.as_str())) {
            Some(near) => format!("did you mean `{near}`? `%models` lists them"),
            None => format!("make it known with `spinbot models add FILE --as {id}` in a terminal"),
        }))
    }

    /// The voices beside all of them.
    ///
    /// # Errors
    /// As [`AddedModels::list`].
    pub fn voices(&self) -> Result<Vec<PresetVoice>> {
        Ok(self.list()?.iter().flat_map(AddedModel::voices).collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A cache folder with the model `pocket`, its voices `alba` and `marius`, and the model `stories` without any.
    pub(crate) fn added(folder: &Path) -> AddedModels {
        let release = folder.join("release");
        std::fs::create_dir_all(release.join("embeddings")).unwrap();
        std::fs::create_dir_all(folder.join("models")).unwrap();
        for file in ["marius.safetensors", "alba.safetensors", "notes.txt"] {
            std::fs::write(release.join("embeddings").join(file), "x").unwrap();
        }
        let model = |id: &str, path: PathBuf, digit: &str| serde_json::json!({"id": id, "path": path, "bytes": 9, "sha256": digit.repeat(64), "modified": 1});
        let list = [
            model("pocket", release.join("model.safetensors"), "a"),
            model("stories", folder.join("stories.gguf"), "b"),
        ];
        std::fs::write(folder.join("models/added.json"), serde_json::to_vec(&list).unwrap()).unwrap();
        AddedModels::at(folder)
    }

    #[test]
    fn models_are_found_with_the_voices_beside_them() {
        let folder = crate::voices::test_folder();
        assert_eq!(AddedModels::at(folder.join("none")).list().unwrap(), []);
        let models = added(&folder);
        let pocket = models.find("pocket").unwrap();
        assert_eq!(pocket.input(), Input::Model { id: "pocket".into(), sha256: Digest("a".repeat(64)) });
        let names: Vec<String> = models.voices().unwrap().into_iter().map(|voice| voice.name).collect();
        assert_eq!(names, ["pocket/alba", "pocket/marius"]);
        let fault = models.find("poket").unwrap_err();
        assert_eq!(fault.message, "there is no model of your own called `poket`");
        assert_eq!(fault.help.as_deref(), Some("did you mean `pocket`? `%models` lists them"));
        assert!(models.find("painter").unwrap_err().help.unwrap().contains("models add FILE --as painter"));
        std::fs::write(folder.join("models/added.json"), "[{}]").unwrap();
        assert!(models.list().unwrap_err().message.contains("added.json: cannot be read: missing field"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
