//! The few layers both face networks are made of, and how their 8-bit weights are read.

use crate::convert::RANGE_SUFFIX;
use crate::error::{ModelError, Result};
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor};
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

/// Pads so that a 3x3 window with that stride gives ceil(n / stride) outputs, TensorFlow's SAME: what is odd
/// goes to the bottom and the right.
pub(crate) fn pad_same(x: &Tensor, stride: usize) -> candle_core::Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let padding = |n: usize| {
        let all = ((n.div_ceil(stride) - 1) * stride + 3).saturating_sub(n);
        (all / 2, all - all / 2)
    };
    let ((top, bottom), (left, right)) = (padding(h), padding(w));
    x.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)
}

/// Each channel of x [batch, c, h, w] with its own 3x3 kernel of [c, 1, 3, 3], no padding.
fn depthwise(x: &Tensor, kernels: &Tensor, stride: usize) -> candle_core::Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op2_no_bwd(kernels, &Depthwise { stride });
    }
    x.conv2d(kernels, 0, stride, 1, x.dim(1)?)
}

/// The CPU's depthwise convolution. candle's own splits the tensor into one convolution a channel, which took
/// longer than the rest of the network.
struct Depthwise {
    stride: usize,
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise3x3"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        kernels: &CpuStorage,
        kernels_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, channels, h, w) = x_layout.shape().dims4()?;
        let out_of = |n: usize| n.checked_sub(3).map(|n| n / self.stride + 1);
        let (Some(out_h), Some(out_w)) = (out_of(h), out_of(w)) else {
            candle_core::bail!("depthwise3x3: input {h}x{w} is smaller than the kernel")
        };
        let (CpuStorage::F32(x), CpuStorage::F32(kernels)) = (x, kernels) else {
            candle_core::bail!("depthwise3x3: f32 only")
        };
        let (Some((x_from, x_to)), Some((k_from, k_to))) =
            (x_layout.contiguous_offsets(), kernels_layout.contiguous_offsets())
        else {
            candle_core::bail!("depthwise3x3: contiguous tensors only")
        };
        if k_to - k_from != channels * 9 {
            candle_core::bail!("depthwise3x3: {channels} channels, {} kernel values", k_to - k_from)
        }
        let kernels = kernels[k_from..k_to].chunks_exact(9).cycle();
        let mut out = vec![0.0_f32; batch * channels * out_h * out_w];
        let planes = x[x_from..x_to].chunks_exact(h * w).zip(kernels);
        for ((plane, kernel), out) in planes.zip(out.chunks_exact_mut(out_h * out_w)) {
            for (y, out) in out.chunks_exact_mut(out_w).enumerate() {
                for (dy, kernel) in kernel.chunks_exact(3).enumerate() {
                    let row = &plane[(y * self.stride + dy) * w..][..w];
                    for (dx, weight) in kernel.iter().enumerate() {
                        let taken = row[dx..].iter().step_by(self.stride);
                        out.iter_mut().zip(taken).for_each(|(sum, value)| *sum += weight * value);
                    }
                }
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((batch, channels, out_h, out_w))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_fast_depthwise_convolution_equals_the_grouped_one() {
        for (stride, h, w) in [(1, 5, 9), (2, 7, 12), (2, 8, 8), (1, 3, 3)] {
            let x = Tensor::randn(0.0_f32, 1.0, (2, 4, h, w), &Device::Cpu).unwrap();
            let kernels = Tensor::randn(0.0_f32, 1.0, (4, 1, 3, 3), &Device::Cpu).unwrap();
            let fast = depthwise(&x, &kernels, stride).unwrap();
            let grouped = x.conv2d(&kernels, 0, stride, 1, 4).unwrap();
            let apart =
                (&fast - grouped).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(apart < 1e-5, "stride {stride}, {h}x{w}: {apart}");
        }
    }

    #[test]
    fn what_is_odd_in_same_padding_goes_to_the_bottom_right() {
        let x = Tensor::ones((1, 1, 4, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert_eq!(pad_same(&x, 1).unwrap().dims(), [1, 1, 6, 7]);
        let padded = pad_same(&x, 2).unwrap();
        assert_eq!(padded.dims(), [1, 1, 5, 7]);
        let rows = padded.squeeze(0).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows[0], [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(rows[4], [0.0; 7]);
    }

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
