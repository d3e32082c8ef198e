//! Upper lids: the skin between brow fold and lash line is drawn down over the eye, lashes and all.

use super::geometry::{Axes, Curve, Point, middle};
use super::raster::{Raster, luma};
use crate::ease::smoothstep;

/// One eye of the photo.
pub(crate) struct Lid {
    axes: Axes,
    /// The edge of the upper lid below its lashes, pixels of `v`.
    top: Curve,
    /// The lower lid's edge.
    bottom: Curve,
    /// Height of the skin above the edge that stretches, in pixels.
    fold: f32,
    /// Height of the lashes above the edge, which do not stretch, in pixels.
    lashes: f32,
}

/// What a pixel near an eye shows.
pub(crate) struct LidPixel {
    /// Where in the photo the lid's skin here comes from.
    pub(crate) source: Point,
    /// How much of the pixel the lid covers.
    pub(crate) cover: f32,
    /// Brightness of the lid here: it turns away from the light, and its lashes are dark.
    pub(crate) light: f32,
    /// Brightness of the eye below it, which the lid shades.
    pub(crate) under: f32,
}

impl Lid {
    /// Along the lids' edges as the mesh has them, each from the eye's left corner to its right, with the middle of the brow
    /// above.
    pub(crate) fn along(top: &[Point], bottom: &[Point], brow: Point) -> Self {
        let corners = (top[0], top[top.len() - 1]);
        let tight = Axes::between(corners.0, corners.1);
        let axes = tight.with_half(1.03 * tight.half);
        let through = |line: &[Point]| {
            let mut knots = vec![(-1.0, 0.0), (1.0, 0.0)];
            knots.extend(line.iter().map(|&p| axes.local(p)).filter(|k| k.0.abs() < 0.97));
            Curve::through(&knots)
        };
        let (top, bottom) = (through(top), through(bottom));
        let bottom = Curve::of(|i, _| bottom.0[i].max(top.0[i] + 0.3));
        let height = (bottom.at(0.0) - top.at(0.0)).max(2.0);
        let room = top.at(0.0) - axes.local(brow).1;
        let fold = (0.6 * room).clamp(0.6 * height, 2.2 * height);
        Lid { axes, top, bottom, fold, lashes: (0.34 * height).min(0.4 * fold) }
    }

    /// From the six landmarks of an eye, left corner first, clockwise, and the middle of the brow above it.
    ///
    /// The network draws eyes too small: its corners lie within the eye's and its lower lid crosses the iris. So
    /// the lower edge is looked for below, and the corners go outwards and down with it.
    pub(crate) fn read(photo: &Raster, eye: &[Point], brow: Point) -> Self {
        let tight = Axes::between(eye[0], eye[3]);
        let v_of = |p: Point| tight.local(p).1;
        let height = ((v_of(eye[4]) + v_of(eye[5]) - v_of(eye[1]) - v_of(eye[2])) / 2.0).max(2.0);
        let lower = tight.local(middle(eye[4], eye[5]));
        let light = |u: f32, v: f32| {
            let p = tight.point(u, v);
            luma(photo.linear(p[0], p[1]))
        };
        // From iris to skin: the steepest gain of light downwards.
        let mut below: Vec<f32> = (-3_i16..=3)
            .filter_map(|k| {
                let u = lower.0 + f32::from(k) * 0.1;
                (0_i16..=14)
                    .map(|s| f32::from(s) * 0.05 * height)
                    .map(|o| (o, light(u, lower.1 + o + 1.2) - light(u, lower.1 + o - 1.2)))
                    .max_by(|a, b| a.1.total_cmp(&b.1))
                    .filter(|best| best.1 > 8.0)
                    .map(|best| best.0)
            })
            .collect();
        below.sort_by(f32::total_cmp);
        let below = below.get(below.len() / 2).copied().unwrap_or(0.2 * height);
        let axes = tight.about(tight.point(0.0, 0.7 * below)).with_half(1.34 * tight.half);
        let through = |a: Point, b: Point, down: f32| {
            let moved = |p: Point| {
                let (u, v) = axes.local(p);
                (u, v + down)
            };
            Curve::through(&[(-1.0, 0.0), moved(a), moved(b), (1.0, 0.0)])
        };
        let top = through(eye[1], eye[2], 0.0);
        let bottom = through(eye[5], eye[4], below);
        let bottom = Curve::of(|i, _| bottom.0[i].max(top.0[i] + 0.3));
        let room = top.at(0.0) - axes.local(brow).1;
        let fold = (0.6 * room).clamp(0.6 * height, 2.2 * height);
        Lid { axes, top, bottom, fold, lashes: (0.42 * height).min(0.4 * fold) }
    }

    /// Its axes, and the edges of the upper and the lower lid on them.
    pub(crate) fn opening(&self) -> (Axes, &Curve, &Curve) {
        (self.axes, &self.top, &self.bottom)
    }

    /// The eye's box `[left, top, right, bottom]` within which [`Lid::pixel`] may answer.
    pub(crate) fn bounds(&self) -> [f32; 4] {
        let [x, y] = self.axes.centre;
        let reach = 1.25 * self.axes.half;
        [x - reach, y - reach.max(self.fold + reach / 2.0), x + reach, y + reach]
    }

    /// What the pixel at `p`, in the photo's coordinates, shows with the lid `shut` (0..=1).
    #[inline]
    pub(crate) fn pixel(&self, p: Point, shut: f32) -> Option<LidPixel> {
        let (u, v) = self.axes.local(p);
        if u.abs() >= 1.0 {
            return None;
        }
        let (top, bottom) = (self.top.at(u), self.bottom.at(u));
        let line = top + shut * (bottom - top);
        let crease = top - self.fold * (1.0 - 0.6 * u * u);
        let shadow = 1.0 + 0.35 * (bottom - top);
        if v < crease || v > line + shadow {
            return None;
        }
        // The edge with its lashes goes down as it is; the skin above gives the length.
        let lashes = self.lashes * (1.0 - 0.6 * u * u);
        let above = line - v;
        let source = if above < lashes {
            top - above
        } else {
            crease + (v - crease) / (line - lashes - crease) * (top - lashes - crease)
        };
        let cover = (above + 0.5).clamp(0.0, 1.0);
        let ends = 1.0 - u.powi(4);
        let near = above / (0.6 + 0.04 * self.axes.half);
        let edge = 0.35 * shut * ends * (-near * near).exp();
        // The shut lid bulges over the eye and is lit a little less towards its edge.
        let turned = 0.10 * shut * ends * smoothstep(line - 1.6 * (bottom - top), line, v);
        let light = (1.0 - edge) * (1.0 - turned);
        let under = 1.0 - 0.35 * shut.min(0.7) * smoothstep(line + shadow, line, v);
        Some(LidPixel { source: self.axes.point(u, source), cover, light, under })
    }
}
