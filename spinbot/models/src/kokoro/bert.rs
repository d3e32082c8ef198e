//! PL-BERT: an ALBERT (Lan et al. 2020) over the phonemes, one layer of 768 applied twelve times.

use super::blocks::{LayerNorm, Linear};
use super::exp::gelu;
use crate::error::{ModelError, Result};
use crate::tensor_file::TensorFile;
use candle_core::{D, IndexOp, Tensor};

const WIDTH: usize = 768;
const EMBEDDING: usize = 128;
const HEADS: usize = 12;
const LAYERS: usize = 12;
const INNER: usize = 2048;
/// Added to a variance before its root is taken.
const EPSILON: f32 = 1e-12;

/// The network.
pub(super) struct Bert {
    words: Tensor,
    /// The embeddings of the positions and of the one token type, added up.
    positions: Tensor,
    embedding_norm: LayerNorm,
    widen: Linear,
    /// Queries, keys and values, one after the other.
    attention_in: Linear,
    attention_out: Linear,
    attention_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    norm: LayerNorm,
}

impl Bert {
    pub(super) fn load(weights: &TensorFile<'_>, device: &candle_core::Device) -> Result<Self> {
        let embedding = |what: &str, rows: usize| {
            weights.tensor(&format!("bert.embeddings.{what}_embeddings.weight"), &[rows, EMBEDDING], device)
        };
        let layer = |part: &str| format!("bert.encoder.albert_layer_groups.0.albert_layers.0.{part}");
        let linear = |part: &str, sizes| Linear::load(weights, &layer(part), sizes, device);
        let norm = |name: &str, width| {
            LayerNorm::load(
                weights,
                [&format!("{name}.weight"), &format!("{name}.bias")],
                width,
                EPSILON,
                device,
            )
        };
        let kinds = embedding("token_type", 2)?;
        let positions = embedding("position", super::MAX_TOKENS)?;
        let attention = ["query", "key", "value"].map(|part| format!("attention.{part}"));
        let attention = [0, 1, 2].map(|n: usize| linear(&attention[n], [WIDTH, WIDTH]));
        let [query, key, value] = attention;
        Ok(Bert {
            words: embedding("word", super::vocab::SIZE as usize)?,
            positions: kinds
                .i(..1)
                .and_then(|kind| positions.broadcast_add(&kind))
                .map_err(ModelError::tensor("loading weights"))?,
            embedding_norm: norm("bert.embeddings.LayerNorm", EMBEDDING)?,
            widen: Linear::load(
                weights,
                "bert.encoder.embedding_hidden_mapping_in",
                [EMBEDDING, WIDTH],
                device,
            )?,
            attention_in: Linear::stacked(&[query?, key?, value?])?,
            attention_out: linear("attention.dense", [WIDTH, WIDTH])?,
            attention_norm: norm(&layer("attention.LayerNorm"), WIDTH)?,
            inner: linear("ffn", [WIDTH, INNER])?,
            outer: linear("ffn_output", [INNER, WIDTH])?,
            norm: norm(&layer("full_layer_layer_norm"), WIDTH)?,
        })
    }

    /// Token ids \[L\] -> [L, 768].
    pub(super) fn forward(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        let x = (self.words.index_select(ids, 0)? + self.positions.i(..ids.dim(0)?)?)?;
        let mut x = self.widen.forward(&self.embedding_norm.forward(&x)?)?;
        for _ in 0..LAYERS {
            x = self.attention_norm.forward(&(&x + self.attention(&x)?)?)?;
            let inner = gelu(&self.inner.forward(&x)?)?;
            x = self.norm.forward(&(&x + self.outer.forward(&inner)?)?)?;
        }
        Ok(x)
    }

    fn attention(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let tokens = x.dim(0)?;
        let all = self.attention_in.forward(x)?.reshape((tokens, 3, HEADS, WIDTH / HEADS))?;
        let all = all.permute((1, 2, 0, 3))?.contiguous()?;
        let scale = ((WIDTH / HEADS) as f64).sqrt().recip();
        let scores = (all.i(0)? * scale)?.matmul(&all.i(1)?.t()?)?;
        let mixed = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&all.i(2)?)?;
        self.attention_out.forward(&mixed.transpose(0, 1)?.reshape((tokens, WIDTH))?)
    }
}
