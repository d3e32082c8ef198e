//! What is known of a picture besides its latents: the time, the text, SDXL's sizes and LCM's guidance.

use super::config::UNetConfig;
use crate::diffusion::adapters::Adapters;
use crate::diffusion::layers::{Linear, Weights};
use candle_core::{D, DType, Device, Result, Tensor};

/// What a prediction is conditioned on.
#[derive(Debug, Clone)]
pub struct Conditioning {
    /// The text's hidden states, `[batch, tokens, cross_attention_dim]`.
    pub hidden: Tensor,
    /// SDXL's added conditioning, for networks that have one.
    pub added: Option<AddedCond>,
    /// [`guidance_scale_embedding`] for networks distilled to be guided by it (LCM), `[batch, time_cond_proj_dim]`.
    pub timestep_cond: Option<Tensor>,
}

impl Conditioning {
    /// On text alone.
    pub fn text(hidden: Tensor) -> Self {
        Conditioning { hidden, added: None, timestep_cond: None }
    }
}

/// SDXL's added conditioning.
#[derive(Debug, Clone)]
pub struct AddedCond {
    /// The pooled text, `[batch, channels]`.
    pub text_embeds: Tensor,
    /// Original size, crop and target size in pixels, `[batch, 6]`.
    pub time_ids: Tensor,
}

/// The guidance scales as LCM's networks read them, `[scales, width]` (diffusers' `get_guidance_scale_embedding`).
///
/// # Errors
/// When the device refuses it.
pub fn guidance_scale_embedding(scales: &[f32], width: usize, device: &Device) -> Result<Tensor> {
    let scales: Vec<f32> = scales.iter().map(|scale| scale * 1000.0).collect();
    Tensor::from_vec(sinusoids(&scales, width, 1.0, false), (scales.len(), width), device)
}

/// Sines, then cosines, or the other way if `flip`, of each value at `width / 2` frequencies from 1 down to about
/// 1/10000 (Vaswani et al. 2017); rows of `width` values.
fn sinusoids(values: &[f32], width: usize, shift: f32, flip: bool) -> Vec<f32> {
    let half = width / 2;
    let frequency = |i: usize| (-(10_000_f32.ln()) * i as f32 / (half as f32 - shift)).exp();
    let mut rows = vec![0.0; values.len() * width];
    for (row, value) in rows.chunks_exact_mut(width.max(1)).zip(values) {
        for i in 0..half {
            let (sine, cosine) = (value * frequency(i)).sin_cos();
            (row[i], row[half + i]) = if flip { (cosine, sine) } else { (sine, cosine) };
        }
    }
    rows
}

/// Two linear layers with SiLU between.
#[derive(Debug, Clone)]
struct TimestepEmbedding {
    linear_1: Linear,
    linear_2: Linear,
}

impl TimestepEmbedding {
    fn load(weights: &Weights, inputs: usize, width: usize) -> Result<Self> {
        let linear_1 = Linear::load(&weights.pp("linear_1"), inputs, width, true)?;
        Ok(TimestepEmbedding {
            linear_1,
            linear_2: Linear::load(&weights.pp("linear_2"), width, width, true)?,
        })
    }

    fn forward(&self, x: &Tensor, adapters: &Adapters) -> Result<Tensor> {
        self.linear_2.forward(&self.linear_1.forward(x, adapters)?.silu()?, adapters)
    }
}

/// From [`Conditioning`] and time to what every residual block is given.
#[derive(Debug, Clone)]
pub(super) struct Embedding {
    config: UNetConfig,
    time: TimestepEmbedding,
    guidance: Option<Linear>,
    added: Option<TimestepEmbedding>,
}

impl Embedding {
    pub(super) fn load(config: &UNetConfig, weights: &Weights) -> Result<Self> {
        let first = config.block_out_channels[0];
        let place = weights.pp("time_embedding");
        let guidance =
            config.time_cond_proj_dim.map(|width| Linear::load(&place.pp("cond_proj"), width, first, false));
        let added = config.addition_embed_type.as_ref().and(config.projection_class_embeddings_input_dim);
        let added =
            added.map(|width| TimestepEmbedding::load(&weights.pp("add_embedding"), width, 4 * first));
        Ok(Embedding {
            config: config.clone(),
            time: TimestepEmbedding::load(&place, first, 4 * first)?,
            guidance: guidance.transpose()?,
            added: added.transpose()?,
        })
    }

    /// SiLU of the embedding, `[batch, 4·block_out_channels[0]]`.
    pub(super) fn forward(
        &self,
        timesteps: &[f32],
        conditioning: &Conditioning,
        dtype: DType,
        device: &Device,
        adapters: &Adapters,
    ) -> Result<Tensor> {
        let UNetConfig { freq_shift, flip_sin_to_cos, .. } = self.config;
        let embedded = |values: &[f32], width: usize| {
            let rows = sinusoids(values, width, freq_shift, flip_sin_to_cos);
            Tensor::from_vec(rows, (values.len(), width), device)?.to_dtype(dtype)
        };
        let mut time = embedded(timesteps, self.config.block_out_channels[0])?;
        match (&self.guidance, &conditioning.timestep_cond) {
            (Some(layer), Some(guidance)) => {
                time = (time + layer.forward(&guidance.to_dtype(dtype)?, adapters)?)?
            }
            (None, None) | (Some(_), None) => {}
            (None, Some(_)) => candle_core::bail!("this network takes no embedded guidance scale"),
        }
        let mut time = self.time.forward(&time, adapters)?;
        match (&self.added, &conditioning.added, self.config.addition_time_embed_dim) {
            (Some(layer), Some(AddedCond { text_embeds, time_ids }), Some(width)) => {
                let ids = time_ids.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                let ids = embedded(&ids, width)?.reshape((text_embeds.dim(0)?, ()))?;
                let added = Tensor::cat(&[&text_embeds.to_dtype(dtype)?, &ids], D::Minus1)?;
                time = (time + layer.forward(&added, adapters)?)?;
            }
            (None, None, _) => {}
            (Some(_), ..) => candle_core::bail!("this network needs pooled text and sizes as well"),
            (None, Some(_), _) => candle_core::bail!("this network takes no pooled text and sizes"),
        }
        time.silu()
    }
}
