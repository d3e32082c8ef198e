//! Layers with frozen weights, each computed by one of two sets of operations.
//!
//! [`OpSet::Stock`] is made of candle's own operations: it runs on every device and is the reference.
//! [`OpSet::Fused`] is for the CPU: normalisation, activation, convolution, adapters and residual in one pass
//! over cache-sized blocks, with a backward that never computes gradients of frozen weights. Both have the same values
//! and gradients up to rounding.
//!
//! Channels run fastest everywhere: sound is `[time, channels]` ([`Conv`]), pictures and tokens are
//! `[batch, .., channels]` ([`Frozen`], [`Heads`]); only [`depthwise`] has them before the picture's sides.
//!
//! Which networks exist is not known here.

mod aligned;
#[cfg(target_arch = "x86_64")]
mod attend;
mod attention;
mod before;
mod block;
mod conv;
mod curve;
mod custom;
mod depthwise;
mod frozen;
mod fused;
pub(crate) mod gemm;
mod norm;
mod product;
mod quantized;
mod rectify;
mod rowwise;
mod simd;
#[cfg(test)]
mod tests;
mod tile;
mod transposed;
mod upsample;
mod winograd;

pub(crate) use attention::Heads;
pub(crate) use before::{First, Norm};
pub(crate) use conv::{Before, Conv, LowRank, Snake, Target, Then, accumulate, unfold_transposed};
pub(crate) use depthwise::{depthwise, pad_same};
pub(crate) use frozen::{Adapter, Frozen};
pub(crate) use product::Geometry;
pub(crate) use quantized::Quantized;
pub(crate) use rectify::rectify;
pub(crate) use simd::for_each_machine;
pub(crate) use transposed::{Spread, Transposed};
pub(crate) use upsample::Upsample;

/// Which operations compute a network's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpSet {
    /// candle's operations, on any device.
    Stock,
    /// Our fused operations, on the CPU only.
    Fused,
}

impl OpSet {
    /// The faster set on that device.
    pub(crate) fn fastest_on(device: &candle_core::Device) -> OpSet {
        if device.is_cpu() { OpSet::Fused } else { OpSet::Stock }
    }
}
