//! Sound, pictures and video in and out: what a step of the studio reads from a user and writes for one.
//!
//! Everything read here is hostile until proven otherwise: sizes, durations and dimensions are capped before
//! anything is decoded or allocated. This crate knows no networks, no plans and no HTML.
//!
//! | module | what it does |
//! |---|---|
//! | [`audio`] | [`audio::Clip`]: reading sound files, resampling, loudness, cleaning, mixing, what ails a clip, WAV and MP3 |
//! | [`picture`] | reading photographs, PNG and JPEG, resizing |
//! | [`album`] | a contact sheet of pictures with their captions |
//! | [`caption`] | one or two lines of words burned into a frame |
//! | [`card`] | a title on a blurred picture |
//! | [`grid`] | a labelled grid of pictures, for sweeps |
//! | [`plot`] | curves of a training run |
//! | [`spectrogram`], [`waveform`] | clips to look at |
//! | [`video`] | H.264 in and out, contact sheets |
//! | [`mp4`] | the file around picture and speech |
//!
//! ```
//! use spinbot_media::{RgbImage, audio::Clip, mp4, video};
//!
//! # fn main() -> spinbot_media::Result<()> {
//! let mut encoder = video::Encoder::new(video::VideoSettings { width: 64, height: 64, fps: 25, quantizer: 24 })?;
//! for _ in 0..25 {
//!     encoder.push(&RgbImage::from_pixel(64, 64, [200, 120, 40].into()))?;
//! }
//! let track = encoder.finish()?;
//! let tags = mp4::Tags { title: "one second".into(), ..Default::default() };
//! let file = mp4::write(&track, Some(&Clip::silence(1.0, 24_000)), &tags)?;
//! assert_eq!(mp4::read_video(&file)?.frames.len(), 25);
//! # Ok(())
//! # }
//! ```

pub mod album;
pub mod audio;
pub mod caption;
pub mod card;
mod colour;
mod error;
mod font;
pub mod grid;
pub mod mp4;
pub mod picture;
pub mod plot;
pub mod ruler;
mod source;
pub mod spectrogram;
pub mod video;
pub mod waveform;

pub use error::{MediaError, Result};
pub use image::RgbImage;
