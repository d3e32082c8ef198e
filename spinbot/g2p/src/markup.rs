//! Reading the markup off a text: what is left to be said, and which byte of the user's text each byte came from.
//!
//! Also brings the many Unicode forms of quotes, dashes and spaces to one and drops what has no sound, such as emoji.
//! The markup itself is described in the crate's documentation.

use std::ops::Range;

use crate::phoneme::is_phoneme;
use crate::stress::Stress;
use crate::{G2pError, MAX_PAUSE, MAX_PHONEMES};

/// Longest text in brackets that markup is looked for in, in characters: no search goes over the whole text.
const LONGEST_LINK: usize = 300;

/// What markup wants of a stretch of text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wish {
    /// These phonemes.
    Say(String),
    /// This stress.
    Stress(Stress),
}

/// A text without its markup.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    pub text: String,
    /// For each byte of `text`, the bytes of the user's text that its character came from.
    origins: Vec<(u32, u32)>,
    /// Pauses in seconds and the byte of `text` they stand before.
    pub pauses: Vec<(usize, f32)>,
    /// Wishes, in order, without overlap.
    pub wishes: Vec<(Range<usize>, Wish)>,
}

impl Marked {
    /// Reads `source`.
    pub fn read(source: &str) -> Result<Self, G2pError> {
        let mut marked = Self::default();
        let mut at = 0;
        while let Some(c) = source[at..].chars().next() {
            let rest = &source[at..];
            at += match c {
                '\\' if rest[1..].starts_with(['[', ']', '*', '\\']) => {
                    marked.push(source, at + 1, at + 2);
                    2
                }
                '[' => match marked.bracket(source, at)? {
                    Some(length) => length,
                    None => marked.copy(source, at, c),
                },
                '*' => match marked.emphasis(source, at) {
                    Some(length) => length,
                    None => marked.copy(source, at, c),
                },
                _ => marked.copy(source, at, c),
            };
        }
        Ok(marked)
    }

    /// The bytes of the user's text that these bytes of `text` came from.
    pub fn source(&self, range: &Range<usize>) -> Range<usize> {
        let end = self.origins.last().map_or((0, 0), |&(_, b)| (b, b));
        let of = |i: usize| self.origins.get(i).map_or(end, |&(a, b)| (a, b));
        let of = |i: usize| (of(i).0 as usize, of(i).1 as usize);
        match range.end.checked_sub(1) {
            Some(last) if last >= range.start => of(range.start).0..of(last).1,
            _ => of(range.start).0..of(range.start).0,
        }
    }

    fn copy(&mut self, source: &str, at: usize, c: char) -> usize {
        self.push(source, at, at + c.len_utf8());
        c.len_utf8()
    }

    /// Takes the character at `from..to` over, in its plain form.
    fn push(&mut self, source: &str, from: usize, to: usize) {
        for c in source[from..to].chars() {
            match plain(c) {
                Plain::As(c) => self.text.push(c),
                Plain::Text(text) => self.text.push_str(text),
                Plain::Dropped => {}
            }
            // Texts are bounded far below 4 GiB.
            self.origins.resize(self.text.len(), (from as u32, to as u32));
        }
    }

    fn push_all(&mut self, source: &str, range: Range<usize>) -> Range<usize> {
        let start = self.text.len();
        for (i, c) in source[range.clone()].char_indices() {
            self.push(source, range.start + i, range.start + i + c.len_utf8());
        }
        start..self.text.len()
    }

    /// A pause or a link at `[`; how many bytes it has, or `None` if it is an ordinary bracket.
    fn bracket(&mut self, source: &str, at: usize) -> Result<Option<usize>, G2pError> {
        let inside = &source[at + 1..];
        let Some(close) = find(inside, ']', LONGEST_LINK) else { return Ok(None) };
        let (inside, after) = (&inside[..close], &inside[close + 1..]);
        let target = after.strip_prefix('(').and_then(|t| Some(&t[..find(t, ')', LONGEST_LINK)?]));
        if let Some(target) = target
            && let Some(wish) = self.wish(source, at, inside, target)?
        {
            let range = self.push_all(source, at + 1..at + 1 + close);
            if !range.is_empty() {
                self.wishes.push((range, wish));
            }
            return Ok(Some(1 + close + 1 + 1 + target.len() + 1));
        }
        let Some(seconds) = pause(inside) else { return Ok(None) };
        match seconds {
            Some(seconds) if (0.0..=MAX_PAUSE).contains(&seconds) => {
                self.pauses.push((self.text.len(), seconds));
                // A pause parts words, too.
                self.text.push(' ');
                self.origins.push((at as u32, (at + close + 2) as u32));
                Ok(Some(close + 2))
            }
            _ => Err(G2pError::Pause { markup: inside.chars().take(40).collect(), position: at }),
        }
    }

    /// What `[word](target)` wants, if it is ours.
    fn wish(&self, source: &str, at: usize, word: &str, target: &str) -> Result<Option<Wish>, G2pError> {
        if let Some(stress) = Stress::from_markup(target) {
            return Ok(Some(Wish::Stress(stress)));
        }
        let Some(phonemes) = target.strip_prefix('/').and_then(|t| t.strip_suffix('/')) else {
            return Ok(None);
        };
        if phonemes.chars().count() > MAX_PHONEMES / 4 {
            let word = word.chars().take(40).collect();
            return Err(G2pError::Override { word, character: None });
        }
        if let Some((i, character)) = phonemes.char_indices().find(|&(_, c)| !is_phoneme(c)) {
            let position = at + 1 + word.len() + "](/".len() + i;
            debug_assert!(source[position..].starts_with(character));
            return Err(G2pError::Phoneme { word: word.chars().take(40).collect(), character, position });
        }
        Ok(Some(Wish::Say(single_spaced(phonemes))))
    }

    /// Emphasis at `*` or `**`; how many bytes it has, or `None` if it is an ordinary star.
    fn emphasis(&mut self, source: &str, at: usize) -> Option<usize> {
        /// Longer stretches are no emphasis; also bounds the search.
        const LONGEST: usize = 200;
        let stars = if source[at..].starts_with("**") { "**" } else { "*" };
        let before = source[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '*') {
            return None;
        }
        let inside = &source[at + stars.len()..];
        let close =
            inside.char_indices().take(LONGEST).map(|(i, _)| i).find(|&i| inside[i..].starts_with(stars))?;
        let (inside, after) = (&inside[..close], &inside[close + stars.len()..]);
        let ordinary = inside.is_empty()
            || inside.starts_with(char::is_whitespace)
            || inside.ends_with(char::is_whitespace)
            || inside.contains(['\n', '[', '\\', '*'])
            || after.starts_with(|c: char| c.is_alphanumeric() || c == '*');
        if ordinary {
            return None;
        }
        let from = at + stars.len();
        let range = self.push_all(source, from..from + close);
        if !range.is_empty() {
            self.wishes.push((range, Wish::Stress(Stress::Primary)));
        }
        Some(close + 2 * stars.len())
    }
}

/// Without space at the ends, and single spaces within.
pub(crate) fn single_spaced(phonemes: &str) -> String {
    phonemes.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The byte of a character among the first so many.
fn find(text: &str, wanted: char, within: usize) -> Option<usize> {
    text.char_indices().take(within).find(|&(_, c)| c == wanted).map(|(i, _)| i)
}

/// The seconds of a pause's brackets; `None` if it is no pause, `Some(None)` if its number cannot be read.
fn pause(inside: &str) -> Option<Option<f32>> {
    let seconds = |text: &str| {
        let (number, scale) = match text.strip_suffix("ms") {
            Some(number) => (number, 0.001),
            None => (text.strip_suffix('s').unwrap_or(text), 1.0),
        };
        let number = number.trim();
        let digits = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
        digits.then(|| number.parse::<f32>().ok()).flatten().map(|s| s * scale)
    };
    if let Some(length) = inside.strip_prefix("pause") {
        return match length.strip_prefix([' ', ':']) {
            Some(length) => Some(seconds(length.trim())),
            None => length.is_empty().then_some(None),
        };
    }
    if inside.ends_with('s') { seconds(inside).map(Some) } else { None }
}

enum Plain {
    As(char),
    Text(&'static str),
    Dropped,
}

/// The plain form of a character.
fn plain(c: char) -> Plain {
    Plain::As(match c {
        '\n' => '\n',
        '\r' | '\t' | '\u{b}' | '\u{c}' => ' ',
        '\u{2028}' => '\n',
        '\u{2029}' => return Plain::Text("\n\n"),
        c if c.is_whitespace() => ' ',
        '’' | 'ʼ' | 'ʹ' | '`' | '´' | '\u{ff07}' | '′' => '\'',
        '‘' | '‚' | '‹' | '›' => '‘',
        '„' | '‟' | '«' => '“',
        '»' => '”',
        '″' => '"',
        '‐' | '‑' | '−' | '﹣' => '-',
        '―' | '⸺' | '⸻' => '—',
        '‒' => '–',
        '。' => '.',
        '、' => ',',
        'ﬁ' => return Plain::Text("fi"),
        'ﬂ' => return Plain::Text("fl"),
        'ﬀ' => return Plain::Text("ff"),
        'ﬃ' => return Plain::Text("ffi"),
        'ﬄ' => return Plain::Text("ffl"),
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(' '),
        // Joiners, marks of direction, variation and combining marks left over, byte order mark.
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{300}'..='\u{36f}'
        | '\u{e0000}'..='\u{e01ef}' => return Plain::Dropped,
        c if c.is_control() => return Plain::Dropped,
        // Arrows, dingbats, pictures and private characters part words and are not said.
        '\u{2190}'..='\u{21ff}'
        | '\u{2300}'..='\u{27bf}'
        | '\u{2900}'..='\u{2bff}'
        | '\u{e000}'..='\u{f8ff}'
        | '\u{1f000}'..='\u{1faff}'
        | '\u{f0000}'..
        | '™'
        | '®'
        | '©' => ' ',
        c => c,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn markup_is_read_off() {
        let wish = |r: Range<usize>, s: &str| (r, Wish::Say(s.to_owned()));
        let strong = |r: Range<usize>| (r, Wish::Stress(Stress::Primary));
        type Case<'a> = (&'a str, &'a str, Vec<(usize, f32)>, Vec<(Range<usize>, Wish)>);
        let cases: Vec<Case> = vec![
            ("Plain text.", "Plain text.", vec![], vec![]),
            ("One [pause 0.5] two", "One   two", vec![(4, 0.5)], vec![]),
            ("One[1.5s]two [250ms]", "One two  ", vec![(3, 1.5), (8, 0.25)], vec![]),
            ("[Kokoro](/kˈOkəɹO/) speaks", "Kokoro speaks", vec![], vec![wish(0..6, "kˈOkəɹO")]),
            (
                "a *very* good **big idea**",
                "a very good big idea",
                vec![],
                vec![strong(2..6), strong(12..20)],
            ),
            (r"\*not\* \[pause 1\] \\", r"*not* [pause 1] \", vec![], vec![]),
            ("2 * 3 * 4, a*b*c", "2 * 3 * 4, a*b*c", vec![], vec![]),
            ("see [1] and [docs](http://x)", "see [1] and [docs](http://x)", vec![], vec![]),
            ("[word](+2) [x](-1)", "word x", vec![], vec![strong(0..4), (5..6, Wish::Stress(Stress::Lower))]),
            ("it’s “so” – ﬁne…", "it's “so” – fine…", vec![], vec![]),
            ("[items] [as] [pauses]", "[items] [as] [pauses]", vec![], vec![]),
        ];
        for (source, text, pauses, wishes) in cases {
            let marked = Marked::read(source).unwrap();
            assert_eq!(
                (marked.text.as_str(), &marked.pauses, &marked.wishes),
                (text, &pauses, &wishes),
                "{source}"
            );
            assert_eq!(marked.origins.len(), text.len());
        }
    }

    #[test]
    fn bytes_lead_back_to_the_source() {
        let source = "a *very* “ﬁne” [day](/dˈA/)";
        let marked = Marked::read(source).unwrap();
        for word in ["very", "day"] {
            let at = marked.text.find(word).unwrap();
            assert_eq!(&source[marked.source(&(at..at + word.len()))], word);
        }
        let at = marked.text.find("fine").unwrap();
        assert_eq!(&source[marked.source(&(at..at + 4))], "ﬁne");
    }

    #[test]
    fn mistakes_are_pointed_at() {
        let phoneme = Marked::read("Say [tea](/tg/)").unwrap_err();
        assert_eq!(phoneme, G2pError::Phoneme { word: "tea".into(), character: 'g', position: 12 });
        for text in ["a [pause 99]", "a [pause x]", "a [pause]", "a [11s]"] {
            let error = Marked::read(text).unwrap_err();
            assert!(matches!(error, G2pError::Pause { position: 2, .. }), "{text}: {error}");
            assert!(!error.help().is_empty());
        }
    }
}
