//! The one error of this crate, and the way out each one offers.

/// What can be wrong with a text. Any text without markup is fine unless it is too long.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum G2pError {
    /// More text than is read at once.
    #[error("the text has {characters} characters, at most {} are read at once", crate::MAX_CHARACTERS)]
    TooLong {
        /// How many there are.
        characters: usize,
    },
    /// Markup gives a pronunciation with a character that is no phoneme of Kokoro's.
    #[error("`{character}` at byte {position} is no phoneme (in the pronunciation of \"{word}\")")]
    Phoneme {
        /// The word it was given for.
        word: String,
        /// The first such character.
        character: char,
        /// Its byte in the text.
        position: usize,
    },
    /// An override gives a pronunciation that cannot be said.
    #[error("the pronunciation of \"{word}\" {}", match character {
        Some(c) => format!("has `{c}`, which is no phoneme"),
        None => "is empty or longer than a sentence may be".to_owned(),
    })]
    Override {
        /// The word it was given for.
        word: String,
        /// The first bad character; none: its length is at fault.
        character: Option<char>,
    },
    /// A pause that cannot be read or is out of range.
    #[error("`[{markup}]` at byte {position} is no pause of 0 to {} seconds", crate::MAX_PAUSE)]
    Pause {
        /// What stands between the brackets.
        markup: String,
        /// The byte of its bracket in the text.
        position: usize,
    },
}

impl G2pError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::TooLong { .. } => "give the text in parts".to_owned(),
            Self::Phoneme { .. } | Self::Override { .. } => {
                "write it in Kokoro's alphabet, for instance [Kokoro](/kˈOkəɹO/): A day, I my, O go, W now, Y boy, \
                 ʤ joy, ʧ chew, ɹ red, ˈ in front of the stressed vowel"
                    .to_owned()
            }
            Self::Pause { .. } => {
                r"write [pause 0.5] or [0.5s]; for the bracket itself write \[".to_owned()
            }
        }
    }
}
