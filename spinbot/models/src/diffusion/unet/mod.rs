//! The denoising network of Stable Diffusion 1, 2 and XL (diffusers' `UNet2DConditionModel`).
//!
//! Its blocks are a flat list of segments, each a residual block with its transformer or a change of size, so that
//! training may keep only what goes between them. No schedulers and no text live here.

mod block;
mod checkpoint;
mod config;
mod embedding;
mod transformer;

pub use checkpoint::Checkpointed;
pub use config::{PerBlock, UNetConfig};
pub use embedding::{AddedCond, Conditioning, guidance_scale_embedding};

use super::adapters::{Adapters, Site};
use super::layers::{Before, Conv2d, ConvConfig, GroupNorm, Weights, channels_first, channels_last};
use crate::error::{ModelError, Result};
use crate::ops::OpSet;
use block::Segment;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use embedding::Embedding;

/// The network with its weights.
#[derive(Debug, Clone)]
pub struct UNet2DCondition {
    config: UNetConfig,
    embedding: Embedding,
    conv_in: Conv2d,
    segments: Vec<Segment>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    sites: Vec<Site>,
    weights: (candle_core::DType, candle_core::Device),
}

impl UNet2DCondition {
    /// Loads it from weights under diffusers' names. With [`OpSet::Fused`] they must be f32 on the CPU; for others
    /// the stock set is taken.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when the configuration asks for parts that are not built, [`ModelError::Tensor`] when a
    /// weight is missing or has another shape.
    pub fn load(config: UNetConfig, vb: VarBuilder, set: OpSet) -> Result<Self> {
        config.check()?;
        let weights = Weights::new("unet", vb, set);
        let load = || -> candle_core::Result<Self> {
            let first = config.block_out_channels[0];
            let conv_in = ConvConfig::same(config.conv_in_kernel);
            let conv_out = ConvConfig::same(config.conv_out_kernel);
            let norm_out = weights.pp("conv_norm_out");
            Ok(UNet2DCondition {
                conv_in: Conv2d::load(&weights.pp("conv_in"), config.in_channels, first, conv_in)?,
                embedding: Embedding::load(&config, &weights)?,
                segments: block::load(&config, &weights)?,
                norm_out: GroupNorm::load(&norm_out, first, config.norm_num_groups, config.norm_eps)?,
                conv_out: Conv2d::load(&weights.pp("conv_out"), first, config.out_channels, conv_out)?,
                sites: weights.sites(),
                weights: (weights.dtype(), weights.device().clone()),
                config: config.clone(),
            })
        };
        load().map_err(ModelError::tensor("loading the UNet"))
    }

    /// What it was built by.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// The type of its weights.
    pub(in crate::diffusion) fn dtype(&self) -> candle_core::DType {
        self.weights.0
    }

    /// Where its weights are.
    pub(in crate::diffusion) fn device(&self) -> &candle_core::Device {
        &self.weights.1
    }

    /// Its layers that can carry adapters, in the order of loading.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Lets attention hold at most that many scores at once, whatever the size of the picture: less memory, the same
    /// result, somewhat slower.
    pub fn set_attention_slice(&mut self, scores: usize) {
        self.segments.iter_mut().for_each(|segment| segment.set_attention_slice(scores));
    }

    /// What the network predicts for noisy latents `[batch, in_channels, height, width]` at those timesteps, one a
    /// picture: `[batch, out_channels, height, width]` in the latents' type.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when shapes do not fit the network or each other.
    pub fn forward(
        &self,
        latents: &Tensor,
        timesteps: &[f32],
        conditioning: &Conditioning,
        adapters: &Adapters,
    ) -> Result<Tensor> {
        let forward = || {
            let (mut state, given) = self.enter(latents, timesteps, conditioning, adapters)?;
            for segment in &self.segments {
                state = segment.run(state, &given, adapters)?;
            }
            self.leave(&state.hidden, adapters)?.to_dtype(latents.dtype())
        };
        forward().map_err(ModelError::tensor("predicting noise"))
    }

    /// Everything before the first segment.
    fn enter(
        &self,
        latents: &Tensor,
        timesteps: &[f32],
        conditioning: &Conditioning,
        adapters: &Adapters,
    ) -> candle_core::Result<(State, Given)> {
        let (batch, channels, height, width) = latents.dims4()?;
        let step = 1 << (self.config.block_out_channels.len() - 1);
        if height % step != 0 || width % step != 0 || channels != self.config.in_channels {
            candle_core::bail!(
                "latents of {channels}x{height}x{width}, expected {} channels and sides that {step} divides",
                self.config.in_channels
            );
        }
        if timesteps.len() != batch || conditioning.hidden.dim(0)? != batch {
            candle_core::bail!(
                "{batch} latents, {} timesteps and {} conditionings",
                timesteps.len(),
                conditioning.hidden.dim(0)?
            );
        }
        let (dtype, device) = &self.weights;
        let time = self.embedding.forward(timesteps, conditioning, *dtype, device, adapters)?;
        let mut x = latents.to_dtype(*dtype)?;
        if self.config.center_input_sample {
            x = ((x * 2.0)? - 1.0)?;
        }
        let hidden = self.conv_in.forward(&channels_last(&x)?, adapters)?;
        let given = Given { time, text: conditioning.hidden.to_dtype(*dtype)? };
        Ok((State { skips: vec![hidden.clone()], hidden }, given))
    }

    /// Everything after the last segment.
    fn leave(&self, hidden: &Tensor, adapters: &Adapters) -> candle_core::Result<Tensor> {
        channels_first(&self.conv_out.run(hidden, Before::GroupSilu(&self.norm_out), None, adapters)?)
    }
}

/// What goes from segment to segment.
struct State {
    /// `[batch, height, width, channels]`.
    hidden: Tensor,
    /// What the way down left for the way up, the latest last.
    skips: Vec<Tensor>,
}

impl State {
    fn detached(&self) -> State {
        State { hidden: self.hidden.detach(), skips: self.skips.iter().map(Tensor::detach).collect() }
    }
}

/// What every segment sees.
struct Given {
    /// SiLU of the time embedding, `[batch, channels]`.
    time: Tensor,
    /// The text's hidden states, `[batch, tokens, channels]`.
    text: Tensor,
}
