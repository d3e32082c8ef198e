//! The text encoder: what the decoder is told of the phonemes, without any style.

use super::blocks::{Conv, EPSILON, LayerNorm, leaky_relu};
use super::lstm::BiLstm;
use crate::error::Result;
use crate::tensor_file::TensorFile;
use candle_core::Tensor;

const WIDTH: usize = 512;

/// The network: an embedding, three convolutions and an LSTM.
pub(super) struct TextEncoder {
    embedding: Tensor,
    layers: [(Conv, LayerNorm); 3],
    lstm: BiLstm,
}

impl TextEncoder {
    pub(super) fn load(weights: &TensorFile<'_>, device: &candle_core::Device) -> Result<Self> {
        let layer = |n: usize| -> Result<(Conv, LayerNorm)> {
            let at = |part: &str| format!("text_encoder.cnn.{n}.{part}");
            Ok((
                Conv::load(weights, &at("0"), [WIDTH, WIDTH, 5], true, device)?,
                LayerNorm::load(weights, [&at("1.gamma"), &at("1.beta")], WIDTH, EPSILON as f32, device)?,
            ))
        };
        let symbols = super::vocab::SIZE as usize;
        Ok(TextEncoder {
            embedding: weights.tensor("text_encoder.embedding.weight", &[symbols, WIDTH], device)?,
            layers: [layer(0)?, layer(1)?, layer(2)?],
            lstm: BiLstm::load(weights, "text_encoder.lstm", WIDTH, device)?,
        })
    }

    /// Token ids \[L\] -> [L, 512].
    pub(super) fn forward(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = self.embedding.index_select(ids, 0)?;
        for (conv, norm) in &self.layers {
            x = leaky_relu(&norm.forward(&conv.forward(&x)?)?)?;
        }
        self.lstm.forward(&x)
    }
}
