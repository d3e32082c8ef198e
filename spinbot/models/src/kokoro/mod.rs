//! Kokoro-82M v1.0, the network that speaks: phonemes and a voice's style in, 24 kHz speech out.
//!
//! Architecture: StyleTTS 2 (Li et al. 2023) without its diffusion part, with an iSTFTNet decoder (Kaneko et al.
//! 2022); names of tensors and modules are those of PyPI `kokoro` 0.9.4 (Apache-2.0). Tensors are time-major
//! here, `[time, channels]`, where the reference has `[channels, time]`.
//!
//! | file | what |
//! |---|---|
//! | [`vocab`] | phonemes to token ids |
//! | [`voice`] | voice packs, their styles, the stock ones |
//! | `pitch` | how high a voice speaks, laid over another's melody |
//! | `voice_file` | a whole voice as one file, and blends of voices |
//! | `bert` | ALBERT over the phonemes |
//! | `predictor` | durations, F0 and energy |
//! | `text_encoder` | what the decoder is told of the phonemes |
//! | `lstm`, `blocks` | layers these share |
//! | `decoder`, `generator` | from all that to sound, with a gradient for cloning |
//! | `source`, `stft` | the voice's excitation, spectra of 20 samples |
//! | `adapters`, `loader` | what cloning changes of the decoder, and where it takes hold |
//!
//! Text, sentences and pauses are not known here.

mod adapters;
mod bert;
mod blocks;
mod decoder;
mod generator;
mod loader;
mod lstm;
mod pitch;
mod predictor;
mod source;
mod stft;
mod text_encoder;
pub mod vocab;
pub mod voice;
mod voice_file;

pub use adapters::Adapters;
pub use decoder::{Decoder, FRAME_SAMPLES, Features, Noise};
pub use pitch::Pitch;
pub use voice_file::Voice;

use crate::device::Device;
use crate::error::{ModelError, Result};
use crate::store::Store;
use crate::tensor_file::TensorFile;
use bert::Bert;
use candle_core::Tensor;
use predictor::Predictor;
use std::ops::RangeInclusive;
use text_encoder::TextEncoder;

/// Its id in the manifest.
pub const MODEL: &str = "kokoro";
/// The most token ids it takes at once, the two pads included.
pub const MAX_TOKENS: usize = 512;
/// The speeds it takes; 1 is the voice's own.
pub const SPEEDS: RangeInclusive<f32> = 0.25..=4.0;
/// Samples per second of what it speaks.
pub const SAMPLE_RATE: u32 = 24_000;
/// Samples in one frame of a duration: 25 ms.
pub const FRAME: usize = 600;

/// The network, loaded onto a device. Immutable: one instance may serve several threads.
pub struct Kokoro {
    device: candle_core::Device,
    bert: Bert,
    predictor: Predictor,
    text_encoder: TextEncoder,
}

/// How some phonemes are said: everything but the sound of the voice.
///
/// `f0` and `energy` may be changed before they are decoded, as long as their lengths stay.
#[derive(Debug, Clone)]
pub struct Prosody {
    /// Frames of 25 ms each token takes, the two pads included; at least 1 each. Their sum is T.
    pub durations: Vec<usize>,
    /// What the decoder is told of the phonemes in each frame, \[T, 512\].
    pub asr: Tensor,
    /// Fundamental frequency in Hz every 12.5 ms, 2T values; 10 or less where there is no voice.
    pub f0: Vec<f32>,
    /// Logarithm of the loudness every 12.5 ms, 2T values: about ln ‖mel + 1e-5‖ + 0.4.
    pub energy: Vec<f32>,
}

impl Prosody {
    /// T, the number of 25 ms frames.
    pub fn frames(&self) -> usize {
        self.durations.iter().sum()
    }
}

impl Kokoro {
    /// Loads the network from a store's weights.
    ///
    /// # Errors
    /// [`ModelError::NotFetched`]; [`ModelError::Hash`] when the file was changed; [`ModelError::Weights`];
    /// [`ModelError::Io`].
    pub fn load(store: &Store, device: &Device) -> Result<Kokoro> {
        let weights = TensorFile::open(MODEL, &store.checked_file(MODEL)?)?;
        let device = device.0.clone();
        Ok(Kokoro {
            bert: Bert::load(&weights, &device)?,
            predictor: Predictor::load(&weights, &device)?,
            text_encoder: TextEncoder::load(&weights, &device)?,
            device,
        })
    }

    /// Durations, F0 and energy of some tokens (from [`vocab::encode`], pads included) in a style (from
    /// [`voice::VoicePack::style`]). The tokens take 1 / `speed` of the voice's own time, each at least a frame.
    ///
    /// # Errors
    /// [`ModelError::Phonemes`] when there are no tokens between the pads, more than [`MAX_TOKENS`], an unknown one,
    /// a style that is not finite, or a speed outside [`SPEEDS`]; [`ModelError::Tensor`].
    pub fn prosody(&self, tokens: &[u32], style: &[f32; 256], speed: f32) -> Result<Prosody> {
        let refuse = |reason: String| Err(ModelError::Phonemes { reason });
        if !(3..=MAX_TOKENS).contains(&tokens.len()) {
            return refuse(format!(
                "{} of them were given, 1 to {} can be",
                tokens.len().saturating_sub(2),
                MAX_TOKENS - 2
            ));
        }
        if let Some(id) = tokens.iter().find(|&&id| id >= vocab::SIZE) {
            return refuse(format!("{id} is no token"));
        }
        if !style.iter().all(|value| value.is_finite()) {
            return refuse("the voice's style is not made of numbers".into());
        }
        if !SPEEDS.contains(&speed) {
            return refuse(format!("the speed is {speed}, not {} to {}", SPEEDS.start(), SPEEDS.end()));
        }
        self.predict(tokens, style, speed).map_err(ModelError::tensor("predicting prosody"))
    }

    fn predict(&self, tokens: &[u32], style: &[f32; 256], speed: f32) -> candle_core::Result<Prosody> {
        let ids = Tensor::new(tokens, &self.device)?;
        // The second half of a style is its prosody, the first its sound.
        let style = Tensor::new(&style[128..], &self.device)?.unsqueeze(0)?;
        let encoded = self.bert.forward(&ids)?;
        let encoded = self.predictor.encode(&encoded, &style)?;
        let durations = self.predictor.durations(&encoded, speed)?;
        let frames =
            durations.iter().enumerate().flat_map(|(token, &n)| std::iter::repeat_n(token as u32, n));
        let frames = Tensor::from_iter(frames, &self.device)?;
        let (f0, energy) = self.predictor.f0_and_energy(&encoded.index_select(&frames, 0)?, &style)?;
        let asr = self.text_encoder.forward(&ids)?.index_select(&frames, 0)?;
        Ok(Prosody { durations, asr, f0, energy })
    }
}
