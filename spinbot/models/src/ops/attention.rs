//! Scaled dot-product attention on `[batch, tokens, channels]` as it comes from the projections, heads side by side.
//! Scores are never kept: the way back computes them again.

#[cfg(target_arch = "x86_64")]
use super::attend::{self, Rows};
use super::block::map;
use super::custom::{values, with_values};
use super::gemm::{Matrix, multiply};
use super::rowwise;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use std::sync::{Mutex, PoisonError};

/// Queries whose scores are held at once.
const SLICE: usize = 128;

/// The sizes of an attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Heads.
    pub(crate) count: usize,
    /// Whether a token sees only itself and those before it.
    pub(crate) causal: bool,
}

impl Heads {
    /// Attention of queries, keys and values in tensors of their own.
    pub(crate) fn apart(self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, Attention::of(self))
    }

    /// Attention of queries to keys and values side by side in `[batch, tokens, 2·channels]`.
    pub(crate) fn to_packed(self, q: &Tensor, kv: &Tensor) -> Result<Tensor> {
        q.contiguous()?.apply_op2(&kv.contiguous()?, Attention::of(self))
    }

    /// Attention of queries, keys and values side by side in `[batch, tokens, 3·channels]`.
    pub(crate) fn packed(self, qkv: &Tensor) -> Result<Tensor> {
        qkv.contiguous()?.apply_op1(Attention::of(self))
    }
}

/// Rows of one of the three, heads side by side.
#[derive(Clone, Copy)]
struct Side<'a> {
    values: &'a [f32],
    tokens: usize,
    /// From one token to the next.
    stride: usize,
    /// The first channel of the first head.
    first: usize,
}

impl<'a> Side<'a> {
    fn new(values: &'a [f32], tokens: usize, stride: usize, first: usize) -> Self {
        Side { values, tokens, stride, first }
    }

    /// One head's tokens: rows of its width, `stride` values apart.
    #[cfg(target_arch = "x86_64")]
    fn head(&self, sample: usize, head: usize, width: usize) -> Rows<'a> {
        let first = sample * self.tokens * self.stride + self.first + head * width;
        Rows { values: &self.values[first..], stride: self.stride, tokens: self.tokens }
    }

    /// Some tokens of one head.
    fn rows(&self, sample: usize, head: usize, width: usize, first: usize, rows: usize) -> Matrix<'a> {
        let start = (sample * self.tokens + first) * self.stride + self.first + head * width;
        Matrix::by_rows(&self.values[start..], rows, width, self.stride)
    }
}

/// Gradients that are written head by head.
struct Gradient {
    values: Vec<f32>,
    tokens: usize,
    stride: usize,
}

impl Gradient {
    fn new(batch: usize, tokens: usize, stride: usize) -> Self {
        Gradient { values: vec![0.0; batch * tokens * stride], tokens, stride }
    }

    fn put(&mut self, sample: usize, channel: usize, width: usize, rows: &[f32]) {
        let start = sample * self.tokens * self.stride + channel;
        for (n, row) in rows.chunks_exact(width).enumerate() {
            self.values[start + n * self.stride..][..width].copy_from_slice(row);
        }
    }
}

/// What the way back needs of the way forward, for each query: see [`attend`], where it needs any.
#[cfg(target_arch = "x86_64")]
type Softmax = attend::Softmax;
#[cfg(not(target_arch = "x86_64"))]
type Softmax = ();

/// An attention that was computed.
struct Attention {
    heads: Heads,
    /// For each sample's heads.
    softmax: Mutex<Vec<Vec<Softmax>>>,
}

impl Heads {
    fn width(self, channels: usize) -> Result<usize> {
        match self.count > 0 && channels.is_multiple_of(self.count) {
            true => Ok(channels / self.count),
            false => bail!("{channels} channels do not divide into {} heads", self.count),
        }
    }

    /// The softmax of the scores of some queries.
    fn weights(self, scores: &mut [f32], q: Matrix, k: Matrix, first: usize, tokens: usize, scale: f32) {
        multiply(scores, q, k.transposed(), false);
        if self.causal {
            for (n, row) in scores.chunks_exact_mut(tokens).enumerate() {
                row.iter_mut().skip(first + n + 1).for_each(|score| *score = f32::MIN);
            }
        }
        rowwise::softmax(scores, tokens, scale);
    }
}

impl Attention {
    fn of(heads: Heads) -> Self {
        Attention { heads, softmax: Mutex::default() }
    }

    fn forward(&self, batch: usize, channels: usize, [q, k, v]: [Side; 3]) -> Result<Vec<f32>> {
        let Heads { count, causal } = self.heads;
        let width = self.heads.width(channels)?;
        let scale = (width as f32).sqrt().recip();
        let heads = map(batch * count, |job| {
            let (sample, head) = (job / count, job % count);
            #[cfg(target_arch = "x86_64")]
            if !causal && attend::suits(k.tokens) {
                return attend::attended([q, k, v].map(|side| side.head(sample, head, width)), width, scale);
            }
            let mut out = vec![0.0; q.tokens * width];
            let mut scores = vec![0.0; SLICE.min(q.tokens) * k.tokens];
            for first in (0..q.tokens).step_by(SLICE) {
                let rows = SLICE.min(q.tokens - first);
                let scores = &mut scores[..rows * k.tokens];
                let queries = q.rows(sample, head, width, first, rows);
                self.heads.weights(
                    scores,
                    queries,
                    k.rows(sample, head, width, 0, k.tokens),
                    first,
                    k.tokens,
                    scale,
                );
                let scores = Matrix::by_rows(scores, rows, k.tokens, k.tokens);
                let out = &mut out[first * width..];
                multiply(out, scores, v.rows(sample, head, width, 0, k.tokens), false);
            }
            (out, Vec::new())
        });
        let mut out = Gradient::new(batch, q.tokens, channels);
        let mut softmax = Vec::with_capacity(heads.len());
        for (job, (head, of_queries)) in heads.into_iter().enumerate() {
            out.put(job / count, job % count * width, width, &head);
            softmax.push(of_queries);
        }
        *self.softmax.lock().unwrap_or_else(PoisonError::into_inner) = softmax;
        Ok(out.values)
    }

    /// Calls `put(which, sample, head's first channel, rows)` with the gradients of queries (0), keys (1) and values (2).
    fn backward(
        &self,
        batch: usize,
        channels: usize,
        [q, k, v, grad, out]: [Side; 5],
        mut put: impl FnMut(usize, usize, usize, &[f32]),
    ) -> Result<()> {
        let Heads { count, causal } = self.heads;
        let width = self.heads.width(channels)?;
        let scale = (width as f32).sqrt().recip();
        let tokens = k.tokens;
        let softmax = self.softmax.lock().unwrap_or_else(PoisonError::into_inner);
        let heads = map(batch * count, |job| {
            let (sample, head) = (job / count, job % count);
            #[cfg(target_arch = "x86_64")]
            if !causal && attend::suits(tokens) {
                let sides = [q, k, v, grad, out].map(|side| side.head(sample, head, width));
                return attend::attended_backward(sides, &softmax[job], width, scale);
            }
            let [mut dq, mut dk, mut dv] = [q.tokens, tokens, tokens].map(|n| vec![0.0; n * width]);
            let mut weights = vec![0.0; SLICE.min(q.tokens) * tokens];
            let mut d_weights = weights.clone();
            let keys = k.rows(sample, head, width, 0, tokens);
            let values = v.rows(sample, head, width, 0, tokens);
            for first in (0..q.tokens).step_by(SLICE) {
                let rows = SLICE.min(q.tokens - first);
                let (weights, d_weights) = (&mut weights[..rows * tokens], &mut d_weights[..rows * tokens]);
                let queries = q.rows(sample, head, width, first, rows);
                let grad = grad.rows(sample, head, width, first, rows);
                self.heads.weights(weights, queries, keys, first, tokens, scale);
                multiply(&mut dv, Matrix::by_rows(weights, rows, tokens, tokens).transposed(), grad, true);
                multiply(d_weights, grad, values.transposed(), false);
                rowwise::softmax_backward(d_weights, weights, tokens, scale);
                let d_scores = Matrix::by_rows(d_weights, rows, tokens, tokens);
                multiply(&mut dq[first * width..], d_scores, keys, false);
                multiply(&mut dk, d_scores.transposed(), queries, true);
            }
            [dq, dk, dv]
        });
        for (job, head) in heads.iter().enumerate() {
            for (which, rows) in head.iter().enumerate() {
                put(which, job / count, job % count * width, rows);
            }
        }
        Ok(())
    }
}

/// Calls `work` with the values of two tensors.
fn with_both<R>(a: &Tensor, b: &Tensor, work: impl FnOnce([&[f32]; 2]) -> R) -> Result<Result<R>> {
    with_values(a, |a| with_values(b, |b| work([a, b])))
}

fn shaped(values: Vec<f32>, like: &Tensor) -> Result<Option<Tensor>> {
    Ok(Some(Tensor::from_vec(values, like.shape(), &Device::Cpu)?))
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, n, channels) = q_layout.shape().dims3()?;
        let m = k_layout.shape().dim(1)?;
        if k_layout.dims() != [batch, m, channels] || v_layout.dims() != k_layout.dims() {
            bail!("attention of {:?} to {:?} and {:?}", q_layout.dims(), k_layout.dims(), v_layout.dims());
        }
        let q = Side::new(values(q, q_layout)?, n, channels, 0);
        let k = Side::new(values(k, k_layout)?, m, channels, 0);
        let v = Side::new(values(v, v_layout)?, m, channels, 0);
        Ok((CpuStorage::F32(self.forward(batch, channels, [q, k, v])?), q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, n, c) = q.dims3()?;
        let (m, width) = (k.dim(1)?, self.heads.width(c)?);
        let mut gradients = [n, m, m].map(|tokens| Gradient::new(batch, tokens, c));
        let mut run = |q: &[f32], k: &[f32], v: &[f32], out_and_grad: [&[f32]; 2]| {
            let [out, grad] = out_and_grad;
            let sides = [(q, n), (k, m), (v, m), (grad, n), (out, n)]
                .map(|(values, tokens)| Side::new(values, tokens, c, 0));
            self.backward(batch, c, sides, |which, sample, channel, rows| {
                gradients[which].put(sample, channel, width, rows);
            })
        };
        with_both(out, grad, |both| {
            with_values(q, |q| with_values(k, |k| with_values(v, |v| run(q, k, v, both))))
        })??????;
        let [dq, dk, dv] = gradients;
        Ok((shaped(dq.values, q)?, shaped(dk.values, k)?, shaped(dv.values, v)?))
    }
}

impl CustomOp2 for Attention {
    fn name(&self) -> &'static str {
        "attention to packed keys and values"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        kv: &CpuStorage,
        kv_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, n, channels) = q_layout.shape().dims3()?;
        let m = kv_layout.shape().dim(1)?;
        if kv_layout.dims() != [batch, m, 2 * channels] {
            bail!("attention of {:?} to packed {:?}", q_layout.dims(), kv_layout.dims());
        }
        let q = Side::new(values(q, q_layout)?, n, channels, 0);
        let [k, v] = [0, channels].map(|first| Side::new(&[], m, 2 * channels, first));
        let kv = values(kv, kv_layout)?;
        let (k, v) = (Side { values: kv, ..k }, Side { values: kv, ..v });
        Ok((CpuStorage::F32(self.forward(batch, channels, [q, k, v])?), q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        kv: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (batch, n, c) = q.dims3()?;
        let (m, width) = (kv.dim(1)?, self.heads.width(c)?);
        let (mut dq, mut d_kv) = (Gradient::new(batch, n, c), Gradient::new(batch, m, 2 * c));
        let mut run = |q: &[f32], kv: &[f32], [out, grad]: [&[f32]; 2]| {
            let sides = [
                Side::new(q, n, c, 0),
                Side::new(kv, m, 2 * c, 0),
                Side::new(kv, m, 2 * c, c),
                Side::new(grad, n, c, 0),
                Side::new(out, n, c, 0),
            ];
            self.backward(batch, c, sides, |which, sample, channel, rows| match which {
                0 => dq.put(sample, channel, width, rows),
                _ => d_kv.put(sample, (which - 1) * c + channel, width, rows),
            })
        };
        with_both(out, grad, |both| with_values(q, |q| with_values(kv, |kv| run(q, kv, both))))?????;
        Ok((shaped(dq.values, q)?, shaped(d_kv.values, kv)?))
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention within packed tokens"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, n, packed) = layout.shape().dims3()?;
        let channels = packed / 3;
        let qkv = values(qkv, layout)?;
        let [q, k, v] = [0, channels, 2 * channels].map(|first| Side::new(qkv, n, packed, first));
        Ok((CpuStorage::F32(self.forward(batch, channels, [q, k, v])?), (batch, n, channels).into()))
    }

    fn bwd(&self, qkv: &Tensor, out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (batch, n, packed) = qkv.dims3()?;
        let c = packed / 3;
        let width = self.heads.width(c)?;
        let mut gradient = Gradient::new(batch, n, packed);
        let mut run = |qkv: &[f32], both: [&[f32]; 2]| {
            let [q, k, v] = [0, c, 2 * c].map(|first| Side::new(qkv, n, packed, first));
            let [out, grad] = both.map(|values| Side::new(values, n, c, 0));
            self.backward(batch, c, [q, k, v, grad, out], |which, sample, channel, rows| {
                gradient.put(sample, which * c + channel, width, rows);
            })
        };
        with_both(out, grad, |both| with_values(qkv, |qkv| run(qkv, both)))????;
        shaped(gradient.values, qkv)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Var};

    /// Attention by candle's operations.
    fn stock(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Tensor {
        let (batch, n, channels) = q.dims3().unwrap();
        let width = channels / heads;
        let apart = |x: &Tensor| {
            let x = x.reshape((batch, x.dim(1).unwrap(), heads, width)).unwrap();
            x.transpose(1, 2).unwrap().contiguous().unwrap()
        };
        let scores = apart(q).matmul(&apart(k).transpose(2, 3).unwrap().contiguous().unwrap()).unwrap();
        let weights = candle_nn::ops::softmax(&(scores / (width as f64).sqrt()).unwrap(), D::Minus1).unwrap();
        let out = weights.matmul(&apart(v)).unwrap().transpose(1, 2).unwrap();
        out.contiguous().unwrap().reshape((batch, n, channels)).unwrap()
    }

    #[test]
    fn attention_to_any_number_of_tokens_has_stock_values_and_gradients_however_large_the_scores() {
        let noise = |tokens: usize, channels: usize, scale: f64, shift: f64| {
            let x = Tensor::randn(0.0_f32, 1.0, (2, tokens, channels), &Device::Cpu).unwrap();
            Var::from_tensor(&((x * scale).unwrap() + shift).unwrap()).unwrap()
        };
        for (n, m, heads, width) in
            [(5, 77, 2, 8), (64, 64, 3, 16), (9, 49, 1, 40), (17, 130, 2, 5), (3, 20, 2, 8), (11, 2100, 1, 8)]
        {
            // Scores around zero, and all of them far below it.
            for (scale, shift) in [(1.0, 0.0), (1.0, 8.0)] {
                let channels = heads * width;
                let (q, k) = (noise(n, channels, scale, shift), noise(m, channels, scale, -shift));
                let (v, target) = (noise(m, channels, 1.0, 0.0), noise(n, channels, 1.0, 0.0));
                let fused = Heads { count: heads, causal: false }.apart(&q, &k, &v).unwrap();
                let wanted = stock(&q, &k, &v, heads);
                let gradients =
                    |out: &Tensor| (out * target.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
                let (got, want) = (gradients(&fused), gradients(&wanted));
                let pairs = [&q, &k, &v].map(|x| (got.get(x).unwrap().clone(), want.get(x).unwrap().clone()));
                for (what, (got, want)) in [(fused, wanted)].into_iter().chain(pairs).enumerate() {
                    let size = want.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                    let off =
                        (got - want).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                    assert!(
                        off <= 2e-4 * size.max(1.0),
                        "{n} to {m} of {heads}x{width}, {what}: off by {off} of {size}"
                    );
                }
            }
        }
    }
}
