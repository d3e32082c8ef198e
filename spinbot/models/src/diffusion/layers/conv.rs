//! The 2-d convolution.

use super::frozen::Product;
use super::{Before, Weights};
use crate::diffusion::adapters::Adapters;
use crate::ops::Geometry;
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
pub struct Conv2d(Product);

impl Conv2d {
    /// Reads `weight`, `[outputs, inputs, kernel, kernel]`, and `bias`, `[outputs]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(weights: &Weights, inputs: usize, outputs: usize, config: ConvConfig) -> Result<Self> {
        let ConvConfig { kernel, stride, padding } = config;
        let geometry = Geometry { kernel, stride, padding };
        let weight = weights.get((outputs, inputs, kernel, kernel), "weight")?;
        let bias = Some(weights.get(outputs, "bias")?);
        let site = weights.enter(geometry.into(), inputs, outputs);
        Ok(Conv2d(Product::new(weights, weight, bias, geometry, vec![(site, outputs)])?))
    }

    /// The index of this layer's adapter site.
    pub fn site(&self) -> usize {
        self.0.site()
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
        self.0.run(x, before, plus, adapters)
    }
}
