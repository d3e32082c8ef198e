//! Matrix products against a fixed matrix for few rows at a time, and the two functions of an LSTM, on the CPU.
//!
//! A recurrent step multiplies one or two rows with a megabyte of weights: a general product packs those weights
//! anew on every call, which costs more than the product. Here they are packed once, in panels as wide as a few
//! vector registers. The loops are plain; what is special is only that they are compiled a second time for
//! AVX2 with fused multiply-add and chosen when the processor has it.

/// Columns of a panel: four 8-lane registers a row.
const WIDE: usize = 32;

/// A matrix [inner, outer] packed for `rows x matrix`.
pub(crate) struct Panels {
    inner: usize,
    outer: usize,
    /// ceil(outer / WIDE) panels of [inner, WIDE], zero beyond the last column.
    packed: Vec<f32>,
}

impl Panels {
    /// From row-major [inner, outer].
    pub(crate) fn new(matrix: &[f32], inner: usize, outer: usize) -> Self {
        Panels::pack(inner, outer, |i, o| matrix[i * outer + o])
    }

    /// The transpose of row-major [outer, inner].
    pub(crate) fn transposed(matrix: &[f32], outer: usize, inner: usize) -> Self {
        Panels::pack(inner, outer, |i, o| matrix[o * inner + i])
    }

    fn pack(inner: usize, outer: usize, at: impl Fn(usize, usize) -> f32) -> Self {
        let mut packed = vec![0.0; outer.div_ceil(WIDE) * inner * WIDE];
        for (nth, panel) in packed.chunks_exact_mut(inner * WIDE).enumerate() {
            for (i, row) in panel.chunks_exact_mut(WIDE).enumerate() {
                let first = nth * WIDE;
                row.iter_mut().zip(first..outer).for_each(|(value, o)| *value = at(i, o));
            }
        }
        Panels { inner, outer, packed }
    }

    /// The matrix again, row major [inner, outer].
    pub(crate) fn matrix(&self) -> Vec<f32> {
        let row = |i: usize| {
            let of_row = move |panel: &[f32]| panel[i * WIDE..(i + 1) * WIDE].to_vec();
            self.packed.chunks_exact(self.inner * WIDE).flat_map(of_row).take(self.outer)
        };
        (0..self.inner).flat_map(row).collect()
    }

    /// `out += x * matrix`, with `x` rows of `inner` and `out` rows of `outer` numbers, as many rows in both.
    pub(crate) fn multiply_add(&self, x: &[f32], out: &mut [f32]) {
        self.multiply_add_windows(x, self.inner, out);
    }

    /// The same where row `n` of `x` begins at `n * stride`, so that rows may overlap: as many rows as `out` has.
    pub(crate) fn multiply_add_windows(&self, x: &[f32], stride: usize, out: &mut [f32]) {
        debug_assert_eq!(out.len() % self.outer, 0);
        #[cfg(target_arch = "x86_64")]
        if fast() {
            // SAFETY: the processor has what the function is compiled for, `fast` asked it.
            return unsafe { multiply_add_avx2(self, x, stride, out) };
        }
        multiply_add(self, x, stride, out);
    }
}

#[cfg(target_arch = "x86_64")]
fn fast() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn multiply_add_avx2(panels: &Panels, x: &[f32], stride: usize, out: &mut [f32]) {
    multiply_add_with(panels, x, stride, out, f32::mul_add);
}

fn multiply_add(panels: &Panels, x: &[f32], stride: usize, out: &mut [f32]) {
    multiply_add_with(panels, x, stride, out, |a, b, c| a * b + c);
}

#[inline(always)]
fn multiply_add_with(
    panels: &Panels,
    x: &[f32],
    stride: usize,
    out: &mut [f32],
    fma: impl Fn(f32, f32, f32) -> f32,
) {
    let (inner, outer) = (panels.inner, panels.outer);
    for (nth, panel) in panels.packed.chunks_exact(inner * WIDE).enumerate() {
        let first = nth * WIDE;
        let columns = first..outer.min(first + WIDE);
        let mut pairs = out.chunks_exact_mut(2 * outer);
        let mut row = 0;
        // Two rows share each load of the weights.
        for out in pairs.by_ref() {
            let (a, b) = (&x[row * stride..][..inner], &x[(row + 1) * stride..][..inner]);
            row += 2;
            let mut sums = [[0.0_f32; WIDE]; 2];
            for ((weights, &a), &b) in panel.chunks_exact(WIDE).zip(a).zip(b) {
                for n in 0..WIDE {
                    sums[0][n] = fma(a, weights[n], sums[0][n]);
                    sums[1][n] = fma(b, weights[n], sums[1][n]);
                }
            }
            for (out, sums) in out.chunks_exact_mut(outer).zip(&sums) {
                out[columns.clone()].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
            }
        }
        let out = pairs.into_remainder();
        if out.is_empty() {
            continue;
        }
        // One row left: two sums a column, so that the additions do not wait for each other.
        let x = &x[row * stride..][..inner];
        let mut sums = [[0.0_f32; WIDE]; 2];
        for (weights, x) in panel.chunks(2 * WIDE).zip(x.chunks(2)) {
            for ((weights, &x), sums) in weights.chunks_exact(WIDE).zip(x).zip(&mut sums) {
                for n in 0..WIDE {
                    sums[n] = fma(x, weights[n], sums[n]);
                }
            }
        }
        for (out, (a, b)) in out[columns].iter_mut().zip(sums[0].iter().zip(&sums[1])) {
            *out += a + b;
        }
    }
}

/// 1 / (1 + e^-x) of each number, to about one part in 10^7.
pub(crate) fn sigmoid(x: &mut [f32]) {
    each(x, logistic);
}

/// The hyperbolic tangent of each number, to about 10^-7.
pub(crate) fn tanh(x: &mut [f32]) {
    each(x, |x| {
        let small = x * x;
        // The quotient loses digits near zero, where the series is exact.
        match x.abs() < 0.1 {
            true => x * (1.0 + small * (-1.0 / 3.0 + small * (2.0 / 15.0 + small * (-17.0 / 315.0)))),
            false => 2.0 * logistic(2.0 * x) - 1.0,
        }
    });
}

#[inline(always)]
fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// e^x without branches, so that a loop over it becomes vector code: e^x = 2^n e^r with |r| <= ln 2 / 2 and a
/// polynomial for e^r (Cephes' coefficients).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let e = p * r * r + r + 1.0;
    e * f32::from_bits((((n as i32) + 127) << 23) as u32)
}

fn each(x: &mut [f32], function: impl Fn(f32) -> f32) {
    #[cfg(target_arch = "x86_64")]
    if fast() {
        // SAFETY: the processor has what the function is compiled for, `fast` asked it.
        return unsafe { each_avx2(x, function) };
    }
    x.iter_mut().for_each(|x| *x = function(*x));
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn each_avx2(x: &mut [f32], function: impl Fn(f32) -> f32) {
    x.iter_mut().for_each(|x| *x = function(*x));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn products_equal_the_plain_sum_for_every_number_of_rows_and_odd_sizes() {
        let mut state = 7_u32;
        let mut random = |count: usize| -> Vec<f32> {
            let next = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            };
            (0..count).map(next).collect()
        };
        for (inner, outer) in [(1, 1), (5, 31), (8, 32), (33, 100)] {
            let matrix = random(inner * outer);
            let panels = Panels::new(&matrix, inner, outer);
            assert_eq!(panels.matrix(), matrix);
            let turned: Vec<f32> =
                (0..outer).flat_map(|o| matrix.iter().skip(o).step_by(outer).copied()).collect();
            assert_eq!(Panels::transposed(&turned, outer, inner).matrix(), matrix);
            for rows in 1..5 {
                let (x, before) = (random(rows * inner), random(rows * outer));
                let (mut fast, mut plain) = (before.clone(), before.clone());
                panels.multiply_add(&x, &mut fast);
                multiply_add(&panels, &x, inner, &mut plain);
                for row in 0..rows {
                    for o in 0..outer {
                        let sum: f64 = (0..inner)
                            .map(|i| f64::from(x[row * inner + i]) * f64::from(matrix[i * outer + o]))
                            .sum();
                        let exact = sum + f64::from(before[row * outer + o]);
                        for got in [&fast, &plain] {
                            assert!((f64::from(got[row * outer + o]) - exact).abs() < 1e-5);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_gates_functions_follow_the_exact_ones_over_their_whole_range() {
        let inputs: Vec<f32> = (-40_000..40_000).map(|n| n as f32 / 1000.0).chain([-1e9, 1e9, 0.0]).collect();
        let (mut s, mut t) = (inputs.clone(), inputs.clone());
        sigmoid(&mut s);
        tanh(&mut t);
        for ((&x, s), t) in inputs.iter().zip(s).zip(t) {
            let x = f64::from(x);
            assert!((f64::from(s) - 1.0 / (1.0 + (-x).exp())).abs() < 1.5e-7, "sigmoid({x}) = {s}");
            assert!((f64::from(t) - x.tanh()).abs() < 2e-7, "tanh({x}) = {t}");
        }
    }
}
