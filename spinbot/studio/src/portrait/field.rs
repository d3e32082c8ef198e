//! How the skin follows a few moved points: a thin-plate spline, solved once, evaluated on a coarse grid.
//!
//! The points' rest places never change, so the system is inverted once and a frame costs one product of a
//! matrix with their displacements. What pixels need is the way back, from where a piece of skin has moved to
//! where it was in the photo; it is found on the grid by fixed-point iteration.

use super::geometry::Point;

/// Grid spacing in pixels.
const STEP: usize = 4;

/// The spline of one photo.
pub(crate) struct Field {
    left: f32,
    top: f32,
    columns: usize,
    rows: usize,
    controls: usize,
    /// Row-major `columns * rows x controls`: displacement at a grid point per displacement of a control.
    influence: Vec<f32>,
}

/// The way back on the grid, for one frame.
#[derive(Default)]
pub(crate) struct Backward {
    forward: Vec<Point>,
    back: Vec<Point>,
}

impl Field {
    /// A field over the box `[left, top, right, bottom]` that moves with `controls` (rest places) and is held
    /// still on the box's border.
    pub(crate) fn new(bounds: [f32; 4], controls: &[Point]) -> Self {
        let [left, top, right, bottom] = bounds;
        let (width, height) = ((right - left).max(8.0), (bottom - top).max(8.0));
        let mut points = controls.to_vec();
        for k in 0..8 {
            let t = k as f32 / 8.0;
            points.push([left + width * t, top]);
            points.push([right, top + height * t]);
            points.push([right - width * t, bottom]);
            points.push([left, bottom - height * t]);
        }
        // Unit length keeps the system well conditioned whatever the photo's size.
        let unit = f64::from(width.max(height));
        let points: Vec<[f64; 2]> = points.iter().map(|p| p.map(|c| f64::from(c) / unit)).collect();
        let inverse = inverse_of_system(&points);
        let (columns, rows) = (width as usize / STEP + 2, height as usize / STEP + 2);
        let (n, size) = (controls.len(), points.len() + 3);
        let mut influence = vec![0.0_f32; columns * rows * n];
        let mut basis = vec![0.0_f64; size];
        for (g, out) in influence.chunks_exact_mut(n).enumerate() {
            let x = f64::from(left + (g % columns * STEP) as f32) / unit;
            let y = f64::from(top + (g / columns * STEP) as f32) / unit;
            for (b, p) in basis.iter_mut().zip(&points) {
                *b = kernel(*p, [x, y]);
            }
            basis[size - 3..].copy_from_slice(&[1.0, x, y]);
            for (j, o) in out.iter_mut().enumerate() {
                *o = (0..size).map(|i| basis[i] * inverse[i * size + j]).sum::<f64>() as f32;
            }
        }
        Field { left, top, columns, rows, controls: n, influence }
    }

    /// Solves one frame. `displacements` holds one vector per control, in pixels.
    pub(crate) fn solve(&self, displacements: &[Point], out: &mut Backward) {
        debug_assert_eq!(displacements.len(), self.controls);
        out.forward.clear();
        out.forward.extend(self.influence.chunks_exact(self.controls.max(1)).map(|row| {
            let mut sum = [0.0; 2];
            for (w, d) in row.iter().zip(displacements) {
                sum[0] += w * d[0];
                sum[1] += w * d[1];
            }
            sum
        }));
        out.back.clear();
        for row in 0..self.rows {
            for column in 0..self.columns {
                let here = [(column * STEP) as f32, (row * STEP) as f32];
                let mut back = out.forward[row * self.columns + column].map(|c| -c);
                for _ in 0..5 {
                    let f = self.sample(&out.forward, here[0] + back[0], here[1] + back[1]);
                    // Half steps: full ones swing where the skin is stretched to nearly twice its length.
                    back = [(back[0] - f[0]) / 2.0, (back[1] - f[1]) / 2.0];
                }
                out.back.push(back);
            }
        }
    }

    /// Where the skin seen at `p` was: its displacement, zero outside the box.
    #[inline]
    pub(crate) fn back(&self, solved: &Backward, p: Point) -> Point {
        let (x, y) = (p[0] - self.left, p[1] - self.top);
        if x < 0.0 || y < 0.0 || x >= self.span(self.columns) || y >= self.span(self.rows) {
            return [0.0; 2];
        }
        self.sample(&solved.back, x, y)
    }

    fn span(&self, count: usize) -> f32 {
        ((count - 1) * STEP) as f32
    }

    #[inline]
    fn sample(&self, grid: &[Point], x: f32, y: f32) -> Point {
        let x = (x / STEP as f32).clamp(0.0, (self.columns - 1) as f32 - 1e-3);
        let y = (y / STEP as f32).clamp(0.0, (self.rows - 1) as f32 - 1e-3);
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let at = row * self.columns + column;
        let (a, b) = (grid[at], grid[at + 1]);
        let (c, d) = (grid[at + self.columns], grid[at + self.columns + 1]);
        let lerp = |k: usize| {
            let top = a[k] + (b[k] - a[k]) * fx;
            top + (c[k] + (d[k] - c[k]) * fx - top) * fy
        };
        [lerp(0), lerp(1)]
    }
}

fn kernel(a: [f64; 2], b: [f64; 2]) -> f64 {
    let d2 = (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
    if d2 > 0.0 { 0.5 * d2 * d2.ln() } else { 0.0 }
}

/// Inverse of the thin-plate system (Bookstein 1989) with slight smoothing, by Gauss-Jordan with pivots.
/// A singular column (points that coincide) is left out, which lets such points share their motion.
fn inverse_of_system(points: &[[f64; 2]]) -> Vec<f64> {
    const SMOOTHING: f64 = 1e-5;
    let n = points.len();
    let size = n + 3;
    let mut a = vec![0.0; size * size];
    for i in 0..n {
        for j in 0..n {
            a[i * size + j] = kernel(points[i], points[j]) + if i == j { SMOOTHING } else { 0.0 };
        }
        for (k, value) in [1.0, points[i][0], points[i][1]].into_iter().enumerate() {
            a[i * size + n + k] = value;
            a[(n + k) * size + i] = value;
        }
    }
    let mut inverse = vec![0.0; size * size];
    for i in 0..size {
        inverse[i * size + i] = 1.0;
    }
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|&i, &j| a[i * size + column].abs().total_cmp(&a[j * size + column].abs()))
            .unwrap_or(column);
        if a[pivot * size + column].abs() < 1e-12 {
            continue;
        }
        for k in 0..size {
            a.swap(column * size + k, pivot * size + k);
            inverse.swap(column * size + k, pivot * size + k);
        }
        let scale = 1.0 / a[column * size + column];
        for k in 0..size {
            a[column * size + k] *= scale;
            inverse[column * size + k] *= scale;
        }
        for row in 0..size {
            let factor = a[row * size + column];
            if row == column || factor == 0.0 {
                continue;
            }
            for k in 0..size {
                a[row * size + k] -= factor * a[column * size + k];
                inverse[row * size + k] -= factor * inverse[column * size + k];
            }
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_moved_point_is_found_where_it_was_and_the_border_stays() {
        let controls = [[60.0, 60.0], [140.0, 60.0], [100.0, 120.0], [100.0, 150.0]];
        let field = Field::new([0.0, 0.0, 200.0, 200.0], &controls);
        let mut solved = Backward::default();
        let moves = [[0.0, 0.0], [0.0, 0.0], [2.0, 12.0], [0.0, 9.0]];
        field.solve(&moves, &mut solved);
        for (p, d) in controls.iter().zip(moves) {
            let back = field.back(&solved, [p[0] + d[0], p[1] + d[1]]);
            assert!((back[0] + d[0]).hypot(back[1] + d[1]) < 0.6, "{p:?} {back:?}");
        }
        for p in [[0.0, 100.0], [199.0, 100.0], [100.0, 0.0], [-5.0, 20.0]] {
            let back = field.back(&solved, p);
            assert!(back[0].hypot(back[1]) < 0.6, "{p:?} {back:?}");
        }
    }
}
