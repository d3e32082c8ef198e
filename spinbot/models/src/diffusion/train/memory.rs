//! What training takes, told from shapes before anything is allocated for it.

use super::TrainConfig;
use crate::diffusion::pipeline::Pipeline;
use crate::diffusion::unet::UNetConfig;
use crate::diffusion::{Site, SiteKind};
use candle_core::DType;

/// Bytes that training takes, by what the UNet's passes keep: without the autoencoder, the driver's own (about half a
/// gigabyte), convolutions' workspace and previews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// The networks; on a CPU in full precision the UNet's are there for the way forward and the way back, those of 3 by
    /// 3 transformed ([`crate::ops`]).
    pub weights: u64,
    /// What is trained: f32 weights, gradients, two moments, and means.
    pub trained: u64,
    /// What is kept of a pass forward, and the largest segment on its way back.
    pub activations: u64,
}

/// Tensors of a residual block's width that stay until its backward: two norms, two activations, two convolutions, the
/// shortcut and the sum.
const RESNET: usize = 8;
/// Tensors of a transformer block's width: three norms, twice q, k, v, heads and out, the residuals, and the gate of the
/// feed-forward with its four widths three times.
const TRANSFORMER: usize = 30;

impl MemoryEstimate {
    /// In bytes.
    pub fn total(&self) -> u64 {
        self.weights + self.trained + self.activations
    }

    pub(super) fn of(
        pipeline: &Pipeline,
        config: &TrainConfig,
        parameters: usize,
        latents: (usize, usize),
    ) -> Self {
        let (dtype, unet) = (pipeline.unet().dtype(), pipeline.unet());
        let values = |site: &Site| (site.down_shape(1).iter().product::<usize>() * site.outputs) as u64;
        let layers = |sites: &[Site]| -> u64 { sites.iter().map(values).sum() };
        let packed = |site: &Site| match site.kind {
            SiteKind::Conv { kernel: 3, stride: 1, .. } => 2 * values(site) * 16 / 9,
            _ => 2 * values(site),
        };
        let fused = dtype == DType::F32 && unet.device().is_cpu();
        let text: u64 = (pipeline.encoders().iter())
            .map(|encoder| {
                let config = encoder.model.config();
                let table = (config.vocab_size + config.max_position_embeddings) * config.hidden_size;
                layers(encoder.model.sites()) + table as u64
            })
            .sum();
        let bytes = |dtype: DType| dtype.size_in_bytes() as u64;
        let of_unet = if fused { unet.sites().iter().map(packed).sum() } else { layers(unet.sites()) };
        let weights = (of_unet + text) * bytes(dtype);
        let copies = if config.ema.is_some() { 5 } else { 4 };
        MemoryEstimate {
            weights,
            trained: parameters as u64 * 4 * copies,
            activations: activations(unet.config(), latents, config, bytes(dtype)) * config.batch as u64,
        }
    }
}

/// Of one picture: with checkpointing what goes between segments and the largest of them, else all.
fn activations(unet: &UNetConfig, (h, w): (usize, usize), config: &TrainConfig, bytes: u64) -> u64 {
    let channels = &unet.block_out_channels;
    let (mut between, mut all, mut largest) = (0_u64, 0_u64, 0_u64);
    let mut segment = |level: usize, attends: bool| {
        let tokens = (h >> level) * (w >> level);
        let plane = (tokens * channels[level]) as u64 * bytes;
        let mut inside = plane * RESNET as u64;
        if attends {
            let blocks = unet.transformer_layers_per_block.at(level) as u64;
            // Scores and their softmax of self-attention; those with the text are small beside them.
            let scores = 2 * (unet.attention_head_dim.at(level) * tokens * tokens) as u64 * bytes;
            inside += blocks * (plane * TRANSFORMER as u64 + scores);
        }
        between += plane;
        all += inside;
        largest = largest.max(inside);
    };
    let last = channels.len() - 1;
    for (level, kind) in unet.down_block_types.iter().enumerate() {
        for _ in 0..unet.layers_per_block.at(level) {
            segment(level, kind == "CrossAttnDownBlock2D");
        }
    }
    segment(last, true);
    segment(last, false);
    for (place, kind) in unet.up_block_types.iter().enumerate() {
        for _ in 0..=unet.layers_per_block.at(last - place) {
            segment(last - place, kind == "CrossAttnUpBlock2D");
        }
    }
    // Forward keeps each segment's input, and a skip is one of them; backward holds a segment and its gradients.
    if config.gradient_checkpointing { between + 2 * largest } else { all + 2 * largest }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Stable Diffusion 1.5 at 512 pixels and XL at 1024, in f16 and by segments, with as many weights as they have.
    #[test]
    fn stable_diffusion_fits_the_cards_that_it_should() {
        let xl = br#"{"block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048,
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            "transformer_layers_per_block": [1, 2, 10], "attention_head_dim": [5, 10, 20],
            "use_linear_projection": true, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816}"#;
        let sd15 = br#"{"cross_attention_dim": 768}"#;
        for (json, edge, parameters, card) in
            [(&sd15[..], 64, 860e6 + 123e6, 8e9), (&xl[..], 128, 2567e6 + 123e6 + 695e6, 16e9)]
        {
            let unet = UNetConfig::from_json(json).unwrap();
            let bytes = |by_segments: bool| {
                let config = TrainConfig { gradient_checkpointing: by_segments, ..TrainConfig::new(1, "") };
                activations(&unet, (edge, edge), &config, 2) as f64
            };
            assert!(bytes(true) + 2.0 * parameters < card, "{:.1} GB", bytes(true) / 1e9);
            assert!(bytes(true) < 0.5 * bytes(false));
        }
    }
}
