//! The prosody predictor: how long each phoneme lasts, and F0 and energy over that time, as the style has them.

use super::blocks::{AdaInResidual, Conv, EPSILON, LayerNorm, Linear};
use super::lstm::BiLstm;
use crate::error::Result;
use crate::tensor_file::TensorFile;
use candle_core::{D, Tensor};

const WIDTH: usize = 512;
const STYLE: usize = 128;
/// A duration is the sum of that many probabilities, so no token lasts longer at speed 1: 1.25 s.
const LONGEST: usize = 50;

/// The network.
pub(super) struct Predictor {
    /// From BERT's width.
    narrow: Linear,
    /// Three times: an LSTM over text and style, then a normalisation that follows the style.
    encoder: [(BiLstm, Linear); 3],
    duration_lstm: BiLstm,
    duration: Linear,
    shared: BiLstm,
    f0: Tower,
    energy: Tower,
}

/// From the shared LSTM's states to one number every 12.5 ms.
struct Tower {
    blocks: [AdaInResidual; 3],
    last: Conv,
}

impl Predictor {
    pub(super) fn load(weights: &TensorFile<'_>, device: &candle_core::Device) -> Result<Self> {
        let at = |part: &str| format!("predictor.{part}");
        let lstm = |part: &str| BiLstm::load(weights, &at(part), WIDTH + STYLE, device);
        let encoder = |n: usize| -> Result<(BiLstm, Linear)> {
            let fc = at(&format!("text_encoder.lstms.{}.fc", 2 * n + 1));
            Ok((
                lstm(&format!("text_encoder.lstms.{}", 2 * n))?,
                Linear::load(weights, &fc, [STYLE, 2 * WIDTH], device)?,
            ))
        };
        Ok(Predictor {
            narrow: Linear::load(weights, "bert_encoder", [768, WIDTH], device)?,
            encoder: [encoder(0)?, encoder(1)?, encoder(2)?],
            duration_lstm: lstm("lstm")?,
            duration: Linear::load(weights, &at("duration_proj.linear_layer"), [WIDTH, LONGEST], device)?,
            shared: lstm("shared")?,
            f0: Tower::load(weights, "F0", device)?,
            energy: Tower::load(weights, "N", device)?,
        })
    }

    /// BERT's [L, 768] -> [L, 512].
    pub(super) fn narrowed(&self, bert: &Tensor) -> candle_core::Result<Tensor> {
        self.narrow.forward(bert)
    }

    /// BERT's [L, 768] and a style [1, 128] -> [L, 640], whose last 128 are the style.
    pub(super) fn encode(&self, bert: &Tensor, style: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = self.narrowed(bert)?;
        let tokens = x.dim(0)?;
        let everywhere = style.broadcast_as((tokens, STYLE))?.contiguous()?;
        let plain = LayerNorm::plain(WIDTH, EPSILON as f32, style.device())?;
        for (lstm, fc) in &self.encoder {
            x = lstm.forward(&Tensor::cat(&[&x, &everywhere], 1)?)?;
            let spread_and_mean = fc.forward(style)?.chunk(2, D::Minus1)?;
            x = plain.forward(&x)?.broadcast_mul(&(&spread_and_mean[0] + 1.0)?)?;
            x = x.broadcast_add(&spread_and_mean[1])?;
        }
        Tensor::cat(&[x, everywhere], 1)
    }

    /// Frames of 25 ms each of the L encoded tokens takes: rounded half to even, at least 1.
    pub(super) fn durations(&self, encoded: &Tensor, speed: f32) -> candle_core::Result<Vec<usize>> {
        let states = self.duration_lstm.forward(encoded)?;
        let sums = candle_nn::ops::sigmoid(&self.duration.forward(&states)?)?.sum(D::Minus1)?;
        let frames = sums.to_vec1::<f32>()?.into_iter();
        Ok(frames.map(|sum| (sum / speed).round_ties_even().max(1.0) as usize).collect())
    }

    /// F0 in Hz and log energy, 2T values each, of encoded tokens that are repeated for T frames, [T, 640].
    pub(super) fn f0_and_energy(
        &self,
        frames: &Tensor,
        style: &Tensor,
    ) -> candle_core::Result<(Vec<f32>, Vec<f32>)> {
        let states = self.shared.forward(frames)?;
        Ok((self.f0.forward(&states, style)?, self.energy.forward(&states, style)?))
    }
}

impl Tower {
    fn load(weights: &TensorFile<'_>, name: &str, device: &candle_core::Device) -> Result<Self> {
        let block = |n: usize, sizes, doubles| {
            AdaInResidual::load(weights, &format!("predictor.{name}.{n}"), sizes, doubles, device)
        };
        let half = WIDTH / 2;
        Ok(Tower {
            blocks: [
                block(0, [WIDTH, WIDTH], false)?,
                block(1, [WIDTH, half], true)?,
                block(2, [half, half], false)?,
            ],
            last: Conv::load(weights, &format!("predictor.{name}_proj"), [half, 1, 1], true, device)?,
        })
    }

    fn forward(&self, states: &Tensor, style: &Tensor) -> candle_core::Result<Vec<f32>> {
        let mut x = states.clone();
        for block in &self.blocks {
            x = block.forward(&x, style)?;
        }
        self.last.forward(&x)?.flatten_all()?.to_vec1()
    }
}
