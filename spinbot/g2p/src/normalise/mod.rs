//! What is written otherwise than it is said: numbers, dates, money, abbreviations, addresses, signs.
//!
//! Each rule looks at an item and perhaps those after it and says which words to read in their place. Words keep the
//! range of text they stand for. How they sound is not decided here.

mod abbreviation;
mod address;
mod date;
mod quantity;
mod unit;

use std::ops::Range;

use crate::Accent;
use crate::token::Item;

pub(crate) use abbreviation::keeps_dot;
pub(crate) use address::is_address;
pub(crate) use quantity::counted;

/// Longest item that any rule reads; longer ones are no numbers and no names.
const LONGEST: usize = 64;

/// A part of what is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    /// A word, in small letters or as a dictionary has it.
    Word(String),
    /// The names of letters.
    Letters(String),
    /// A short rest, as a comma makes.
    Rest,
}

impl Reading {
    fn words(text: &str) -> Vec<Self> {
        text.split(' ').filter(|w| !w.is_empty()).map(|w| Self::Word(w.to_owned())).collect()
    }

    /// Word by word.
    pub fn all(words: Vec<String>) -> Vec<Self> {
        words.into_iter().map(Self::Word).collect()
    }
}

/// What one rule made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expansion {
    /// How many items it read.
    pub items: usize,
    /// Ranges of text and what is said for each.
    pub parts: Vec<(Range<usize>, Vec<Reading>)>,
}

/// Items from one on, with the text they are of.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    text: &'a str,
    items: &'a [Item],
    at: usize,
    accent: Accent,
}

impl<'a> Look<'a> {
    /// The text of the word `ahead` items further, if only space and no mark lies between.
    fn word(&self, ahead: usize) -> Option<&'a str> {
        let item = self.items.get(self.at + ahead)?;
        let joined = self.items[self.at..self.at + ahead].iter().all(|i| i.mark.is_none() && i.space);
        (joined && item.mark.is_none()).then(|| &self.text[item.range.clone()])
    }

    /// The word before, if only space lies between.
    fn before(&self) -> Option<&'a str> {
        let item = self.items.get(self.at.checked_sub(1)?)?;
        (item.mark.is_none() && item.space).then(|| &self.text[item.range.clone()])
    }

    /// The mark right after the item.
    fn mark_after(&self, ahead: usize) -> Option<&'a str> {
        self.items.get(self.at + ahead + 1)?.mark.as_deref()
    }

    fn range(&self, ahead: usize) -> Range<usize> {
        self.items[self.at + ahead].range.clone()
    }

    /// From the first item to the one `ahead` further.
    fn through(&self, ahead: usize) -> Range<usize> {
        self.range(0).start..self.range(ahead).end
    }

    /// One part over so many items.
    fn one(&self, items: usize, readings: Vec<Reading>) -> Expansion {
        Expansion { items, parts: vec![(self.through(items - 1), readings)] }
    }
}

/// What is said for the item at `at`, if it is not said as written.
pub(crate) fn expand(text: &str, items: &[Item], at: usize, accent: Accent) -> Option<Expansion> {
    let look = Look { text, items, at, accent };
    let word = look.word(0)?;
    if is_address(word) {
        return Some(address::expand(&look, word));
    }
    if word.len() > LONGEST {
        return None;
    }
    date::expand(&look, word)
        .or_else(|| quantity::expand(&look, word))
        .or_else(|| abbreviation::expand(&look, word))
        .or_else(|| sign(&look, word))
}

/// A sign that stands alone, and `#` in front of something.
fn sign(look: &Look, word: &str) -> Option<Expansion> {
    let said = match word {
        "=" | "==" => "equals",
        "≠" | "!=" => "is not equal to",
        "≈" => "is about",
        "≤" | "<=" => "is at most",
        "≥" | ">=" => "is at least",
        "±" => "plus or minus",
        "×" | "*" => "times",
        "÷" => "divided by",
        "√" => "root",
        "∞" => "infinity",
        "§" => "section",
        "°" => "degrees",
        "#" => "number",
        "$" => "dollar",
        "£" => "pound",
        "€" => "euro",
        "/" => "slash",
        "w/" => "with",
        "w/o" => "without",
        _ => {
            let tag = word.strip_prefix('#').filter(|t| t.starts_with(char::is_alphabetic))?;
            let range = look.range(0);
            let tag = Expansion {
                items: 1,
                parts: vec![
                    (range.start..range.start + 1, Reading::words("hashtag")),
                    (range.start + 1..range.end, address::name(tag)),
                ],
            };
            return Some(tag);
        }
    };
    Some(look.one(1, Reading::words(said)))
}
