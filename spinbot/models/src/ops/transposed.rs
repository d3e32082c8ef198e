//! The transposed 2-d convolution with frozen weights on channels-last values: one product makes of each input pixel its
//! shares of the outputs around it, and each output is the sum of its shares. No products with the zeros that a stride
//! puts between inputs, and no gradients.

use super::block::for_chunks;
use super::custom::values;
use super::{First, Frozen, Geometry};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use std::sync::Arc;

/// How a transposed convolution enlarges, as PyTorch counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spread {
    /// Outputs from one input to the next.
    pub(crate) stride: usize,
    /// Outputs cut off at each edge.
    pub(crate) padding: usize,
    /// Outputs put on at the bottom and at the right.
    pub(crate) output_padding: usize,
}

/// A transposed convolution with a square kernel.
#[derive(Debug, Clone)]
pub(crate) struct Transposed {
    shares: Arc<Frozen>,
    sum: Arc<Sum>,
}

impl Transposed {
    /// From weights `[inputs, outputs, kernel, kernel]` and a bias `[outputs]`, f32 on the CPU.
    pub(crate) fn new(weight: &Tensor, bias: &Tensor, spread: Spread) -> Result<Self> {
        let (inputs, outputs, kernel, _) = weight.dims4()?;
        let by_share = weight.permute((2, 3, 1, 0))?.contiguous()?;
        let by_share = by_share.reshape((kernel * kernel * outputs, inputs))?;
        let sum = Sum { spread, kernel, bias: bias.to_vec1()? };
        if sum.bias.len() != outputs || spread.stride == 0 {
            bail!("a transposed convolution of {outputs} outputs with {} biases", sum.bias.len());
        }
        Ok(Transposed {
            shares: Arc::new(Frozen::new(&by_share, None, Geometry::POINT)?),
            sum: Arc::new(sum),
        })
    }

    /// `[batch, height, width, inputs]` to `[batch, height', width', outputs]`.
    pub(crate) fn run(&self, x: &Tensor) -> Result<Tensor> {
        self.shares.run(x, First::Nothing, &[], None)?.apply_op1_no_bwd(&*self.sum)
    }
}

/// The sum of shares, `[batch, height, width, kernel · kernel · outputs]`, and of the bias.
#[derive(Debug)]
struct Sum {
    spread: Spread,
    kernel: usize,
    bias: Vec<f32>,
}

impl Sum {
    /// Outputs along an edge of so many inputs.
    fn length(&self, inputs: usize) -> usize {
        let Spread { stride, padding, output_padding } = self.spread;
        ((inputs.max(1) - 1) * stride + self.kernel + output_padding).saturating_sub(2 * padding)
    }

    /// The inputs, of so many, that an output at that place has a share of, each with the tap.
    fn sources(&self, at: usize, inputs: usize) -> impl Iterator<Item = (usize, usize)> {
        let Spread { stride, padding, .. } = self.spread;
        (0..self.kernel).filter_map(move |tap| {
            let place = (at + padding).checked_sub(tap)?;
            (place.is_multiple_of(stride) && place / stride < inputs).then_some((place / stride, tap))
        })
    }
}

impl CustomOp1 for Sum {
    fn name(&self) -> &'static str {
        "transposed convolution"
    }

    fn cpu_fwd(&self, shares: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, columns) = layout.shape().dims4()?;
        let outputs = self.bias.len();
        if columns != self.kernel * self.kernel * outputs {
            bail!("{columns} shares of {outputs} outputs and a kernel of {}", self.kernel);
        }
        let shares = values(shares, layout)?;
        let (tall, wide) = (self.length(height), self.length(width));
        let mut out = vec![0.0; batch * tall * wide * outputs];
        let row = (wide * outputs).max(1);
        let band = (batch * tall).div_ceil(rayon::current_num_threads()).max(1);
        for_chunks(&mut out, row * band, |n, out| {
            for (y, out) in (n * band..).zip(out.chunks_exact_mut(row)) {
                out.chunks_exact_mut(outputs).for_each(|pixel| pixel.copy_from_slice(&self.bias));
                for (from, down) in self.sources(y % tall, height) {
                    let first = (y / tall * height + from) * width;
                    for (x, pixel) in out.chunks_exact_mut(outputs).enumerate() {
                        for (from, across) in self.sources(x, width) {
                            let tap = down * self.kernel + across;
                            let share = &shares[(first + from) * columns + tap * outputs..][..outputs];
                            pixel.iter_mut().zip(share).for_each(|(sum, share)| *sum += share);
                        }
                    }
                }
            }
        });
        Ok((CpuStorage::F32(out), (batch, tall, wide, outputs).into()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    #[test]
    fn it_is_candles_transposed_convolution() {
        for (batch, height, width, inputs, outputs, stride, padding, output_padding) in [
            (1, 1, 1, 40, 33, 1, 0, 0),
            (2, 3, 5, 7, 5, 2, 1, 1),
            (3, 6, 4, 33, 17, 2, 1, 1),
            (1, 4, 4, 3, 2, 1, 1, 0),
            (2, 5, 3, 2, 3, 3, 0, 2),
        ] {
            let random = |shape: &[usize]| Tensor::randn(0.0_f32, 1.0, shape, &Device::Cpu).unwrap();
            let x = random(&[batch, height, width, inputs]);
            let (weight, bias) = (random(&[inputs, outputs, 3, 3]), random(&[outputs]));
            let spread = Spread { stride, padding, output_padding };
            let got = Transposed::new(&weight, &bias, spread).unwrap().run(&x).unwrap();
            let first = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
            let whole = first.conv_transpose2d(&weight, padding, output_padding, stride, 1).unwrap();
            let whole = whole.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
            let whole = whole.broadcast_add(&bias).unwrap();
            assert_eq!(got.dims(), whole.dims());
            let apart = (got - whole).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(apart < 1e-4, "{height}x{width}, stride {stride}: {apart}");
        }
    }
}
