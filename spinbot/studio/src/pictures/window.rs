//! Which part of a picture is learned from: a head and shoulders, or all of it that fits its size.

use super::bucket::Buckets;
use spinbot_media::{RgbImage, picture};
use spinbot_models::faces::FaceBox;

/// Height of the detector's box (brow to chin) in what is cut out around a face.
const FACE_SHARE: f32 = 0.38;
/// Where the middle of that box lies from the top.
const FACE_MIDDLE: f32 = 0.46;
/// A face whose middle is this far from the picture's, as a share of its diagonal, counts as half as large.
const OFF_CENTRE: f32 = 0.25;

/// A part of a picture and the size it is scaled to, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) to: (u32, u32),
}

impl Window {
    /// A square around a face, within the picture. It takes in more than head and shoulders where it would have to be
    /// enlarged otherwise.
    pub(crate) fn around(face: &FaceBox, (width, height): (u32, u32), buckets: &Buckets) -> Self {
        let to = buckets.square();
        let tight = face.w.max(face.h) / FACE_SHARE;
        let side = tight.max((to.0 as f32).min(1.5 * tight)).min(width.min(height) as f32).floor().max(1.0);
        let place = |middle: f32, share: f32, length: u32| {
            (middle - share * side).clamp(0.0, length as f32 - side).round() as u32
        };
        let x = place(face.x + face.w / 2.0, 0.5, width);
        let y = place(face.y + face.h / 2.0, FACE_MIDDLE, height);
        Window { x, y, width: side as u32, height: side as u32, to }
    }

    /// As much of the picture as has the shape of its size; of a tall one more is taken off the bottom, where there
    /// are feet, than off the top, where there may be a face.
    pub(crate) fn whole((width, height): (u32, u32), buckets: &Buckets) -> Self {
        let to = buckets.nearest(width, height);
        let fit = (f64::from(width) / f64::from(to.0)).min(f64::from(height) / f64::from(to.1));
        let side = |to: u32, most: u32| ((f64::from(to) * fit).round() as u32).clamp(1, most);
        let (w, h) = (side(to.0, width), side(to.1, height));
        Window { x: (width - w) / 2, y: (height - h) / 3, width: w, height: h, to }
    }

    /// How many times it is enlarged; below 1 it is shrunk.
    pub(crate) fn enlarged(&self) -> f32 {
        self.to.0 as f32 / self.width.max(1) as f32
    }

    /// Cuts it out.
    pub(crate) fn cut(&self, picture: &RgbImage) -> RgbImage {
        let part = image::imageops::crop_imm(picture, self.x, self.y, self.width, self.height).to_image();
        picture::resize(&part, self.to.0, self.to.1)
    }

    /// A face of the picture where it lies in what was cut out, within its edges.
    pub(crate) fn moved(&self, face: &FaceBox) -> [f32; 4] {
        let scale = [self.to.0 as f32 / self.width as f32, self.to.1 as f32 / self.height as f32];
        let left = ((face.x - self.x as f32) * scale[0]).clamp(0.0, self.to.0 as f32);
        let top = ((face.y - self.y as f32) * scale[1]).clamp(0.0, self.to.1 as f32);
        let right = ((face.x + face.w - self.x as f32) * scale[0]).clamp(left, self.to.0 as f32);
        let bottom = ((face.y + face.h - self.y as f32) * scale[1]).clamp(top, self.to.1 as f32);
        [left, top, right - left, bottom - top]
    }
}

/// The face that is meant: large, and near the middle.
pub(crate) fn main_face(faces: &[FaceBox], (width, height): (u32, u32)) -> Option<&FaceBox> {
    let (width, height) = (width as f32, height as f32);
    let weight = |face: &FaceBox| {
        let off = (face.x + face.w / 2.0 - width / 2.0).hypot(face.y + face.h / 2.0 - height / 2.0);
        face.w * face.h * 0.5_f32.powf(off / (OFF_CENTRE * width.hypot(height)))
    };
    faces.iter().max_by(|a, b| weight(a).total_cmp(&weight(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, y: f32, side: f32) -> FaceBox {
        FaceBox { score: 0.9, x, y, w: side, h: side }
    }

    #[test]
    fn windows_lie_within_the_picture_and_keep_its_shape() {
        let buckets = Buckets::new(512, 64);
        for (size, face) in [
            ((4000, 3000), face(1800.0, 900.0, 500.0)),
            ((3000, 4000), face(-20.0, -10.0, 900.0)),
            ((640, 480), face(500.0, 400.0, 120.0)),
            ((128, 128), face(30.0, 40.0, 60.0)),
            ((64, 2000), face(2.0, 1900.0, 40.0)),
        ] {
            for window in [Window::around(&face, size, &buckets), Window::whole(size, &buckets)] {
                assert!(
                    window.x + window.width <= size.0 && window.y + window.height <= size.1,
                    "{window:?}"
                );
                assert!(window.width > 0 && window.height > 0, "{window:?}");
                let shape = |w: u32, h: u32| w as f32 / h as f32;
                let ratio = shape(window.width, window.height) / shape(window.to.0, window.to.1);
                assert!((ratio - 1.0).abs() < 0.02, "{window:?}");
                let [x, y, w, h] = window.moved(&face);
                assert!(x >= 0.0 && y >= 0.0 && x + w <= window.to.0 as f32 + 0.01, "{window:?}");
                assert!(y + h <= window.to.1 as f32 + 0.01, "{window:?}");
            }
        }
        // A face that is large enough is cut out tightly, and is where it was.
        let window = Window::around(&face(1800.0, 900.0, 500.0), (4000, 3000), &buckets);
        assert_eq!((window.width, window.to), (1315, (512, 512)));
        let [x, _, w, _] = window.moved(&face(1800.0, 900.0, 500.0));
        assert!((x + w / 2.0 - 256.0).abs() < 1.0 && (w - 500.0 / 1315.0 * 512.0).abs() < 0.5);
    }

    #[test]
    fn the_face_that_is_meant_is_large_and_near_the_middle() {
        let size = (1000, 1000);
        let faces = [face(0.0, 0.0, 150.0), face(430.0, 430.0, 120.0), face(900.0, 800.0, 60.0)];
        assert_eq!(main_face(&faces, size), Some(&faces[1]));
        let faces = [face(0.0, 100.0, 400.0), face(470.0, 470.0, 60.0)];
        assert_eq!(main_face(&faces, size), Some(&faces[0]));
        assert_eq!(main_face(&[], size), None);
    }
}
