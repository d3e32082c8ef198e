//! A whole model from disk, and LoRAs for it.

use super::{Pipeline, PipelineAdapters};
use crate::diffusion::checkpoint::Checkpoint;
use crate::diffusion::lora_file::{self, LoraFile, LoraFormat, LoraMetadata, TriggerEmbedding};
use crate::diffusion::text::{ClipText, ClipTextConfig, ClipTokenizer, TextEncoder};
use crate::diffusion::unet::{UNet2DCondition, UNetConfig};
use crate::diffusion::vae::{AutoencoderKl, AutoencoderKlConfig};
use crate::error::{ModelError, Result};
use crate::ops::OpSet;
use candle_core::DType;
use std::path::{Path, PathBuf};

/// Scores of attention that are held at once on a GPU: 128 MB in f16.
const SCORES: usize = 1 << 26;
/// Edge in pixels above which pictures go through the autoencoder in tiles.
const TILE: usize = 512;

/// Of what type a model's weights are kept and computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bit, the only one that is fast on the CPU.
    #[default]
    F32,
    /// 16 bit with five of exponent. Autoencoders that overflow in it stay f32.
    F16,
    /// 16 bit with eight of exponent.
    Bf16,
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::F16 => DType::F16,
            Precision::Bf16 => DType::BF16,
        }
    }
}

/// LoRAs laid out for a pipeline.
#[derive(Debug, Clone)]
pub struct AppliedLoras {
    /// Their pairs, by component.
    pub adapters: PipelineAdapters,
    /// Layers that a file names and the model has not, as the file calls them, behind the file's name.
    pub unmatched: Vec<String>,
}

impl Pipeline {
    /// Loads a model: a diffusers folder, a place in the Hugging Face cache, or a single file with a `tokenizer` folder
    /// (and, for SDXL, a `tokenizer_2`) beside it.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; [`ModelError::Weights`] when a part is missing or does not fit the others,
    /// [`ModelError::Format`] for a tokenizer that cannot be read or is not there.
    pub fn open(path: &Path, precision: Precision, device: &crate::Device) -> Result<Self> {
        let checkpoint = Checkpoint::open(path, None)?;
        let set = match precision {
            Precision::F32 => OpSet::fastest_on(&device.0),
            Precision::F16 | Precision::Bf16 => OpSet::Stock,
        };
        let dtype = precision.dtype();
        let json = |component: &str| -> Result<Vec<u8>> {
            Ok(checkpoint.config(component)?.to_string().into_bytes())
        };
        let weights = |component: &str, dtype| checkpoint.weights(component, dtype, &device.0);

        let mut encoders = Vec::new();
        let there: Vec<&str> = checkpoint.components().collect();
        for (component, tokenizer) in [("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")] {
            if !there.contains(&component) {
                continue;
            }
            let config = ClipTextConfig::from_json(&json(component)?)?;
            let folder = tokenizer_folder(&checkpoint, path, tokenizer)?;
            let tokenizer = ClipTokenizer::open(&folder, config.max_position_embeddings, config.vocab_size)?;
            let model = ClipText::load(&config, component, weights(component, dtype)?, set)?;
            encoders.push(TextEncoder::new(tokenizer, model));
        }
        if encoders.is_empty() {
            let model = path.display().to_string();
            return Err(ModelError::Weights { model, reason: "there is no text encoder in it".into() });
        }
        let unet =
            UNet2DCondition::load(UNetConfig::from_json(&json("unet")?)?, weights("unet", dtype)?, set)?;
        let config = AutoencoderKlConfig::from_json(&json("vae")?)?;
        let vae_dtype = config.dtype(dtype);
        let vae_set = if vae_dtype == DType::F32 { OpSet::fastest_on(&device.0) } else { set };
        let vae = AutoencoderKl::load(&config, weights("vae", vae_dtype)?, vae_set)?;
        let zeros = checkpoint.force_zeros_for_empty_prompt();
        let mut pipeline = Pipeline::new(encoders, unet, vae, checkpoint.scheduler().clone(), zeros, device)?;
        if !device.is_cpu() {
            // The CPU's attention never holds all scores, a GPU's would: of SD 1.5 at 1024 pixels 8 GB.
            pipeline.set_memory(Some(SCORES), Some(TILE));
        }
        Ok(pipeline)
    }

    /// Edge in pixels of the square pictures it was trained on, where its configuration says.
    pub fn native_edge(&self) -> Option<usize> {
        self.unet.config().sample_size.map(|latents| latents * self.vae.factor())
    }

    /// Lays LoRAs out for its layers, each counted by its weight: 1 as it was trained, several at once as their sum.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when one was made for another kind of model.
    pub fn adapters(&self, loras: &[(LoraFile, f64)]) -> Result<AppliedLoras> {
        let mut applied = AppliedLoras { adapters: PipelineAdapters::default(), unmatched: Vec::new() };
        for (file, weight) in loras {
            let label = file.label();
            let PipelineAdapters { unet, text_encoder, text_encoder_2 } = &mut applied.adapters;
            let mut matched = 0;
            let parts = [(self.unet.sites(), unet)].into_iter().chain(
                (self.encoders.iter().map(|encoder| encoder.model.sites()))
                    .zip([text_encoder, text_encoder_2]),
            );
            for (sites, adapters) in parts {
                let found = file.apply(sites, *weight, adapters, &self.device)?;
                matched += found.matched;
                applied.unmatched.extend(found.unmatched.iter().map(|layer| format!("{label}: {layer}")));
            }
            if matched == 0 {
                return Err(ModelError::Weights {
                    model: label.to_owned(),
                    reason: "none of its layers is in this model: it was made for another kind of model"
                        .into(),
                });
            }
        }
        Ok(applied)
    }

    /// A LoRA file of adapters for its layers, with f16 numbers, and of a trigger's embeddings.
    ///
    /// # Errors
    /// As [`lora_file::bytes`].
    pub fn lora_bytes(
        &self,
        format: LoraFormat,
        adapters: &PipelineAdapters,
        trigger: Option<&TriggerEmbedding>,
        metadata: &LoraMetadata,
    ) -> Result<Vec<u8>> {
        let encoders = self.encoders.iter().map(|encoder| encoder.model.sites());
        let own = [&adapters.text_encoder, &adapters.text_encoder_2];
        let parts: Vec<_> =
            [(self.unet.sites(), &adapters.unet)].into_iter().chain(encoders.zip(own)).collect();
        lora_file::bytes(format, &parts, trigger, metadata, DType::F16)
    }
}

/// A tokenizer's folder: the model's own, or that beside a single file.
fn tokenizer_folder(checkpoint: &Checkpoint, path: &Path, name: &str) -> Result<PathBuf> {
    let beside = path.with_file_name(name);
    let first = path.with_file_name("tokenizer");
    let found =
        checkpoint.tokenizer(name).or_else(|| [beside, first].into_iter().find(|folder| folder.is_dir()));
    found.ok_or_else(|| ModelError::Format {
        path: path.to_owned(),
        reason: format!("there is no `{name}` folder, and prompts cannot be read without its vocabulary"),
        convert: "copy the folder `tokenizer` (vocab.json and merges.txt) of any Stable Diffusion in diffusers' form \
                  beside the file; they all share it"
            .into(),
    })
}
