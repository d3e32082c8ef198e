//! A tokenizer with its text encoder: prompts in, weighted states out.

use super::tokenizer::Chunk;
use super::{ClipText, ClipTokenizer, HiddenState, TextStates};
use crate::diffusion::adapters::Adapters;
use crate::error::{ModelError, Result};
use candle_core::{DType, Tensor};

/// By how much the mean of a prompt's states may be off for it to be restored. CLIP's means lie near zero, where a
/// ratio of two of them says nothing and would blow the states up.
const RESTORABLE: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// A text encoder and the tokenizer that belongs to it.
pub struct TextEncoder {
    /// The tokenizer.
    pub tokenizer: ClipTokenizer,
    /// The network.
    pub model: ClipText,
    /// Embeddings of the tokenizer's trigger words, `[n, channels]`.
    pub triggers: Option<Tensor>,
}

impl TextEncoder {
    /// An encoder without trigger words.
    pub fn new(tokenizer: ClipTokenizer, model: ClipText) -> Self {
        TextEncoder { tokenizer, model, triggers: None }
    }

    /// Lets a word stand for those embeddings, `[vectors, channels]`; where it has as many already, in their place.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when they have other channels or the word has another number of them.
    pub fn teach(&mut self, word: &str, vectors: &Tensor) -> Result<()> {
        let build = |encoder: &mut Self| -> candle_core::Result<Tensor> {
            let count = vectors.dim(0)?;
            let ids = encoder.tokenizer.add_trigger(word, count as u32);
            let place = ids.start as usize - encoder.model.config().vocab_size;
            if ids.len() != count {
                candle_core::bail!("`{word}` has {} embeddings already", ids.len());
            }
            match &encoder.triggers {
                None => Ok(vectors.clone()),
                Some(known) if place == known.dim(0)? => Tensor::cat(&[known, vectors], 0),
                Some(known) => known.slice_scatter(vectors, 0, place),
            }
        };
        self.triggers = Some(build(self).map_err(ModelError::tensor("teaching a word"))?);
        Ok(())
    }

    /// How many chunks the longest of these prompts has.
    ///
    /// # Errors
    /// [`ModelError::Prompt`] when one is too long.
    pub fn chunks(&self, prompts: &[&str]) -> Result<usize> {
        let counts = prompts.iter().map(|prompt| Ok(self.tokenizer.chunks(prompt)?.len()));
        counts.collect::<Result<Vec<_>>>().map(|counts| counts.into_iter().max().unwrap_or(1))
    }

    /// The states of prompts in the webui's syntax: `(word:1.3)`, `[word]`, `BREAK`. Each chunk of a prompt is a pass of
    /// its own, and their states follow one another; prompts of fewer than `chunks` chunks get empty ones behind.
    /// Weights multiply the states of their tokens, and a chunk's mean is restored then. `hidden` is
    /// `[prompts, chunks·length, channels]`, `pooled` that of the first chunks.
    ///
    /// # Errors
    /// [`ModelError::Prompt`] when a prompt has more chunks than that or cannot be read, [`ModelError::Tensor`] when
    /// the device fails.
    pub fn encode(
        &self,
        prompts: &[&str],
        chunks: usize,
        state: HiddenState,
        adapters: &Adapters,
    ) -> Result<TextStates> {
        let mut passes: Vec<Chunk> = Vec::with_capacity(prompts.len() * chunks);
        for prompt in prompts {
            let own = self.tokenizer.chunks(prompt)?;
            if own.len() > chunks {
                return Err(ModelError::Prompt {
                    reason: format!("it has {} chunks, {chunks} at most", own.len()),
                    advice: "shorten it".into(),
                });
            }
            passes.extend(own);
            passes.resize_with(passes.len().next_multiple_of(chunks.max(1)), || self.tokenizer.empty());
        }
        let ids: Vec<Vec<u32>> = passes.iter().map(|pass| pass.ids.clone()).collect();
        let TextStates { hidden, pooled } =
            self.model.forward(&ids, state, self.triggers.as_ref(), adapters)?;
        let build = || -> candle_core::Result<TextStates> {
            let hidden = (passes.iter().enumerate())
                .map(|(row, pass)| weighted(&hidden.get(row)?, &pass.weights))
                .collect::<candle_core::Result<Vec<_>>>()?;
            let hidden = Tensor::cat(&hidden, 0)?.reshape((
                prompts.len(),
                chunks * self.tokenizer.length(),
                self.model.config().hidden_size,
            ))?;
            let first = |pooled: Tensor| {
                let width = pooled.dim(1)?;
                pooled.reshape((prompts.len(), chunks, width))?.narrow(1, 0, 1)?.squeeze(1)
            };
            Ok(TextStates { hidden, pooled: pooled.map(first).transpose()? })
        };
        build().map_err(ModelError::tensor("weighing a prompt"))
    }
}

/// `[tokens, channels]` times their weights, brought back to the mean they had.
fn weighted(hidden: &Tensor, weights: &[f32]) -> candle_core::Result<Tensor> {
    if weights.iter().all(|&weight| weight == 1.0) {
        return Ok(hidden.clone());
    }
    let mean = |x: &Tensor| -> candle_core::Result<f64> {
        Ok(f64::from(x.to_dtype(DType::F32)?.mean_all()?.to_scalar::<f32>()?))
    };
    let weights = Tensor::from_slice(weights, (weights.len(), 1), hidden.device())?;
    let weighed = hidden.broadcast_mul(&weights.to_dtype(hidden.dtype())?)?;
    let ratio = mean(hidden)? / mean(&weighed)?;
    if RESTORABLE.contains(&ratio) { weighed * ratio } else { Ok(weighed) }
}
