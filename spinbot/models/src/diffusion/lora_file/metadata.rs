//! What a LoRA says of itself: kohya's `ss_*` keys, the model spec's, and diffusers' and peft's alphas.

use super::names::LoraName;
use crate::error::{ModelError, Result};
use crate::tensor_file::TensorFile;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A LoRA's description, of which every part may be missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoraMetadata {
    /// Its name, `ss_output_name` and `modelspec.title`.
    pub output_name: Option<String>,
    /// What it was trained on, in kohya's words: `sd_v1`, `sd_v2`, `sd_v2_v`, `sdxl_base_v1-0`.
    pub base_model_version: Option<String>,
    /// The file or name of that model.
    pub base_model_name: Option<String>,
    /// Rank.
    pub network_dim: Option<usize>,
    /// Alpha.
    pub network_alpha: Option<f64>,
    /// Learning rate of the UNet's adapters.
    pub learning_rate: Option<f64>,
    /// Passes through the pictures.
    pub num_epochs: Option<usize>,
    /// Optimiser steps.
    pub steps: Option<usize>,
    /// Pictures.
    pub num_train_images: Option<usize>,
    /// Width and height in pixels.
    pub resolution: Option<(usize, usize)>,
    /// Seed of the run.
    pub seed: Option<u64>,
    /// The words that call it up, `modelspec.trigger_phrase`.
    pub trigger: Option<String>,
    /// Captions' tags and how often each occurs, by picture folder.
    pub tag_frequency: BTreeMap<String, BTreeMap<String, u64>>,
    /// Everything else that is said.
    pub other: BTreeMap<String, String>,
}

impl LoraMetadata {
    /// Reads a file's metadata; values that cannot be what their key says stay in
    /// [`other`](LoraMetadata::other).
    pub(super) fn read(fields: &HashMap<String, String>) -> LoraMetadata {
        let mut metadata = LoraMetadata::default();
        for (key, value) in fields {
            if !metadata.take(key, value) {
                metadata.other.insert(key.clone(), value.clone());
            }
        }
        metadata
    }

    fn take(&mut self, key: &str, value: &str) -> bool {
        fn set<T: std::str::FromStr>(field: &mut Option<T>, value: &str) -> bool {
            let parsed = value.parse().ok();
            let read = parsed.is_some();
            *field = parsed;
            read
        }
        match key {
            "ss_output_name" => set(&mut self.output_name, value),
            "ss_base_model_version" => set(&mut self.base_model_version, value),
            "ss_sd_model_name" => set(&mut self.base_model_name, value),
            "ss_network_dim" => set(&mut self.network_dim, value),
            "ss_network_alpha" => set(&mut self.network_alpha, value),
            "ss_learning_rate" => set(&mut self.learning_rate, value),
            "ss_num_epochs" => set(&mut self.num_epochs, value),
            "ss_steps" => set(&mut self.steps, value),
            "ss_num_train_images" => set(&mut self.num_train_images, value),
            "ss_seed" => set(&mut self.seed, value),
            "ss_resolution" => {
                let sides = value.trim_matches(['(', ')']).split_once(',');
                self.resolution =
                    sides.and_then(|(w, h)| Some((w.trim().parse().ok()?, h.trim().parse().ok()?)));
                self.resolution.is_some()
            }
            "modelspec.trigger_phrase" => set(&mut self.trigger, value),
            "ss_tag_frequency" => match serde_json::from_str(value) {
                Ok(frequency) => {
                    self.tag_frequency = frequency;
                    true
                }
                Err(_) => false,
            },
            _ => false,
        }
    }

    /// The keys to write, sorted. The title and architecture of the model spec follow from the rest unless
    /// [`other`](LoraMetadata::other) has them.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut put = |key: &str, value: Option<String>| {
            fields.extend(value.map(|value| (key.to_owned(), value)));
        };
        put("ss_output_name", self.output_name.clone());
        put("ss_base_model_version", self.base_model_version.clone());
        put("ss_sd_model_name", self.base_model_name.clone());
        put("ss_network_dim", self.network_dim.map(|n| n.to_string()));
        put("ss_network_alpha", self.network_alpha.map(|n| n.to_string()));
        put("ss_learning_rate", self.learning_rate.map(|n| n.to_string()));
        put("ss_num_epochs", self.num_epochs.map(|n| n.to_string()));
        put("ss_steps", self.steps.map(|n| n.to_string()));
        put("ss_num_train_images", self.num_train_images.map(|n| n.to_string()));
        put("ss_seed", self.seed.map(|n| n.to_string()));
        put("ss_resolution", self.resolution.map(|(w, h)| format!("({w}, {h})")));
        put("ss_network_module", self.network_dim.map(|_| "networks.lora".to_owned()));
        let tags = (!self.tag_frequency.is_empty()).then(|| serde_json::json!(self.tag_frequency));
        put("ss_tag_frequency", tags.map(|tags| tags.to_string()));
        let architecture = match self.base_model_version.as_deref() {
            Some(base) if base.starts_with("sd_v1") => Some("stable-diffusion-v1/lora"),
            Some("sd_v2") => Some("stable-diffusion-v2-512/lora"),
            Some("sd_v2_v") => Some("stable-diffusion-v2-768-v/lora"),
            Some(base) if base.starts_with("sdxl") => Some("stable-diffusion-xl-v1-base/lora"),
            _ => None,
        };
        put("modelspec.architecture", architecture.map(str::to_owned));
        put("modelspec.title", self.output_name.clone());
        put("modelspec.trigger_phrase", self.trigger.clone());
        put("modelspec.resolution", self.resolution.map(|(w, h)| format!("{w}x{h}")));
        put("modelspec.sai_model_spec", architecture.map(|_| "1.0.0".to_owned()));
        fields.extend(self.other.iter().map(|(key, value)| (key.clone(), value.clone())));
        fields.into_iter().map(|(key, value)| (key, Value::String(value))).collect()
    }
}

/// Alphas that stand beside the tensors: in `lora_adapter_metadata`, where diffusers keeps peft's configuration by
/// component, or in peft's own `adapter_config.json`.
#[derive(Debug, Default)]
pub(super) struct PeftAlphas(Map<String, Value>);

/// The longest `adapter_config.json` that is believed, in bytes.
const MAX_CONFIG: u64 = 1 << 20;

pub(super) fn peft_alphas(path: &Path, tensors: &TensorFile<'_>) -> Result<PeftAlphas> {
    if let Some(text) = tensors.metadata().get("lora_adapter_metadata") {
        return Ok(PeftAlphas(serde_json::from_str(text).unwrap_or_default()));
    }
    let beside = path.with_file_name("adapter_config.json");
    let peft = tensors.names().any(|name| name.starts_with("base_model.model."));
    if !peft || !beside.metadata().is_ok_and(|file| file.len() <= MAX_CONFIG) {
        return Ok(PeftAlphas::default());
    }
    let text = std::fs::read(&beside).map_err(ModelError::io("reading", &beside))?;
    let config: Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|e| ModelError::Listing { what: beside.display().to_string(), reason: e.to_string() })?;
    Ok(PeftAlphas(config))
}

impl PeftAlphas {
    /// alpha / rank, or alpha / sqrt(rank) where peft was told to stabilise ranks; 1 where nothing is said. Patterns
    /// are compared as the ends of paths that they nearly always are.
    pub(super) fn scale(&self, name: &LoraName, rank: usize) -> f64 {
        let field = |key: &str| {
            let own = self.0.get(&format!("{}.{key}", name.component));
            own.or_else(|| self.0.get(key))
        };
        let pattern = field("alpha_pattern").and_then(Value::as_object).and_then(|patterns| {
            let of = |key: &str| {
                let key = super::flattened(key);
                name.flat == key || name.flat.ends_with(&format!("_{key}"))
            };
            patterns.iter().find(|(key, _)| of(key)).map(|(_, alpha)| alpha)
        });
        let Some(alpha) = pattern.or_else(|| field("lora_alpha")).and_then(Value::as_f64) else { return 1.0 };
        match field("use_rslora").and_then(Value::as_bool) {
            Some(true) => alpha / (rank as f64).sqrt(),
            _ => alpha / rank as f64,
        }
    }
}
