//! The causal transformer that all three stacks share: rotary positions, grouped keys, an optional window, and a cache
//! of keys and values so that a sequence can be given piece by piece.

use super::file::{Tensors, refuse};
use super::layers::{LayerNorm, Linear};
use crate::error::Result;
use candle_core::{D, Tensor};

/// Period of the slowest rotation, the same in every release.
const MAX_PERIOD: f64 = 10_000.0;
const EPS: f64 = 1e-5;

/// Keys and values of one layer, each [key heads, positions, head].
#[derive(Clone)]
pub(super) struct Memory {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

/// What a transformer has read so far. Cheap to clone: the tensors are shared and never written in place.
#[derive(Clone, Default)]
pub(super) struct Cache {
    /// One memory a layer, or none before the first piece.
    pub(super) layers: Vec<Memory>,
    /// Positions read, which in a window are more than the cache holds.
    pub(super) position: usize,
}

pub(super) struct Transformer {
    layers: Vec<Layer>,
    /// Positions that attention sees, itself included; all when none.
    context: Option<usize>,
    /// Rotations a position for each pair of a head's values, [head / 2].
    frequencies: Vec<f32>,
    pub(super) width: usize,
    pub(super) key_heads: usize,
    pub(super) head: usize,
}

struct Layer {
    norm1: LayerNorm,
    in_proj: Linear,
    out_proj: Linear,
    scale1: Option<Tensor>,
    norm2: LayerNorm,
    linear1: Linear,
    linear2: Linear,
    scale2: Option<Tensor>,
}

/// Widths of the attention: of all queries and of all keys.
#[derive(Clone, Copy)]
struct Widths {
    query: usize,
    key: usize,
}

/// How the queries of one piece see the keys, shared by all layers.
struct View {
    /// [positions, 1, head / 2].
    cos: Tensor,
    sin: Tensor,
    /// Zero where a query sees a key and minus infinity elsewhere, [positions, keys]; none when all is seen.
    mask: Option<Tensor>,
}

impl Transformer {
    /// Reads `{prefix}.layers.N.*`, all sizes from the shapes but the head's.
    pub(super) fn load(w: &Tensors<'_>, prefix: &str, head: usize, context: Option<usize>) -> Result<Self> {
        let count = w.count(&format!("{prefix}.layers."), ".norm1.weight");
        let first = format!("{prefix}.layers.0");
        let [rows, width] = w.dims::<2>(&format!("{first}.self_attn.in_proj.weight"))?;
        let [_, query] = w.dims::<2>(&format!("{first}.self_attn.out_proj.weight"))?;
        let key = rows.saturating_sub(query) / 2;
        let fits = |n: usize| n > 0 && n.is_multiple_of(head);
        if context == Some(0)
            || head == 0
            || !head.is_multiple_of(2)
            || !fits(query)
            || !fits(key)
            || query % key != 0
            || query + 2 * key != rows
        {
            return Err(refuse(format!(
                "`{first}.self_attn` has {query} query and {rows} projected values, which heads of {head} do not fit"
            )));
        }
        if count == 0 {
            return Err(refuse(format!("`{first}.norm1.weight` is missing")));
        }
        let widths = Widths { query, key };
        let layers = (0..count).map(|n| Layer::load(w, &format!("{prefix}.layers.{n}"), width, widths));
        let pairs = head / 2;
        let frequency = |n: usize| (n as f32 * (-MAX_PERIOD.ln() * 2.0 / head as f64) as f32).exp();
        Ok(Transformer {
            layers: layers.collect::<Result<_>>()?,
            context,
            frequencies: (0..pairs).map(frequency).collect(),
            width,
            key_heads: key / head,
            head,
        })
    }

    pub(super) fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// Reads [time, width] after what the cache holds and gives as much.
    pub(super) fn forward(&self, x: &Tensor, cache: &mut Cache) -> candle_core::Result<Tensor> {
        let view = self.view(x, cache)?;
        let mut memories = std::mem::take(&mut cache.layers).into_iter();
        let mut x = x.clone();
        for layer in &self.layers {
            let (y, memory) = layer.forward(&x, memories.next(), &view, [self.key_heads, self.head])?;
            x = y;
            cache.layers.push(self.trim(memory)?);
        }
        cache.position += x.dim(0)?;
        Ok(x)
    }

    /// Drops what no later query can see.
    fn trim(&self, memory: Memory) -> candle_core::Result<Memory> {
        let held = memory.keys.dim(1)?;
        let Some(excess) = self.context.and_then(|context| held.checked_sub(context - 1)).filter(|n| *n > 0)
        else {
            return Ok(memory);
        };
        let rest = |x: &Tensor| x.narrow(1, excess, held - excess)?.contiguous();
        Ok(Memory { keys: rest(&memory.keys)?, values: rest(&memory.values)? })
    }

    fn view(&self, x: &Tensor, cache: &Cache) -> candle_core::Result<View> {
        let (time, device) = (x.dim(0)?, x.device());
        let held = cache.layers.first().map_or(Ok(0), |memory| memory.keys.dim(1))?;
        let angles = |f: fn(f32) -> f32| {
            let positions = (cache.position..cache.position + time).map(|t| t as f32);
            let values = positions.flat_map(|t| self.frequencies.iter().map(move |rate| f(rate * t)));
            Tensor::from_vec(values.collect::<Vec<_>>(), (time, 1, self.frequencies.len()), device)
        };
        // A single query after a trimmed cache sees all of it.
        let mask = (time > 1).then(|| {
            let context = self.context.unwrap_or(usize::MAX);
            let row = |t: usize| {
                let query = held + t;
                (0..held + time).map(move |key| {
                    let seen = key <= query && query - key < context;
                    if seen { 0.0 } else { f32::NEG_INFINITY }
                })
            };
            Tensor::from_vec((0..time).flat_map(row).collect::<Vec<_>>(), (time, held + time), device)
        });
        Ok(View { cos: angles(f32::cos)?, sin: angles(f32::sin)?, mask: mask.transpose()? })
    }
}

impl Layer {
    fn load(w: &Tensors<'_>, name: &str, width: usize, at: Widths) -> Result<Self> {
        let [hidden, _] = w.dims::<2>(&format!("{name}.linear1.weight"))?;
        let scale = |n: usize| {
            let name = format!("{name}.layer_scale_{n}.scale");
            w.shape(&name).map(|_| w.get(&name, &[width])).transpose()
        };
        let linear = |part: &str, sizes| Linear::without_bias(w, &format!("{name}.{part}.weight"), sizes);
        Ok(Layer {
            norm1: LayerNorm::load(w, &format!("{name}.norm1"), width, EPS)?,
            in_proj: linear("self_attn.in_proj", [width, at.query + 2 * at.key])?,
            out_proj: linear("self_attn.out_proj", [at.query, width])?,
            scale1: scale(1)?,
            norm2: LayerNorm::load(w, &format!("{name}.norm2"), width, EPS)?,
            linear1: linear("linear1", [width, hidden])?,
            linear2: linear("linear2", [hidden, width])?,
            scale2: scale(2)?,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        memory: Option<Memory>,
        view: &View,
        [key_heads, head]: [usize; 2],
    ) -> candle_core::Result<(Tensor, Memory)> {
        let projected = self.in_proj.forward(&self.norm1.forward(x)?)?;
        let (attended, memory) = attend(&projected, memory, view, key_heads, head)?;
        let x = residual(x, self.out_proj.forward(&attended)?, self.scale1.as_ref())?;
        // The tanh form of GELU, as the reference computes it.
        let hidden = self.linear1.forward(&self.norm2.forward(&x)?)?.gelu()?;
        Ok((residual(&x, self.linear2.forward(&hidden)?, self.scale2.as_ref())?, memory))
    }
}

fn residual(x: &Tensor, update: Tensor, scale: Option<&Tensor>) -> candle_core::Result<Tensor> {
    match scale {
        Some(scale) => x + update.broadcast_mul(scale)?,
        None => x + update,
    }
}

/// Attention over [time, queries | keys | values], with the memory before it.
fn attend(
    projected: &Tensor,
    memory: Option<Memory>,
    view: &View,
    key_heads: usize,
    head: usize,
) -> candle_core::Result<(Tensor, Memory)> {
    let (time, columns) = projected.dims2()?;
    let heads = columns / head - 2 * key_heads;
    let part = |from: usize, n: usize| projected.narrow(1, from * head, n * head)?.reshape((time, n, head));
    let query = rotate(&part(0, heads)?, view)?;
    let key = rotate(&part(heads, key_heads)?, view)?.transpose(0, 1)?;
    let value = part(heads + key_heads, key_heads)?.transpose(0, 1)?;
    let memory = match memory {
        Some(past) => Memory {
            keys: Tensor::cat(&[&past.keys, &key], 1)?,
            values: Tensor::cat(&[&past.values, &value], 1)?,
        },
        None => Memory { keys: key.contiguous()?, values: value.contiguous()? },
    };
    // The query heads that share a key head lie next to each other: they are so many more queries of it.
    let group = heads / key_heads;
    let query = query.transpose(0, 1)?.contiguous()?.reshape((key_heads, group * time, head))?;
    let scores = (query.matmul(&memory.keys.t()?)? * (head as f64).powf(-0.5))?;
    let held = memory.keys.dim(1)?;
    let scores = match &view.mask {
        Some(mask) => {
            scores.reshape((heads, time, held))?.broadcast_add(mask)?.reshape((key_heads, (), held))?
        }
        None => scores,
    };
    let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    let attended = weights.matmul(&memory.values)?.reshape((heads, time, head))?;
    Ok((attended.transpose(0, 1)?.reshape((time, heads * head))?, memory))
}

/// Turns each neighbouring pair of a head's values by its position's angles (Su et al. 2021, the interleaved form).
fn rotate(x: &Tensor, view: &View) -> candle_core::Result<Tensor> {
    let (time, heads, head) = x.dims3()?;
    let pairs = x.reshape((time, heads, head / 2, 2))?;
    let (a, b) = (pairs.narrow(3, 0, 1)?.squeeze(3)?, pairs.narrow(3, 1, 1)?.squeeze(3)?);
    let real = (a.broadcast_mul(&view.cos)? - b.broadcast_mul(&view.sin)?)?;
    let imaginary = (a.broadcast_mul(&view.sin)? + b.broadcast_mul(&view.cos)?)?;
    Tensor::stack(&[real, imaginary], 3)?.reshape((time, heads, head))
}
