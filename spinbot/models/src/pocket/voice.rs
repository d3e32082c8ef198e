//! Voices: what the language model remembers of a recording, kept as safetensors in the layout that the PyPI package
//! exports, so that voices pass between the two.

use super::error::PocketError;
use super::file::{Tensors, refuse};
use super::lm::LanguageModel;
use super::transformer::{Cache, Memory};
use crate::error::{ModelError, Result};
use crate::kokoro::SpeakerPrints;
use candle_core::Tensor;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Positions of a voice, at most: 80 ms each.
const MAX_POSITIONS: usize = 4096;
/// The key under which our files say for which weights they were made, as JSON. One key: safetensors writes several in
/// any order, and the same voice must be the same bytes.
const MODEL: &str = "spinbot.pocket.model";

/// What is said there.
#[derive(Serialize, Deserialize)]
struct MadeWith {
    #[serde(flatten)]
    model: PocketModel,
    /// Of the weights themselves, which other files may hold too.
    fingerprint: String,
}

/// The file that a voice was made with: which of the user's models is needed to speak with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PocketModel {
    /// What the user calls it.
    pub id: String,
    /// SHA-256 of it, hex.
    pub sha256: String,
}

/// Whether these are the bytes of a voice file of pocket-tts, ours or its own, and not of another synthesiser's. Only
/// the header is looked at; whether it fits some weights is seen when it is read.
pub fn is_pocket_voice(bytes: &[u8]) -> bool {
    Tensors::from_bytes(bytes, &candle_core::Device::Cpu).is_ok_and(|w| {
        w.shape("audio_prompt").is_some() || w.count("transformer.layers.", ".self_attn/cache") > 0
    })
}

/// A voice to speak with, made from a recording or read from a file. Belongs to one set of weights. Cheap to clone.
#[derive(Clone)]
pub struct PocketVoice {
    pub(super) cache: Cache,
    pub(super) fingerprint: String,
}

impl PocketVoice {
    /// Positions that the voice takes in the model's memory, 80 ms of the recording each.
    pub fn positions(&self) -> usize {
        self.cache.position
    }

    /// The voice as safetensors: `transformer.layers.N.self_attn/cache` f32 `[2, 1, positions, heads, head]`
    /// and `.../offset` i64 `[1]`; how its speaker is heard, where that is known; and in the metadata which weights
    /// it belongs to and in which file they are.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the values cannot be brought back from the device.
    pub fn to_safetensors(&self, model: &PocketModel, speaker: Option<&SpeakerPrints>) -> Result<Vec<u8>> {
        let mut parts = Vec::new();
        for (name, print) in speaker.into_iter().flat_map(SpeakerPrints::tensors) {
            let bytes = print.iter().flat_map(|value| value.to_le_bytes()).collect();
            parts.push((name.to_owned(), Dtype::F32, vec![print.len()], bytes));
        }
        for (n, memory) in self.cache.layers.iter().enumerate() {
            let packed = pack(memory).map_err(ModelError::tensor("saving a voice"))?;
            let name = format!("transformer.layers.{n}.self_attn");
            parts.push((format!("{name}/cache"), Dtype::F32, packed.1, packed.0));
            let offset = (self.cache.position as i64).to_le_bytes().to_vec();
            parts.push((format!("{name}/offset"), Dtype::I64, vec![1], offset));
        }
        let views = parts.iter().map(|(name, dtype, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
        });
        let views = views.collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
        let made_with = MadeWith { model: model.clone(), fingerprint: self.fingerprint.clone() };
        let made_with = serde_json::to_string(&made_with)
            .map_err(|e| refuse(format!("the voice's model cannot be written: {e}")))?;
        let metadata = HashMap::from([(MODEL.to_owned(), made_with)]);
        views
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|e| refuse(format!("the voice cannot be written: {e}")))
    }

    /// Reads a voice: a saved state as above (of whichever float), or `audio_prompt` [1, n, width], the vectors of a
    /// recording before the model has read them.
    pub(super) fn read(w: &Tensors<'_>, lm: &LanguageModel) -> Result<PocketVoice> {
        let other = |reason: String| ModelError::from(PocketError::Voice { reason });
        if let Some(json) = w.metadata(MODEL) {
            let made_with: MadeWith = serde_json::from_str(json)
                .map_err(|e| other(format!("which weights it was made with cannot be read: {e}")))?;
            if made_with.fingerprint != lm.fingerprint {
                return Err(other("it was made with other weights".into()));
            }
        }
        if w.shape("audio_prompt").is_some() {
            let [_, positions, width] = w.dims::<3>("audio_prompt")?;
            if positions > MAX_POSITIONS || width != lm.transformer().width {
                return Err(other(format!("its prompt is {positions} x {width}")));
            }
            let prompt = w.get("audio_prompt", &[1, positions, width])?.squeeze(0);
            let prompt = prompt.map_err(ModelError::tensor("reading a voice"))?;
            return PocketVoice::from_prompt(&prompt, lm);
        }
        let layers = w.count("transformer.layers.", ".self_attn/cache");
        let (key_heads, head) = (lm.transformer().key_heads, lm.transformer().head);
        if layers != lm.transformer().layer_count() {
            let expected = lm.transformer().layer_count();
            return Err(other(format!("it holds {layers} layers, the model has {expected}")));
        }
        let mut cache = Cache::default();
        for n in 0..layers {
            let name = format!("transformer.layers.{n}.self_attn");
            let shape = w.dims::<5>(&format!("{name}/cache"))?;
            let position = offset(w, &name)?;
            if shape != [2, 1, shape[2], key_heads, head] || position > shape[2].min(MAX_POSITIONS) {
                return Err(other(format!(
                    "layer {n} holds {shape:?} at position {position}, the model has {key_heads} heads of {head}"
                )));
            }
            if n > 0 && position != cache.position {
                return Err(other(format!("layer {n} is at position {position}, not {}", cache.position)));
            }
            cache.position = position;
            let stored = w.any(&format!("{name}/cache"))?;
            cache.layers.push(unpack(&stored, position).map_err(ModelError::tensor("reading a voice"))?);
        }
        if cache.position == 0 {
            return Err(other("it is empty".into()));
        }
        Ok(PocketVoice { cache, fingerprint: lm.fingerprint.clone() })
    }

    /// Lets the model read the vectors [n, width] of a recording.
    pub(super) fn from_prompt(prompt: &Tensor, lm: &LanguageModel) -> Result<PocketVoice> {
        let mut cache = Cache::default();
        let read = match &lm.bos_before_voice {
            Some(first) => Tensor::cat(&[first, prompt], 0),
            None => Ok(prompt.clone()),
        };
        read.and_then(|prompt| lm.hidden(&prompt, &mut cache))
            .map_err(ModelError::tensor("reading a voice prompt"))?;
        Ok(PocketVoice { cache, fingerprint: lm.fingerprint.clone() })
    }
}

/// Where the stored state of a layer ends: a number, or in older files the length of a tensor.
fn offset(w: &Tensors<'_>, name: &str) -> Result<usize> {
    if let Some(shape) = w.shape(&format!("{name}/current_end")) {
        return Ok(shape.first().copied().unwrap_or(0));
    }
    let stored = w.get(&format!("{name}/offset"), &[1])?.to_vec1::<i64>();
    let stored = stored.map_err(ModelError::tensor("reading a voice"))?;
    let first = stored.first().copied().unwrap_or(0);
    usize::try_from(first).map_err(|_| refuse(format!("`{name}/offset` is {first}")))
}

/// A memory as the bytes and shape of [2, 1, positions, heads, head].
fn pack(memory: &Memory) -> candle_core::Result<(Vec<u8>, Vec<usize>)> {
    let order = |x: &Tensor| x.transpose(0, 1)?.unsqueeze(0);
    let both = Tensor::stack(&[order(&memory.keys)?, order(&memory.values)?], 0)?;
    let values = both.flatten_all()?.to_vec1::<f32>()?;
    Ok((values.iter().flat_map(|value| value.to_le_bytes()).collect(), both.dims().to_vec()))
}

fn unpack(stored: &Tensor, positions: usize) -> candle_core::Result<Memory> {
    let part = |n: usize| {
        let part = stored.get(n)?.get(0)?.narrow(0, 0, positions)?;
        part.transpose(0, 1)?.contiguous()
    };
    Ok(Memory { keys: part(0)?, values: part(1)? })
}
