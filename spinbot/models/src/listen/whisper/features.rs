//! What the encoder takes in: the logarithm of a mel spectrogram, squeezed into the loudest 80 dB.

use super::MELS;
use crate::error::Result;
use crate::listen::spectrogram::{MelSpectrogram, Shape, hann};
use candle_core::{Device, Tensor};

const WINDOW: usize = 400;
/// Samples from one frame to the next.
pub(super) const HOP: usize = 160;

pub(super) struct LogMel {
    mel: MelSpectrogram,
    device: Device,
}

impl LogMel {
    pub(super) fn new(device: &Device) -> Result<Self> {
        let shape = Shape { fft: WINDOW, window: &hann(WINDOW), hop: HOP, mels: MELS };
        Ok(LogMel { mel: MelSpectrogram::new(&shape, device)?, device: device.clone() })
    }

    /// [frames, MELS] row major of samples: one frame per [`HOP`] samples begun, the last one of silence alone.
    pub(super) fn of(&self, samples: &[f32]) -> candle_core::Result<Vec<f32>> {
        let half = WINDOW / 2;
        // One frame of silence follows, then both ends are reflected.
        let length = samples.len() + HOP;
        let at = |n: usize| samples.get(n).copied().unwrap_or(0.0);
        let left = (1..=half).rev().map(at);
        let right = (length.saturating_sub(1 + half)..length - 1).rev().map(at);
        let padded: Vec<f32> = left.chain((0..length).map(at)).chain(right).collect();
        let count = padded.len();
        let mel = self.mel.forward(&Tensor::from_vec(padded, count, &self.device)?)?;
        let log = (mel.narrow(0, 0, length / HOP)?.maximum(1e-10)?.log()? * (1.0 / 10.0_f64.ln()))?;
        let loudest = f64::from(log.max_all()?.to_scalar::<f32>()?);
        ((log.maximum(loudest - 8.0)? + 4.0)? / 4.0)?.flatten_all()?.to_vec1()
    }
}
