//! Where a face is in a picture, and its neighbourhood, from which networks get turned and scaled views.

use super::detector::FaceBox;
use super::landmarks::Points;
use crate::error::{ModelError, Result};
use crate::picture::{Crop, Picture, Square};

/// Where a face is, how large, and how far it is tilted.
pub(super) struct Pose {
    pub(super) centre: [f32; 2],
    /// Side of the square to show the network, in pixels of the picture.
    pub(super) side: f32,
    /// Radians; positive when the eye on the picture's right is the lower one.
    pub(super) angle: f32,
}

impl Pose {
    /// Of points in iBUG's order; `room` is the side over the points' extent.
    pub(super) fn of(points: &Points, room: f32) -> Pose {
        Pose::around(points, points, room)
    }

    /// Of a face whose extent is that of `all` its points, and its tilt that of the eyes among the 68.
    pub(super) fn around(all: &[[f32; 2]], points: &Points, room: f32) -> Pose {
        let middle = |range: std::ops::Range<usize>| {
            let count = range.len() as f32;
            points[range].iter().fold([0.0, 0.0], |[sx, sy], [x, y]| [sx + x / count, sy + y / count])
        };
        let ([lx, ly], [rx, ry]) = (middle(36..42), middle(42..48));
        let angle = (ry - ly).atan2(rx - lx);
        let (sin, cos) = angle.sin_cos();
        let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for [x, y] in all {
            for (axis, value) in [x * cos + y * sin, y * cos - x * sin].into_iter().enumerate() {
                low[axis] = low[axis].min(value);
                high[axis] = high[axis].max(value);
            }
        }
        let (x, y) = ((low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0);
        Pose {
            centre: [x * cos - y * sin, x * sin + y * cos],
            side: (high[0] - low[0]).max(high[1] - low[1]) * room,
            angle,
        }
    }
}

/// The neighbourhood of a face, resized once, from which all views are taken.
pub(super) struct Patch {
    pub(super) square: Square,
    /// Its top left corner in the picture.
    corner: [f32; 2],
    /// Pixels of the picture per pixel of the patch.
    pub(super) pixel: f32,
}

impl Patch {
    /// A square of `size` pixels, large enough to hold every view of the face at any tilt; black outside the picture.
    pub(super) fn around(picture: &Picture, pose: &Pose, size: usize) -> Result<Patch> {
        let reach = pose.side * 0.8;
        let face = FaceBox {
            score: 1.0,
            x: pose.centre[0] - reach,
            y: pose.centre[1] - reach,
            w: 2.0 * reach,
            h: 2.0 * reach,
        };
        let crop = cut(&face, picture)?;
        // One more than the reach: the corner is rounded down, so the far edge may lie a pixel further.
        let side = (2.0 * reach).ceil() as usize + 1;
        let (x, y) = (face.x.floor(), face.y.floor());
        let offset = ((crop.x as f32 - x) as usize, (crop.y as f32 - y) as usize);
        let square = picture.square(crop, side, offset, size);
        Ok(Patch { square, corner: [x, y], pixel: side as f32 / size as f32 })
    }

    pub(super) fn inside(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [(x - self.corner[0]) / self.pixel, (y - self.corner[1]) / self.pixel]
    }

    pub(super) fn outside(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [x * self.pixel + self.corner[0], y * self.pixel + self.corner[1]]
    }
}

/// The box cut to the picture's whole pixels.
pub(super) fn cut(face: &FaceBox, picture: &Picture) -> Result<Crop> {
    let refuse = || ModelError::FaceBox {
        x: face.x,
        y: face.y,
        w: face.w,
        h: face.h,
        width: picture.width as u32,
        height: picture.height as u32,
    };
    let (x, y) = (face.x.max(0.0), face.y.max(0.0));
    let w = (face.x + face.w - x).min(picture.width as f32 - x).floor();
    let h = (face.y + face.h - y).min(picture.height as f32 - y).floor();
    // `max` above takes NaN for 0, so the box itself is asked.
    let finite = [face.x, face.y, face.w, face.h].iter().all(|value| value.is_finite());
    if !finite || w < 1.0 || h < 1.0 {
        return Err(refuse());
    }
    Ok(Crop { x: x as usize, y: y as usize, w: w as usize, h: h as usize })
}
