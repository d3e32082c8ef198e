//! A waveform to look at, with marks where words (or anything else) lie: for places that show pictures and no
//! HTML. What is said is the caller's.

use crate::audio::Clip;
use crate::font::Text;
use crate::spectrogram::time_ticks;
use crate::{MediaError, Result, picture};
use image::{Rgb, RgbImage};

const INK: Rgb<u8> = Rgb([33, 37, 41]);
const FAINT: Rgb<u8> = Rgb([108, 117, 125]);
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
/// Behind every second word.
const STRIPE: Rgb<u8> = Rgb([228, 236, 246]);
const LINE: Rgb<u8> = Rgb([206, 212, 218]);
/// From the lowest to the highest sample of a column, and within it as far as its root mean square.
const PEAK: Rgb<u8> = Rgb([116, 169, 207]);
const LOUD: Rgb<u8> = Rgb([0, 92, 150]);
const WIDTH: u32 = 900;
const MARGIN: u32 = 14;
const WAVE: u32 = 90;
const NAMES: u32 = 22;
const TIMES: u32 = 22;
const GAP: u32 = 6;
/// A row shows this much, in seconds: eight seconds hold about twenty words, whose names then fit.
const ROW_SECONDS: f64 = 8.0;
/// With more rows than this a row shows more.
const MOST_ROWS: usize = 5;
/// Room between two names.
const APART: i32 = 5;
const NAME: Text = Text { size: 14.0, colour: INK };
const TIME: Text = Text { size: 12.0, colour: FAINT };

/// Draws a clip with its spans, each a name, a start and an end in seconds and in order, as a PNG of 900 pixels'
/// width: in rows of 8 s, or of a fifth of a longer clip. Every span is marked; a name that would touch the one
/// before it is left out.
///
/// # Errors
/// If the clip has no samples.
pub fn png(clip: &Clip, spans: &[(&str, f64, f64)]) -> Result<Vec<u8>> {
    picture::palette_png_bytes(&render(clip, spans)?)
}

/// As [`png`], the picture itself.
///
/// # Errors
/// As [`png`].
pub fn render(clip: &Clip, spans: &[(&str, f64, f64)]) -> Result<RgbImage> {
    if clip.samples.is_empty() {
        return Err(MediaError::shape("drawing a waveform", "a clip without samples", "sound"));
    }
    let rows = ((clip.seconds() / ROW_SECONDS).ceil() as usize).clamp(1, MOST_ROWS);
    // A last row of a moment would be a picture of nothing: all rows are equally long.
    let row_seconds = clip.seconds() / rows as f64;
    let names = if spans.is_empty() { 0 } else { NAMES };
    let row_height = names + WAVE + TIMES + GAP;
    let mut sheet = RgbImage::from_pixel(WIDTH, 2 * GAP + row_height * rows as u32, PAPER);
    let scale = 1.0 / clip.peak().max(1e-4);
    for row in 0..rows {
        let area = Row {
            from: row as f64 * row_seconds,
            seconds: row_seconds,
            top: GAP + row_height * row as u32 + names,
            last: row + 1 == rows,
        };
        area.draw_spans(&mut sheet, spans);
        area.draw_wave(&mut sheet, clip, scale);
        area.draw_times(&mut sheet);
    }
    Ok(sheet)
}

/// A part of the clip, and where it is drawn.
struct Row {
    from: f64,
    seconds: f64,
    /// Upper edge of the wave.
    top: u32,
    last: bool,
}

impl Row {
    const INNER: u32 = WIDTH - 2 * MARGIN;

    /// Where a time lies, held to the row.
    fn x(&self, time: f64) -> u32 {
        let share = ((time - self.from) / self.seconds).clamp(0.0, 1.0);
        MARGIN + (share * f64::from(Self::INNER)).round() as u32
    }

    fn draw_spans(&self, sheet: &mut RgbImage, spans: &[(&str, f64, f64)]) {
        let mut free = 0;
        for (i, (name, start, end)) in spans.iter().enumerate() {
            if !(*end > self.from && *start < self.from + self.seconds && start <= end) {
                continue;
            }
            let (left, right) = (self.x(*start), self.x(*end));
            for x in left..right.max(left + 1) {
                let colour = if x == left { LINE } else { STRIPE };
                if x == left || i % 2 == 0 {
                    (self.top - 3..self.top + WAVE).for_each(|y| sheet.put_pixel(x, y, colour));
                }
            }
            // A word cut by the end of a row is named where it begins.
            if *start < self.from {
                continue;
            }
            let width = NAME.width(name) as i32;
            let middle = (left + right) as i32 / 2 - width / 2;
            let at = middle.max(0).min(WIDTH as i32 - width - 1);
            // Moved a little, but not off its span, to where there is room.
            let at = if at < free && free <= right as i32 - width / 2 { free } else { at };
            if at >= free && at + width < WIDTH as i32 {
                NAME.draw(sheet, at, self.top as i32 - NAMES as i32 + 1, name);
                free = at + width + APART;
            }
        }
    }

    fn draw_wave(&self, sheet: &mut RgbImage, clip: &Clip, scale: f32) {
        let middle = self.top + WAVE / 2;
        let reach = (WAVE / 2 - 2) as f32;
        let sample = |x: u32| {
            let time = self.from + f64::from(x) / f64::from(Self::INNER) * self.seconds;
            ((time * f64::from(clip.rate)).round() as usize).min(clip.samples.len())
        };
        for x in 0..Self::INNER {
            let from = sample(x).min(clip.samples.len() - 1);
            let part = &clip.samples[from..sample(x + 1).max(from + 1)];
            let low = part.iter().copied().fold(f32::INFINITY, f32::min) * scale;
            let high = part.iter().copied().fold(f32::NEG_INFINITY, f32::max) * scale;
            let loud = (part.iter().map(|s| s * s).sum::<f32>() / part.len() as f32).sqrt() * scale;
            let y = |level: f32| (middle as i32 - (level.clamp(-1.0, 1.0) * reach).round() as i32) as u32;
            (y(high)..=y(low)).for_each(|y| sheet.put_pixel(MARGIN + x, y, PEAK));
            let (high, low) = (loud.min(high.max(0.0)), (-loud).max(low.min(0.0)));
            (y(high)..=y(low)).for_each(|y| sheet.put_pixel(MARGIN + x, y, LOUD));
        }
    }

    fn draw_times(&self, sheet: &mut RgbImage) {
        let bottom = self.top + WAVE;
        (MARGIN..MARGIN + Self::INNER).for_each(|x| sheet.put_pixel(x, bottom, LINE));
        let ticks = time_ticks(self.seconds, 10.0);
        let step = ticks.get(1).map_or(self.seconds, |(step, _)| *step);
        let places = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
        let mut time = (self.from / step - 1e-6).ceil().max(0.0) * step;
        while time <= self.from + self.seconds + 1e-9 {
            let x = self.x(time);
            (bottom..bottom + 4).for_each(|y| sheet.put_pixel(x.min(WIDTH - 1), y, FAINT));
            let ends = self.last && time + step > self.from + self.seconds;
            let name = format!("{time:.places$}{}", if ends { " s" } else { "" });
            let width = TIME.width(&name) as i32;
            let at = (x as i32 - width / 2).clamp(1, WIDTH as i32 - width - 1);
            TIME.draw(sheet, at, bottom as i32 + 5, &name);
            time += step;
        }
    }
}
