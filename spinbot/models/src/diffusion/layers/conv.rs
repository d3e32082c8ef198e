//! The 2-d convolution.

use super::{Before, Weights, channels_first, channels_last};
use crate::diffusion::adapters::{Adapters, SiteKind};
use crate::ops::OpSet;
use candle_core::{Result, Tensor};

/// The sizes of a convolution with a square kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvConfig {
    /// Pixels of the kernel's edge.
    pub kernel: usize,
    /// Pixels from one output to the next.
    pub stride: usize,
    /// Pixels of zeros at each edge.
    pub padding: usize,
}

impl ConvConfig {
    /// A kernel of that edge that keeps the picture's size.
    pub const fn same(kernel: usize) -> Self {
        ConvConfig { kernel, stride: 1, padding: kernel / 2 }
    }
}

/// A convolution of `[batch, height, width, inputs]` with frozen weights, and the adapters of its site.
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// `[outputs, inputs, kernel, kernel]`.
    weight: Tensor,
    bias: Tensor,
    config: ConvConfig,
    site: usize,
    set: OpSet,
}

impl Conv2d {
    /// Reads `weight`, `[outputs, inputs, kernel, kernel]`, and `bias`, `[outputs]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(weights: &Weights, inputs: usize, outputs: usize, config: ConvConfig) -> Result<Self> {
        let ConvConfig { kernel, stride, padding } = config;
        let weight = weights.get((outputs, inputs, kernel, kernel), "weight")?;
        let bias = weights.get(outputs, "bias")?;
        let site = weights.enter(SiteKind::Conv { kernel, stride, padding }, inputs, outputs);
        Ok(Conv2d { weight, bias, config, site, set: weights.op_set() })
    }

    /// The index of this layer's adapter site.
    pub fn site(&self) -> usize {
        self.site
    }

    /// `[batch, height, width, inputs]` to `[batch, height', width', outputs]`.
    ///
    /// # Errors
    /// When x has other channels.
    pub fn forward(&self, x: &Tensor, adapters: &Adapters) -> Result<Tensor> {
        self.run(x, Before::Nothing, None, adapters)
    }

    /// As [`Conv2d::forward`] of what `before` makes of x; `plus` is added, of the output's shape or
    /// `[batch, 1, 1, outputs]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn run(
        &self,
        x: &Tensor,
        before: Before,
        plus: Option<&Tensor>,
        adapters: &Adapters,
    ) -> Result<Tensor> {
        let ConvConfig { stride, padding, .. } = self.config;
        let x = before.apply(x)?;
        let convolved = |x: &Tensor, kernel: &Tensor| {
            channels_last(&channels_first(x)?.conv2d(kernel, padding, stride, 1, 1)?)
        };
        let mut y = convolved(&x, &self.weight)?.broadcast_add(&self.bias)?;
        for adapter in adapters.at(self.site) {
            let seen = adapters.dropped(self.site, &x)?;
            let inner = convolved(&seen, &adapter.down.to_dtype(x.dtype())?)?;
            let raised = adapter.raise(&inner.flatten_to(2)?)?;
            y = (&y + raised.reshape(y.shape())?)?;
        }
        match plus {
            Some(plus) => y.broadcast_add(plus),
            None => Ok(y),
        }
    }
}
