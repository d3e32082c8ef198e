//! What can be wrong with what the user brings to pocket-tts, and the way out of each.
//!
//! A damaged weight file is [`ModelError::Weights`](crate::ModelError::Weights), as for every model.

use std::path::PathBuf;

/// Where people get the weights, in words: the project's name and its files.
pub(super) const ORIGIN: &str = "Kyutai publishes pocket-tts as the projects `kyutai/pocket-tts` (with cloning, after \
                                 accepting its terms) and `kyutai/pocket-tts-without-voice-cloning` (open): take \
                                 `languages/english/` with model.safetensors, tokenizer.json and embeddings/";

/// A request to pocket-tts that cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum PocketError {
    /// One of its files is not where it was looked for.
    #[error("pocket-tts lacks its {what}: {} does not exist", path.display())]
    Missing {
        /// The part it holds: `weights`, `tokenizer`, `voice`.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The weights are of no release whose traits are known.
    #[error("these pocket-tts weights are of no known release: {widths}")]
    UnknownRelease {
        /// The widths that were looked up.
        widths: String,
    },
    /// The weights cannot turn a recording into a voice.
    #[error("these pocket-tts weights cannot clone a voice: {reason}")]
    CannotClone {
        /// What in the file shows it.
        reason: String,
    },
    /// A voice that does not belong to these weights, or is none.
    #[error("this voice does not fit these pocket-tts weights: {reason}")]
    Voice {
        /// What was expected and what was found.
        reason: String,
    },
    /// A recording that no voice can be made from.
    #[error("no voice can be made from this recording: {reason}")]
    Recording {
        /// What is wrong with it.
        reason: String,
    },
    /// A text that cannot be spoken.
    #[error("this text cannot be spoken: {reason}")]
    Text {
        /// What is wrong with it.
        reason: String,
    },
    /// An option outside its range.
    #[error("pocket-tts cannot be run with {option}: {reason}")]
    Option {
        /// The option and its value.
        option: String,
        /// Its range.
        reason: String,
    },
    /// The tokenizer file cannot be used.
    #[error("the tokenizer {} cannot be used: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The network computed values that are no numbers.
    #[error("pocket-tts computed values that are no numbers while {doing}")]
    NotFinite {
        /// What was being done.
        doing: &'static str,
    },
}

impl PocketError {
    /// What to do about it.
    pub(crate) fn help(&self) -> Option<String> {
        match self {
            PocketError::Missing { .. } => Some(format!("{ORIGIN}, and keep them in one folder")),
            PocketError::UnknownRelease { .. } => {
                Some(
                    "for weights of your own training give the traits that shapes do not tell (PocketTraits), with \
                     the files or as JSON in the metadata under `spinbot.pocket.traits`"
                        .into(),
                )
            }
            PocketError::CannotClone { .. } => Some(
                "speak with one of its preset voices (embeddings/*.safetensors), or take model.safetensors of the \
                 same language from the project `kyutai/pocket-tts`, which asks for its terms to be accepted"
                    .into(),
            ),
            PocketError::Voice { .. } => {
                Some("take a voice of the same release and language as the weights, or make it again".into())
            }
            PocketError::Recording { .. } => Some("give one speaker, 3 to 30 seconds, clearly audible".into()),
            PocketError::Tokenizer { .. } => {
                Some("take tokenizer.json or tokenizer.model from the folder that the weights come from".into())
            }
            PocketError::NotFinite { .. } => Some("the weights are damaged: fetch them again".into()),
            PocketError::Text { .. } | PocketError::Option { .. } => None,
        }
    }
}
