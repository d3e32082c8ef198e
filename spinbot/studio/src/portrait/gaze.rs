//! Eyes that look aside: the iris slides within its lids. Only where the photo shows an iris with white on both sides; a dot
//! that is drawn for an eye stays where it is.

use super::geometry::{Axes, Curve, Point};
use super::lids::Lid;
use super::raster::{Raster, luma};
use crate::ease::smoothstep;

/// How much lighter the white of an eye must be than its iris, in levels of brightness.
const CONTRAST: f32 = 24.0;
/// How far the iris goes at most, right and down, in its radii.
const WAY: [f32; 2] = [0.55, 0.30];
/// How far around the iris the white gives way, in its radii.
const REACH: f32 = 2.1;

/// One eye's iris, and the lids it slides between.
pub(crate) struct Iris {
    axes: Axes,
    top: Curve,
    bottom: Curve,
    centre: Point,
    radius: f32,
}

impl Iris {
    /// The darkest disc between the lids, if it has white on both sides.
    pub(crate) fn find(photo: &Raster, lid: &Lid) -> Option<Iris> {
        let (axes, top, bottom) = lid.opening();
        let height = bottom.at(0.0) - top.at(0.0);
        if height < 3.0 {
            return None;
        }
        let inside = |u: f32, v: f32| v > top.at(u) && v < bottom.at(u) && u.abs() < 0.95;
        // Means over the points of a disc or ring that lie between the lids.
        let mean = |u: f32, v: f32, from: f32, to: f32, side: f32| -> Option<f32> {
            let (mut sum, mut count) = (0.0, 0.0);
            for ring in 0..3 {
                let radius = from + (to - from) * ring as f32 / 2.0;
                for step in 0..12 {
                    let angle = std::f32::consts::TAU * step as f32 / 12.0;
                    let (du, dv) = (radius * angle.cos() / axes.half, radius * angle.sin());
                    // Only what is at that side, where a side is asked for.
                    let counts = side == 0.0 || (angle.cos() * side > 0.75);
                    if counts && inside(u + du, v + dv) {
                        let p = axes.point(u + du, v + dv);
                        sum += luma(photo.linear(p[0], p[1]));
                        count += 1.0;
                    }
                }
            }
            (count >= 3.0).then(|| sum / count)
        };
        let mut best: Option<(f32, Iris)> = None;
        for size in [0.38, 0.46, 0.54, 0.62] {
            let radius = size * height;
            for across in -9_i16..=9 {
                let u = f32::from(across) * 0.05;
                let middle = (top.at(u) + bottom.at(u)) / 2.0;
                for down in -3_i16..=3 {
                    let v = middle + f32::from(down) * 0.08 * height;
                    let Some(disc) = mean(u, v, 0.0, 0.85 * radius, 0.0) else { continue };
                    let beside = |side| mean(u, v, 1.2 * radius, 1.7 * radius, side);
                    let (Some(left), Some(right)) = (beside(-1.0), beside(1.0)) else { continue };
                    let contrast = left.min(right) - disc;
                    if contrast > best.as_ref().map_or(CONTRAST, |(contrast, _)| *contrast) {
                        let centre = axes.point(u, v);
                        let iris = Iris { axes, top: top.clone(), bottom: bottom.clone(), centre, radius };
                        best = Some((contrast, iris));
                    }
                }
            }
        }
        best.map(|(_, iris)| iris)
    }

    /// Where in the photo the pixel at `p` of the looking eye is; nothing where it is no part of the eye.
    #[inline]
    pub(crate) fn looked(&self, p: Point, gaze: [f32; 2]) -> Option<Point> {
        let d = [p[0] - self.centre[0], p[1] - self.centre[1]];
        let far = (d[0] * d[0] + d[1] * d[1]) / (REACH * self.radius).powi(2);
        if far >= 1.0 {
            return None;
        }
        let (u, v) = self.axes.local(p);
        let (above, below) = (v - self.top.at(u), self.bottom.at(u) - v);
        if u.abs() >= 1.0 || above <= 0.0 || below <= 0.0 {
            return None;
        }
        let fall = (1.0 - far).powi(2) * (1.0 - smoothstep(0.75, 1.0, u.abs()));
        // Up and down the lids' edges stay.
        let lids = smoothstep(0.0, 0.35 * self.radius, above.min(below));
        Some([
            p[0] - gaze[0] * WAY[0] * self.radius * fall,
            p[1] - gaze[1] * WAY[1] * self.radius * fall * lids,
        ])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Skin with an almond of white, 40 wide and 16 high about (40, 30), and a dark iris of 7 about (43, 30).
    fn eye(iris: u8, white: u8) -> Raster {
        let (width, height) = (80, 60);
        let pixel = |at: usize| {
            let (x, y) = ((at % width) as f32 - 40.0, (at / width) as f32 - 30.0);
            let open = y.abs() < 8.0 * (1.0 - (x / 20.0).powi(2));
            match open {
                true if (x - 3.0).hypot(y) < 7.0 => [iris; 3],
                true => [white; 3],
                false => [190, 150, 130],
            }
        };
        Raster::from_rgb(&(0..width * height).flat_map(pixel).collect::<Vec<u8>>(), width, height)
    }

    fn lid() -> Lid {
        let edge = |side: f32| -> Vec<Point> {
            (0..9)
                .map(|n| n as f32 * 5.0)
                .map(|x| [20.0 + x, 30.0 + side * 8.0 * (1.0 - (x / 20.0 - 1.0).powi(2))])
                .collect()
        };
        Lid::along(&edge(-1.0), &edge(1.0), [40.0, 10.0])
    }

    #[test]
    fn an_iris_is_found_where_it_is_and_a_plain_eye_has_none() {
        let photo = eye(40, 220);
        let iris = Iris::find(&photo, &lid()).unwrap();
        let off = (iris.centre[0] - 43.0).hypot(iris.centre[1] - 30.0);
        assert!(off < 2.5, "{:?}", iris.centre);
        for plain in [eye(220, 220), eye(40, 40)] {
            assert!(Iris::find(&plain, &lid()).is_none());
        }
    }

    #[test]
    fn the_iris_slides_and_what_is_around_the_eye_stays() {
        let photo = eye(40, 220);
        let iris = Iris::find(&photo, &lid()).unwrap();
        let right = [1.0, 0.0];
        let moved = iris.looked([iris.centre[0] + 0.5 * iris.radius, iris.centre[1]], right).unwrap();
        assert!(moved[0] < iris.centre[0] + 0.2 * iris.radius, "the iris is where white was");
        assert!(iris.looked([40.0, 12.0], right).is_none() && iris.looked([70.0, 30.0], right).is_none());
        // Nothing folds: from left to right sources only rise.
        let row: Vec<f32> = (0..600)
            .filter_map(|n| iris.looked([10.0 + 0.1 * n as f32, 30.0], right))
            .map(|p| p[0])
            .collect();
        assert!(row.windows(2).all(|w| w[1] > w[0]));
    }
}
