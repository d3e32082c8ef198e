//! The network: a stack of dilated convolutions over log-mel frames, fifty steps a second, each of which tells two frames.
//!
//! It is made of candle's own differentiable operations, so that what trains is what runs: a second of speech takes it
//! 80 million operations.

use super::features::{MELS, STACK};
use super::{Viseme, refuse};
use crate::error::Result;
use candle_core::{Result as TensorResult, Tensor};

/// Numbers between its layers.
const WIDTH: usize = 160;
/// Steps between the taps of its blocks: it hears 0.46 s before and after.
const DILATIONS: [usize; 7] = [1, 2, 4, 8, 1, 2, 4];
/// Of each frame: the visemes and the jaw.
pub(super) const ANSWERS: usize = Viseme::ALL.len() + 1;

/// A layer's weight `[inputs, outputs]` and bias.
struct Layer {
    weight: Tensor,
    bias: Tensor,
}

/// The network.
pub struct Network {
    first: Layer,
    /// A convolution of three taps and a linear layer each, around which the input passes.
    blocks: Vec<[Layer; 2]>,
    last: Layer,
}

impl Layer {
    /// Of rows `[.., inputs]`.
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let (batch, steps, inputs) = x.dims3()?;
        let y = x.reshape((batch * steps, inputs))?.matmul(&self.weight)?.broadcast_add(&self.bias)?;
        y.reshape((batch, steps, ()))
    }
}

/// Each step beside the ones so many before and after it; beyond the ends is silence's zero.
fn taps(x: &Tensor, apart: usize) -> TensorResult<Tensor> {
    let steps = x.dim(1)?;
    let padded = x.pad_with_zeros(1, apart, apart)?;
    let taps = (0..3).map(|tap| padded.narrow(1, tap * apart, steps));
    Tensor::cat(&taps.collect::<TensorResult<Vec<_>>>()?, 2)
}

impl Network {
    /// The names and shapes of its tensors.
    pub fn shapes() -> Vec<(String, Vec<usize>)> {
        let layer = |name: String, inputs: usize, outputs: usize| {
            [(format!("{name}.weight"), vec![inputs, outputs]), (format!("{name}.bias"), vec![outputs])]
        };
        let mut shapes = Vec::from(layer("first".into(), 3 * MELS * STACK, WIDTH));
        for n in 0..DILATIONS.len() {
            shapes.extend(layer(format!("{n}.taps"), 3 * WIDTH, WIDTH));
            shapes.extend(layer(format!("{n}.back"), WIDTH, WIDTH));
        }
        shapes.extend(layer("last".into(), WIDTH, ANSWERS * STACK));
        shapes
    }

    /// Of tensors by their names.
    ///
    /// # Errors
    /// [`crate::ModelError::Weights`] when one has another shape, and whatever `get` fails with.
    pub fn new(mut get: impl FnMut(&str) -> Result<Tensor>) -> Result<Network> {
        let mut tensors = Network::shapes().into_iter().map(|(name, shape)| {
            let tensor = get(&name)?;
            match tensor.dims() == shape {
                true => Ok(tensor),
                false => Err(refuse(format!("`{name}` is {:?}, expected {shape:?}", tensor.dims()))),
            }
        });
        let mut layer = || -> Result<Layer> {
            let mut next = || tensors.next().unwrap_or_else(|| Err(refuse("it has too few layers".into())));
            Ok(Layer { weight: next()?, bias: next()? })
        };
        let first = layer()?;
        let blocks = DILATIONS.iter().map(|_| Ok([layer()?, layer()?])).collect::<Result<_>>()?;
        Ok(Network { first, blocks, last: layer()? })
    }

    /// Of features `[batch, steps, MELS * STACK]`: unnormalised logarithms of the visemes' shares and the jaw,
    /// `[batch, steps * STACK, 16]`. While it learns, `kept` says for each block by what its numbers are multiplied,
    /// `[batch, 1, width]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, features: &Tensor, kept: Option<&[Tensor]>) -> TensorResult<Tensor> {
        let mut x = self.first.forward(&taps(features, 1)?)?.relu()?;
        for (n, ([spread, back], apart)) in self.blocks.iter().zip(DILATIONS).enumerate() {
            let mut inner = spread.forward(&taps(&x, apart)?)?.relu()?;
            if let Some(kept) = kept.and_then(|kept| kept.get(n)) {
                inner = inner.broadcast_mul(kept)?;
            }
            x = (x + back.forward(&inner)?)?;
        }
        let y = self.last.forward(&x)?;
        let (batch, steps, _) = y.dims3()?;
        y.reshape((batch, steps * STACK, ANSWERS))
    }

    /// How many blocks there are, and how many numbers each has.
    pub fn blocks() -> (usize, usize) {
        (DILATIONS.len(), WIDTH)
    }
}
