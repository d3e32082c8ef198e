//! The layers that encoder and decoder share, with their weights in f32 for many rows at a time.

use super::WIDTH;
use super::kernels::{layer_norm, widen};
use crate::error::Result;
use crate::listen::weights::Weights;
use crate::ops::gemm::{Matrix, multiply};

/// The numbers of a tensor in half precision.
pub(super) fn widened(w: &Weights, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    Ok(w.halves(name, shape)?.into_iter().map(widen).collect())
}

/// Layer normalisation.
pub(super) struct Norm {
    gain: Vec<f32>,
    bias: Vec<f32>,
}

impl Norm {
    pub(super) fn read(w: &Weights, name: &str) -> Result<Self> {
        let read = |kind: &str| widened(w, &format!("{name}.{kind}"), &[WIDTH]);
        Ok(Norm { gain: read("weight")?, bias: read("bias")? })
    }

    /// Of rows of WIDTH numbers.
    pub(super) fn apply(&self, out: &mut [f32], x: &[f32]) {
        layer_norm(out, x, &self.gain, &self.bias);
    }
}

/// `x · weights + bias` for many rows.
pub(super) struct Linear {
    /// [inputs, outputs], the way a product with rows reads them.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    pub(super) fn read(w: &Weights, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let bias = widened(w, &format!("{name}.bias"), &[outputs])?;
        Ok(Linear { bias, ..Linear::read_without_bias(w, name, inputs, outputs)? })
    }

    /// With a bias of zeros.
    pub(super) fn read_without_bias(w: &Weights, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let stored = widened(w, &format!("{name}.weight"), &[outputs, inputs])?;
        let weights = (0..inputs).flat_map(|i| stored[i..].iter().step_by(inputs).copied()).collect();
        Ok(Linear { weights, bias: vec![0.0; outputs] })
    }

    /// A convolution as a product with rows that hold the inputs of all taps, tap after tap.
    pub(super) fn read_convolution(
        w: &Weights,
        name: &str,
        inputs: usize,
        outputs: usize,
        taps: usize,
    ) -> Result<Self> {
        let stored = widened(w, &format!("{name}.weight"), &[outputs, inputs, taps])?;
        let of = |tap: usize, i: usize| stored[i * taps + tap..].iter().step_by(inputs * taps).copied();
        let weights = (0..taps).flat_map(|tap| (0..inputs).flat_map(move |i| of(tap, i))).collect();
        Ok(Linear { weights, bias: widened(w, &format!("{name}.bias"), &[outputs])? })
    }

    /// One layer that gives the outputs of all, which have the same inputs.
    pub(super) fn side_by_side(layers: &[Linear]) -> Self {
        let inputs = layers.first().map_or(0, |layer| layer.weights.len() / layer.bias.len());
        let row = |i: usize| {
            layers.iter().flat_map(move |Linear { weights, bias }| &weights[i * bias.len()..][..bias.len()])
        };
        let weights = (0..inputs).flat_map(|i| row(i).copied()).collect();
        Linear { weights, bias: layers.iter().flat_map(|layer| &layer.bias).copied().collect() }
    }

    /// All outputs times that.
    pub(super) fn scaled(mut self, by: f32) -> Self {
        self.weights.iter_mut().chain(&mut self.bias).for_each(|x| *x *= by);
        self
    }

    /// The layer of the rows of `x`.
    pub(super) fn apply(&self, out: &mut [f32], x: Matrix) {
        out.chunks_exact_mut(self.bias.len()).for_each(|row| row.copy_from_slice(&self.bias));
        self.add_product(out, x);
    }

    /// `out += ` the layer of the rows of `x`.
    pub(super) fn add_to(&self, out: &mut [f32], x: Matrix) {
        for row in out.chunks_exact_mut(self.bias.len()) {
            row.iter_mut().zip(&self.bias).for_each(|(out, bias)| *out += bias);
        }
        self.add_product(out, x);
    }

    fn add_product(&self, out: &mut [f32], x: Matrix) {
        let (inputs, outputs) = (self.weights.len() / self.bias.len(), self.bias.len());
        multiply(out, x, Matrix::by_rows(&self.weights, inputs, outputs, outputs), true);
    }
}
