//! Frames of a video side by side, to be looked at where no video plays.

use crate::{MediaError, Result, picture};
use image::{Rgb, RgbImage, imageops};

const GAP: u32 = 2;
/// Widest a sheet gets; frames are made smaller to fit.
const MAX_WIDTH: u32 = 1280;
const MAX_HEIGHT: u32 = 20_000;

/// `frames` in rows of `columns`, left to right and top to bottom, at most 1280 pixels wide. All are drawn at
/// the size of the first.
///
/// # Errors
/// If there are no frames or columns, or so many that a frame would get under 8 pixels or the sheet over
/// 20000.
pub fn contact_sheet(frames: &[RgbImage], columns: u32) -> Result<RgbImage> {
    let wrong =
        |got: String| MediaError::shape("drawing a contact sheet", got, "1 to 128 columns, fewer frames");
    let (Some(first), 1..=128) = (frames.first(), columns) else {
        return Err(wrong(format!("{} frames in {columns} columns", frames.len())));
    };
    let columns = columns.min(frames.len() as u32);
    let width = first.width().min((MAX_WIDTH - (columns - 1) * GAP) / columns).max(1);
    let height =
        (u64::from(first.height()) * u64::from(width) / u64::from(first.width().max(1))).max(1) as u32;
    let rows = (frames.len() as u32).div_ceil(columns);
    if width < 8 || u64::from(rows) * u64::from(height + GAP) > u64::from(MAX_HEIGHT) {
        return Err(wrong(format!("{} frames in {columns} columns, {width}x{height} px each", frames.len())));
    }
    let size = (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP);
    let mut sheet = RgbImage::from_pixel(size.0, size.1, Rgb([255, 255, 255]));
    for (i, frame) in (0u32..).zip(frames) {
        let small = picture::resize(frame, width, height);
        let (x, y) = (i % columns * (width + GAP), i / columns * (height + GAP));
        imageops::replace(&mut sheet, &small, i64::from(x), i64::from(y));
    }
    Ok(sheet)
}
