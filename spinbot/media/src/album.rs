//! A contact sheet of pictures with a caption under each: what a model learned from, to be looked at in one glance.

use crate::font::Text;
use crate::{MediaError, Result, picture};
use image::{Rgb, RgbImage, imageops};

const INK: Rgb<u8> = Rgb([33, 37, 41]);
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const APART: Rgb<u8> = Rgb([213, 94, 0]);
const GAP: u32 = 8;
/// Widest a sheet gets.
const WIDTH: u32 = 1100;
/// Sides of the square a picture is fitted into: the largest with which all squares have so many pixels.
const SIDES: (u32, u32) = (64, 192);
const PIXELS: u32 = 1_000_000;
/// Lines of a caption.
const LINES: usize = 4;
/// Most pictures on a sheet; more would make it taller than any picture may be.
const MOST: usize = 2000;

/// How a picture is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framed {
    /// As it is.
    Plain,
    /// With a frame that sets it apart.
    Apart,
}

/// A sheet to be filled and drawn.
#[derive(Debug, Clone, Default)]
pub struct Album {
    pictures: Vec<(RgbImage, Framed, String)>,
}

impl Album {
    /// A sheet without pictures.
    pub fn new() -> Self {
        Album::default()
    }

    /// Adds a picture with its caption.
    pub fn add(&mut self, content: &RgbImage, framed: Framed, caption: &str) {
        let (width, height) = content.dimensions();
        let scale = f64::from(SIDES.1) / f64::from(width.max(height).max(1));
        // Kept no larger than it can be drawn; how large that is, is known when all are there.
        let small = match scale < 1.0 {
            true => picture::resize(content, scaled(width, scale), scaled(height, scale)),
            false => content.clone(),
        };
        self.pictures.push((small, framed, caption.to_owned()));
    }

    /// The sheet as a PNG file.
    ///
    /// # Errors
    /// As [`Album::render`].
    pub fn png(&self) -> Result<Vec<u8>> {
        picture::png_bytes(&self.render()?)
    }

    /// Draws the sheet: rows from left to right, at most 1100 pixels wide.
    ///
    /// # Errors
    /// If it has no pictures or more than 2000, or one without pixels.
    pub fn render(&self) -> Result<RgbImage> {
        let wrong =
            |got: String| MediaError::shape("drawing a contact sheet", got, "1 to 2000 pictures with pixels");
        let count = self.pictures.len();
        if count == 0 || count > MOST {
            return Err(wrong(format!("{count} pictures")));
        }
        if let Some((empty, ..)) = self.pictures.iter().find(|(p, ..)| p.width() == 0 || p.height() == 0) {
            return Err(wrong(format!("{}x{} px", empty.width(), empty.height())));
        }
        let side = f64::from(PIXELS / count as u32).sqrt() as u32;
        let side = side.clamp(SIDES.0, SIDES.1);
        let columns = ((WIDTH - GAP) / (side + GAP)).min(count as u32);
        let text = Text { size: (side as f32 / 13.0).clamp(9.0, 13.0), colour: INK };
        let line = (text.size * 1.25).ceil() as u32;
        let captions: Vec<Vec<String>> =
            self.pictures.iter().map(|(_, _, caption)| text.wrap(caption, side, LINES)).collect();
        let deep = captions.iter().map(Vec::len).max().unwrap_or(0) as u32;
        let cell = side + deep * line + 2 * GAP;
        let rows = (count as u32).div_ceil(columns);
        let mut sheet = RgbImage::from_pixel(columns * (side + GAP) + GAP, rows * cell + GAP, PAPER);
        for (i, ((content, framed, _), lines)) in self.pictures.iter().zip(&captions).enumerate() {
            let (column, row) = (i as u32 % columns, i as u32 / columns);
            let (x, y) = (GAP + column * (side + GAP), GAP + row * cell);
            let scale = f64::from(side) / f64::from(content.width().max(content.height()));
            let small =
                picture::resize(content, scaled(content.width(), scale), scaled(content.height(), scale));
            // Side by side they stand on one line.
            let (left, top) = (x + (side - small.width()) / 2, y + side - small.height());
            if *framed == Framed::Apart {
                let frame = RgbImage::from_pixel(small.width() + 6, small.height() + 6, APART);
                imageops::replace(&mut sheet, &frame, i64::from(left) - 3, i64::from(top) - 3);
            }
            imageops::replace(&mut sheet, &small, i64::from(left), i64::from(top));
            for (n, words) in lines.iter().enumerate() {
                let top = y + side + GAP / 2 + n as u32 * line;
                text.draw(&mut sheet, x as i32, top as i32, words);
            }
        }
        Ok(sheet)
    }
}

/// A length at another scale, at least a pixel.
fn scaled(length: u32, scale: f64) -> u32 {
    ((f64::from(length) * scale).round() as u32).clamp(1, SIDES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_picture_and_two_hundred_make_a_sheet() {
        let tall = RgbImage::from_pixel(50, 400, Rgb([0, 0, 255]));
        for (count, columns) in [(1, 1), (7, 5), (200, 14)] {
            let mut album = Album::new();
            for i in 0..count {
                let framed = if i == 0 { Framed::Apart } else { Framed::Plain };
                album.add(&tall, framed, "a portrait of nova, facing left, plain blue background");
            }
            let sheet = album.render().unwrap();
            let side = (f64::from(1_000_000 / count).sqrt() as u32).clamp(64, 192);
            assert_eq!(sheet.width(), columns * (side + 8) + 8, "{count}");
            assert!(sheet.width() <= WIDTH && sheet.height() < 6000, "{:?}", sheet.dimensions());
            let blue = sheet.pixels().filter(|p| p.0 == [0, 0, 255]).count() as u32;
            // Fitted into its square: an eighth as wide as high.
            assert!(blue >= count * side * (side / 8) * 9 / 10, "{blue} of {count}");
            assert!(
                sheet.pixels().any(|p| *p == APART) && sheet.pixels().any(|p| p.0[0] < 90 && p.0[2] < 90)
            );
        }
        assert!(Album::new().render().is_err());
        let mut album = Album::new();
        album.add(&RgbImage::new(0, 4), Framed::Plain, "");
        assert!(album.png().is_err());
    }
}
