//! What `read_clips` leaves in `clips`: where each clip lies in the joined speech, and what was found in it.

use serde::{Deserialize, Serialize};

/// The clips of one voice, in the order they were given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clips {
    /// How long the joined speech is, in seconds.
    pub seconds: f64,
    /// One for each clip.
    pub clips: Vec<ClipReport>,
}

/// One clip. All shares and scores are 0..=1 and of the recording as it was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipReport {
    /// What the user called it.
    pub label: String,
    /// SHA-256 of the recording as it was given, hex.
    pub sha256: String,
    /// Where it begins in the joined speech, in seconds.
    pub start: f64,
    /// Where it ends in the joined speech, in seconds.
    pub end: f64,
    /// How long the recording was, silence around the speech included.
    pub seconds: f64,
    /// How much of that is speech, in seconds.
    pub speech_seconds: f64,
    /// Integrated loudness, in LUFS.
    pub loudness: f64,
    /// Share of samples cut off at full scale.
    pub clipped_share: f64,
    /// Share of time without speech.
    pub silence_share: f64,
    /// Speech against pauses, in dB.
    pub snr_db: f64,
    /// How much it sounds like music.
    pub music_score: f64,
    /// What the user should know of it, as sentences.
    pub warnings: Vec<String>,
}
