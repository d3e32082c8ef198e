//! A word's own embeddings in a LoRA's file, under the names that A1111 reads: `bundle_emb.WORD.string_to_param.*`, for
//! models with two text encoders `bundle_emb.WORD.clip_l` and `.clip_g`.

use crate::error::{ModelError, Result};
use crate::tensor_file::TensorFile;
use candle_core::{DType, Tensor};

const BUNDLE: &str = "bundle_emb.";

/// A word and what it stands for.
#[derive(Debug, Clone)]
pub struct TriggerEmbedding {
    /// The word.
    pub word: String,
    /// For each text encoder `[vectors, channels]`, f32.
    pub vectors: Vec<Tensor>,
}

impl TriggerEmbedding {
    pub(super) fn named(&self) -> Vec<(String, Tensor)> {
        let ends: &[&str] =
            if self.vectors.len() > 1 { &["clip_l", "clip_g"] } else { &["string_to_param.*"] };
        let name = |end: &&str| format!("{BUNDLE}{}.{end}", self.word);
        ends.iter().map(name).zip(self.vectors.iter().cloned()).collect()
    }

    pub(super) fn is_part(name: &str) -> bool {
        name.starts_with(BUNDLE)
    }

    pub(super) fn read(tensors: &TensorFile<'_>) -> Result<Option<TriggerEmbedding>> {
        let mut found: Option<TriggerEmbedding> = None;
        for end in [".string_to_param.*", ".clip_l", ".clip_g"] {
            let word_of = |name: &str| Some(name.strip_prefix(BUNDLE)?.strip_suffix(end)?.to_owned());
            let Some((name, word)) = tensors.names().find_map(|name| Some((name.to_owned(), word_of(name)?)))
            else {
                continue;
            };
            let vectors = tensors.stored(&name)?.to_dtype(DType::F32);
            let vectors = vectors.map_err(ModelError::tensor("reading a LoRA"))?;
            if vectors.rank() != 2 {
                let reason = format!("`{name}` is {:?}, expected rows of embeddings", vectors.dims());
                return Err(ModelError::Weights { model: "LoRA".into(), reason });
            }
            found.get_or_insert_with(|| TriggerEmbedding { word, vectors: Vec::new() }).vectors.push(vectors);
        }
        Ok(found)
    }
}
