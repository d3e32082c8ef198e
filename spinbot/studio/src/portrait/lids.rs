//! Upper lids: the skin between brow fold and lash line is drawn down over the eye, lashes and all.

use super::geometry::{Axes, Curve, Point};
use super::raster::{Raster, luma};

/// One eye of the photo.
pub(crate) struct Lid {
    axes: Axes,
    /// The lash line of the upper lid, pixels of `v`.
    top: Curve,
    /// The lower lid's edge.
    bottom: Curve,
    /// Height of the skin above the lash line that stretches, in pixels.
    fold: f32,
}

/// What a pixel near an eye shows.
pub(crate) struct LidPixel {
    /// Where in the photo the lid's skin here comes from.
    pub(crate) source: Point,
    /// How much of the pixel the lid covers.
    pub(crate) cover: f32,
    /// Brightness of the lid here: it turns away from the light, and its lashes are dark.
    pub(crate) light: f32,
}

impl Lid {
    /// From the six landmarks of an eye, left corner first, clockwise, and the height of the brow above it.
    pub(crate) fn read(photo: &Raster, eye: &[Point], brow: Point) -> Self {
        // The landmarks lie within the eye's corners.
        let tight = Axes::between(eye[0], eye[3]);
        let axes = tight.with_half(tight.half * 1.16);
        let through = |a: Point, b: Point| {
            Curve::through(&[(-1.0, 0.0), axes.local(a), axes.local(b), (1.0, 0.0)])
        };
        let (mut top, bottom) = (through(eye[1], eye[2]), through(eye[5], eye[4]));
        let height = (bottom.at(0.0) - top.at(0.0)).max(2.0);
        // The lash line: the steepest fall of light from the lid's skin downwards, near the landmarks.
        let reach = 0.45 * height;
        let light = |u: f32, v: f32| {
            let p = axes.point(u, v);
            luma(photo.linear(p[0], p[1]))
        };
        let mut offsets: Vec<f32> = Vec::new();
        for k in -4_i16..=4 {
            let u = f32::from(k) * 0.14;
            let prior = top.at(u);
            let best = (-12_i16..=6)
                .map(|s| f32::from(s) / 12.0 * reach)
                .map(|o| (o, light(u, prior + o - 1.2) - light(u, prior + o + 1.2)))
                .max_by(|a, b| a.1.total_cmp(&b.1));
            offsets.extend(best.filter(|b| b.1 > 6.0).map(|b| b.0));
        }
        offsets.sort_by(f32::total_cmp);
        let offset = offsets.get(offsets.len() / 2).copied().unwrap_or(0.0);
        top = Curve::of(|i, u| top.0[i] + offset * (1.0 - u * u));
        let bottom = Curve::of(|i, _| bottom.0[i].max(top.0[i] + 0.5));
        let room = top.at(0.0) - axes.local(brow).1;
        let fold = (0.55 * room).clamp(0.5 * height, 2.0 * height);
        Lid { axes, top, bottom, fold }
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
        // Shut lids meet a little above the lower edge.
        let line = top + shut * 0.94 * (bottom - top);
        let crease = top - self.fold * (1.0 - 0.5 * u * u);
        if v < crease || v > line + 1.5 {
            return None;
        }
        // The skin next to the lashes keeps its grain; the fold above gives the length.
        let t = ((v - crease) / (line - crease)).min(1.0);
        let source = crease + t * (top - crease);
        let cover = (line - v + 0.5).clamp(0.0, 1.0);
        let near = (v - line) / (0.6 + 0.03 * self.axes.half);
        let ends = 1.0 - u.powi(4);
        let lashes = 0.45 * shut * ends * (-near * near).exp();
        let turned = 0.10 * shut * ends * t;
        Some(LidPixel { source: self.axes.point(u, source), cover, light: (1.0 - lashes) * (1.0 - turned) })
    }
}
