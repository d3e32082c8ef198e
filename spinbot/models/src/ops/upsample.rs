//! Doubling pictures by repeating pixels.

use super::custom::{values, with_values};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// `[batch, height, width, channels]` to `[batch, 2·height, 2·width, channels]`.
pub(crate) struct Upsample;

impl CustomOp1 for Upsample {
    fn name(&self) -> &'static str {
        "nearest upsampling"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = layout.shape().dims4()?;
        let x = values(x, layout)?;
        let row = width * channels;
        let mut out = vec![0.0; 4 * x.len()];
        out.par_chunks_mut((4 * row).max(1)).zip(x.par_chunks(row.max(1))).for_each(|(out, x)| {
            let (upper, lower) = out.split_at_mut(2 * row);
            for (pair, pixel) in upper.chunks_exact_mut(2 * channels).zip(x.chunks_exact(channels)) {
                pair[..channels].copy_from_slice(pixel);
                pair[channels..].copy_from_slice(pixel);
            }
            lower.copy_from_slice(upper);
        });
        Ok((CpuStorage::F32(out), (batch, 2 * height, 2 * width, channels).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (.., width, channels) = x.dims4()?;
        let row = width * channels;
        let mut dx = vec![0.0_f32; x.elem_count()];
        with_values(grad, |grad| {
            dx.par_chunks_mut(row.max(1)).zip(grad.par_chunks((4 * row).max(1))).for_each(|(dx, grad)| {
                let (upper, lower) = grad.split_at(2 * row);
                let rows = upper.chunks_exact(2 * channels).zip(lower.chunks_exact(2 * channels));
                for (dx, (upper, lower)) in dx.chunks_exact_mut(channels).zip(rows) {
                    for c in 0..channels {
                        dx[c] = (upper[c] + upper[channels + c]) + (lower[c] + lower[channels + c]);
                    }
                }
            });
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), &Device::Cpu)?))
    }
}
