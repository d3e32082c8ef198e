//! The layers of the network on channels-last values: a convolution, its batch normalisation already part of it, what is
//! added, and ReLU.

use crate::ops::{First, Frozen, Geometry, Spread, Transposed, rectify};
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// A square kernel's way over a picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    /// Pixels of its edge.
    pub(super) edge: usize,
    /// Pixels of zeros at each edge of the picture.
    pub(super) padding: usize,
    /// Rows and columns from one output to the next.
    pub(super) stride: [usize; 2],
}

impl Kernel {
    /// One of that edge that keeps the picture's size.
    pub(super) const fn same(edge: usize) -> Self {
        Kernel { edge, padding: edge / 2, stride: [1, 1] }
    }

    /// One of that edge that stays inside the picture.
    pub(super) const fn inside(edge: usize) -> Self {
        Kernel { edge, padding: 0, stride: [1, 1] }
    }
}

/// A convolution.
#[derive(Debug, Clone)]
pub(super) struct Conv {
    product: Arc<Frozen>,
    /// Of its outputs each so manieth row and column is taken.
    every: [usize; 2],
    /// Whether what comes in is added.
    residual: bool,
}

impl Conv {
    /// From weights `[outputs, inputs, edge, edge]` and a bias `[outputs]`.
    pub(super) fn new(weight: &Tensor, bias: &Tensor, kernel: Kernel, residual: bool) -> Result<Self> {
        let Kernel { edge, padding, stride: [rows, columns] } = kernel;
        // Strides that differ are of the audio encoder, which has 3 % of the products: it makes all and takes some.
        let (stride, every) = if rows == columns { (rows, [1, 1]) } else { (1, [rows, columns]) };
        let geometry = Geometry { kernel: edge, stride, padding };
        Ok(Conv { product: Arc::new(Frozen::new(weight, Some(bias), geometry)?), every, residual })
    }

    /// `[batch, height, width, inputs]` to `[batch, height', width', outputs]`, without ReLU.
    pub(super) fn linear(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = self.product.run(x, First::Nothing, &[], self.residual.then_some(x))?;
        for (axis, every) in (1..).zip(self.every).filter(|(_, every)| *every > 1) {
            let taken: Vec<u32> = (0..y.dim(axis)? as u32).step_by(every).collect();
            let taken = Tensor::new(taken, y.device())?;
            y = y.index_select(&taken, axis)?;
        }
        Ok(y)
    }
}

/// A convolution or a transposed one, and ReLU.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    Conv(Conv),
    Enlarging(Transposed),
}

impl Stage {
    /// From weights `[inputs, outputs, 3, 3]` and a bias `[outputs]`: twice as large, or of one pixel three by three.
    pub(super) fn enlarging(weight: &Tensor, bias: &Tensor, from_a_point: bool) -> Result<Self> {
        let spread = match from_a_point {
            true => Spread { stride: 1, padding: 0, output_padding: 0 },
            false => Spread { stride: 2, padding: 1, output_padding: 1 },
        };
        Transposed::new(weight, bias, spread).map(Stage::Enlarging)
    }

    fn run(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Stage::Conv(conv) => rectify(conv.linear(x)?),
            Stage::Enlarging(transposed) => rectify(transposed.run(x)?),
        }
    }
}

/// Stages one after the other.
#[derive(Debug)]
pub(super) struct Block(pub(super) Vec<Stage>);

impl Block {
    /// `[batch, height, width, inputs]` to what its last stage makes of it.
    pub(super) fn run(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for stage in &self.0 {
            x = stage.run(&x)?;
        }
        Ok(x)
    }
}
