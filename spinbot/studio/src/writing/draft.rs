//! An answer: read, cleaned, and judged by what can be counted.

use super::brief::{Brief, examples};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What narrations never say, in lower case.
const FOREIGN: &[&str] = &[
    "as an ai",
    "language model",
    "narrator:",
    "in this video",
    "in this script",
    "here is a script",
    "json",
    "topic:",
    "tone:",
    "assistant",
    "\"stage\"",
    "word count",
    "[",
    "http",
];
/// Words that carry no topic.
const COMMON: &[&str] = &[
    "all", "and", "any", "are", "can", "for", "had", "has", "her", "him", "his", "how", "its", "new", "not",
    "one", "our", "own", "she", "the", "too", "two", "was", "who", "why", "you", "about", "after", "again",
    "also", "because", "been", "before", "being", "between", "does", "doing", "done", "down", "each",
    "every", "from", "have", "having", "here", "into", "itself", "just", "like", "many", "more", "most",
    "much", "must", "only", "other", "over", "same", "should", "some", "such", "than", "that", "their",
    "them", "then", "there", "these", "they", "this", "those", "three", "through", "under", "until", "very",
    "want", "were", "what", "when", "where", "which", "while", "whom", "will", "with", "would", "your",
    "yours", "explain", "people", "things",
];
/// Letters of a word that are compared: "octopuses" is about "octopus".
const STEM: usize = 5;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    pub(super) stage: String,
    pub(super) narration: String,
    /// Whether its last sentence broke off.
    pub(super) cut: bool,
}

impl Draft {
    /// Reads an answer: JSON with `stage` and `narration`. What is wrong with it is said in short words.
    pub(super) fn read(text: &str, brief: &Brief<'_>) -> Result<Self, String> {
        let value: Value = serde_json::from_str(object_in(text)).map_err(|_| "it is no JSON".to_owned())?;
        let field = |name: &str| {
            let found =
                value.get(name).and_then(Value::as_str).map(str::trim).filter(|found| !found.is_empty());
            found.ok_or_else(|| format!("it has no {name}"))
        };
        let (stage, narration) = (field("stage")?, spoken(field("narration")?));
        let stages = &brief.order.stages;
        let stage = match stages.iter().find(|known| known.eq_ignore_ascii_case(stage)) {
            Some(known) => known.clone(),
            None if stages.is_empty() => spoken(stage).trim_end_matches('.').to_owned(),
            None => return Err(format!("its stage `{stage}` is none of those given")),
        };
        match words(&narration).count() {
            0 => Err("it says nothing".to_owned()),
            _ => {
                let (narration, cut) = whole_sentences(&narration);
                Ok(Draft { stage, narration: shortened(narration, brief), cut })
            }
        }
    }

    /// How good it is, 0..=1, and what is wrong with it.
    pub(super) fn judged(&self, brief: &Brief<'_>) -> (f64, Vec<String>) {
        let said: Vec<String> = words(&self.narration).map(str::to_lowercase).collect();
        let mut problems = Vec::new();
        let mut score = 1.0;
        let mut fault = |cost: f64, what: String| {
            score *= 1.0 - cost;
            problems.push(what);
        };
        let length = said.len() as f64 / brief.words;
        if !(0.75..=1.3).contains(&length) {
            let off = (length.max(1e-3).ln().abs() / 1.5).min(0.9);
            fault(off, format!("{} words for {:.0}", said.len(), brief.words));
        }
        let missing = 1.0 - on_topic(&said, &brief.order.topic);
        if missing > 0.0 {
            fault(0.6 * missing, format!("{:.0} % of the topic's words are missing", missing * 100.0));
        }
        let again = repetition(&said);
        if again > 0.08 {
            fault((again * 2.0).min(0.9), format!("{:.0} % of it repeats itself", again * 100.0));
        }
        let lower = self.narration.to_lowercase();
        if let Some(foreign) = FOREIGN.iter().find(|foreign| lower.contains(**foreign)) {
            fault(0.6, format!("it says “{foreign}”"));
        }
        let copied =
            examples(brief.order.tone).iter().map(|e| shared(&said, e.narration)).fold(0.0, f64::max);
        if copied > 0.1 {
            fault(
                (copied * 2.0).min(0.9),
                format!("{:.0} % of it is copied from an example", copied * 100.0),
            );
        }
        if self.cut {
            fault(0.5, "its last sentence breaks off".to_owned());
        }
        (score, problems)
    }
}

/// The words of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| !c.is_alphanumeric();
    text.split_whitespace().map(move |word| word.trim_matches(ends)).filter(|word| !word.is_empty())
}

/// What an unfinished answer says so far.
pub(super) fn narration_so_far(text: &str) -> String {
    let Some((_, rest)) = text.split_once("\"narration\":") else { return String::new() };
    let Some(rest) = rest.trim_start().strip_prefix('"') else { return String::new() };
    let (mut said, mut letters) = (String::new(), rest.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => match letters.next() {
                Some('n' | 't' | 'r') => said.push(' '),
                // Four digits follow; what they stand for is seen when it is whole.
                Some('u') => drop(letters.by_ref().take(4).count()),
                Some(other) => said.push(other),
                None => break,
            },
            other => said.push(other),
        }
    }
    said
}

/// The first object in a text: models behind a server may write around it.
fn object_in(text: &str) -> &str {
    match (text.find('{'), text.rfind('}')) {
        (Some(first), Some(last)) if first < last => &text[first..=last],
        _ => text,
    }
}

/// One line, without what is not spoken.
fn spoken(text: &str) -> String {
    let silent = |c: char| matches!(c, '*' | '#' | '_' | '`' | '~') || c.is_control() && !c.is_whitespace();
    let text: String = text.chars().filter(|c| !silent(*c)).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Up to the end of the last whole sentence, where that leaves most of it; else with a full stop, and that it was cut.
fn whole_sentences(text: &str) -> (String, bool) {
    let closers = ['"', '\'', ')', '”', '’'];
    if text.trim_end_matches(closers).ends_with(['.', '!', '?']) {
        return (text.to_owned(), false);
    }
    match text.rfind(['.', '!', '?']) {
        Some(end) if end * 5 >= text.len() * 3 => (text[..=end].to_owned(), false),
        _ => (format!("{}.", text.trim_end_matches(|c: char| !c.is_alphanumeric())), true),
    }
}

/// Without the sentences behind those that are enough.
fn shortened(text: String, brief: &Brief<'_>) -> String {
    let mut ends = text.char_indices().filter(|(_, c)| matches!(c, '.' | '!' | '?')).map(|(at, _)| at + 1);
    let enough = ends.find(|end| text[*end..].starts_with(' ') && brief.ends_with(&text[..*end]));
    match enough {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn stem(word: &str) -> String {
    word.to_lowercase().chars().take(STEM).collect()
}

/// The share of the topic's own words that are said.
fn on_topic(said: &[String], topic: &str) -> f64 {
    let said: BTreeSet<String> = said.iter().map(|word| stem(word)).collect();
    let own: BTreeSet<String> = words(topic)
        .filter(|word| word.chars().count() > 2 && !COMMON.contains(&word.to_lowercase().as_str()))
        .map(stem)
        .collect();
    match own.len() {
        0 => 1.0,
        // Half of a long topic's words is enough.
        all => (own.intersection(&said).count() as f64 / (all as f64 * 0.5).ceil()).min(1.0),
    }
}

/// The share of triples of words that were said before.
fn repetition(said: &[String]) -> f64 {
    let mut seen: BTreeMap<&[String], usize> = BTreeMap::new();
    for triple in said.windows(3) {
        *seen.entry(triple).or_default() += 1;
    }
    let again: usize = seen.values().map(|count| count - 1).sum();
    again as f64 / said.len().saturating_sub(2).max(1) as f64
}

/// The share of its runs of four words that another text has.
fn shared(said: &[String], other: &str) -> f64 {
    let other: Vec<String> = words(other).map(str::to_lowercase).collect();
    let theirs: BTreeSet<&[String]> = other.windows(4).collect();
    let runs = said.len().saturating_sub(3).max(1);
    said.windows(4).filter(|run| theirs.contains(run)).count() as f64 / runs as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinbot::steps::{Llm, Tone, WriteScript};

    fn order(stages: &[&str]) -> WriteScript {
        WriteScript {
            topic: "why octopuses have three hearts".into(),
            tone: Tone::Casual,
            persona: None,
            seconds: 10.0,
            words_per_second: 2.0,
            stages: stages.iter().map(|stage| (*stage).to_owned()).collect(),
            llm: Llm::SmolLm2,
            device: "auto".into(),
        }
    }

    #[test]
    fn answers_are_cleaned_and_what_is_wrong_is_named() {
        let order_any = order(&[]);
        let order_two = order(&["in space", "at the beach"]);
        let (any, two) = (Brief::of(&order_any), Brief::of(&order_two));
        let read = |text: &str, brief: &Brief| Draft::read(text, brief).map(|d| (d.stage, d.narration));
        let good =
            r##"{"stage": "A *dark* sea. ", "narration": "# Octopuses\n have   three hearts. Two of"}"##;
        assert_eq!(
            read(good, &any).unwrap(),
            ("A dark sea".into(), "Octopuses have three hearts.".into()),
            "cut to whole sentences"
        );
        assert_eq!(
            read(r#"Sure! {"stage": "In Space", "narration": "Hi"} Done"#, &two).unwrap(),
            ("in space".into(), "Hi.".into())
        );
        for (text, problem) in [
            ("Octopuses!", "no JSON"),
            (r#"{"stage": "in space"}"#, "no narration"),
            (r#"{"stage": " ", "narration": "Hi."}"#, "no stage"),
            (r#"{"stage": "a pub", "narration": "Hi."}"#, "none of those"),
            (r#"{"stage": "in space", "narration": "..."}"#, "says nothing"),
        ] {
            assert!(read(text, &two).unwrap_err().contains(problem), "{text}");
        }
    }

    #[test]
    fn better_drafts_score_higher() {
        let order = order(&[]);
        let brief = Brief::of(&order);
        let judged = |narration: &str| {
            let text = serde_json::json!({"stage": "x", "narration": narration}).to_string();
            Draft::read(&text, &brief).unwrap().judged(&brief)
        };
        let good = "An octopus has three hearts. Two of them push blood through the gills, and the third one feeds the body.";
        let (best, problems) = judged(good);
        assert_eq!((best, problems.len()), (1.0, 0), "{problems:?}");
        for (worse, problem) in [
            ("An octopus has three hearts.", "5 words for 20"),
            (
                "Bread is made of flour and water and salt, and you bake it until it smells good and tastes even better.",
                "missing",
            ),
            (
                "The octopus has a heart and the octopus has a heart and the octopus has a heart and it has a heart.",
                "repeats",
            ),
            (
                "As an AI I think an octopus has three hearts, two of them push blood through the gills, and one the body.",
                "as an ai",
            ),
            (
                "It is all thanks to yeast, tiny living things that love sugar, said the octopus with three hearts and eight arms.",
                "copied",
            ),
            (
                "An octopus has three hearts and two of them push blood through the gills, and the third one feeds the body",
                "breaks off",
            ),
        ] {
            let (score, problems) = judged(worse);
            assert!(score < 0.85, "{worse}: {score} {problems:?}");
            assert!(problems.iter().any(|p| p.contains(problem)), "{worse}: {problems:?}");
        }
    }

    #[test]
    fn a_topic_of_short_words_is_seen_in_what_is_said() {
        let said = |text: &str| words(text).map(str::to_lowercase).collect::<Vec<_>>();
        assert_eq!(on_topic(&said("Tea came from China."), "the history of tea"), 1.0);
        assert_eq!(on_topic(&said("Bread is old."), "the history of tea"), 0.0);
        assert_eq!(on_topic(&said("Bread is old."), "how to be"), 1.0, "nothing to look for");
    }

    #[test]
    fn an_unfinished_answer_is_read_as_far_as_it_goes() {
        for (text, said) in [
            (r#"{"stage":"a"#, ""),
            (r#"{"stage":"a","narration":"#, ""),
            (r#"{"stage":"a","narration":"It is"#, "It is"),
            (r#"{"stage":"a","narration":"He said \"hi\", é\u00e9\nthen"#, "He said \"hi\", é then"),
            (r#"{"stage":"a","narration":"All."}"#, "All."),
            (r#"{"stage":"a","narration":"All\"#, "All"),
        ] {
            assert_eq!(narration_so_far(text), said, "{text}");
        }
    }
}
