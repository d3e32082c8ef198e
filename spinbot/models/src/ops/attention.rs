//! Scaled dot-product attention on `[batch, tokens, channels]` as it comes from the projections, heads side by side.
//! Scores are never kept: the way back computes them again.

#[cfg(target_arch = "x86_64")]
use super::attend::{self, Block, Panel, QUERIES};
use super::block::map;
use super::custom::{values, with_values};
use super::gemm::{Matrix, multiply};
use super::rowwise;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};

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
        q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, self)
    }

    /// Attention of queries to keys and values side by side in `[batch, tokens, 2·channels]`.
    pub(crate) fn to_packed(self, q: &Tensor, kv: &Tensor) -> Result<Tensor> {
        q.contiguous()?.apply_op2(&kv.contiguous()?, self)
    }

    /// Attention of queries, keys and values side by side in `[batch, tokens, 3·channels]`.
    pub(crate) fn packed(self, qkv: &Tensor) -> Result<Tensor> {
        qkv.contiguous()?.apply_op1(self)
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

    fn forward(self, batch: usize, channels: usize, q: Side, k: Side, v: Side) -> Result<Vec<f32>> {
        let width = self.width(channels)?;
        let scale = (width as f32).sqrt().recip();
        let heads = map(batch * self.count, |job| {
            let (sample, head) = (job / self.count, job % self.count);
            #[cfg(target_arch = "x86_64")]
            if !self.causal && attend::suits(k.tokens) {
                return attended([q, k, v].map(|side| side.head(sample, head, width)), width, scale);
            }
            let mut out = vec![0.0; q.tokens * width];
            let mut scores = vec![0.0; SLICE.min(q.tokens) * k.tokens];
            for first in (0..q.tokens).step_by(SLICE) {
                let rows = SLICE.min(q.tokens - first);
                let scores = &mut scores[..rows * k.tokens];
                let queries = q.rows(sample, head, width, first, rows);
                self.weights(
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
            out
        });
        let mut out = Gradient::new(batch, q.tokens, channels);
        for (job, head) in heads.iter().enumerate() {
            out.put(job / self.count, job % self.count * width, width, head);
        }
        Ok(out.values)
    }

    /// Calls `put(which, sample, head's first channel, rows)` with the gradients of queries (0), keys (1) and values (2).
    fn backward(
        self,
        batch: usize,
        channels: usize,
        [q, k, v, grad]: [Side; 4],
        mut put: impl FnMut(usize, usize, usize, &[f32]),
    ) -> Result<()> {
        let width = self.width(channels)?;
        let scale = (width as f32).sqrt().recip();
        let tokens = k.tokens;
        let heads = map(batch * self.count, |job| {
            let (sample, head) = (job / self.count, job % self.count);
            #[cfg(target_arch = "x86_64")]
            if !self.causal && attend::suits(tokens) {
                let sides = [q, k, v, grad].map(|side| side.head(sample, head, width));
                return attended_backward(sides, width, scale);
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
                self.weights(weights, queries, keys, first, tokens, scale);
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
                put(which, job / self.count, job % self.count * width, rows);
            }
        }
        Ok(())
    }
}

/// Rows of a head.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
    tokens: usize,
}

#[cfg(target_arch = "x86_64")]
impl Rows<'_> {
    fn panel(self, width: usize) -> Panel {
        Panel::of_rows(self.values, self.stride, width, self.tokens)
    }

    /// A block of tokens from the `first`, times `scale`, side by side; zeros where there are no more.
    fn block(self, first: usize, width: usize, scale: f32) -> Vec<f32> {
        let mut block = vec![0.0; QUERIES * width];
        let rows = self.values.chunks(self.stride).take(self.tokens).skip(first);
        for (out, row) in block.chunks_exact_mut(width).zip(rows) {
            for (out, value) in out.iter_mut().zip(row) {
                *out = value * scale;
            }
        }
        block
    }
}

/// Attention of one head, a block of queries at a time.
#[cfg(target_arch = "x86_64")]
fn attended([q, k, v]: [Rows; 3], width: usize, scale: f32) -> Vec<f32> {
    let (keys, values) = (k.panel(width), v.panel(width));
    let mut weights = Block::new(k.tokens);
    let mut product = vec![0.0; QUERIES * values.channels()];
    let mut out = vec![0.0; q.tokens * width];
    for (n, out) in out.chunks_mut(QUERIES * width).enumerate() {
        weights.scores(&q.block(n * QUERIES, width, scale * std::f32::consts::LOG2_E), &keys);
        let sums = weights.exponentials(k.tokens);
        weights.times(&values, &mut product);
        let rows = product.chunks_exact(values.channels()).zip(sums);
        for (out, (row, sum)) in out.chunks_exact_mut(width).zip(rows) {
            for (out, value) in out.iter_mut().zip(row) {
                *out = value / sum;
            }
        }
    }
    out
}

/// The gradients of queries, keys and values of one head.
#[cfg(target_arch = "x86_64")]
fn attended_backward([q, k, v, grad]: [Rows; 4], width: usize, scale: f32) -> [Vec<f32>; 3] {
    let (keys, values) = (k.panel(width), v.panel(width));
    let (mut dk, mut dv) = (Panel::zeros(width, k.tokens), Panel::zeros(width, k.tokens));
    let (mut weights, mut gradients) = (Block::new(k.tokens), Block::new(k.tokens));
    let mut product = vec![0.0; QUERIES * keys.channels()];
    let mut dq = vec![0.0; q.tokens * width];
    for (n, dq) in dq.chunks_mut(QUERIES * width).enumerate() {
        let first = n * QUERIES;
        weights.scores(&q.block(first, width, scale * std::f32::consts::LOG2_E), &keys);
        let sums = weights.exponentials(k.tokens);
        let grad = grad.block(first, width, 1.0);
        gradients.scores(&grad, &values);
        weights.softmax_backward(sums, &mut gradients, scale);
        weights.spread(&grad, &mut dv);
        // Queries behind the last are zeros, and so is what they add.
        gradients.spread(&q.block(first, width, 1.0), &mut dk);
        gradients.times(&keys, &mut product);
        for (dq, row) in dq.chunks_exact_mut(width).zip(product.chunks_exact(keys.channels())) {
            dq.copy_from_slice(&row[..width]);
        }
    }
    [dq, dk.into_rows(), dv.into_rows()]
}

fn shaped(values: Vec<f32>, like: &Tensor) -> Result<Option<Tensor>> {
    Ok(Some(Tensor::from_vec(values, like.shape(), &Device::Cpu)?))
}

impl CustomOp3 for Heads {
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
        Ok((CpuStorage::F32(self.forward(batch, channels, q, k, v)?), q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, n, c) = q.dims3()?;
        let (m, width) = (k.dim(1)?, self.width(c)?);
        let mut gradients = [n, m, m].map(|tokens| Gradient::new(batch, tokens, c));
        let mut run = |q: &[f32], k: &[f32], v: &[f32], grad: &[f32]| {
            let sides =
                [(q, n), (k, m), (v, m), (grad, n)].map(|(values, tokens)| Side::new(values, tokens, c, 0));
            self.backward(batch, c, sides, |which, sample, channel, rows| {
                gradients[which].put(sample, channel, width, rows);
            })
        };
        with_values(q, |q| {
            with_values(k, |k| with_values(v, |v| with_values(grad, |g| run(q, k, v, g))))
        })?????;
        let [dq, dk, dv] = gradients;
        Ok((shaped(dq.values, q)?, shaped(dk.values, k)?, shaped(dv.values, v)?))
    }
}

impl CustomOp2 for Heads {
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
        Ok((CpuStorage::F32(self.forward(batch, channels, q, k, v)?), q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        kv: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (batch, n, c) = q.dims3()?;
        let (m, width) = (kv.dim(1)?, self.width(c)?);
        let (mut dq, mut d_kv) = (Gradient::new(batch, n, c), Gradient::new(batch, m, 2 * c));
        let mut run = |q: &[f32], kv: &[f32], grad: &[f32]| {
            let sides = [
                Side::new(q, n, c, 0),
                Side::new(kv, m, 2 * c, 0),
                Side::new(kv, m, 2 * c, c),
                Side::new(grad, n, c, 0),
            ];
            self.backward(batch, c, sides, |which, sample, channel, rows| match which {
                0 => dq.put(sample, channel, width, rows),
                _ => d_kv.put(sample, (which - 1) * c + channel, width, rows),
            })
        };
        with_values(q, |q| with_values(kv, |kv| with_values(grad, |grad| run(q, kv, grad))))????;
        Ok((shaped(dq.values, q)?, shaped(d_kv.values, kv)?))
    }
}

impl CustomOp1 for Heads {
    fn name(&self) -> &'static str {
        "attention within packed tokens"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, n, packed) = layout.shape().dims3()?;
        let channels = packed / 3;
        let qkv = values(qkv, layout)?;
        let [q, k, v] = [0, channels, 2 * channels].map(|first| Side::new(qkv, n, packed, first));
        Ok((CpuStorage::F32(self.forward(batch, channels, q, k, v)?), (batch, n, channels).into()))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (batch, n, packed) = qkv.dims3()?;
        let c = packed / 3;
        let width = self.width(c)?;
        let mut gradient = Gradient::new(batch, n, packed);
        let mut run = |qkv: &[f32], grad: &[f32]| {
            let [q, k, v] = [0, c, 2 * c].map(|first| Side::new(qkv, n, packed, first));
            self.backward(batch, c, [q, k, v, Side::new(grad, n, c, 0)], |which, sample, channel, rows| {
                gradient.put(sample, which * c + channel, width, rows);
            })
        };
        with_values(qkv, |qkv| with_values(grad, |grad| run(qkv, grad)))???;
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
            [(5, 77, 2, 8), (64, 64, 3, 16), (9, 49, 1, 40), (17, 130, 2, 5), (3, 20, 2, 8)]
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
