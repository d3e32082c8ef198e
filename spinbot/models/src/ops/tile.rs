//! The innermost product: eight rows of inputs, wherever each of them lies, times a slab of packed weights, with the
//! sums kept in registers. Nothing is gathered first, so that a convolution is as cheap as a linear layer.
//!
//! This and [`super::gemm`] are where pointers are.

/// Rows of a tile.
pub(super) const ROWS: usize = 8;
/// Columns of a slab, but for the last one, which may be [`NARROW`].
pub(super) const WIDE: usize = 32;
/// Columns of a narrow slab.
pub(super) const NARROW: usize = 16;
/// Stands for a row of zeros.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Rows of inputs inside a slice.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) values: &'a [f32],
    /// From one row to the next.
    pub(super) stride: usize,
    /// The first channel that counts.
    pub(super) first: usize,
    /// How many count.
    pub(super) count: usize,
}

/// `out += Σ over taps of rows·weights`: `taps` says for each tap which row each of the eight is, `weights` holds
/// `[taps, count, columns]` values, `out` eight rows `stride` apart, of `columns` values (16 or 32).
pub(super) fn accumulate(
    out: &mut [f32],
    stride: usize,
    inputs: Inputs,
    taps: &[[u32; ROWS]],
    weights: &[f32],
    columns: usize,
) {
    assert!(columns == WIDE || columns == NARROW);
    assert!(
        weights.len() >= taps.len() * inputs.count * columns,
        "the weights are fewer than their product needs"
    );
    assert!(out.len() >= (ROWS - 1) * stride + columns, "the output is smaller than a tile");
    let rows = (inputs.values.len() + inputs.stride - inputs.first - inputs.count) / inputs.stride.max(1);
    let inside = |row: &u32| *row == NOWHERE || (*row as usize) < rows;
    assert!(taps.iter().flatten().all(inside), "a row lies outside the inputs");
    let job = Job { inputs, taps, weights: weights.as_ptr(), stride };
    // SAFETY: the assertions above keep every row, weight and output inside its slice, as each variant needs; the
    // processor's features are asked for before the variants compiled for them are called.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return match columns {
                    WIDE => avx512::<2>(&job, out.as_mut_ptr()),
                    _ => avx512::<1>(&job, out.as_mut_ptr()),
                };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // Sixteen registers hold the sums of three or four rows.
                return match columns {
                    WIDE => {
                        avx2::<3, 4>(&job, 0, out.as_mut_ptr());
                        avx2::<3, 4>(&job, 3, out.as_mut_ptr());
                        avx2::<2, 4>(&job, 6, out.as_mut_ptr());
                    }
                    _ => {
                        avx2::<4, 2>(&job, 0, out.as_mut_ptr());
                        avx2::<4, 2>(&job, 4, out.as_mut_ptr());
                    }
                };
            }
        }
        match columns {
            WIDE => any::<WIDE>(&job, out.as_mut_ptr()),
            _ => any::<NARROW>(&job, out.as_mut_ptr()),
        }
    }
}

struct Job<'a> {
    inputs: Inputs<'a>,
    taps: &'a [[u32; ROWS]],
    weights: *const f32,
    stride: usize,
}

impl Job<'_> {
    /// Where the `P` rows from the `first` of a tap begin, or `None` where all are zeros.
    #[inline(always)]
    fn rows<const P: usize>(
        &self,
        tap: &[u32; ROWS],
        first: usize,
        zeros: *const f32,
    ) -> Option<[*const f32; P]> {
        let tap: [u32; P] = std::array::from_fn(|p| tap[first + p]);
        if tap.iter().all(|row| *row == NOWHERE) {
            return None;
        }
        let Inputs { values, stride, first, .. } = self.inputs;
        Some(tap.map(|row| match row {
            NOWHERE => zeros,
            row => values.as_ptr().wrapping_add(row as usize * stride + first),
        }))
    }
}

/// As many zeros as a row has channels at most in one call: see [`super::product`]'s chunks.
pub(super) static ZEROS: [f32; MOST] = [0.0; MOST];
/// Channels of a call, at most.
pub(super) const MOST: usize = 2048;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const N: usize>(job: &Job, out: *mut f32) {
    use std::arch::x86_64::*;
    // SAFETY: the caller's.
    unsafe {
        let at = |p: usize, n: usize| out.add(p * job.stride + n * 16);
        let mut sums: [[__m512; N]; ROWS] =
            std::array::from_fn(|p| std::array::from_fn(|n| _mm512_loadu_ps(at(p, n))));
        let mut weights = job.weights;
        for tap in job.taps {
            let Some(x) = job.rows::<ROWS>(tap, 0, ZEROS.as_ptr()) else {
                weights = weights.add(job.inputs.count * N * 16);
                continue;
            };
            for c in 0..job.inputs.count {
                let w: [__m512; N] = std::array::from_fn(|n| _mm512_loadu_ps(weights.add(n * 16)));
                for p in 0..ROWS {
                    let value = _mm512_set1_ps(*x[p].add(c));
                    for n in 0..N {
                        sums[p][n] = _mm512_fmadd_ps(value, w[n], sums[p][n]);
                    }
                }
                weights = weights.add(N * 16);
            }
        }
        for (p, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(at(p, n), *sum);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const P: usize, const N: usize>(job: &Job, first: usize, out: *mut f32) {
    use std::arch::x86_64::*;
    // SAFETY: the caller's.
    unsafe {
        let at = |p: usize, n: usize| out.add((first + p) * job.stride + n * 8);
        let mut sums: [[__m256; N]; P] =
            std::array::from_fn(|p| std::array::from_fn(|n| _mm256_loadu_ps(at(p, n))));
        let mut weights = job.weights;
        for tap in job.taps {
            let Some(x) = job.rows::<P>(tap, first, ZEROS.as_ptr()) else {
                weights = weights.add(job.inputs.count * N * 8);
                continue;
            };
            for c in 0..job.inputs.count {
                let w: [__m256; N] = std::array::from_fn(|n| _mm256_loadu_ps(weights.add(n * 8)));
                for p in 0..P {
                    let value = _mm256_set1_ps(*x[p].add(c));
                    for n in 0..N {
                        sums[p][n] = _mm256_fmadd_ps(value, w[n], sums[p][n]);
                    }
                }
                weights = weights.add(N * 8);
            }
        }
        for (p, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                _mm256_storeu_ps(at(p, n), *sum);
            }
        }
    }
}

/// For processors without either.
unsafe fn any<const COLUMNS: usize>(job: &Job, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        for p in 0..ROWS {
            let mut sums: [f32; COLUMNS] = std::array::from_fn(|n| *out.add(p * job.stride + n));
            let mut weights = job.weights;
            for tap in job.taps {
                if let Some([x]) = job.rows::<1>(tap, p, ZEROS.as_ptr()) {
                    for c in 0..job.inputs.count {
                        let value = *x.add(c);
                        for (n, sum) in sums.iter_mut().enumerate() {
                            *sum += value * *weights.add(c * COLUMNS + n);
                        }
                    }
                }
                weights = weights.add(job.inputs.count * COLUMNS);
            }
            for (n, sum) in sums.iter().enumerate() {
                *out.add(p * job.stride + n) = *sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_that_runs_here_gives_the_same_sums() {
        let value = |i: usize| ((i * 37 + 11) % 29) as f32 - 14.0;
        let (count, stride, rows) = (11, 13, 9);
        let values: Vec<f32> = (0..rows * stride).map(value).collect();
        let inputs = Inputs { values: &values, stride, first: 2, count };
        let taps = [[0, 1, 2, 3, 4, 5, 6, 7], [NOWHERE, 8, 8, NOWHERE, 0, 0, 3, NOWHERE], [NOWHERE; 8]];
        for columns in [WIDE, NARROW] {
            let weights: Vec<f32> = (0..3 * count * columns).map(|i| value(i + 5)).collect();
            let start: Vec<f32> = (0..ROWS * 40).map(value).collect();
            let mut expected = start.clone();
            for (t, tap) in taps.iter().enumerate() {
                for (p, row) in tap.iter().enumerate().filter(|(_, row)| **row != NOWHERE) {
                    for c in 0..count {
                        for n in 0..columns {
                            let x = values[*row as usize * stride + 2 + c];
                            expected[p * 40 + n] += x * weights[(t * count + c) * columns + n];
                        }
                    }
                }
            }
            let mut out = start.clone();
            accumulate(&mut out, 40, inputs, &taps, &weights, columns);
            assert_eq!(out, expected);
            let job = Job { inputs, taps: &taps, weights: weights.as_ptr(), stride: 40 };
            let mut out = start.clone();
            // SAFETY: the same job as above.
            unsafe {
                if columns == WIDE {
                    any::<WIDE>(&job, out.as_mut_ptr())
                } else {
                    any::<NARROW>(&job, out.as_mut_ptr())
                }
            }
            assert_eq!(out, expected);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                let mut out = start.clone();
                // SAFETY: the same job as above, on a processor with both features.
                unsafe {
                    if columns == WIDE {
                        avx2::<3, 4>(&job, 0, out.as_mut_ptr());
                        avx2::<3, 4>(&job, 3, out.as_mut_ptr());
                        avx2::<2, 4>(&job, 6, out.as_mut_ptr());
                    } else {
                        avx2::<4, 2>(&job, 0, out.as_mut_ptr());
                        avx2::<4, 2>(&job, 4, out.as_mut_ptr());
                    }
                }
                assert_eq!(out, expected);
            }
        }
    }
}
