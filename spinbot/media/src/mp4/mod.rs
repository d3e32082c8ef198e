//! The file around a video: H.264 and FLAC in MP4, the index before the data so that it plays while it
//! loads. FLAC because it has no priming samples (no edit list, no lag between lips and voice) and plays in
//! Chromium, Firefox, Safari and VS Code, whose Electron has neither AAC nor Opus. Coding itself lives in
//! [`crate::video`] and [`crate::audio`].

mod boxes;
mod read;
mod write;

pub use read::{read_speech, read_tags, read_video};
pub use write::write;

/// What a file says about itself. Empty texts are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Its title.
    pub title: String,
    /// Anything else: how it was made.
    pub comment: String,
    /// What wrote it.
    pub software: String,
    /// Anything else, each under a name of its own.
    pub named: Vec<(String, String)>,
}
