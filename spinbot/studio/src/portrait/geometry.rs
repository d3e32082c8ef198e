//! Points, the mouth's own axes, and curves through landmarks. Nothing here looks at pixels.

/// A point or vector in pixels.
pub(crate) type Point = [f32; 2];

pub(crate) fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

pub(crate) fn middle(a: Point, b: Point) -> Point {
    [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0]
}

pub(crate) fn distance(a: Point, b: Point) -> f32 {
    let d = minus(a, b);
    d[0].hypot(d[1])
}

pub(crate) fn mean(points: &[Point]) -> Point {
    let n = points.len().max(1) as f32;
    [points.iter().map(|p| p[0]).sum::<f32>() / n, points.iter().map(|p| p[1]).sum::<f32>() / n]
}

/// Axes of a feature that lies between two corners: `u` runs from -1 at the left corner to 1 at the right one,
/// `v` downwards, at right angles, in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axes {
    /// Midway between the corners.
    pub(crate) centre: Point,
    /// Half the distance of the corners, in pixels.
    pub(crate) half: f32,
    along: Point,
}

impl Axes {
    pub(crate) fn between(left: Point, right: Point) -> Self {
        let half = (distance(left, right) / 2.0).max(1.0);
        let d = minus(right, left);
        let length = 2.0 * half;
        let along = if d[0] > 0.0 { [d[0] / length, d[1] / length] } else { [1.0, 0.0] };
        Axes { centre: middle(left, right), half, along }
    }

    /// The same direction with another half width.
    pub(crate) fn with_half(self, half: f32) -> Self {
        Axes { half, ..self }
    }

    /// The same direction about another centre.
    pub(crate) fn about(self, centre: Point) -> Self {
        Axes { centre, ..self }
    }

    /// `(u, v)` of a point.
    #[inline]
    pub(crate) fn local(&self, p: Point) -> (f32, f32) {
        let d = minus(p, self.centre);
        (
            (d[0] * self.along[0] + d[1] * self.along[1]) / self.half,
            d[1] * self.along[0] - d[0] * self.along[1],
        )
    }

    /// The point at `(u, v)`.
    #[inline]
    pub(crate) fn point(&self, u: f32, v: f32) -> Point {
        let a = u * self.half;
        [
            self.centre[0] + a * self.along[0] - v * self.along[1],
            self.centre[1] + a * self.along[1] + v * self.along[0],
        ]
    }
}

/// Samples of a [`Curve`].
pub(crate) const SAMPLES: usize = 65;

/// A height over `u` in -1..=1, in pixels of `v`.
#[derive(Debug, Clone)]
pub(crate) struct Curve(pub(crate) [f32; SAMPLES]);

impl Curve {
    /// The sample at `u = 0`.
    pub(crate) const MIDDLE: usize = SAMPLES / 2;

    /// `u` of sample `i`.
    pub(crate) fn u(i: usize) -> f32 {
        i as f32 / (SAMPLES - 1) as f32 * 2.0 - 1.0
    }

    /// From its height at every sample's `u`.
    pub(crate) fn of(height: impl Fn(usize, f32) -> f32) -> Self {
        Curve(std::array::from_fn(|i| height(i, Self::u(i))))
    }

    /// A cubic Hermite spline (Catmull-Rom tangents) through points of rising `u`; flat beyond the outermost.
    pub(crate) fn through(points: &[(f32, f32)]) -> Self {
        let mut sorted = points.to_vec();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        sorted.dedup_by(|b, a| b.0 - a.0 < 1e-3);
        Curve::of(|_, u| hermite(&sorted, u))
    }

    /// Height at `u`, the end's beyond the ends.
    #[inline]
    pub(crate) fn at(&self, u: f32) -> f32 {
        let t = ((u + 1.0) * 0.5 * (SAMPLES - 1) as f32).clamp(0.0, (SAMPLES - 1) as f32 - 1e-3);
        let i = t as usize;
        self.0[i] + (self.0[i + 1] - self.0[i]) * (t - i as f32)
    }

    /// Smoothed by a binomial kernel, `passes` times; the ends stay.
    pub(crate) fn smoothed(mut self, passes: usize) -> Self {
        for _ in 0..passes {
            let old = self.0;
            for i in 1..SAMPLES - 1 {
                self.0[i] = 0.25 * old[i - 1] + 0.5 * old[i] + 0.25 * old[i + 1];
            }
        }
        self
    }
}

fn hermite(points: &[(f32, f32)], u: f32) -> f32 {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return 0.0 };
    if u <= first.0 {
        return first.1;
    }
    if u >= last.0 {
        return last.1;
    }
    let i = points.iter().rposition(|p| p.0 <= u).unwrap_or(0).min(points.len() - 2);
    let slope = |j: usize| {
        let (a, b) = (points[j.saturating_sub(1)], points[(j + 1).min(points.len() - 1)]);
        (b.1 - a.1) / (b.0 - a.0)
    };
    let (a, b) = (points[i], points[i + 1]);
    let width = b.0 - a.0;
    let t = (u - a.0) / width;
    let (t2, t3) = (t * t, t * t * t);
    (2.0 * t3 - 3.0 * t2 + 1.0) * a.1
        + (t3 - 2.0 * t2 + t) * width * slope(i)
        + (3.0 * t2 - 2.0 * t3) * b.1
        + (t3 - t2) * width * slope(i + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn axes_turn_there_and_back_and_a_curve_goes_through_its_points() {
        let axes = Axes::between([100.0, 80.0], [160.0, 92.0]);
        for p in [[100.0, 80.0], [131.0, 60.0], [170.0, 200.0]] {
            let (u, v) = axes.local(p);
            assert!(distance(axes.point(u, v), p) < 1e-3, "{p:?}");
        }
        assert!((axes.local([160.0, 92.0]).0 - 1.0).abs() < 1e-5);
        let points = [(-1.0, 0.0), (-0.5, 3.0), (0.0, 4.0), (0.5, 2.0), (1.0, 0.0)];
        let curve = Curve::through(&points);
        for (u, v) in points {
            assert!((curve.at(u) - v).abs() < 0.01, "{u}: {} {v}", curve.at(u));
        }
    }
}
