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
    check(out, stride, 1, weights, taps.len() * inputs.count, columns);
    let rows = inputs.rows();
    let inside = |row: &u32| *row == NOWHERE || (*row as usize) < rows;
    assert!(taps.iter().flatten().all(inside), "a row lies outside the inputs");
    let job = Job { inputs, taps, weights: weights.as_ptr(), stride, ahead: weights.as_ptr(), step: 0 };
    // SAFETY: the assertions above keep every row, weight and output inside its slice, as each variant needs; the
    // processor's features are asked for before the variants compiled for them are called.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return match columns {
                    WIDE => avx512::<2, true>(&job, out.as_mut_ptr()),
                    _ => avx512::<1, true>(&job, out.as_mut_ptr()),
                };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return avx2_tile::<true>(&job, columns, out.as_mut_ptr());
            }
        }
        match columns {
            WIDE => any::<WIDE, true>(&job, out.as_mut_ptr()),
            _ => any::<NARROW, true>(&job, out.as_mut_ptr()),
        }
    }
}

/// Rows that are read one after the other, from the `first` on: `tiles` times eight of them.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) first: usize,
    pub(super) tiles: usize,
}

/// `out = rows·weights`, or `out += rows·weights` if so, for a run of rows: `weights` holds `[count, columns]`
/// values, `out` the rows `stride` apart, of `columns` values (16 or 32). Meanwhile `ahead` is brought near the
/// processor: the weights that are wanted next.
#[allow(clippy::too_many_arguments)]
pub(super) fn product(
    out: &mut [f32],
    stride: usize,
    inputs: Inputs,
    run: Run,
    weights: &[f32],
    columns: usize,
    add: bool,
    ahead: &[f32],
) {
    if run.tiles == 0 {
        return;
    }
    check(out, stride, run.tiles, weights, inputs.count, columns);
    let end = run.first + run.tiles * ROWS;
    assert!(end <= inputs.rows() && end < NOWHERE as usize, "a row lies outside the inputs");
    let job = Job { inputs, taps: &[], weights: weights.as_ptr(), stride, ahead: ahead.as_ptr(), step: 0 };
    // SAFETY: as in `accumulate`.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return match (columns, add) {
                    (WIDE, true) => avx512_run::<2, true>(job, run, out.as_mut_ptr(), ahead.len()),
                    (WIDE, false) => avx512_run::<2, false>(job, run, out.as_mut_ptr(), ahead.len()),
                    (_, true) => avx512_run::<1, true>(job, run, out.as_mut_ptr(), ahead.len()),
                    (_, false) => avx512_run::<1, false>(job, run, out.as_mut_ptr(), ahead.len()),
                };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return match add {
                    true => avx2_run::<true>(job, run, columns, out.as_mut_ptr(), ahead.len()),
                    false => avx2_run::<false>(job, run, columns, out.as_mut_ptr(), ahead.len()),
                };
            }
        }
        for tile in 0..run.tiles {
            let tap = [run.tap(tile)];
            let job = job.of(run, tile, &tap, ahead.len());
            let out = out.as_mut_ptr().add(tile * ROWS * stride);
            match (columns, add) {
                (WIDE, true) => any::<WIDE, true>(&job, out),
                (WIDE, false) => any::<WIDE, false>(&job, out),
                (_, true) => any::<NARROW, true>(&job, out),
                (_, false) => any::<NARROW, false>(&job, out),
            }
        }
    }
}

/// Refuses slices that are smaller than `tiles` tiles with weights of so many inputs need.
fn check(out: &[f32], stride: usize, tiles: usize, weights: &[f32], inputs: usize, columns: usize) {
    assert!(columns == WIDE || columns == NARROW);
    assert!(weights.len() >= inputs * columns, "the weights are fewer than their product needs");
    assert!(out.len() >= (tiles * ROWS - 1) * stride + columns, "the output is smaller than its tiles");
}

impl Inputs<'_> {
    /// How many there are.
    fn rows(&self) -> usize {
        (self.values.len() + self.stride).saturating_sub(self.first + self.count) / self.stride.max(1)
    }
}

impl Run {
    #[inline(always)]
    fn tap(&self, tile: usize) -> [u32; ROWS] {
        std::array::from_fn(|row| (self.first + tile * ROWS + row) as u32)
    }
}

#[derive(Clone, Copy)]
struct Job<'a> {
    inputs: Inputs<'a>,
    taps: &'a [[u32; ROWS]],
    weights: *const f32,
    stride: usize,
    /// What is wanted soon: a value of it every `step` is touched with each channel.
    ahead: *const f32,
    step: usize,
}

impl<'a> Job<'a> {
    /// The tile of a run, which shares what is `ahead` with the others.
    #[inline(always)]
    fn of<'b>(&self, run: Run, tile: usize, tap: &'b [[u32; ROWS]], ahead: usize) -> Job<'b>
    where
        'a: 'b,
    {
        let share = ahead.div_ceil(run.tiles);
        let ahead = self.ahead.wrapping_add(tile * share);
        Job { taps: tap, ahead, step: share.div_ceil(self.inputs.count.max(1)), ..*self }
    }

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
unsafe fn avx512_run<const N: usize, const ADD: bool>(job: Job, run: Run, out: *mut f32, ahead: usize) {
    for tile in 0..run.tiles {
        let tap = [run.tap(tile)];
        // SAFETY: the caller's.
        unsafe { avx512::<N, ADD>(&job.of(run, tile, &tap, ahead), out.add(tile * ROWS * job.stride)) };
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2_run<const ADD: bool>(job: Job, run: Run, columns: usize, out: *mut f32, ahead: usize) {
    for tile in 0..run.tiles {
        let tap = [run.tap(tile)];
        // SAFETY: the caller's.
        unsafe {
            avx2_tile::<ADD>(&job.of(run, tile, &tap, ahead), columns, out.add(tile * ROWS * job.stride))
        };
    }
}

/// Sixteen registers hold the sums of three or four rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2_tile<const ADD: bool>(job: &Job, columns: usize, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        match columns {
            WIDE => {
                avx2::<3, 4, ADD>(job, 0, out);
                avx2::<3, 4, ADD>(job, 3, out);
                avx2::<2, 4, ADD>(job, 6, out);
            }
            _ => {
                avx2::<4, 2, ADD>(job, 0, out);
                avx2::<4, 2, ADD>(job, 4, out);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const N: usize, const ADD: bool>(job: &Job, out: *mut f32) {
    use std::arch::x86_64::*;
    // SAFETY: the caller's.
    unsafe {
        let at = |p: usize, n: usize| out.add(p * job.stride + n * 16);
        let mut sums: [[__m512; N]; ROWS] = [[_mm512_setzero_ps(); N]; ROWS];
        if ADD {
            for (p, sums) in sums.iter_mut().enumerate() {
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_loadu_ps(at(p, n));
                }
            }
        }
        let mut weights = job.weights;
        for tap in job.taps {
            let Some(x) = job.rows::<ROWS>(tap, 0, ZEROS.as_ptr()) else {
                weights = weights.add(job.inputs.count * N * 16);
                continue;
            };
            for c in 0..job.inputs.count {
                _mm_prefetch::<_MM_HINT_T1>(job.ahead.wrapping_add(c * job.step).cast());
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
unsafe fn avx2<const P: usize, const N: usize, const ADD: bool>(job: &Job, first: usize, out: *mut f32) {
    use std::arch::x86_64::*;
    // SAFETY: the caller's.
    unsafe {
        let at = |p: usize, n: usize| out.add((first + p) * job.stride + n * 8);
        let mut sums: [[__m256; N]; P] = [[_mm256_setzero_ps(); N]; P];
        if ADD {
            for (p, sums) in sums.iter_mut().enumerate() {
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm256_loadu_ps(at(p, n));
                }
            }
        }
        let mut weights = job.weights;
        for tap in job.taps {
            let Some(x) = job.rows::<P>(tap, first, ZEROS.as_ptr()) else {
                weights = weights.add(job.inputs.count * N * 8);
                continue;
            };
            for c in 0..job.inputs.count {
                _mm_prefetch::<_MM_HINT_T1>(job.ahead.wrapping_add(c * job.step).cast());
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
unsafe fn any<const COLUMNS: usize, const ADD: bool>(job: &Job, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        for p in 0..ROWS {
            let mut sums: [f32; COLUMNS] =
                std::array::from_fn(|n| if ADD { *out.add(p * job.stride + n) } else { 0.0 });
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
            let ahead = weights.as_ptr();
            let job = Job { inputs, taps: &taps, weights: ahead, stride: 40, ahead, step: 0 };
            let mut out = start.clone();
            // SAFETY: the same job as above.
            unsafe {
                match columns {
                    WIDE => any::<WIDE, true>(&job, out.as_mut_ptr()),
                    _ => any::<NARROW, true>(&job, out.as_mut_ptr()),
                }
            }
            assert_eq!(out, expected);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                let mut out = start.clone();
                // SAFETY: the same job as above, on a processor with both features.
                unsafe { avx2_tile::<true>(&job, columns, out.as_mut_ptr()) };
                assert_eq!(out, expected);
            }
        }
    }

    #[test]
    fn a_run_of_rows_is_the_sum_of_its_tiles() {
        let value = |i: usize| ((i * 37 + 11) % 29) as f32 - 14.0;
        let (count, stride, tiles) = (11, 13, 3);
        let values: Vec<f32> = (0..(tiles * ROWS + 1) * stride).map(value).collect();
        let inputs = Inputs { values: &values, stride, first: 2, count };
        let run = Run { first: 1, tiles };
        for (columns, add) in [(WIDE, true), (WIDE, false), (NARROW, true), (NARROW, false)] {
            let weights: Vec<f32> = (0..count * columns).map(|i| value(i + 5)).collect();
            let start: Vec<f32> = (0..tiles * ROWS * 40).map(value).collect();
            let mut expected = start.clone();
            for (tile, out) in expected.chunks_exact_mut(ROWS * 40).enumerate() {
                if !add {
                    out.chunks_exact_mut(40).for_each(|row| row[..columns].fill(0.0));
                }
                accumulate(out, 40, inputs, &[run.tap(tile)], &weights, columns);
            }
            let mut out = start.clone();
            product(&mut out, 40, inputs, run, &weights, columns, add, &values);
            assert_eq!(out, expected);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                let ahead = weights.as_ptr();
                let job = Job { inputs, taps: &[], weights: ahead, stride: 40, ahead, step: 0 };
                let mut out = start.clone();
                // SAFETY: the same run as above, on a processor with both features.
                unsafe {
                    match add {
                        true => avx2_run::<true>(job, run, columns, out.as_mut_ptr(), weights.len()),
                        false => avx2_run::<false>(job, run, columns, out.as_mut_ptr(), weights.len()),
                    }
                }
                assert_eq!(out, expected);
            }
        }
    }
}
