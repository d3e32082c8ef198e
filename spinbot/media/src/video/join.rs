//! Coded tracks one after another, without coding them again.

use super::{VideoTrack, decode};
use crate::{MediaError, Result};
use image::RgbImage;

impl VideoTrack {
    /// The tracks one after another. They must be of one size, rate and coding, as encoders of the same settings make.
    ///
    /// # Errors
    /// If there are none, or they differ.
    pub fn joined(tracks: &[VideoTrack]) -> Result<VideoTrack> {
        let wrong = |got: &str| MediaError::shape("joining videos", got, "videos coded by the same settings");
        let (first, rest) = tracks.split_first().ok_or_else(|| wrong("none"))?;
        let mut joined = first.clone();
        for track in rest {
            let alike = (track.width, track.height, track.fps) == (first.width, first.height, first.fps);
            if !alike || (&track.sps, &track.pps) != (&first.sps, &first.pps) {
                return Err(wrong("videos that differ in size, rate or coding"));
            }
            joined.frames.extend_from_slice(&track.frames);
        }
        Ok(joined)
    }

    /// The first and the last picture.
    ///
    /// # Errors
    /// If the track is empty or broken.
    pub fn ends(&self) -> Result<(RgbImage, RgbImage)> {
        let broken = || MediaError::broken("the video", "decoding its ends", "it has no frames");
        let from = self.frames.iter().rposition(|(_, seekable)| *seekable).unwrap_or(0);
        let part =
            |frames: &[(Vec<u8>, bool)]| decode(&VideoTrack { frames: frames.to_vec(), ..self.bare() });
        let first = part(self.frames.get(..1).ok_or_else(broken)?)?;
        let last = part(&self.frames[from..])?;
        first.into_iter().next().zip(last.into_iter().next_back()).ok_or_else(broken)
    }

    /// The same without its frames.
    fn bare(&self) -> VideoTrack {
        let VideoTrack { width, height, fps, ref sps, ref pps, .. } = *self;
        VideoTrack { width, height, fps, sps: sps.clone(), pps: pps.clone(), frames: Vec::new() }
    }
}
