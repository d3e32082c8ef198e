//! The innermost product: sixteen rows of unsigned numbers of 4 or 8 bits times inputs of 8 bits, block of 32 columns by
//! block. The sums of a block are whole numbers, so that every variant gives the same but for the order of the last
//! additions.
//!
//! This, [`super::super::tile`] and [`super::super::gemm`] are where pointers are.

use crate::ops::for_each_machine;
use half::f16;

/// Columns that share a scale.
pub(super) const BLOCK: usize = 32;
/// Rows of a group.
pub(super) const ROWS: usize = 16;
/// Inputs of one call.
pub(super) const MOST_TOKENS: usize = 8;

/// What is added to `scale·number`.
#[derive(Clone, Copy)]
pub(super) enum Offsets<'a> {
    /// The same multiple of every scale.
    OfScale(f32),
    /// One beside each scale.
    Own(&'a [f16]),
}

/// Sixteen rows; see [`super::packed`] for the order of the numbers.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) numbers: &'a [u8],
    /// [block][row].
    pub(super) scales: &'a [f16],
    pub(super) offsets: Offsets<'a>,
}

/// Inputs, the first of them first.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) numbers: &'a [i8],
    /// [token][block].
    pub(super) scales: &'a [f32],
    /// Sums of the values of each block.
    pub(super) sums: &'a [f32],
}

/// `out[token][row]` of up to [`MOST_TOKENS`] inputs.
pub(super) fn multiply(out: &mut [[f32; ROWS]], group: Group, inputs: Inputs) {
    let blocks = group.scales.len() / ROWS;
    let unit = group.numbers.len() / blocks.max(1);
    assert!(unit == ROWS * BLOCK || unit == ROWS * BLOCK / 2, "numbers of neither 4 nor 8 bits");
    assert!(group.numbers.len() == unit * blocks && group.scales.len() == blocks * ROWS);
    if let Offsets::Own(own) = group.offsets {
        assert_eq!(own.len(), group.scales.len(), "an offset for each scale");
    }
    assert!(out.len() <= MOST_TOKENS, "more inputs than a call takes");
    assert!(inputs.numbers.len() >= out.len() * blocks * BLOCK, "fewer inputs than outputs");
    assert!(inputs.scales.len() >= out.len() * blocks && inputs.sums.len() >= out.len() * blocks);
    let mut done = 0;
    while done < out.len() {
        let out = &mut out[done..];
        let from = inputs.after(done, blocks);
        done += match unit == ROWS * BLOCK {
            true => some::<true>(out, group, from, blocks),
            false => some::<false>(out, group, from, blocks),
        };
    }
}

impl<'a> Inputs<'a> {
    /// Those behind so many tokens, each of so many blocks.
    pub(super) fn after(self, tokens: usize, blocks: usize) -> Inputs<'a> {
        let at = tokens * blocks;
        Inputs { numbers: &self.numbers[at * BLOCK..], scales: &self.scales[at..], sums: &self.sums[at..] }
    }
}

/// The outputs of the first few inputs: as many as a variant takes at once, which is returned.
fn some<const EIGHT: bool>(out: &mut [[f32; ROWS]], group: Group, inputs: Inputs, blocks: usize) -> usize {
    // SAFETY: `multiply` has seen that every slice is as long as all inputs need; a variant is only called where the
    // processor has what it was compiled for.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                if let Some(out) = out.first_chunk_mut::<8>() {
                    avx512::<EIGHT, 8>(out, group, inputs, blocks);
                    return 8;
                }
                if let Some(out) = out.first_chunk_mut::<4>() {
                    avx512::<EIGHT, 4>(out, group, inputs, blocks);
                    return 4;
                }
                if let Some(out) = out.first_chunk_mut::<1>() {
                    avx512::<EIGHT, 1>(out, group, inputs, blocks);
                    return 1;
                }
            }
            if is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
            {
                if let Some(out) = out.first_chunk_mut::<4>() {
                    avx2::<EIGHT, 4>(out, group, inputs, blocks);
                    return 4;
                }
                if let Some(out) = out.first_chunk_mut::<1>() {
                    avx2::<EIGHT, 1>(out, group, inputs, blocks);
                    return 1;
                }
            }
        }
    }
    any::<EIGHT>(&mut out[0], group, inputs, blocks);
    1
}

/// The sixteen rows' numbers at a column of a block.
fn number<const EIGHT: bool>(unit: &[u8], column: usize, row: usize) -> u8 {
    let at = |column: usize| unit[(column / 4 * ROWS + row) * 4 + column % 4];
    match (EIGHT, column / 16) {
        (true, _) => at(column),
        (false, 0) => at(column) & 15,
        (false, _) => at(column - 16) >> 4,
    }
}

/// For every machine, and what the others are held against.
fn any<const EIGHT: bool>(out: &mut [f32; ROWS], group: Group, inputs: Inputs, blocks: usize) {
    let unit = if EIGHT { ROWS * BLOCK } else { ROWS * BLOCK / 2 };
    *out = [0.0; ROWS];
    for block in 0..blocks {
        let numbers = &group.numbers[block * unit..][..unit];
        let x = &inputs.numbers[block * BLOCK..][..BLOCK];
        for (row, out) in out.iter_mut().enumerate() {
            let at = block * ROWS + row;
            let product =
                |column: usize| i32::from(number::<EIGHT>(numbers, column, row)) * i32::from(x[column]);
            let whole: i32 = (0..BLOCK).map(product).sum();
            let scale = group.scales[at].to_f32();
            let offset = match group.offsets {
                Offsets::OfScale(factor) => factor * scale,
                Offsets::Own(own) => own[at].to_f32(),
            };
            *out += whole as f32 * scale * inputs.scales[block] + offset * inputs.sums[block];
        }
    }
}

/// # Safety
/// The processor has AVX-512 with VNNI, and the slices are as long as [`multiply`] demands.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn avx512<const EIGHT: bool, const T: usize>(
    out: &mut [[f32; ROWS]; T],
    group: Group,
    inputs: Inputs,
    blocks: usize,
) {
    use std::arch::x86_64::*;
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [_mm512_setzero_ps(); T];
        let mut numbers = group.numbers.as_ptr();
        let halves = |at: *const f16| _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()));
        let low = _mm512_set1_epi8(15);
        for block in 0..blocks {
            let scale = halves(group.scales.as_ptr().add(block * ROWS));
            let offset = match group.offsets {
                Offsets::OfScale(factor) => _mm512_mul_ps(scale, _mm512_set1_ps(factor)),
                Offsets::Own(own) => halves(own.as_ptr().add(block * ROWS)),
            };
            let load = |n: usize| _mm512_loadu_si512(numbers.add(n * 64).cast());
            let quarters: [__m512i; 8] = match EIGHT {
                true => std::array::from_fn(load),
                false => std::array::from_fn(|n| match n {
                    0..4 => _mm512_and_si512(load(n), low),
                    _ => _mm512_and_si512(_mm512_srli_epi32::<4>(load(n - 4)), low),
                }),
            };
            numbers = numbers.add(if EIGHT { 512 } else { 256 });
            for (token, sum) in sums.iter_mut().enumerate() {
                let at = token * blocks + block;
                let x: *const i32 = inputs.numbers.as_ptr().add(at * BLOCK).cast();
                // Two chains: each instruction waits five cycles for the one before it.
                let mut whole = [_mm512_setzero_si512(); 2];
                for (n, quarter) in quarters.iter().enumerate() {
                    let four = _mm512_set1_epi32(x.add(n).read_unaligned());
                    whole[n % 2] = _mm512_dpbusd_epi32(whole[n % 2], *quarter, four);
                }
                let whole = _mm512_cvtepi32_ps(_mm512_add_epi32(whole[0], whole[1]));
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(*inputs.scales.get_unchecked(at)));
                *sum = _mm512_fmadd_ps(whole, scale, *sum);
                *sum = _mm512_fmadd_ps(offset, _mm512_set1_ps(*inputs.sums.get_unchecked(at)), *sum);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            _mm512_storeu_ps(out.as_mut_ptr(), sum);
        }
    }
}

/// # Safety
/// The processor has AVX2, FMA and F16C, and the slices are as long as [`multiply`] demands.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<const EIGHT: bool, const T: usize>(
    out: &mut [[f32; ROWS]; T],
    group: Group,
    inputs: Inputs,
    blocks: usize,
) {
    use std::arch::x86_64::*;
    // SAFETY: the caller's.
    unsafe {
        let halves = |at: *const f16| _mm256_cvtph_ps(_mm_loadu_si128(at.cast()));
        let (low, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
        // Eight rows at a time.
        for half in 0..2 {
            let mut sums = [_mm256_setzero_ps(); T];
            let mut numbers = group.numbers.as_ptr().add(half * 32);
            for block in 0..blocks {
                let first = block * ROWS + half * 8;
                let scale = halves(group.scales.as_ptr().add(first));
                let offset = match group.offsets {
                    Offsets::OfScale(factor) => _mm256_mul_ps(scale, _mm256_set1_ps(factor)),
                    Offsets::Own(own) => halves(own.as_ptr().add(first)),
                };
                for (token, sum) in sums.iter_mut().enumerate() {
                    let at = token * blocks + block;
                    let x: *const i32 = inputs.numbers.as_ptr().add(at * BLOCK).cast();
                    let four = |n: usize| _mm256_set1_epi32(x.add(n).read_unaligned());
                    // Products of 4 bits with 8 fit 16 bits in pairs; of 8 bits with 8 they would not.
                    let dot = |numbers: __m256i, four: __m256i| {
                        _mm256_madd_epi16(_mm256_maddubs_epi16(numbers, four), ones)
                    };
                    let mut whole = [_mm256_setzero_si256(); 2];
                    for n in 0..if EIGHT { 8 } else { 4 } {
                        let bytes = _mm256_loadu_si256(numbers.add(n * 64).cast());
                        let lower = _mm256_and_si256(bytes, low);
                        let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low);
                        let other = if EIGHT { n } else { n + 4 };
                        whole[0] = _mm256_add_epi32(whole[0], dot(lower, four(n)));
                        whole[1] = _mm256_add_epi32(whole[1], dot(upper, four(other)));
                    }
                    let upper = if EIGHT { _mm256_slli_epi32::<4>(whole[1]) } else { whole[1] };
                    let whole = _mm256_cvtepi32_ps(_mm256_add_epi32(whole[0], upper));
                    let scale = _mm256_mul_ps(scale, _mm256_set1_ps(*inputs.scales.get_unchecked(at)));
                    *sum = _mm256_fmadd_ps(whole, scale, *sum);
                    *sum = _mm256_fmadd_ps(offset, _mm256_set1_ps(*inputs.sums.get_unchecked(at)), *sum);
                }
                numbers = numbers.add(if EIGHT { 512 } else { 256 });
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                _mm256_storeu_ps(out.as_mut_ptr().add(half * 8), sum);
            }
        }
    }
}

/// Rounds values to `scale·number` with numbers of -127 to 127, a scale for each [`BLOCK`], and sums the rounded ones.
pub(super) fn round_to_8_bits(x: &[f32], numbers: &mut [i8], scales: &mut [f32], sums: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just found.
        return unsafe { round_avx512(x, numbers, scales, sums) };
    }
    round(x, numbers, scales, sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn round_avx512(x: &[f32], numbers: &mut [i8], scales: &mut [f32], sums: &mut [f32]) {
    use std::arch::x86_64::*;
    let blocks = x.as_chunks::<BLOCK>().0.iter().zip(numbers.as_chunks_mut::<BLOCK>().0);
    for ((x, numbers), (scale, sum)) in blocks.zip(scales.iter_mut().zip(sums)) {
        // SAFETY: a block is two registers of values, and as many bytes.
        unsafe {
            let (a, b) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(16)));
            let most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
            let inverse = _mm512_set1_ps(if most > 0.0 { 127.0 / most } else { 0.0 });
            let whole = |x: __m512| _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
            let (a, b) = (whole(a), whole(b));
            _mm_storeu_si128(numbers.as_mut_ptr().cast(), _mm512_cvtsepi32_epi8(a));
            _mm_storeu_si128(numbers.as_mut_ptr().add(16).cast(), _mm512_cvtsepi32_epi8(b));
            *scale = most / 127.0;
            *sum = _mm512_reduce_add_epi32(_mm512_add_epi32(a, b)) as f32 * *scale;
        }
    }
}

for_each_machine! {
    /// The same for every machine.
    fn round(x: &[f32], numbers: &mut [i8], scales: &mut [f32], sums: &mut [f32]) = round_body
}

#[inline(always)]
fn round_body<const FMA: bool>(x: &[f32], numbers: &mut [i8], scales: &mut [f32], sums: &mut [f32]) {
    let blocks = x.as_chunks::<BLOCK>().0.iter().zip(numbers.as_chunks_mut::<BLOCK>().0);
    for ((x, numbers), (scale, sum)) in blocks.zip(scales.iter_mut().zip(sums)) {
        let most = x.iter().fold(0.0_f32, |most, x| if x.abs() > most { x.abs() } else { most });
        let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
        let mut whole = 0;
        for (number, x) in numbers.iter_mut().zip(x) {
            // Adding and taking away 1.5·2²³ rounds to the nearest whole number, halves to the even one.
            let rounded = (x * inverse + 12_582_912.0) - 12_582_912.0;
            *number = rounded as i8;
            whole += rounded as i32;
        }
        *scale = most / 127.0;
        *sum = whole as f32 * *scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_gives_what_the_plain_one_does() {
        let blocks = 3;
        let byte = |n: usize| (n.wrapping_mul(2_654_435_761) >> 13) as u8;
        let numbers: Vec<u8> = (0..blocks * ROWS * BLOCK).map(byte).collect();
        let scales: Vec<f16> =
            (0..blocks * ROWS).map(|n| f16::from_f32(byte(n + 9) as f32 / 500.0)).collect();
        let own: Vec<f16> = (0..blocks * ROWS).map(|n| f16::from_f32(byte(n + 99) as f32 / 50.0)).collect();
        let x: Vec<f32> = (0..MOST_TOKENS * blocks * BLOCK).map(|n| f32::from(byte(n + 5)) - 127.0).collect();
        let count = MOST_TOKENS * blocks;
        let (mut rounded, mut x_scales, mut sums) = (vec![0; x.len()], vec![0.0; count], vec![0.0; count]);
        round_to_8_bits(&x, &mut rounded, &mut x_scales, &mut sums);
        for (value, (n, number)) in x.iter().zip(rounded.iter().enumerate()) {
            let scale = x_scales[n / BLOCK];
            assert!((value - scale * f32::from(*number)).abs() <= scale * 0.5001, "{value}");
        }
        let inputs = Inputs { numbers: &rounded, scales: &x_scales, sums: &sums };
        fn check<const EIGHT: bool>(group: Group, inputs: Inputs, blocks: usize) {
            let mut want = [[0.0; ROWS]; MOST_TOKENS];
            for (token, out) in want.iter_mut().enumerate() {
                any::<EIGHT>(out, group, inputs.after(token, blocks), blocks);
            }
            let near = |got: &[[f32; ROWS]], name: &str| {
                for (got, want) in got.as_flattened().iter().zip(want.as_flattened()) {
                    assert!((got - want).abs() <= want.abs() * 1e-5 + 1e-2, "{name}: {got} for {want}");
                }
            };
            for tokens in 1..=MOST_TOKENS {
                let mut out = vec![[0.0; ROWS]; tokens];
                multiply(&mut out, group, inputs);
                near(&out, "as chosen");
            }
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
            {
                let mut out = [[0.0; ROWS]; 4];
                // SAFETY: the features were just found; the slices are those of eight tokens.
                unsafe { avx2::<EIGHT, 4>(&mut out, group, inputs, blocks) };
                near(&out, "AVX2");
                let mut out = [[0.0; ROWS]; 1];
                // SAFETY: as above.
                unsafe { avx2::<EIGHT, 1>(&mut out, group, inputs, blocks) };
                near(&out, "AVX2");
            }
        }
        for offsets in [Offsets::OfScale(-128.0), Offsets::Own(&own)] {
            check::<true>(Group { numbers: &numbers, scales: &scales, offsets }, inputs, blocks);
            let four = &numbers[..numbers.len() / 2];
            check::<false>(Group { numbers: four, scales: &scales, offsets }, inputs, blocks);
        }
    }
}
