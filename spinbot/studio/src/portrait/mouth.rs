//! The lips in one frame: where each contour goes for a mouth posture, and which piece of the photo's lip each
//! pixel shows. What lies between the lips is in `cavity`.
//!
//! Contours start from the mouth *closed*, whatever the photo shows: a smile's lips are first brought together on
//! a seam, then parted by the jaw. So a closed mouth closes, and the smile is what is left of it.

use super::geometry::{Axes, Curve, Point};
use super::lips::Lips;
use super::raster::Colour;
use crate::ease::smoothstep;
use crate::motion::MotionFrame;

/// The lips of one frame.
pub(crate) struct Mouth {
    pub(crate) axes: Axes,
    pub(crate) upper_outer: Curve,
    pub(crate) upper_inner: Curve,
    pub(crate) lower_inner: Curve,
    pub(crate) lower_outer: Curve,
    /// Opening between the inner contours in the middle, in pixels.
    pub(crate) opening: f32,
    /// How far the chin has gone down, in pixels; negative where it closes an open smile.
    pub(crate) chin: f32,
    /// Highest and lowest `v` a pixel of the lips may have, with the fade around them.
    pub(crate) span: [f32; 2],
    /// Width of the fade from lip to skin, in pixels.
    fade: f32,
    /// Share of the light that lips pushed forward keep from what lies between them.
    pub(crate) shade: f32,
    /// Share of the lower lip's height that is to be seen: what is rolled in under the teeth is not.
    shown: f32,
}

/// What a pixel near the mouth shows.
pub(crate) struct LipPixel {
    /// Where in the photo this piece of lip is.
    pub(crate) source: Point,
    /// How much of it is lip (1) and not the skin around (0).
    pub(crate) weight: f32,
    /// Share of the pixel that lies between the lips.
    pub(crate) inside: f32,
    /// Light on the lip here, by channel: less towards its inner edge and in the seam, where it turns redder.
    pub(crate) light: Colour,
}

impl Mouth {
    /// The contours for a posture.
    pub(crate) fn pose(lips: &Lips, frame: &MotionFrame) -> Self {
        let jaw = frame.aperture();
        // Pressed together, rounded lips flatten.
        let round = frame.round.clamp(0.0, 1.0) * (1.0 - 0.4 * frame.seal.clamp(0.0, 1.0));
        let half = lips.axes.half;
        let relaxed = (1.0 - frame.smile).clamp(0.0, 1.0);
        // A slit that shows teeth is seen as wider than it is, so small openings are drawn smaller.
        let opening = lips.widest * jaw * (0.72 + 0.28 * jaw) * (1.0 - 0.1 * round);
        let gap = lips.gap(Curve::MIDDLE);
        // A baring smile has stretched the lips thin; closing gives them their height back.
        let bared = (gap / (0.4 * half)).clamp(0.0, 1.0);
        let seam = Curve::of(|i, _| lips.upper_inner.0[i] + 0.42 * lips.gap(i));
        let droop = (0.75 * relaxed + 0.35 * jaw).min(0.9) * seam.0[Curve::MIDDLE].max(0.0);
        let axes = lips.axes.about(lips.axes.point(0.0, droop)).with_half(
            half * (1.0 + 0.10 * frame.width.clamp(-1.0, 1.0) - 0.32 * round - 0.12 * relaxed - 0.10 * jaw),
        );
        // Tucked, the lower lip rises to the edge of the upper teeth and rolls in under them.
        let tuck = frame.tuck.clamp(0.0, 1.0);
        let shown = 1.0 - 0.42 * tuck;
        let lift = 0.14 * half * frame.upper.clamp(0.0, 1.0) + (0.14 - 0.16 * round) * opening;
        let drop = 0.86 * opening;
        // Lips stick together next to the corners.
        let parted = |u: f32| (1.0 - (u / 0.93).abs().powf(2.2)).max(0.0).powf(0.8 - 0.32 * round);
        // The lip's own lift would part sealed lips: it follows the jaw.
        let lift = lift * smoothstep(0.0, 0.30, jaw).max(tuck * smoothstep(0.0, 0.06, jaw));
        let line = Curve::of(|i, u| seam.0[i] - droop * (1.0 - u * u));
        let upper_inner = Curve::of(|i, u| line.0[i] - lift * parted(u));
        let lower_inner = Curve::of(|i, u| line.0[i] + drop * parted(u));
        let (upper_thick, lower_thick) = match lips.ink {
            // A line that parts is as thick above and below as it was.
            Some(_) if gap < 1.0 => [1.0 + 0.8 * smoothstep(0.0, 0.2, jaw); 2].into(),
            Some(_) => (1.0, 1.0),
            None => (
                1.0 + 0.30 * bared + 0.20 * round - 0.15 * jaw,
                (1.0 + 0.10 * bared + 0.15 * round - 0.15 * jaw) * shown,
            ),
        };
        let upper_outer = Curve::of(|i, _| {
            upper_inner.0[i] - upper_thick * (lips.upper_inner.0[i] - lips.upper_outer.0[i])
        });
        let lower_outer = Curve::of(|i, _| {
            lower_inner.0[i] + lower_thick * (lips.lower_outer.0[i] - lips.lower_inner.0[i])
        });
        let fade = 1.0 + 0.08 * half;
        let top = upper_outer.0.iter().copied().fold(0.0, f32::min) - fade;
        let bottom = lower_outer.0.iter().copied().fold(0.0, f32::max) + fade;
        Mouth {
            axes,
            upper_outer,
            upper_inner,
            lower_inner,
            lower_outer,
            opening: lift + drop,
            chin: match lips.ink {
                // Heads of metal and heads of one line hold still.
                Some(_) => 0.2 * drop,
                None => 0.85 * drop - 0.30 * 0.58 * gap,
            },
            span: [top, bottom],
            fade,
            shade: 0.5 * round,
            shown,
        }
    }

    /// What the pixel at `p` shows; nothing if it is off the lips.
    #[inline]
    pub(crate) fn pixel(&self, lips: &Lips, p: Point) -> Option<LipPixel> {
        let (u, v) = self.axes.local(p);
        if u.abs() > 1.1 || v < self.span[0] || v > self.span[1] {
            return None;
        }
        let (upper, lower) = (self.upper_inner.at(u), self.lower_inner.at(u));
        if lips.ink.is_some() {
            let edges = (self.upper_outer.at(u), self.lower_outer.at(u));
            // Sharp, and as soft as a pixel.
            let across = ((1.0 - u.abs()) * self.axes.half + 0.5).clamp(0.0, 1.0);
            let within = |top: f32, bottom: f32| ((v + 0.5).min(bottom) - (v - 0.5).max(top)).clamp(0.0, 1.0);
            let weight = across * within(edges.0, edges.1);
            let inside = across * within(upper, lower);
            return (weight > 0.0).then_some(LipPixel { source: p, weight, inside, light: [1.0; 4] });
        }
        let seam = (upper + lower) / 2.0;
        let (outer, inner, rest_outer, rest_inner, inwards, shown) = if v < seam {
            (self.upper_outer.at(u), upper, lips.upper_outer.at(u), lips.upper_inner.at(u), 1.0, 1.0)
        } else {
            let (rest_outer, rest_inner) = (lips.lower_outer.at(u), lips.lower_inner.at(u));
            (self.lower_outer.at(u), lower, rest_outer, rest_inner, -1.0, self.shown)
        };
        // Depth into the lip from its outer edge, in pixels; negative on the skin.
        let depth = (v - outer) * inwards;
        let height = ((inner - outer) * inwards).max(0.5);
        let rest_height = (((rest_inner - rest_outer) * inwards - lips.inset) * shown).max(0.4);
        let rest_depth = if depth < 0.0 { depth } else { (depth / height).min(1.0) * rest_height };
        let ends = 1.0 - smoothstep(0.95, 1.08, u.abs());
        let weight = ends * (1.0 - smoothstep(0.0, self.fade, -depth));
        if weight <= 0.0 {
            return None;
        }
        let open_here = lower - upper;
        let inside = ((v + 0.5).min(lower) - (v - 0.5).max(upper)).clamp(0.0, 1.0) * ends;
        let part = (depth / height).clamp(0.0, 1.0);
        let scale = self.axes.half;
        let rim = 0.20 * smoothstep(0.5, 1.0, part) * smoothstep(0.0, 0.06 * scale, open_here);
        let sealed = 1.0 - smoothstep(0.3, 1.0 + 0.05 * scale, open_here);
        let line = lips.seam * sealed * seam_shadow((v - seam) / scale, u);
        let dark = 1.0 - (1.0 - rim) * (1.0 - line);
        Some(LipPixel {
            source: lips.axes.point(u, rest_outer + rest_depth * inwards),
            weight,
            inside,
            light: [1.0 - 0.82 * dark, 1.0 - dark, 1.0 - 0.96 * dark, 1.0],
        })
    }
}

/// How much light the seam of closed lips takes `v` half-mouths below it: a fine line within a soft hollow,
/// fading before the corners.
#[inline]
fn seam_shadow(v: f32, u: f32) -> f32 {
    let bell = |width: f32| (-(v / width).powi(2)).exp();
    (0.36 * bell(0.020) + 0.26 * bell(0.065)) * smoothstep(0.0, 0.22, 1.06 - u.abs())
}
