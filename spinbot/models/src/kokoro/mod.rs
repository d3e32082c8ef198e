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
//! | `lstm`, `blocks`, `exp` | layers these share |
//! | `decoder`, `generator` | from all that to sound, with a gradient for cloning |
//! | `source`, `stft` | the voice's excitation, spectra of 20 samples |
//! | `adapters`, `loader` | what cloning changes of the decoder, and where it takes hold |
//!
//! Text, sentences and pauses are not known here.

mod adapters;
mod bert;
mod blocks;
mod decoder;
mod exp;
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
pub use decoder::{Decoder, Features, Noise};
pub use pitch::Pitch;
pub use voice_file::{SpeakerPrints, Voice};

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
/// How much earlier than its durations say its sound comes, in seconds: the middles of 95 sibilants and stops in three
/// sentences of five voices lie 60 to 75 ms before those of their tokens (tests/reference/kokoro_speech.py).
pub const LEAD: f64 = 0.07;

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

#[cfg(test)]
#[path = "../../tests/common/mod.rs"]
mod common;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Held against `tests/reference/kokoro.py`; what the public interface gives is in `tests/kokoro.rs`.
    #[test]
    fn the_states_between_the_layers_equal_onnxruntimes() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference");
        let cases = std::fs::read(folder.join("kokoro.json")).unwrap();
        let cases: Vec<serde_json::Value> = serde_json::from_slice(&cases).unwrap();
        let reference = candle_core::Device::Cpu;
        let reference =
            candle_core::safetensors::load(folder.join("kokoro.safetensors"), &reference).unwrap();
        let store = Store::open(common::cache_dir()).unwrap();
        let network = Kokoro::load(&store, &Device::cpu()).expect(common::FETCH);
        let voices = voice::StockVoices::open(&store).expect(common::FETCH);
        let mut held = 0;
        for case in cases.iter().filter(|case| case["states"].is_string()) {
            let tokens = vocab::encode(case["phonemes"].as_str().unwrap());
            let pack = voices.pack(case["voice"].as_str().unwrap()).unwrap();
            let style = Tensor::new(&pack.style(tokens.places.len())[128..], &network.device).unwrap();
            let ids = Tensor::new(tokens.ids, &network.device).unwrap();
            let bert = network.bert.forward(&ids).unwrap();
            let narrowed = network.predictor.narrowed(&bert).unwrap();
            let encoded = network.predictor.encode(&bert, &style.unsqueeze(0).unwrap()).unwrap();
            let durations = case["durations"].as_array().unwrap().iter().enumerate();
            let frames = durations
                .flat_map(|(n, frames)| std::iter::repeat_n(n as u32, frames.as_u64().unwrap() as usize));
            let frames = Tensor::from_iter(frames, &network.device).unwrap();
            let repeated = encoded.index_select(&frames, 0).unwrap();
            for (name, got) in [("bert", bert), ("d_en", narrowed), ("en", repeated)] {
                let got: Vec<f32> = got.flatten_all().unwrap().to_vec1().unwrap();
                let expected = &reference[&format!("{}{name}", case["states"].as_str().unwrap())];
                let expected: Vec<f32> = expected.to_vec1().unwrap();
                assert_eq!(got.len().div_ceil(53), expected.len(), "{name}");
                let squared = |sum: f32, value: f32| sum + value * value;
                let off = got.iter().step_by(53).zip(&expected).map(|(a, b)| a - b).fold(0.0, squared);
                let apart = (off / expected.iter().copied().fold(0.0, squared)).sqrt();
                assert!(apart < 1e-5, "{name} is {apart:e} apart");
                held += 1;
            }
        }
        assert_eq!(held, 6);
    }
}
