//! Whole models on disk: diffusers folders, places in the Hugging Face cache, and single files with LDM's names.
//!
//! A [`Checkpoint`] gives each component's configuration as diffusers' JSON and its weights under diffusers' names,
//! whatever they are called in the file. It builds no network.

mod backend;
mod component_names;
mod folder;
mod listing;
mod single_file;
#[cfg(test)]
mod tests;
pub(crate) mod unet_names;

pub(crate) use folder::{files, resolved};
pub use listing::{Found, FoundKind, list};

use super::scheduler::SchedulerConfig;
use crate::added;
use crate::error::{ModelError, Result};
use crate::tensor_file::TensorFile;
use backend::Renamed;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use component_names::Naming;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest configuration or index that is believed, in bytes.
const MAX_JSON: u64 = 16 << 20;

/// An opened model. Its weights are read as networks ask for them.
pub struct Checkpoint {
    path: PathBuf,
    parts: BTreeMap<String, Part>,
    scheduler: SchedulerConfig,
}

/// A component: its configuration, and where its weights are.
struct Part {
    config: Value,
    naming: Naming,
    files: Arc<Vec<TensorFile<'static>>>,
}

/// Models that share a text space, told apart by its width. LoRAs of one do not fit another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Stable Diffusion 1.x, 768.
    Sd1,
    /// Stable Diffusion 2.x, 1024.
    Sd2,
    /// Stable Diffusion XL, 2048.
    Sdxl,
    /// Its refiner, 1280.
    SdxlRefiner,
}

impl Family {
    fn of(unet: &Value) -> Option<Family> {
        match unet.get("cross_attention_dim").and_then(Value::as_u64) {
            Some(768) => Some(Family::Sd1),
            Some(1024) => Some(Family::Sd2),
            Some(2048) => Some(Family::Sdxl),
            Some(1280) => Some(Family::SdxlRefiner),
            _ => None,
        }
    }
}

impl Checkpoint {
    /// Opens a model: a folder with `model_index.json`, a `models--org--name` of the Hugging Face cache, or a
    /// safetensors file. `variant` chooses among a folder's weights, as `fp16`; without it the full ones are taken,
    /// or those that are there.
    ///
    /// # Errors
    /// [`ModelError::Format`] for pickles, with how to convert them; [`ModelError::Weights`] and
    /// [`ModelError::Listing`] for what is damaged or no such model; [`ModelError::Scheduler`] for a noise schedule
    /// that is not built.
    pub fn open(path: &Path, variant: Option<&str>) -> Result<Checkpoint> {
        if path.is_dir() {
            let path = folder::resolved(path)?;
            let parts = folder::parts(&path, variant)?;
            let config = path.join("scheduler/scheduler_config.json");
            let scheduler = match config.is_file() {
                true => SchedulerConfig::from_file(&config)?,
                false => SchedulerConfig::default(),
            };
            return Ok(Checkpoint { path, parts, scheduler });
        }
        added::check_format(path)?;
        let label = path.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
        let parts = single_file::parts(&label, TensorFile::open(&label, path)?)?;
        let family = parts.get("unet").and_then(|unet| Family::of(&unet.config));
        let file = parts.values().next().and_then(|part| part.files.first());
        let scheduler = file.map(|file| single_file::scheduler(file, family)).unwrap_or_default();
        Ok(Checkpoint { path: path.to_owned(), parts, scheduler })
    }

    /// Where it lies; for a place in the cache, the snapshot.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its components: of `unet`, `vae`, `text_encoder`, `text_encoder_2` those that are there.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    /// What kind of Stable Diffusion it is, where it is one.
    pub fn family(&self) -> Option<Family> {
        self.parts.get("unet").and_then(|unet| Family::of(&unet.config))
    }

    /// The component's configuration in diffusers' words; of single files, as the shapes say it.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when the model has no such component.
    pub fn config(&self, component: &str) -> Result<&Value> {
        self.part(component).map(|part| &part.config)
    }

    /// The component's weights under diffusers' names, of that type on that device.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when the model has no such component.
    pub fn weights(&self, component: &str, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
        let part = self.part(component)?;
        let backend = Renamed::new(part.files.clone(), part.naming.clone());
        Ok(VarBuilder::from_backend(Box::new(backend), dtype, device.clone()))
    }

    /// The noise schedule that it was trained with.
    pub fn scheduler(&self) -> &SchedulerConfig {
        &self.scheduler
    }

    /// Whether no negative prompt means zeros instead of the states of an empty one: as `model_index.json` says, else
    /// true for SDXL.
    pub fn force_zeros_for_empty_prompt(&self) -> bool {
        let index = read_json(&self.path.join(folder::INDEX)).unwrap_or_default();
        let said = index.get("force_zeros_for_empty_prompt").and_then(Value::as_bool);
        said.unwrap_or(self.family() == Some(Family::Sdxl))
    }

    /// The folder called that, `tokenizer` or `tokenizer_2`, where the model is a folder and has it. Single files
    /// rely on CLIP's vocabulary, which all of them share.
    pub fn tokenizer(&self, name: &str) -> Option<PathBuf> {
        Some(self.path.join(name)).filter(|folder| folder.is_dir())
    }

    fn part(&self, component: &str) -> Result<&Part> {
        self.parts
            .get(component)
            .ok_or_else(|| refuse(&self.path.display().to_string(), format!("there is no {component} in it")))
    }
}

fn read_json(path: &Path) -> Result<Value> {
    let length = path.metadata().map_err(ModelError::io("reading", path))?.len();
    let listing = |reason: String| ModelError::Listing { what: path.display().to_string(), reason };
    if length > MAX_JSON {
        return Err(listing(format!("{length} bytes are more than such a file has")));
    }
    let text = std::fs::read(path).map_err(ModelError::io("reading", path))?;
    serde_json::from_slice(&text).map_err(|e| listing(e.to_string()))
}

fn refuse(model: &str, reason: String) -> ModelError {
    ModelError::Weights { model: model.to_owned(), reason }
}
