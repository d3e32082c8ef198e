//! The network: a decoder of Llama's family with its memory of what it has read.
//!
//! Llama (also Mistral and SmolLM2), Qwen2 and Qwen3 are one network with three differences: how positions are turned
//! into the queries and keys, whether those have biases, and whether their heads are normalised.

use super::gguf::GgufFile;
use crate::error::{ModelError, Result};
use crate::ops::Quantized;
use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::{rope, rope_i};

/// Layers, width, heads, context and vocabulary that are believed; the largest open models stay below.
const MOST: [usize; 5] = [256, 1 << 15, 1 << 10, 1 << 20, 1 << 20];
/// Longest text in tokens whose memory is kept, whatever context the model claims.
const LONGEST: usize = 32 << 10;
/// Tokens the memory grows by.
const GROWTH: usize = 512;

/// What a file says of its network.
#[derive(Debug, Clone, PartialEq)]
struct Shape {
    layers: usize,
    width: usize,
    inner: usize,
    heads: usize,
    /// Heads of keys and values, each shared by `heads / kv_heads` heads of queries.
    kv_heads: usize,
    head: usize,
    /// Tokens it can read at most.
    context: usize,
    epsilon: f32,
    /// Base of the wavelengths of positions.
    base: f64,
    /// What positions are divided by.
    stretch: f64,
    vocabulary: usize,
    family: Family,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Positions turn neighbouring numbers.
    Llama,
    /// Positions turn numbers half a head apart; queries, keys and values have biases.
    Qwen2,
    /// Positions as in Qwen2; heads of queries and keys are normalised.
    Qwen3,
}

impl Shape {
    fn of(file: &GgufFile) -> Result<Self> {
        let named = file.text("general.architecture")?.to_owned();
        let family = match named.as_str() {
            "llama" => Family::Llama,
            "qwen2" => Family::Qwen2,
            "qwen3" => Family::Qwen3,
            _ => {
                return Err(ModelError::Language {
                    reason: format!("this is a model of the family `{named}`, which is not computed here"),
                    advice: "take one of Llama's, Mistral's, Qwen2's or Qwen3's family, or let Ollama compute it: \
                             `--llm ollama:NAME`"
                        .into(),
                });
            }
        };
        let key = |name: &str| format!("{named}.{name}");
        if file.has(&key("expert_count")) && file.count(&key("expert_count"), usize::MAX)? > 0 {
            return Err(ModelError::Language {
                reason: "this model is a mixture of experts, which is not computed here".into(),
                advice: "take a dense model, or let Ollama compute it: `--llm ollama:NAME`".into(),
            });
        }
        let [most_layers, most_width, most_heads, most_context, most_words] = MOST;
        let count = |name: &str, most: usize| file.count(&key(name), most);
        let (width, heads) =
            (count("embedding_length", most_width)?, count("attention.head_count", most_heads)?);
        let kv_heads = match file.has(&key("attention.head_count_kv")) {
            true => count("attention.head_count_kv", most_heads)?,
            false => heads,
        };
        if heads == 0 || kv_heads == 0 || !heads.is_multiple_of(kv_heads) || width == 0 {
            return Err(file.wrong(format!("{heads} heads on {kv_heads} of keys, of {width} numbers")));
        }
        let head = match file.has(&key("attention.key_length")) {
            true => count("attention.key_length", most_width)?,
            false => width / heads,
        };
        let turned = match file.has(&key("rope.dimension_count")) {
            true => count("rope.dimension_count", most_width)?,
            false => head,
        };
        if turned != head || !head.is_multiple_of(2) || head == 0 {
            return Err(
                file.wrong(format!("positions turn {turned} of a head's {head} numbers, expected all"))
            );
        }
        let stretch = match file.has(&key("rope.scaling.type")).then(|| file.text(&key("rope.scaling.type")))
        {
            Some(Ok("linear")) => file.number(&key("rope.scaling.factor"))?,
            Some(Ok("none")) | None => 1.0,
            Some(other) => {
                return Err(ModelError::Language {
                    reason: format!("its positions are scaled by `{}`, which is not computed here", other?),
                    advice: "take a variant without it, or let Ollama compute it: `--llm ollama:NAME`".into(),
                });
            }
        };
        let base = match file.has(&key("rope.freq_base")) {
            true => file.number(&key("rope.freq_base"))?,
            false => 10_000.0,
        };
        if !(base.is_finite() && base > 1.0 && stretch.is_finite() && stretch > 0.0) {
            return Err(file.wrong(format!("wavelengths on the base {base}, stretched {stretch} times")));
        }
        let vocabulary = file.texts("tokenizer.ggml.tokens")?.len();
        if vocabulary == 0 || vocabulary > most_words {
            return Err(file.wrong(format!("it has {vocabulary} tokens, expected 1 to {most_words}")));
        }
        Ok(Shape {
            layers: count("block_count", most_layers)?,
            width,
            inner: count("feed_forward_length", most_width * 8)?,
            heads,
            kv_heads,
            head,
            context: count("context_length", most_context)?.clamp(1, LONGEST),
            epsilon: file.number(&key("attention.layer_norm_rms_epsilon"))? as f32,
            base,
            stretch,
            vocabulary,
            family,
        })
    }
}

/// A projection with its bias, where it has one.
struct Linear {
    weight: Quantized,
    bias: Option<Tensor>,
}

impl Linear {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = self.weight.forward(x)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

struct Layer {
    before_attention: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    /// Gains of the heads of queries and of keys.
    head_norms: Option<(Tensor, Tensor)>,
    output: Quantized,
    before_inner: Tensor,
    gate: Quantized,
    up: Quantized,
    down: Quantized,
}

/// Keys and values of what was read, `[kv_heads, room, head]` each.
struct Memory {
    keys: Tensor,
    values: Tensor,
}

/// The network and what it has read.
pub(super) struct Decoder {
    shape: Shape,
    device: Device,
    embedding: Quantized,
    layers: Vec<Layer>,
    last_norm: Tensor,
    /// Nothing where the embedding serves both ends.
    head: Option<Quantized>,
    /// What each wavelength is divided by besides (Llama 3.1 and later).
    factors: Option<Vec<f32>>,
    memory: Vec<Memory>,
    room: usize,
    /// cos and sin of the positions there is room for, `[room, head / 2]`.
    turns: Option<(Tensor, Tensor)>,
    read: usize,
}

impl Decoder {
    pub(super) fn load(file: &mut GgufFile, device: &Device) -> Result<Self> {
        let shape = Shape::of(file)?;
        let s = shape.clone();
        let (queries, keys) = (s.heads * s.head, s.kv_heads * s.head);
        let biased = s.family == Family::Qwen2;
        let embedding = matrix(file, "token_embd.weight", [s.vocabulary, s.width], device)?;
        let mut layers = Vec::with_capacity(s.layers);
        for n in 0..s.layers {
            let name = |part: &str| format!("blk.{n}.{part}");
            let mut linear = |part: &str, rows: usize| {
                let weight = matrix(file, &name(&format!("{part}.weight")), [rows, s.width], device)?;
                let bias = match biased {
                    true => Some(file.vector(&name(&format!("{part}.bias")), rows, device)?),
                    false => None,
                };
                Ok::<Linear, ModelError>(Linear { weight, bias })
            };
            let (query, key, value) =
                (linear("attn_q", queries)?, linear("attn_k", keys)?, linear("attn_v", keys)?);
            let head_norms = match s.family {
                Family::Qwen3 => Some((
                    file.vector(&name("attn_q_norm.weight"), s.head, device)?,
                    file.vector(&name("attn_k_norm.weight"), s.head, device)?,
                )),
                Family::Llama | Family::Qwen2 => None,
            };
            layers.push(Layer {
                before_attention: file.vector(&name("attn_norm.weight"), s.width, device)?,
                query,
                key,
                value,
                head_norms,
                output: matrix(file, &name("attn_output.weight"), [s.width, queries], device)?,
                before_inner: file.vector(&name("ffn_norm.weight"), s.width, device)?,
                gate: matrix(file, &name("ffn_gate.weight"), [s.inner, s.width], device)?,
                up: matrix(file, &name("ffn_up.weight"), [s.inner, s.width], device)?,
                down: matrix(file, &name("ffn_down.weight"), [s.width, s.inner], device)?,
            });
        }
        let factors = match file.has_tensor("rope_freqs.weight") {
            true => {
                let factors = file.vector("rope_freqs.weight", s.head / 2, device)?;
                Some(factors.to_vec1().map_err(ModelError::tensor("reading the factors of positions"))?)
            }
            false => None,
        };
        let head = match file.has_tensor("output.weight") {
            true => Some(matrix(file, "output.weight", [s.vocabulary, s.width], device)?),
            false => None,
        };
        Ok(Decoder {
            last_norm: file.vector("output_norm.weight", s.width, device)?,
            shape,
            device: device.clone(),
            embedding,
            layers,
            head,
            factors,
            memory: Vec::new(),
            room: 0,
            turns: None,
            read: 0,
        })
    }

    /// Tokens it can read at most.
    pub(super) fn context(&self) -> usize {
        self.shape.context
    }

    /// Numbers that [`Decoder::forward`] gives.
    pub(super) fn vocabulary(&self) -> usize {
        self.shape.vocabulary
    }

    /// Tokens it has read.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    /// Forgets all but the first tokens.
    pub(super) fn rewind(&mut self, to: usize) {
        self.read = self.read.min(to);
    }

    /// Reads tokens and gives the logits of what may follow the last of them.
    pub(super) fn forward(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let total = self.read + tokens.len();
        if tokens.is_empty() || total > self.shape.context {
            return Err(ModelError::Language {
                reason: format!("the text has {total} tokens, the model reads 1 to {}", self.shape.context),
                advice: "make it shorter".into(),
            });
        }
        // In the pool as a whole: from outside of it each of two hundred products would wake it and wait.
        let logits = rayon::scope(|_| self.compute(tokens)).map_err(ModelError::tensor("reading a text"))?;
        self.read = total;
        Ok(logits)
    }

    fn compute(&mut self, tokens: &[u32]) -> candle_core::Result<Vec<f32>> {
        self.make_room(self.read + tokens.len())?;
        let count = tokens.len();
        let Some((cos, sin)) = &self.turns else { candle_core::bail!("no room was made") };
        let turns = (cos.narrow(0, self.read, count)?, sin.narrow(0, self.read, count)?);
        let mask = match count {
            1 => None,
            _ => Some(mask(self.read, count, &self.device)?),
        };
        let epsilon = self.shape.epsilon;
        let mut x = self.embedding.look_up(tokens)?;
        for (layer, memory) in self.layers.iter().zip(&self.memory) {
            let inner = rms_norm(&x, &layer.before_attention, epsilon)?;
            let attended = attend(&self.shape, layer, memory, &inner, self.read, &turns, mask.as_ref())?;
            x = (x + layer.output.forward(&attended)?)?;
            let inner = rms_norm(&x, &layer.before_inner, epsilon)?;
            let gated = (silu(&layer.gate.forward(&inner)?)? * layer.up.forward(&inner)?)?;
            x = (x + layer.down.forward(&gated)?)?;
        }
        let last = rms_norm(&x.narrow(0, count - 1, 1)?.contiguous()?, &self.last_norm, epsilon)?;
        let logits = self.head.as_ref().unwrap_or(&self.embedding).forward(&last)?;
        logits.squeeze(0)?.to_dtype(DType::F32)?.to_vec1()
    }

    fn make_room(&mut self, tokens: usize) -> candle_core::Result<()> {
        if tokens <= self.room {
            return Ok(());
        }
        let room = tokens.next_multiple_of(GROWTH).min(self.shape.context).max(tokens);
        let Shape { kv_heads, head, .. } = self.shape;
        let zeros = || Tensor::zeros((kv_heads, room, head), DType::F32, &self.device);
        let mut memory = Vec::with_capacity(self.layers.len());
        for n in 0..self.layers.len() {
            let new = Memory { keys: zeros()?, values: zeros()? };
            if let Some(old) = self.memory.get(n).filter(|_| self.read > 0) {
                new.keys.slice_set(&old.keys.narrow(1, 0, self.read)?.contiguous()?, 1, 0)?;
                new.values.slice_set(&old.values.narrow(1, 0, self.read)?.contiguous()?, 1, 0)?;
            }
            memory.push(new);
        }
        self.memory = memory;
        self.turns = Some(self.turns_of(room)?);
        self.room = room;
        Ok(())
    }

    /// Rotary positions (Su et al. 2021).
    fn turns_of(&self, room: usize) -> candle_core::Result<(Tensor, Tensor)> {
        let half = self.shape.head / 2;
        let frequency = |n: usize| {
            let factor = self.factors.as_ref().map_or(1.0, |factors| f64::from(factors[n]));
            self.shape.base.powf(-(n as f64) / half as f64) / factor / self.shape.stretch
        };
        let frequencies: Vec<f64> = (0..half).map(frequency).collect();
        let angles = (0..room).flat_map(|at| frequencies.iter().map(move |f| at as f64 * f));
        let (sin, cos): (Vec<f32>, Vec<f32>) =
            angles.map(|angle| (angle.sin() as f32, angle.cos() as f32)).unzip();
        let tensor = |values| Tensor::from_vec(values, (room, half), &self.device);
        Ok((tensor(cos)?, tensor(sin)?))
    }
}

fn matrix(file: &mut GgufFile, name: &str, shape: [usize; 2], device: &Device) -> Result<Quantized> {
    let stored = file.tensor(name, &shape, device)?;
    Quantized::new(stored).map_err(|e| file.wrong(format!("the tensor `{name}`: {e}")))
}

/// What may not be seen: 0 for a token's past and itself, -∞ for what follows it; `[count, before + count]`.
fn mask(before: usize, count: usize, device: &Device) -> candle_core::Result<Tensor> {
    let row = |n: usize| {
        (0..before + count).map(move |seen| if seen > before + n { f32::NEG_INFINITY } else { 0.0 })
    };
    let values: Vec<f32> = (0..count).flat_map(row).collect();
    Tensor::from_vec(values, (count, before + count), device)
}

/// Attention of new tokens to all that were read and to themselves; `[count, heads·head]`.
fn attend(
    shape: &Shape,
    layer: &Layer,
    memory: &Memory,
    x: &Tensor,
    before: usize,
    (cos, sin): &(Tensor, Tensor),
    mask: Option<&Tensor>,
) -> candle_core::Result<Tensor> {
    let Shape { heads, kv_heads, head, .. } = *shape;
    let (count, shared, total) = (x.dim(0)?, heads / kv_heads, before + x.dim(0)?);
    let turned = |projection: &Linear, heads: usize, gain: Option<&Tensor>| {
        let mut y = projection.forward(x)?.reshape((1, count, heads, head))?;
        if let Some(gain) = gain {
            y = rms_norm(&y.contiguous()?, gain, shape.epsilon)?;
        }
        let y = y.transpose(1, 2)?.contiguous()?;
        match shape.family {
            Family::Llama => rope_i(&y, cos, sin),
            Family::Qwen2 | Family::Qwen3 => rope(&y, cos, sin),
        }
    };
    let norms = layer.head_norms.as_ref();
    let queries = turned(&layer.query, heads, norms.map(|norms| &norms.0))?;
    let keys = turned(&layer.key, kv_heads, norms.map(|norms| &norms.1))?;
    let values = layer.value.forward(x)?.reshape((count, kv_heads, head))?.transpose(0, 1)?.contiguous()?;
    memory.keys.slice_set(&keys.squeeze(0)?, 1, before)?;
    memory.values.slice_set(&values, 1, before)?;
    let (keys, values) = (memory.keys.narrow(1, 0, total)?, memory.values.narrow(1, 0, total)?);
    let queries = (queries.reshape((kv_heads, shared * count, head))? / (head as f64).sqrt())?;
    let mut scores = queries.matmul(&keys.transpose(1, 2)?)?;
    if let Some(mask) = mask {
        let apart = scores.reshape((kv_heads, shared, count, total))?;
        scores = apart.broadcast_add(mask)?.reshape((kv_heads, shared * count, total))?;
    }
    let weights = softmax_last_dim(&scores)?;
    let out = weights.matmul(&values)?.reshape((heads, count, head))?;
    out.transpose(0, 1)?.contiguous()?.flatten_from(D::Minus2)
}
