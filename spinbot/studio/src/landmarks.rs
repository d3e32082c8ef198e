//! The landmarks of one face as steps hand them on, and how they are drawn for a person to check.

use serde::{Deserialize, Serialize};
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
