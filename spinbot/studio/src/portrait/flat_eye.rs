//! Eyes of a drawing: dots, rings and lamps have no lid that could be drawn down, so they blink by being pressed into a line.

use super::drawn::{OTHER, apart, most_common};
use super::geometry::{Axes, Point, mean};
use super::raster::{Colour, Raster};
use crate::ease::smoothstep;

/// A drawn eye, which blinks by being pressed into a line.
#[derive(Clone)]
pub(crate) struct FlatEye {
    axes: Axes,
    /// Half its height, half its width, how far up and down its surroundings give way, and half its line, in pixels.
    height: f32,
    width: f32,
    reach: f32,
    line: f32,
    /// What it is outlined with, or drawn with where it has no outline.
    ink: Colour,
}

/// Where a pixel at an eye comes from, and how much of it the line of the shut eye covers.
pub(crate) struct FlatPixel {
    pub(crate) source: Point,
    pub(crate) line: Colour,
    pub(crate) cover: f32,
}

impl FlatEye {
    /// Both eyes; one that cannot be told from what is around it is as large as the other, and where neither can, none blinks.
    pub(crate) fn both(photo: &Raster, points: &[Point; 68]) -> Vec<Self> {
        let centres = [mean(&points[36..42]), mean(&points[42..48])];
        let axes = Axes::between(centres[0], centres[1]);
        match centres.map(|centre| FlatEye::read(photo, centre, axes)) {
            [Some(left), Some(right)] => vec![left, right],
            [Some(one), None] => vec![one.clone(), one.about(centres[1])],
            [None, Some(one)] => vec![one.clone().about(centres[0]), one],
            [None, None] => Vec::new(),
        }
    }

    fn about(self, centre: Point) -> Self {
        FlatEye { axes: self.axes.about(centre), ..self }
    }

    /// The eye around `centre` of a face with these axes through its eyes, as far as it is told from what is around it.
    fn read(photo: &Raster, centre: Point, eyes: Axes) -> Option<Self> {
        let apart_by = 2.0 * eyes.half;
        // One of these axes is a pixel, so that both coordinates are.
        let axes = eyes.about(centre).with_half(1.0);
        let colour = |x: f32, y: f32| {
            let p = axes.point(x * apart_by, y * apart_by);
            photo.linear(p[0], p[1])
        };
        let ring: Vec<Colour> = (0..32)
            .map(|k| (k as f32 / 32.0 * std::f32::consts::TAU).sin_cos())
            .flat_map(|(sin, cos)| [0.32, 0.38].map(|far| colour(far * cos, far * sin)))
            .collect();
        let skin = most_common(&ring).0;
        let inked = |x: f32, y: f32| apart(colour(x, y), skin) > OTHER;
        let row = |y: f32| (-8..=8).any(|k| inked(0.02 * k as f32, y));
        let extent = |within: &dyn Fn(f32) -> bool, most: f32| -> Option<f32> {
            let steps = (most / STEP) as i32;
            let gone = (0..steps).find(|n| {
                let far = *n as f32 * STEP;
                !within(far) && !within(far + STEP) && !within(far + 2.0 * STEP)
            });
            gone.map(|n| n as f32 * STEP)
        };
        let up = extent(&|far| row(-far), TALLEST)?;
        let down = extent(&|far| row(far), TALLEST)?;
        if up + down < 2.0 * STEP {
            return None;
        }
        let middle = (down - up) / 2.0;
        let height = (up + down) / 2.0;
        let column = |x: f32| (-4..=4).any(|k| inked(x, middle + 0.2 * k as f32 * height));
        let left = extent(&|far| column(-far), 0.5).unwrap_or(0.5);
        let right = extent(&|far| column(far), 0.5).unwrap_or(0.5);
        // From its upper edge inwards, the colour that differs most from what is around it.
        let edge = (0..8).map(|k| colour((right - left) / 2.0, middle - height * (1.0 - 0.05 * k as f32)));
        let ink = edge.max_by(|a, b| apart(*a, skin).total_cmp(&apart(*b, skin))).unwrap_or(skin);
        let centre = axes.point((right - left) / 2.0 * apart_by, middle * apart_by);
        let height = (height + STEP) * apart_by;
        Some(FlatEye {
            axes: axes.about(centre),
            height,
            width: (left + right) / 2.0 * apart_by,
            reach: height + (0.3 * height).max(0.06 * apart_by),
            line: (0.02 * apart_by).max(0.7),
            ink,
        })
    }

    /// The pixel at `p` with the eye `shut` (0..=1); nothing where it is not touched.
    #[inline]
    pub(crate) fn pressed(&self, p: Point, shut: f32) -> Option<FlatPixel> {
        let (u, v) = self.axes.local(p);
        let beside = 0.2 * self.width + 1.0;
        if v.abs() >= self.reach || u.abs() >= self.width + beside {
            return None;
        }
        let share = shut * (1.0 - smoothstep(self.width, self.width + beside, u.abs()));
        let squeezed = (1.0 - share * (1.0 - self.line / self.height)).max(0.03);
        let edge = squeezed * self.height;
        let from = if v.abs() <= edge {
            v.abs() / squeezed
        } else {
            self.height + (v.abs() - edge) * (self.reach - self.height) / (self.reach - edge)
        };
        let across = (self.width + 0.5 - u.abs()).clamp(0.0, 1.0);
        let cover = across * (self.line + 0.5 - v.abs()).clamp(0.0, 1.0) * smoothstep(0.6, 0.95, shut);
        Some(FlatPixel { source: self.axes.point(u, from.copysign(v)), line: self.ink, cover })
    }
}

/// Steps in which an eye's edge is looked for, in distances between the eyes.
const STEP: f32 = 0.015;
/// Half the height from which on what is seen is no eye but hair or a dark lens, in distances between the eyes.
const TALLEST: f32 = 0.42;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_eye_is_as_large_as_its_ink_and_shut_it_is_a_line_of_its_outline() {
        // White eyes of radius 12 with a black outline and a pupil, 60 pixels apart.
        let (side, skin) = (200_usize, [220.0, 170.0, 120.0]);
        let pixels: Vec<u8> = (0..side * side)
            .flat_map(|at| {
                let (x, y) = ((at % side) as f32, (at / side) as f32);
                let far = (x - 70.0).hypot(y - 90.0).min((x - 130.0).hypot(y - 90.0));
                let colour = if far < 4.0 || (10.0..12.0).contains(&far) {
                    [10.0; 3]
                } else if far < 10.0 {
                    [250.0; 3]
                } else {
                    skin
                };
                colour.map(|c| c as u8)
            })
            .collect();
        let photo = Raster::from_rgb(&pixels, side, side);
        let mut points = [[100.0, 100.0]; 68];
        points[36..42].fill([71.0, 89.0]);
        points[42..48].fill([130.0, 90.0]);
        let eyes = FlatEye::both(&photo, &points);
        assert_eq!(eyes.len(), 2);
        for (eye, x) in eyes.iter().zip([70.0, 130.0]) {
            assert!(
                (eye.height - 12.5).abs() < 2.0 && (eye.width - 12.0).abs() < 2.5,
                "{} {}",
                eye.height,
                eye.width
            );
            assert!(eye.pressed([x, 60.0], 1.0).is_none() && eye.pressed([x + 30.0, 90.0], 1.0).is_none());
            let open = eye.pressed([x + 3.0, 84.0], 0.0).unwrap();
            assert!((open.source[1] - 84.0).abs() < 0.1 && open.cover == 0.0);
            // Halfway the upper edge has come down by half, and what was above it has followed.
            let half = eye.pressed([x, 84.0], 0.5).unwrap();
            assert!(half.source[1] < 80.5, "{:?}", half.source);
            let shut = eye.pressed([x, 90.0], 1.0).unwrap();
            assert!(shut.cover > 0.9 && apart(shut.line, [10.0, 10.0, 10.0, 0.0]) < 40.0, "{:?}", shut.line);
            assert!(eye.pressed([x, 84.0], 1.0).unwrap().cover == 0.0);
        }
        // One eye behind hair is as large as the other.
        let covered: Vec<u8> = pixels
            .chunks_exact(3)
            .enumerate()
            .flat_map(
                |(at, p)| if at % side < 95 && at / side < 130 { [90, 40, 20] } else { [p[0], p[1], p[2]] },
            )
            .collect();
        let eyes = FlatEye::both(&Raster::from_rgb(&covered, side, side), &points);
        assert_eq!(eyes.len(), 2);
        assert_eq!(eyes[0].height, eyes[1].height);
    }
}
