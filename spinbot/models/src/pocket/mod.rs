//! pocket-tts (Kyutai, 2026): a small language model over continuous audio latents that speaks in the voice of a
//! short recording. The quality tier, for people who bring its weights.
//!
//! A text becomes embeddings from a lookup table; a causal transformer reads the voice, then the text, and gives one
//! hidden vector for every 80 ms; a flow head (Lagrangian self distillation, arXiv 2505.18825, or one of its one-step
//! kin) turns noise into the next latent under that vector; the decoder half of Mimi turns latents into 24 kHz audio.
//! A recording becomes a voice through the encoder half of Mimi and one projection (arXiv 2509.06926).
//!
//! The weights come in two releases. One clones voices and asks for its terms to be accepted; in the open one the
//! encoder's tensors are all zero, so that it loads, speaks with its preset voices, and would turn every recording
//! into the same silent prompt. [`Pocket::can_clone`] says which one was loaded, and [`Pocket::voice_from`] refuses with
//! the reason.
//!
//! There is no timing of words: the model says nothing of where in its audio a word lies. Lip sync of this tier is
//! driven from the audio.
//!
//! ```no_run
//! use spinbot_models::pocket::{Pocket, PocketFiles, PocketLanguage, PocketOptions};
//! use spinbot_models::{Device, DeviceChoice};
//! use std::ops::ControlFlow;
//!
//! let files = PocketFiles::beside("english/model.safetensors".as_ref())?;
//! let device = Device::open(DeviceChoice::Cpu)?;
//! let pocket = Pocket::load(&files, PocketLanguage::English, &device)?;
//! let voice = pocket.voice("english/embeddings/alba.safetensors".as_ref())?;
//! let speech = pocket.speak("Hello!", &voice, &PocketOptions::default(), &mut |chunk| {
//!     // 24 kHz mono, as soon as it is there.
//!     let _ = chunk.samples;
//!     ControlFlow::Continue(())
//! })?;
//! assert!(!speech.stopped);
//! # Ok::<(), spinbot_models::ModelError>(())
//! ```
//!
//! Here live the network, its files and its text rules. What does not belong here: reading and resampling of sound
//! files, loudness, consent.

mod cloning;
mod config;
mod error;
mod file;
mod flow;
mod layers;
mod lm;
mod mimi;
mod model;
mod seanet;
mod spm;
mod text;
mod tokenizer;
mod transformer;
mod voice;

#[cfg(test)]
mod parity_tests;
#[cfg(test)]
mod tests;

pub use config::{OneStep, PocketTraits};
pub use error::PocketError;
pub use file::PocketFiles;
pub use model::{Pocket, PocketChunk, PocketOptions, PocketSpeech};
pub use text::PocketLanguage;
pub use voice::{PocketModel, PocketVoice, is_pocket_voice};

/// Samples a second of every release, in and out.
pub const SAMPLE_RATE: u32 = 24_000;
