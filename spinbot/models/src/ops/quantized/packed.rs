//! Matrices of 4 or 8 bits in an order that suits one vector register for sixteen rows, and their products.

use super::kernel::{self, BLOCK, Group, MOST_TOKENS, ROWS};
use crate::ops::block::{for_chunks, map};
use candle_core::quantized::GgmlDType;
use half::f16;
use std::ops::Range;

/// Multiplications that are worth waking a second thread for.
const WORTH_SHARING: usize = 200_000;

/// What a stored number `q` stands for, within its block: `scale·q + offset`.
#[derive(Debug, Clone)]
enum Offsets {
    /// The same multiple of every block's scale.
    OfScale(f32),
    /// One a block, in the order of the scales.
    Own(Vec<f16>),
}

/// A matrix, sixteen rows at a time and block of 32 columns by block, padded with rows of zeros.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    rows: usize,
    columns: usize,
    /// 4 or 8.
    bits: usize,
    /// Unsigned numbers: [group of rows][block][quarter of columns `s`][row][column of four]; of 4 bits, quarter
    /// `s + 4` lies in the upper halves of quarter `s`.
    numbers: Vec<u8>,
    /// [group][block][row].
    scales: Vec<f16>,
    offsets: Offsets,
}

/// Inputs in 8 bits, block by block: a value is `scale·number`.
struct Inputs {
    numbers: Vec<i8>,
    /// [token][block].
    scales: Vec<f32>,
    /// The sum of the values of each block, as they were rounded.
    sums: Vec<f32>,
}

impl Inputs {
    fn new(x: &[f32]) -> Self {
        let blocks = x.len() / BLOCK;
        let mut inputs =
            Inputs { numbers: vec![0; x.len()], scales: vec![0.0; blocks], sums: vec![0.0; blocks] };
        kernel::round_to_8_bits(x, &mut inputs.numbers, &mut inputs.scales, &mut inputs.sums);
        inputs
    }

    fn all(&self) -> kernel::Inputs<'_> {
        kernel::Inputs { numbers: &self.numbers, scales: &self.scales, sums: &self.sums }
    }
}

impl Packed {
    /// Packs a tensor's bytes; nothing for formats that are not of plain blocks of 32.
    pub(super) fn new(format: GgmlDType, bytes: &[u8], rows: usize, columns: usize) -> Option<Self> {
        let (bits, head, offsets) = match format {
            GgmlDType::Q4_0 => (4, 2, Offsets::OfScale(-8.0)),
            GgmlDType::Q4_1 => (4, 4, Offsets::Own(Vec::new())),
            GgmlDType::Q8_0 => (8, 2, Offsets::OfScale(-128.0)),
            _ => return None,
        };
        let (blocks, stored) = (columns / BLOCK, head + BLOCK * bits / 8);
        if !columns.is_multiple_of(BLOCK) || bytes.len() != rows * blocks * stored {
            return None;
        }
        let groups = rows.div_ceil(ROWS);
        let unit = ROWS * BLOCK * bits / 8;
        let mut packed = Packed {
            rows,
            columns,
            bits,
            numbers: vec![0; groups * blocks * unit],
            scales: vec![f16::ZERO; groups * blocks * ROWS],
            offsets,
        };
        let mut own = vec![f16::ZERO; packed.scales.len()];
        let half = |bytes: &[u8], at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]);
        for (n, stored) in bytes.chunks_exact(stored).enumerate() {
            let (row, block) = (n / blocks, n % blocks);
            let place = row / ROWS * blocks + block;
            let lane = row % ROWS;
            packed.scales[place * ROWS + lane] = half(stored, 0);
            if head == 4 {
                own[place * ROWS + lane] = half(stored, 2);
            }
            let unit = &mut packed.numbers[place * unit..][..unit];
            // Of 4 bits a file pairs column c with column c + 16, and so do we: quarter s + 4 is 16 columns on.
            for (column, byte) in stored[head..].iter().enumerate() {
                let byte = if bits == 8 { byte ^ 0x80 } else { *byte };
                unit[(column / 4 * ROWS + lane) * 4 + column % 4] = byte;
            }
        }
        if let Offsets::Own(offsets) = &mut packed.offsets {
            *offsets = own;
        }
        Some(packed)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// The values of a row.
    pub(super) fn row(&self, row: usize) -> Vec<f32> {
        let (blocks, unit) = (self.columns / BLOCK, ROWS * BLOCK * self.bits / 8);
        let (group, lane) = (row / ROWS, row % ROWS);
        let value = |column: usize| {
            let (place, column) = (group * blocks + column / BLOCK, column % BLOCK);
            let unit = &self.numbers[place * unit..][..unit];
            let byte = |column: usize| unit[(column / 4 * ROWS + lane) * 4 + column % 4];
            let number = match (self.bits, column / 16) {
                (8, _) => byte(column),
                (_, 0) => byte(column) & 15,
                (_, _) => byte(column - 16) >> 4,
            };
            let at = place * ROWS + lane;
            let scale = self.scales[at].to_f32();
            let offset = match &self.offsets {
                Offsets::OfScale(factor) => factor * scale,
                Offsets::Own(offsets) => offsets[at].to_f32(),
            };
            scale * f32::from(number) + offset
        };
        (0..self.columns).map(value).collect()
    }

    /// `x·Wᵀ` of `[tokens, columns]`: `[tokens, rows]`.
    pub(super) fn multiply(&self, x: &[f32]) -> Vec<f32> {
        let tokens = x.len() / self.columns.max(1);
        let mut out = vec![0.0; tokens * self.rows];
        if out.is_empty() {
            return out;
        }
        let groups = self.rows.div_ceil(ROWS);
        let threads = match tokens * self.rows * self.columns < WORTH_SHARING {
            true => 1,
            false => rayon::current_num_threads(),
        };
        if threads > 1 && tokens >= threads * MOST_TOKENS {
            let share = tokens.div_ceil(threads).next_multiple_of(MOST_TOKENS);
            for_chunks(&mut out, share * self.rows, |n, out| {
                let x = &x[n * share * self.columns..][..out.len() / self.rows * self.columns];
                self.part(&Inputs::new(x), 0..groups, out);
            });
            return out;
        }
        let inputs = Inputs::new(x);
        let share = groups.div_ceil(threads);
        let parts = map(groups.div_ceil(share), |n| {
            let groups = n * share..groups.min((n + 1) * share);
            let mut part = vec![0.0; tokens * self.rows_of(&groups)];
            self.part(&inputs, groups, &mut part);
            part
        });
        if parts.len() == 1 {
            return parts.concat();
        }
        for (n, part) in parts.iter().enumerate() {
            let width = part.len() / tokens;
            for (out, part) in out.chunks_exact_mut(self.rows).zip(part.chunks_exact(width)) {
                out[n * share * ROWS..][..width].copy_from_slice(part);
            }
        }
        out
    }

    fn rows_of(&self, groups: &Range<usize>) -> usize {
        self.rows.min(groups.end * ROWS) - groups.start * ROWS
    }

    /// The columns of the output that some groups of rows make, for all inputs: `[tokens, rows of the groups]`.
    fn part(&self, inputs: &Inputs, groups: Range<usize>, out: &mut [f32]) {
        let blocks = self.columns / BLOCK;
        let (unit, width) = (ROWS * BLOCK * self.bits / 8, self.rows_of(&groups));
        let tokens = out.len() / width;
        for first in (0..tokens).step_by(MOST_TOKENS) {
            let inputs = inputs.all().after(first, blocks);
            let mut sums = [[0.0; ROWS]; MOST_TOKENS];
            let sums = &mut sums[..MOST_TOKENS.min(tokens - first)];
            for (n, group) in groups.clone().enumerate() {
                let scales = group * blocks * ROWS..(group + 1) * blocks * ROWS;
                let offsets = match &self.offsets {
                    Offsets::OfScale(factor) => kernel::Offsets::OfScale(*factor),
                    Offsets::Own(own) => kernel::Offsets::Own(&own[scales.clone()]),
                };
                let numbers = &self.numbers[group * blocks * unit..(group + 1) * blocks * unit];
                kernel::multiply(sums, Group { numbers, scales: &self.scales[scales], offsets }, inputs);
                let rows = ROWS.min(width - n * ROWS);
                for (out, sums) in out[first * width..].chunks_exact_mut(width).zip(sums.iter()) {
                    out[n * ROWS..][..rows].copy_from_slice(&sums[..rows]);
                }
            }
        }
    }
}
