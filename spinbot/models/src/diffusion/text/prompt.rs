//! The syntax of prompts: which words weigh more, and where a chunk ends. Tokens are not known here.

use std::iter::Peekable;
use std::str::CharIndices;

/// What one pair of round brackets multiplies by, and one pair of square brackets divides by.
const EMPHASIS: f32 = 1.1;
/// Beyond it a weight only destroys the picture, and a thousand open brackets would give no number at all.
const MAX_WEIGHT: f32 = 10.0;
/// Written in capitals between words, it starts a new chunk of tokens.
const BREAK: &str = "BREAK";

/// A piece of a prompt whose words weigh the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    pub(crate) text: String,
    /// 1 is the ordinary weight; between -10 and 10.
    pub(crate) weight: f32,
}

/// The prompt's sections, which `BREAK` divides, each as its spans in order; there is always one section.
///
/// `(word)` multiplies the weight by 1.1, `(word:1.3)` by 1.3, `[word]` divides it by 1.1; brackets nest, one left
/// open reaches to the end, one closed too often is text, and `\(`, `\)`, `\[`, `\]` and `\\` are the characters
/// themselves: the syntax of the stable-diffusion-webui.
pub(crate) fn parse(prompt: &str) -> Vec<Vec<Span>> {
    let mut spans: Vec<Span> = Vec::new();
    // Where each open bracket's spans begin, and which it is.
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut text = String::new();
    let mut characters = prompt.char_indices().peekable();
    while let Some((place, character)) = characters.next() {
        match character {
            '\\' => match characters.next_if(|(_, next)| "()[]\\".contains(*next)) {
                Some((_, literal)) => text.push(literal),
                None => text.push('\\'),
            },
            '(' | '[' => {
                flush(&mut text, &mut spans);
                open.push((spans.len(), character));
            }
            ':' | ')' | ']' => {
                let opening = if character == ']' { '[' } else { '(' };
                let factor = match character {
                    ':' => explicit(&prompt[place + 1..], &mut characters, &open),
                    ')' => Some(EMPHASIS),
                    _ => Some(1.0 / EMPHASIS),
                };
                let begins = open.iter().rposition(|(_, bracket)| *bracket == opening);
                match (factor, begins) {
                    (Some(factor), Some(begins)) => {
                        flush(&mut text, &mut spans);
                        let (first, _) = open.remove(begins);
                        spans[first..].iter_mut().for_each(|span| span.weight *= factor);
                    }
                    _ => text.push(character),
                }
            }
            other => text.push(other),
        }
    }
    flush(&mut text, &mut spans);
    for (first, bracket) in open {
        let factor = if bracket == '(' { EMPHASIS } else { 1.0 / EMPHASIS };
        spans[first..].iter_mut().for_each(|span| span.weight *= factor);
    }
    sections(spans)
}

fn flush(text: &mut String, spans: &mut Vec<Span>) {
    if !text.is_empty() {
        spans.push(Span { text: std::mem::take(text), weight: 1.0 });
    }
}

/// The number of `:number)`, if the text after a colon is that and a round bracket is open; it is consumed then.
fn explicit(rest: &str, characters: &mut Peekable<CharIndices>, open: &[(usize, char)]) -> Option<f32> {
    let (number, _) = rest.split_once(')')?;
    let digits = number.trim().strip_prefix(['+', '-']).unwrap_or(number.trim());
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let factor = number.trim().parse().ok()?;
    open.iter().any(|(_, bracket)| *bracket == '(').then(|| {
        characters.nth(number.chars().count());
        factor
    })
}

/// Divides the spans at `BREAK` and joins neighbours of one weight.
fn sections(spans: Vec<Span>) -> Vec<Vec<Span>> {
    let mut sections: Vec<Vec<Span>> = vec![Vec::new()];
    for Span { text, weight } in spans {
        let weight = weight.clamp(-MAX_WEIGHT, MAX_WEIGHT);
        for (number, part) in at_breaks(&text).into_iter().enumerate() {
            if number > 0 {
                sections.push(Vec::new());
            }
            // A section always exists: the list starts with one and only grows.
            let Some(section) = sections.last_mut() else { continue };
            match section.last_mut() {
                Some(last) if last.weight == weight => last.text.push_str(part),
                _ if part.is_empty() => {}
                _ => section.push(Span { text: part.to_owned(), weight }),
            }
        }
    }
    sections
}

/// The text between the `BREAK`s that stand as words.
fn at_breaks(text: &str) -> Vec<&str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut parts = Vec::new();
    let mut start = 0;
    for (place, _) in text.match_indices(BREAK) {
        let end = place + BREAK.len();
        if !text[..place].ends_with(word) && !text[end..].starts_with(word) {
            parts.push(&text[start..place]);
            start = end;
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(prompt: &str, expected: &[&[(&str, f32)]]) {
        let parsed = parse(prompt);
        assert_eq!(parsed.len(), expected.len(), "{prompt}: {parsed:?}");
        for (section, expected) in parsed.iter().zip(expected) {
            assert_eq!(section.len(), expected.len(), "{prompt}: {section:?}");
            for (span, (text, weight)) in section.iter().zip(*expected) {
                assert_eq!(span.text, *text, "{prompt}");
                assert!((span.weight - weight).abs() < 1e-5, "{prompt}: {span:?} against {weight}");
            }
        }
    }

    #[test]
    fn brackets_weigh_words_as_the_webui_does() {
        check("", &[&[]]);
        check("a red hat", &[&[("a red hat", 1.0)]]);
        check("a (red) hat", &[&[("a ", 1.0), ("red", 1.1), (" hat", 1.0)]]);
        check("a (red:1.3) [hat]", &[&[("a ", 1.0), ("red", 1.3), (" ", 1.0), ("hat", 1.0 / 1.1)]]);
        check("(red: 0.5 )", &[&[("red", 0.5)]]);
        check("(unnecessary)(brackets)", &[&[("unnecessarybrackets", 1.1)]]);
        check(r"a \(literal\) \[one\] \\ \x", &[&[(r"a (literal) [one] \ \x", 1.0)]]);
        check("(left open", &[&[("left open", 1.1)]]);
        check("[left open", &[&[("left open", 1.0 / 1.1)]]);
        check("closed too often) here]", &[&[("closed too often) here]", 1.0)]]);
        check(
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            &[&[
                ("a ", 1.0),
                ("house", 1.573),
                (" ", 1.1),
                ("on", 1.0),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.4641),
                (".", 1.1),
            ]],
        );
    }

    #[test]
    fn a_colon_that_is_no_weight_stays_text() {
        check("a ratio 4:3", &[&[("a ratio 4:3", 1.0)]]);
        check("at 12:30) sharp", &[&[("at 12:30) sharp", 1.0)]]);
        check("(note: red)", &[&[("note: red", 1.1)]]);
        check("(red:1.2.3)", &[&[("red:1.2.3", 1.1)]]);
        check("(red:nan)(red:inf)", &[&[("red:nanred:inf", 1.1)]]);
    }

    #[test]
    fn break_divides_only_as_a_word() {
        check("one BREAK two", &[&[("one ", 1.0)], &[(" two", 1.0)]]);
        check("(one BREAK two:1.2)", &[&[("one ", 1.2)], &[(" two", 1.2)]]);
        check("BREAKFAST for two, break", &[&[("BREAKFAST for two, break", 1.0)]]);
        check("BREAK", &[&[], &[]]);
    }

    #[test]
    fn a_thousand_brackets_still_give_a_number() {
        check(&"(".repeat(1000).chars().chain("x".chars()).collect::<String>(), &[&[("x", MAX_WEIGHT)]]);
        check("(x:99999999999999999999999999999999999999999999999)", &[&[("x", MAX_WEIGHT)]]);
    }

    proptest! {
        #[test]
        fn any_prompt_is_parsed_to_finite_weights(prompt in r"[()\[\]\\:.0-9a-c BREAKé-]{0,40}") {
            for span in parse(&prompt).into_iter().flatten() {
                prop_assert!(span.weight.is_finite() && !span.text.is_empty());
            }
        }
    }
}
