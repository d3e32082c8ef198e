//! Attention of one head to many tokens, eight queries and some tokens at a time: scores, weights and their products
//! never leave the first-level cache, and no more than one number per query is kept for the way back (Dao et al. 2022,
//! "FlashAttention"). For processors with AVX-512; others go by general products ([`super::attention`]).
//!
//! Keys and values lie transposed: a register holds sixteen tokens of one channel, whatever the width of a head. This,
//! [`super::tile`] and [`super::gemm`] are where pointers are.

use super::aligned::Aligned;
use std::arch::x86_64::*;
use std::ops::Range;

/// Tokens of a register.
const LANES: usize = 16;
/// Queries of a block.
const QUERIES: usize = 8;
/// Channels summed side by side; panels are padded to a multiple of it.
const CHANNELS: usize = 8;
/// Fewer tokens than these are not worth transposing.
const WORTH: usize = 48;
/// Tokens of a part of a panel: of more, eight queries' weights do not fit the first cache; with fewer, going from one
/// part to the next takes longer than it saves.
const PART: usize = 1024;

/// Whether this way is there, and worth it for so many tokens.
pub(super) fn suits(tokens: usize) -> bool {
    tokens >= WORTH && is_x86_feature_detected!("avx512f")
}

/// Rows of a head: its channels of each token, one row every `stride` values.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
    pub(super) tokens: usize,
}

impl Rows<'_> {
    /// A block of tokens from the `first`, times `scale`, side by side; zeros where there are no more.
    fn block(self, first: usize, width: usize, scale: f32) -> Vec<f32> {
        let mut block = vec![0.0; QUERIES * width];
        let rows = self.values.chunks(self.stride).take(self.tokens).skip(first);
        for (out, row) in block.chunks_exact_mut(width).zip(rows) {
            for (out, value) in out.iter_mut().zip(row) {
                *out = value * scale;
            }
        }
        block
    }
}

/// What is kept of a query's softmax, in powers of two: the highest score, and what the others' distance from it was
/// divided by.
pub(super) type Softmax = (f32, f32);

/// Attention of one head, `[queries, width]`, and the softmax of each query.
pub(super) fn attended([q, k, v]: [Rows; 3], width: usize, scale: f32) -> (Vec<f32>, Vec<Softmax>) {
    let (keys, values) = (Panel::of_rows(k, width), Panel::of_rows(v, width));
    let mut block = Block::new(&keys);
    let mut out = vec![0.0; q.tokens * width];
    let mut softmax = Vec::with_capacity(q.tokens.next_multiple_of(QUERIES));
    let mut product = Product::new(values.channels());
    for (n, out) in out.chunks_mut(QUERIES * width).enumerate() {
        let queries = q.block(n * QUERIES, width, scale * std::f32::consts::LOG2_E);
        let mut highest = [f32::NEG_INFINITY; QUERIES];
        let mut sums = [0.0; QUERIES];
        product.clear();
        for part in 0..keys.parts() {
            let (keys, values) = (keys.part(part), values.part(part));
            let before = highest;
            block.scores(&queries, keys, Some(&mut highest));
            // What was summed so far, if anything, counts by an older maximum.
            let factors: [f32; QUERIES] = std::array::from_fn(|n| {
                let same = before[n] == highest[n] || before[n] == f32::NEG_INFINITY;
                if same { 1.0 } else { (before[n] - highest[n]).exp2() }
            });
            product.scale(&factors);
            sums.iter_mut().zip(factors).for_each(|(sum, factor)| *sum *= factor);
            block.exponentials(keys, highest, &mut sums);
            block.times(values, &mut product);
        }
        product.totals();
        let rows = product.out.chunks_exact(values.channels()).zip(sums);
        for (out, (row, sum)) in out.chunks_exact_mut(width).zip(rows) {
            for (out, value) in out.iter_mut().zip(row) {
                *out = value / sum;
            }
        }
        softmax.extend(highest.into_iter().zip(sums));
    }
    softmax.truncate(q.tokens);
    (out, softmax)
}

/// The gradients of queries, keys and values of one head, from that of the output, the output itself and its softmax.
pub(super) fn attended_backward(
    [q, k, v, grad, out]: [Rows; 5],
    softmax: &[Softmax],
    width: usize,
    scale: f32,
) -> [Vec<f32>; 3] {
    let (keys, values) = (Panel::of_rows(k, width), Panel::of_rows(v, width));
    let (mut d_keys, mut d_values) = (Panel::zeros(width, k.tokens), Panel::zeros(width, k.tokens));
    let (mut weights, mut gradients) = (Block::new(&keys), Block::new(&keys));
    let mut product = Product::new(keys.channels());
    let mut dq = vec![0.0; q.tokens * width];
    // What each query's weights and their gradients sum to: that of its output, weighted by the output.
    let rows = grad.values.chunks(grad.stride).zip(out.values.chunks(out.stride)).take(q.tokens);
    let means: Vec<f32> =
        rows.map(|(grad, out)| grad[..width].iter().zip(out).map(|(grad, out)| grad * out).sum()).collect();
    // A part of the keys and values, and its gradients, stay in the cache while all queries pass.
    for part in 0..keys.parts() {
        for (n, dq) in dq.chunks_mut(QUERIES * width).enumerate() {
            let first = n * QUERIES;
            // Queries behind the last are zeros, and so is what they add.
            let (queries, grad) = (q.block(first, width, 1.0), grad.block(first, width, 1.0));
            let scaled = q.block(first, width, scale * std::f32::consts::LOG2_E);
            weights.scores(&scaled, keys.part(part), None);
            gradients.scores(&grad, values.part(part), None);
            let rows = softmax[first..].iter().copied().zip(means[first..].iter().copied());
            weights.softmax_backward(keys.part(part), &mut gradients, rows, scale);
            weights.spread(&grad, &mut d_values, part);
            gradients.spread(&queries, &mut d_keys, part);
            product.clear();
            gradients.times(keys.part(part), &mut product);
            product.totals();
            for (dq, row) in dq.chunks_exact_mut(width).zip(product.out.chunks_exact(keys.channels())) {
                dq.iter_mut().zip(row).for_each(|(dq, more)| *dq += more);
            }
        }
    }
    [dq, d_keys.into_rows(), d_values.into_rows()]
}

/// Tokens transposed, in parts: `[parts, channels, tokens of a part]`, channels and tokens padded with zeros.
struct Panel {
    values: Aligned,
    width: usize,
    tokens: usize,
}

/// A part of a panel: `[channels, stride]`.
#[derive(Clone, Copy)]
struct Part<'a> {
    values: &'a [f32],
    width: usize,
    tokens: usize,
    /// Tokens with the padding.
    stride: usize,
}

impl Panel {
    fn zeros(width: usize, tokens: usize) -> Self {
        let channels = width.next_multiple_of(CHANNELS);
        Panel { values: Aligned::zeros(channels * tokens.next_multiple_of(LANES)), width, tokens }
    }

    fn of_rows(rows: Rows, width: usize) -> Self {
        let mut panel = Panel::zeros(width, rows.tokens);
        for n in 0..panel.parts() {
            let (range, tokens, stride) = panel.at(n);
            let first = n * PART;
            // Sixteen tokens at a time: one alone would write each value to another cache line.
            for token in (0..tokens).step_by(LANES) {
                let count = LANES.min(tokens - token);
                let lines = panel.values[range.clone()].chunks_exact_mut(stride);
                for (channel, line) in lines.take(width).enumerate() {
                    for (lane, value) in line[token..token + count].iter_mut().enumerate() {
                        *value = rows.values[(first + token + lane) * rows.stride + channel];
                    }
                }
            }
        }
        panel
    }

    /// Back in rows, one after the other.
    fn into_rows(self) -> Vec<f32> {
        let mut rows = vec![0.0; self.tokens * self.width];
        for n in 0..self.parts() {
            let part = self.part(n);
            for token in (0..part.tokens).step_by(LANES) {
                let count = LANES.min(part.tokens - token);
                for (channel, line) in part.values.chunks_exact(part.stride).take(self.width).enumerate() {
                    for (lane, value) in line[token..token + count].iter().enumerate() {
                        rows[(n * PART + token + lane) * self.width + channel] = *value;
                    }
                }
            }
        }
        rows
    }

    /// Channels with the padding.
    fn channels(&self) -> usize {
        self.width.next_multiple_of(CHANNELS)
    }

    fn parts(&self) -> usize {
        self.tokens.div_ceil(PART)
    }

    /// Where a part's values are, its tokens and those with the padding.
    fn at(&self, n: usize) -> (Range<usize>, usize, usize) {
        let tokens = PART.min(self.tokens - n * PART);
        let (stride, channels) = (tokens.next_multiple_of(LANES), self.channels());
        let start = n * PART * channels;
        (start..start + stride * channels, tokens, stride)
    }

    fn part(&self, n: usize) -> Part<'_> {
        let (range, tokens, stride) = self.at(n);
        Part { values: &self.values[range], width: self.width, tokens, stride }
    }
}

/// Rows of a block of queries, a value for each token of a part: `[QUERIES, the part's stride]`.
struct Block {
    values: Aligned,
}

/// Sums of eight queries' products, sixteen partial ones of each: `[QUERIES, channels, LANES]`.
struct Product {
    partial: Aligned,
    channels: usize,
    /// `[QUERIES, channels]`.
    out: Vec<f32>,
}

impl Product {
    fn new(channels: usize) -> Self {
        Product {
            partial: Aligned::zeros(QUERIES * channels * LANES),
            channels,
            out: vec![0.0; QUERIES * channels],
        }
    }

    fn clear(&mut self) {
        self.partial.fill(0.0);
    }

    /// Multiplies each query's sums by its factor.
    fn scale(&mut self, factors: &[f32; QUERIES]) {
        let rows = self.partial.chunks_exact_mut(self.channels * LANES).zip(factors);
        for (row, factor) in rows.filter(|(_, factor)| **factor != 1.0) {
            row.iter_mut().for_each(|sum| *sum *= factor);
        }
    }

    /// Adds up the partial sums.
    fn totals(&mut self) {
        let (sums, _) = self.partial.as_chunks::<{ LANES * LANES }>();
        let (out, _) = self.out.as_chunks_mut::<LANES>();
        for (out, sums) in out.iter_mut().zip(sums) {
            // SAFETY: `suits` has seen AVX-512.
            *out = unsafe { totals(sums) };
        }
    }
}

impl Block {
    /// For parts of that panel.
    fn new(panel: &Panel) -> Self {
        Block { values: Aligned::zeros(QUERIES * PART.min(panel.tokens.next_multiple_of(LANES))) }
    }

    /// The product of the queries, `[QUERIES, width]`, with a part's tokens; raises the highest of each query, if so.
    fn scores(&mut self, queries: &[f32], part: Part, highest: Option<&mut [f32; QUERIES]>) {
        assert!(queries.len() >= QUERIES * part.width && self.values.len() >= QUERIES * part.stride);
        // SAFETY: `suits` has seen AVX-512; the queries are as many as the part is wide, the rows as long as it.
        unsafe {
            match highest {
                Some(highest) => scores::<true>(&mut self.values, highest, queries, part),
                None => scores::<false>(&mut self.values, &mut [0.0; QUERIES], queries, part),
            }
        }
    }

    /// 2 to the power of the scores less the highest, added to `sums`.
    fn exponentials(&mut self, part: Part, highest: [f32; QUERIES], sums: &mut [f32; QUERIES]) {
        for ((row, sum), highest) in self.rows(part, f32::NEG_INFINITY).zip(sums).zip(highest) {
            // SAFETY: `suits` has seen AVX-512.
            *sum += unsafe { exponentials(row, highest) };
        }
    }

    /// Adds `sum over tokens of row·part`.
    fn times(&self, part: Part, product: &mut Product) {
        assert!(product.channels * part.stride <= part.values.len());
        assert!(self.values.len() >= QUERIES * part.stride);
        // SAFETY: `suits` has seen AVX-512; rows and part have the same tokens, the product as many channels.
        unsafe { times(&self.values, part, product) }
    }

    /// `panel's part += rowsᵀ·x` with x `[QUERIES, width]`.
    fn spread(&self, x: &[f32], panel: &mut Panel, n: usize) {
        let (range, _, stride) = panel.at(n);
        assert!(x.len() >= QUERIES * panel.width && self.values.len() >= QUERIES * stride);
        // SAFETY: `suits` has seen AVX-512; rows and part have the same tokens, and x as many channels.
        unsafe { spread(&self.values, x, &mut panel.values[range], panel.width, stride) }
    }

    /// Turns scores into weights, and `gradients` of them into those of the scores, times `scale`; `queries` gives the
    /// softmax of each and the mean of its gradients.
    fn softmax_backward(
        &mut self,
        part: Part,
        gradients: &mut Block,
        queries: impl Iterator<Item = (Softmax, f32)>,
        scale: f32,
    ) {
        let rows = self.rows(part, f32::NEG_INFINITY).zip(gradients.rows(part, 0.0));
        let behind = std::iter::repeat(((0.0, 1.0), 0.0));
        for ((weights, gradients), (softmax, mean)) in rows.zip(queries.chain(behind)) {
            // SAFETY: `suits` has seen AVX-512.
            unsafe { softmax_backward(weights, softmax, gradients, mean, scale) };
        }
    }

    /// Each query's registers, with `rest` behind the part's tokens.
    fn rows(&mut self, part: Part, rest: f32) -> impl Iterator<Item = &mut [[f32; LANES]]> {
        self.values.chunks_exact_mut(part.stride).take(QUERIES).map(move |row| {
            row[part.tokens..].fill(rest);
            row.as_chunks_mut().0
        })
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn scores<const HIGHEST: bool>(
    out: &mut [f32],
    highest: &mut [f32; QUERIES],
    queries: &[f32],
    part: Part,
) {
    let Part { values, width, stride, tokens } = part;
    // Which numbers of a register are tokens, and not padding.
    let there = |first: usize| u16::MAX >> LANES.saturating_sub(tokens.saturating_sub(first)).min(LANES - 1);
    // SAFETY: the caller's.
    unsafe {
        let mut token = 0;
        let mut most = highest.map(|highest| _mm512_set1_ps(highest));
        while token < stride {
            // Two registers of tokens where there are two: sixteen sums hide the latency of each.
            let two = token + 2 * LANES <= stride;
            let mut sums = [[_mm512_setzero_ps(); 2]; QUERIES];
            for channel in 0..width {
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
                if two {
                    _mm512_storeu_ps(at.add(LANES), sums[1]);
                }
                if HIGHEST {
                    let seen = most[query];
                    most[query] = _mm512_mask_max_ps(seen, there(token), seen, sums[0]);
                    if two {
                        let seen = most[query];
                        most[query] = _mm512_mask_max_ps(seen, there(token + LANES), seen, sums[1]);
                    }
                }
            }
            token += 2 * LANES;
        }
        if HIGHEST {
            for (highest, most) in highest.iter_mut().zip(most) {
                *highest = _mm512_reduce_max_ps(most);
            }
        }
    }
}

/// 2^x for x up to 0, to 2.5e-7 relative: by the nearest whole number, whose bits an addition of 1.5·2²³ leaves lowest,
/// and the minimax polynomial of degree 5 for the rest. Below 2^-64 it is zero: beside the highest weight, which is 1,
/// that is nothing, and products with it would be too small for normal numbers, which makes processors slow.
#[target_feature(enable = "avx512f")]
fn exp2(x: __m512) -> __m512 {
    let magic = _mm512_set1_ps(12_582_912.0);
    // What is no number is not less, and stays none.
    let counts = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(-64.0));
    let shifted = _mm512_add_ps(x, magic);
    let r = _mm512_sub_ps(x, _mm512_sub_ps(shifted, magic));
    let terms = [9.675_541e-3, 5.550_713e-2, 0.240_221_2, 0.693_146_94, 1.000_000_1];
    let power = terms
        .into_iter()
        .fold(_mm512_set1_ps(1.327_647_2e-3), |sum, term| _mm512_fmadd_ps(sum, r, _mm512_set1_ps(term)));
    let whole = _mm512_slli_epi32::<23>(_mm512_castps_si512(shifted));
    _mm512_castsi512_ps(_mm512_maskz_add_epi32(counts, _mm512_castps_si512(power), whole))
}

#[target_feature(enable = "avx512f")]
unsafe fn exponentials(row: &mut [[f32; LANES]], highest: f32) -> f32 {
    // SAFETY: each is sixteen values.
    unsafe {
        let highest = _mm512_set1_ps(highest);
        let mut total = _mm512_setzero_ps();
        for register in row {
            let power = exp2(_mm512_sub_ps(_mm512_loadu_ps(register.as_ptr()), highest));
            _mm512_storeu_ps(register.as_mut_ptr(), power);
            total = _mm512_add_ps(total, power);
        }
        _mm512_reduce_add_ps(total)
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn times(rows: &[f32], part: Part, product: &mut Product) {
    let (stride, channels) = (part.stride, product.channels);
    // SAFETY: the caller's.
    unsafe {
        for first in (0..channels).step_by(CHANNELS) {
            for pair in (0..QUERIES).step_by(2) {
                let partial =
                    |query: usize, channel: usize| ((pair + query) * channels + first + channel) * LANES;
                let mut sums: [[__m512; CHANNELS]; 2] = std::array::from_fn(|query| {
                    std::array::from_fn(|channel| {
                        _mm512_loadu_ps(product.partial.as_ptr().add(partial(query, channel)))
                    })
                });
                for token in (0..stride).step_by(LANES) {
                    let row = rows.as_ptr().add(pair * stride + token);
                    let weights = [_mm512_loadu_ps(row), _mm512_loadu_ps(row.add(stride))];
                    for channel in 0..CHANNELS {
                        let at = part.values.as_ptr().add((first + channel) * stride + token);
                        let values = _mm512_loadu_ps(at);
                        sums[0][channel] = _mm512_fmadd_ps(weights[0], values, sums[0][channel]);
                        sums[1][channel] = _mm512_fmadd_ps(weights[1], values, sums[1][channel]);
                    }
                }
                for (query, sums) in sums.iter().enumerate() {
                    for (channel, sum) in sums.iter().enumerate() {
                        _mm512_storeu_ps(product.partial.as_mut_ptr().add(partial(query, channel)), *sum);
                    }
                }
            }
        }
    }
}

/// The sums of the numbers of sixteen registers, in their order: halves are added crosswise, so that one register is left
/// after four rounds instead of sixteen after as many reductions.
#[target_feature(enable = "avx512f")]
fn totals(sums: &[f32; LANES * LANES]) -> [f32; LANES] {
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
        // SAFETY: sixteen values from each multiple of sixteen.
        let at = |k: usize| unsafe { _mm512_loadu_ps(sums[(n + k) * LANES..(n + k + 1) * LANES].as_ptr()) };
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
unsafe fn spread(rows: &[f32], x: &[f32], out: &mut [f32], width: usize, stride: usize) {
    // SAFETY: the caller's.
    unsafe {
        // Two channels at a time: their sixteen factors stay in registers while all tokens pass.
        for channel in (0..width).step_by(2) {
            let two = channel + 1 < width;
            let factor =
                |query: usize, channel: usize| _mm512_set1_ps(*x.get_unchecked(query * width + channel));
            let first: [__m512; QUERIES] = std::array::from_fn(|query| factor(query, channel));
            let second: [__m512; QUERIES] =
                std::array::from_fn(
                    |query| if two { factor(query, channel + 1) } else { _mm512_setzero_ps() },
                );
            for token in (0..stride).step_by(LANES) {
                let at = out.as_mut_ptr().add(channel * stride + token);
                // Panels are padded to an even number of channels.
                let mut sums = [_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(stride))];
                for query in 0..QUERIES {
                    let weights = _mm512_loadu_ps(rows.as_ptr().add(query * stride + token));
                    sums[0] = _mm512_fmadd_ps(first[query], weights, sums[0]);
                    sums[1] = _mm512_fmadd_ps(second[query], weights, sums[1]);
                }
                _mm512_storeu_ps(at, sums[0]);
                _mm512_storeu_ps(at.add(stride), sums[1]);
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn softmax_backward(
    weights: &mut [[f32; LANES]],
    (highest, divisor): Softmax,
    gradients: &mut [[f32; LANES]],
    mean: f32,
    scale: f32,
) {
    // SAFETY: each is sixteen values.
    unsafe {
        let share = 1.0 / divisor;
        let [highest, share, mean, scale] = [highest, share, mean, scale].map(|x| _mm512_set1_ps(x));
        for (weight, gradient) in weights.iter_mut().zip(gradients) {
            let power = exp2(_mm512_sub_ps(_mm512_loadu_ps(weight.as_ptr()), highest));
            let weighs = _mm512_mul_ps(power, share);
            _mm512_storeu_ps(weight.as_mut_ptr(), weighs);
            let off = _mm512_sub_ps(_mm512_loadu_ps(gradient.as_ptr()), mean);
            _mm512_storeu_ps(gradient.as_mut_ptr(), _mm512_mul_ps(_mm512_mul_ps(weighs, scale), off));
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
        let sums: [f32; LANES * LANES] = std::array::from_fn(|n| value(n / LANES, n % LANES));
        // SAFETY: AVX-512 is there.
        let totals = unsafe { totals(&sums) };
        for (register, total) in totals.iter().enumerate() {
            assert_eq!(*total, (0..LANES).map(|lane| value(register, lane)).sum::<f32>(), "{register}");
        }
    }

    #[test]
    fn powers_of_two_are_exact_to_the_last_bits() {
        if !is_x86_feature_detected!("avx512f") {
            return;
        }
        for n in 0..128_000_u32 {
            let x = -(n as f32) * 5e-4;
            let mut power = [0.0; LANES];
            // SAFETY: AVX-512 is there; sixteen values.
            unsafe { _mm512_storeu_ps(power.as_mut_ptr(), exp2(_mm512_set1_ps(x))) };
            let exact = f64::from(x).exp2();
            assert!(
                (f64::from(power[0]) - exact).abs() <= 2.5e-7 * exact,
                "2^{x} is {exact}, not {}",
                power[0]
            );
        }
        for x in [-64.1, -126.0, -1e9, f32::NEG_INFINITY, f32::NAN] {
            let mut power = [1.0; LANES];
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(power.as_mut_ptr(), exp2(_mm512_set1_ps(x))) };
            assert!(if x.is_nan() { power[0].is_nan() } else { power[0] == 0.0 }, "2^{x} is {}", power[0]);
        }
    }
}
