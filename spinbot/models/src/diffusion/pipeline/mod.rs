//! From prompts to pictures: the parts of a Stable Diffusion model put together, as diffusers' pipelines do.
//!
//! Only `load.rs` knows files; the rest takes the parts as they are handed over. No grids and no PNG: pictures are
//! tensors or RGB bytes.

mod draw;
mod load;
mod pictures;
mod preview;
mod request;
#[cfg(test)]
mod tests;

pub use draw::Progress;
pub use load::{AppliedLoras, Precision};
pub use pictures::{Rgb8, from_rgb8, mask_from_rgb8, to_rgb8};
pub use preview::LatentPreview;
pub use request::{DrawRequest, Source, Subject};

use super::adapters::Adapters;
use super::lora_file::TriggerEmbedding;
use super::scheduler::SchedulerConfig;
use super::text::{HiddenState, TextEncoder, TextStates};
use super::unet::{AddedCond, Conditioning, PerBlock, UNet2DCondition};
use super::vae::AutoencoderKl;
use crate::error::{ModelError, Result};
use candle_core::{D, Device, Tensor};
use std::sync::OnceLock;

/// The adapters of each component.
#[derive(Debug, Clone, Default)]
pub struct PipelineAdapters {
    /// The UNet's.
    pub unet: Adapters,
    /// The first text encoder's.
    pub text_encoder: Adapters,
    /// The second text encoder's.
    pub text_encoder_2: Adapters,
}

/// A model to draw with: SD 1 and 2 with one text encoder, SDXL with two, or anything of their shape.
pub struct Pipeline {
    encoders: Vec<TextEncoder>,
    unet: UNet2DCondition,
    vae: AutoencoderKl,
    scheduler: SchedulerConfig,
    /// Whether no negative prompt means zeros instead of the states of an empty prompt.
    force_zeros_for_empty_prompt: bool,
    device: Device,
    preview: OnceLock<LatentPreview>,
}

impl Pipeline {
    /// Puts the parts together. `force_zeros_for_empty_prompt` is `model_index.json`'s, true for SDXL.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when the parts do not fit one another: a UNet for inpainting or for other latents, text
    /// encoders of another width, SDXL's refiner.
    pub fn new(
        encoders: Vec<TextEncoder>,
        unet: UNet2DCondition,
        vae: AutoencoderKl,
        scheduler: SchedulerConfig,
        force_zeros_for_empty_prompt: bool,
        device: &crate::Device,
    ) -> Result<Self> {
        let refuse = |reason: String| Err(ModelError::Weights { model: "pipeline".into(), reason });
        let (config, latents) = (unet.config(), vae.config().latent_channels);
        if config.in_channels != latents || config.out_channels != latents {
            return refuse(format!(
                "the UNet takes {} and gives {} channels, the autoencoder has {latents}: only UNets that draw from \
                 noise alone are built",
                config.in_channels, config.out_channels
            ));
        }
        let width: usize = encoders.iter().map(|encoder| encoder.model.config().hidden_size).sum();
        let reads = match &config.cross_attention_dim {
            PerBlock::All(reads) => vec![*reads],
            PerBlock::Each(reads) => reads.clone(),
        };
        if reads.iter().any(|reads| *reads != width) {
            return refuse(format!(
                "the UNet reads text of {reads:?} channels, the text encoders give {width}"
            ));
        }
        if let (Some(wide), Some(each), Some(last)) =
            (config.projection_class_embeddings_input_dim, config.addition_time_embed_dim, encoders.last())
        {
            let pooled = last.model.config().projection_dim;
            if wide != pooled + 6 * each {
                return refuse(format!(
                    "the UNet's added embeddings are {wide} wide, expected {pooled} of text and six sizes of {each}: \
                     refiners are not built"
                ));
            }
        }
        if encoders.iter().any(|encoder| encoder.tokenizer.length() != encoders[0].tokenizer.length()) {
            return refuse("its tokenizers have different lengths".into());
        }
        Ok(Pipeline {
            encoders,
            unet,
            vae,
            scheduler,
            force_zeros_for_empty_prompt,
            device: device.0.clone(),
            preview: OnceLock::new(),
        })
    }

    /// Its text encoders, one or, for SDXL, two.
    pub fn encoders(&self) -> &[TextEncoder] {
        &self.encoders
    }

    /// Its text encoders, to teach them trigger words.
    pub fn encoders_mut(&mut self) -> &mut [TextEncoder] {
        &mut self.encoders
    }

    /// Lets a word stand for what a LoRA taught it; of several LoRAs, one after the other.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when it was taught to other text encoders.
    pub fn teach(&mut self, trigger: &TriggerEmbedding) -> Result<()> {
        let fits = |encoder: &TextEncoder, vectors: &Tensor| {
            vectors.dim(1).is_ok_and(|width| width == encoder.model.config().hidden_size)
        };
        let count = self.encoders.len();
        if trigger.vectors.len() != count
            || !self.encoders.iter().zip(&trigger.vectors).all(|(encoder, vectors)| fits(encoder, vectors))
        {
            let reason = format!("its word `{}` was taught to other text encoders", trigger.word);
            return Err(ModelError::Weights { model: "LoRA".into(), reason });
        }
        for (encoder, vectors) in self.encoders.iter_mut().zip(&trigger.vectors) {
            let vectors = vectors.to_device(&self.device).map_err(ModelError::tensor("teaching a word"))?;
            encoder.teach(&trigger.word, &vectors)?;
        }
        Ok(())
    }

    /// Its UNet.
    pub fn unet(&self) -> &UNet2DCondition {
        &self.unet
    }

    /// Its autoencoder.
    pub fn vae(&self) -> &AutoencoderKl {
        &self.vae
    }

    /// The noise that it was trained with, and the sampling method that it was published with.
    pub fn scheduler(&self) -> &SchedulerConfig {
        &self.scheduler
    }

    pub(in crate::diffusion) fn device(&self) -> &Device {
        &self.device
    }

    /// What the edges of its pictures must be a multiple of, in pixels: 64 for SD 1.5.
    pub fn multiple(&self) -> usize {
        self.vae.factor() << (self.unet.config().block_out_channels.len() - 1)
    }

    /// Tokens of a prompt, start and end left out, and how many of them one pass of the text encoders reads.
    ///
    /// # Errors
    /// [`ModelError::Prompt`] when the tokenizer refuses it.
    pub fn tokens(&self, prompt: &str) -> Result<(usize, usize)> {
        let counts = self.encoders.iter().map(|encoder| encoder.tokenizer.count(prompt));
        let most = counts.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0);
        Ok((most, self.encoders.first().map_or(0, |encoder| encoder.tokenizer.length() - 2)))
    }

    /// Bounds memory: attention holds at most that many scores at once, and pictures with an edge of more pixels than
    /// `tile` go through the autoencoder in tiles. `None` takes the bound away.
    pub fn set_memory(&mut self, scores: Option<usize>, tile: Option<usize>) {
        self.unet.set_attention_slice(scores.unwrap_or(usize::MAX));
        self.vae.set_tile(tile);
    }

    /// Whether it is SDXL's kind, with pooled text and sizes.
    fn is_xl(&self) -> bool {
        self.unet.config().addition_embed_type.is_some()
    }

    /// How many chunks of tokens the longest of these prompts takes.
    ///
    /// # Errors
    /// [`ModelError::Prompt`] when one is too long.
    pub fn chunks(&self, prompts: &[&str]) -> Result<usize> {
        let counts =
            self.encoders.iter().map(|encoder| encoder.chunks(prompts)).collect::<Result<Vec<_>>>()?;
        Ok(counts.into_iter().max().unwrap_or(1))
    }

    /// The states of prompts as the UNet reads them, `[prompts, chunks·length, cross_attention_dim]`, and the pooled
    /// ones of SDXL. Gradients reach the text encoders' adapters and trigger embeddings.
    ///
    /// # Errors
    /// As [`TextEncoder::encode`].
    pub fn encode_prompts(
        &self,
        prompts: &[&str],
        chunks: usize,
        clip_skip: usize,
        adapters: &PipelineAdapters,
    ) -> Result<TextStates> {
        let state = match self.is_xl() {
            true => HiddenState { skip: clip_skip + 1, normalised: false },
            false => HiddenState { skip: clip_skip, normalised: true },
        };
        let own = [&adapters.text_encoder, &adapters.text_encoder_2];
        let states = (self.encoders.iter().zip(own))
            .map(|(encoder, adapters)| encoder.encode(prompts, chunks, state, adapters))
            .collect::<Result<Vec<_>>>()?;
        let hidden: Vec<&Tensor> = states.iter().map(|states| &states.hidden).collect();
        let hidden = Tensor::cat(&hidden, D::Minus1).map_err(ModelError::tensor("joining text states"))?;
        Ok(TextStates { hidden, pooled: states.into_iter().rev().find_map(|states| states.pooled) })
    }

    /// What the UNet is conditioned on for pictures of that height and width in pixels, from as many states: for
    /// SDXL with the pooled text and, as sizes, an original of that size that is not cropped.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device fails.
    pub fn conditioning(&self, states: TextStates, height: usize, width: usize) -> Result<Conditioning> {
        let TextStates { hidden, pooled } = states;
        let mut conditioning = Conditioning::text(hidden);
        if let (true, Some(text_embeds)) = (self.is_xl(), pooled) {
            let sizes = [height, width, 0, 0, height, width].map(|size| size as f32);
            let build = || Tensor::new(&[sizes], &self.device)?.repeat((text_embeds.dim(0)?, 1));
            let time_ids = build().map_err(ModelError::tensor("conditioning on sizes"))?;
            conditioning.added = Some(AddedCond { text_embeds, time_ids });
        }
        Ok(conditioning)
    }

    /// The cheap preview of latents, fitted to the autoencoder when it is asked for first.
    ///
    /// # Errors
    /// As [`LatentPreview::fit`].
    pub fn preview(&self) -> Result<&LatentPreview> {
        if let Some(preview) = self.preview.get() {
            return Ok(preview);
        }
        let fitted = LatentPreview::fit(&self.vae, &self.device)?;
        Ok(self.preview.get_or_init(|| fitted))
    }
}

/// Rows of `x` by number, so that prompts that repeat are encoded once.
pub(in crate::diffusion) fn rows(x: &Tensor, numbers: &[u32]) -> Result<Tensor> {
    Tensor::new(numbers, x.device())
        .and_then(|numbers| x.contiguous()?.index_select(&numbers, 0))
        .map_err(ModelError::tensor("taking text states"))
}
