//! The way down that networks of our own for drawings share: stages that halve the side, most with a residual block. Their
//! batch normalisation is folded into the convolutions, and their weights are half-precision safetensors.
//!
//! What a network makes of it is its own business.

use crate::error::{ModelError, Result};
use crate::tensor_file::TensorFile;
use candle_core::{DType, Device, Module, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Linear};

/// From this width on, a stage has a residual block.
const RESIDUAL_FROM: usize = 32;

/// Weights of one network, loaded tensor by tensor onto a device.
pub(crate) struct Weights<'a> {
    /// The network's id, named in errors.
    pub(crate) model: &'a str,
    /// Where they are.
    pub(crate) file: TensorFile<'a>,
    /// Where they go.
    pub(crate) device: Device,
}

impl Weights<'_> {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let stored = self.file.stored(name)?;
        if stored.dims() != shape {
            let reason = format!("`{name}` is {:?}, expected {shape:?}", stored.dims());
            return Err(ModelError::Weights { model: self.model.to_owned(), reason });
        }
        let moved = stored.to_dtype(DType::F32).and_then(|tensor| tensor.to_device(&self.device));
        moved.map_err(ModelError::tensor("loading weights"))
    }

    fn bias(&self, name: &str, output: usize) -> Result<Tensor> {
        self.get(&format!("{name}.bias"), &[output])
    }

    /// A 3x3 convolution that keeps the side, or halves it with a stride of 2.
    pub(crate) fn conv(&self, name: &str, input: usize, output: usize, stride: usize) -> Result<Conv2d> {
        let weight = self.get(&format!("{name}.weight"), &[output, input, 3, 3])?;
        let config = Conv2dConfig { padding: 1, stride, ..Conv2dConfig::default() };
        Ok(Conv2d::new(weight, Some(self.bias(name, output)?), config))
    }

    /// A 1x1 convolution.
    pub(crate) fn pointwise(&self, name: &str, input: usize, output: usize, bias: bool) -> Result<Conv2d> {
        let weight = self.get(&format!("{name}.weight"), &[output, input, 1, 1])?;
        let bias = if bias { Some(self.bias(name, output)?) } else { None };
        Ok(Conv2d::new(weight, bias, Conv2dConfig::default()))
    }

    /// A linear layer.
    pub(crate) fn linear(&self, name: &str, input: usize, output: usize) -> Result<Linear> {
        let weight = self.get(&format!("{name}.weight"), &[output, input])?;
        Ok(Linear::new(weight, Some(self.bias(name, output)?)))
    }

    /// Stages of these widths, from three channels on.
    pub(crate) fn stages(&self, widths: &[usize]) -> Result<Vec<Stage>> {
        let before = std::iter::once(&3).chain(widths);
        let stage = |(n, (&before, &width)): (usize, (&usize, &usize))| {
            let block = match width >= RESIDUAL_FROM {
                true => Some([
                    self.conv(&format!("{n}.first"), width, width, 1)?,
                    self.conv(&format!("{n}.second"), width, width, 1)?,
                ]),
                false => None,
            };
            Ok(Stage { down: self.conv(&format!("{n}.down"), before, width, 2)?, block })
        };
        before.zip(widths).enumerate().map(stage).collect()
    }
}

/// A convolution that halves the side, and two more beside a shortcut.
pub(crate) struct Stage {
    down: Conv2d,
    block: Option<[Conv2d; 2]>,
}

impl Module for Stage {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let x = self.down.forward(x)?.relu()?;
        let Some([first, second]) = &self.block else { return Ok(x) };
        let inner = second.forward(&first.forward(&x)?.relu()?)?;
        (x + inner)?.relu()
    }
}
