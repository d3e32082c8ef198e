//! Networks in candle, their weights, and the list of where the weights come from.
//!
//! This is the only crate that touches candle. It knows nothing of jobs, plans or the user's files: steps hand
//! it bytes and take numbers back.
//!
//! - [`manifest`]: which models there are, under which licence, from which package;
//! - [`Store`]: fetching, checking and adding weights;
//! - [`Device`]: where it computes;
//! - [`faces`]: faces, photographed and drawn, their landmarks, a mesh over them and whose they are;
//! - [`matte`]: people, told from what is behind them;
//! - [`portrait_reader`]: what a drawn portrait shows, and whose it is;
//! - [`kokoro`]: speech from phonemes;
//! - [`listen`]: who speaks, what is said, how clean it is;
//! - [`diffusion`]: pictures from text;
//! - [`language`]: text from a language model;
//! - [`cloning`]: a voice that sounds like a given speaker;
//! - [`pocket`]: speech by pocket-tts, from weights that the user brings;
//! - [`visemes`]: what a mouth does, by the sound of its speech;
//! - [`wav2lip`]: lips drawn into a face from the sound of its speech, from weights that the user brings.
//!
//! ```
//! use spinbot_models::{Device, DeviceChoice, faces::FaceDetector};
//!
//! let device = Device::open(DeviceChoice::Cpu)?;
//! let detector = FaceDetector::load(&device)?;
//! let grey = vec![128; 64 * 64 * 3];
//! assert!(detector.detect(&grey, 64, 64)?.is_empty());
//! # Ok::<(), spinbot_models::ModelError>(())
//! ```

mod added;
mod archive;
pub mod cloning;
mod convert;
mod device;
pub mod diffusion;
mod embedded;
mod error;
pub mod faces;
mod fetch;
mod hash;
pub mod kokoro;
pub mod language;
pub mod listen;
pub mod manifest;
pub mod matte;
mod memory;
mod mobile;
mod ops;
mod picture;
pub mod pocket;
pub mod portrait_reader;
mod residual;
mod store;
mod tensor_file;
pub mod visemes;
pub mod wav2lip;

pub use added::AddedModel;
pub use device::{Device, DeviceChoice};
pub use error::{ModelError, Result};
pub use manifest::model_hash;
pub use memory::{give_back_memory, keep_memory};
pub use ops::OpSet;
pub use store::{ModelStatus, Place, PullProgress, Store, Verified};
