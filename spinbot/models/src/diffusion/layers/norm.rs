//! Normalisation over groups of channels and over tokens' channels.

use super::Weights;
use crate::ops::{First, Norm, OpSet};
use candle_core::{D, DType, Result, Tensor};
use std::sync::Arc;

/// Group normalisation (Wu and He 2018) of `[batch, height, width, channels]` with frozen scale and shift, and SiLU
/// after it where wanted. Statistics are computed in f32.
#[derive(Debug, Clone)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    epsilon: f64,
    fused: Option<Arc<Norm>>,
}

impl GroupNorm {
    /// Reads `weight` and `bias`, `[channels]`.
    ///
    /// # Errors
    /// When they are missing or shaped otherwise, or the channels do not divide into groups.
    pub fn load(weights: &Weights, channels: usize, groups: usize, epsilon: f64) -> Result<Self> {
        if groups == 0 || !channels.is_multiple_of(groups) {
            candle_core::bail!("{channels} channels do not divide into {groups} groups");
        }
        let (weight, bias) = (weights.get(channels, "weight")?, weights.get(channels, "bias")?);
        let fused = fused(weights, &weight, &bias, Some(groups), epsilon)?;
        Ok(GroupNorm { weight, bias, groups, epsilon, fused })
    }

    /// The normalised values, in the shape and type of x.
    ///
    /// # Errors
    /// When x has other channels.
    pub fn forward(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        if let Some(norm) = &self.fused {
            return First::Norm(norm.clone(), silu).run(x);
        }
        let groups = x.to_dtype(DType::F32)?.reshape((b, h * w, self.groups, c / self.groups))?;
        let groups =
            groups.transpose(1, 2)?.contiguous()?.reshape((b, self.groups, h * w * c / self.groups))?;
        let y = standardised(&groups, self.epsilon)?;
        let y = y.reshape((b, self.groups, h * w, c / self.groups))?.transpose(1, 2)?.contiguous()?;
        let y = scaled(&y.reshape((b, h, w, c))?, &self.weight, &self.bias)?;
        if silu { y.silu() } else { Ok(y) }?.to_dtype(x.dtype())
    }
}

/// Layer normalisation (Ba et al. 2016) of the last dimension with frozen scale and shift. Statistics are computed in
/// f32.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
    fused: Option<Arc<Norm>>,
}

impl LayerNorm {
    /// Reads `weight` and `bias`, `[channels]`.
    ///
    /// # Errors
    /// When they are missing or shaped otherwise.
    pub fn load(weights: &Weights, channels: usize, epsilon: f64) -> Result<Self> {
        let (weight, bias) = (weights.get(channels, "weight")?, weights.get(channels, "bias")?);
        let fused = fused(weights, &weight, &bias, None, epsilon)?;
        Ok(LayerNorm { weight, bias, epsilon, fused })
    }

    /// The normalised values, in the shape and type of x.
    ///
    /// # Errors
    /// When x has other channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let Some(norm) = &self.fused {
            return First::Norm(norm.clone(), false).run(x);
        }
        let y = standardised(&x.to_dtype(DType::F32)?, self.epsilon)?;
        scaled(&y, &self.weight, &self.bias)?.to_dtype(x.dtype())
    }
}

/// What happens to a layer's input first; named to the layer, so that the fused set can do both in one pass.
#[derive(Debug, Clone, Copy)]
pub enum Before<'a> {
    /// Nothing.
    Nothing,
    /// Group normalisation.
    Group(&'a GroupNorm),
    /// Group normalisation, then SiLU.
    GroupSilu(&'a GroupNorm),
    /// Layer normalisation.
    Layer(&'a LayerNorm),
    /// The first half of the channels times the GELU of the second (GEGLU; Shazeer 2020), with the exact GELU as in
    /// diffusers.
    Geglu,
}

impl Before<'_> {
    /// Does it, as an operation of its own.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Before::Nothing => Ok(x.clone()),
            Before::Group(norm) => norm.forward(x, false),
            Before::GroupSilu(norm) => norm.forward(x, true),
            Before::Layer(norm) => norm.forward(x),
            Before::Geglu => {
                let half = x.dim(D::Minus1)? / 2;
                x.narrow(D::Minus1, 0, half)? * x.narrow(D::Minus1, half, half)?.gelu_erf()?
            }
        }
    }

    /// The same for the fused set.
    pub(super) fn fused(&self) -> First {
        let norm = |norm: &Option<Arc<Norm>>, silu| match norm {
            Some(norm) => First::Norm(norm.clone(), silu),
            None => First::Nothing,
        };
        match self {
            Before::Nothing => First::Nothing,
            Before::Group(group) => norm(&group.fused, false),
            Before::GroupSilu(group) => norm(&group.fused, true),
            Before::Layer(layer) => norm(&layer.fused, false),
            Before::Geglu => First::Geglu,
        }
    }
}

/// What the fused set keeps of a normalisation.
fn fused(
    weights: &Weights,
    weight: &Tensor,
    bias: &Tensor,
    groups: Option<usize>,
    epsilon: f64,
) -> Result<Option<Arc<Norm>>> {
    Ok(match weights.op_set() {
        OpSet::Stock => None,
        OpSet::Fused => Some(Arc::new(Norm {
            weight: weight.to_vec1()?,
            bias: bias.to_vec1()?,
            groups,
            epsilon: epsilon as f32,
        })),
    })
}

/// The last dimension at mean 0 and variance 1. candle's fused layer norm would drop the gradient.
fn standardised(x: &Tensor, epsilon: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + epsilon)?.sqrt()?)
}

fn scaled(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.broadcast_mul(&weight.to_dtype(DType::F32)?)?.broadcast_add(&bias.to_dtype(DType::F32)?)
}
