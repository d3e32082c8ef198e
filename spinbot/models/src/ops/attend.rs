//! Attention of one head to many tokens, eight queries at a time: scores, weights and their products never leave the
//! first-level cache. For processors with AVX-512; others go by general products ([`super::attention`]).
//!
//! Keys and values lie transposed, `[width, tokens]`: a register holds sixteen tokens of one channel, whatever the
//! width of a head. This, [`super::tile`] and [`super::gemm`] are where pointers are.

use std::arch::x86_64::*;

/// Tokens of a register.
const LANES: usize = 16;
/// Queries of a block.
pub(super) const QUERIES: usize = 8;
/// Channels summed side by side; panels are padded to a multiple of it.
const CHANNELS: usize = 8;
/// Fewer tokens than these are not worth transposing.
const WORTH: usize = 48;

/// Whether this way is there, and worth it for so many tokens.
pub(super) fn suits(tokens: usize) -> bool {
    tokens >= WORTH && is_x86_feature_detected!("avx512f")
}

/// Tokens transposed: `[width, tokens]`, both padded with zeros.
pub(super) struct Panel {
    values: Vec<f32>,
    width: usize,
    tokens: usize,
    /// Tokens with the padding.
    stride: usize,
}

/// Rows of a block: `[QUERIES, stride]`.
pub(super) struct Block {
    values: Vec<f32>,
    stride: usize,
    /// The highest score of each row.
    highest: [f32; QUERIES],
}

impl Panel {
    /// Zeros for so many tokens.
    pub(super) fn zeros(width: usize, tokens: usize) -> Self {
        let stride = tokens.next_multiple_of(LANES);
        Panel { values: vec![0.0; width.next_multiple_of(CHANNELS) * stride], width, tokens, stride }
    }

    /// Of tokens in rows, `stride` values apart.
    pub(super) fn of_rows(rows: &[f32], stride: usize, width: usize, tokens: usize) -> Self {
        let mut panel = Panel::zeros(width, tokens);
        // Sixteen tokens at a time: one alone would write each value to another cache line.
        for first in (0..tokens).step_by(LANES) {
            let count = LANES.min(tokens - first);
            for (channel, line) in panel.values.chunks_exact_mut(panel.stride).take(width).enumerate() {
                for (token, value) in line[first..first + count].iter_mut().enumerate() {
                    *value = rows[(first + token) * stride + channel];
                }
            }
        }
        panel
    }

    /// Back in rows, one after the other.
    pub(super) fn into_rows(self) -> Vec<f32> {
        let mut rows = vec![0.0; self.tokens * self.width];
        for first in (0..self.tokens).step_by(LANES) {
            let count = LANES.min(self.tokens - first);
            for (channel, line) in self.values.chunks_exact(self.stride).take(self.width).enumerate() {
                for (token, value) in line[first..first + count].iter().enumerate() {
                    rows[(first + token) * self.width + channel] = *value;
                }
            }
        }
        rows
    }

    /// Channels with the padding.
    pub(super) fn channels(&self) -> usize {
        self.width.next_multiple_of(CHANNELS)
    }
}

impl Block {
    /// For so many tokens.
    pub(super) fn new(tokens: usize) -> Self {
        let stride = tokens.next_multiple_of(LANES);
        Block { values: vec![0.0; QUERIES * stride], stride, highest: [0.0; QUERIES] }
    }

    /// The product of the queries, `[QUERIES, width]`, with a panel's tokens.
    pub(super) fn scores(&mut self, queries: &[f32], panel: &Panel) {
        assert!(queries.len() >= QUERIES * panel.width && self.stride == panel.stride);
        // SAFETY: `suits` has seen AVX-512; the queries are as many as the panel is wide, the rows as long as it.
        unsafe { scores(&mut self.values, &mut self.highest, queries, panel) }
    }

    /// The softmax of scores that were multiplied by log2(e) before; gives the sums it was not divided by.
    pub(super) fn exponentials(&mut self, tokens: usize) -> [f32; QUERIES] {
        assert!(tokens <= self.stride && self.values.len() == QUERIES * self.stride);
        for row in self.values.chunks_exact_mut(self.stride) {
            row[tokens..].fill(f32::NEG_INFINITY);
        }
        // SAFETY: `suits` has seen AVX-512; the rows are whole registers.
        unsafe { exponentials(&mut self.values, self.highest, self.stride) }
    }

    /// `sum over tokens of row·panel`, `[QUERIES, channels]`.
    pub(super) fn times(&self, panel: &Panel, out: &mut [f32]) {
        assert!(out.len() >= QUERIES * panel.channels() && self.stride == panel.stride);
        // SAFETY: as in `scores`.
        unsafe { times(&self.values, panel, out) }
    }

    /// `panel += rowsᵀ·x` with x `[QUERIES, width]`.
    pub(super) fn spread(&self, x: &[f32], panel: &mut Panel) {
        assert!(x.len() >= QUERIES * panel.width && self.stride == panel.stride);
        // SAFETY: as in `scores`.
        unsafe { spread(&self.values, x, panel) }
    }

    /// Turns exponentials into weights, and `gradients` of them into those of the scores, times `scale`.
    pub(super) fn softmax_backward(&mut self, sums: [f32; QUERIES], gradients: &mut Block, scale: f32) {
        assert_eq!(self.values.len(), gradients.values.len(), "rows of the same tokens");
        // SAFETY: `suits` has seen AVX-512; both have the same whole registers.
        unsafe { softmax_backward(&mut self.values, sums, &mut gradients.values, self.stride, scale) }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn scores(out: &mut [f32], highest: &mut [f32; QUERIES], queries: &[f32], panel: &Panel) {
    let Panel { values, width, stride, tokens } = panel;
    // Which numbers of a register are tokens, and not padding.
    let there = |first: usize| u16::MAX >> LANES.saturating_sub(tokens.saturating_sub(first)).min(LANES - 1);
    // SAFETY: the caller's.
    unsafe {
        let mut token = 0;
        let mut most = [_mm512_set1_ps(f32::NEG_INFINITY); QUERIES];
        while token < *stride {
            // Two registers of tokens where there are two: sixteen sums hide the latency of each.
            let two = token + 2 * LANES <= *stride;
            let mut sums = [[_mm512_setzero_ps(); 2]; QUERIES];
            for channel in 0..*width {
                let at = values.as_ptr().add(channel * stride + token);
                let keys = [
                    _mm512_loadu_ps(at),
                    if two { _mm512_loadu_ps(at.add(LANES)) } else { _mm512_setzero_ps() },
                ];
                for (query, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*queries.get_unchecked(query * width + channel));
                    sums[0] = _mm512_fmadd_ps(x, keys[0], sums[0]);
                    sums[1] = _mm512_fmadd_ps(x, keys[1], sums[1]);
                }
            }
            for (query, sums) in sums.iter().enumerate() {
                let at = out.as_mut_ptr().add(query * stride + token);
                _mm512_storeu_ps(at, sums[0]);
                let seen = most[query];
                most[query] = _mm512_mask_max_ps(seen, there(token), seen, sums[0]);
                if two {
                    _mm512_storeu_ps(at.add(LANES), sums[1]);
                    let seen = most[query];
                    most[query] = _mm512_mask_max_ps(seen, there(token + LANES), seen, sums[1]);
                }
            }
            token += 2 * LANES;
        }
        for (highest, most) in highest.iter_mut().zip(most) {
            *highest = _mm512_reduce_max_ps(most);
        }
    }
}

/// 2^x for x up to 0, to 2e-7 relative: by the nearest whole number and a polynomial of degree 6 for the rest (Taylor's
/// of 2^r, |r| up to a half).
#[target_feature(enable = "avx512f")]
fn exp2(x: __m512) -> __m512 {
    // Below, the result is zero in any case, and -∞ less -∞ would be no number.
    let x = _mm512_max_ps(x, _mm512_set1_ps(-150.0));
    let whole = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
    let r = _mm512_sub_ps(x, whole);
    let terms = [1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 0.240_226_5, std::f32::consts::LN_2, 1.0];
    let power = terms
        .into_iter()
        .fold(_mm512_set1_ps(1.540_353e-4), |sum, term| _mm512_fmadd_ps(sum, r, _mm512_set1_ps(term)));
    _mm512_scalef_ps(power, whole)
}

#[target_feature(enable = "avx512f")]
unsafe fn exponentials(rows: &mut [f32], highest: [f32; QUERIES], stride: usize) -> [f32; QUERIES] {
    let mut sums = [0.0; QUERIES];
    for ((row, sum), highest) in rows.chunks_exact_mut(stride).zip(&mut sums).zip(highest) {
        let (registers, _) = row.as_chunks_mut::<LANES>();
        // SAFETY: each is sixteen values.
        unsafe {
            let highest = _mm512_set1_ps(highest);
            let mut total = _mm512_setzero_ps();
            for register in registers {
                let power = exp2(_mm512_sub_ps(_mm512_loadu_ps(register.as_ptr()), highest));
                _mm512_storeu_ps(register.as_mut_ptr(), power);
                total = _mm512_add_ps(total, power);
            }
            *sum = _mm512_reduce_add_ps(total);
        }
    }
    sums
}

#[target_feature(enable = "avx512f")]
unsafe fn times(rows: &[f32], panel: &Panel, out: &mut [f32]) {
    let (stride, channels) = (panel.stride, panel.channels());
    // SAFETY: the caller's.
    unsafe {
        for first in (0..channels).step_by(CHANNELS) {
            for pair in (0..QUERIES).step_by(2) {
                let mut sums = [[_mm512_setzero_ps(); CHANNELS]; 2];
                for token in (0..stride).step_by(LANES) {
                    let row = rows.as_ptr().add(pair * stride + token);
                    let weights = [_mm512_loadu_ps(row), _mm512_loadu_ps(row.add(stride))];
                    for channel in 0..CHANNELS {
                        let at = panel.values.as_ptr().add((first + channel) * stride + token);
                        let values = _mm512_loadu_ps(at);
                        sums[0][channel] = _mm512_fmadd_ps(weights[0], values, sums[0][channel]);
                        sums[1][channel] = _mm512_fmadd_ps(weights[1], values, sums[1][channel]);
                    }
                }
                let totals = totals(&sums);
                for query in 0..2 {
                    let out = &mut out[(pair + query) * channels + first..][..CHANNELS];
                    out.copy_from_slice(&totals[query * CHANNELS..][..CHANNELS]);
                }
            }
        }
    }
}

/// The sums of the numbers of sixteen registers, in their order: halves are added crosswise, so that one register is left
/// after four rounds instead of sixteen after as many reductions.
#[target_feature(enable = "avx512f")]
fn totals(sums: &[[__m512; CHANNELS]; 2]) -> [f32; LANES] {
    let pair = |a: __m512, b: __m512| _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let double = |a: __m512, b: __m512| {
        let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
        let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
        _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high))
    };
    let quarter = |a: __m512, b: __m512| {
        _mm512_add_ps(_mm512_shuffle_f32x4::<0b1000_1000>(a, b), _mm512_shuffle_f32x4::<0b1101_1101>(a, b))
    };
    let four = |n: usize| {
        let at = |k: usize| sums[(n + k) / CHANNELS][(n + k) % CHANNELS];
        // Each quarter of the register holds partial sums of registers n to n + 3.
        double(pair(at(0), at(1)), pair(at(2), at(3)))
    };
    let whole = quarter(quarter(four(0), four(4)), quarter(four(8), four(12)));
    let mut out = [0.0; LANES];
    // SAFETY: sixteen values.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), whole) };
    out
}

#[target_feature(enable = "avx512f")]
unsafe fn spread(rows: &[f32], x: &[f32], panel: &mut Panel) {
    let Panel { values, width, stride, .. } = panel;
    let (width, stride) = (*width, *stride);
    // SAFETY: the caller's.
    unsafe {
        for first in (0..width).step_by(CHANNELS) {
            for token in (0..stride).step_by(LANES) {
                let weights: [__m512; QUERIES] =
                    std::array::from_fn(|query| _mm512_loadu_ps(rows.as_ptr().add(query * stride + token)));
                for channel in first..width.min(first + CHANNELS) {
                    let at = values.as_mut_ptr().add(channel * stride + token);
                    let mut sum = _mm512_loadu_ps(at);
                    for (query, weights) in weights.iter().enumerate() {
                        let x = _mm512_set1_ps(*x.get_unchecked(query * width + channel));
                        sum = _mm512_fmadd_ps(x, *weights, sum);
                    }
                    _mm512_storeu_ps(at, sum);
                }
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn softmax_backward(
    weights: &mut [f32],
    sums: [f32; QUERIES],
    gradients: &mut [f32],
    stride: usize,
    scale: f32,
) {
    let rows = weights.chunks_exact_mut(stride).zip(gradients.chunks_exact_mut(stride));
    for ((weights, gradients), sum) in rows.zip(sums) {
        let (weights, _) = weights.as_chunks_mut::<LANES>();
        let (gradients, _) = gradients.as_chunks_mut::<LANES>();
        // SAFETY: each is sixteen values.
        unsafe {
            let (share, scale) = (_mm512_set1_ps(1.0 / sum), _mm512_set1_ps(scale));
            let mut total = _mm512_setzero_ps();
            for (weight, gradient) in weights.iter_mut().zip(&*gradients) {
                let share = _mm512_mul_ps(_mm512_loadu_ps(weight.as_ptr()), share);
                _mm512_storeu_ps(weight.as_mut_ptr(), share);
                total = _mm512_fmadd_ps(share, _mm512_loadu_ps(gradient.as_ptr()), total);
            }
            let total = _mm512_set1_ps(_mm512_reduce_add_ps(total));
            for (weight, gradient) in weights.iter().zip(gradients) {
                let off = _mm512_sub_ps(_mm512_loadu_ps(gradient.as_ptr()), total);
                let weight = _mm512_mul_ps(_mm512_loadu_ps(weight.as_ptr()), scale);
                _mm512_storeu_ps(gradient.as_mut_ptr(), _mm512_mul_ps(weight, off));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_register_is_summed_in_its_place() {
        if !is_x86_feature_detected!("avx512f") {
            return;
        }
        let value = |register: usize, lane: usize| (register * 31 + lane * lane) as f32;
        let load = |register: usize| {
            let values: [f32; LANES] = std::array::from_fn(|lane| value(register, lane));
            // SAFETY: sixteen values; AVX-512 is there.
            unsafe { _mm512_loadu_ps(values.as_ptr()) }
        };
        let sums: [[__m512; CHANNELS]; 2] =
            std::array::from_fn(|query| std::array::from_fn(|channel| load(query * CHANNELS + channel)));
        // SAFETY: AVX-512 is there.
        let totals = unsafe { totals(&sums) };
        for (register, total) in totals.iter().enumerate() {
            assert_eq!(*total, (0..LANES).map(|lane| value(register, lane)).sum::<f32>(), "{register}");
        }
    }
}
