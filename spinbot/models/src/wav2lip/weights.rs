//! A checkpoint on the user's disk: its tensors by name and shape, and batch normalisations folded into the
//! convolutions before them.

use super::MODEL;
use super::layers::{Conv, Kernel, Stage};
use crate::added::check_format;
use crate::error::{ModelError, Result};
use crate::tensor_file::TensorFile;
use candle_core::{DType, Tensor};
use std::ops::RangeInclusive;
use std::path::Path;

/// Put before every name where the network was trained on several devices.
const PARALLEL: &str = "module.";
/// Added to a variance before its root is taken.
const EPSILON: f64 = 1e-5;

pub(super) struct Weights {
    file: TensorFile<'static>,
    prefix: &'static str,
}

impl Weights {
    /// Opens a safetensors file. A pickle is refused, with how to convert it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        check_format(path)?;
        let file = TensorFile::open(MODEL, path)?;
        let parallel = file.names().next().is_some_and(|name| name.starts_with(PARALLEL));
        Ok(Weights { file, prefix: if parallel { PARALLEL } else { "" } })
    }

    /// The layers whose names begin so, of which the first takes so many channels.
    pub(super) fn chain(&self, name: &str, width: usize) -> Chain<'_> {
        Chain { weights: self, name: name.to_owned(), width }
    }

    /// A convolution of 1 by 1 without normalisation.
    pub(super) fn point(&self, name: &str, inputs: usize, outputs: usize) -> Result<Conv> {
        let weight = self.get(&format!("{name}.weight"), &[outputs, inputs, 1, 1])?;
        let bias = self.get(&format!("{name}.bias"), &[outputs])?;
        Conv::new(&weight, &bias, Kernel::inside(1), false).map_err(ModelError::weights(MODEL))
    }

    fn shape(&self, name: &str) -> Result<&[usize]> {
        let found = self.file.shape(&format!("{}{name}", self.prefix));
        found.ok_or_else(|| refuse(format!("`{name}` is missing")))
    }

    /// The tensor as f32, of exactly that shape.
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let found = self.shape(name)?;
        if found != shape {
            return Err(refuse(format!("`{name}` has shape {found:?}, expected {shape:?}")));
        }
        let stored = self.file.stored(&format!("{}{name}", self.prefix))?;
        stored.to_dtype(DType::F32).map_err(ModelError::tensor("loading weights"))
    }

    /// Weights of that shape, whose outputs are along `axis`, and the bias, with the normalisation that follows.
    fn folded(&self, name: &str, shape: [usize; 4], axis: usize) -> Result<(Tensor, Tensor)> {
        let outputs = shape[axis];
        let weight = self.get(&format!("{name}.0.weight"), &shape)?;
        let of_each = |tensor: &str| self.get(&format!("{name}.{tensor}"), &[outputs]);
        let (bias, mean, variance) =
            (of_each("0.bias")?, of_each("1.running_mean")?, of_each("1.running_var")?);
        let (scale, shift) = (of_each("1.weight")?, of_each("1.bias")?);
        let fold = || -> candle_core::Result<(Tensor, Tensor)> {
            let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64);
            let scale = (wide(&scale)? / (wide(&variance)? + EPSILON)?.sqrt()?)?;
            let bias = ((wide(&bias)? - wide(&mean)?)?.mul(&scale)? + wide(&shift)?)?;
            let mut along = [1; 4];
            along[axis] = outputs;
            let weight = wide(&weight)?.broadcast_mul(&scale.reshape(&along[..])?)?;
            Ok((weight.to_dtype(DType::F32)?, bias.to_dtype(DType::F32)?))
        };
        fold().map_err(ModelError::tensor("loading weights"))
    }
}

/// Layers that follow one another.
pub(super) struct Chain<'a> {
    weights: &'a Weights,
    name: String,
    /// Channels that the next layer takes.
    pub(super) width: usize,
}

impl Chain<'_> {
    /// The `n`th layer: a convolution to as many channels as its weights say.
    pub(super) fn conv(&mut self, n: usize, kernel: Kernel) -> Result<Stage> {
        let (name, edge) = (self.layer(n), kernel.edge);
        let outputs = self.outputs(&name, 0)?;
        let (weight, bias) = self.weights.folded(&name, [outputs, self.width, edge, edge], 0)?;
        self.width = outputs;
        self.built(Conv::new(&weight, &bias, kernel, false).map(Stage::Conv))
    }

    /// Those layers: convolutions of 3 by 3 that keep all sizes, to which what comes in is added.
    pub(super) fn residual(&self, layers: RangeInclusive<usize>) -> Result<Vec<Stage>> {
        let conv = |n: usize| {
            let (weight, bias) = self.weights.folded(&self.layer(n), [self.width, self.width, 3, 3], 0)?;
            self.built(Conv::new(&weight, &bias, Kernel::same(3), true).map(Stage::Conv))
        };
        layers.map(conv).collect()
    }

    /// The `n`th layer: a transposed convolution, see [`Stage::enlarging`].
    pub(super) fn enlarging(&mut self, n: usize, from_a_point: bool) -> Result<Stage> {
        let name = self.layer(n);
        let outputs = self.outputs(&name, 1)?;
        let (weight, bias) = self.weights.folded(&name, [self.width, outputs, 3, 3], 1)?;
        self.width = outputs;
        self.built(Stage::enlarging(&weight, &bias, from_a_point))
    }

    fn layer(&self, n: usize) -> String {
        format!("{}.{n}.conv_block", self.name)
    }

    /// Channels that a layer's weights make, which are along `axis`.
    fn outputs(&self, name: &str, axis: usize) -> Result<usize> {
        let shape = self.weights.shape(&format!("{name}.0.weight"))?;
        match shape.get(axis) {
            Some(outputs) if *outputs > 0 && shape.len() == 4 => Ok(*outputs),
            _ => Err(refuse(format!("`{name}.0.weight` has shape {shape:?}, expected 4 dimensions"))),
        }
    }

    fn built(&self, stage: candle_core::Result<Stage>) -> Result<Stage> {
        stage.map_err(ModelError::weights(MODEL))
    }
}

fn refuse(reason: String) -> ModelError {
    ModelError::Weights { model: MODEL.into(), reason }
}
