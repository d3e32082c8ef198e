//! Doubling pictures by repeating pixels.

use super::block::for_chunks;
use super::custom::{values, with_values};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

/// `[batch, height, width, channels]` to `[batch, 2·height, 2·width, channels]`.
pub(crate) struct Upsample;

/// Rows of pixels to a thread.
fn band(rows: usize) -> usize {
    rows.div_ceil(rayon::current_num_threads()).max(1)
}

impl CustomOp1 for Upsample {
    fn name(&self) -> &'static str {
        "nearest upsampling"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = layout.shape().dims4()?;
        let x = values(x, layout)?;
        let row = width * channels;
        let mut out = vec![0.0; 4 * x.len()];
        for_chunks(&mut out, 4 * row * band(batch * height), |n, out| {
            let first = n * row * band(batch * height);
            for (out, x) in out.chunks_exact_mut(4 * row).zip(x[first..].chunks_exact(row)) {
                let (upper, lower) = out.split_at_mut(2 * row);
                for (pair, pixel) in upper.chunks_exact_mut(2 * channels).zip(x.chunks_exact(channels)) {
                    pair[..channels].copy_from_slice(pixel);
                    pair[channels..].copy_from_slice(pixel);
                }
                lower.copy_from_slice(upper);
            }
        });
        Ok((CpuStorage::F32(out), (batch, 2 * height, 2 * width, channels).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (batch, height, width, channels) = x.dims4()?;
        let row = width * channels;
        let mut dx = vec![0.0_f32; x.elem_count()];
        with_values(grad, |grad| {
            for_chunks(&mut dx, row * band(batch * height), |n, dx| {
                let first = n * 4 * row * band(batch * height);
                for (dx, grad) in dx.chunks_exact_mut(row).zip(grad[first..].chunks_exact(4 * row)) {
                    let (upper, lower) = grad.split_at(2 * row);
                    let rows = upper.chunks_exact(2 * channels).zip(lower.chunks_exact(2 * channels));
                    for (dx, (upper, lower)) in dx.chunks_exact_mut(channels).zip(rows) {
                        for c in 0..channels {
                            dx[c] = (upper[c] + upper[channels + c]) + (lower[c] + lower[channels + c]);
                        }
                    }
                }
            });
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), &Device::Cpu)?))
    }
}
