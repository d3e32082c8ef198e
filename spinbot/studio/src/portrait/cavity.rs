//! What shows between parted lips: the photo's own upper teeth where it bares them, drawn ones where it does not,
//! the tongue and the dark behind. Teeth belong to the skull: they stay where they are while the lips move. In a drawing
//! it is flat: what is drawn in an open mouth, stretched, and in a shut one the dark and a tongue.

use super::drawn::Inks;
use super::geometry::{Curve, Point};
use super::lips::Lips;
use super::mouth::Mouth;
use super::raster::{Colour, Raster, luma, mix, scaled, tinted};
use crate::ease::smoothstep;

/// The inside of one photo's mouth.
pub(crate) struct Cavity {
    dark: Colour,
    tongue: Colour,
    /// The inside of the lower lip, in the shade.
    lining: Colour,
    teeth: Teeth,
}

enum Teeth {
    /// The photo's, between its inner contours.
    Bared,
    /// Drawn: their colour and the height of the front ones, in pixels.
    Drawn { colour: Colour, height: f32 },
    /// A drawing's: none, or those it has, with all that is between its lips.
    Flat { inks: Inks, stretched: bool },
}

impl Cavity {
    /// Tones it to the photo; `skin` is the colour of the cheeks, `lip` of the lower lip.
    pub(crate) fn new(lips: &Lips, skin: Colour, lip: Colour) -> Self {
        let light = (luma(skin) / 190.0).clamp(0.15, 1.15);
        let warmth = |c: Colour| {
            // A grey photo keeps a grey mouth.
            let chroma = ((skin[0] - skin[2]).abs() / (luma(skin) + 1.0) * 3.0).clamp(0.0, 1.0);
            let grey = luma(c);
            mix([grey, grey, grey, 0.0], c, chroma)
        };
        let teeth = if lips.ink.is_some() {
            Teeth::Flat { inks: Inks::new(skin, lip), stretched: lips.gap(Curve::MIDDLE) > 1.0 }
        } else if lips.shows_teeth {
            Teeth::Bared
        } else {
            let colour = warmth(scaled([222.0, 208.0, 192.0, 0.0], light));
            Teeth::Drawn { colour, height: 0.18 * lips.axes.half }
        };
        let tongue = warmth(scaled([158.0, 82.0, 84.0, 0.0], light));
        Cavity {
            dark: warmth(scaled([46.0, 20.0, 22.0, 0.0], light)),
            lining: mix(scaled(lip, 0.55), scaled(tongue, 0.75), 0.7),
            tongue,
            teeth,
        }
    }

    /// The colour at `p`, which lies between the lips of `mouth`.
    #[inline]
    pub(crate) fn colour(&self, photo: &Raster, lips: &Lips, mouth: &Mouth, p: Point) -> Colour {
        let half = lips.axes.half;
        let (u, v) = mouth.axes.local(p);
        let (upper, lower) = (mouth.upper_inner.at(u), mouth.lower_inner.at(u));
        let open = (lower - upper).max(1.0);
        let below = v - upper;
        if let Teeth::Flat { inks, stretched } = &self.teeth {
            if *stretched {
                let rest =
                    lips.upper_inner.at(u) + below / open * (lips.lower_inner.at(u) - lips.upper_inner.at(u));
                let p = lips.axes.point(u, rest);
                return photo.cubic(p[0], p[1]);
            }
            return flat(inks, u, (lower - v) / mouth.opening.max(1.0), mouth.opening / half, half);
        }
        // Behind: darkest in the middle; the lower lip's wet inside catches some light.
        let mut colour = scaled(self.dark, 0.7 + 0.5 * smoothstep(0.4, 1.0, below / open));
        let room = smoothstep(0.10, 0.30, mouth.opening / half);
        let rise = 1.0 - (u / 0.66).powi(2) - ((lower - v) / (0.46 * mouth.opening + 1.0)).powi(2);
        let groove = 1.0 - 0.10 * (-(u / 0.07).powi(2)).exp();
        let back = 0.42 + 0.36 * smoothstep(0.0, 0.5, (lower - v) / (0.46 * mouth.opening + 1.0));
        colour = mix(colour, scaled(self.tongue, back * groove), 0.8 * room * smoothstep(0.0, 0.7, rise));
        let lining = smoothstep(0.13 * half, 0.0, lower - v);
        colour = mix(colour, self.lining, 0.75 * lining);
        // The teeth, in the axes of the photo.
        let (rest_u, rest_v) = lips.axes.local(p);
        let (tooth, cover) = match &self.teeth {
            Teeth::Bared => bared(photo, lips, rest_u, rest_v),
            Teeth::Drawn { colour, height } => drawn(*colour, *height, lips, rest_u, rest_v),
            Teeth::Flat { inks, .. } => (inks.dark, 0.0),
        };
        let cast = 0.52 + 0.48 * smoothstep(-0.02 * half, 0.14 * half, below);
        let sides = 1.0 - 0.35 * u * u;
        // Shade in a mouth is warm: light reaches it by way of lips and gums.
        let shade = cast * sides * (1.0 - mouth.shade);
        let warm = [shade, shade * (0.92 + 0.08 * shade), shade * (0.86 + 0.14 * shade), 1.0];
        colour = mix(colour, tinted(tooth, warm), cover);
        // The upper lip throws a soft shadow on whatever is behind it.
        scaled(colour, 0.72 + 0.28 * smoothstep(0.0, 0.06 * half, below))
    }
}

/// A drawing's dark, and its tongue in a mouth that is `open` by that share of half its width; `up` is the height above the
/// lower lip in openings.
#[inline]
fn flat(inks: &Inks, u: f32, up: f32, open: f32, half: f32) -> Colour {
    let Some(tongue) = inks.tongue.filter(|_| open > 0.16) else { return inks.dark };
    // A disc that comes up behind the lower lip, its edge a pixel soft.
    let out = 1.0 - (u / 0.55).powi(2) - (up / (0.42 * smoothstep(0.16, 0.4, open))).powi(2);
    mix(inks.dark, tongue, (0.5 + out * 0.25 * half).clamp(0.0, 1.0))
}

/// The photo's teeth at a place on the photo's mouth axes, and how much of the pixel they cover.
#[inline]
fn bared(photo: &Raster, lips: &Lips, u: f32, v: f32) -> (Colour, f32) {
    let inside = u.clamp(-0.9, 0.9);
    let (top, bottom) = (lips.upper_inner.at(inside), lips.lower_inner.at(inside));
    let gap = bottom - top;
    let edge = bottom - lips.inset - 0.04 * gap;
    let (from, to) = (top + (lips.inset + 0.6).min(0.3 * gap), edge - 0.5);
    let p = lips.axes.point(inside, v.clamp(from, to.max(from)));
    let cover = (edge - v + 0.5).clamp(0.0, 1.0);
    let off = smoothstep(0.9, 1.0, u.abs());
    (scaled(photo.cubic(p[0], p[1]), 1.0 - 0.7 * off), cover)
}

/// Drawn upper teeth: six fronts and their neighbours on an arch seen from before, so they narrow to the sides.
#[inline]
fn drawn(colour: Colour, height: f32, lips: &Lips, u: f32, v: f32) -> (Colour, f32) {
    const FRONT: f32 = 0.78;
    let angle = (u / FRONT).clamp(-0.999, 0.999).asin();
    // Widths along the arch: the two middle teeth are wider than the rest.
    let along = angle.abs() / 0.36;
    let nearest = (along - along.round()).abs() * 0.36 * angle.cos() * FRONT * lips.axes.half;
    let number = along.floor();
    let length = height * [1.0, 0.90, 0.96, 0.82, 0.74][(number as usize).min(4)];
    let within = (along - number - 0.5).abs() * 2.0;
    let edge = lips.lower_inner.at(0.0) + length * (1.0 - 0.10 * within.powi(4)) - 0.20 * height * u * u;
    let cover = (edge - v + 0.5).clamp(0.0, 1.0) * (1.0 - smoothstep(0.70, 0.80, u.abs()));
    let crack = 1.0 - 0.13 * (-(nearest / 0.7).powi(2)).exp();
    let round = 1.0 - 0.45 * (u / FRONT).powi(2);
    let tip = 1.0 - 0.10 * smoothstep(0.25 * height, 0.0, edge - v);
    (scaled(colour, crack * round * tip), cover)
}
