//! Whisper's encoder: two convolutions over the spectrogram, then blocks of attention and a feed-forward layer, each
//! normalised before (Radford et al. 2022). On the CPU, in row blocks that fit its caches.

use super::kernels::{gelu, softmax};
use super::layers::{Linear, Norm, widened};
use super::{HEAD, HEADS, MELS, WIDTH};
use crate::error::Result;
use crate::listen::weights::Weights;
use crate::ops::gemm::{Matrix, multiply};
use rayon::prelude::*;

/// Positions the network knows: 30 s.
pub(super) const POSITIONS: usize = 1500;
const LAYERS: usize = 4;
/// Rows handled in one piece at most.
const ROWS: usize = 256;
/// Rows whose attention to all positions is held at a time.
const QUERIES: usize = 64;

pub(super) struct Encoder {
    /// [3 * MELS, WIDTH] and [3 * WIDTH, WIDTH].
    stem: [Linear; 2],
    /// [POSITIONS, WIDTH].
    positions: Vec<f32>,
    layers: Vec<Layer>,
    norm: Norm,
}

struct Layer {
    attention_norm: Norm,
    /// [WIDTH, 3 * WIDTH]: queries, over the root of the heads' width, keys and values.
    inputs: Linear,
    output: Linear,
    forward_norm: Norm,
    up: Linear,
    down: Linear,
}

impl Encoder {
    pub(super) fn read(w: &Weights) -> Result<Self> {
        let of = |what: &str| format!("model.encoder.{what}");
        let layer = |n: usize| {
            let of = |what: &str| of(&format!("layers.{n}.{what}"));
            // A power of two: scaling the weights instead of the products rounds nothing.
            let queries = Linear::read(w, &of("self_attn.q_proj"), WIDTH, WIDTH)?.scaled(super::QUERY_SCALE);
            let keys = Linear::read_without_bias(w, &of("self_attn.k_proj"), WIDTH, WIDTH)?;
            let values = Linear::read(w, &of("self_attn.v_proj"), WIDTH, WIDTH)?;
            Ok(Layer {
                attention_norm: Norm::read(w, &of("self_attn_layer_norm"))?,
                inputs: Linear::side_by_side(&[queries, keys, values]),
                output: Linear::read(w, &of("self_attn.out_proj"), WIDTH, WIDTH)?,
                forward_norm: Norm::read(w, &of("final_layer_norm"))?,
                up: Linear::read(w, &of("fc1"), WIDTH, 4 * WIDTH)?,
                down: Linear::read(w, &of("fc2"), 4 * WIDTH, WIDTH)?,
            })
        };
        Ok(Encoder {
            stem: [
                Linear::read_convolution(w, &of("conv1"), MELS, WIDTH, 3)?,
                Linear::read_convolution(w, &of("conv2"), WIDTH, WIDTH, 3)?,
            ],
            positions: widened(w, &of("embed_positions.weight"), &[POSITIONS, WIDTH])?,
            layers: (0..LAYERS).map(layer).collect::<Result<_>>()?,
            norm: Norm::read(w, &of("layer_norm"))?,
        })
    }

    /// The states [POSITIONS, WIDTH] of log-mel frames [2 * POSITIONS, MELS].
    pub(super) fn forward(&self, mel: &[f32]) -> Vec<f32> {
        debug_assert_eq!(mel.len(), 2 * POSITIONS * MELS);
        let [first, second] = &self.stem;
        let stem = convolve(first, mel, MELS, 1);
        let mut x = convolve(second, &stem, WIDTH, 2);
        x.iter_mut().zip(&self.positions).for_each(|(x, position)| *x += position);
        for layer in &self.layers {
            layer.forward(&mut x);
        }
        let mut states = vec![0.0; x.len()];
        self.norm.apply(&mut states, &x);
        states
    }
}

/// GELU of a convolution of three taps, zeros beyond the ends, over time-major rows.
fn convolve(taps: &Linear, x: &[f32], inputs: usize, stride: usize) -> Vec<f32> {
    let mut padded = vec![0.0; x.len() + 2 * inputs];
    padded[inputs..inputs + x.len()].copy_from_slice(x);
    let rows = x.len() / inputs / stride;
    let mut out = vec![0.0; rows * WIDTH];
    let block = block(rows);
    out.par_chunks_mut(block * WIDTH).enumerate().for_each(|(n, out)| {
        // Time-major, the taps of one output are one run of numbers; the runs overlap.
        let from = &padded[n * block * stride * inputs..];
        taps.apply(out, Matrix::by_rows(from, out.len() / WIDTH, 3 * inputs, stride * inputs));
        gelu(out);
    });
    out
}

/// Rows of a block, so that every thread has as many blocks as the others and none is longer than [`ROWS`].
fn block(rows: usize) -> usize {
    let blocks = rows.div_ceil(ROWS).next_multiple_of(rayon::current_num_threads());
    rows.div_ceil(blocks).max(1)
}

impl Layer {
    /// Adds what the layer finds to x [POSITIONS, WIDTH].
    fn forward(&self, x: &mut [f32]) {
        let block = block(POSITIONS);
        let mut projected = vec![0.0; POSITIONS * 3 * WIDTH];
        projected.par_chunks_mut(block * 3 * WIDTH).zip(x.par_chunks(block * WIDTH)).for_each(|(out, x)| {
            let mut normal = vec![0.0; x.len()];
            self.attention_norm.apply(&mut normal, x);
            self.inputs.apply(out, Matrix::by_rows(&normal, x.len() / WIDTH, WIDTH, WIDTH));
        });
        x.par_chunks_mut(block * WIDTH).enumerate().for_each(|(n, x)| {
            let rows = x.len() / WIDTH;
            let heard = attention(&projected, n * block, rows);
            self.output.add_to(x, Matrix::by_rows(&heard, rows, WIDTH, WIDTH));
            let mut normal = heard;
            self.forward_norm.apply(&mut normal, x);
            let mut inner = vec![0.0; rows * 4 * WIDTH];
            self.up.apply(&mut inner, Matrix::by_rows(&normal, rows, WIDTH, WIDTH));
            gelu(&mut inner);
            self.down.add_to(x, Matrix::by_rows(&inner, rows, 4 * WIDTH, 4 * WIDTH));
        });
    }
}

/// What the positions from `first` on find in all positions: [rows, WIDTH] of [POSITIONS, 3 * WIDTH].
fn attention(projected: &[f32], first: usize, rows: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows * WIDTH];
    let mut scores = vec![0.0; QUERIES.min(rows) * POSITIONS];
    let mut found = [0.0; QUERIES * HEAD];
    for head in 0..HEADS {
        let of = |part: usize, first: usize, rows: usize| {
            let from = &projected[first * 3 * WIDTH + part * WIDTH + head * HEAD..];
            Matrix::by_rows(from, rows, HEAD, 3 * WIDTH)
        };
        let (keys, values) = (of(1, 0, POSITIONS).transposed(), of(2, 0, POSITIONS));
        for (n, out) in out.chunks_mut(QUERIES * WIDTH).enumerate() {
            let rows = out.len() / WIDTH;
            let scores = &mut scores[..rows * POSITIONS];
            multiply(scores, of(0, first + n * QUERIES, rows), keys, false);
            softmax(scores, POSITIONS);
            multiply(&mut found, Matrix::by_rows(scores, rows, POSITIONS, POSITIONS), values, false);
            for (out, found) in out.chunks_exact_mut(WIDTH).zip(found.chunks_exact(HEAD)) {
                out[head * HEAD..(head + 1) * HEAD].copy_from_slice(found);
            }
        }
    }
    out
}
