//! Spectrograms to look at: clips side by side under their names, on one scale of time, of pitch (mel) and of
//! level, so that what looks louder or higher is. The picture has few colours and is kept as a palette PNG.

use crate::audio::Clip;
use crate::audio::spectrum::{Stft, decibels};
use crate::font::Text;
use crate::{MediaError, Result, colour, picture};
use image::{Rgb, RgbImage};

const INK: Rgb<u8> = Rgb([33, 37, 41]);
const FAINT: Rgb<u8> = Rgb([108, 117, 125]);
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
/// Colours of the scale: steps of a little more than a decibel are not seen, and make the file half as large.
const SHADES: u32 = 48;
/// The axis of pitch begins here, in Hz: below lie no voices, but thumps and rumble that would set the scale.
const LOWEST: f32 = 60.0;
/// Decibels from the loudest to the darkest.
const RANGE: f32 = 65.0;
/// Window of the analysis: three periods of a low voice, so that its harmonics are told apart.
const WINDOW_SECONDS: f64 = 0.030;
/// Pixels in a column of analysis and in a row, at most.
const PANELS_WIDTH: u32 = 760;
const HEIGHT: u32 = 230;
/// Longest clip drawn; of a longer one only the start.
const LONGEST: f64 = 120.0;
/// Most clips in one picture.
const MOST: usize = 4;
const LEFT: u32 = 52;
const RIGHT: u32 = 62;
const GAP: u32 = 14;
const TOP: u32 = 32;
const BOTTOM: u32 = 40;
const LABEL: Text = Text { size: 13.0, colour: FAINT };
const NAME: Text = Text { size: 16.0, colour: INK };

/// Draws the clips, each under its name, as a PNG of 874 pixels' width and less than 150 KB.
///
/// The scale of time is that of the longest clip, the scale of pitch reaches to half the lowest rate and at most
/// to 10 kHz, the scale of level begins at the loudest point of all clips: bring clips to the same loudness
/// before, unless the difference is to be seen.
///
/// # Errors
/// If there are no clips, more than four, or one has no samples.
pub fn png(clips: &[(&str, &Clip)]) -> Result<Vec<u8>> {
    picture::palette_png_bytes(&render(clips)?)
}

/// As [`png`], the picture itself.
///
/// # Errors
/// As [`png`].
pub fn render(clips: &[(&str, &Clip)]) -> Result<RgbImage> {
    if clips.is_empty() || clips.len() > MOST {
        return Err(MediaError::shape("drawing spectrograms", clips.len().to_string(), "1 to 4 clips"));
    }
    if let Some((name, _)) = clips.iter().find(|(_, clip)| clip.samples.is_empty()) {
        return Err(MediaError::shape("drawing spectrograms", format!("{name:?} without samples"), "sound"));
    }
    let count = clips.len() as u32;
    let width = (PANELS_WIDTH - GAP * (count - 1)) / count;
    let seconds = clips.iter().map(|(_, clip)| clip.seconds()).fold(0.0, f64::max).min(LONGEST);
    let top_hertz = clips.iter().map(|(_, clip)| clip.rate as f32 / 2.0).fold(10_000.0, f32::min);
    let levels = clips
        .iter()
        .map(|(_, clip)| levels(clip, width, seconds, top_hertz))
        .collect::<Result<Vec<Levels>>>()?;
    let loudest = levels.iter().flatten().flatten().copied().fold(-90.0, f32::max);

    let mut sheet = RgbImage::from_pixel(LEFT + PANELS_WIDTH + RIGHT, TOP + HEIGHT + BOTTOM, PAPER);
    for (i, ((name, _), levels)) in (0..count).zip(clips.iter().zip(&levels)) {
        let left = LEFT + i * (width + GAP);
        for (x, column) in (left..).zip(levels) {
            for (y, level) in (TOP..).zip(column) {
                sheet.put_pixel(x, y, shade((level - loudest) / RANGE + 1.0));
            }
        }
        if let [line] = &NAME.wrap(name, width, 1)[..] {
            NAME.draw(&mut sheet, left as i32, 8, line);
        }
        draw_times(&mut sheet, left, width, seconds);
    }
    draw_hertz(&mut sheet, top_hertz);
    draw_scale(&mut sheet);
    Ok(sheet)
}

/// Levels in dB: columns of rows from the highest pitch down. A clip shorter than the scale has fewer columns.
type Levels = Vec<Vec<f32>>;

fn levels(clip: &Clip, width: u32, seconds: f64, top_hertz: f32) -> Result<Levels> {
    let rate = f64::from(clip.rate);
    let column = seconds * rate / f64::from(width);
    let columns = (clip.samples.len() as f64 / column).round().clamp(1.0, f64::from(width)) as usize;
    let samples = &clip.samples[..clip.samples.len().min((columns as f64 * column).ceil() as usize)];
    let window = (WINDOW_SECONDS * rate).max(16.0) as usize;
    // Several windows in a column are averaged; several columns in a window share it.
    let hop = (window / 3).min(column as usize).max(1);
    let stft = Stft::new(window, hop, 2 * window.next_power_of_two());
    let rows: Vec<(usize, usize)> = (0..HEIGHT)
        .map(|row| {
            let edge = |row: u32| {
                let hertz = pitch_at((HEIGHT - row) as f32 / HEIGHT as f32, top_hertz);
                stft.bin(hertz, clip.rate)
            };
            let (low, high) = (edge(row + 1), edge(row));
            (low, high.max(low + 1))
        })
        .collect();
    let mut sums = vec![vec![0.0f32; rows.len()]; columns];
    let mut counts = vec![0.0f32; columns];
    stft.each(samples, |frame, bins| {
        let at = ((frame * hop) as f64 / column) as usize;
        let Some(count) = counts.get_mut(at) else { return };
        *count += 1.0;
        for (sum, (low, high)) in sums[at].iter_mut().zip(&rows) {
            let part = &bins[*low..(*high).min(bins.len())];
            *sum += part.iter().map(|bin| bin.norm_sqr()).sum::<f32>() / part.len().max(1) as f32;
        }
    })?;
    // A column no frame fell into is like the one before it.
    let mut levels: Levels = Vec::with_capacity(columns);
    for (sum, count) in sums.into_iter().zip(counts) {
        match levels.last() {
            Some(before) if count == 0.0 => levels.push(before.clone()),
            _ => levels.push(sum.into_iter().map(|sum| decibels(sum / count.max(1.0))).collect()),
        }
    }
    Ok(levels)
}

fn shade(share: f32) -> Rgb<u8> {
    let step = (share.clamp(0.0, 1.0) * (SHADES - 1) as f32).round();
    colour::heat(step / (SHADES - 1) as f32)
}

/// Mel (O'Shaughnessy, 1987).
fn to_mel(hertz: f32) -> f32 {
    2595.0 * (1.0 + hertz / 700.0).log10()
}

/// The frequency at a share of the axis, in Hz.
fn pitch_at(share: f32, top_hertz: f32) -> f32 {
    let mel = to_mel(LOWEST) + (to_mel(top_hertz) - to_mel(LOWEST)) * share;
    700.0 * (10f32.powf(mel / 2595.0) - 1.0)
}

fn line(sheet: &mut RgbImage, from: (u32, u32), size: (u32, u32)) {
    for y in from.1..(from.1 + size.1).min(sheet.height()) {
        for x in from.0..(from.0 + size.0).min(sheet.width()) {
            sheet.put_pixel(x, y, FAINT);
        }
    }
}

fn draw_times(sheet: &mut RgbImage, left: u32, width: u32, seconds: f64) {
    for (time, name) in time_ticks(seconds, f64::from(width) / 60.0) {
        let x = left + (time / seconds * f64::from(width - 1)).round() as u32;
        line(sheet, (x, TOP + HEIGHT), (1, 4));
        let half = LABEL.width(&name) as i32 / 2;
        // The last name ends with its panel.
        let at = (x as i32 - half).min((left + width) as i32 - 2 * half).max(left as i32 - half);
        LABEL.draw(sheet, at, (TOP + HEIGHT + 6) as i32, &name);
    }
}

/// Round times from 0 to `seconds`, at most `most` and one, with their names; the last has the unit.
pub(crate) fn time_ticks(seconds: f64, most: f64) -> Vec<(f64, String)> {
    let steps = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
    let step = steps.into_iter().find(|step| seconds / step <= most.max(1.0)).unwrap_or(3600.0);
    let places = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
    let count = (seconds / step * (1.0 + 1e-9)).floor() as usize;
    (0..=count)
        .map(|i| {
            let unit = if i == count { " s" } else { "" };
            (i as f64 * step, format!("{:.places$}{unit}", i as f64 * step))
        })
        .collect()
}

fn draw_hertz(sheet: &mut RgbImage, top_hertz: f32) {
    let mut last = i32::MAX;
    for hertz in [100.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0] {
        if hertz > top_hertz {
            break;
        }
        let share = (to_mel(hertz) - to_mel(LOWEST)) / (to_mel(top_hertz) - to_mel(LOWEST));
        let y = TOP + HEIGHT - 1 - (share * (HEIGHT - 1) as f32).round() as u32;
        let text = (y as i32 - 8).clamp(0, (TOP + HEIGHT) as i32 - 14);
        if text > last - 15 {
            continue;
        }
        last = text;
        line(sheet, (LEFT - 5, y), (4, 1));
        let name = if hertz >= 1000.0 { format!("{} kHz", hertz / 1000.0) } else { format!("{hertz}") };
        LABEL.draw(sheet, LEFT as i32 - 8 - LABEL.width(&name) as i32, text, &name);
    }
}

/// The bar of colours and its decibels.
fn draw_scale(sheet: &mut RgbImage) {
    let left = LEFT + PANELS_WIDTH + 12;
    for row in 0..HEIGHT {
        let colour = shade(1.0 - row as f32 / (HEIGHT - 1) as f32);
        for x in left..left + 10 {
            sheet.put_pixel(x, TOP + row, colour);
        }
    }
    for decibels in [0.0f32, 20.0, 40.0, 60.0] {
        let y = TOP + (decibels / RANGE * (HEIGHT - 1) as f32).round() as u32;
        line(sheet, (left + 10, y), (3, 1));
        let name = if decibels == 0.0 { "0 dB".to_owned() } else { format!("−{decibels}") };
        LABEL.draw(sheet, left as i32 + 16, y as i32 - 8, &name);
    }
}
