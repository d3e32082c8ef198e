//! Cutting a text: paragraphs, words as spaces part them, punctuation; `pieces` cuts the words.
//!
//! What a token sounds like is not decided here.

use std::ops::Range;

use crate::fold::fold;
use crate::markup::{Marked, Wish};
use crate::normalise::{self, Reading};
use crate::pieces::{spacy_pieces, sub_pieces};
use crate::stress::Stress;
use crate::tagger::{Tag, Tagger};

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A piece of a word, to be looked up together with the pieces that touch it.
    Piece,
    /// Punctuation, as Kokoro reads it; may be empty.
    Mark(String),
    /// Other words in its place.
    Say(Vec<Reading>),
    /// These phonemes.
    Given(String),
}

/// A stretch of text with one sound.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// Its text, letters without their accents.
    pub text: String,
    /// Where it stands in the text without markup.
    pub range: Range<usize>,
    /// Whether space follows.
    pub space: bool,
    pub kind: Kind,
    pub tag: Tag,
    pub stress: Option<Stress>,
}

/// A word or a punctuation mark as spaces and punctuation part them, before it is looked into.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub range: Range<usize>,
    /// What Kokoro reads for punctuation.
    pub mark: Option<String>,
    pub space: bool,
}

/// The paragraphs of a text and their tokens, tagged.
pub(crate) fn paragraphs(marked: &Marked, accent: crate::Accent) -> Vec<Vec<Token>> {
    let text = &marked.text;
    let mut paragraphs = Vec::new();
    let mut start = 0;
    for end in breaks(text).into_iter().chain([text.len()]) {
        let tokens = paragraph(marked, start..end, accent);
        if !tokens.is_empty() {
            paragraphs.push(tokens);
        }
        start = end;
    }
    paragraphs
}

/// Where paragraphs end: at empty lines and before the items of a list.
fn breaks(text: &str) -> Vec<usize> {
    let mut breaks = Vec::new();
    for (at, _) in text.match_indices('\n') {
        let next = text[at + 1..].trim_start_matches([' ', '\t']);
        let bullet = ["- ", "• ", "* ", "– "].iter().any(|b| next.starts_with(b));
        if next.starts_with('\n') || bullet {
            breaks.push(at + 1);
        }
    }
    breaks
}

fn paragraph(marked: &Marked, range: Range<usize>, accent: crate::Accent) -> Vec<Token> {
    let mut tokens = Vec::new();
    // Words in the tagger's sense, and which of them each token is part of.
    let mut words: Vec<String> = Vec::new();
    let mut word_of = Vec::new();
    let mut at = range.start;
    let first = marked.wishes.partition_point(|(r, _)| r.end <= range.start);
    let given = marked.wishes[first..].iter().take_while(|(r, _)| r.start < range.end);
    for (wished, wish) in given {
        let Wish::Say(phonemes) = wish else { continue };
        let wished = wished.start.max(range.start)..wished.end.min(range.end);
        plain(marked, at..wished.start, accent, &mut tokens, &mut words, &mut word_of);
        words.push(marked.text[wished.clone()].to_owned());
        word_of.push(words.len() - 1);
        tokens.push(Token {
            text: marked.text[wished.clone()].to_owned(),
            range: wished.clone(),
            space: marked.text[wished.end..].starts_with(char::is_whitespace),
            kind: Kind::Given(phonemes.clone()),
            tag: Tag::Other,
            stress: None,
        });
        at = wished.end;
    }
    plain(marked, at..range.end, accent, &mut tokens, &mut words, &mut word_of);
    let tags = Tagger::get().tag(&words.iter().map(String::as_str).collect::<Vec<_>>());
    for (token, word) in tokens.iter_mut().zip(word_of) {
        token.tag = tags[word];
        let wish = marked.wishes.partition_point(|(r, _)| r.end <= token.range.start);
        if let Some((range, Wish::Stress(stress))) = marked.wishes.get(wish)
            && range.start < token.range.end
        {
            token.stress = Some(*stress);
        }
    }
    tokens
}

/// Tokens of a stretch whose pronunciation nobody gave.
fn plain(
    marked: &Marked,
    range: Range<usize>,
    accent: crate::Accent,
    tokens: &mut Vec<Token>,
    words: &mut Vec<String>,
    word_of: &mut Vec<usize>,
) {
    let text = &marked.text;
    let items = items(text, range);
    let mut push = |text: String, range, space, kind, word| {
        tokens.push(Token { text, range, space, kind, tag: Tag::Other, stress: None });
        word_of.push(word);
    };
    let mut i = 0;
    while let Some(item) = items.get(i) {
        if let Some(mark) = &item.mark {
            words.push(text[item.range.clone()].to_owned());
            push(String::new(), item.range.clone(), item.space, Kind::Mark(mark.clone()), words.len() - 1);
            i += 1;
        } else if let Some(said) = normalise::expand(text, &items, i, accent) {
            for (range, readings) in said.parts {
                words.push(text[range.clone()].to_owned());
                let space = text[range.end..].starts_with(char::is_whitespace);
                push(text[range.clone()].to_owned(), range, space, Kind::Say(readings), words.len() - 1);
            }
            i += said.items.max(1);
        } else {
            let pieces = spacy_pieces(&text[item.range.clone()]);
            for (n, piece) in pieces.iter().enumerate() {
                let start = item.range.start + piece.start;
                words.push(fold(&text[start..item.range.start + piece.end]));
                let subs = sub_pieces(&text[start..item.range.start + piece.end]);
                for (m, sub) in subs.iter().enumerate() {
                    let range = start + sub.start..start + sub.end;
                    let last = n + 1 == pieces.len() && m + 1 == subs.len();
                    push(fold(&text[range.clone()]), range, last && item.space, Kind::Piece, words.len() - 1);
                }
            }
            i += 1;
        }
    }
}

/// Punctuation that Kokoro reads, for a character that may stand alone; `None` for what belongs to words.
fn mark(c: char) -> Option<&'static str> {
    Some(match c {
        ',' => ",",
        '.' => ".",
        ';' => ";",
        ':' => ":",
        '!' | '¡' => "!",
        '?' | '¿' => "?",
        '…' => "…",
        '—' | '–' => "—",
        '(' | '[' | '{' => "(",
        ')' | ']' | '}' => ")",
        '“' => "“",
        '”' => "”",
        '<' | '>' | '*' | '_' | '~' | '|' | '•' | '·' | '\\' | '^' => "",
        _ => return None,
    })
}

/// Words and marks of a stretch.
fn items(text: &str, range: Range<usize>) -> Vec<Item> {
    let mut items = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let rest = &text[at..range.end];
        let skip = rest.len() - rest.trim_start().len();
        at += skip;
        let rest = &text[at..range.end];
        let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
        if length > 0 {
            let space = at + length < text.len() && text[at + length..].starts_with(char::is_whitespace);
            chunk(text, at..at + length, space, &mut items);
        }
        at += length;
    }
    items
}

/// Cuts what spaces part into words and marks.
fn chunk(text: &str, range: Range<usize>, space: bool, items: &mut Vec<Item>) {
    let whole = &text[range.clone()];
    let first = items.len();
    let silent = |range: Range<usize>| Item { range, mark: Some(String::new()), space: false };
    let of = |range: Range<usize>, mark: &str| Item { range, mark: Some(mark.to_owned()), space: false };
    if is_emoticon(whole) {
        items.push(silent(range.clone()));
    } else if matches!(whole, "-" | "--" | "---") {
        items.push(of(range.clone(), "—"));
    } else {
        let (mut start, mut end) = (range.start, range.end);
        let mut trail = Vec::new();
        // What opens.
        while let Some(c) = text[start..end].chars().next() {
            let rest = &text[start + c.len_utf8()..end];
            let said = match c {
                '"' | '‘' => "“",
                '\'' if !is_elision(&text[start..end]) => "“",
                '-' if rest.starts_with(|c: char| c == '-' || c.is_alphabetic()) => "—",
                '.' | '<' | '>' if rest.starts_with(|c: char| c.is_ascii_digit()) => break,
                '~' if rest.starts_with(|c: char| c.is_ascii_digit()) => break,
                _ => match mark(c) {
                    Some(mark) => mark,
                    None => break,
                },
            };
            items.push(of(start..start + c.len_utf8(), said));
            start += c.len_utf8();
        }
        // What closes.
        while let Some(c) = text[start..end].chars().next_back() {
            let before = &text[start..end - c.len_utf8()];
            let said = match c {
                // 6'2" keeps its inches.
                '"' if before.starts_with(|c: char| c.is_ascii_digit()) && before.contains('\'') => break,
                '"' | '‘' => "”",
                '\'' if before.ends_with(['s', 'S']) || before.is_empty() => break,
                '\'' if is_elision(&text[start..end]) => "",
                '\'' => "”",
                '.' if normalise::keeps_dot(&text[start..end], &text[end..]) => break,
                '-' if before.ends_with(char::is_alphanumeric) => "",
                '-' => "—",
                _ => match mark(c) {
                    Some(mark) => mark,
                    None => break,
                },
            };
            trail.push(of(end - c.len_utf8()..end, said));
            end -= c.len_utf8();
        }
        inner(text, start..end, items);
        items.extend(trail.into_iter().rev());
    }
    // Only the last item of what spaces part is followed by space.
    if let Some(last) = items.get_mut(first..).and_then(<[Item]>::last_mut) {
        last.space = space;
    }
}

/// Marks within a word part it, unless they belong to a number or an address.
fn inner(text: &str, range: Range<usize>, items: &mut Vec<Item>) {
    let word = &text[range.clone()];
    if word.is_empty() {
        return;
    }
    let item = |range| Item { range, mark: None, space: false };
    if normalise::is_address(word) {
        items.push(item(range));
        return;
    }
    let mut start = range.start;
    let mut at = range.start;
    while let Some(c) = text[at..range.end].chars().next() {
        let next = at + c.len_utf8();
        let digit_before = text[range.start..at].ends_with(|c: char| c.is_ascii_digit());
        let digit_after = text[next..range.end].starts_with(|c: char| c.is_ascii_digit());
        let (length, said) = match c {
            '-' if text[at..range.end].starts_with("--") => {
                let dashes = text[at..range.end].chars().take_while(|&c| c == '-').count();
                (dashes, Some("—"))
            }
            ':' if text[at..range.end].starts_with("::") => (2, Some("")),
            '.' if text[at..range.end].starts_with("..") => {
                let dots = text[at..range.end].chars().take_while(|&c| c == '.').count();
                (dots, Some("..."))
            }
            '–' | ',' | ':' if digit_before && digit_after => (c.len_utf8(), None),
            '.' | '_' | '\\' | '<' | '>' | '^' | '~' | '*' => (c.len_utf8(), None),
            '"' if digit_before => (c.len_utf8(), None),
            '"' => (c.len_utf8(), Some("”")),
            _ => (c.len_utf8(), mark(c)),
        };
        if let Some(said) = said {
            if start < at {
                items.push(item(start..at));
            }
            items.push(Item { range: at..at + length, mark: Some(said.to_owned()), space: false });
            start = at + length;
        }
        at += length;
    }
    if start < range.end {
        items.push(item(start..range.end));
    }
}

/// Words that begin with an apostrophe of their own.
fn is_elision(word: &str) -> bool {
    let Some(rest) = word.strip_prefix('\'') else { return false };
    let rest = rest.trim_end_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let words = [
        "tis", "twas", "em", "cause", "til", "bout", "round", "neath", "n", "s", "t", "d", "ll", "re", "ve",
        "m",
    ];
    words.contains(&rest.as_str()) || rest.starts_with(|c: char| c.is_ascii_digit()) && !word.ends_with('\'')
}

fn is_emoticon(word: &str) -> bool {
    [
        ":)", ":-)", ":(", ":-(", ";)", ";-)", ":D", ":-D", ":P", ":-P", ":'(", "<3", "</3", "xD", "XD",
        ":/", ":-/", "^^", "^_^",
    ]
    .contains(&word)
}
