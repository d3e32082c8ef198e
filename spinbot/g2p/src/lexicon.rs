//! How a single word sounds: dictionary, capitals, endings, initials and the words that depend on what follows.
//!
//! The rules are those that misaki 0.9.4 (Apache-2.0) applies to its dictionaries, so that Kokoro hears what it was
//! trained on. Numbers and abbreviations are words by now (`normalise`), unknown words are still unknown (`unknown`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::dictionary::{Dictionary, Entry};
use crate::markup::single_spaced;
use crate::phoneme::is_stressable;
use crate::stress::{PRIMARY, SECONDARY, Stress, apply};
use crate::tagger::Tag;
use crate::{Accent, Origin};

/// What is known of the sounds after a word; words are said from the last to the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Context {
    /// Whether a vowel follows; `None` before a pause or the end.
    pub vowel: Option<bool>,
    /// Whether the next word is "to".
    pub to: bool,
}

/// A word's sound and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pronunciation {
    pub phonemes: String,
    pub origin: Origin,
}

/// The words of one accent and the user's own.
pub(crate) struct Lexicon<'a> {
    accent: Accent,
    dictionary: &'static Dictionary,
    overrides: &'a BTreeMap<String, String>,
}

/// Signs that are words.
pub(crate) fn symbol(word: &str) -> Option<&'static str> {
    Some(match word {
        "%" => "percent",
        "&" => "and",
        "+" => "plus",
        "@" => "at",
        _ => return None,
    })
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().collect::<String>() + &chars.as_str().to_lowercase())
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

fn is_alphabetic(word: &str) -> bool {
    !word.is_empty() && word.chars().all(char::is_alphabetic)
}

impl<'a> Lexicon<'a> {
    pub fn new(accent: Accent, overrides: &'a BTreeMap<String, String>) -> Self {
        Self { accent, dictionary: Dictionary::of(accent), overrides }
    }

    pub fn accent(&self) -> Accent {
        self.accent
    }

    /// How a word of running text sounds; `None` if neither dictionary nor rules know it.
    pub fn say(&self, word: &str, tag: Tag, context: Context) -> Option<Pronunciation> {
        if let Some(own) = self.own(word) {
            return Some(own);
        }
        let stress = match word {
            _ if is_lower(word) => None,
            _ if is_upper(word) => Some(Stress::Primary),
            _ => Some(Stress::AtLeastSecondary),
        };
        self.word(word, tag, stress, context)
    }

    /// How a word of an expansion (a number, a unit) sounds, whatever its part of speech.
    pub fn say_expanded(&self, word: &str) -> Option<Pronunciation> {
        if let Some(own) = self.own(word) {
            return Some(own);
        }
        match word {
            // Between two words of a number neither has any weight of its own.
            "point" => self.lookup(word, None, Some(Stress::Strip), None),
            _ if self.is_known(word) => self.lookup(word, None, None, None),
            _ => self.inflected(word, None, None, None),
        }
    }

    /// A word said by the names of its letters, the last one strongest.
    pub fn spell(&self, word: &str) -> Option<Pronunciation> {
        let names: Option<String> = word
            .chars()
            .filter(|c| c.is_alphabetic())
            .map(|c| self.gold(&c.to_uppercase().to_string()).and_then(|e| e.default))
            .collect();
        let level = apply(&names.filter(|n| !n.is_empty())?, Some(Stress::Secondary));
        let phonemes = match level.rfind(SECONDARY) {
            Some(at) => format!("{}{PRIMARY}{}", &level[..at], &level[at + SECONDARY.len_utf8()..]),
            None => level,
        };
        Some(Pronunciation { phonemes, origin: Origin::Spelled })
    }

    fn own(&self, word: &str) -> Option<Pronunciation> {
        if self.overrides.is_empty() {
            return None;
        }
        let own = self.overrides.get(word).or_else(|| self.overrides.get(&word.to_lowercase()))?;
        Some(Pronunciation { phonemes: single_spaced(own), origin: Origin::Override })
    }

    /// The entry of a key, or of the key with its first letter the other case; gold before silver.
    fn find(&self, word: &str) -> Option<Entry> {
        let exact = self.dictionary.get(word);
        if exact.as_ref().is_some_and(|e| e.gold) {
            return exact;
        }
        let other = if word.chars().nth(1).is_none() {
            None
        } else if is_lower(word) {
            Some(capitalised(word)).filter(|c| c != word)
        } else {
            Some(word.to_lowercase()).filter(|l| capitalised(l) == word)
        };
        let other = other.and_then(|o| self.dictionary.get(&o));
        match other {
            Some(other) if other.gold || exact.is_none() => Some(other),
            _ => exact,
        }
    }

    fn gold(&self, word: &str) -> Option<Entry> {
        self.find(word).filter(|e| e.gold)
    }

    fn is_known(&self, word: &str) -> bool {
        if symbol(word).is_some() || self.find(word).is_some() {
            return true;
        }
        if !is_alphabetic(word) || !word.is_ascii() {
            return false;
        }
        word.len() == 1 || is_upper(word) && self.gold(&word.to_lowercase()).is_some() || is_upper(&word[1..])
    }

    fn gold_default(&self, word: &str) -> Option<Pronunciation> {
        Some(Pronunciation { phonemes: self.gold(word)?.default?, origin: Origin::Dictionary })
    }

    /// A known word with the reading its tag asks for. Capitals that no dictionary holds are initials.
    fn lookup(
        &self,
        word: &str,
        tag: Option<Tag>,
        stress: Option<Stress>,
        context: Option<Context>,
    ) -> Option<Pronunciation> {
        let shouted = is_upper(word) && self.gold(word).is_none();
        let name = shouted && tag == Some(Tag::ProperNoun);
        let word = if shouted { Cow::Owned(word.to_lowercase()) } else { Cow::Borrowed(word) };
        let entry = self.find(&word).filter(|e| e.gold || !name);
        let reading = entry.and_then(|e| {
            let of = |key: &str| e.others.iter().find(|(t, _)| *t == key).map(|(_, r)| r.clone());
            let before_pause = context.is_some_and(|c| c.vowel.is_none()).then(|| of("None")).flatten();
            before_pause
                .or_else(|| tag.and_then(|t| of(t.penn()).or_else(|| of(t.parent()))))
                .unwrap_or(e.default)
        });
        match reading {
            Some(phonemes) if !name || phonemes.contains(PRIMARY) => {
                Some(Pronunciation { phonemes: apply(&phonemes, stress), origin: Origin::Dictionary })
            }
            _ => self.spell(&word),
        }
    }

    fn word(&self, word: &str, tag: Tag, stress: Option<Stress>, context: Context) -> Option<Pronunciation> {
        if let Some(special) = self.special(word, tag, stress, context) {
            return Some(special);
        }
        let lower = word.to_lowercase();
        // "Walked" and "WALKED" are "walked"; a short name keeps its capitals, it may be initials.
        let folds = word.chars().nth(1).is_some()
            && is_alphabetic(&word.replace('\'', ""))
            && word != lower
            && (tag != Tag::ProperNoun || word.chars().nth(7).is_some())
            && (is_upper(word) || capitalised(word) == word)
            && self.find(word).is_none()
            && (self.find(&lower).is_some()
                || self.inflected(&lower, Some(tag), stress, Some(context)).is_some());
        let word = if folds { lower.as_str() } else { word };
        if self.is_known(word) {
            return self.lookup(word, Some(tag), stress, Some(context));
        }
        if let Some(owner) = word.strip_suffix("s'").map(|w| format!("{w}'s")).filter(|w| self.is_known(w)) {
            return self.lookup(&owner, Some(tag), stress, Some(context));
        }
        if let Some(stem) = word.strip_suffix('\'').filter(|w| self.is_known(w)) {
            return self.lookup(stem, Some(tag), stress, Some(context));
        }
        self.inflected(word, Some(tag), stress, Some(context))
    }

    /// Words that sound by what follows them or by their part of speech beyond what entries hold.
    fn special(
        &self,
        word: &str,
        tag: Tag,
        stress: Option<Stress>,
        context: Context,
    ) -> Option<Pronunciation> {
        let fixed = |phonemes: &str| {
            Some(Pronunciation { phonemes: phonemes.to_owned(), origin: Origin::Dictionary })
        };
        if let Some(name) = symbol(word) {
            return self.lookup(name, None, None, Some(context));
        }
        // Letters with dots between them: U.S., e.g
        if word.trim_matches('.').contains('.')
            && is_alphabetic(&word.replace('.', ""))
            && word.split('.').all(|part| part.chars().count() < 3)
        {
            return self.spell(word);
        }
        let noun = tag.parent() == "NOUN";
        match word {
            "a" | "A" => fixed(if tag == Tag::Determiner { "ɐ" } else { "ˈA" }),
            "am" | "Am" | "AM" if noun => self.spell(word),
            "am" | "Am" | "AM" => {
                let strong = stress.is_some_and(|s| s != Stress::Secondary);
                if context.vowel.is_none() || word != "am" || strong {
                    self.gold_default("am")
                } else {
                    fixed("ɐm")
                }
            }
            "AN" if noun => self.spell(word),
            "an" | "An" | "AN" => fixed("ɐn"),
            "I" if tag == Tag::Pronoun => fixed("ˌI"),
            "by" | "By" | "BY" if tag.parent() == "ADV" => fixed("bˈI"),
            "TO" if !matches!(tag, Tag::To | Tag::Preposition) => None,
            "to" | "To" | "TO" => match context.vowel {
                None => self.gold_default("to"),
                Some(false) => fixed("tə"),
                Some(true) => fixed("tʊ"),
            },
            "IN" if tag == Tag::ProperNoun => None,
            "in" | "In" | "IN" => {
                let stressed = context.vowel.is_none() || tag != Tag::Preposition;
                fixed(if stressed { "ˈɪn" } else { "ɪn" })
            }
            "THE" if tag != Tag::Determiner => None,
            "the" | "The" | "THE" => fixed(if context.vowel == Some(true) { "ði" } else { "ðə" }),
            "used" | "Used" | "USED" => {
                let habit = context.to && matches!(tag, Tag::Past | Tag::Adjective);
                let entry = self.gold("used")?;
                let habitual = entry.others.into_iter().find(|(t, _)| *t == "VBD").and_then(|(_, r)| r);
                fixed(&habitual.filter(|_| habit).or(entry.default)?)
            }
            _ => None,
        }
    }

    /// A known stem with -s, -ed or -ing.
    fn inflected(
        &self,
        word: &str,
        tag: Option<Tag>,
        stress: Option<Stress>,
        context: Option<Context>,
    ) -> Option<Pronunciation> {
        let known = |stem: &str| self.is_known(stem).then(|| stem.to_owned());
        let said = |stem: Option<String>, stress| self.lookup(&stem?, tag, stress, context);
        let with = |p: Pronunciation, end: fn(&Self, &str) -> Option<String>| {
            let phonemes = end(self, &p.phonemes)?;
            Some(Pronunciation { phonemes, ..p })
        };
        said(plural_stem(word, known), stress)
            .and_then(|p| with(p, Self::add_s))
            .or_else(|| said(past_stem(word, known), stress).and_then(|p| with(p, Self::add_ed)))
            .or_else(|| {
                let stress = stress.or(Some(Stress::AtLeastSecondary));
                said(gerund_stem(word, known), stress).and_then(|p| with(p, Self::add_ing))
            })
    }

    /// The -s of plurals, owners and verbs, as the sound before it asks for.
    pub fn add_s(&self, stem: &str) -> Option<String> {
        let end = match stem.chars().last()? {
            'p' | 't' | 'k' | 'f' | 'θ' => "s",
            's' | 'z' | 'ʃ' | 'ʒ' | 'ʧ' | 'ʤ' => match self.accent {
                Accent::Us => "ᵻz",
                Accent::Uk => "ɪz",
            },
            _ => "z",
        };
        Some(format!("{stem}{end}"))
    }

    fn add_ed(&self, stem: &str) -> Option<String> {
        let mut back = stem.chars().rev();
        let (last, before) = (back.next()?, back.next());
        let vowel = match self.accent {
            Accent::Us => "ᵻd",
            Accent::Uk => "ɪd",
        };
        Some(match last {
            'p' | 'k' | 'f' | 'θ' | 'ʃ' | 's' | 'ʧ' => format!("{stem}t"),
            'd' => format!("{stem}{vowel}"),
            't' if before.is_none() => format!("{stem}ɪd"),
            't' if self.flaps_after(before) => format!("{}ɾᵻd", &stem[..stem.len() - 1]),
            't' => format!("{stem}{vowel}"),
            _ => format!("{stem}d"),
        })
    }

    fn add_ing(&self, stem: &str) -> Option<String> {
        let mut back = stem.chars().rev();
        let (last, before) = (back.next()?, back.next());
        match self.accent {
            // A linking r would be needed, which the stem does not show.
            Accent::Uk if matches!(last, 'ə' | 'ː') => None,
            _ if last == 't' && self.flaps_after(before) => Some(format!("{}ɾɪŋ", &stem[..stem.len() - 1])),
            _ => Some(format!("{stem}ɪŋ")),
        }
    }

    /// Whether an American t after this sound becomes a tap between vowels.
    fn flaps_after(&self, before: Option<char>) -> bool {
        self.accent == Accent::Us && before.is_some_and(|c| "AIOWYiuæɑəɛɪɹʊʌ".contains(c))
    }
}

fn plural_stem(word: &str, known: impl Fn(&str) -> Option<String>) -> Option<String> {
    let bare = word.strip_suffix('s').filter(|b| b.len() > 1)?;
    let long = word.len() > 4;
    let direct = (!bare.ends_with('s')).then(|| known(bare)).flatten();
    direct
        .or_else(|| bare.strip_suffix('\'').and_then(&known))
        .or_else(|| bare.strip_suffix('e').filter(|b| long && !b.ends_with('i')).and_then(&known))
        .or_else(|| bare.strip_suffix("ie").filter(|_| long).and_then(|b| known(&format!("{b}y"))))
}

fn past_stem(word: &str, known: impl Fn(&str) -> Option<String>) -> Option<String> {
    let bare = word.strip_suffix('d').filter(|b| b.len() > 2)?;
    let direct = (!bare.ends_with('d')).then(|| known(bare)).flatten();
    direct.or_else(|| bare.strip_suffix('e').filter(|b| word.len() > 4 && !b.ends_with('e')).and_then(&known))
}

fn gerund_stem(word: &str, known: impl Fn(&str) -> Option<String>) -> Option<String> {
    let bare = word.strip_suffix("ing").filter(|b| b.len() > 1)?;
    let long = word.len() > 5;
    let direct = long.then(|| known(bare)).flatten();
    direct.or_else(|| known(&format!("{bare}e"))).or_else(|| {
        let mut back = bare.chars().rev();
        let (last, before) = (back.next()?, back.next()?);
        let doubled = last == before && "bcdgklmnprstvxz".contains(last) || bare.ends_with("ck");
        known(bare.strip_suffix(last)?).filter(|_| long && doubled)
    })
}

/// What the word before `phonemes` hears of them.
pub(crate) fn heard(phonemes: &str, context: Context) -> Option<bool> {
    const CONSONANTS: &str = "bdfhjklmnpstvwzðŋɡɹɾʃʒʤʧθ";
    for c in phonemes.chars() {
        if ";:,.!?—…".contains(c) {
            return None;
        }
        if is_stressable(c) {
            return Some(true);
        }
        if CONSONANTS.contains(c) {
            return Some(false);
        }
    }
    context.vowel
}
