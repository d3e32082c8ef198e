//! What a mouth does while somebody speaks, heard: visemes and how far the jaw is down.
//!
//! One small convolutional network, trained for this project on speech that Kokoro said with known times
//! (`recipes/visemes`). Phonemes that look alike are one to it, and so are all languages and speakers, though it learned
//! from English.

mod alphabet;
mod decode;
mod features;
mod network;

pub use alphabet::{Mouth, Viseme, mouths, timeline};
pub use decode::Segment;
pub use features::{Ear, MELS, RATE, STACK, scaled};
pub use network::Network;

use crate::device::Device;
use crate::embedded;
use crate::error::{ModelError, Result};
use crate::listen::check_samples;
use crate::tensor_file::TensorFile;
use candle_core::{DType, Tensor};
use candle_nn::ops::softmax;

const ID: &str = "visemes";
/// Samples a second of what is listened to.
pub const SAMPLE_RATE: u32 = crate::listen::SAMPLE_RATE;
/// Steps of the network that are taken at once, and how many before and after them it hears: memory stays small however
/// long the recording is, and the result is the same.
const PIECE: usize = 3000;
const AROUND: usize = 32;

fn refuse(reason: String) -> ModelError {
    ModelError::Weights { model: ID.into(), reason }
}

/// A hundredth of a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// How likely each of [`Viseme::ALL`] is; together 1.
    pub shares: [f32; Viseme::ALL.len()],
    /// How far the jaw is down, 0 shut to 1 as in "father".
    pub jaw: f32,
}

impl Frame {
    /// The likeliest.
    pub fn viseme(&self) -> Viseme {
        let best = self.shares.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(Viseme::Silence, |(at, _)| Viseme::ALL[at])
    }
}

/// What was heard of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// [`RATE`] a second; frame `i` is centred on `i / RATE` seconds.
    pub frames: Vec<Frame>,
}

impl Heard {
    /// The most likely sequence of visemes, silence included, without gaps.
    pub fn segments(&self) -> Vec<Segment> {
        decode::segments(&self.frames)
    }
}

/// Hears visemes. Loaded once, used for many.
pub struct VisemeListener {
    device: candle_core::Device,
    ear: Ear,
    network: Network,
}

impl VisemeListener {
    /// Loads the built-in weights onto the device.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device is out of memory.
    pub fn load(device: &Device) -> Result<Self> {
        VisemeListener::from_bytes(embedded::bytes(ID).unwrap_or_default(), device)
    }

    /// The same of a weight file that is not built in, as training writes it.
    ///
    /// # Errors
    /// [`ModelError::Weights`]; [`ModelError::Tensor`].
    pub fn from_bytes(file: &[u8], device: &Device) -> Result<Self> {
        let file = TensorFile::from_bytes(ID, file)?;
        let device = device.0.clone();
        let network = Network::new(|name| {
            let stored = file.stored(name)?.to_dtype(DType::F32);
            stored.and_then(|tensor| tensor.to_device(&device)).map_err(ModelError::tensor("loading weights"))
        })?;
        Ok(VisemeListener { ear: Ear::new(&device)?, network, device })
    }

    /// What is seen while these 16 kHz samples are heard.
    ///
    /// # Errors
    /// [`ModelError::Sound`] for none, hours of them, or what is no number; [`ModelError::Tensor`].
    pub fn listen(&self, samples: &[f32]) -> Result<Heard> {
        check_samples(samples)?;
        let features = scaled(&self.ear.powers(samples, &self.device)?);
        let steps = features.len() / (MELS * STACK);
        let features = Tensor::from_vec(features, (1, steps, MELS * STACK), &self.device);
        let hear = || -> candle_core::Result<Heard> {
            let features = features?;
            let mut frames = Vec::with_capacity(steps * STACK);
            for from in (0..steps).step_by(PIECE) {
                let (first, end) = (from.saturating_sub(AROUND), (from + PIECE).min(steps));
                let piece = features.narrow(1, first, (end + AROUND).min(steps) - first)?;
                let answers = self.network.forward(&piece, None)?.squeeze(0)?;
                let answers = answers.narrow(0, (from - first) * STACK, (end - from) * STACK)?;
                let shares = softmax(&answers.narrow(1, 0, Viseme::ALL.len())?, 1)?.to_vec2::<f32>()?;
                let jaws = answers.narrow(1, Viseme::ALL.len(), 1)?.flatten_all()?.to_vec1::<f32>()?;
                for (row, jaw) in shares.iter().zip(jaws) {
                    let mut shares = [0.0; Viseme::ALL.len()];
                    shares.iter_mut().zip(row).for_each(|(to, from)| *to = *from);
                    frames.push(Frame { shares, jaw: jaw.clamp(0.0, 1.0) });
                }
            }
            Ok(Heard { frames })
        };
        hear().map_err(ModelError::tensor("hearing visemes"))
    }
}
