//! The few layers both face networks are made of, and how their 8-bit weights are read.

use crate::convert::RANGE_SUFFIX;
use crate::error::{ModelError, Result};
use crate::ops::depthwise;
use candle_core::{DType, Tensor};
use std::collections::HashMap;

/// The tensors of a weight file; those of 8 bits still quantised.
pub(crate) struct Weights<'a> {
    model: &'a str,
    tensors: HashMap<String, Tensor>,
    device: &'a candle_core::Device,
}

impl<'a> Weights<'a> {
    pub(crate) fn read(model: &'a str, file: &[u8], device: &'a candle_core::Device) -> Result<Self> {
        let tensors = candle_core::safetensors::load_buffer(file, &candle_core::Device::Cpu)
            .map_err(ModelError::weights(model))?;
        Ok(Weights { model, tensors, device })
    }

    fn stored(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| self.refuse(format!("`{name}` is missing")))
    }

    fn refuse(&self, reason: String) -> ModelError {
        ModelError::Weights { model: self.model.to_owned(), reason }
    }

    /// The f32 tensor of that name, which must have that shape. Rounded once from f64, as TensorFlow.js does,
    /// so that the values equal the original's bit for bit.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let stored = self.stored(name)?;
        if stored.dims() != shape {
            return Err(self.refuse(format!("`{name}` has shape {:?}, expected {shape:?}", stored.dims())));
        }
        if stored.dtype() == DType::F32 {
            return stored.to_device(self.device).map_err(ModelError::tensor("loading weights"));
        }
        let range = self.stored(&format!("{name}{RANGE_SUFFIX}"))?.to_vec1::<f64>();
        let (scale, min) = match range.as_deref() {
            Ok([scale, min]) => (*scale, *min),
            _ => return Err(self.refuse(format!("`{name}{RANGE_SUFFIX}` is not a pair of f64"))),
        };
        let stored = stored.flatten_all().and_then(|flat| flat.to_vec1::<u8>());
        let stored = stored.map_err(|e| self.refuse(format!("`{name}`: {e}")))?;
        let values = stored.into_iter().map(|v| (f64::from(v) * scale + min) as f32).collect();
        Tensor::from_vec(values, shape, self.device).map_err(ModelError::tensor("loading weights"))
    }
}

/// An ordinary convolution with a bias.
pub(crate) struct Conv {
    filters: Tensor,
    bias: Tensor,
}

impl Conv {
    pub(crate) fn load(w: &Weights, name: &str, [input, output, kernel]: [usize; 3]) -> Result<Self> {
        let filters = w.get(&format!("{name}/filters"), &[output, input, kernel, kernel])?;
        Ok(Conv { filters, bias: bias(w, name, output)? })
    }

    /// Input [batch, in, h, w], already padded.
    pub(crate) fn forward(&self, x: &Tensor, stride: usize) -> candle_core::Result<Tensor> {
        x.conv2d(&self.filters, 0, stride, 1, 1)?.broadcast_add(&self.bias)
    }
}

/// A 3x3 convolution of each channel by itself, then a 1x1 convolution across the channels, and a bias.
pub(crate) struct Separable {
    depthwise: Tensor,
    pointwise: Tensor,
    bias: Tensor,
}

impl Separable {
    pub(crate) fn load(w: &Weights, name: &str, [input, output]: [usize; 2]) -> Result<Self> {
        let pointwise = w.get(&format!("{name}/pointwise_filter"), &[output, input, 1, 1])?;
        Ok(Separable {
            depthwise: w.get(&format!("{name}/depthwise_filter"), &[input, 1, 3, 3])?,
            pointwise: pointwise.reshape((output, input)).map_err(ModelError::tensor("loading weights"))?,
            bias: bias(w, name, output)?,
        })
    }

    /// Input [batch, in, h, w], already padded.
    pub(crate) fn forward(&self, x: &Tensor, stride: usize) -> candle_core::Result<Tensor> {
        let x = depthwise(x, &self.depthwise, stride)?;
        let (batch, _, h, w) = x.dims4()?;
        // A 1x1 convolution is a matrix product; saying so spares the copy an im2col would make.
        let mixed = self.pointwise.broadcast_left(batch)?.contiguous()?.matmul(&x.flatten_from(2)?)?;
        mixed.reshape((batch, (), h, w))?.broadcast_add(&self.bias)
    }
}

fn bias(w: &Weights, name: &str, output: usize) -> Result<Tensor> {
    w.get(&format!("{name}/bias"), &[output])?
        .reshape((1, output, 1, 1))
        .map_err(ModelError::tensor("loading weights"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    #[test]
    fn weights_that_lack_a_tensor_or_have_another_shape_are_refused_by_name() {
        let file = crate::embedded::bytes("face-detector").unwrap();
        let weights = Weights::read("face-detector", file, &Device::Cpu).unwrap();
        let missing = weights.get("conv9/bias", &[1]).unwrap_err().to_string();
        assert_eq!(missing, "weights of `face-detector`: `conv9/bias` is missing");
        let other = weights.get("conv0/bias", &[17]).unwrap_err().to_string();
        assert!(other.contains("`conv0/bias` has shape [16], expected [17]"), "{other}");
        assert!(Weights::read("x", b"not a weight file", &Device::Cpu).is_err());
    }
}
