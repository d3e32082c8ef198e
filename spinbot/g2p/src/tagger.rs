//! Parts of speech: a small network that follows spaCy's tags, which misaki's rules are written for.
//!
//! `recipe/corpus.py` and `recipe/tagger.py` make the weights. What a tag means for a word's sound is the lexicon's
//! business.

use std::sync::OnceLock;

use crate::weights::{Convolution, Matrix, Weights};

/// A part of speech: the Penn treebank's tags as far as they matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Noun,
    ProperNoun,
    Verb,
    Past,
    Gerund,
    Participle,
    Present,
    PresentThird,
    Modal,
    Adjective,
    Adverb,
    Particle,
    Determiner,
    Preposition,
    To,
    Pronoun,
    Number,
    Conjunction,
    Question,
    Interjection,
    Possessive,
    Other,
}

impl Tag {
    /// In the order of the network's outputs.
    const ALL: [Self; 22] = [
        Self::Noun,
        Self::ProperNoun,
        Self::Verb,
        Self::Past,
        Self::Gerund,
        Self::Participle,
        Self::Present,
        Self::PresentThird,
        Self::Modal,
        Self::Adjective,
        Self::Adverb,
        Self::Particle,
        Self::Determiner,
        Self::Preposition,
        Self::To,
        Self::Pronoun,
        Self::Number,
        Self::Conjunction,
        Self::Question,
        Self::Interjection,
        Self::Possessive,
        Self::Other,
    ];

    /// The name a dictionary entry may know it by.
    pub fn penn(self) -> &'static str {
        match self {
            Self::Past => "VBD",
            Self::Participle => "VBN",
            Self::Present => "VBP",
            Self::Determiner => "DT",
            _ => "",
        }
    }

    /// The class a dictionary entry may know it by.
    pub fn parent(self) -> &'static str {
        match self {
            Self::Noun | Self::ProperNoun => "NOUN",
            Self::Verb
            | Self::Past
            | Self::Gerund
            | Self::Participle
            | Self::Present
            | Self::PresentThird => "VERB",
            Self::Adjective => "ADJ",
            Self::Adverb => "ADV",
            _ => "",
        }
    }
}

/// Words of context on each side: what two convolutions of five see.
const REACH: usize = 4;
/// Longest run of words read at once, so that memory stays bounded.
const RUN: usize = 2000;

/// The network.
pub(crate) struct Tagger {
    tables: [Matrix; 6],
    near: Convolution,
    far: Convolution,
    out: Matrix,
    bias: Vec<f32>,
}

/// Names of the embedding tables; a table's place plus one is the seed of its hash.
const TABLES: [&str; 6] = ["form", "form_again", "end3", "end2", "start", "shape"];

impl Tagger {
    /// The network, read once and kept.
    pub fn get() -> &'static Self {
        static TAGGER: OnceLock<Tagger> = OnceLock::new();
        TAGGER.get_or_init(|| {
            let mut weights = Weights::embedded(include_bytes!("../data/tagger.safetensors"));
            Self {
                tables: TABLES.map(|name| weights.matrix(&format!("{name}.weight"))),
                near: Convolution::take(&mut weights, "near"),
                far: Convolution::take(&mut weights, "far"),
                out: weights.matrix("out.weight"),
                bias: weights.vector("out.bias"),
            }
        })
    }

    /// The part of speech of each word of a paragraph. Words are cut as spaCy cuts them: "do" "n't", "John" "'s".
    pub fn tag(&self, words: &[&str]) -> Vec<Tag> {
        words.chunks(RUN).flat_map(|run| self.run(run)).collect()
    }

    fn run(&self, words: &[&str]) -> Vec<Tag> {
        let edge = self.embed("");
        let mut x = vec![edge.clone(); REACH];
        x.extend(words.iter().map(|w| self.embed(w)));
        x.extend(std::iter::repeat_n(edge, REACH));
        let x = self.far.residual(&self.near.residual(&x));
        x[REACH..x.len() - REACH]
            .iter()
            .map(|x| {
                let mut scores = self.bias.clone();
                self.out.add_product(0, x, &mut scores);
                let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
                best.and_then(|b| Tag::ALL.get(b).copied()).unwrap_or(Tag::Other)
            })
            .collect()
    }

    fn embed(&self, word: &str) -> Vec<f32> {
        let low = word.to_lowercase();
        let cut = |skip: usize, take: usize| low.chars().skip(skip).take(take).collect::<String>();
        let length = low.chars().count();
        let parts = [
            low.clone(),
            low.clone(),
            cut(length.saturating_sub(3), 3),
            cut(length.saturating_sub(2), 2),
            cut(0, 3),
            shape(word),
        ];
        let mut x = vec![0.0; self.near.width()];
        for ((table, part), seed) in self.tables.iter().zip(&parts).zip(1..) {
            table.add_row(fnv(seed, part) as usize % table.rows(), &mut x);
        }
        x
    }
}

/// FNV-1a of the seed and the text, its high bits folded in.
fn fnv(seed: u8, text: &str) -> u32 {
    let hash = std::iter::once(seed)
        .chain(text.bytes())
        .fold(2_166_136_261u32, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
    hash ^ hash >> 15
}

/// Capitals, small letters and digits in runs of two at most; other signs stand for themselves; six in all.
fn shape(word: &str) -> String {
    let mut out: Vec<char> = Vec::new();
    for c in word.chars() {
        let kind = match c {
            c if c.is_uppercase() => 'X',
            c if c.is_alphabetic() => 'x',
            c if c.is_numeric() => '0',
            c => c,
        };
        if !out.ends_with(&[kind, kind]) {
            out.push(kind);
        }
        if out.len() == 6 {
            break;
        }
    }
    out.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_sound_by_their_tag_are_told_apart() {
        use Tag::*;
        let cases: &[(&str, usize, Tag)] = &[
            ("They want to record a new record .", 3, Verb),
            ("They want to record a new record .", 6, Noun),
            ("He read the book yesterday .", 1, Past),
            ("I have read it .", 2, Participle),
            ("She will read it .", 2, Verb),
            ("We use it every day .", 1, Present),
            ("The use of it is free .", 1, Noun),
            ("Please object to the object .", 4, Noun),
            ("She lives in Paris .", 2, Preposition),
            ("They close the door .", 1, Present),
        ];
        for &(text, at, want) in cases {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(Tagger::get().tag(&words)[at], want, "{text}: {}", words[at]);
        }
    }

    #[test]
    fn odd_words_are_tagged_too() {
        let long = "x".repeat(5000);
        let words = ["", "\u{0}", "é", "日本", long.as_str(), "🦀"];
        assert_eq!(Tagger::get().tag(&words).len(), words.len());
        assert_eq!(Tagger::get().tag(&vec!["a"; RUN + 3]).len(), RUN + 3);
        assert!(Tagger::get().tag(&[]).is_empty());
    }

    #[test]
    fn shapes_match_the_recipe() {
        for (word, want) in
            [("McDonald's", "XxXxx'"), ("1990s", "00x"), ("NASA", "XX"), ("e.g.", "x.x."), ("", "")]
        {
            assert_eq!(shape(word), want);
        }
    }
}
