//! ReLU over a tensor's own memory, without a gradient.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};
use rayon::prelude::*;

/// Values to a thread.
const SHARE: usize = 1 << 16;

/// Puts 0 in place of what is negative. Nobody else may read the tensor any more.
pub(crate) fn rectify(x: Tensor) -> Result<Tensor> {
    x.inplace_op1(&Rectify)?;
    Ok(x)
}

struct Rectify;

impl InplaceOp1 for Rectify {
    fn name(&self) -> &'static str {
        "ReLU in place"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(x), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            bail!("a fused operation needs contiguous f32 values");
        };
        x[start..end].par_chunks_mut(SHARE).for_each(|x| x.iter_mut().for_each(|x| *x = x.max(0.0)));
        Ok(())
    }
}
