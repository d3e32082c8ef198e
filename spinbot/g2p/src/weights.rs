//! Matrices of 8-bit weights with a scale a row, read from embedded safetensors, and products with them.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors};

/// Rows of 8-bit weights: `value = weight * scale[row]`.
pub(crate) struct Matrix {
    columns: usize,
    weights: Vec<i8>,
    scales: Vec<f32>,
}

impl Matrix {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.scales.len()
    }

    /// Numbers in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `out[r] += row(first + r) . x` for as many rows as `out` is long.
    pub fn add_product(&self, first: usize, x: &[f32], out: &mut [f32]) {
        for (out, row) in out.iter_mut().zip(first..) {
            let weights = &self.weights[row * self.columns..][..self.columns];
            // Eight sums, so that the compiler may keep them in one register.
            let mut sums = [0f32; 8];
            let (mut w, mut v) = (weights.chunks_exact(8), x.chunks_exact(8));
            for (w, v) in (&mut w).zip(&mut v) {
                for k in 0..8 {
                    sums[k] += f32::from(w[k]) * v[k];
                }
            }
            let tail: f32 = w.remainder().iter().zip(v.remainder()).map(|(&w, v)| f32::from(w) * v).sum();
            *out += (sums.iter().sum::<f32>() + tail) * self.scales[row];
        }
    }

    /// `out += row(r)`.
    pub fn add_row(&self, row: usize, out: &mut [f32]) {
        let weights = &self.weights[row * self.columns..][..self.columns];
        for (out, &w) in out.iter_mut().zip(weights) {
            *out += f32::from(w) * self.scales[row];
        }
    }
}

/// The tensors of one embedded file.
pub(crate) struct Weights {
    matrices: HashMap<String, Matrix>,
    vectors: HashMap<String, Vec<f32>>,
    /// The file's own notes.
    pub notes: HashMap<String, String>,
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

impl Weights {
    /// Reads an embedded file: `name` (I8, rows in the last dimension) with `name.scale` (F32, one a row), and vectors
    /// (F32). The convolution tap is the first dimension: tap t, output o is row `t * outputs + o`.
    ///
    /// # Panics
    /// If the file is not what the recipe writes; a test reads each.
    pub fn embedded(bytes: &[u8]) -> Self {
        let read =
            SafeTensors::read_metadata(bytes).and_then(|(_, m)| Ok((m, SafeTensors::deserialize(bytes)?)));
        let Ok((metadata, tensors)) = read else { panic!("an embedded weight file is not whole") };
        let (mut matrices, mut vectors) = (HashMap::new(), HashMap::new());
        for (name, view) in tensors.tensors() {
            if view.dtype() == Dtype::I8 {
                let columns = view.shape().last().copied().unwrap_or(1);
                let weights = view.data().iter().map(|&b| b.cast_signed()).collect();
                let scales = tensors
                    .tensor(&format!("{name}.scale"))
                    .map_or_else(|_| Vec::new(), |s| floats(s.data()));
                matrices.insert(name, Matrix { columns, weights, scales });
            } else if !name.ends_with(".scale") {
                vectors.insert(name, floats(view.data()));
            }
        }
        Self { matrices, vectors, notes: metadata.metadata().clone().unwrap_or_default() }
    }

    /// Takes a matrix out.
    pub fn matrix(&mut self, name: &str) -> Matrix {
        let found = self.matrices.remove(name);
        let Some(matrix) = found else { panic!("the embedded weights have no matrix {name}") };
        matrix
    }

    /// Takes a vector out.
    pub fn vector(&mut self, name: &str) -> Vec<f32> {
        let found = self.vectors.remove(name);
        let Some(vector) = found else { panic!("the embedded weights have no vector {name}") };
        vector
    }
}

/// A convolution over a sequence with the same width in and out, five positions wide, zeros beyond the ends.
pub(crate) struct Convolution {
    taps: Matrix,
    bias: Vec<f32>,
}

impl Convolution {
    const TAPS: usize = 5;

    /// Takes `name.weight` and `name.bias`.
    pub fn take(weights: &mut Weights, name: &str) -> Self {
        Self {
            taps: weights.matrix(&format!("{name}.weight")),
            bias: weights.vector(&format!("{name}.bias")),
        }
    }

    /// Numbers at a position.
    pub fn width(&self) -> usize {
        self.bias.len()
    }

    /// `x + relu(conv(x))`, position by position.
    pub fn residual(&self, x: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let width = self.width();
        (0..x.len())
            .map(|at| {
                let mut y = self.bias.clone();
                for tap in 0..Self::TAPS {
                    let from = (at + tap).checked_sub(Self::TAPS / 2).and_then(|i| x.get(i));
                    if let Some(from) = from {
                        self.taps.add_product(tap * width, from, &mut y);
                    }
                }
                y.iter().zip(&x[at]).map(|(y, x)| x + y.max(0.0)).collect()
            })
            .collect()
    }
}
