//! English text to the phonemes Kokoro reads, with the word each phoneme belongs to.
//!
//! ```
//! use spinbot_g2p::{phonemize, Options};
//!
//! let speech = phonemize("Hello, world!", &Options::default())?;
//! let sentence = &speech.sentences[0];
//! assert_eq!(sentence.phonemes, "həlˈO, wˈɜɹld!");
//! assert_eq!(sentence.words[1].text, "world!");
//! # Ok::<(), spinbot_g2p::G2pError>(())
//! ```
//!
//! Numbers, dates, times, money, units, abbreviations, addresses and signs are read out; a word of no dictionary is
//! pronounced by a small network. Everything is embedded: nothing is read at run time.
//!
//! # Markup
//!
//! | written | heard |
//! |---|---|
//! | `[pause 0.5]`, `[0.5s]`, `[300ms]` | silence of so many seconds, at most 10 |
//! | `*word*`, `**some words**` | emphasis |
//! | `[Kokoro](/kˈOkəɹO/)` | these phonemes ([`VOCABULARY`]) for what is in the brackets |
//! | `[word](+2)`, `(+1)`, `(-1)`, `(-2)` | more or less stress |
//! | `\[`, `\]`, `\*`, `\\` | the character itself |
//!
//! # Inside
//!
//! `markup` reads the markup off, `token` and `pieces` cut the text, `normalise` turns numbers and signs into words, `tagger` finds
//! parts of speech, `lexicon` (over `dictionary`) and `unknown` pronounce, `speech` puts sentences together. Dictionaries
//! and pronunciation rules are those of misaki 0.9.4, which Kokoro was trained with. No audio, no models' tensors here.

#![warn(missing_docs)]

mod dictionary;
mod error;
mod fold;
mod lexicon;
mod markup;
mod normalise;
mod numbers;
mod phoneme;
mod pieces;
mod pronounce;
mod speech;
mod stress;
mod tagger;
mod token;
mod unknown;
mod weights;

use std::collections::BTreeMap;
use std::ops::Range;

pub use error::G2pError;
pub use phoneme::{Class, Manner, Place, VOCABULARY, VowelShape, class, is_phoneme};

/// Most characters of a text that is read at once.
pub const MAX_CHARACTERS: usize = 100_000;
/// Most phonemes of a sentence: Kokoro reads 512 tokens, two of which mark the ends.
pub const MAX_PHONEMES: usize = 510;
/// Longest pause that markup may ask for, in seconds.
pub const MAX_PAUSE: f32 = 10.0;

/// Whose English.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Accent {
    /// American: Kokoro's voices `af_*` and `am_*`.
    #[default]
    Us,
    /// British: Kokoro's voices `bf_*` and `bm_*`.
    Uk,
}

/// How a text is to be read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whose English.
    pub accent: Accent,
    /// Pronunciations of the user's own, by word. A key in small letters holds for the word in any case.
    pub overrides: BTreeMap<String, String>,
}

/// A text as it is to be said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Speech {
    /// Silence before the first sentence, in seconds, where markup asks for it.
    pub pause_before: f32,
    /// What is said, each part in one go.
    pub sentences: Vec<Sentence>,
}

/// What is said in one go: a sentence, or a part of a long one that ends where a clause does.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sentence {
    /// What Kokoro is given, one token a character, 1 to [`MAX_PHONEMES`] of [`VOCABULARY`].
    pub phonemes: String,
    /// The words, in order.
    pub words: Vec<Word>,
    /// Silence after it, in seconds: what the punctuation asks for, or markup. 0 after the last.
    pub pause_after: f32,
}

/// A word as written: "$5 million" is one, though it is said in three.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// As the user wrote it, with the punctuation that touches it and without markup.
    pub text: String,
    /// Where it stands in the user's text, without that punctuation: a range of bytes.
    pub source: Range<usize>,
    /// Its phonemes: a range of characters of [`Sentence::phonemes`]. Empty for what cannot be said.
    pub phonemes: Range<usize>,
    /// Whether markup asks for more stress.
    pub emphasised: bool,
    /// Where its pronunciation is from.
    pub origin: Origin,
}

/// Where a pronunciation is from; of several parts of a word, the least certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The user: an override or markup.
    Override,
    /// misaki's dictionaries and the rules over them.
    Dictionary,
    /// The names of its letters.
    Spelled,
    /// The network for unknown words.
    Network,
    /// Nothing in it can be said in English.
    Silent,
}

/// A text without its markup, for a synthesiser that reads by itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Passages {
    /// What is said between the pauses that markup asks for, with the seconds of silence after it. The text of the
    /// first is empty where there is a pause before everything.
    pub passages: Vec<(String, f32)>,
    /// The words that markup gives phonemes for, which such a synthesiser cannot be told.
    pub pronounced: Vec<String>,
}

/// Reads the markup off a text: pauses part it, emphasis is left out.
///
/// # Errors
/// As [`phonemize`].
pub fn passages(text: &str) -> Result<Passages, G2pError> {
    check_length(text)?;
    let marked = markup::Marked::read(text)?;
    let mut found = Passages::default();
    let mut from = 0;
    for (at, seconds) in &marked.pauses {
        found.passages.push((marked.text[from..*at].trim().to_owned(), *seconds));
        from = *at;
    }
    found.passages.push((marked.text[from..].trim().to_owned(), 0.0));
    for (range, wish) in &marked.wishes {
        if matches!(wish, markup::Wish::Say(_)) {
            found.pronounced.push(marked.text[range.clone()].to_owned());
        }
    }
    Ok(found)
}

fn check_length(text: &str) -> Result<(), G2pError> {
    let characters = text.chars().take(MAX_CHARACTERS + 1).count();
    if characters > MAX_CHARACTERS {
        return Err(G2pError::TooLong { characters: text.chars().count() });
    }
    Ok(())
}

/// Turns a text into phonemes.
///
/// # Errors
/// If the text is longer than [`MAX_CHARACTERS`], or a pause or a pronunciation in its markup or in
/// [`Options::overrides`] cannot be read.
pub fn phonemize(text: &str, options: &Options) -> Result<Speech, G2pError> {
    check_length(text)?;
    for (word, phonemes) in &options.overrides {
        let character = phonemes.chars().find(|&c| !is_phoneme(c));
        if character.is_some() || phonemes.is_empty() || phonemes.chars().count() > MAX_PHONEMES / 4 {
            return Err(G2pError::Override { word: word.clone(), character });
        }
    }
    let marked = markup::Marked::read(text)?;
    Ok(speech::speech(&marked, options))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_text_is_parted_at_its_pauses_and_loses_its_markup() {
        let parted = |text: &str| {
            let Passages { passages, pronounced } = passages(text).unwrap();
            (
                passages.into_iter().map(|(text, seconds)| format!("{text}|{seconds}")).collect::<Vec<_>>(),
                pronounced,
            )
        };
        for (text, expected, pronounced) in [
            (
                "Wait, *please*! [pause 1.5] It costs $3.",
                &["Wait, please!|1.5", "It costs $3.|0"][..],
                &[][..],
            ),
            ("[300ms] [Siobhan](/ʃəvˈɔn/) [left](+2).", &["|0.3", "Siobhan left.|0"], &["Siobhan"]),
            ("Now [0.5s][pause 1]then [sic]", &["Now|0.5", "|1", "then [sic]|0"], &[]),
            ("", &["|0"], &[]),
        ] {
            let (found, said) = parted(text);
            assert_eq!(found, expected, "{text}");
            assert_eq!(said, pronounced, "{text}");
        }
        assert!(matches!(passages("[pause 99]"), Err(G2pError::Pause { .. })));
        assert!(matches!(passages(&"a".repeat(MAX_CHARACTERS + 1)), Err(G2pError::TooLong { .. })));
    }
}
