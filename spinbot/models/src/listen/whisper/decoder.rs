//! Whisper's decoder, one token at a time: each layer's keys and values of the tokens so far are kept, those of the
//! heard sound are computed once. A step reads every weight once, which is what it costs; they stay in half precision.

use super::encoder::POSITIONS;
use super::kernels::{HalfMatrix, attend, gelu};
use super::layers::{Linear, Norm, widened};
use super::{HEAD, HEADS, QUERY_SCALE, VOCABULARY, WIDTH};
use crate::error::Result;
use crate::listen::weights::Weights;
use crate::ops::gemm::Matrix;
use rayon::prelude::*;

/// Tokens the network has places for.
pub(super) const PLACES: usize = 448;
const LAYERS: usize = 4;

pub(super) struct Decoder {
    /// [VOCABULARY, WIDTH], which also turns states into logits.
    tokens: HalfMatrix,
    /// [PLACES, WIDTH].
    places: HalfMatrix,
    layers: Vec<Layer>,
    norm: Norm,
}

struct Layer {
    attention: Attention,
    /// Keys and values of one token.
    keys: Dense,
    values: Dense,
    sound: Attention,
    /// Keys, then values, of the whole sound.
    heard: Linear,
    forward_norm: Norm,
    up: Dense,
    down: Dense,
}

/// What both attentions of a layer do alike.
struct Attention {
    norm: Norm,
    query: Dense,
    output: Dense,
}

/// A layer for one row at a time.
struct Dense {
    weights: HalfMatrix,
    /// Empty where there is none.
    bias: Vec<f32>,
}

/// Keys and values of one layer, each [HEADS, room, HEAD].
struct Remembered {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// A sound as the decoder's layers see it.
pub(super) struct Sound {
    layers: Vec<Remembered>,
}

/// A text so far, about one sound.
pub(super) struct Text<'a> {
    decoder: &'a Decoder,
    sound: &'a Sound,
    layers: Vec<Remembered>,
    length: usize,
}

impl Decoder {
    pub(super) fn read(w: &Weights) -> Result<Self> {
        let of = |what: &str| format!("model.decoder.{what}");
        let layer = |n: usize| {
            let of = |what: &str| of(&format!("layers.{n}.{what}"));
            let attention = |what: &str| {
                Ok::<_, crate::ModelError>(Attention {
                    norm: Norm::read(w, &of(&format!("{what}_layer_norm")))?,
                    query: Dense::read(w, &of(&format!("{what}.q_proj")), WIDTH, WIDTH)?,
                    output: Dense::read(w, &of(&format!("{what}.out_proj")), WIDTH, WIDTH)?,
                })
            };
            Ok(Layer {
                attention: attention("self_attn")?,
                keys: Dense::read_without_bias(w, &of("self_attn.k_proj"), WIDTH, WIDTH)?,
                values: Dense::read(w, &of("self_attn.v_proj"), WIDTH, WIDTH)?,
                sound: attention("encoder_attn")?,
                heard: Linear::side_by_side(&[
                    Linear::read_without_bias(w, &of("encoder_attn.k_proj"), WIDTH, WIDTH)?,
                    Linear::read(w, &of("encoder_attn.v_proj"), WIDTH, WIDTH)?,
                ]),
                forward_norm: Norm::read(w, &of("final_layer_norm"))?,
                up: Dense::read(w, &of("fc1"), WIDTH, 4 * WIDTH)?,
                down: Dense::read(w, &of("fc2"), 4 * WIDTH, WIDTH)?,
            })
        };
        let embedding = |name: &str, rows: usize| {
            Ok::<_, crate::ModelError>(HalfMatrix::new(WIDTH, w.halves(&of(name), &[rows, WIDTH])?))
        };
        Ok(Decoder {
            tokens: embedding("embed_tokens.weight", VOCABULARY)?,
            places: embedding("embed_positions.weight", PLACES)?,
            layers: (0..LAYERS).map(layer).collect::<Result<_>>()?,
            norm: Norm::read(w, &of("layer_norm"))?,
        })
    }

    /// A sound from the encoder's states [POSITIONS, WIDTH].
    pub(super) fn listen(&self, states: &[f32]) -> Sound {
        let layer = |layer: &Layer| {
            let mut both = vec![0.0; POSITIONS * 2 * WIDTH];
            layer.heard.apply(&mut both, Matrix::by_rows(states, POSITIONS, WIDTH, WIDTH));
            let mut remembered = Remembered::with_room(POSITIONS);
            for (position, both) in both.chunks_exact(2 * WIDTH).enumerate() {
                remembered.put(position, both);
            }
            remembered
        };
        Sound { layers: self.layers.par_iter().map(layer).collect() }
    }

    /// An empty text about that sound.
    pub(super) fn text<'a>(&'a self, sound: &'a Sound) -> Text<'a> {
        let layers = self.layers.iter().map(|_| Remembered::with_room(PLACES)).collect();
        Text { decoder: self, sound, layers, length: 0 }
    }
}

impl Text<'_> {
    /// Appends a token, at most [`PLACES`]; gives the state from which the next one follows.
    pub(super) fn push(&mut self, token: u32) -> [f32; WIDTH] {
        let decoder = self.decoder;
        let mut x = [0.0; WIDTH];
        let embedded = decoder.tokens.row(token as usize).zip(decoder.places.row(self.length));
        x.iter_mut().zip(embedded).for_each(|(x, (token, place))| *x = token + place);
        let mut scores = [0.0; POSITIONS];
        let layers = decoder.layers.iter().zip(&mut self.layers).zip(&self.sound.layers);
        for ((layer, text), sound) in layers {
            let normal = normalised(&layer.attention.norm, &x);
            let mut both = [0.0; 2 * WIDTH];
            let (key, value) = both.split_at_mut(WIDTH);
            layer.keys.apply(key, &normal);
            layer.values.apply(value, &normal);
            text.put(self.length, &both);
            layer.attention.add_to(&mut x, &normal, text, &mut scores[..self.length + 1]);
            let normal = normalised(&layer.sound.norm, &x);
            layer.sound.add_to(&mut x, &normal, sound, &mut scores);
            let normal = normalised(&layer.forward_norm, &x);
            let (mut inner, mut out) = ([0.0; 4 * WIDTH], [0.0; WIDTH]);
            layer.up.apply(&mut inner, &normal);
            gelu(&mut inner);
            layer.down.apply(&mut out, &inner);
            x.iter_mut().zip(out).for_each(|(x, out)| *x += out);
        }
        self.length += 1;
        normalised(&decoder.norm, &x)
    }

    /// The logits of all tokens after a state.
    pub(super) fn logits(&self, state: &[f32; WIDTH]) -> Vec<f32> {
        let mut logits = vec![0.0; VOCABULARY];
        self.decoder.tokens.multiply_by_all(&mut logits, state);
        logits
    }
}

fn normalised(norm: &Norm, x: &[f32; WIDTH]) -> [f32; WIDTH] {
    let mut normal = [0.0; WIDTH];
    norm.apply(&mut normal, x);
    normal
}

impl Attention {
    /// Adds to `x` what its normalised state finds among the first `scores.len()` remembered.
    fn add_to(&self, x: &mut [f32; WIDTH], normal: &[f32; WIDTH], among: &Remembered, scores: &mut [f32]) {
        let (mut query, mut found, mut out) = ([0.0; WIDTH], [0.0; WIDTH], [0.0; WIDTH]);
        self.query.apply(&mut query, normal);
        query.iter_mut().for_each(|x| *x *= QUERY_SCALE);
        let room = among.keys.len() / HEADS;
        let heads = query.chunks_exact(HEAD).zip(found.chunks_exact_mut(HEAD));
        let remembered = among.keys.chunks_exact(room).zip(among.values.chunks_exact(room));
        for ((query, found), (keys, values)) in heads.zip(remembered) {
            attend(found, query, keys, values, scores);
        }
        self.output.apply(&mut out, &found);
        x.iter_mut().zip(out).for_each(|(x, out)| *x += out);
    }
}

impl Remembered {
    fn with_room(room: usize) -> Self {
        Remembered { keys: vec![0.0; room * WIDTH], values: vec![0.0; room * WIDTH] }
    }

    /// Keys, then values, of all heads at one place.
    fn put(&mut self, place: usize, both: &[f32]) {
        let room = self.keys.len() / WIDTH;
        let (key, value) = both.split_at(WIDTH);
        for (all, one) in [(&mut self.keys, key), (&mut self.values, value)] {
            for (all, one) in all.chunks_exact_mut(room * HEAD).zip(one.chunks_exact(HEAD)) {
                all[place * HEAD..(place + 1) * HEAD].copy_from_slice(one);
            }
        }
    }
}

impl Dense {
    fn read(w: &Weights, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let bias = widened(w, &format!("{name}.bias"), &[outputs])?;
        Ok(Dense { bias, ..Dense::read_without_bias(w, name, inputs, outputs)? })
    }

    fn read_without_bias(w: &Weights, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let weights = w.halves(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok(Dense { weights: HalfMatrix::new(inputs, weights), bias: Vec::new() })
    }

    fn apply(&self, out: &mut [f32], x: &[f32]) {
        self.weights.multiply(out, x, &self.bias);
    }
}

#[cfg(test)]
mod without_memory {
    use super::*;

    impl Decoder {
        /// The last token's state, everything computed for all tokens at once and attended to by the formula.
        pub(in super::super) fn whole_text(&self, sound: &Sound, tokens: &[u32]) -> Vec<f32> {
            let dense = |layer: &Dense, rows: &[Vec<f32>]| -> Vec<Vec<f32>> {
                let outputs = layer.weights.row_count();
                let apply = |x: &Vec<f32>| {
                    let mut out = vec![0.0; outputs];
                    layer.apply(&mut out, x);
                    out
                };
                rows.iter().map(apply).collect()
            };
            let norm = |norm: &Norm, rows: &[Vec<f32>]| -> Vec<Vec<f32>> {
                let apply = |x: &Vec<f32>| {
                    let mut out = vec![0.0; WIDTH];
                    norm.apply(&mut out, x);
                    out
                };
                rows.iter().map(apply).collect()
            };
            let add = |x: &mut [Vec<f32>], found: Vec<Vec<f32>>| {
                x.iter_mut().flatten().zip(found.into_iter().flatten()).for_each(|(x, found)| *x += found);
            };
            let embedded = tokens.iter().enumerate().map(|(n, &token)| {
                self.tokens.row(token as usize).zip(self.places.row(n)).map(|(a, b)| a + b).collect()
            });
            let mut x: Vec<Vec<f32>> = embedded.collect();
            for (layer, sound) in self.layers.iter().zip(&sound.layers) {
                let normal = norm(&layer.attention.norm, &x);
                let (keys, values) = (dense(&layer.keys, &normal), dense(&layer.values, &normal));
                let queries = dense(&layer.attention.query, &normal);
                let places = 0..x.len();
                let found = places.map(|n| mean_value(&queries[n], &keys[..=n], &values[..=n]));
                add(&mut x, dense(&layer.attention.output, &Vec::from_iter(found)));
                let by_position = |all: &[f32]| -> Vec<Vec<f32>> {
                    let row = |t: usize| {
                        let head = |h: usize| all[(h * POSITIONS + t) * HEAD..][..HEAD].to_vec();
                        (0..HEADS).flat_map(head).collect()
                    };
                    (0..POSITIONS).map(row).collect()
                };
                let (keys, values) = (by_position(&sound.keys), by_position(&sound.values));
                let queries = dense(&layer.sound.query, &norm(&layer.sound.norm, &x));
                let found: Vec<_> = queries.iter().map(|query| mean_value(query, &keys, &values)).collect();
                add(&mut x, dense(&layer.sound.output, &found));
                let mut inner = dense(&layer.up, &norm(&layer.forward_norm, &x));
                inner.iter_mut().for_each(|row| gelu(row));
                add(&mut x, dense(&layer.down, &inner));
            }
            norm(&self.norm, &x).pop().unwrap_or_default()
        }
    }

    /// softmax(query · keys / sqrt(HEAD)) · values of each head, in f64.
    fn mean_value(query: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>]) -> Vec<f32> {
        let of_head = |n: usize| {
            let head = n / HEAD * HEAD..(n / HEAD + 1) * HEAD;
            let weight = |key: &Vec<f32>| {
                let product = key[head.clone()].iter().zip(&query[head.clone()]);
                let product: f64 = product.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                (product / (HEAD as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = keys.iter().map(weight).collect();
            let sum: f64 =
                weights.iter().zip(values).map(|(weight, value)| weight * f64::from(value[n])).sum();
            (sum / weights.iter().sum::<f64>()) as f32
        };
        (0..query.len()).map(of_head).collect()
    }
}
