//! The sounds of a run of tokens: words in their context, from the last to the first.
//!
//! Pieces that touch are tried together, the longest known run from the right, as misaki does: "well-known" may be one
//! entry, "COVID-19" is none and falls into its pieces.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use crate::lexicon::{Context, Lexicon, heard};
use crate::normalise::{self, Reading};
use crate::numbers;
use crate::pieces::LONGEST_RUN;
use crate::stress::{PRIMARY, Stress, apply};
use crate::tagger::Tag;
use crate::token::{Kind, Token};
use crate::unknown::Speller;
use crate::{Accent, Origin};

/// Pieces of a word that have no sound of their own.
const SILENT: &str = "',-._/";

/// What a token sounds like.
#[derive(Debug, Clone)]
pub(crate) struct Sound {
    pub phonemes: String,
    /// Whether it is parted from the piece before it by a space.
    pub spaced: bool,
    pub origin: Origin,
}

/// Says words in one accent.
pub(crate) struct Voice<'a> {
    lexicon: Lexicon<'a>,
    /// What the network said of words, so that it says each once.
    unknown: RefCell<HashMap<String, String>>,
}

impl<'a> Voice<'a> {
    pub fn new(accent: Accent, overrides: &'a BTreeMap<String, String>) -> Self {
        Self { lexicon: Lexicon::new(accent, overrides), unknown: RefCell::default() }
    }

    /// The sound of each token.
    pub fn say(&self, tokens: &[Token]) -> Vec<Sound> {
        let silent = Sound { phonemes: String::new(), spaced: false, origin: Origin::Silent };
        let mut sounds = vec![silent; tokens.len()];
        let mut context = Context::default();
        let mut end = tokens.len();
        while let Some(last) = end.checked_sub(1) {
            let token = &tokens[last];
            match &token.kind {
                Kind::Piece => {
                    let start = group_start(tokens, last);
                    self.group(&tokens[start..end], &mut sounds[start..end], &mut context);
                    end = start;
                    continue;
                }
                Kind::Mark(mark) => sounds[last].phonemes.clone_from(mark),
                Kind::Given(phonemes) => {
                    sounds[last].phonemes.clone_from(phonemes);
                    sounds[last].origin = Origin::Override;
                }
                Kind::Say(readings) => {
                    sounds[last] = self.readings(readings, context);
                    // "help" "at" "example": expansions are words of their own.
                    sounds[last].spaced = last > 0 && !matches!(tokens[last - 1].kind, Kind::Mark(_));
                }
            }
            sounds[last].phonemes = apply(&sounds[last].phonemes, token.stress);
            context = Context { vowel: heard(&sounds[last].phonemes, context), to: false };
            end = last;
        }
        sounds
    }

    /// An expansion, word by word.
    fn readings(&self, readings: &[Reading], mut context: Context) -> Sound {
        let mut origin = Origin::Override;
        let mut said: Vec<String> = Vec::with_capacity(readings.len());
        let mut rest = false;
        for reading in readings.iter().rev() {
            let found = match reading {
                Reading::Word(word) => {
                    // These change with what follows them even here.
                    let tag = match word.as_str() {
                        "to" => Some(Tag::To),
                        "the" | "a" => Some(Tag::Determiner),
                        _ => None,
                    };
                    let known = match tag {
                        Some(tag) => self.lexicon.say(word, tag, context),
                        None => self.lexicon.say_expanded(word),
                    };
                    Some(known.map_or_else(|| self.unknown(word), |p| (p.phonemes, p.origin)))
                }
                Reading::Letters(letters) => self.lexicon.spell(letters).map(|p| (p.phonemes, p.origin)),
                Reading::Rest => {
                    rest = true;
                    context = Context::default();
                    None
                }
            };
            let Some((mut phonemes, from)) = found.filter(|(phonemes, _)| !phonemes.is_empty()) else {
                continue;
            };
            origin = origin.max(from);
            context = Context { vowel: heard(&phonemes, context), to: false };
            if std::mem::take(&mut rest) {
                phonemes.push(',');
            }
            said.push(phonemes);
        }
        said.reverse();
        if said.is_empty() {
            origin = Origin::Silent;
        }
        Sound { phonemes: said.join(" "), spaced: false, origin }
    }

    fn unknown(&self, word: &str) -> (String, Origin) {
        let letters = word.chars().filter(char::is_ascii_alphabetic).count();
        let vowels = word.chars().any(|c| "aeiouyAEIOUY".contains(c));
        // No word is as long as the longest piece.
        if (letters > 0 && !vowels && letters < 6 || letters >= LONGEST_RUN)
            && let Some(spelled) = self.lexicon.spell(word)
        {
            return (spelled.phonemes, spelled.origin);
        }
        let mut said = self.unknown.borrow_mut();
        let phonemes = said
            .entry(word.to_owned())
            .or_insert_with(|| Speller::get().say(word, self.lexicon.accent()))
            .clone();
        let origin = if phonemes.is_empty() { Origin::Silent } else { Origin::Network };
        (phonemes, origin)
    }

    /// Pieces that touch.
    fn group(&self, tokens: &[Token], sounds: &mut [Sound], context: &mut Context) {
        /// Longest run of pieces that is looked up as one.
        const LONGEST: usize = 12;
        let mut known = vec![false; tokens.len()];
        let mut right = tokens.len();
        while right > 0 {
            let left = right.saturating_sub(LONGEST);
            let found = (left..right).find_map(|left| {
                let run = &tokens[left..right];
                let said = match run {
                    [one] => self.piece(one, tokens, left, *context),
                    _ => {
                        let text: String = run.iter().map(|t| t.text.as_str()).collect();
                        let known = self.lexicon.say(&text, strongest_tag(run), *context);
                        known.map(|p| (p.phonemes, p.origin)).or_else(|| {
                            let sound = self.readings(&Reading::all(normalise::counted(&text)?), *context);
                            Some((sound.phonemes, sound.origin))
                        })
                    }
                };
                said.map(|(phonemes, origin)| (left, phonemes, origin))
            });
            let Some((left, phonemes, origin)) = found else {
                right -= 1;
                continue;
            };
            let stress = tokens[left..right].iter().find_map(|t| t.stress);
            let phonemes = apply(&phonemes, stress);
            let text = tokens[left..right].iter().map(|t| t.text.as_str()).collect::<String>();
            let to = match text.as_str() {
                "to" | "To" => true,
                "TO" => matches!(tokens[left].tag, Tag::To | Tag::Preposition),
                _ => false,
            };
            *context = Context { vowel: heard(&phonemes, *context), to };
            known[left] = true;
            sounds[left] = Sound { phonemes, spaced: false, origin };
            right = left;
        }
        join(tokens, sounds, &known);
    }

    /// A single piece; `None` for one without a sound.
    fn piece(&self, token: &Token, group: &[Token], at: usize, context: Context) -> Option<(String, Origin)> {
        let text = token.text.as_str();
        let between_letters = at > 0
            && at + 1 < group.len()
            && group[at - 1].text.ends_with(char::is_alphabetic)
            && group[at + 1].text.starts_with(char::is_alphabetic);
        if text == "2" && between_letters {
            return self.lexicon.say("to", token.tag, context).map(|p| (p.phonemes, p.origin));
        }
        if text.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == ',') && text.len() > 1
            || text.bytes().all(|b| b.is_ascii_digit())
        {
            let words = match numbers::Number::read(text) {
                Some(number) if at == 0 || !number.fraction.is_empty() => number.words_alone(),
                Some(_) => numbers::code(text),
                None => numbers::digits(text),
            };
            let sound = self.readings(&Reading::all(words), context);
            return (!sound.phonemes.is_empty()).then_some((sound.phonemes, sound.origin));
        }
        // A long word in capitals that no dictionary holds is shouted rather than spelled.
        let shouted = text.len() > 5 && text.bytes().all(|b| b.is_ascii_uppercase());
        if let Some(p) = self.lexicon.say(text, token.tag, context)
            && !(shouted && p.origin == Origin::Spelled && text.contains(['A', 'E', 'I', 'O', 'U']))
        {
            return Some((p.phonemes, p.origin));
        }
        if let Some(name) = greek(text) {
            return self.lexicon.say_expanded(name).map(|p| (p.phonemes, p.origin));
        }
        if text.chars().all(|c| SILENT.contains(c)) {
            return None;
        }
        let (phonemes, origin) = self.unknown(text);
        (!phonemes.is_empty()).then_some((phonemes, origin))
    }
}

/// Where the run of touching pieces that ends at `last` begins.
fn group_start(tokens: &[Token], last: usize) -> usize {
    let mut start = last;
    while start > 0 && tokens[start - 1].kind == Kind::Piece && !tokens[start - 1].space {
        start -= 1;
    }
    start
}

/// The tag of the piece with the most capitals and letters.
fn strongest_tag(tokens: &[Token]) -> Tag {
    let weight = |t: &Token| t.text.chars().map(|c| if c.is_uppercase() { 2 } else { 1 }).sum::<usize>();
    let mut best = &tokens[0];
    for token in &tokens[1..] {
        if weight(token) > weight(best) {
            best = token;
        }
    }
    best.tag
}

/// Puts the pieces of a word together: spaces between unlike pieces, else one main stress.
fn join(tokens: &[Token], sounds: &mut [Sound], known: &[bool]) {
    let text = || tokens.iter().flat_map(|t| t.text.chars());
    let kind = |c: char| {
        if c.is_alphabetic() {
            0
        } else if c.is_ascii_digit() {
            1
        } else {
            2
        }
    };
    let kinds = text().filter(|c| !SILENT.contains(*c)).fold(0u8, |seen, c| seen | 1 << kind(c));
    if text().any(|c| c == '/') || kinds.count_ones() > 1 {
        for (sound, _) in sounds.iter_mut().zip(known).skip(1).filter(|(_, known)| **known) {
            sound.spaced = true;
        }
        return;
    }
    let mut said: Vec<(bool, usize, usize)> = sounds
        .iter()
        .enumerate()
        .filter(|(_, s)| !s.phonemes.is_empty())
        .map(|(i, s)| (s.phonemes.contains(PRIMARY), weight(&s.phonemes), i))
        .collect();
    let mut demote = |i: usize| sounds[i].phonemes = apply(&sounds[i].phonemes, Some(Stress::Demote));
    if let [(_, _, first), (_, _, second)] = said[..]
        && tokens[first].text.chars().count() == 1
    {
        demote(second);
        return;
    }
    let stressed = said.iter().filter(|(primary, ..)| *primary).count();
    if said.len() < 2 || stressed <= said.len().div_ceil(2) {
        return;
    }
    said.sort_unstable();
    for &(_, _, i) in &said[..said.len() / 2] {
        demote(i);
    }
}

/// How much there is of a piece: diphthongs and affricates count twice.
fn weight(phonemes: &str) -> usize {
    phonemes.chars().map(|c| if "AIOQWYʤʧ".contains(c) { 2 } else { 1 }).sum()
}

/// The name of a single Greek letter.
fn greek(text: &str) -> Option<&'static str> {
    const NAMES: [&str; 25] = [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda",
        "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "sigma", "tau", "upsilon", "phi", "chi", "psi",
        "omega",
    ];
    let mut chars = text.chars();
    let (letter, None) = (chars.next()?, chars.next()) else { return None };
    let lower = letter.to_lowercase().next()?;
    NAMES.get((u32::from(lower)).checked_sub(u32::from('α'))? as usize).copied()
}
