//! Video as H.264: frames in ([`Encoder`]), frames out ([`decode`]), and the coded track between them. The
//! file around a track is written in [`crate::mp4`].

mod decode;
mod encode;
mod join;
mod sheet;
mod yuv;

pub use decode::{decode, decode_each};
pub use encode::{Encoder, VideoSettings};
pub use sheet::contact_sheet;

/// Coded pictures, as an MP4 file holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoTrack {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Frames a second, above 0.
    pub fps: u32,
    /// The sequence parameter set, a NAL unit without a start code.
    pub sps: Vec<u8>,
    /// The picture parameter set, a NAL unit without a start code.
    pub pps: Vec<u8>,
    /// Each frame's NAL units, each behind its length in four big-endian bytes, and whether decoding can
    /// begin with it.
    pub frames: Vec<(Vec<u8>, bool)>,
}

impl VideoTrack {
    /// Its duration.
    pub fn seconds(&self) -> f64 {
        self.frames.len() as f64 / f64::from(self.fps.max(1))
    }
}
