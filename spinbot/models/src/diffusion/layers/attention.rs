//! Scaled dot-product attention (Vaswani et al. 2017).

use crate::ops::{Heads, OpSet};
use candle_core::{D, DType, Result, Tensor};

/// How attention is computed.
#[derive(Debug, Clone, Copy)]
pub struct Attend {
    /// Heads; they share the channels equally.
    pub heads: usize,
    /// Whether a token sees only itself and those before it.
    pub causal: bool,
    /// Whether scores are computed in f32 whatever the type of the values, as their softmax is.
    pub upcast: bool,
    /// Scores held at once, at most: above that, queries are taken in slices. Less memory, the same result.
    pub slice: usize,
    /// The op set.
    pub set: OpSet,
}

impl Attend {
    /// Attention of that many heads, not causal, not sliced.
    pub fn new(heads: usize, set: OpSet) -> Self {
        Attend { heads, causal: false, upcast: false, slice: usize::MAX, set }
    }

    /// Queries `[batch, n, channels]`, keys and values `[batch, m, channels]` to `[batch, n, channels]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        if let Some(heads) = self.fused(q) {
            return heads.apart(q, k, v);
        }
        let (batch, n, channels) = q.dims3()?;
        let (m, width) = (k.dim(1)?, channels / self.heads);
        let split = |x: &Tensor| {
            let (batch, tokens, _) = x.dims3()?;
            x.reshape((batch, tokens, self.heads, width))?.transpose(1, 2)?.contiguous()
        };
        let dtype = q.dtype();
        let scores = if self.upcast { DType::F32 } else { dtype };
        let q = (split(q)? * (width as f64).sqrt().recip())?.to_dtype(scores)?;
        let k = split(k)?.to_dtype(scores)?.t()?;
        let v = split(v)?;
        let rows = (self.slice / (batch * self.heads * m).max(1)).clamp(1, n.max(1));
        let mut slices = Vec::with_capacity(n.div_ceil(rows));
        for first in (0..n).step_by(rows) {
            let rows = rows.min(n - first);
            let mut scores = q.narrow(2, first, rows)?.contiguous()?.matmul(&k)?;
            if self.causal {
                scores = scores
                    .broadcast_add(&mask(first, rows, m)?.to_device(q.device())?.to_dtype(scores.dtype())?)?;
            }
            // candle's softmax_last_dim would drop the gradient; in f16 the square of the sum, on the way back, is none.
            let weights = candle_nn::ops::softmax(&scores.to_dtype(DType::F32)?, D::Minus1)?;
            slices.push(weights.to_dtype(dtype)?.matmul(&v)?);
        }
        let y = if slices.len() == 1 { slices.remove(0) } else { Tensor::cat(&slices, 2)? };
        y.transpose(1, 2)?.reshape((batch, n, channels))
    }
}

impl Attend {
    /// As [`Attend::forward`] of queries `[batch, n, channels]` to keys and values side by side,
    /// `[batch, m, 2·channels]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn to_packed(&self, q: &Tensor, kv: &Tensor) -> Result<Tensor> {
        if let Some(heads) = self.fused(q) {
            return heads.to_packed(q, kv);
        }
        let channels = q.dim(D::Minus1)?;
        let part = |n: usize| kv.narrow(D::Minus1, n * channels, channels);
        self.forward(q, &part(0)?, &part(1)?)
    }

    /// As [`Attend::forward`] of queries, keys and values side by side, `[batch, n, 3·channels]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn packed(&self, qkv: &Tensor) -> Result<Tensor> {
        if let Some(heads) = self.fused(qkv) {
            return heads.packed(qkv);
        }
        let channels = qkv.dim(D::Minus1)? / 3;
        let part = |n: usize| qkv.narrow(D::Minus1, n * channels, channels);
        self.forward(&part(0)?, &part(1)?, &part(2)?)
    }

    /// The fused operation, which always takes queries in slices and computes in f32, where it can do it.
    fn fused(&self, x: &Tensor) -> Option<Heads> {
        let fused = self.set == OpSet::Fused && x.device().is_cpu() && x.dtype() == DType::F32;
        fused.then_some(Heads { count: self.heads, causal: self.causal })
    }
}

/// 0 where a query may look, else the lowest f16 that is finite.
fn mask(first: usize, rows: usize, m: usize) -> Result<Tensor> {
    let value = |at: usize| if at % m > first + at / m { -65504.0_f32 } else { 0.0 };
    Tensor::from_vec((0..rows * m).map(value).collect(), (rows, m), &candle_core::Device::Cpu)
}
