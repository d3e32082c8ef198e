//! A 3x3 convolution over one picture with its bias and ReLU, and a 2x2 maximum after it where the network has
//! one. Pictures are [height, width, channels].
//!
//! With channels last, three neighbouring pixels of a row lie side by side in memory, so a convolution is three
//! matrix products over overlapping windows and nothing has to be rearranged. candle's own convolution would write
//! 670 MB of rearranged pixels for the widest layer here.

use super::panels::Panels;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// One layer.
pub(crate) struct Conv {
    input: usize,
    output: usize,
    pool: bool,
    /// For each of the kernel's rows, [3 * input, output].
    rows: [Panels; 3],
    bias: Vec<f32>,
    /// Kernel [output, input, 3, 3] and bias [output] for devices other than the CPU.
    stock: Option<(Tensor, Tensor)>,
}

impl Conv {
    /// From a kernel [output, input, 3, 3] and a bias [output].
    pub(crate) fn new(kernel: &[f32], bias: Vec<f32>, pool: bool, device: &Device) -> Result<Self> {
        let output = bias.len();
        let input = kernel.len() / (9 * output);
        let row = |dy: usize| {
            let at = |dx: usize, i: usize, o: usize| kernel[((o * input + i) * 3 + dy) * 3 + dx];
            let weights = (0..3 * input).flat_map(|n| (0..output).map(move |o| at(n / input, n % input, o)));
            Panels::new(&weights.collect::<Vec<_>>(), 3 * input, output)
        };
        let stock = match device.is_cpu() {
            true => None,
            false => Some((
                Tensor::from_slice(kernel, (output, input, 3, 3), device)?,
                Tensor::from_slice(&bias, (1, output, 1, 1), device)?,
            )),
        };
        Ok(Conv { input, output, pool, rows: [row(0), row(1), row(2)], bias, stock })
    }

    /// [h, w, input] -> [h, w, output], or half as high and wide with the maximum, zero padded around.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Some((kernel, bias)) = &self.stock else {
            return x.contiguous()?.apply_op1_no_bwd(self);
        };
        let x = x.permute((2, 0, 1))?.unsqueeze(0)?.contiguous()?;
        let x = x.conv2d(kernel, 1, 1, 1, 1)?.broadcast_add(bias)?.relu()?;
        let x = if self.pool { x.max_pool2d(2)? } else { x };
        x.squeeze(0)?.permute((1, 2, 0))?.contiguous()
    }

    /// One row of the convolution from three padded ones, [w, output].
    fn row(&self, above: &[f32], w: usize, out: &mut [f32]) {
        out.chunks_exact_mut(self.output).for_each(|out| out.copy_from_slice(&self.bias));
        let padded = (w + 2) * self.input;
        for (panels, row) in self.rows.iter().zip(above.chunks_exact(padded)) {
            panels.multiply_add_windows(row, self.input, out);
        }
        out.iter_mut().for_each(|x| *x = x.max(0.0));
    }
}

impl CustomOp1 for Conv {
    fn name(&self) -> &'static str {
        "conv3x3"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (h, w, input) = layout.shape().dims3()?;
        let (CpuStorage::F32(x), Some((from, to))) = (x, layout.contiguous_offsets()) else {
            candle_core::bail!("conv3x3: contiguous f32 only")
        };
        let step = if self.pool { 2 } else { 1 };
        let (out_h, out_w) = (h / step, w / step);
        if input != self.input || out_h == 0 || out_w == 0 {
            candle_core::bail!("conv3x3: a picture [{h}, {w}, {input}] does not fit the layer")
        }
        let padded = (w + 2) * input;
        let mut framed = vec![0.0_f32; (h + 2) * padded];
        let inside = framed[padded..].chunks_exact_mut(padded);
        for (framed, row) in inside.zip(x[from..to].chunks_exact(w * input)) {
            framed[input..input + w * input].copy_from_slice(row);
        }
        let mut out = vec![0.0_f32; out_h * out_w * self.output];
        out.par_chunks_exact_mut(out_w * self.output).enumerate().for_each_init(
            || vec![0.0_f32; 2 * w * self.output],
            |rows, (y, out)| {
                if !self.pool {
                    return self.row(&framed[y * padded..], w, out);
                }
                let (top, bottom) = rows.split_at_mut(w * self.output);
                self.row(&framed[2 * y * padded..], w, top);
                self.row(&framed[(2 * y + 1) * padded..], w, bottom);
                let pairs = top.chunks_exact(2 * self.output).zip(bottom.chunks_exact(2 * self.output));
                for (out, (top, bottom)) in out.chunks_exact_mut(self.output).zip(pairs) {
                    for (n, out) in out.iter_mut().enumerate() {
                        let right = n + self.output;
                        *out = top[n].max(top[right]).max(bottom[n].max(bottom[right]));
                    }
                }
            },
        );
        Ok((CpuStorage::F32(out), Shape::from((out_h, out_w, self.output))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn layers_equal_candles_own_convolution_and_pooling() {
        for (h, w, input, output, pool) in [(5, 7, 1, 33, false), (6, 9, 4, 8, true), (9, 6, 3, 40, true)] {
            let random = |shape: &[usize]| Tensor::randn(0.0_f32, 1.0, shape, &Device::Cpu).unwrap();
            let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let (kernel, bias) = (random(&[output, input, 3, 3]), random(&[output]));
            let mut layer = Conv::new(&flat(&kernel), flat(&bias), pool, &Device::Cpu).unwrap();
            let x = random(&[h, w, input]);
            let fast = layer.forward(&x).unwrap();
            layer.stock = Some((kernel, bias.reshape((1, output, 1, 1)).unwrap()));
            let stock = layer.forward(&x).unwrap();
            assert_eq!(fast.dims(), stock.dims());
            let apart = (fast - stock).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(apart < 1e-5, "{h}x{w} {input}->{output}: {apart}");
        }
    }
}
