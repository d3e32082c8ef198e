//! Turning pictures between layouts and sizes.

use crate::ops::{OpSet, Upsample};
use candle_core::{Result, Tensor};

/// `[batch, channels, height, width]` to `[batch, height, width, channels]`, contiguous.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 2, 3, 1))?.contiguous()
}

/// `[batch, height, width, channels]` to `[batch, channels, height, width]`, contiguous.
pub fn channels_first(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))?.contiguous()
}

/// Repeats every pixel of `[batch, height, width, channels]` to `[batch, 2·height, 2·width, channels]`.
///
/// candle's own `upsample_nearest2d` overwrites gradients where it should add to them.
pub fn upsample_nearest(x: &Tensor, set: OpSet) -> Result<Tensor> {
    if set == OpSet::Fused {
        return x.contiguous()?.apply_op1(Upsample);
    }
    let (b, h, w, c) = x.dims4()?;
    x.reshape((b, h, 1, w, 1, c))?.broadcast_as((b, h, 2, w, 2, c))?.reshape((b, 2 * h, 2 * w, c))
}
