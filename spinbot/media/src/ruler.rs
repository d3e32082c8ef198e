//! A picture with rulers at its edges, from which its pixels can be told by hand.

use crate::font::Text;
use crate::picture;
use image::{Rgb, RgbImage, imageops};

/// Longer side of what is shown, at least and at most.
const SIDE: (u32, u32) = (480, 960);
/// Room for the numbers, left and above.
const MARGIN: u32 = 34;
/// Numbers along the longer side, about.
const TICKS: f32 = 12.0;

/// The picture, enlarged or made smaller to be seen well, with its own pixels numbered at the top and on the left and thin
/// lines from the numbers through it.
pub fn with_rulers(content: &RgbImage) -> RgbImage {
    let (width, height) = content.dimensions();
    let longer = width.max(height).max(1);
    let scale = longer.clamp(SIDE.0, SIDE.1) as f32 / longer as f32;
    let length = |pixels: u32| ((pixels as f32 * scale).round() as u32).max(1);
    let shown = picture::resize(content, length(width), length(height));
    let mut out = RgbImage::from_pixel(shown.width() + MARGIN, shown.height() + MARGIN, Rgb([250, 250, 250]));
    imageops::replace(&mut out, &shown, i64::from(MARGIN), i64::from(MARGIN));
    let step = round_step(longer as f32 / TICKS);
    let text = Text { size: 13.0, colour: Rgb([70, 70, 70]) };
    for tick in (0..longer).step_by(step) {
        let (at, label) = (MARGIN + length_at(tick, scale), tick.to_string());
        if tick < width {
            text.draw(&mut out, at as i32 - text.width(&label) as i32 / 2, 10, &label);
            (MARGIN - 5..out.height()).for_each(|y| shade(&mut out, at, y));
        }
        if tick < height {
            text.draw(&mut out, MARGIN as i32 - 8 - text.width(&label) as i32, at as i32 - 8, &label);
            (MARGIN - 5..out.width()).for_each(|x| shade(&mut out, x, at));
        }
    }
    out
}

fn length_at(pixel: u32, scale: f32) -> u32 {
    (pixel as f32 * scale).round() as u32
}

/// The next of 1, 2, 5, 10, 20, 50, ... from `least` on.
fn round_step(least: f32) -> usize {
    let mut unit = 1;
    loop {
        for factor in [1, 2, 5] {
            if (unit * factor) as f32 >= least {
                return unit * factor;
            }
        }
        unit *= 10;
    }
}

/// Makes a pixel of a line darker where it is bright and brighter where it is dark.
fn shade(out: &mut RgbImage, x: u32, y: u32) {
    if x >= out.width() || y >= out.height() {
        return;
    }
    let pixel = out.get_pixel_mut(x, y);
    let bright = pixel.0.iter().map(|c| u32::from(*c)).sum::<u32>() > 3 * 110;
    let to = if bright { 0.0 } else { 255.0 };
    for channel in &mut pixel.0 {
        *channel = (f32::from(*channel) * 0.72 + to * 0.28).round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_picture_gets_rulers_and_lines_at_round_numbers() {
        assert_eq!([0.1, 1.0, 3.0, 10.7, 21.0, 333.0].map(round_step), [1, 1, 5, 20, 50, 500]);
        for (width, height) in [(1, 1), (128, 128), (3, 700), (4000, 3000)] {
            let plain = RgbImage::from_pixel(width, height, Rgb([200, 200, 200]));
            let out = with_rulers(&plain);
            let longer = out.width().max(out.height());
            assert!((SIDE.0..=SIDE.1 + MARGIN).contains(&longer), "{width}x{height}: {:?}", out.dimensions());
            // The line of pixel 0, and the picture itself beside it.
            assert_eq!(out.get_pixel(MARGIN, out.height() - 1).0, [144; 3]);
            if width == height {
                assert_eq!(out.get_pixel(MARGIN + 6, MARGIN + 6).0, [200; 3]);
            }
        }
    }
}
