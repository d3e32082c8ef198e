//! H.264 back to RGB frames, for measuring what was made. Meant for tracks of our own encoder: one picture in,
//! one picture out, no reordering.

use super::VideoTrack;
use super::yuv::to_rgb;
use crate::{MediaError, Result};
use image::RgbImage;
use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// All frames of a track. At 512x512 one takes 0.8 MB of memory: see [`decode_each`] for long ones.
///
/// # Errors
/// If the track is broken.
pub fn decode(track: &VideoTrack) -> Result<Vec<RgbImage>> {
    let mut frames = Vec::with_capacity(track.frames.len());
    decode_each(track, |_, frame| frames.push(frame))?;
    Ok(frames)
}

/// Calls `take` with the number and the picture of each frame, in order.
///
/// # Errors
/// If the track is broken, or does not give one picture of its size a frame.
pub fn decode_each(track: &VideoTrack, mut take: impl FnMut(usize, RgbImage)) -> Result<()> {
    let broken =
        |detail: &dyn std::fmt::Display| MediaError::broken("the video", "decoding its frames", detail);
    let mut decoder = Decoder::new().map_err(|e| broken(&e))?;
    let mut number = 0;
    let mut emit = |picture: DecodedYUV<'_>| -> Result<()> {
        let (width, height) = picture.dimensions();
        if (width, height) != (track.width as usize, track.height as usize) {
            return Err(broken(&format!(
                "a frame is {width}x{height}, the track {}x{}",
                track.width, track.height
            )));
        }
        let (y, u, v) = picture.strides();
        take(number, to_rgb([picture.y(), picture.u(), picture.v()], [y, u, v], width, height));
        number += 1;
        Ok(())
    };
    let mut packet = Vec::new();
    for (units, seekable) in &track.frames {
        packet.clear();
        if *seekable {
            for set in [&track.sps, &track.pps] {
                packet.extend(START_CODE);
                packet.extend_from_slice(set);
            }
        }
        append_units(&mut packet, units).ok_or_else(|| broken(&"a frame breaks off"))?;
        if let Some(picture) = decoder.decode(&packet).map_err(|e| broken(&e))? {
            emit(picture)?;
        }
    }
    for picture in decoder.flush_remaining().map_err(|e| broken(&e))? {
        emit(picture)?;
    }
    if number != track.frames.len() {
        return Err(broken(&format!("{} frames gave {number} pictures", track.frames.len())));
    }
    Ok(())
}

/// Replaces the length before each unit by a start code; `None` if a length points past the end.
fn append_units(packet: &mut Vec<u8>, mut units: &[u8]) -> Option<()> {
    while !units.is_empty() {
        let (length, rest) = units.split_first_chunk::<4>()?;
        let (unit, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        packet.extend(START_CODE);
        packet.extend_from_slice(unit);
        units = rest;
    }
    Some(())
}
