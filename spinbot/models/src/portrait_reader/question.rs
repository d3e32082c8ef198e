//! What a prompt asks of a portrait, by the phrases that the reader's file brings with it.

use serde::Deserialize;

/// One thing a prompt asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Index of the attribute.
    pub(super) attribute: usize,
    /// Indices of its values that satisfy the prompt.
    pub(super) values: Vec<usize>,
    /// What it is about: `glasses`, `behind`.
    pub about: String,
    /// The prompt's own words.
    pub words: String,
}

/// What a portrait shows of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What is seen.
    pub seen: String,
    /// Whether that is what was asked.
    pub obeyed: bool,
    /// How sure it is that the portrait shows what was asked: 0..=1.
    pub share: f32,
}

/// An attribute the reader tells.
#[derive(Debug, Deserialize)]
pub(super) struct Attribute {
    name: String,
    pub(super) values: Vec<String>,
}

/// A question as the file lists it.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    attribute: String,
    values: Vec<String>,
    phrases: Vec<String>,
}

/// One question for each attribute that the prompt names: of several the one with most words, then the first.
pub(super) fn asked(prompt: &str, attributes: &[Attribute], questions: &[Asked]) -> Vec<Question> {
    let clauses = clauses(prompt);
    let mut found: Vec<(usize, usize, Question)> = Vec::new();
    for question in questions {
        let Some(attribute) = attributes.iter().position(|known| known.name == question.attribute) else {
            continue;
        };
        let Some((words, place, matched)) = best(&clauses, &question.phrases) else { continue };
        let values = &attributes[attribute].values;
        let new = Question {
            attribute,
            values: question.values.iter().filter_map(|v| values.iter().position(|k| k == v)).collect(),
            about: question.attribute.clone(),
            words: matched,
        };
        match found.iter_mut().find(|(_, _, known)| known.attribute == attribute) {
            Some(known) if (words, known.1) > (known.0, place) => *known = (words, place, new),
            Some(_) => {}
            None => found.push((words, place, new)),
        }
    }
    found.sort_by_key(|(_, place, _)| *place);
    found.into_iter().map(|(.., question)| question).collect()
}

/// The prompt's words in lower case, apart where punctuation or brackets part them.
fn clauses(prompt: &str) -> Vec<Vec<String>> {
    let prompt = prompt.to_lowercase();
    let parts = prompt.split(|c: char| !(c.is_alphanumeric() || c.is_whitespace() || c == '-' || c == '\''));
    parts.map(|part| part.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Of the phrases that occur the one with most words: how many, where it begins, and as it stands there.
fn best(clauses: &[Vec<String>], phrases: &[String]) -> Option<(usize, usize, String)> {
    let mut best: Option<(usize, usize, String)> = None;
    for phrase in phrases {
        let wanted: Vec<&str> = phrase.split(' ').collect();
        let words = wanted.iter().filter(|word| **word != "*").count();
        let mut before = 0;
        for clause in clauses {
            for start in 0..clause.len() {
                let Some(length) = matched(&clause[start..], &wanted) else { continue };
                let place = before + start;
                if best.as_ref().is_none_or(|(most, first, _)| (words, *first) > (*most, place)) {
                    best = Some((words, place, clause[start..start + length].join(" ")));
                }
            }
            before += clause.len();
        }
    }
    best
}

/// How many words from the first on the phrase takes, if it begins there. `*` is one word or none.
fn matched(words: &[String], wanted: &[&str]) -> Option<usize> {
    match wanted {
        [] => Some(0),
        ["*", rest @ ..] => {
            let skipped = words.get(1..).and_then(|after| matched(after, rest)).map(|length| length + 1);
            matched(words, rest).or(skipped)
        }
        [first, rest @ ..] => match words.split_first() {
            Some((word, after)) if word == first => matched(after, rest).map(|length| length + 1),
            _ => None,
        },
    }
}
