//! The linear layer.

use super::frozen::Product;
use super::{Before, Weights};
use crate::diffusion::adapters::{Adapters, SiteKind};
use crate::ops::Geometry;
use candle_core::{Result, Tensor};

/// `x·Wᵀ + b` over the last dimension with frozen weights, and the adapters of its site.
#[derive(Debug, Clone)]
pub struct Linear(Product);

impl Linear {
    /// Reads `weight`, `[outputs, inputs]`, and `bias`, `[outputs]`, if there is to be one.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(weights: &Weights, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        let weight = weights.get((outputs, inputs), "weight")?;
        let bias = bias.then(|| weights.get(outputs, "bias")).transpose()?;
        let site = weights.enter(SiteKind::Linear, inputs, outputs);
        Ok(Linear(Product::new(weights, weight, bias, Geometry::POINT, vec![(site, outputs)])?))
    }

    /// Reads a 1x1 convolution's `weight`, `[outputs, inputs, 1, 1]`, and `bias`: on channels-last pictures it is a
    /// linear layer, to adapters it stays a convolution.
    ///
    /// # Errors
    /// As [`Linear::load`].
    pub fn load_conv1x1(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = weights.get((outputs, inputs, 1, 1), "weight")?.reshape((outputs, inputs))?;
        let bias = Some(weights.get(outputs, "bias")?);
        let site = weights.enter(Geometry::POINT.into(), inputs, outputs);
        Ok(Linear(Product::new(weights, weight, bias, Geometry::POINT, vec![(site, outputs)])?))
    }

    /// Several layers without bias of the same input, whose outputs come side by side: `to_q`, `to_k` and `to_v` in
    /// one. Each keeps its own adapter site.
    ///
    /// # Errors
    /// As [`Linear::load`].
    pub fn load_joined(weights: &Weights, names: &[&str], inputs: usize, outputs: usize) -> Result<Self> {
        let (mut joined, mut parts) = (Vec::new(), Vec::new());
        for name in names {
            let weights = weights.pp(name);
            joined.push(weights.get((outputs, inputs), "weight")?);
            parts.push((weights.enter(SiteKind::Linear, inputs, outputs), outputs));
        }
        Ok(Linear(Product::new(weights, Tensor::cat(&joined, 0)?, None, Geometry::POINT, parts)?))
    }

    /// The index of this layer's adapter site, of several joined layers' the first.
    pub fn site(&self) -> usize {
        self.0.site()
    }

    /// `[.., inputs]` to `[.., outputs]`.
    ///
    /// # Errors
    /// When x has other channels.
    pub fn forward(&self, x: &Tensor, adapters: &Adapters) -> Result<Tensor> {
        self.run(x, Before::Nothing, None, adapters)
    }

    /// As [`Linear::forward`] of what `before` makes of x; `plus`, of the output's shape, is added.
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
