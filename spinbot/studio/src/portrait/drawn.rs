//! What is different of a drawn face: that it is one, and its lips, by the ink of its mouth.
//!
//! A drawing has flat colours, so a feature ends where the colour around it begins, and there is no light to be kept. How its
//! eyes blink is in `flat_eye`.

use super::geometry::{Axes, Curve, Point, SAMPLES, distance, mean};
use super::lips::Lips;
use super::raster::{Colour, Raster, luma, mix, scaled};

/// Difference of a channel, in levels, up to which two colours are one colour of a drawing.
const SAME: f32 = 9.0;
/// From which a colour is another one than that around it.
pub(super) const OTHER: f32 = 26.0;
/// Share of a face's skin that has one colour, from which on it is drawn.
const FLAT: f32 = 0.45;

/// Whether the face with these landmarks looks drawn: most of its skin has one colour, however large it is shown.
pub(crate) fn is_drawn(photo: &Raster, points: &[Point; 68]) -> bool {
    // From the jaw towards the nose: cheeks, chin, and what of lips and eyes lies between.
    let nose = points[30];
    let skin: Vec<Colour> = points[2..15]
        .iter()
        .flat_map(|jaw| (2..9).map(move |k| towards(*jaw, nose, k as f32 / 10.0)))
        .map(|p| photo.linear(p[0], p[1]))
        .collect();
    most_common(&skin).1 >= FLAT
}

/// The colours drawn within and around the mouth.
pub(crate) struct Inks {
    /// Between parted lips, where the drawn mouth is shut.
    pub(crate) dark: Colour,
    /// The tongue's, for figures whose skin is warm.
    pub(crate) tongue: Option<Colour>,
}

impl Inks {
    /// From the colour of the skin and of the line that is the mouth.
    pub(crate) fn new(skin: Colour, line: Colour) -> Self {
        let warm = skin[0] > skin[2] + 12.0;
        let dark = match (luma(line) < 0.8 * luma(skin), warm) {
            (true, true) => mix(line, [96.0, 22.0, 34.0, 0.0], 0.6),
            (true, false) => mix(line, [24.0, 24.0, 30.0, 0.0], 0.5),
            // A light line on dark ground: darker than the ground.
            (false, _) => scaled(skin, 0.4),
        };
        Inks { dark, tongue: warm.then_some([222.0, 104.0, 112.0, 0.0]) }
    }
}

/// The mouth's lips by its ink, if there is any between its corners.
pub(crate) fn lips(photo: &Raster, points: &[Point; 68]) -> Option<Lips> {
    let told = Axes::between(points[48], points[54]);
    let eyes = distance(mean(&points[36..42]), mean(&points[42..48]));
    let middle = |n: usize| told.local(super::middle(points[n], points[128 - n])).1;
    let bow =
        Curve::through(&[(-1.0, 0.0), (-0.4, middle(61)), (0.0, middle(62)), (0.4, middle(63)), (1.0, 0.0)]);
    // Of what may be the skin that from which the ink between the corners can be told.
    let (skin, runs) = around(photo, told, eyes).into_iter().find_map(|skin| {
        let runs = trail(photo, told, &bow, skin)?;
        let (first, last) = (runs.first()?, runs.last()?);
        let at_corner = |run: &Run| ((run.top + run.bottom) / 2.0).abs() < 0.45 * told.half;
        let whole = last.u - first.u >= 1.2 && at_corner(first) && at_corner(last);
        whole.then_some((skin, runs))
    })?;
    let (first, last) = (runs.first()?, runs.last()?);
    let end = |run: &Run| told.point(run.u, (run.top + run.bottom) / 2.0);
    let axes = Axes::between(end(first), end(last));
    let edge = |of: fn(&Run) -> f32| {
        let knots: Vec<(f32, f32)> = runs.iter().map(|run| axes.local(told.point(run.u, of(run)))).collect();
        steadied(&Curve::through(&knots))
    };
    let (top, bottom) = (edge(|run| run.top), edge(|run| run.bottom));
    let bottom = Curve::of(|i, _| bottom.0[i].max(top.0[i]));
    let mut heights: Vec<f32> = (SAMPLES / 4..SAMPLES * 3 / 4).map(|i| bottom.0[i] - top.0[i]).collect();
    heights.sort_by(f32::total_cmp);
    let height = heights[heights.len() / 2];
    let open = height > OPEN * axes.half;
    let colour = |u: f32, v: f32| {
        let p = axes.point(u, v);
        photo.linear(p[0], p[1])
    };
    let (upper_inner, lower_inner, ink) = if open {
        let [above, below] = [1.0, -1.0].map(|inwards| outline(&colour, skin, [&top, &bottom], inwards));
        let ink = above.or(below);
        // Without an outline the lips are what is drawn within, and as thin as shut ones can be seen.
        let least = THINNEST * eyes;
        let thick = |side: Option<(f32, Colour)>| side.map_or(least, |(thickness, _)| thickness.max(least));
        let within = most_common(&inside(&colour, &top, &bottom)).0;
        (
            Curve::of(|i, _| (top.0[i] + thick(above)).min((top.0[i] + bottom.0[i]) / 2.0)),
            Curve::of(|i, _| (bottom.0[i] - thick(below)).max((top.0[i] + bottom.0[i]) / 2.0)),
            ink.map_or(within, |(_, colour)| colour),
        )
    } else {
        let centre = Curve::of(|i, _| (top.0[i] + bottom.0[i]) / 2.0);
        let along: Vec<Colour> = (4..SAMPLES - 4).map(|i| colour(Curve::u(i), centre.0[i])).collect();
        (centre.clone(), centre, most_common(&along).0)
    };
    let gap = lower_inner.0[Curve::MIDDLE] - upper_inner.0[Curve::MIDDLE];
    Some(Lips {
        axes,
        upper_outer: top,
        upper_inner,
        lower_inner,
        lower_outer: bottom,
        shows_teeth: false,
        seam: 0.0,
        inset: 0.0,
        widest: (0.6 * axes.half).max(0.95 * gap).max(0.24 * eyes),
        ink: Some(ink),
    })
}

/// Thickness of the thinnest lip, in distances between the eyes.
const THINNEST: f32 = 0.02;
/// Height of a mouth, in halves of its width, from which it is drawn open and not as a line.
const OPEN: f32 = 0.42;

/// One column of the mouth's ink: its place and both ends, on the mouth's axes.
struct Run {
    u: f32,
    top: f32,
    bottom: f32,
}

/// Columns of a mouth's ink in one half of its width.
const COLUMNS: i32 = 32;

/// The ink that runs from the middle of the mouth to both sides, column by column, from left to right.
fn trail(photo: &Raster, axes: Axes, bow: &Curve, skin: Colour) -> Option<Vec<Run>> {
    let step = (0.02 * axes.half).max(0.25);
    let column = |k: i32| -> Vec<Run> {
        let u = k as f32 / COLUMNS as f32;
        let rows = (2.6 * axes.half / step) as i32;
        let mut runs: Vec<Run> = Vec::new();
        let mut before = 0.0;
        for n in 0..rows {
            let v = -axes.half + n as f32 * step;
            let p = axes.point(u, v);
            let here = apart(photo.linear(p[0], p[1]), skin);
            // Where between two rows the ink begins or ends.
            let edge = v - step * (here - OTHER) / (here - before);
            match (before > OTHER, here > OTHER) {
                (false, true) => runs.push(Run { u, top: if n == 0 { v } else { edge }, bottom: v }),
                (true, ends) => {
                    let bottom = if ends { v } else { edge };
                    runs.iter_mut().last().into_iter().for_each(|run| run.bottom = bottom);
                }
                (false, false) => {}
            }
            before = here;
        }
        runs
    };
    let reach = 0.4 * axes.half;
    let near = |run: &Run| {
        let v = bow.at(run.u);
        (run.top - v).max(v - run.bottom).max(0.0)
    };
    // What is taller than the mouth is wide is hair, a beard or a nose grown into it.
    let plausible = |run: &Run| run.bottom - run.top < 2.1 * axes.half;
    let start = (0..=COLUMNS / 2).flat_map(|k| [k, -k]).find_map(|k| {
        let best = column(k).into_iter().filter(|run| near(run) < reach && plausible(run));
        best.min_by(|a, b| near(a).total_cmp(&near(b))).map(|run| (k, run))
    });
    let (at, start) = start?;
    let mut trail = std::collections::VecDeque::from([start]);
    for way in [-1, 1] {
        for k in 1.. {
            let k = at + way * k;
            // Past a corner that was told, only its own inaccuracy.
            if k.abs() > COLUMNS * 23 / 20 {
                break;
            }
            let Some(last) = (if way < 0 { trail.front() } else { trail.back() }) else { break };
            let touching = |run: &Run| run.top < last.bottom + step && run.bottom > last.top - step;
            // Near a corner a mouth grows no taller: that is the outline of the face.
            let most = trail.iter().map(|run| run.bottom - run.top).fold(0.0, f32::max);
            let another =
                |run: &Run| k.abs() > COLUMNS * 3 / 5 && run.bottom - run.top > 1.5 * most + 2.0 * step;
            let overlap = |run: &Run| run.bottom.min(last.bottom) - run.top.max(last.top);
            let next = column(k).into_iter().filter(|run| touching(run) && plausible(run) && !another(run));
            let Some(next) = next.max_by(|a, b| overlap(a).total_cmp(&overlap(b))) else { break };
            if way < 0 { trail.push_front(next) } else { trail.push_back(next) }
        }
    }
    Some(trail.into())
}

/// Colours within an open mouth.
fn inside(colour: &impl Fn(f32, f32) -> Colour, top: &Curve, bottom: &Curve) -> Vec<Colour> {
    (SAMPLES / 4..=SAMPLES * 3 / 4)
        .flat_map(|i| (2..9).map(move |k| (i, k as f32 / 10.0)))
        .map(|(i, t)| colour(Curve::u(i), top.0[i] + t * (bottom.0[i] - top.0[i])))
        .collect()
}

/// Thickness in pixels and colour of the outline along an open mouth's upper (`inwards` 1) or lower edge (-1), where it
/// has one: up to the first change of colour.
fn outline(
    colour: &impl Fn(f32, f32) -> Colour,
    skin: Colour,
    [top, bottom]: [&Curve; 2],
    inwards: f32,
) -> Option<(f32, Colour)> {
    let places = (SAMPLES / 4..=SAMPLES * 3 / 4).step_by(4);
    let looked = places.clone().count();
    let mut found: Vec<(f32, Colour)> = places
        .filter_map(|i| {
            let (u, height) = (Curve::u(i), bottom.0[i] - top.0[i]);
            let edge = if inwards > 0.0 { top.0[i] } else { bottom.0[i] };
            let at = |depth: f32| colour(u, edge + inwards * depth);
            // The ink is what differs most from the skin outside, up to where something else begins.
            let mut ink = skin;
            for n in 1..=(0.35 * height / 0.25) as i32 {
                let depth = 0.25 * n as f32;
                let here = at(depth);
                if apart(ink, skin) > OTHER && apart(here, ink) > 2.0 * OTHER {
                    return Some((depth - 0.5, ink));
                }
                if apart(here, skin) > apart(ink, skin) {
                    ink = here;
                }
            }
            None
        })
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let colours: Vec<Colour> = found.iter().map(|(_, colour)| *colour).collect();
    (found.len() > looked / 2).then(|| (found[found.len() / 2].0, most_common(&colours).0))
}

/// What may be the colour around the mouth of a face whose eyes are so far apart: what most have near it, and beside it.
fn around(photo: &Raster, axes: Axes, eyes: f32) -> [Colour; 2] {
    let most = |places: Vec<(f32, f32)>| {
        let points = places.into_iter().map(|(u, v)| axes.point(u, v));
        most_common(&points.map(|p| photo.linear(p[0], p[1])).collect::<Vec<_>>()).0
    };
    let near = (-8..=8).flat_map(|x| (-6..=8).map(move |y| (0.18 * x as f32, 0.2 * y as f32 * axes.half)));
    let out = |k: i32| 1.15 + 0.08 * k as f32 * eyes / axes.half;
    let beside = (0..5)
        .flat_map(|k| [-out(k), out(k)])
        .flat_map(|u| (-4..=5).map(move |k| (u, 0.05 * k as f32 * eyes)));
    [most(near.collect()), most(beside.collect())]
}

fn towards(a: Point, b: Point, t: f32) -> Point {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t]
}

/// The largest difference of a channel.
pub(super) fn apart(a: Colour, b: Colour) -> f32 {
    (0..3).map(|k| (a[k] - b[k]).abs()).fold(0.0, f32::max)
}

/// The colour that most have, and what share of them.
pub(super) fn most_common(colours: &[Colour]) -> (Colour, f32) {
    let like = |colour: &Colour| colours.iter().filter(|other| apart(*colour, **other) < SAME).count();
    let best = colours.iter().map(|colour| (*colour, like(colour))).max_by_key(|(_, count)| *count);
    best.map_or(([0.0; 4], 0.0), |(colour, count)| (colour, count as f32 / colours.len() as f32))
}

/// A curve without the steps of the pixels it was read from.
fn steadied(curve: &Curve) -> Curve {
    Curve::of(|i, _| {
        let mut near: Vec<f32> = (i.saturating_sub(2)..(i + 3).min(SAMPLES)).map(|n| curve.0[n]).collect();
        near.sort_by(f32::total_cmp);
        near[near.len() / 2]
    })
    .smoothed(10)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SKIN: [u8; 3] = [220, 170, 120];
    const INK: [u8; 3] = [20, 16, 24];

    /// A flat face whose eyes are 60 pixels apart and whose mouth, from x = 70 to 130 at y = 150, is drawn by `mouth`.
    fn face(mouth: impl Fn(f32, f32) -> Option<[u8; 3]>) -> (Raster, [Point; 68]) {
        let side = 200;
        let pixels: Vec<u8> = (0..side * side)
            .flat_map(|at| mouth((at % side) as f32, (at / side) as f32).unwrap_or(SKIN))
            .collect();
        let mut points = [[100.0, 100.0]; 68];
        for (n, jaw) in points[..17].iter_mut().enumerate() {
            let turn = std::f32::consts::PI * (1.0 - n as f32 / 16.0);
            *jaw = [100.0 + 70.0 * turn.cos(), 110.0 + 75.0 * turn.sin()];
        }
        points[36..42].fill([70.0, 90.0]);
        points[42..48].fill([130.0, 90.0]);
        points[48..68].fill([100.0, 150.0]);
        (points[48], points[54]) = ([70.0, 150.0], [130.0, 150.0]);
        (Raster::from_rgb(&pixels, side, side), points)
    }

    #[test]
    fn a_line_is_a_shut_mouth_and_an_outlined_one_an_open_one_with_its_ink() {
        // A line of 4 pixels, two pixels longer than was told.
        let (photo, points) =
            face(|x, y| ((68.0..=132.0).contains(&x) && (148.0..152.0).contains(&y)).then_some(INK));
        assert!(is_drawn(&photo, &points));
        let line = lips(&photo, &points).unwrap();
        let height = |lips: &Lips| lips.lower_outer.at(0.0) - lips.upper_outer.at(0.0);
        assert!((height(&line) - 4.0).abs() < 0.8 && line.gap(Curve::MIDDLE) == 0.0, "{}", height(&line));
        assert!((line.axes.half - 32.0).abs() < 1.5, "{}", line.axes.half);
        assert!(apart(line.ink.unwrap(), [20.0, 16.0, 24.0, 0.0]) < 3.0);
        // White teeth within an outline of 3 pixels.
        let (photo, points) = face(|x, y| {
            let out = ((x - 100.0) / 30.0).hypot((y - 150.0) / 15.0);
            let within = ((x - 100.0) / 27.0).hypot((y - 150.0) / 12.0);
            if within < 1.0 { Some([250; 3]) } else { (out < 1.0).then_some(INK) }
        });
        let open = lips(&photo, &points).unwrap();
        assert!((height(&open) - 30.0).abs() < 1.5 && (open.gap(Curve::MIDDLE) - 24.0).abs() < 2.0);
        assert!(apart(open.ink.unwrap(), [20.0, 16.0, 24.0, 0.0]) < 8.0, "{:?}", open.ink);
    }

    #[test]
    fn no_ink_is_no_mouth_and_shaded_skin_is_no_drawing() {
        let (photo, points) = face(|_, _| None);
        assert!(lips(&photo, &points).is_none());
        let (photo, points) =
            face(|x, y| Some([(90.0 + 0.7 * x) as u8, (60.0 + 0.5 * y) as u8, (50.0 + 0.3 * x) as u8]));
        assert!(!is_drawn(&photo, &points));
    }
}
