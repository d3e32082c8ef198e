//! What may follow, token by token, for a text to fit a JSON schema: llguidance parses, this asks it.

use super::tokens::Tokens;
use crate::error::{ModelError, Result};
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, SimpleVob, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;
use std::sync::Arc;

/// A vocabulary, indexed once for all schemas.
pub(super) struct Grammars {
    factory: ParserFactory,
}

/// A schema and how much of a text that fits it has been written.
pub(super) struct Constraint {
    matcher: Matcher,
}

impl Grammars {
    /// Of a vocabulary padded to `size`, as many as the network has outputs.
    pub(super) fn new(tokens: &Tokens, size: usize) -> Result<Self> {
        let word = |id: usize| match tokens.pieces().get(id) {
            Some(piece) if !piece.is_empty() => piece.clone(),
            // Marked, no grammar takes it for text.
            _ => {
                let name = u32::try_from(id).ok().and_then(|id| tokens.control_text(id));
                let name = name.unwrap_or_else(|| format!("<[{id}]>"));
                [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat()
            }
        };
        let words: Vec<Vec<u8>> = (0..size).map(word).collect();
        let end = tokens.ends().first().copied().unwrap_or_default();
        let vocabulary = u32::try_from(size).unwrap_or(u32::MAX);
        let trie = TokTrie::from(&TokRxInfo::new(vocabulary, end), &words);
        let environment: Arc<_> = Arc::new(ApproximateTokEnv::new(trie));
        let environment: llguidance::toktrie::TokEnv = environment;
        let mut factory = ParserFactory::new_simple(&environment).map_err(refused)?;
        factory.quiet();
        Ok(Grammars { factory })
    }

    /// Texts that fit a JSON schema, without spaces between their parts.
    pub(super) fn schema(&self, schema: &Value) -> Result<Constraint> {
        let mut schema = schema.clone();
        if let Some(object) = schema.as_object_mut() {
            object.insert("x-guidance".into(), serde_json::json!({"whitespace_flexible": false}));
        }
        let parser =
            self.factory.create_parser(TopLevelGrammar::from_json_schema(schema)).map_err(refused)?;
        Ok(Constraint { matcher: Matcher::new(Ok(parser)) })
    }
}

impl Constraint {
    /// The tokens that may follow.
    pub(super) fn allowed(&mut self) -> Result<SimpleVob> {
        self.matcher.compute_mask_or_eos().map_err(refused)
    }

    /// Takes note of the token that follows.
    pub(super) fn wrote(&mut self, token: u32) -> Result<()> {
        self.matcher.consume_token(token).map_err(refused)
    }

    /// Whether the text is whole and nothing may follow.
    pub(super) fn complete(&self) -> bool {
        self.matcher.is_stopped()
    }
}

fn refused(error: impl std::fmt::Display) -> ModelError {
    ModelError::Language {
        reason: format!("the form of its answer: {error}"),
        advice: "this is a fault of SpinBot's, or of the model's vocabulary: try another model".into(),
    }
}
