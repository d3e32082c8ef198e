//! The one error a user reads: a sentence, a way out, and which argument it is about.
//!
//! Typed errors of the lower crates are turned into a [`Fault`] at the rim of a step; nothing below wraps a
//! fault in another error.

use serde::{Deserialize, Serialize};

/// A failure told to a person: one sentence, one `help:` line, and the argument it points at, if any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What went wrong, as a sentence that names the thing: `me.png: no face found (best score 0.31, need 0.50)`.
    pub message: String,
    /// What to do about it, without the `help:` prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The plan argument at fault (`portrait`, `speech`, ...), so that a magic can point at the characters typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
}

/// Result with a [`Fault`].
pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// A fault with its sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Fault { message: message.into(), help: None, argument: None }
    }

    /// That a name is none of those there are, about the argument that gave it.
    pub(crate) fn not_among(message: String, names: &[&str], argument: &str) -> Self {
        Fault::new(message).help(format!("use one of {}", names.join(", "))).about(argument)
    }

    /// Adds the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Names the argument at fault.
    #[must_use]
    pub fn about(mut self, argument: impl Into<String>) -> Self {
        self.argument = Some(argument.into());
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
