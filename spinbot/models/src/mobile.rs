//! The layers of networks for phones, as MediaPipe has them ([`crate::matte`], [`crate::faces::FaceMesh`]). Weights are taken one after another, in the order in which the layers run in
//! the original graph (`convert/tflite.rs`).

use crate::embedded;
use crate::error::{ModelError, Result};
use crate::ops::{depthwise, pad_same};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;

/// The constants of a model's layers, of which the next is taken.
pub(crate) struct Constants<'a> {
    model: &'static str,
    tensors: HashMap<String, Tensor>,
    device: &'a Device,
    next: usize,
}

/// How a convolution goes over the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Window {
    /// Every channel of all channels.
    Full,
    /// Each channel of itself.
    Depthwise,
}

impl<'a> Constants<'a> {
    /// Of the built-in model.
    pub(crate) fn embedded(model: &'static str, device: &'a Device) -> Result<Self> {
        let file = embedded::bytes(model).unwrap_or_default();
        let tensors =
            candle_core::safetensors::load_buffer(file, &Device::Cpu).map_err(ModelError::weights(model))?;
        Ok(Constants { model, tensors, device, next: 0 })
    }

    fn take(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let name = format!("{:03}.{name}", self.next);
        let refuse = |reason: String| ModelError::Weights { model: self.model.to_owned(), reason };
        let stored = self.tensors.get(&name).ok_or_else(|| refuse(format!("`{name}` is missing")))?;
        if stored.dims() != shape {
            return Err(refuse(format!("`{name}` has shape {:?}, expected {shape:?}", stored.dims())));
        }
        let loaded = stored.to_dtype(DType::F32).and_then(|tensor| tensor.to_device(self.device));
        loaded.map_err(ModelError::tensor("loading weights"))
    }

    fn bias(&self, output: usize) -> Result<Tensor> {
        let bias = self.take("bias", &[output])?.reshape((1, output, 1, 1));
        bias.map_err(ModelError::tensor("loading weights"))
    }

    /// The next layer, a convolution of `kernel` x `kernel` from `input` channels to `output`.
    pub(crate) fn conv(&mut self, [input, output, kernel]: [usize; 3], stride: usize) -> Result<Conv> {
        let weight = self.take("weight", &[output, input, kernel, kernel])?;
        let conv = Conv { weight, bias: self.bias(output)?, window: Window::Full, stride };
        self.next += 1;
        Ok(conv)
    }

    /// The next layer, a convolution of each channel by itself.
    pub(crate) fn depthwise(&mut self, [channels, kernel]: [usize; 2], stride: usize) -> Result<Conv> {
        let weight = self.take("weight", &[channels, 1, kernel, kernel])?;
        let conv = Conv { weight, bias: self.bias(channels)?, window: Window::Depthwise, stride };
        self.next += 1;
        Ok(conv)
    }

    /// The next layer, which doubles the sides: a transposed convolution of 2x2 with stride 2.
    pub(crate) fn doubling(&mut self, [input, output]: [usize; 2]) -> Result<Doubling> {
        let weight = self.take("weight", &[input, output, 2, 2])?;
        let doubling = Doubling { weight, bias: self.bias(output)? };
        self.next += 1;
        Ok(doubling)
    }

    /// The next layer, a PReLU with a slope a channel.
    pub(crate) fn slope(&mut self, channels: usize) -> Result<Slope> {
        let slope = self.take("slope", &[channels])?.reshape((1, channels, 1, 1));
        self.next += 1;
        Ok(Slope(slope.map_err(ModelError::tensor("loading weights"))?))
    }

    /// That no layer is left over.
    pub(crate) fn end(&self) -> Result<()> {
        let left = self.tensors.keys().any(|name| *name >= format!("{:03}", self.next));
        let refuse = || ModelError::Weights {
            model: self.model.to_owned(),
            reason: format!("it has layers after number {}", self.next),
        };
        if left { Err(refuse()) } else { Ok(()) }
    }
}

/// A convolution with a bias, padded as TensorFlow's SAME.
pub(crate) struct Conv {
    weight: Tensor,
    bias: Tensor,
    window: Window,
    stride: usize,
}

impl Conv {
    /// [batch, in, h, w] -> [batch, out, ceil(h / stride), ceil(w / stride)].
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (output, input, kernel, _) = self.weight.dims4()?;
        let made = match (self.window, kernel) {
            (Window::Depthwise, _) => {
                depthwise(&pad_same(x, kernel, self.stride)?, &self.weight, self.stride)?
            }
            (Window::Full, 1) => {
                let (batch, _, h, w) = x.dims4()?;
                let weight = self.weight.reshape((output, input))?.broadcast_left(batch)?.contiguous()?;
                weight.matmul(&x.flatten_from(2)?.contiguous()?)?.reshape((batch, output, h, w))?
            }
            (Window::Full, _) => {
                pad_same(x, kernel, self.stride)?.conv2d(&self.weight, 0, self.stride, 1, 1)?
            }
        };
        made.broadcast_add(&self.bias)
    }

    /// Without padding: [batch, in, h, w] -> [batch, out, h - kernel + 1, w - kernel + 1].
    pub(crate) fn within(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.conv2d(&self.weight, 0, self.stride, 1, 1)?.broadcast_add(&self.bias)
    }
}

/// See [`Constants::doubling`].
pub(crate) struct Doubling {
    weight: Tensor,
    bias: Tensor,
}

impl Doubling {
    /// [batch, in, h, w] -> [batch, out, 2 h, 2 w].
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.conv_transpose2d(&self.weight, 0, 0, 2, 1)?.broadcast_add(&self.bias)
    }
}

/// PReLU.
pub(crate) struct Slope(Tensor);

impl Slope {
    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.relu()? - x.neg()?.relu()?.broadcast_mul(&self.0)?
    }
}

/// x · relu6(x + 3) / 6 (Howard et al. 2019, "Searching for MobileNetV3").
pub(crate) fn hard_swish(x: &Tensor) -> candle_core::Result<Tensor> {
    x * ((x + 3.0)?.clamp(0.0, 6.0)? / 6.0)?
}

/// [batch, c, h, w] -> [batch, c, 2 h, 2 w], bilinear with pixel centres at half coordinates.
pub(crate) fn doubled(x: &Tensor) -> candle_core::Result<Tensor> {
    let along = |x: &Tensor, dim: usize| {
        let n = x.dim(dim)?;
        let before = Tensor::cat(&[x.narrow(dim, 0, 1)?, x.narrow(dim, 0, n - 1)?], dim)?;
        let after = Tensor::cat(&[x.narrow(dim, 1, n - 1)?, x.narrow(dim, n - 1, 1)?], dim)?;
        let near = (x * 0.75)?;
        let both = [(&near + (before * 0.25)?)?, (near + (after * 0.25)?)?];
        let mut shape = x.dims().to_vec();
        shape[dim] = 2 * n;
        Tensor::stack(&both, dim + 1)?.reshape(shape)
    };
    along(&along(x, 2)?, 3)
}
