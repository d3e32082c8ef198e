//! How the rows of a layer are shared out: blocks that fit the cache, given to threads by rows where there are
//! enough of them and by columns where there are not.

use rayon::prelude::*;
use std::ops::Range;

/// Rows per block: the block's input stays in the second-level cache, and a tap's weights are packed often
/// enough to be worth their packing.
fn rows_per_block(rows: usize, channels: usize) -> usize {
    let ideal = if channels <= 128 || channels >= 512 { 1024 } else { 512 };
    rows.div_ceil(rows.div_ceil(ideal).max(1)).max(1)
}

/// Calls `work(n, chunk)` for the n-th chunk of `out`, and gives back what it returns, in that order. Where there is
/// nothing to share, no thread is woken: from outside rayon's threads that costs two switches, on a busy machine
/// milliseconds.
pub(super) fn for_chunks<R: Send>(
    out: &mut [f32],
    chunk: usize,
    work: impl Fn(usize, &mut [f32]) -> R + Sync,
) -> Vec<R> {
    let chunk = chunk.max(1);
    let work = |(n, chunk): (usize, &mut [f32])| work(n, chunk);
    match out.len() <= chunk || rayon::current_num_threads() == 1 {
        true => out.chunks_mut(chunk).enumerate().map(work).collect(),
        false => out.par_chunks_mut(chunk).enumerate().map(work).collect(),
    }
}

/// What `work` makes of each of 0 to `count`, threads woken as in [`for_chunks`].
pub(super) fn map<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    match count < 2 || rayon::current_num_threads() == 1 {
        true => (0..count).map(work).collect(),
        false => (0..count).into_par_iter().map(work).collect(),
    }
}

/// Calls `compute(first row, columns, out)` for blocks that together cover `out`, `[rows, columns]` values; its
/// `out` holds the block's rows of those columns only. `prepare(first row, rows)` makes what a block's columns
/// share, once. What `finish(first row, prepared, rows of out)` returns comes back in the order of the rows.
pub(super) fn for_blocks<P: Sync, R: Send>(
    out: &mut [f32],
    columns: usize,
    channels: usize,
    prepare: impl Fn(usize, usize) -> P + Sync,
    compute: impl Fn(&P, Range<usize>, &mut [f32]) + Sync,
    finish: impl Fn(usize, &P, &mut [f32]) -> R + Sync,
) -> Vec<R> {
    let rows = out.len() / columns.max(1);
    if rows == 0 {
        return Vec::new();
    }
    let threads = rayon::current_num_threads();
    let block = rows_per_block(rows, channels);
    if threads == 1 || rows.div_ceil(block) >= 2 * threads {
        let work = |(n, out): (usize, &mut [f32])| {
            let prepared = prepare(n * block, out.len() / columns);
            compute(&prepared, 0..columns, out);
            finish(n * block, &prepared, out)
        };
        return match threads {
            1 => out.chunks_mut(block * columns).enumerate().map(work).collect(),
            _ => out.par_chunks_mut(block * columns).enumerate().map(work).collect(),
        };
    }
    // Multiples of 16 columns, so that no vector is torn.
    let share = columns.div_ceil(threads).next_multiple_of(16);
    let work = |(n, out): (usize, &mut [f32])| {
        let prepared = prepare(n * block, out.len() / columns);
        let parts: Vec<(Range<usize>, Vec<f32>)> = (0..columns.div_ceil(share))
            .into_par_iter()
            .map(|part| {
                let range = part * share..columns.min((part + 1) * share);
                let mut own: Vec<f32> =
                    out.chunks_exact(columns).flat_map(|row| row[range.clone()].iter().copied()).collect();
                compute(&prepared, range.clone(), &mut own);
                (range, own)
            })
            .collect();
        for (range, own) in parts {
            for (row, own) in out.chunks_exact_mut(columns).zip(own.chunks_exact(range.len())) {
                row[range.clone()].copy_from_slice(own);
            }
        }
        finish(n * block, &prepared, out)
    };
    out.chunks_mut(block * columns).enumerate().map(work).collect()
}
