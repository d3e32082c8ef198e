//! Convolutions of each channel by itself, and TensorFlow's padding: what networks for phones are made of. Channels are the
//! second axis here, as candle has them.

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};

/// Pads so that a window of `kernel` x `kernel` with that stride gives ceil(n / stride) outputs, TensorFlow's SAME: what is odd
/// goes to the bottom and the right.
pub(crate) fn pad_same(x: &Tensor, kernel: usize, stride: usize) -> candle_core::Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let padding = |n: usize| {
        let all = ((n.div_ceil(stride) - 1) * stride + kernel).saturating_sub(n);
        (all / 2, all - all / 2)
    };
    let ((top, bottom), (left, right)) = (padding(h), padding(w));
    x.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)
}

/// Each channel of x [batch, c, h, w] with its own kernel of [c, 1, k, k], no padding.
pub(crate) fn depthwise(x: &Tensor, kernels: &Tensor, stride: usize) -> candle_core::Result<Tensor> {
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
        "depthwise"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        kernels: &CpuStorage,
        kernels_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, channels, h, w) = x_layout.shape().dims4()?;
        let (_, _, side, _) = kernels_layout.shape().dims4()?;
        let out_of = |n: usize| n.checked_sub(side).map(|n| n / self.stride + 1);
        let (Some(out_h), Some(out_w)) = (out_of(h), out_of(w)) else {
            candle_core::bail!("depthwise: input {h}x{w} is smaller than the kernel")
        };
        let (CpuStorage::F32(x), CpuStorage::F32(kernels)) = (x, kernels) else {
            candle_core::bail!("depthwise: f32 only")
        };
        let (Some((x_from, x_to)), Some((k_from, k_to))) =
            (x_layout.contiguous_offsets(), kernels_layout.contiguous_offsets())
        else {
            candle_core::bail!("depthwise: contiguous tensors only")
        };
        if k_to - k_from != channels * side * side {
            candle_core::bail!("depthwise: {channels} channels, {} kernel values", k_to - k_from)
        }
        let kernels = kernels[k_from..k_to].chunks_exact(side * side).cycle();
        let mut out = vec![0.0_f32; batch * channels * out_h * out_w];
        let planes = x[x_from..x_to].chunks_exact(h * w).zip(kernels);
        for ((plane, kernel), out) in planes.zip(out.chunks_exact_mut(out_h * out_w)) {
            for (y, out) in out.chunks_exact_mut(out_w).enumerate() {
                for (dy, kernel) in kernel.chunks_exact(side).enumerate() {
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
        for (kernel, stride, h, w) in
            [(3, 1, 5, 9), (3, 2, 7, 12), (3, 2, 8, 8), (3, 1, 3, 3), (5, 1, 7, 6), (5, 2, 11, 9)]
        {
            let x = Tensor::randn(0.0_f32, 1.0, (2, 4, h, w), &Device::Cpu).unwrap();
            let kernels = Tensor::randn(0.0_f32, 1.0, (4, 1, kernel, kernel), &Device::Cpu).unwrap();
            let fast = depthwise(&x, &kernels, stride).unwrap();
            let grouped = x.conv2d(&kernels, 0, stride, 1, 4).unwrap();
            let apart =
                (&fast - grouped).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(apart < 1e-5, "kernel {kernel}, stride {stride}, {h}x{w}: {apart}");
        }
    }

    #[test]
    fn what_is_odd_in_same_padding_goes_to_the_bottom_right() {
        let x = Tensor::ones((1, 1, 4, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert_eq!(pad_same(&x, 3, 1).unwrap().dims(), [1, 1, 6, 7]);
        let padded = pad_same(&x, 3, 2).unwrap();
        assert_eq!(padded.dims(), [1, 1, 5, 7]);
        let rows = padded.squeeze(0).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows[0], [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(rows[4], [0.0; 7]);
        assert_eq!(pad_same(&x, 5, 2).unwrap().dims(), [1, 1, 7, 9]);
    }
}
