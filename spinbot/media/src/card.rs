//! A title card: words on a picture that is blurred and darkened.

use crate::font::Text;
use crate::picture;
use image::{Rgb, RgbImage, imageops};

/// The picture is made this many times smaller and blurred by this many pixels there.
const SMALLER: u32 = 10;
const BLUR: f32 = 1.2;
/// Of the picture's light that is left.
const LIGHT: f32 = 0.5;
/// Height of a line, by the picture's shorter side; smaller ones are tried where the words do not fit.
const SIZES: [f32; 4] = [0.1, 0.08, 0.065, 0.05];
/// Widest line, by the picture's width, and tallest text, by its height.
const WIDTH: f32 = 0.84;
const HEIGHT: f32 = 0.6;

/// The picture, blurred and dark, with the words in its middle; what does not fit ends in an ellipsis.
pub fn card(picture: &RgbImage, words: &str) -> RgbImage {
    let (width, height) = picture.dimensions();
    let small = picture::resize(picture, (width / SMALLER).max(1), (height / SMALLER).max(1));
    let mut card = picture::resize(&imageops::blur(&small, BLUR), width, height);
    for channel in card.iter_mut() {
        *channel = (f32::from(*channel) * LIGHT).round() as u8;
    }
    let wide = (WIDTH * width as f32) as u32;
    let set = |share: f32| {
        let text = Text { size: (share * width.min(height) as f32).max(9.0), colour: Rgb([255, 255, 255]) };
        let most = ((HEIGHT * height as f32 / text.size) as usize).max(1);
        let lines = text.wrap(words, wide, most + 1);
        (text, lines, most)
    };
    // The largest in at most three lines, else the smallest in as many as there is room for.
    let fitting = SIZES.into_iter().map(set).find(|(_, lines, most)| lines.len() <= 3.min(*most));
    let (text, lines) = match fitting {
        Some((text, lines, _)) => (text, lines),
        None => {
            let (text, _, most) = set(SIZES[SIZES.len() - 1]);
            (text, text.wrap(words, wide, most))
        }
    };
    // As narrow as so many lines can be: no word is left alone in the last.
    let widest = words.split_whitespace().map(|word| text.width(word)).max().unwrap_or(0);
    let narrower = (8..20).map(|n| wide * n / 20).filter(|width| *width >= widest);
    let mut narrower = narrower.map(|width| text.wrap(words, width, lines.len() + 1));
    let lines = narrower.find(|even| even.len() == lines.len()).unwrap_or(lines);
    let mut y = (height as f32 - lines.len() as f32 * text.size) / 2.0;
    for line in lines {
        let x = (width as f32 - text.advance(&line)) / 2.0;
        text.draw(&mut card, x.round() as i32, y.round() as i32, &line);
        y += text.size;
    }
    card
}

/// Between two pictures of one size: `share` 0 is the first, 1 the second.
pub fn blend(from: &RgbImage, to: &RgbImage, share: f32) -> RgbImage {
    let share = share.clamp(0.0, 1.0);
    let mut out = from.clone();
    for (out, to) in out.iter_mut().zip(to.iter()) {
        *out = (f32::from(*out) + (f32::from(*to) - f32::from(*out)) * share).round() as u8;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_in_the_middle_of_a_dark_picture_however_many_they_are() {
        let picture = RgbImage::from_pixel(256, 192, Rgb([180, 200, 90]));
        for words in ["Hello", "A talk about the sea and the ships on it", &"word ".repeat(200), ""] {
            let card = card(&picture, words);
            let written = card.pixels().filter(|p| p.0.iter().all(|c| *c > 200)).count();
            assert_eq!(written > 40, !words.is_empty(), "{written} pixels of {words:?}");
            assert_eq!(card.get_pixel(2, 2).0, [90, 100, 45]);
        }
        assert_eq!(card(&RgbImage::new(4, 3), "tiny").dimensions(), (4, 3));
        let white = RgbImage::from_pixel(256, 192, Rgb([255; 3]));
        assert_eq!(blend(&picture, &white, 0.0), picture);
        assert_eq!(blend(&picture, &white, 2.0), white);
    }
}
