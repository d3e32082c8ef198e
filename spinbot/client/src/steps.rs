//! The steps a plan is made of: their parameters and the names of their inputs and outputs.
//!
//! Builders in this crate fill them in, `spinbot-studio` runs them. A change in what a step computes raises its
//! `VERSION`, so that results of the old code are not taken for its own.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Parameters of one kind of step.
pub trait StepParams: Serialize + DeserializeOwned {
    /// The step's name in plans, journals and metrics.
    const KIND: &'static str;
    /// Raised when the same parameters and inputs give another result.
    const VERSION: u32;
    /// The files it reads: names of its inputs.
    const INPUTS: &'static [&'static str];
    /// What it leaves: names of its outputs.
    const OUTPUTS: &'static [&'static str];
}

/// Reads a picture: orients it by EXIF, finds the one face, crops to it, scales, finds its 68 landmarks.
///
/// Input `portrait`: JPEG, PNG or WebP. Outputs: `picture` (PNG, the frame the video is made of), `landmarks`
/// (JSON `{width, height, score, points: [[x, y]; 68]}` in pixels of `picture`), `overlay` (JPEG, the landmarks
/// drawn on it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadPortrait {
    /// Longest side of the video in pixels, 128..=1024, rounded to a multiple of 16.
    pub size: u32,
    /// Keep the picture's own shape instead of a square around the face.
    pub keep_aspect: bool,
}

impl StepParams for ReadPortrait {
    const KIND: &'static str = "read_portrait";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["portrait"];
    const OUTPUTS: &'static [&'static str] = &["picture", "landmarks", "overlay"];
}

/// Reads a clip: any audio format, to mono, 48 kHz, -16 LUFS (peaks below -1 dBFS).
///
/// Input `speech`. Output `speech` (WAV, 48 kHz, mono, 16 bit).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadSpeech {
    /// Longest clip taken, in seconds.
    pub max_seconds: f64,
}

impl StepParams for ReadSpeech {
    const KIND: &'static str = "read_speech";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["speech"];
    const OUTPUTS: &'static [&'static str] = &["speech"];
}

/// Turns speech into how the mouth, lids and head move, frame by frame, from the audio alone.
///
/// Input `speech` (WAV of [`ReadSpeech`]). Output `motion` (JSON, `spinbot_studio::Motion`: fps, and per frame
/// jaw, width, round, upper, tuck, seal, smile, blink, brow, turn, nod, tilt, shift).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drive {
    /// Frames per second, 1..=60.
    pub fps: u32,
    /// How much the head and brows move besides the mouth and lids: 0 still, 1 lively.
    pub liveliness: f64,
}

impl StepParams for Drive {
    const KIND: &'static str = "drive";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["speech"];
    const OUTPUTS: &'static [&'static str] = &["motion"];
}

/// Moves the picture by the motion and encodes the frames.
///
/// Inputs `picture`, `landmarks`, `motion`. Outputs: `video` (MP4, H.264, no sound), `first_frame` (JPEG,
/// shown as a preview before the rest is drawn), `sheet` (JPEG contact sheet of 24 frames).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Animate {
    /// H.264 quantizer, 10 (fine) ..= 40 (small).
    pub quantizer: u8,
}

impl StepParams for Animate {
    const KIND: &'static str = "animate";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["picture", "landmarks", "motion"];
    const OUTPUTS: &'static [&'static str] = &["video", "first_frame", "sheet"];
}

/// Joins picture and sound: trims or pads the speech to the video's length, writes FLAC beside H.264 in an MP4.
///
/// Inputs `video`, `speech`. Output `video` (MP4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encode {
    /// Written into the file's metadata as its title.
    pub title: String,
}

impl StepParams for Encode {
    const KIND: &'static str = "encode";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["video", "speech"];
    const OUTPUTS: &'static [&'static str] = &["video"];
}
