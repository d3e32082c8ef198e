//! Convolutions of 3 by 3 with stride 1 and a border of one pixel, by Winograd's minimal filtering F(2×2, 3×3)
//! (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks"): patches of 4 by 4 inputs are
//! transformed, multiplied at each of 16 places and transformed back to 2 by 2 outputs, which takes 16 multiplications
//! for each input and output where the sum over taps takes 36.
//!
//! Patches go through in blocks that stay in the second-level cache. What a block gives does not depend on the others,
//! so that the number of threads changes nothing.

use super::aligned::Aligned;
use super::block::for_chunks;
use super::product::{Geometry, Packed};
use super::simd::for_each_machine;
use super::tile::{self, Inputs, NOWHERE, ROWS, Run, WIDE};
use std::ops::Range;

/// Places of a transformed patch, and of transformed weights.
pub(super) const PLACES: usize = 16;
/// Inputs along an edge of a patch.
const EDGE: usize = 4;
/// Patches of a block: enough that bringing the weights to them takes less time than the product.
const BLOCK: usize = 48;
/// Channels of a block, in and out, a multiple of [`WIDE`]: with them it fills a second-level cache of 2 MB.
const CHANNELS: usize = 320;
/// Channels that are transformed at once.
const LANES: usize = 16;

/// Whether a convolution goes this way.
pub(super) fn fits(geometry: Geometry) -> bool {
    geometry == Geometry { kernel: 3, stride: 1, padding: 1 }
}

/// The transformed weight of a place, from the nine of its taps: `G·g·Gᵀ`.
pub(super) fn weight(place: usize, tap: impl Fn(usize) -> f32) -> f32 {
    const G: [[f64; 3]; EDGE] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    let (row, column) = (G[place / EDGE], G[place % EDGE]);
    let sum: f64 = (0..9).map(|t| row[t / 3] * column[t % 3] * f64::from(tap(t))).sum();
    sum as f32
}

/// Where the kernel turned by 180° has what this one has at `place`: G is symmetrical but for its first and last row.
pub(super) fn turned(place: usize) -> usize {
    let turn = |at: usize| [3, 1, 2, 0][at];
    turn(place / EDGE) * EDGE + turn(place % EDGE)
}

/// Pictures one after the other.
#[derive(Clone, Copy)]
pub(super) struct Pictures {
    pub(super) count: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// Adds to `out`, `[pictures, height, width, outputs]`, the convolution of x with weights of 16 places.
pub(super) fn accumulate(out: &mut [f32], x: &[f32], weights: &Packed, pictures: Pictures) {
    let Packed { inputs, outputs, .. } = *weights;
    let Pictures { count, height, width } = pictures;
    assert_eq!(weights.taps, PLACES, "the weights are not transformed");
    assert_eq!(x.len(), count * height * width * inputs, "the input is not of the pictures' size");
    assert_eq!(out.len(), count * height * width * outputs, "the output is not of the pictures' size");
    if out.is_empty() {
        return;
    }
    // A band is of whole patches: of pairs of rows, or of whole pictures where a pair would span two.
    let rows = if height.is_multiple_of(2) { 2 } else { height };
    let bands = count * height / rows;
    let rows = rows * bands.div_ceil(rayon::current_num_threads());
    for_chunks(out, rows * width * outputs, |n, out| band(out, n * rows, x, weights, pictures));
}

/// Where a patch's outputs go: its first output row of the band and how many rows and columns of it there are.
pub(super) struct Place {
    row: usize,
    rows: usize,
    columns: usize,
}

/// Does it for the output rows (of pixels) from `first` on.
fn band(out: &mut [f32], first: usize, x: &[f32], weights: &Packed, pictures: Pictures) {
    let Packed { inputs, outputs, .. } = *weights;
    let Pictures { height, width, .. } = pictures;
    let all = patches(first, out.len() / (width * outputs), pictures);
    let block = BLOCK.min(all.len().next_multiple_of(ROWS));
    let group = inputs.div_ceil(inputs.div_ceil(CHANNELS)).next_multiple_of(LANES);
    let mut before = Aligned::zeros(block * stride(group));
    let mut after = Aligned::zeros(block * stride(CHANNELS.min(weights.columns())));
    let zeros = vec![0.0; inputs];
    for patches in all.chunks(block) {
        let sources: Vec<[u32; PLACES]> =
            patches.iter().map(|patch| sources(patch, first, height, width)).collect();
        let rows = patches.len().next_multiple_of(ROWS);
        for from in (0..inputs).step_by(group) {
            let from = from..inputs.min(from + group);
            let before = &mut before[..rows * stride(from.len())];
            spread(before, x, &zeros, from.clone(), &sources);
            for to in (0..outputs).step_by(CHANNELS) {
                let to = to..outputs.min(to + CHANNELS);
                let after = &mut after[..rows * stride(weights.columns_of(&to))];
                multiply(after, before, rows / ROWS, weights, from.clone(), to.clone());
                gather(out, after, outputs, to, width, patches);
            }
        }
    }
}

/// From one transformed patch to the next: its places one after the other, and a line of the cache between patches,
/// without which the patches' rows at a place would all fall into the same few sets of it.
fn stride(channels: usize) -> usize {
    PLACES * channels + LANES
}

/// The patches of `rows` output rows from the `first` on.
fn patches(first: usize, rows: usize, pictures: Pictures) -> Vec<Place> {
    let Pictures { height, width, .. } = pictures;
    let mut all = Vec::with_capacity(rows.div_ceil(2) * width.div_ceil(2));
    let mut row = 0;
    while row < rows {
        let tall = 2.min(height - (first + row) % height);
        all.extend((0..width).step_by(2).map(|x| Place {
            row: row * width + x,
            rows: tall,
            columns: 2.min(width - x),
        }));
        row += tall;
    }
    all
}

/// The pixels of a patch, row by row.
fn sources(patch: &Place, first: usize, height: usize, width: usize) -> [u32; PLACES] {
    let (row, left) = (first + patch.row / width, patch.row % width);
    let (picture, top) = (row / height, row % height);
    std::array::from_fn(|n| {
        let (y, x) = (top + n / EDGE, left + n % EDGE);
        let inside = (1..=height).contains(&y) && (1..=width).contains(&x);
        if inside { ((picture * height + y - 1) * width + x - 1) as u32 } else { NOWHERE }
    })
}

/// The product at each place of some channels: `after[place] = before[place]·weights[place]` for every patch.
fn multiply(
    after: &mut [f32],
    before: &[f32],
    tiles: usize,
    weights: &Packed,
    from: Range<usize>,
    to: Range<usize>,
) {
    let columns = weights.columns_of(&to);
    let run = Run { first: 0, tiles };
    let of = |place: usize, first: usize| {
        let (part, width) = weights.part(place, to.start + first);
        (&part[from.start * width..from.end * width], width)
    };
    for place in 0..PLACES {
        let values = Inputs {
            values: before,
            stride: stride(from.len()),
            first: place * from.len(),
            count: from.len(),
        };
        for first in (0..columns).step_by(WIDE) {
            let (part, width) = of(place, first);
            let (ahead, _) = match first + WIDE < columns {
                true => of(place, first + WIDE),
                false => of((place + 1) % PLACES, 0),
            };
            let out = &mut after[place * columns + first..];
            tile::product(out, stride(columns), values, run, part, width, false, ahead);
        }
    }
}

for_each_machine! {
    /// Transforms those channels of patches: `Bᵀ·d·B` of each, to `[patches, places, channels]`. `zeros` are as many
    /// as x has channels.
    fn spread(out: &mut [f32], x: &[f32], zeros: &[f32], channels: Range<usize>, sources: &[[u32; PLACES]])
        = spread_body
}
for_each_machine! {
    /// Adds `Aᵀ·m·A` of each of those channels to the patches' outputs, of which there are `outputs` to a pixel.
    fn gather(
        out: &mut [f32], m: &[f32], outputs: usize, channels: Range<usize>, width: usize, patches: &[Place],
    ) = gather_body
}

type Lanes = [f32; LANES];

#[inline(always)]
fn plus(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|n| a[n] + b[n])
}

#[inline(always)]
fn minus(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|n| a[n] - b[n])
}

/// `Bᵀ` times a column.
#[inline(always)]
fn apart([a, b, c, d]: [Lanes; EDGE]) -> [Lanes; EDGE] {
    [minus(a, c), plus(b, c), minus(c, b), minus(b, d)]
}

/// `Aᵀ` times a column.
#[inline(always)]
fn together([a, b, c, d]: [Lanes; EDGE]) -> [Lanes; 2] {
    [plus(plus(a, b), c), minus(minus(b, c), d)]
}

#[inline(always)]
fn spread_body<const FMA: bool>(
    out: &mut [f32],
    x: &[f32],
    zeros: &[f32],
    channels: Range<usize>,
    sources: &[[u32; PLACES]],
) {
    let (all, count) = (zeros.len(), channels.len());
    for (patch, out) in sources.iter().zip(out.chunks_exact_mut(stride(count))) {
        let mut pixels = [&zeros[channels.clone()]; PLACES];
        for (pixel, source) in pixels.iter_mut().zip(patch).filter(|(_, source)| **source != NOWHERE) {
            *pixel = &x[*source as usize * all..][channels.clone()];
        }
        for first in (0..count).step_by(LANES) {
            let lanes = LANES.min(count - first);
            let d0 = spread_column(&pixels, 0, first, lanes);
            let d1 = spread_column(&pixels, 1, first, lanes);
            let d2 = spread_column(&pixels, 2, first, lanes);
            let d3 = spread_column(&pixels, 3, first, lanes);
            spread_row(out, count, 0, [d0[0], d1[0], d2[0], d3[0]], first, lanes);
            spread_row(out, count, 1, [d0[1], d1[1], d2[1], d3[1]], first, lanes);
            spread_row(out, count, 2, [d0[2], d1[2], d2[2], d3[2]], first, lanes);
            spread_row(out, count, 3, [d0[3], d1[3], d2[3], d3[3]], first, lanes);
        }
    }
}

#[inline(always)]
fn gather_body<const FMA: bool>(
    out: &mut [f32],
    m: &[f32],
    outputs: usize,
    channels: Range<usize>,
    width: usize,
    patches: &[Place],
) {
    let columns = (m.len() / patches.len().next_multiple_of(ROWS) - LANES) / PLACES;
    for (patch, m) in patches.iter().zip(m.chunks_exact(stride(columns))) {
        for first in (0..channels.len()).step_by(LANES) {
            let lanes = LANES.min(channels.len() - first);
            let m0 = gather_column(m, columns, 0, first, lanes);
            let m1 = gather_column(m, columns, 1, first, lanes);
            let m2 = gather_column(m, columns, 2, first, lanes);
            let m3 = gather_column(m, columns, 3, first, lanes);
            let whole = [together([m0[0], m1[0], m2[0], m3[0]]), together([m0[1], m1[1], m2[1], m3[1]])];
            for (y, row) in whole.iter().enumerate().take(patch.rows) {
                for (x, values) in row.iter().enumerate().take(patch.columns) {
                    let at = (patch.row + y * width + x) * outputs + channels.start + first;
                    let old = load(out, at, lanes);
                    store(out, at, &plus(old, *values), lanes);
                }
            }
        }
    }
}

#[inline(always)]
fn spread_column(pixels: &[&[f32]; PLACES], column: usize, first: usize, count: usize) -> [Lanes; EDGE] {
    apart([
        load(pixels[column], first, count),
        load(pixels[EDGE + column], first, count),
        load(pixels[2 * EDGE + column], first, count),
        load(pixels[3 * EDGE + column], first, count),
    ])
}

#[inline(always)]
fn spread_row(out: &mut [f32], channels: usize, row: usize, d: [Lanes; EDGE], first: usize, count: usize) {
    let values = apart(d);
    let at = row * EDGE * channels + first;
    store(out, at, &values[0], count);
    store(out, at + channels, &values[1], count);
    store(out, at + 2 * channels, &values[2], count);
    store(out, at + 3 * channels, &values[3], count);
}

#[inline(always)]
fn gather_column(m: &[f32], columns: usize, column: usize, first: usize, count: usize) -> [Lanes; 2] {
    let at = column * columns + first;
    together([
        load(m, at, count),
        load(m, at + EDGE * columns, count),
        load(m, at + 2 * EDGE * columns, count),
        load(m, at + 3 * EDGE * columns, count),
    ])
}

#[inline(always)]
fn load(values: &[f32], at: usize, count: usize) -> Lanes {
    match values[at..].first_chunk::<LANES>() {
        Some(values) if count == LANES => *values,
        _ => {
            let mut lanes = [0.0; LANES];
            lanes[..count].copy_from_slice(&values[at..at + count]);
            lanes
        }
    }
}

#[inline(always)]
fn store(out: &mut [f32], at: usize, values: &Lanes, count: usize) {
    match out[at..].first_chunk_mut::<LANES>() {
        Some(out) if count == LANES => *out = *values,
        _ => out[at..at + count].copy_from_slice(&values[..count]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::product::{self, Columns, Sources};
    use super::*;

    #[test]
    fn it_is_the_sum_over_taps_and_so_is_its_way_back() {
        const GEOMETRY: Geometry = Geometry { kernel: 3, stride: 1, padding: 1 };
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        for (count, height, width, inputs, outputs) in [
            (1, 1, 1, 1, 1),
            (2, 5, 3, 3, 17),
            (3, 4, 7, 16, 40),
            (2, 8, 8, 33, 32),
            (1, 16, 12, 130, 70),
            (2, 1, 6, 2, 5),
        ] {
            let pictures = Pictures { count, height, width };
            let x: Vec<f32> = (0..count * height * width * inputs).map(value).collect();
            let start: Vec<f32> = (0..count * height * width * outputs).map(|i| value(i + 5)).collect();
            let tap = |tap, i, o| value((tap * inputs + i) * outputs + o + 3);
            let transformed =
                Packed::new(PLACES, inputs, outputs, |place, i, o| weight(place, |t| tap(t, i, o)));
            let (mut expected, mut got) = (start.clone(), start.clone());
            let direct = Packed::new(9, inputs, outputs, tap);
            let (all_in, all_out) = (Columns { first: 0, of: inputs }, Columns { first: 0, of: outputs });
            let sources = Sources::conv(GEOMETRY, count, height, width);
            product::accumulate(&mut expected, all_out, &x, all_in, &direct, &sources);
            accumulate(&mut got, &x, &transformed, pictures);
            let near = |expected: &[f32], got: &[f32], terms: usize| {
                let most = expected.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(
                    most < 1e-6 * terms as f32,
                    "{count}x{height}x{width}, {inputs} to {outputs}: {most}"
                );
            };
            near(&expected, &got, 9 * inputs);

            let back =
                Packed::new(PLACES, outputs, inputs, |place, o, i| transformed.at(turned(place), i, o));
            let direct = Packed::new(9, outputs, inputs, |t, o, i| tap(t, i, o));
            let (mut expected, mut got) = (x.clone(), x.clone());
            let sources = Sources::conv_backward(GEOMETRY, count, height, width);
            product::accumulate(&mut expected, all_in, &start, all_out, &direct, &sources);
            accumulate(&mut got, &start, &back, pictures);
            near(&expected, &got, 9 * outputs);
        }
    }
}
