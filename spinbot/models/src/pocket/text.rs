//! What the network is told of a text: the spelling it was trained on, in parts of a length it keeps hold of.
//!
//! The rules are those of the PyPI package pocket-tts 4.0.1, held against it by `tests/reference/pocket.py`.

use super::error::PocketError;
use super::tokenizer::Tokenizer;
use crate::error::Result;
use std::collections::HashSet;

/// Tokens in a part: beyond these the network skips words.
const MAX_TOKENS: usize = 50;
/// Characters of a text, at most: several hours of speech.
const MAX_CHARS: usize = 200_000;
/// Tokens looked at on either side of a full stop to see whether it stands within a number.
const NUMBER_WINDOW: usize = 8;

/// The language of the weights, whose texts were spelled in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum PocketLanguage {
    #[default]
    English,
    French,
    German,
    Italian,
    Spanish,
    Portuguese,
    Dutch,
}

/// How a text is spelled for the network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) language: PocketLanguage,
    /// The smallest releases never saw a dash.
    pub(super) dashes_as_commas: bool,
    /// The first release needs short texts filled up in front.
    pub(super) pad_short: bool,
}

impl Rules {
    /// What stands for a character in training: itself (none), another, or nothing.
    fn replaced(self, c: char) -> Option<&'static str> {
        use PocketLanguage::*;
        match (c, self.language) {
            ('\u{2019}' | '\u{2018}', _) => Some("'"),
            ('\u{2013}' | '\u{2014}', English) if self.dashes_as_commas => Some(","),
            (_, English) => None,
            ('"' | '\u{201c}' | '\u{201d}' | '\u{201e}' | '«' | '»' | '(' | ')' | '[' | ']', _) => Some(""),
            ('\u{2013}', _) | (':', French) | ('\u{2014}', German) => Some(","),
            ('¡' | '¿', Spanish) => Some(""),
            _ => None,
        }
    }

    fn semicolons_as_commas(self) -> bool {
        matches!(self.language, PocketLanguage::French | PocketLanguage::German)
    }
}

/// One part of a text, ready for the tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) text: String,
    /// Frames still spoken after the end was announced.
    pub(super) frames_after_eos: usize,
}

/// Spells a text for the network.
///
/// # Errors
/// [`PocketError::Text`] when nothing is left of it, or too much.
pub(super) fn prepare(text: &str, rules: Rules) -> Result<Part> {
    let refuse = |reason: String| Err(PocketError::Text { reason }.into());
    let chars = text.chars().count();
    if chars > MAX_CHARS {
        return refuse(format!("it has {chars} characters, {MAX_CHARS} at most"));
    }
    let mut spelled = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match rules.replaced(c) {
            Some(other) => spelled.push_str(other),
            None => spelled.push(c),
        }
    }
    let spelled = spelled.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = drop_marks_after_ends(&spelled);
    if rules.semicolons_as_commas() {
        text = text.replace(';', ",");
    }
    let Some(first) = text.chars().next() else {
        return refuse("there is nothing in it to say".into());
    };
    let words = text.split_whitespace().count();
    if !first.is_uppercase() {
        text = first.to_uppercase().chain(text.chars().skip(1)).collect();
    }
    let mut text = end_the_sentence(text);
    if rules.pad_short && text.split_whitespace().count() < 5 {
        text.insert_str(0, "        ");
    }
    Ok(Part { text, frames_after_eos: if words <= 4 { 5 } else { 3 } })
}

/// A comma left after a sentence's end by quotation marks that were dropped is dropped too.
fn drop_marks_after_ends(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['.', '!', '?', '\u{2026}']) {
        let after = at + rest[at..].chars().next().map_or(1, char::len_utf8);
        out.push_str(&rest[..after]);
        rest = &rest[after..];
        if let Some(left) = rest.trim_start().strip_prefix([',', ';', ':']) {
            rest = left;
        }
    }
    out + rest
}

/// Ends a text with a full stop unless it ends in a mark of its own.
fn end_the_sentence(text: String) -> String {
    let weak = |c: char| ",;:-\u{2013}\u{2014}".contains(c);
    let core = text.trim_end_matches(|c| "\"'\u{201d}\u{2019})]\u{bb} ".contains(c));
    let closers = text[core.len()..].trim();
    match core.chars().last() {
        None => text,
        Some(last) if ".!?\u{2026}".contains(last) => text,
        Some(last) if weak(last) => format!("{}.{closers}", core.trim_end_matches(|c| weak(c) || c == ' ')),
        Some(_) => text + ".",
    }
}

/// Cuts a text into parts: at sentence ends, and within sentences that are too long at commas and the like.
///
/// # Errors
/// As [`prepare`], and [`PocketError::Tokenizer`].
pub(super) fn parts(text: &str, rules: Rules, tokenizer: &Tokenizer) -> Result<Vec<Part>> {
    let prepared = prepare(text, rules)?.text;
    let tokens = tokenizer.encode(prepared.trim())?;
    let ends = marks(tokenizer, ".!...?")?;
    let mut sentences = Vec::new();
    for (count, sentence) in segments(&tokens, &ends, true, tokenizer)? {
        if count <= MAX_TOKENS {
            sentences.push((count, sentence));
            continue;
        }
        let tokens = tokenizer.encode(sentence.trim())?;
        let clauses = segments(&tokens, &marks(tokenizer, ",;:")?, false, tokenizer)?;
        if clauses.len() > 1 {
            sentences.extend(clauses);
        } else {
            sentences.push((count, sentence));
        }
    }
    let mut chunks: Vec<(usize, String)> = Vec::new();
    for (count, sentence) in sentences {
        match chunks.last_mut() {
            Some((total, chunk)) if *total + count <= MAX_TOKENS => {
                chunk.push(' ');
                chunk.push_str(&sentence);
                *total += count;
            }
            _ => chunks.push((count, sentence)),
        }
    }
    // What is left of a part after trimming may be nothing: then there is nothing to say in it.
    let spoken = chunks.iter().map(|(_, chunk)| chunk.trim()).filter(|chunk| !chunk.is_empty());
    spoken.map(|chunk| prepare(chunk, rules)).collect()
}

/// The tokens of marks; the first token of the string is the space before it.
fn marks(tokenizer: &Tokenizer, marks: &str) -> Result<HashSet<u32>> {
    Ok(tokenizer.encode(marks)?.into_iter().skip(1).collect())
}

/// Runs of tokens that end with marks, as their number and their text.
fn segments(
    tokens: &[u32],
    marks: &HashSet<u32>,
    keep_numbers: bool,
    tokenizer: &Tokenizer,
) -> Result<Vec<(usize, String)>> {
    let mut from = 0;
    let mut segments = Vec::new();
    let mut after_mark = false;
    for (at, token) in tokens.iter().enumerate() {
        let mark = marks.contains(token);
        if after_mark && !mark && !(keep_numbers && within_number(tokens, at, tokenizer)?) {
            segments.push((at - from, tokenizer.decode(&tokens[from..at])?));
            from = at;
        }
        after_mark = mark;
    }
    segments.push((tokens.len() - from, tokenizer.decode(&tokens[from..])?));
    Ok(segments)
}

/// Whether the token there begins right after the point of a decimal number.
fn within_number(tokens: &[u32], at: usize, tokenizer: &Tokenizer) -> Result<bool> {
    let before = tokenizer.decode(&tokens[at.saturating_sub(NUMBER_WINDOW)..at])?;
    let after = tokenizer.decode(&tokens[at..tokens.len().min(at + NUMBER_WINDOW)])?;
    let mut back = before.chars().rev();
    Ok(back.next() == Some('.')
        && back.next().is_some_and(char::is_numeric)
        && after.chars().next().is_some_and(char::is_numeric))
}
