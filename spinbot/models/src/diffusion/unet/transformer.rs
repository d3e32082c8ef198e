//! Attention within the picture and to the text (diffusers' `Transformer2DModel`).

use super::config::UNetConfig;
use crate::diffusion::adapters::Adapters;
use crate::diffusion::layers::{Attend, Before, GroupNorm, LayerNorm, Linear, Weights};
use candle_core::{Result, Tensor};

/// What queries, keys and values are made by.
#[derive(Debug, Clone)]
enum Projections {
    /// Of the same tokens.
    Within(Linear),
    /// Queries of the picture, keys and values of the text.
    To(Linear, Linear),
}

/// Attention and the layer after it.
#[derive(Debug, Clone)]
struct Attention {
    projections: Projections,
    to_out: Linear,
    attend: Attend,
}

impl Attention {
    /// To tokens of `context` channels, or within the same tokens.
    fn load(weights: &Weights, width: usize, context: Option<usize>, attend: Attend) -> Result<Self> {
        let projections = match context {
            None => {
                Projections::Within(Linear::load_joined(weights, &["to_q", "to_k", "to_v"], width, width)?)
            }
            Some(context) => Projections::To(
                Linear::load(&weights.pp("to_q"), width, width, false)?,
                Linear::load_joined(weights, &["to_k", "to_v"], context, width)?,
            ),
        };
        Ok(Attention {
            projections,
            to_out: Linear::load(&weights.pp("to_out.0"), width, width, true)?,
            attend,
        })
    }

    /// Adds to x what its normalised tokens find in the text, or in themselves.
    fn forward(&self, x: &Tensor, norm: &LayerNorm, text: &Tensor, adapters: &Adapters) -> Result<Tensor> {
        let before = Before::Layer(norm);
        let found = match &self.projections {
            Projections::Within(qkv) => self.attend.packed(&qkv.run(x, before, None, adapters)?)?,
            Projections::To(q, kv) => {
                self.attend.to_packed(&q.run(x, before, None, adapters)?, &kv.forward(text, adapters)?)?
            }
        };
        self.to_out.run(&found, Before::Nothing, Some(x), adapters)
    }
}

/// Self-attention, cross-attention and feed-forward (diffusers' `BasicTransformerBlock`).
#[derive(Debug, Clone)]
struct TransformerBlock {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff_in: Linear,
    ff_out: Linear,
}

impl TransformerBlock {
    fn load(weights: &Weights, width: usize, context: usize, attend: Attend) -> Result<Self> {
        let norm = |name| LayerNorm::load(&weights.pp(name), width, 1e-5);
        Ok(TransformerBlock {
            norm1: norm("norm1")?,
            attn1: Attention::load(&weights.pp("attn1"), width, None, attend)?,
            norm2: norm("norm2")?,
            attn2: Attention::load(&weights.pp("attn2"), width, Some(context), attend)?,
            norm3: norm("norm3")?,
            ff_in: Linear::load(&weights.pp("ff.net.0.proj"), width, 8 * width, true)?,
            ff_out: Linear::load(&weights.pp("ff.net.2"), 4 * width, width, true)?,
        })
    }

    fn forward(&self, x: &Tensor, text: &Tensor, adapters: &Adapters) -> Result<Tensor> {
        let x = self.attn1.forward(x, &self.norm1, text, adapters)?;
        let x = self.attn2.forward(&x, &self.norm2, text, adapters)?;
        let inner = self.ff_in.run(&x, Before::Layer(&self.norm3), None, adapters)?;
        self.ff_out.run(&inner, Before::Geglu, Some(&x), adapters)
    }
}

/// A stack of transformer blocks over the pixels, beside a shortcut.
#[derive(Debug, Clone)]
pub(super) struct Transformer2D {
    norm: GroupNorm,
    proj_in: Linear,
    blocks: Vec<TransformerBlock>,
    proj_out: Linear,
}

impl Transformer2D {
    /// That of the level, counted from the outermost.
    pub(super) fn load(config: &UNetConfig, weights: &Weights, level: usize) -> Result<Self> {
        let width = config.block_out_channels[level];
        let heads = config.attention_head_dim.at(level);
        let attend = Attend { upcast: config.upcast_attention, ..Attend::new(heads, weights.op_set()) };
        let project = |name| match config.use_linear_projection {
            true => Linear::load(&weights.pp(name), width, width, true),
            false => Linear::load_conv1x1(&weights.pp(name), width, width),
        };
        let context = config.cross_attention_dim.at(level);
        let block = |i| {
            TransformerBlock::load(&weights.pp(format!("transformer_blocks.{i}")), width, context, attend)
        };
        Ok(Transformer2D {
            norm: GroupNorm::load(&weights.pp("norm"), width, config.norm_num_groups, 1e-6)?,
            proj_in: project("proj_in")?,
            blocks: (0..config.transformer_layers_per_block.at(level)).map(block).collect::<Result<_>>()?,
            proj_out: project("proj_out")?,
        })
    }

    /// `[batch, height, width, channels]` to the same.
    pub(super) fn forward(&self, x: &Tensor, text: &Tensor, adapters: &Adapters) -> Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        let mut tokens =
            self.proj_in.run(x, Before::Group(&self.norm), None, adapters)?.reshape((b, h * w, c))?;
        for block in &self.blocks {
            tokens = block.forward(&tokens, text, adapters)?;
        }
        self.proj_out.run(&tokens.reshape((b, h, w, c))?, Before::Nothing, Some(x), adapters)
    }

    pub(super) fn set_attention_slice(&mut self, scores: usize) {
        for block in &mut self.blocks {
            block.attn1.attend.slice = scores;
            block.attn2.attend.slice = scores;
        }
    }
}
