//! The linear layer, and the gated activation of diffusers' feed-forward.

use super::{Before, Weights};
use crate::diffusion::adapters::{Adapters, SiteKind};
use crate::ops::OpSet;
use candle_core::{D, Result, Tensor};

/// `x·Wᵀ + b` over the last dimension with frozen weights, and the adapters of its site.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[outputs, inputs]`.
    weight: Tensor,
    bias: Option<Tensor>,
    site: usize,
    set: OpSet,
}

impl Linear {
    /// Reads `weight`, `[outputs, inputs]`, and `bias`, `[outputs]`, if there is to be one.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(weights: &Weights, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        let weight = weights.get((outputs, inputs), "weight")?;
        Self::enter(weights, SiteKind::Linear, weight, bias)
    }

    /// Reads a 1x1 convolution's `weight`, `[outputs, inputs, 1, 1]`, and `bias`: on channels-last pictures it is a
    /// linear layer, to adapters it stays a convolution.
    ///
    /// # Errors
    /// As [`Linear::load`].
    pub fn load_conv1x1(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = weights.get((outputs, inputs, 1, 1), "weight")?.reshape((outputs, inputs))?;
        Self::enter(weights, SiteKind::Conv { kernel: 1, stride: 1, padding: 0 }, weight, true)
    }

    fn enter(weights: &Weights, kind: SiteKind, weight: Tensor, bias: bool) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let bias = if bias { Some(weights.get(outputs, "bias")?) } else { None };
        Ok(Linear { weight, bias, site: weights.enter(kind, inputs, outputs), set: weights.op_set() })
    }

    /// The index of this layer's adapter site.
    pub fn site(&self) -> usize {
        self.site
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
        let x = before.apply(x)?;
        let mut shape = x.dims().to_vec();
        let x = x.flatten_to(D::Minus2)?.contiguous()?;
        let mut y = x.matmul(&self.weight.t()?)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(bias)?;
        }
        for adapter in adapters.at(self.site) {
            let down = adapter.down.flatten_from(1)?.to_dtype(x.dtype())?;
            let inner = adapters.dropped(self.site, &x)?.matmul(&down.t()?)?;
            y = (y + adapter.raise(&inner)?)?;
        }
        if let Some(last) = shape.last_mut() {
            *last = self.weight.dim(0)?;
        }
        let y = y.reshape(shape)?;
        match plus {
            Some(plus) => y + plus,
            None => Ok(y),
        }
    }
}

/// `[.., 2·n]` to `[.., n]`: the first half times the GELU of the second (GEGLU; Shazeer 2020), with the exact GELU
/// as in diffusers.
///
/// # Errors
/// When the last dimension is odd.
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    x.narrow(D::Minus1, 0, half)? * x.narrow(D::Minus1, half, half)?.gelu_erf()?
}
