//! What [`super::Linear`] and [`super::Conv2d`] share: frozen weights in either op set, and the adapters beside them.

use super::{Before, Weights};
use crate::diffusion::adapters::{Adapters, LowRank, SiteKind};
use crate::ops::{Adapter, Frozen, Geometry, OpSet};
use candle_core::{D, Result, Tensor};
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Kept {
    /// `[outputs, inputs]` or `[outputs, inputs, kernel, kernel]`, and `[outputs]`.
    Stock(Tensor, Option<Tensor>),
    Fused(Arc<Frozen>),
}

/// A frozen product, and the sites of the parts of its outputs.
#[derive(Debug, Clone)]
pub(super) struct Product {
    kept: Kept,
    geometry: Geometry,
    /// Site and outputs of each part, one after the other.
    parts: Vec<(usize, usize)>,
}

impl Product {
    pub(super) fn new(
        weights: &Weights,
        weight: Tensor,
        bias: Option<Tensor>,
        geometry: Geometry,
        parts: Vec<(usize, usize)>,
    ) -> Result<Self> {
        let kept = match weights.op_set() {
            OpSet::Stock => Kept::Stock(weight, bias),
            OpSet::Fused => Kept::Fused(Arc::new(Frozen::new(&weight, bias.as_ref(), geometry)?)),
        };
        Ok(Product { kept, geometry, parts })
    }

    /// The index of the first part's site.
    pub(super) fn site(&self) -> usize {
        self.parts.first().map_or(0, |(site, _)| *site)
    }

    pub(super) fn run(
        &self,
        x: &Tensor,
        before: Before,
        plus: Option<&Tensor>,
        adapters: &Adapters,
    ) -> Result<Tensor> {
        match &self.kept {
            Kept::Stock(weight, bias) => {
                let x = before.apply(x)?;
                let mut y = self.product(&x, weight)?;
                if let Some(bias) = bias {
                    y = y.broadcast_add(bias)?;
                }
                let y = self.beside(y, &x, adapters)?;
                plus.map_or(Ok(y.clone()), |plus| y.broadcast_add(plus))
            }
            Kept::Fused(frozen) if adapters.drop_any() => {
                let x = before.apply(x)?;
                let y = frozen.run(&x, Before::Nothing.fused(), &[], plus)?;
                self.beside(y, &x, adapters)
            }
            Kept::Fused(frozen) => {
                let mut pairs = Vec::new();
                let mut first = 0;
                for (site, outputs) in &self.parts {
                    for LowRank { down, up, scale } in adapters.at(*site) {
                        pairs.push(Adapter { down, up, scale: *scale, first });
                    }
                    first += outputs;
                }
                frozen.run(x, before.fused(), &pairs, plus)
            }
        }
    }

    /// x times a kernel of this one's geometry, in candle's operations.
    fn product(&self, x: &Tensor, kernel: &Tensor) -> Result<Tensor> {
        let Geometry { stride, padding, .. } = self.geometry;
        if self.geometry != Geometry::POINT {
            let x = super::channels_first(x)?;
            return super::channels_last(&x.conv2d(kernel, padding, stride, 1, 1)?);
        }
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = kernel.dim(0)?;
        }
        let rows = x.flatten_to(D::Minus2)?.contiguous()?;
        rows.matmul(&kernel.flatten_from(1)?.t()?)?.reshape(shape)
    }

    /// y and what the adapters make of x, in candle's operations.
    fn beside(&self, y: Tensor, x: &Tensor, adapters: &Adapters) -> Result<Tensor> {
        if self.parts.iter().all(|(site, _)| adapters.at(*site).is_empty()) {
            return Ok(y);
        }
        let mut parts = Vec::with_capacity(self.parts.len());
        let mut first = 0;
        for (site, outputs) in &self.parts {
            let mut part = y.narrow(D::Minus1, first, *outputs)?;
            for adapter in adapters.at(*site) {
                let seen = adapters.dropped(*site, x)?;
                let inner = self.product(&seen, &adapter.down.to_dtype(x.dtype())?)?;
                let raised = adapter.raise(&inner.flatten_to(D::Minus2)?)?;
                part = (&part + raised.reshape(part.shape())?)?;
            }
            parts.push(part);
            first += outputs;
        }
        if parts.len() == 1 { Ok(parts.remove(0)) } else { Tensor::cat(&parts, D::Minus1) }
    }
}

impl From<Geometry> for SiteKind {
    fn from(Geometry { kernel, stride, padding }: Geometry) -> Self {
        SiteKind::Conv { kernel, stride, padding }
    }
}
