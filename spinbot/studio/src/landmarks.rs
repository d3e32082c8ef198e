//! The landmarks of one face as steps hand them on, and how they are drawn for a person to check.

use crate::portrait::luma;
use serde::{Deserialize, Serialize};
use spinbot::face::PlacedFace;
use spinbot_media::RgbImage;

/// The 68 landmarks (iBUG's numbering) of the one face in a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Landmarks {
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// How sure the detector was of the face, 0..=1.
    pub score: f32,
    /// x and y in pixels from the picture's top left corner; always 68.
    pub points: Vec<[f32; 2]>,
    /// Whether the face is known to be drawn.
    #[serde(default)]
    pub drawn: bool,
    /// The 468 points of the mesh over the face of a photograph; none where no mesh fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mesh: Vec<[f32; 2]>,
}

/// The left half of a face whose eyes are 1 apart and whose mouth is 1 below them, from between the eyes: the median of
/// faces found in drawings and photographs, made symmetrical. The jaw from the ear to the chin, a brow from outside to
/// inside, the nose's ridge, its underside to the middle, an eye from its outer corner over the upper lid and back.
const JAW: [[f32; 2]; 9] = [
    [-1.12, 0.11],
    [-1.10, 0.38],
    [-1.05, 0.64],
    [-0.98, 0.86],
    [-0.86, 1.09],
    [-0.71, 1.27],
    [-0.53, 1.40],
    [-0.31, 1.50],
    [0.0, 1.58],
];
const BROW: [[f32; 2]; 5] = [[-0.91, -0.23], [-0.78, -0.37], [-0.60, -0.41], [-0.43, -0.40], [-0.28, -0.35]];
const RIDGE: [[f32; 2]; 4] = [[0.0, -0.01], [0.0, 0.17], [0.0, 0.32], [0.0, 0.48]];
const NOSTRILS: [[f32; 2]; 3] = [[-0.18, 0.64], [-0.10, 0.66], [0.0, 0.68]];
const EYE: [[f32; 2]; 6] =
    [[-0.69, 0.0], [-0.58, -0.07], [-0.43, -0.07], [-0.30, 0.02], [-0.42, 0.05], [-0.58, 0.06]];
/// A closed mouth whose corners are 1 apart, from its middle: the outer edge over the upper lip and back, then the inner.
const LIPS: [[f32; 2]; 20] = [
    [-0.50, 0.0],
    [-0.33, -0.07],
    [-0.12, -0.11],
    [0.0, -0.09],
    [0.12, -0.11],
    [0.33, -0.07],
    [0.50, 0.0],
    [0.34, 0.10],
    [0.17, 0.14],
    [0.0, 0.16],
    [-0.17, 0.14],
    [-0.34, 0.10],
    [-0.45, 0.0],
    [-0.15, -0.01],
    [0.0, -0.01],
    [0.15, -0.01],
    [0.45, 0.0],
    [0.15, 0.01],
    [0.0, 0.01],
    [-0.15, 0.01],
];

/// The landmarks of a face placed by hand: those of a usual one, laid so that eyes and mouth fit. The lips follow the
/// drawn mouth between its corners where it is a bow.
pub(crate) fn placed(face: &PlacedFace, picture: &RgbImage) -> [[f32; 2]; 68] {
    let ([left, right], across, down) = (face.eyes, face.across(), face.down());
    let centre = [(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0];
    let at =
        |[x, y]: [f32; 2]| -> [f32; 2] { std::array::from_fn(|k| centre[k] + x * across[k] + y * down[k]) };
    let mirrored = |[x, y]: [f32; 2]| [-x, y];
    let [start, end] = face.mouth;
    let width = [end[0] - start[0], end[1] - start[1]];
    // Across the mouth, downwards.
    let lower = [-width[1], width[0]];
    let straight = |[x, y]: [f32; 2]| -> [f32; 2] {
        std::array::from_fn(|k| (start[k] + end[k]) / 2.0 + x * width[k] + y * lower[k])
    };
    let depth = bow(|point| brightness(picture, straight(point)));
    let lip = |[x, y]: [f32; 2]| straight([x, y + bent(depth, x)]);
    // The right eye's landmarks begin at its inner corner.
    let right_eye = [3, 2, 1, 0, 5, 4].map(|n| mirrored(EYE[n]));
    let features = JAW
        .into_iter()
        .chain(JAW[..8].iter().rev().map(|p| mirrored(*p)))
        .chain(BROW)
        .chain(BROW.into_iter().rev().map(mirrored))
        .chain(RIDGE)
        .chain(NOSTRILS)
        .chain(NOSTRILS[..2].iter().rev().map(|p| mirrored(*p)))
        .chain(EYE)
        .chain(right_eye)
        .map(at);
    let mut points = [[0.0; 2]; 68];
    points.iter_mut().zip(features.chain(LIPS.into_iter().map(lip))).for_each(|(to, from)| *to = from);
    points
}

/// How far a bow between the corners lies below the line through them at `x`, which is -0.5 and 0.5 at the corners.
fn bent(depth: f32, x: f32) -> f32 {
    depth * (1.0 - 4.0 * x * x)
}

/// Depth of the bow along which the picture differs most from its surroundings, or 0 where none stands out from the
/// straight line; `luma` tells the brightness in mouth widths from its middle.
fn bow(luma: impl Fn([f32; 2]) -> f32) -> f32 {
    /// Depths that a mouth is drawn with, in hundredths of its width.
    const DEPTHS: std::ops::RangeInclusive<i32> = -30..=35;
    /// How much more a bow must differ than the straight line, in levels of brightness.
    const MORE: f32 = 12.0;
    let columns: Vec<f32> = (0..11).map(|n| -0.4 + 0.08 * n as f32).collect();
    // What most of the pixels above and below have: other things may be near.
    let around = |x: f32| -> f32 {
        let mut column: Vec<f32> = (-7..=12).map(|n| luma([x, n as f32 * 0.05])).collect();
        column.sort_by(f32::total_cmp);
        column[column.len() / 2]
    };
    let surroundings: Vec<f32> = columns.iter().map(|x| around(*x)).collect();
    let differs = |depth: f32| -> f32 {
        let pairs = columns.iter().zip(&surroundings);
        pairs.map(|(x, around)| (luma([*x, bent(depth, *x)]) - around).abs()).sum::<f32>()
            / columns.len() as f32
    };
    let all: Vec<(f32, f32)> =
        DEPTHS.map(|n| n as f32 / 100.0).map(|depth| (depth, differs(depth))).collect();
    let most = all.iter().map(|(_, differs)| *differs).fold(0.0, f32::max);
    if most < differs(0.0) + MORE {
        return 0.0;
    }
    // A line has a width: its middle.
    let line: Vec<f32> =
        all.iter().filter(|(_, differs)| *differs > 0.9 * most).map(|(depth, _)| *depth).collect();
    line.iter().sum::<f32>() / line.len() as f32
}

/// Brightness of a place in a picture, 0..=255; that of its edge where it lies outside.
fn brightness(picture: &RgbImage, [x, y]: [f32; 2]) -> f32 {
    let pixel = |at: f32, length: u32| (at.max(0.0) as u32).min(length.saturating_sub(1));
    let [r, g, b] = picture.get_pixel(pixel(x, picture.width()), pixel(y, picture.height())).0.map(f32::from);
    luma([r, g, b, 0.0])
}

impl Landmarks {
    /// Smallest box around all of them: `[left, top, right, bottom]`.
    pub(crate) fn bounds(points: &[[f32; 2]]) -> [f32; 4] {
        points.iter().fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |b, p| {
            [b[0].min(p[0]), b[1].min(p[1]), b[2].max(p[0]), b[3].max(p[1])]
        })
    }

    /// The picture with the features drawn as lines and the landmarks as dots.
    pub(crate) fn drawn_on(&self, picture: &RgbImage) -> RgbImage {
        /// First and last landmark of each feature, and whether it is a ring.
        const FEATURES: [(usize, usize, bool); 9] = [
            (0, 16, false),
            (17, 21, false),
            (22, 26, false),
            (27, 30, false),
            (31, 35, false),
            (36, 41, true),
            (42, 47, true),
            (48, 59, true),
            (60, 67, true),
        ];
        let mut out = picture.clone();
        let size = (picture.width().max(picture.height()) as f32 / 512.0).max(0.7);
        for (first, last, ring) in FEATURES {
            let Some(points) = self.points.get(first..=last) else { continue };
            let next = points.iter().skip(1).chain(ring.then_some(&points[0]));
            for (a, b) in points.iter().zip(next) {
                let steps = (b[0] - a[0]).hypot(b[1] - a[1]).max(1.0) * 2.0;
                for k in 0..=steps as u32 {
                    let t = k as f32 / steps;
                    dot(
                        &mut out,
                        [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t],
                        0.5 * size,
                        [120, 220, 255],
                        0.5,
                    );
                }
            }
            for p in points {
                dot(&mut out, *p, 1.6 * size, [255, 214, 10], 1.0);
            }
        }
        out
    }
}

/// A soft-edged disc around `at`, laid over what is there by `strength`.
fn dot(picture: &mut RgbImage, at: [f32; 2], radius: f32, colour: [u8; 3], strength: f32) {
    let reach = radius.ceil() as i64 + 1;
    let (cx, cy) = (at[0].floor() as i64, at[1].floor() as i64);
    for y in cy - reach..=cy + reach {
        for x in cx - reach..=cx + reach {
            let far = (x as f32 + 0.5 - at[0]).hypot(y as f32 + 0.5 - at[1]);
            let cover = strength * (radius + 0.5 - far).clamp(0.0, 1.0);
            let inside =
                (0..i64::from(picture.width())).contains(&x) && (0..i64::from(picture.height())).contains(&y);
            if cover > 0.0 && inside {
                let pixel = picture.get_pixel_mut(x as u32, y as u32);
                for (p, c) in pixel.0.iter_mut().zip(colour) {
                    *p = (f32::from(*p) + (f32::from(c) - f32::from(*p)) * cover).round() as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_placed_face_has_its_eyes_and_mouth_where_they_were_placed_even_tilted() {
        for written in ["40,50 80,50 48,90 72,90", "40,50 80,62 38,92 60,98"] {
            let face: PlacedFace = written.parse().unwrap();
            let plain = RgbImage::from_pixel(128, 128, image::Rgb([200; 3]));
            let points = placed(&face, &plain);
            let middle = |range: std::ops::Range<usize>| -> [f32; 2] {
                let count = range.len() as f32;
                std::array::from_fn(|k| points[range.clone()].iter().map(|p| p[k]).sum::<f32>() / count)
            };
            let apart = face.across()[0].hypot(face.across()[1]);
            let near = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) < 0.03 * apart;
            assert!(near(middle(36..42), face.eyes[0]) && near(middle(42..48), face.eyes[1]), "{written}");
            assert_eq!([points[48], points[54]], face.mouth);
            // Left of the face is left in the picture, the chin below the mouth, the brows above the eyes.
            assert!(points[0][0] < points[36][0] && points[39][0] < points[42][0]);
            assert!(points[8][1] > points[57][1] && points[19][1] < points[37][1]);
        }
    }

    #[test]
    fn lips_follow_a_drawn_bow_and_stay_straight_without_one() {
        // A dark line that hangs by 0.2 of the mouth's width, another that is straight, and nothing.
        let drawn =
            |depth: f32| move |[x, y]: [f32; 2]| if (y - bent(depth, x)).abs() < 0.04 { 40.0 } else { 200.0 };
        assert!((bow(drawn(0.2)) - 0.2).abs() < 0.02, "{}", bow(drawn(0.2)));
        assert!((bow(drawn(-0.15)) + 0.15).abs() < 0.02);
        assert_eq!(bow(drawn(0.0)), 0.0);
        assert_eq!(bow(|_| 120.0), 0.0);
    }
}
