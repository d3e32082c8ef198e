//! Where the figure of a picture is and where its background: of photographs a network tells, of drawings the
//! background's even colour. Who is seen, and how anything moves, is not known here.

use crate::landmarks::Landmarks;
use crate::portrait::luma;
use image::{GrayImage, Luma};
use spinbot::Fault;
use spinbot_media::RgbImage;
use spinbot_models::Device;
use spinbot_models::matte::Matte;

use crate::step::model_fault;

/// Share of the face's pixels that must be figure, and least share of the picture that must be background, for a matte
/// to be believed.
const FACE: f32 = 0.97;
const BACKGROUND: f32 = 0.04;
/// How much neighbours of an even background differ at most, and how much all of it from the border it grew from, in levels
/// of a channel: backgrounds are shaded.
const STEP: i32 = 7;
const DRIFT: i32 = 60;
/// Radius of the neighbourhood in which edges of a matte are laid on edges of the picture, as a share of its longer side, and
/// the variance of brightness, in levels squared, below which there is no edge.
const REACH: f32 = 1.0 / 64.0;
const EVEN: f32 = 40.0;

/// How a matte was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// By the network.
    Person,
    /// By the even colour of the background.
    EvenBackground,
    /// Not at all: all of it counts as figure.
    Nothing,
}

/// The share of the figure in each pixel, and how it was found.
pub(crate) fn of(picture: &RgbImage, landmarks: &Landmarks) -> Result<(GrayImage, Found), Fault> {
    let (width, height) = picture.dimensions();
    let network = Matte::load(&Device::cpu()).map_err(model_fault)?;
    let shares = network.of(picture.as_raw(), width, height).map_err(model_fault)?;
    let shares = enlarged(&shares, Matte::side(), width as usize, height as usize);
    if believable(&shares, width, landmarks) {
        let refined = guided(&shares, picture);
        return Ok((grey(&refined, width, height), Found::Person));
    }
    let shares = not_border_coloured(picture);
    if believable(&shares, width, landmarks) {
        return Ok((grey(&blurred(&shares, width as usize, 1), width, height), Found::EvenBackground));
    }
    Ok((GrayImage::from_pixel(width, height, Luma([255])), Found::Nothing))
}

/// That the face is figure, and something is not.
fn believable(shares: &[f32], width: u32, landmarks: &Landmarks) -> bool {
    let [left, top, right, bottom] = Landmarks::bounds(&landmarks.points);
    let (cx, cy) = ((left + right) / 2.0, (top + bottom) / 2.0);
    // An ellipse within the face: its box's corners are hair and neck.
    let (rx, ry) = (0.42 * (right - left), 0.42 * (bottom - top));
    let (mut face, mut pixels, mut background) = (0.0, 0.0, 0.0);
    for (at, share) in shares.iter().enumerate() {
        let (x, y) = ((at as u32 % width) as f32, (at as u32 / width) as f32);
        if ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) <= 1.0 {
            face += share;
            pixels += 1.0;
        }
        background += f32::from(*share < 0.1);
    }
    pixels > 0.0 && face / pixels > FACE && background / shares.len() as f32 > BACKGROUND
}

/// A square of shares as wide and high as the picture, bilinear.
fn enlarged(shares: &[f32], side: usize, width: usize, height: usize) -> Vec<f32> {
    let at = |x: usize, y: usize| shares[y.min(side - 1) * side + x.min(side - 1)];
    let place = |i: usize, length: usize| ((i as f32 + 0.5) * side as f32 / length as f32 - 0.5).max(0.0);
    let mut out = Vec::with_capacity(width * height);
    for y in 0..height {
        let v = place(y, height);
        let (y0, fy) = (v as usize, v.fract());
        for x in 0..width {
            let u = place(x, width);
            let (x0, fx) = (u as usize, u.fract());
            let top = at(x0, y0) * (1.0 - fx) + at(x0 + 1, y0) * fx;
            let bottom = at(x0, y0 + 1) * (1.0 - fx) + at(x0 + 1, y0 + 1) * fx;
            out.push(top * (1.0 - fy) + bottom * fy);
        }
    }
    out
}

/// 0 where colour runs on from the upper and side borders without a step, 1 elsewhere. The lower border is the figure's.
fn not_border_coloured(picture: &RgbImage) -> Vec<f32> {
    let (width, height) = picture.dimensions();
    let mut shares = vec![1.0; (width * height) as usize];
    let sides = (0..height * 3 / 5).flat_map(|y| [(0, y), (width - 1, y)]);
    let border = (0..width).map(|x| (x, 0)).chain(sides);
    let mut open: Vec<((u32, u32), [u8; 3])> =
        border.map(|at| (at, picture.get_pixel(at.0, at.1).0)).collect();
    let apart = |a: [u8; 3], b: [u8; 3]| {
        (0..3).map(|k| (i32::from(a[k]) - i32::from(b[k])).abs()).max().unwrap_or_default()
    };
    while let Some(((x, y), seed)) = open.pop() {
        let share = &mut shares[(y * width + x) as usize];
        if *share == 0.0 {
            continue;
        }
        *share = 0.0;
        let here = picture.get_pixel(x, y).0;
        for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
            let (Some(x), Some(y)) = (x.checked_add_signed(dx), y.checked_add_signed(dy)) else { continue };
            if x < width && y < height {
                let there = picture.get_pixel(x, y).0;
                if apart(here, there) <= STEP && apart(seed, there) <= DRIFT {
                    open.push(((x, y), seed));
                }
            }
        }
    }
    // Pixels between background and outline belong half to either: a mean over neighbours gives them their share.
    shares
}

/// The shares with their edges moved onto those of the picture (He, Sun and Tang 2010, "Guided image filtering"), hardened a
/// little.
fn guided(shares: &[f32], picture: &RgbImage) -> Vec<f32> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let radius = ((width.max(height) as f32 * REACH) as usize).max(2);
    let guide: Vec<f32> =
        picture.pixels().map(|p| luma([p.0[0].into(), p.0[1].into(), p.0[2].into(), 0.0])).collect();
    let mean = |values: &[f32]| blurred(values, width, radius);
    let product = |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
    let (mean_i, mean_p) = (mean(&guide), mean(shares));
    let (mean_ii, mean_ip) = (mean(&product(&guide, &guide)), mean(&product(&guide, shares)));
    let slope: Vec<f32> = (0..guide.len())
        .map(|k| {
            let variance = (mean_ii[k] - mean_i[k] * mean_i[k]).max(0.0);
            (mean_ip[k] - mean_i[k] * mean_p[k]) / (variance + EVEN)
        })
        .collect();
    let offset: Vec<f32> = (0..guide.len()).map(|k| mean_p[k] - slope[k] * mean_i[k]).collect();
    let (slope, offset) = (mean(&slope), mean(&offset));
    (0..guide.len()).map(|k| ((slope[k] * guide[k] + offset[k] - 0.12) / 0.76).clamp(0.0, 1.0)).collect()
}

/// The mean over a square of `2 radius + 1` pixels a side, cut off at the picture's edges.
fn blurred(values: &[f32], width: usize, radius: usize) -> Vec<f32> {
    let height = values.len() / width;
    let mut across = vec![0.0; values.len()];
    for (row, out) in values.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
        running_mean(width, radius, |x| row[x], |x, mean| out[x] = mean);
    }
    let mut out = vec![0.0; values.len()];
    for x in 0..width {
        running_mean(height, radius, |y| across[y * width + x], |y, mean| out[y * width + x] = mean);
    }
    out
}

/// Gives for each of `length` places the mean of those within `radius`.
fn running_mean(length: usize, radius: usize, value: impl Fn(usize) -> f32, mut put: impl FnMut(usize, f32)) {
    let mut sum: f64 = (0..radius.min(length)).map(|i| f64::from(value(i))).sum();
    let mut count = radius.min(length);
    for i in 0..length {
        if i + radius < length {
            sum += f64::from(value(i + radius));
            count += 1;
        }
        if i > radius {
            sum -= f64::from(value(i - radius - 1));
            count -= 1;
        }
        put(i, (sum / count as f64) as f32);
    }
}

fn grey(shares: &[f32], width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        Luma([(shares[(y * width + x) as usize].clamp(0.0, 1.0) * 255.0 + 0.5) as u8])
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::Rgb;

    /// A face's box as landmarks.
    fn face(width: u32, height: u32, [left, top, right, bottom]: [f32; 4]) -> Landmarks {
        let points = vec![[left, top], [right, bottom]];
        Landmarks { width, height, score: 1.0, points, drawn: false, mesh: Vec::new() }
    }

    #[test]
    fn a_drawing_is_told_from_its_shaded_background_and_a_busy_one_is_left_whole() {
        let shade = |x: u32, y: u32| {
            let inside = (x as f32 - 64.0).hypot(y as f32 - 60.0) < 36.0 || (y > 90 && (30..98).contains(&x));
            if inside { Rgb([220, 180, 40]) } else { Rgb([90 + (x / 8) as u8, 120, 160 + (y / 8) as u8]) }
        };
        let drawing = RgbImage::from_fn(128, 128, shade);
        let landmarks = face(128, 128, [40.0, 40.0, 88.0, 90.0]);
        let (matte, found) = of(&drawing, &landmarks).unwrap();
        assert_eq!(found, Found::EvenBackground);
        let at = |x, y| matte.get_pixel(x, y).0[0];
        assert_eq!((at(64, 60), at(64, 120), at(10, 10), at(110, 100)), (255, 255, 0, 0));
        assert!((1..255).contains(&at(64, 24)) || (1..255).contains(&at(64, 25)), "edges are soft");
        let noise = RgbImage::from_fn(128, 128, |x, y| Rgb([(x * 7919 + y * 104_729) as u8; 3]));
        let (matte, found) = of(&noise, &landmarks).unwrap();
        assert_eq!(found, Found::Nothing);
        assert!(matte.pixels().all(|p| p.0 == [255]));
    }

    #[test]
    fn means_over_squares_count_only_what_is_inside() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(blurred(&values, 3, 1), [3.0, 3.5, 4.0, 3.0, 3.5, 4.0]);
        assert_eq!(blurred(&values, 3, 9), [3.5; 6]);
    }
}
