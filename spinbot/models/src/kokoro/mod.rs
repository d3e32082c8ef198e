//! Kokoro-82M: speech from phonemes.

mod adapters;
mod decoder;
mod generator;
mod loader;
mod source;
mod stft;

pub use adapters::Adapters;
pub use decoder::{Decoder, FRAME_SAMPLES, Features, Noise};
