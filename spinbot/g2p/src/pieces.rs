//! Cutting a word into pieces, in two ways.
//!
//! The tagger wants them as spaCy cuts them ("do" "n't"); pronunciation wants runs of one kind ("iPhone15": "i" "Phone"
//! "15"), as misaki cuts them.

use std::ops::Range;

/// Longest piece, in characters: 40 digits have some 240 phonemes.
pub(crate) const LONGEST_RUN: usize = 40;

/// The pieces of a word that spaCy tags on their own.
pub(crate) fn spacy_pieces(word: &str) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, c) in word.char_indices().filter(|&(_, c)| matches!(c, '-' | '/')) {
        if start < at {
            clitics(word, start..at, &mut pieces);
        }
        pieces.push(at..at + c.len_utf8());
        start = at + c.len_utf8();
    }
    if start < word.len() {
        clitics(word, start..word.len(), &mut pieces);
    }
    pieces
}

fn clitics(word: &str, range: Range<usize>, pieces: &mut Vec<Range<usize>>) {
    let part = &word[range.clone()];
    let lower = part.to_ascii_lowercase();
    let clitic = ["n't", "'ll", "'re", "'ve", "'m", "'d", "'s", "'"].iter().find(|c| lower.ends_with(**c));
    match clitic {
        Some(clitic) if clitic.len() < part.len() => {
            let cut = range.end - clitic.len();
            pieces.extend([range.start..cut, cut..range.end]);
        }
        _ => pieces.push(range),
    }
}

/// Runs of one kind within a piece, as misaki cuts them: letters (at a change of case too), digits, hyphens, apostrophes
/// at the ends, other signs one by one. No run is longer than what Kokoro can take.
pub(crate) fn sub_pieces(piece: &str) -> Vec<Range<usize>> {
    let chars: Vec<(usize, char)> = piece.char_indices().collect();
    let at = |i: usize| chars.get(i).map(|&(_, c)| c);
    let is = |i: usize, f: fn(char) -> bool| at(i).is_some_and(f);
    let quote = |i: usize| is(i, |c| c == '\'');
    let digit = |i: usize| is(i, |c| c.is_ascii_digit());
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        let run = |mut i: usize, f: &dyn Fn(usize) -> bool| {
            while i < chars.len() && f(i) {
                i += 1;
            }
            i
        };
        if quote(i) {
            i = run(i, &quote);
        } else if digit(i) || is(i, |c| matches!(c, '.' | ',')) && digit(i + 1) {
            i += 1;
            while i - start < LONGEST_RUN && (digit(i) || is(i, |c| matches!(c, '.' | ',')) && digit(i + 1)) {
                i += 1;
            }
        } else if is(i, |c| matches!(c, '-' | '_')) {
            i = run(i, &|i| is(i, |c| matches!(c, '-' | '_')));
        } else if is(i, char::is_alphabetic) {
            i = letters(&chars, i);
        } else {
            i += 1;
        }
        let end = chars.get(i).map_or(piece.len(), |&(b, _)| b);
        out.push(chars[start].0..end);
    }
    out
}

/// Where the run of letters that begins at `start` ends: at a change of case, or at an apostrophe with no letter after
/// it.
fn letters(chars: &[(usize, char)], start: usize) -> usize {
    let is = |i: usize, f: fn(char) -> bool| chars.get(i).is_some_and(|&(_, c)| f(c));
    // The last capital of several begins the next word: "XMLHttp".
    if is(start, char::is_uppercase) && is(start + 1, char::is_uppercase) && is(start + 2, char::is_lowercase)
    {
        return start + 1;
    }
    let mut i = start + 1;
    while i - start < LONGEST_RUN {
        let turns = is(i - 1, char::is_lowercase) && is(i, char::is_uppercase);
        if is(i, char::is_alphabetic) && !turns {
            i += 1;
        } else if is(i, |c| c == '\'') && is(i + 1, char::is_alphabetic) {
            i += 2;
        } else {
            break;
        }
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_for_the_tagger_and_for_the_ear() {
        let cases: [(&str, &[&str], &[&str]); 9] = [
            ("don't", &["do", "n't"], &["don't"]),
            ("John's", &["John", "'s"], &["John's"]),
            ("well-known", &["well", "-", "known"], &["well", "-", "known"]),
            ("iPhone15", &["iPhone15"], &["i", "Phone", "15"]),
            ("COVID-19", &["COVID", "-", "19"], &["COVID", "-", "19"]),
            ("and/or", &["and", "/", "or"], &["and", "/", "or"]),
            ("AT&T", &["AT&T"], &["AT", "&", "T"]),
            ("3.5kg", &["3.5kg"], &["3.5", "kg"]),
            ("'90s", &["'90s"], &["'", "90", "s"]),
        ];
        for (word, tagged, heard) in cases {
            let of = |ranges: Vec<Range<usize>>| ranges.into_iter().map(|r| &word[r]).collect::<Vec<_>>();
            assert_eq!(
                (of(spacy_pieces(word)), of(sub_pieces(word))),
                (tagged.to_vec(), heard.to_vec()),
                "{word}"
            );
        }
    }
}
