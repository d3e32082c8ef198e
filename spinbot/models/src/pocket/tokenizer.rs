//! From text to token ids with the user's tokenizer file, of either format that the releases come with.

use super::error::PocketError;
use super::spm::SentencePiece;
use crate::error::{ModelError, Result};
use std::path::{Path, PathBuf};

/// The largest tokenizer file believed; the releases' have under 1 MB.
const MAX_FILE: u64 = 32 << 20;

enum Kind {
    Json(Box<tokenizers::Tokenizer>),
    SentencePiece(Box<SentencePiece>),
}

pub(super) struct Tokenizer {
    kind: Kind,
    path: PathBuf,
}

impl Tokenizer {
    /// Opens `tokenizer.json` or, with any other extension, a SentencePiece model.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let refuse = |reason: String| PocketError::Tokenizer { path: path.to_owned(), reason };
        let length = path.metadata().map_err(ModelError::io("reading", path))?.len();
        if length > MAX_FILE {
            return Err(refuse(format!("it has {length} bytes, {MAX_FILE} at most")).into());
        }
        let bytes = std::fs::read(path).map_err(ModelError::io("reading", path))?;
        let kind = if path.extension().is_some_and(|extension| extension == "json") {
            let tokenizer = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| refuse(e.to_string()))?;
            Kind::Json(Box::new(tokenizer))
        } else {
            Kind::SentencePiece(Box::new(SentencePiece::read(&bytes).map_err(refuse)?))
        };
        Ok(Tokenizer { kind, path: path.to_owned() })
    }

    /// Refuses a tokenizer that belongs to a text table of another size.
    pub(super) fn check(&self, expected: usize) -> Result<()> {
        let tokens = match &self.kind {
            Kind::Json(tokenizer) => tokenizer.get_vocab_size(true),
            Kind::SentencePiece(model) => model.len(),
        };
        if tokens == expected {
            return Ok(());
        }
        Err(self.refuse(format!("it has {tokens} pieces, the weights know {expected}")))
    }

    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match &self.kind {
            Kind::Json(tokenizer) => match tokenizer.encode(text, true) {
                Ok(encoding) => Ok(encoding.get_ids().to_vec()),
                Err(e) => Err(self.refuse(e.to_string())),
            },
            Kind::SentencePiece(model) => model.encode(text).map_err(|e| self.refuse(e)),
        }
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String> {
        match &self.kind {
            Kind::Json(tokenizer) => tokenizer.decode(ids, true).map_err(|e| self.refuse(e.to_string())),
            Kind::SentencePiece(model) => Ok(model.decode(ids)),
        }
    }

    fn refuse(&self, reason: String) -> ModelError {
        PocketError::Tokenizer { path: self.path.clone(), reason }.into()
    }
}
