//! Captions drawn into frames: one or two centred lines on a dark box, in a band that a mouth leaves free.
//!
//! Which words stand in a caption, and when, is not known here.

use crate::font::Text;
use image::{Rgb, RgbImage};
use std::ops::Range;

/// Height of a line, by the frame's shorter side: about 36 characters in the width of a square.
const SIZE: f32 = 0.055;
/// Smaller lines tried where there is too little room, by that height.
const SMALLER: [f32; 4] = [1.0, 0.85, 0.7, 0.6];
/// Lines lower than this cannot be read, in pixels.
const SMALLEST: f32 = 9.0;
/// Widest line, by the frame's width.
const WIDTH: f32 = 0.9;
/// And in heights of a line: longer ones are hard to follow.
const LONGEST: f32 = 20.0;
/// Between the band and the frame's edge, by the frame's height.
const MARGIN: f32 = 0.035;
/// Between the text and the edge of its box, in heights of a line.
const PADDING: f32 = 0.28;
/// Of the box, laid over what is under it.
const SHADE: f32 = 0.62;
const PLAIN: Rgb<u8> = Rgb([255, 255, 255]);
const CURRENT: Rgb<u8> = Rgb([255, 213, 74]);

/// Where captions stand in frames of one size, and how large they are.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptionBand {
    /// Height of a line in pixels.
    size: f32,
    /// Widest line in pixels.
    width: f32,
    /// First and last row a box of two lines may take.
    rows: Range<f32>,
    /// Whether a caption of one line stands at the lower end of the band.
    low: bool,
}

impl CaptionBand {
    /// The largest band of two lines in frames of that width and height that leaves the rows of `mouth` free, all in
    /// pixels: below the mouth where it fits there, else above it. `None` where no readable one fits.
    pub fn new(width: u32, height: u32, mouth: Range<f32>) -> Option<Self> {
        let (wide, high) = (width as f32, height as f32);
        let margin = (MARGIN * high).max(2.0);
        SMALLER.iter().map(|share| share * SIZE * wide.min(high)).find_map(|size| {
            let size = size.max(SMALLEST);
            let tall = box_height(size, 2);
            let below = high - margin - tall;
            let band = |top: f32, low| CaptionBand {
                size,
                width: (WIDTH * wide - 2.0 * PADDING * size).min(LONGEST * size),
                rows: top..top + tall,
                low,
            };
            match (below >= mouth.end, margin + tall <= mouth.start) {
                (true, _) => Some(band(below, true)),
                (false, true) => Some(band(margin, false)),
                (false, false) => None,
            }
        })
    }

    /// First and last row that a caption of two lines takes, in pixels.
    pub fn rows(&self) -> Range<f32> {
        self.rows.clone()
    }

    /// The words in at most two lines, each by where its words end; a second line that is a little longer than the first
    /// is preferred. `None` when they do not fit.
    pub fn lines(&self, words: &[&str]) -> Option<Vec<usize>> {
        if self.fits(words) {
            return Some(vec![words.len()]);
        }
        let uneven = |at: &usize| {
            let (first, second) = words.split_at(*at);
            let (first, second) = (self.measured(first), self.measured(second));
            // Of two breaks as even as each other the one whose first line is the shorter.
            (second - first).abs() + if first > second { 0.5 * self.size } else { 0.0 }
        };
        let breaks = (1..words.len()).filter(|at| self.fits(&words[..*at]) && self.fits(&words[*at..]));
        let at = breaks.min_by(|a, b| uneven(a).total_cmp(&uneven(b)))?;
        Some(vec![at, words.len()])
    }

    /// How much of two lines the words fill; above 1 they need not fit.
    pub fn filled(&self, words: &[&str]) -> f32 {
        self.measured(words) / (2.0 * self.width)
    }

    /// A word that is wider than a line, in pieces that are not.
    pub fn pieces(&self, word: &str) -> Vec<String> {
        self.text(PLAIN).wrap(word, self.width as u32, usize::MAX)
    }

    /// Draws a caption: its lines, and by number the word that is said. Frames smaller than the band lose what does not
    /// fit.
    pub fn draw(&self, frame: &mut RgbImage, lines: &[&[&str]], current: Option<usize>) {
        let widths: Vec<f32> = lines.iter().map(|line| self.measured(line)).collect();
        let widest = widths.iter().copied().fold(0.0, f32::max);
        let tall = box_height(self.size, lines.len());
        let top = if self.low { self.rows.end - tall } else { self.rows.start };
        let middle = frame.width() as f32 / 2.0;
        let half = widest / 2.0 + 1.5 * PADDING * self.size;
        shade(frame, [middle - half, top, middle + half, top + tall], 0.3 * self.size);
        let mut number = 0;
        let mut y = top + PADDING * self.size;
        for (line, width) in lines.iter().zip(widths) {
            let mut x = middle - width / 2.0;
            for word in *line {
                let text = self.text(if current == Some(number) { CURRENT } else { PLAIN });
                text.draw(frame, x.round() as i32, y.round() as i32, word);
                x += text.advance(word) + text.advance(" ");
                number += 1;
            }
            y += self.size;
        }
    }

    fn text(&self, colour: Rgb<u8>) -> Text {
        Text { size: self.size, colour }
    }

    fn fits(&self, words: &[&str]) -> bool {
        self.measured(words) <= self.width
    }

    /// Width of the words in one line.
    fn measured(&self, words: &[&str]) -> f32 {
        let text = self.text(PLAIN);
        let gaps = words.len().saturating_sub(1) as f32 * text.advance(" ");
        words.iter().map(|word| text.advance(word)).sum::<f32>() + gaps
    }
}

fn box_height(size: f32, lines: usize) -> f32 {
    (lines as f32 + 2.0 * PADDING) * size
}

/// Darkens a box with round corners.
fn shade(frame: &mut RgbImage, [left, top, right, bottom]: [f32; 4], radius: f32) {
    let inside = |at: f32, limit: u32| (at.max(0.0) as u32).min(limit);
    let (width, height) = frame.dimensions();
    for y in inside(top.floor(), height)..inside(bottom.ceil(), height) {
        for x in inside(left.floor(), width)..inside(right.ceil(), width) {
            let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
            // How far outside the box that is smaller by the corners' radius.
            let far = |p: f32, low: f32, high: f32| (low + radius - p).max(p - high + radius).max(0.0);
            let cover = radius + 0.5 - far(px, left, right).hypot(far(py, top, bottom));
            let keep = 1.0 - SHADE * cover.clamp(0.0, 1.0);
            for channel in &mut frame.get_pixel_mut(x, y).0 {
                *channel = (f32::from(*channel) * keep).round() as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_never_takes_a_row_of_the_mouth_and_is_as_large_as_there_is_room_for() {
        let head = CaptionBand::new(512, 512, 250.0..360.0).unwrap();
        assert!(head.low && head.rows.start >= 360.0 && head.rows.end <= 512.0, "{head:?}");
        // A chin at the lower edge: above the mouth instead.
        let close = CaptionBand::new(512, 512, 330.0..500.0).unwrap();
        assert!(!close.low && close.rows.end <= 330.0, "{close:?}");
        let tight = CaptionBand::new(512, 512, 40.0..440.0).unwrap();
        assert!(tight.rows.start >= 440.0 && tight.size < head.size, "{tight:?}");
        assert_eq!(CaptionBand::new(512, 512, 20.0..500.0), None);
        assert_eq!(CaptionBand::new(128, 48, 10.0..40.0), None);
        let small = CaptionBand::new(128, 128, 66.0..90.0).unwrap();
        assert!(small.size >= SMALLEST, "{small:?}");
    }

    #[test]
    fn words_break_into_two_even_lines_and_no_more() {
        let band = CaptionBand::new(512, 512, 250.0..360.0).unwrap();
        let words: Vec<&str> =
            "The quick brown fox jumps over the lazy dog near the bank".split(' ').collect();
        let lines = band.lines(&words).unwrap();
        assert_eq!((lines.len(), lines[1]), (2, 12));
        let (first, second) = words.split_at(lines[0]);
        let (first, second) = (band.measured(first), band.measured(second));
        assert!((first - second).abs() < 80.0 && first.max(second) <= band.width, "{first} {second}");
        assert_eq!(band.lines(&words[..3]), Some(vec![3]));
        assert!(band.lines(&words.repeat(2)).is_none() && band.filled(&words.repeat(2)) > 1.0);
        let pieces = band.pieces(&"w".repeat(200));
        assert!(pieces.len() > 3 && pieces.iter().all(|piece| band.fits(&[piece])), "{pieces:?}");
    }

    #[test]
    fn a_caption_is_drawn_in_its_band_with_the_current_word_in_another_colour() {
        let band = CaptionBand::new(256, 256, 100.0..160.0).unwrap();
        let mut frame = RgbImage::from_pixel(256, 256, Rgb([200, 90, 60]));
        band.draw(&mut frame, &[&["Hello", "there,"], &["world."]], Some(2));
        let rows = band.rows();
        for (_, y, pixel) in frame.enumerate_pixels() {
            let inside = (rows.start.floor()..rows.end.ceil()).contains(&(y as f32));
            assert!(inside || pixel.0 == [200, 90, 60], "row {y} was drawn on");
        }
        let of = |colour: Rgb<u8>| {
            let near = |p: &&Rgb<u8>| p.0.iter().zip(colour.0).all(|(a, b)| a.abs_diff(b) < 50);
            frame.pixels().filter(near).count()
        };
        assert!(of(PLAIN) > 40 && of(CURRENT) > 20, "{} {}", of(PLAIN), of(CURRENT));
        // A frame of another size than the band's is no panic.
        band.draw(&mut RgbImage::new(32, 20), &[&["Hello"]], None);
    }
}
