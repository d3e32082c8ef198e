//! The photo's own lips: four contours on the mouth's axes, drawn from the landmarks and then moved onto the
//! edges the pixels show. How they move is in `mouth`.
//!
//! The landmark network is a few pixels off where a smile bares the teeth; lips cut along its points would carry
//! a pale rim of tooth with them. So each inner edge is looked for between lip colour and mouth colour.

use super::Shape;
use super::geometry::{Axes, Curve, SAMPLES};
use super::raster::{Colour, Raster, luma, mix};
use crate::ease::smoothstep;
use spinbot_models::faces::MeshPart;

/// The lips as the photo shows them.
pub(crate) struct Lips {
    pub(crate) axes: Axes,
    /// Upper edge of the upper lip, pixels of `v`.
    pub(crate) upper_outer: Curve,
    /// Lower edge of the upper lip.
    pub(crate) upper_inner: Curve,
    /// Upper edge of the lower lip; not above `upper_inner`.
    pub(crate) lower_inner: Curve,
    /// Lower edge of the lower lip.
    pub(crate) lower_outer: Curve,
    /// Whether the photo shows the upper teeth between the lips.
    pub(crate) shows_teeth: bool,
    /// How dark a seam must be drawn where the lips meet: a closed photo brings its own.
    pub(crate) seam: f32,
    /// How far the lips' texture stays off their inner edges, in pixels.
    pub(crate) inset: f32,
    /// Opening with the jaw all the way down, in pixels.
    pub(crate) widest: f32,
    /// What they are drawn with, where they are: one colour, with no light of its own.
    pub(crate) ink: Option<Colour>,
}

/// Opening of a photographed mouth, as a share of half its width.
const WIDEST: f32 = 0.60;

impl Lips {
    /// Reads them along the lines of the mesh, or through the landmarks where there is none.
    pub(crate) fn read(photo: &Raster, shape: &Shape) -> Self {
        let axes = Axes::between(shape.points[48], shape.points[54]);
        let through = |line: MeshPart, indices: &[usize]| {
            let mut knots = vec![(-1.0, 0.0), (1.0, 0.0)];
            let points = shape.line(line, indices);
            knots.extend(points.iter().map(|&p| axes.local(p)).filter(|k| k.0.abs() < 0.97));
            Curve::through(&knots)
        };
        let upper_outer = through(MeshPart::UpperLipOuter, &[49, 50, 51, 52, 53]);
        let lower_outer = through(MeshPart::LowerLipOuter, &[59, 58, 57, 56, 55]);
        let upper = through(MeshPart::UpperLipInner, &[61, 62, 63]);
        let lower = through(MeshPart::LowerLipInner, &[67, 66, 65]);
        let lower = Curve::of(|i, _| lower.0[i].max(upper.0[i]));
        let mut lips = Lips {
            axes,
            upper_outer,
            upper_inner: upper,
            lower_inner: lower,
            lower_outer,
            shows_teeth: false,
            inset: 0.0,
            seam: 1.0,
            widest: WIDEST * axes.half,
            ink: None,
        };
        let open = match shape.mesh {
            Some(_) => lips.is_open_by_the_mesh(photo),
            None => lips.is_open(photo),
        };
        if open {
            lips.find_open_edges(photo);
            lips.shows_teeth = lips.sees_teeth(photo);
            lips.inset = 0.6 + axes.half * 0.015;
        } else {
            lips.find_seam(photo);
            lips.seam = 0.4;
            lips.inset = axes.half * 0.015;
        }
        lips.keep_order();
        lips
    }

    /// Height of the opening in the photo at sample `i`.
    pub(crate) fn gap(&self, i: usize) -> f32 {
        self.lower_inner.0[i] - self.upper_inner.0[i]
    }

    fn colour(&self, photo: &Raster, u: f32, v: f32) -> Colour {
        let p = self.axes.point(u, v);
        photo.linear(p[0], p[1])
    }

    /// Mean colour along `v` from `from` to `to` at `u`.
    fn mean(&self, photo: &Raster, u: f32, from: f32, to: f32) -> Colour {
        let mut sum = [0.0; 4];
        for k in 0..6 {
            let c = self.colour(photo, u, from + (to - from) * k as f32 / 5.0);
            sum = mix(sum, c, 1.0 / (k + 1) as f32);
        }
        sum
    }

    fn lip_colours(&self, photo: &Raster, i: usize) -> [Colour; 2] {
        let u = Curve::u(i);
        let part = |outer: f32, inner: f32, t: f32| outer + (inner - outer) * t;
        let (a, b) = (self.upper_outer.0[i], self.upper_inner.0[i]);
        let (c, d) = (self.lower_outer.0[i], self.lower_inner.0[i]);
        [
            self.mean(photo, u, part(a, b, 0.3), part(a, b, 0.7)),
            self.mean(photo, u, part(c, d, 0.2), part(c, d, 0.6)),
        ]
    }

    /// Open in the photo: a gap whose colour is neither lip's. The wider it is, the less it must differ: the
    /// network sees a narrow gap in many a closed mouth, a wide one never.
    fn is_open(&self, photo: &Raster) -> bool {
        let gap = self.gap(Curve::MIDDLE) / self.axes.half;
        let mut differences: Vec<f32> = (SAMPLES / 4..=SAMPLES * 3 / 4)
            .map(|i| {
                let (top, gap) = (self.upper_inner.0[i], self.gap(i));
                let inside = self.mean(photo, Curve::u(i), top + 0.3 * gap, top + 0.7 * gap);
                let [above, below] = self.lip_colours(photo, i);
                difference(inside, above).min(difference(inside, below))
            })
            .collect();
        differences.sort_by(f32::total_cmp);
        let differs = differences[differences.len() / 2];
        gap > 0.10 && differs > 0.14 - 0.12 * smoothstep(0.10, 0.26, gap)
    }

    /// As [`Lips::is_open`], of lips on the mesh's lines, which are nearer to the edges: closed mouths had gaps of up to 0.14
    /// of half their width, open ones from 0.21 on (eight photographs). A narrower one is open where it shows teeth.
    fn is_open_by_the_mesh(&self, photo: &Raster) -> bool {
        let gap = self.gap(Curve::MIDDLE) / self.axes.half;
        gap > 0.18 || (gap > 0.10 && self.shows_bright(photo))
    }

    /// Whether a quarter of what is between the lips is brighter than both.
    fn shows_bright(&self, photo: &Raster) -> bool {
        const ROWS: usize = 9;
        let columns = SAMPLES / 4..=SAMPLES * 3 / 4;
        let bright = columns.clone().map(|i| {
            let lips = self.lip_colours(photo, i).map(luma);
            let limit = 1.12 * lips[0].max(lips[1]);
            let row = |k: usize| self.upper_inner.0[i] + self.gap(i) * k as f32 / (ROWS - 1) as f32;
            (0..ROWS).filter(|k| luma(self.colour(photo, Curve::u(i), row(*k))) > limit).count()
        });
        4 * bright.sum::<usize>() > ROWS * columns.count()
    }

    fn sees_teeth(&self, photo: &Raster) -> bool {
        let (mut inside, mut lip) = (0.0, 0.0);
        for i in SAMPLES * 3 / 8..SAMPLES * 5 / 8 {
            let (top, gap) = (self.upper_inner.0[i], self.gap(i));
            inside += luma(self.mean(photo, Curve::u(i), top + 0.2 * gap, top + 0.6 * gap));
            lip += luma(self.lip_colours(photo, i)[1]);
        }
        inside > 0.95 * lip
    }

    /// Moves both inner contours onto the steepest change from lip to mouth colour near them.
    fn find_open_edges(&mut self, photo: &Raster) {
        let reach = 0.14 * self.axes.half;
        let mut found = [[None; 2]; SAMPLES];
        for (i, slot) in found.iter_mut().enumerate() {
            let u = Curve::u(i);
            if u.abs() > 0.86 {
                continue;
            }
            let (top, gap) = (self.upper_inner.0[i], self.gap(i));
            let inside = self.mean(photo, u, top + 0.3 * gap, top + 0.7 * gap);
            let lips = self.lip_colours(photo, i);
            for (side, (lip, prior)) in lips.into_iter().zip([top, top + gap]).enumerate() {
                let inwards = if side == 0 { 1.0 } else { -1.0 };
                let outer = if side == 0 { self.upper_outer.0[i] } else { self.lower_outer.0[i] };
                let best = best_within(reach, |offset| {
                    let v = prior + offset;
                    // Leave some lip, and some mouth, on either side.
                    if (v - outer) * inwards < 1.0 || (v - (top + gap / 2.0)) * inwards > 0.0 {
                        return 0.0;
                    }
                    let share = |v| along(self.colour(photo, u, v), lip, inside);
                    let step = share(v + inwards * 1.2) - share(v - inwards * 1.2);
                    step * (-(offset / reach).powi(2)).exp()
                });
                slot[side] = best.filter(|b| b.1 > 0.12).map(|b| b.0);
            }
        }
        let (upper, lower) = (found.map(|f| f[0]), found.map(|f| f[1]));
        self.upper_inner = moved(&self.upper_inner, &upper);
        self.lower_inner = moved(&self.lower_inner, &lower);
    }

    /// Lays both inner contours on the darkest line between the lips.
    fn find_seam(&mut self, photo: &Raster) {
        let reach = 0.16 * self.axes.half;
        let middle = Curve::of(|i, _| (self.upper_inner.0[i] + self.lower_inner.0[i]) / 2.0);
        let mut found = [None; SAMPLES];
        for (i, slot) in found.iter_mut().enumerate() {
            let u = Curve::u(i);
            if u.abs() > 0.9 {
                continue;
            }
            let best = best_within(reach, |offset| {
                let v = middle.0[i] + offset;
                let here = luma(self.colour(photo, u, v));
                let around = luma(self.colour(photo, u, v - 3.0)).min(luma(self.colour(photo, u, v + 3.0)));
                (around - here) / 255.0 * (-(offset / reach).powi(2)).exp()
            });
            *slot = best.filter(|b| b.1 > 0.01).map(|b| b.0);
        }
        self.upper_inner = moved(&middle, &found);
        self.lower_inner = self.upper_inner.clone();
    }

    /// Contours never cross, and each lip keeps at least a sliver of height away from the corners.
    fn keep_order(&mut self) {
        for i in 0..SAMPLES {
            let least = 0.02 * self.axes.half * (1.0 - Curve::u(i).powi(2)).max(0.0);
            self.lower_inner.0[i] = self.lower_inner.0[i].max(self.upper_inner.0[i]);
            self.upper_outer.0[i] = self.upper_outer.0[i].min(self.upper_inner.0[i] - least);
            self.lower_outer.0[i] = self.lower_outer.0[i].max(self.lower_inner.0[i] + least);
        }
    }
}

/// The best-scored offset within `reach` of 0, in steps of a quarter pixel.
fn best_within(reach: f32, score: impl Fn(f32) -> f32) -> Option<(f32, f32)> {
    let steps = (reach * 4.0).round() as i32;
    (-steps..=steps)
        .map(|k| k as f32 / 4.0)
        .map(|offset| (offset, score(offset)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

/// `curve` moved by the offsets found: their running median, smoothed, and nothing at the corners.
fn moved(curve: &Curve, found: &[Option<f32>; SAMPLES]) -> Curve {
    let median = |i: usize, reach: usize| {
        let window = i.saturating_sub(reach)..(i + reach + 1).min(SAMPLES);
        let mut near: Vec<f32> = found[window].iter().flatten().copied().collect();
        near.sort_by(f32::total_cmp);
        near.get(near.len() / 2).copied()
    };
    let offsets = Curve::of(|i, u| {
        let offset = median(i, 4).or_else(|| median(i, 10)).unwrap_or(0.0);
        offset * (1.0 - smoothstep(0.8, 1.0, u.abs()))
    })
    .smoothed(6);
    Curve::of(|i, _| curve.0[i] + offsets.0[i])
}

/// Hue apart from brightness, as shares of red and green, and brightness with little weight.
fn features(c: Colour) -> [f32; 3] {
    let sum = (c[0] + c[1] + c[2]).max(24.0);
    [4.0 * c[0] / sum, 4.0 * c[1] / sum, 0.8 * luma(c) / 255.0]
}

fn difference(a: Colour, b: Colour) -> f32 {
    let (a, b) = (features(a), features(b));
    (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f32>().sqrt()
}

/// How far a colour is on the way from `lip` (0) to `inside` (1).
fn along(c: Colour, lip: Colour, inside: Colour) -> f32 {
    let (c, lip, inside) = (features(c), features(lip), features(inside));
    let (mut dot, mut length) = (0.0, 1e-3);
    for k in 0..3 {
        dot += (c[k] - lip[k]) * (inside[k] - lip[k]);
        length += (inside[k] - lip[k]).powi(2);
    }
    (dot / length).clamp(-0.5, 1.5)
}
