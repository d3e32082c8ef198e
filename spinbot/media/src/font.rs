//! The one font of this crate, DejaVu Sans (its licence lies beside it), and text drawn with it. Nothing is
//! taken from the system, so a picture looks the same on every machine.

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage};
use std::sync::LazyLock;

/// The font file.
pub(crate) const DEJAVU_SANS: &[u8] = include_bytes!("../assets/DejaVuSans.ttf");

/// `None` only if the file built into this binary were no font, which a test rules out.
static FONT: LazyLock<Option<FontRef<'static>>> = LazyLock::new(|| FontRef::try_from_slice(DEJAVU_SANS).ok());

/// Text of one size.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    /// Height of a line in pixels.
    pub(crate) size: f32,
    pub(crate) colour: Rgb<u8>,
}

impl Text {
    /// Width of a line in pixels.
    pub(crate) fn width(&self, line: &str) -> u32 {
        self.layout(line).1.ceil() as u32
    }

    /// How far a line moves the pen, in pixels; a space at its end counts.
    pub(crate) fn advance(&self, line: &str) -> f32 {
        self.layout(line).1
    }

    /// `text` in lines no wider than `width` pixels, broken between words and, where one word is too wide,
    /// inside it; at most `lines` of them, the last ending in an ellipsis if something is left over.
    pub(crate) fn wrap(&self, text: &str, width: u32, lines: usize) -> Vec<String> {
        let mut wrapped: Vec<String> = Vec::new();
        let mut line = String::new();
        for word in text.split_whitespace() {
            let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if self.width(&joined) <= width {
                line = joined;
                continue;
            }
            if !line.is_empty() {
                wrapped.push(std::mem::take(&mut line));
            }
            for character in word.chars() {
                if !line.is_empty() && self.width(&format!("{line}{character}")) > width {
                    wrapped.push(std::mem::take(&mut line));
                }
                line.push(character);
            }
        }
        if !line.is_empty() {
            wrapped.push(line);
        }
        if wrapped.len() > lines {
            wrapped.truncate(lines);
            if let Some(last) = wrapped.last_mut() {
                while !last.is_empty() && self.width(&format!("{last}…")) > width {
                    last.pop();
                }
                last.push('…');
            }
        }
        wrapped
    }

    /// Draws a line with its top left corner at (`x`, `y`); what falls outside the picture is left out.
    pub(crate) fn draw(&self, picture: &mut RgbImage, x: i32, y: i32, line: &str) {
        let Some(font) = FONT.as_ref() else { return };
        let (width, height) = (picture.width() as i32, picture.height() as i32);
        for mut glyph in self.layout(line).0 {
            glyph.position.x += x as f32;
            glyph.position.y += y as f32 + font.as_scaled(glyph.scale).ascent();
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            let (left, top) = (bounds.min.x as i32, bounds.min.y as i32);
            outline.draw(|dx, dy, coverage| {
                let (px, py) = (left + dx as i32, top + dy as i32);
                if (0..width).contains(&px) && (0..height).contains(&py) {
                    let Rgb(pixel) = picture.get_pixel_mut(px as u32, py as u32);
                    for (under, over) in pixel.iter_mut().zip(self.colour.0) {
                        *under = (f32::from(*under)
                            + (f32::from(over) - f32::from(*under)) * coverage.min(1.0))
                        .round() as u8;
                    }
                }
            });
        }
    }

    /// Glyphs on a baseline at 0, and the width.
    fn layout(&self, line: &str) -> (Vec<Glyph>, f32) {
        let Some(font) = FONT.as_ref() else { return (Vec::new(), 0.0) };
        let scale = PxScale::from(self.size);
        let scaled = font.as_scaled(scale);
        let mut pen = 0.0;
        let mut last = None;
        let mut glyphs = Vec::new();
        for character in line.chars().filter(|c| !c.is_control()) {
            let id = font.glyph_id(character);
            if let Some(last) = last {
                pen += scaled.kern(last, id);
            }
            glyphs.push(id.with_scale_and_position(scale, point(pen, 0.0)));
            pen += scaled.h_advance(id);
            last = Some(id);
        }
        (glyphs, pen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_font_draws_and_wraps() {
        let text = Text { size: 16.0, colour: Rgb([0, 0, 0]) };
        assert!(text.width("strength 0.8") > text.width("strength"));
        let mut picture = RgbImage::from_pixel(120, 20, Rgb([255, 255, 255]));
        text.draw(&mut picture, 2, 2, "Grüße 0.5");
        assert!(picture.pixels().filter(|p| p.0[0] < 64).count() > 60, "no ink");
        text.draw(&mut picture, -500, 9000, "outside");

        assert_eq!(text.wrap("one two three", 1000, 2), ["one two three"]);
        let lines = text.wrap("a prompt that is much longer than its column is wide", 100, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…') && lines.iter().all(|l| text.width(l) <= 100), "{lines:?}");
        let lines = text.wrap("abcdefghijklmnopqrstuvwxyz", 60, 9);
        assert_eq!(lines.concat(), "abcdefghijklmnopqrstuvwxyz");
    }
}
