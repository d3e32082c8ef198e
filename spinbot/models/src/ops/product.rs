//! Products of rows with packed weights: which rows a convolution reads for each of its outputs, and the order in
//! which slabs of weights meet tiles of rows, so that a slab stays in the second-level cache.

use super::aligned::Aligned;
use super::block::for_chunks;
use super::tile::{self, Inputs, MOST, NARROW, NOWHERE, ROWS, Run, WIDE};
use std::borrow::Cow;
use std::ops::Range;

/// Values of a slab's part that stay in the second-level cache.
const CACHED: usize = 1 << 16;
/// Values of the rows that stay there while slab after slab meets them.
const MET: usize = 1 << 17;

/// Weights `[taps, inputs, outputs]` in slabs of 32 outputs, each `[taps, inputs, 32]`; a rest of up to 16 outputs is
/// in a slab of 16. Missing outputs are zeros.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    pub(super) taps: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    values: Aligned,
}

impl Packed {
    /// From the weight of each tap, input and output.
    pub(super) fn new(
        taps: usize,
        inputs: usize,
        outputs: usize,
        weight: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let columns = outputs / WIDE * WIDE + rest(outputs);
        let mut values = Aligned::zeros(taps * inputs * columns);
        let slab = taps * inputs * WIDE;
        for_chunks(&mut values, slab, |n, slab| {
            let first = n * WIDE;
            let width = slab.len() / (taps * inputs);
            for i in 0..inputs {
                for tap in 0..taps {
                    let row = &mut slab[(tap * inputs + i) * width..][..width.min(outputs - first)];
                    row.iter_mut().enumerate().for_each(|(o, value)| *value = weight(tap, i, first + o));
                }
            }
        });
        Packed { taps, inputs, outputs, values }
    }

    /// Columns of all slabs: the outputs and what fills the last slab.
    pub(super) fn columns(&self) -> usize {
        self.outputs / WIDE * WIDE + rest(self.outputs)
    }

    /// Columns of those outputs, which begin with a slab.
    pub(super) fn columns_of(&self, outputs: &Range<usize>) -> usize {
        if outputs.end == self.outputs { self.columns() - outputs.start } else { outputs.len() }
    }

    /// One tap of the slab that begins with that output, and the slab's columns.
    pub(super) fn part(&self, tap: usize, first: usize) -> (&[f32], usize) {
        let width = if first / WIDE < self.outputs / WIDE { WIDE } else { rest(self.outputs) };
        (
            &self.values[self.taps * self.inputs * first + tap * self.inputs * width..]
                [..self.inputs * width],
            width,
        )
    }

    /// One weight of it.
    pub(super) fn at(&self, tap: usize, input: usize, output: usize) -> f32 {
        let (slab, column) = (output / WIDE, output % WIDE);
        let width = if slab < self.outputs / WIDE { WIDE } else { rest(self.outputs) };
        self.values[slab * self.taps * self.inputs * WIDE + (tap * self.inputs + input) * width + column]
    }
}

/// Columns of the slab for what full slabs leave.
fn rest(outputs: usize) -> usize {
    match outputs % WIDE {
        0 => 0,
        1..=NARROW => NARROW,
        _ => WIDE,
    }
}

/// A square kernel's way over a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Pixels of the kernel's edge.
    pub(crate) kernel: usize,
    /// Pixels from one output to the next.
    pub(crate) stride: usize,
    /// Pixels of zeros at each edge.
    pub(crate) padding: usize,
}

impl Geometry {
    /// That of a linear layer.
    pub(crate) const POINT: Geometry = Geometry { kernel: 1, stride: 1, padding: 0 };

    pub(super) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Pixels that come out along an edge of so many.
    pub(super) fn length(&self, length: usize) -> usize {
        (length + 2 * self.padding).saturating_sub(self.kernel) / self.stride
            + usize::from(length + 2 * self.padding >= self.kernel)
    }
}

/// Which row of the inputs each output row reads at each tap.
pub(super) struct Sources {
    /// Output rows.
    pub(super) rows: usize,
    taps: usize,
    /// `[tiles, taps]`; `None` where each reads its own.
    tiles: Option<Vec<[u32; ROWS]>>,
}

impl Sources {
    fn new(rows: usize, taps: usize, source: impl Fn(usize, usize) -> u32) -> Self {
        let mut tiles = Vec::with_capacity(rows.div_ceil(ROWS) * taps);
        for first in (0..rows).step_by(ROWS) {
            for tap in 0..taps {
                let row = |p| if first + p < rows { source(first + p, tap) } else { NOWHERE };
                tiles.push(std::array::from_fn(row));
            }
        }
        Sources { rows, taps, tiles: Some(tiles) }
    }

    /// Each its own.
    pub(super) fn identity(rows: usize) -> Self {
        Sources { rows, taps: 1, tiles: None }
    }

    /// Those of a convolution of pictures `height` by `width`.
    pub(super) fn conv(geometry: Geometry, pictures: usize, height: usize, width: usize) -> Self {
        let Geometry { kernel, stride, padding } = geometry;
        if geometry == Geometry::POINT {
            return Sources::identity(pictures * height * width);
        }
        let (out_height, out_width) = (geometry.length(height), geometry.length(width));
        Sources::new(pictures * out_height * out_width, geometry.taps(), |row, tap| {
            let (picture, y, x) =
                (row / (out_height * out_width), row / out_width % out_height, row % out_width);
            let (y, x) = (y * stride + tap / kernel, x * stride + tap % kernel);
            let inside = (padding..height + padding).contains(&y) && (padding..width + padding).contains(&x);
            if inside { ((picture * height + y - padding) * width + x - padding) as u32 } else { NOWHERE }
        })
    }

    /// Those of the way back: which output of that convolution each of its inputs was read for at each tap.
    pub(super) fn conv_backward(geometry: Geometry, pictures: usize, height: usize, width: usize) -> Self {
        let Geometry { kernel, stride, padding } = geometry;
        if geometry == Geometry::POINT {
            return Sources::identity(pictures * height * width);
        }
        let (out_height, out_width) = (geometry.length(height), geometry.length(width));
        let place = |at: usize, tap: usize, length: usize| {
            let at = (at + padding).checked_sub(tap)?;
            (at.is_multiple_of(stride) && at / stride < length).then_some(at / stride)
        };
        Sources::new(pictures * height * width, geometry.taps(), |row, tap| {
            let (picture, y, x) = (row / (height * width), row / width % height, row % width);
            match (place(y, tap / kernel, out_height), place(x, tap % kernel, out_width)) {
                (Some(y), Some(x)) => ((picture * out_height + y) * out_width + x) as u32,
                _ => NOWHERE,
            }
        })
    }

    /// What a tile's rows read at some taps.
    fn tile(&self, tile: usize, taps: Range<usize>) -> Cow<'_, [[u32; ROWS]]> {
        let (from, to) = (tile * self.taps + taps.start, tile * self.taps + taps.end);
        match &self.tiles {
            Some(tiles) => Cow::Borrowed(&tiles[from..to]),
            None => {
                let own = |row| if row < self.rows { row as u32 } else { NOWHERE };
                Cow::Owned(vec![std::array::from_fn(|row| own(tile * ROWS + row))])
            }
        }
    }

    /// The rows read at a tap, one after the other.
    pub(super) fn gather(&self, x: &[f32], channels: usize, tap: usize) -> Vec<f32> {
        let mut rows = vec![0.0; self.rows * channels];
        for (n, row) in rows.chunks_exact_mut(channels).enumerate() {
            let source = self.tile(n / ROWS, tap..tap + 1)[0][n % ROWS];
            if source != NOWHERE {
                row.copy_from_slice(&x[source as usize * channels..][..channels]);
            }
        }
        rows
    }
}

/// Columns of a matrix of rows.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    /// The first of them.
    pub(super) first: usize,
    /// All columns of the matrix.
    pub(super) of: usize,
}

/// Adds to those columns of `out` the product of those columns of x, read by `sources`, with the weights.
pub(super) fn accumulate(
    out: &mut [f32],
    to: Columns,
    x: &[f32],
    from: Columns,
    weights: &Packed,
    sources: &Sources,
) {
    assert_eq!(out.len(), sources.rows * to.of, "the output has other rows than its sources");
    assert_eq!(sources.taps, weights.taps, "the sources are those of another kernel");
    assert!(to.first + weights.outputs <= to.of && from.first + weights.inputs <= from.of);
    let tiles = sources.rows.div_ceil(ROWS);
    let band = tiles.div_ceil(rayon::current_num_threads()).max(1);
    let block = (MET / (ROWS * weights.inputs).max(1)).clamp(1, band);
    for_chunks(out, band * ROWS * to.of, |n, out| {
        for (m, out) in out.chunks_mut(block * ROWS * to.of).enumerate() {
            accumulate_block(out, to, x, from, weights, sources, n * band + m * block);
        }
    });
}

/// Does it for the tiles from the `first` on.
fn accumulate_block(
    out: &mut [f32],
    to: Columns,
    x: &[f32],
    from: Columns,
    weights: &Packed,
    sources: &Sources,
    first_tile: usize,
) {
    let Packed { taps, inputs, outputs, ref values } = *weights;
    let mut edge = [0.0_f32; ROWS * WIDE];
    let mut slabs = values.chunks(taps * inputs * WIDE).enumerate().peekable();
    while let Some((n, slab)) = slabs.next() {
        let width = slab.len() / (taps * inputs);
        let first = to.first + n * WIDE;
        let valid = width.min(outputs - n * WIDE);
        // At an edge the tile is larger than what is there.
        let whole = if valid == width { out.len() / (ROWS * to.of) } else { 0 };
        for (tap_range, channels) in chunks(taps, inputs, width) {
            let at = (tap_range.start * inputs + channels.start) * width;
            let part = &slab[at..];
            let inputs = Inputs {
                values: x,
                stride: from.of,
                first: from.first + channels.start,
                count: channels.len(),
            };
            let mut done = 0;
            if sources.tiles.is_none() && whole > 0 {
                let run = Run { first: first_tile * ROWS, tiles: whole };
                let ahead = slabs.peek().map_or(&values[..], |(_, slab)| slab);
                let ahead = &ahead[..ahead.len().min(channels.len() * width)];
                tile::product(&mut out[first..], to.of, inputs, run, part, width, true, ahead);
                done = whole;
            }
            for (tile, out) in out.chunks_mut(ROWS * to.of).enumerate().skip(done) {
                let sources = &sources.tile(first_tile + tile, tap_range.clone());
                if tile < whole {
                    tile::accumulate(&mut out[first..], to.of, inputs, sources, part, width);
                    continue;
                }
                for (edge, row) in edge.chunks_exact_mut(width).zip(out.chunks_exact(to.of)) {
                    edge[..valid].copy_from_slice(&row[first..first + valid]);
                }
                tile::accumulate(&mut edge, width, inputs, sources, part, width);
                for (edge, row) in edge.chunks_exact(width).zip(out.chunks_exact_mut(to.of)) {
                    row[first..first + valid].copy_from_slice(&edge[..valid]);
                }
            }
        }
    }
}

/// Taps and channels in parts that stay in the cache: several taps with all channels, or some channels of one tap.
fn chunks(taps: usize, inputs: usize, width: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let together = (CACHED / (inputs * width).max(1)).max(1);
    let channels = if inputs <= MOST { inputs } else { MOST };
    let together = if inputs <= MOST { together } else { 1 };
    (0..taps).step_by(together).flat_map(move |tap| {
        (0..inputs)
            .step_by(channels.max(1))
            .map(move |first| (tap..taps.min(tap + together), first..inputs.min(first + channels)))
    })
}
