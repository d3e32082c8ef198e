//! The loops of the network that are no general matrix products: normalisation, activation, softmax, attention to
//! one position, and products of a matrix in half precision with a vector.

use crate::listen::panels::exp;
use crate::ops::for_each_machine;
use rayon::prelude::*;

/// Numbers handled side by side: a 512-bit register of f32.
const LANES: usize = 16;

for_each_machine! {
    /// Each row of `x`, as long as `gain`, to mean 0 and variance 1, then `gain` and `bias` (Ba et al. 2016).
    fn layer_norm(out: &mut [f32], x: &[f32], gain: &[f32], bias: &[f32]) = layer_norm_body
}
for_each_machine! {
    /// GELU as it was defined, `x Φ(x)` with the normal distribution's Φ (Hendrycks and Gimpel 2016), to 3e-7.
    fn gelu(x: &mut [f32]) = gelu_body
}
for_each_machine! {
    /// Each row of that length to probabilities.
    fn softmax(rows: &mut [f32], length: usize) = softmax_body
}
for_each_machine! {
    /// Attention of one query to the keys and values of one head, all rows of `query`'s length: `out` is the mean of
    /// the values, weighted by the softmax of `scores`, which are the keys' products with the query.
    fn attend(out: &mut [f32], query: &[f32], keys: &[f32], values: &[f32], scores: &mut [f32]) = attend_body
}

#[inline(always)]
fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The lanes and the rest put together by a function that is associative but for rounding.
#[inline(always)]
fn fold(lanes: [f32; LANES], rest: impl Iterator<Item = f32>, with: impl Fn(f32, f32) -> f32) -> f32 {
    let mut halves = lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for n in 0..half {
            halves[n] = with(halves[n], halves[n + half]);
        }
        half /= 2;
    }
    rest.fold(halves[0], with)
}

#[inline(always)]
fn sum(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for n in 0..LANES {
            lanes[n] += of(chunk[n]);
        }
    }
    fold(lanes, rest.iter().map(|x| of(*x)), |a, b| a + b)
}

#[inline(always)]
fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for n in 0..LANES {
            lanes[n] = fma::<FMA>(a[n], b[n], lanes[n]);
        }
    }
    fold(lanes, a_rest.iter().zip(b_rest).map(|(a, b)| a * b), |a, b| a + b)
}

#[inline(always)]
fn layer_norm_body<const FMA: bool>(out: &mut [f32], x: &[f32], gain: &[f32], bias: &[f32]) {
    let width = gain.len();
    let bias = &bias[..width];
    for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
        let mean = sum(x, |x| x) / width as f32;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / width as f32;
        let scale = 1.0 / (variance + 1e-5).sqrt();
        for n in 0..width {
            out[n] = fma::<FMA>((x[n] - mean) * scale, gain[n], bias[n]);
        }
    }
}

#[inline(always)]
fn gelu_body<const FMA: bool>(x: &mut [f32]) {
    for x in x {
        // 1 - erf(z) for z >= 0 by Abramowitz and Stegun's 7.1.26, which is within 1.5e-7.
        let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
        let t = 1.0 / fma::<FMA>(z, 0.327_591_1, 1.0);
        let p = fma::<FMA>(t, 1.061_405_4, -1.453_152);
        let p = fma::<FMA>(p, t, 1.421_413_7);
        let p = fma::<FMA>(p, t, -0.284_496_72);
        let p = fma::<FMA>(p, t, 0.254_829_6);
        let tail = 0.5 * p * t * exp(-z * z);
        *x *= if *x < 0.0 { tail } else { 1.0 - tail };
    }
}

#[inline(always)]
fn softmax_body<const FMA: bool>(rows: &mut [f32], length: usize) {
    for row in rows.chunks_exact_mut(length) {
        let (chunks, rest) = row.as_chunks::<LANES>();
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for chunk in chunks {
            for n in 0..LANES {
                lanes[n] = if chunk[n] > lanes[n] { chunk[n] } else { lanes[n] };
            }
        }
        let most = fold(lanes, rest.iter().copied(), f32::max);
        row.iter_mut().for_each(|x| *x = exp(*x - most));
        let share = 1.0 / sum(row, |x| x);
        row.iter_mut().for_each(|x| *x *= share);
    }
}

#[inline(always)]
fn attend_body<const FMA: bool>(
    out: &mut [f32],
    query: &[f32],
    keys: &[f32],
    values: &[f32],
    scores: &mut [f32],
) {
    let width = query.len();
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
        *score = dot::<FMA>(query, key);
    }
    softmax_body::<FMA>(scores, scores.len());
    out.fill(0.0);
    for (weight, value) in scores.iter().zip(values.chunks_exact(width)) {
        for (out, value) in out.iter_mut().zip(value) {
            *out = fma::<FMA>(*weight, *value, *out);
        }
    }
}

/// A matrix [outer, inner] of numbers in half precision, as the weights are stored: what a product with a vector
/// costs is reading the matrix, and so it costs half.
pub(super) struct HalfMatrix {
    inner: usize,
    values: Vec<u16>,
}

impl HalfMatrix {
    /// Of rows of `inner` numbers, a multiple of 16.
    pub(super) fn new(inner: usize, values: Vec<u16>) -> Self {
        debug_assert!(inner.is_multiple_of(LANES) && values.len().is_multiple_of(inner));
        HalfMatrix { inner, values }
    }

    /// One row.
    pub(super) fn row(&self, n: usize) -> impl Iterator<Item = f32> {
        self.values[n * self.inner..(n + 1) * self.inner].iter().map(|&half| widen(half))
    }

    #[cfg(test)]
    pub(super) fn row_count(&self) -> usize {
        self.values.len() / self.inner
    }

    /// `out = matrix · x + bias`, or without the bias where that is empty.
    pub(super) fn multiply(&self, out: &mut [f32], x: &[f32], bias: &[f32]) {
        match bias.is_empty() {
            true => out.fill(0.0),
            false => out.copy_from_slice(bias),
        }
        add_products(out, &self.values, x);
    }

    /// `out = matrix · x` by all threads, for a matrix of tens of megabytes.
    pub(super) fn multiply_by_all(&self, out: &mut [f32], x: &[f32]) {
        const ROWS: usize = 4096;
        let parts = out.par_chunks_mut(ROWS).zip(self.values.par_chunks(ROWS * self.inner));
        parts.for_each(|(out, values)| {
            out.fill(0.0);
            add_products(out, values, x);
        });
    }
}

/// The number that half precision writes as `half`; infinities and what is no number are not expected.
#[inline(always)]
pub(super) fn widen(half: u16) -> f32 {
    // f32 has the same fraction further left and its exponent's zero 112 higher.
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * f32::from_bits((112 + 127) << 23);
    f32::from_bits(magnitude.to_bits() | u32::from(half & 0x8000) << 16)
}

/// `out += rows · x`.
fn add_products(out: &mut [f32], rows: &[u16], x: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128i, __m256i, _mm256_cvtph_ps, _mm512_cvtph_ps};
        #[target_feature(enable = "avx512f,avx2,fma,f16c")]
        fn with_avx512(out: &mut [f32], rows: &[u16], x: &[f32]) {
            // SAFETY: both types are 16 numbers of the same size without padding; the instruction is AVX-512F's,
            // which this function is compiled for.
            let widen = |half: &[u16; LANES]| -> [f32; LANES] {
                unsafe {
                    std::mem::transmute(_mm512_cvtph_ps(std::mem::transmute::<[u16; LANES], __m256i>(*half)))
                }
            };
            add_products_with(out, rows, x, widen, f32::mul_add);
        }
        #[target_feature(enable = "avx2,fma,f16c")]
        fn with_avx2(out: &mut [f32], rows: &[u16], x: &[f32]) {
            // SAFETY: as above, twice 8 numbers by F16C's instruction.
            let widen = |half: &[u16; LANES]| -> [f32; LANES] {
                unsafe {
                    let [low, high] = std::mem::transmute::<[u16; LANES], [__m128i; 2]>(*half);
                    std::mem::transmute([_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)])
                }
            };
            add_products_with(out, rows, x, widen, f32::mul_add);
        }
        let halves = is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        if halves && is_x86_feature_detected!("avx512f") {
            // SAFETY: the features it was compiled for were just found.
            return unsafe { with_avx512(out, rows, x) };
        }
        if halves && is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { with_avx2(out, rows, x) };
        }
    }
    add_products_with(out, rows, x, |half| half.map(widen), |a, b, c| a * b + c);
}

#[inline(always)]
fn add_products_with(
    out: &mut [f32],
    rows: &[u16],
    x: &[f32],
    widen: impl Fn(&[u16; LANES]) -> [f32; LANES],
    fma: impl Fn(f32, f32, f32) -> f32,
) {
    /// Rows that share each load of `x`, and whose sums do not wait for each other.
    const SIDE_BY_SIDE: usize = 4;
    let (inner, x) = (x.len() / LANES, x.as_chunks::<LANES>().0);
    let rows = rows.as_chunks::<LANES>().0;
    let mut groups = out.chunks_exact_mut(SIDE_BY_SIDE);
    let mut from = rows.chunks_exact((SIDE_BY_SIDE * inner).max(1));
    for (out, rows) in groups.by_ref().zip(from.by_ref()) {
        let mut lanes = [[0.0_f32; LANES]; SIDE_BY_SIDE];
        for (i, x) in x.iter().enumerate() {
            for (row, lanes) in lanes.iter_mut().enumerate() {
                let weights = widen(&rows[row * inner + i]);
                for n in 0..LANES {
                    lanes[n] = fma(weights[n], x[n], lanes[n]);
                }
            }
        }
        for (out, lanes) in out.iter_mut().zip(lanes) {
            *out += fold(lanes, std::iter::empty(), |a, b| a + b);
        }
    }
    for (out, row) in groups.into_remainder().iter_mut().zip(from.remainder().chunks_exact(inner.max(1))) {
        let mut lanes = [0.0_f32; LANES];
        for (weights, x) in row.iter().zip(x) {
            let weights = widen(weights);
            for n in 0..LANES {
                lanes[n] = fma(weights[n], x[n], lanes[n]);
            }
        }
        *out += fold(lanes, std::iter::empty(), |a, b| a + b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between -1 and 1.
    fn random(count: usize) -> Vec<f32> {
        let mut state = 7_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(next).collect()
    }

    /// Φ by its Taylor series about 0, which converges everywhere; in f64 it is good to 1e-9 up to 5.
    fn normal_distribution(x: f64) -> f64 {
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term.abs() > 1e-18 {
            term *= x * x / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
    }

    #[test]
    fn gelu_is_the_exact_one_and_not_its_tanh_form() {
        let inputs: Vec<f32> = (-5000..=5000).map(|n| n as f32 / 1000.0).collect();
        let mut outputs = inputs.clone();
        gelu(&mut outputs);
        for (&x, y) in inputs.iter().zip(outputs) {
            let exact = f64::from(x) * normal_distribution(f64::from(x));
            // The tanh form is up to 5e-4 off.
            assert!((f64::from(y) - exact).abs() < 6e-7, "gelu({x}) = {y}, not {exact}");
        }
        let mut far = [-1e4, 1e4, 0.0];
        gelu(&mut far);
        assert!(far[0].abs() < 1e-30 && far[1..] == [1e4, 0.0], "{far:?}");
    }

    #[test]
    fn norms_and_attention_follow_their_formulas_for_odd_lengths() {
        for (width, rows) in [(8, 1), (64, 3), (70, 37)] {
            let (x, gain, bias) = (random(width * rows), random(width), random(2 * width).split_off(width));
            let mut out = vec![0.0; x.len()];
            layer_norm(&mut out, &x, &gain, &bias);
            for (row, out) in x.chunks(width).zip(out.chunks(width)) {
                let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
                let squares = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
                let deviation = (squares / width as f64 + 1e-5).sqrt();
                for n in 0..width {
                    let normal = (f64::from(row[n]) - mean) / deviation;
                    let exact = normal * f64::from(gain[n]) + f64::from(bias[n]);
                    assert!((f64::from(out[n]) - exact).abs() < 3e-6);
                }
            }
            let (query, keys, values) = (&gain, &x, x.iter().map(|x| x * x).collect::<Vec<_>>());
            let (mut mean, mut scores) = (vec![0.0; width], vec![0.0; rows]);
            attend(&mut mean, query, keys, &values, &mut scores);
            let product = |key: &[f32]| key.iter().zip(query).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let weights: Vec<f64> = keys.chunks(width).map(|key| product(key).exp()).collect();
            let total: f64 = weights.iter().sum();
            for (n, mean) in mean.iter().enumerate() {
                let column = values.iter().skip(n).step_by(width);
                let exact: f64 = column.zip(&weights).map(|(v, w)| f64::from(*v) * w / total).sum();
                assert!((f64::from(*mean) - exact).abs() < 2e-6);
            }
        }
    }

    #[test]
    fn halves_are_widened_exactly_and_every_row_is_multiplied() {
        // One, minus two, the largest, the smallest normal and the smallest number, and the zeros.
        let halves = [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x0000, 0x8000];
        let exact = [1.0, -2.0, 65504.0, 2.0_f32.powi(-14), 2.0_f32.powi(-24), 0.0, -0.0];
        assert_eq!(halves.map(widen).map(f32::to_bits), exact.map(f32::to_bits));
        for (outer, inner) in [(1, 16), (4, 32), (11, 384)] {
            let values: Vec<u16> =
                (0..outer * inner).map(|n| (n * 7919 % 0x3c00) as u16 | ((n as u16 & 1) << 15)).collect();
            let (x, bias, matrix) = (random(inner), random(outer), HalfMatrix::new(inner, values));
            let (mut with_bias, mut without, mut plain) = (vec![9.0; outer], vec![9.0; outer], bias.clone());
            matrix.multiply(&mut with_bias, &x, &bias);
            matrix.multiply_by_all(&mut without, &x);
            add_products_with(&mut plain, &matrix.values, &x, |half| half.map(widen), |a, b, c| a * b + c);
            for row in 0..outer {
                let exact: f64 = matrix.row(row).zip(&x).map(|(w, x)| f64::from(w) * f64::from(*x)).sum();
                assert!((f64::from(without[row]) - exact).abs() < 1e-5);
                for got in [&with_bias, &plain] {
                    assert!((f64::from(got[row]) - exact - f64::from(bias[row])).abs() < 1e-5);
                }
            }
        }
    }
}
