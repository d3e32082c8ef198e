//! Putting sentences together: where they end, what pauses follow, and parts short enough for Kokoro.

use std::ops::Range;

use crate::markup::Marked;
use crate::pronounce::{Sound, Voice};
use crate::stress::Stress;
use crate::token::{Kind, Token, paragraphs};
use crate::{MAX_PHONEMES, Options, Sentence, Speech, Word};

/// A first sentence longer than this is cut at a clause, so that its sound begins early.
const LONG_FIRST: usize = 160;
/// What either part of it must at least have.
const SHORT: usize = 30;
/// Pauses in seconds, beside the silence Kokoro itself puts at an end.
const AFTER_PARAGRAPH: f32 = 0.6;
const AFTER_TRAILING_OFF: f32 = 0.35;
const AFTER_SENTENCE: f32 = 0.25;
const AFTER_CLAUSE: f32 = 0.1;

/// A token with its sound.
struct Said<'a> {
    token: &'a Token,
    sound: Sound,
    length: usize,
}

/// The whole text.
pub(crate) fn speech(marked: &Marked, options: &Options) -> Speech {
    let voice = Voice::new(options.accent, &options.overrides);
    let mut speech = Speech::default();
    for tokens in paragraphs(marked, options.accent) {
        let before = speech.sentences.len();
        let mut start = 0;
        while start < tokens.len() {
            let end = sentence_end(&tokens, start, marked);
            let sentence = &tokens[start..end];
            let said: Vec<Said> = sentence
                .iter()
                .zip(voice.say(sentence))
                .map(|(token, mut sound)| {
                    sound.phonemes = for_kokoro(&sound.phonemes);
                    Said { token, length: sound.phonemes.chars().count(), sound }
                })
                .collect();
            let first = speech.sentences.is_empty();
            for part in parts(&said, first) {
                if let Some(sentence) = assemble(&said[part], marked) {
                    speech.sentences.push(sentence);
                }
            }
            start = end;
        }
        if speech.sentences.len() > before
            && let Some(last) = speech.sentences.last_mut()
        {
            last.pause_after = AFTER_PARAGRAPH;
        }
    }
    if let Some(last) = speech.sentences.last_mut() {
        last.pause_after = 0.0;
    }
    place_pauses(&mut speech, marked);
    speech
}

/// misaki's last step: Kokoro knows the American tap as `T`, and no glottal stop.
fn for_kokoro(phonemes: &str) -> String {
    phonemes
        .chars()
        .map(|c| {
            if c == 'ɾ' {
                'T'
            } else if c == 'ʔ' {
                't'
            } else {
                c
            }
        })
        .collect()
}

/// Where the sentence that begins at `start` ends: after its final mark and what closes with it, or at a pause that
/// markup asks for.
fn sentence_end(tokens: &[Token], start: usize, marked: &Marked) -> usize {
    let mark = |i: usize| match tokens.get(i).map(|t| &t.kind) {
        Some(Kind::Mark(mark)) => Some(mark.as_str()),
        _ => None,
    };
    let mut i = start;
    while i < tokens.len() {
        let here = tokens[i].range.end;
        let next = tokens.get(i + 1).map_or(usize::MAX, |t| t.range.start);
        let pause = marked.pauses.partition_point(|&(at, _)| at < here);
        if marked.pauses.get(pause).is_some_and(|&(at, _)| at <= next) {
            return i + 1;
        }
        let ends = mark(i).is_some_and(|m| m.starts_with(['.', '!', '?', '…']));
        i += 1;
        if !ends {
            continue;
        }
        while i < tokens.len()
            && !tokens[i - 1].space
            && mark(i).is_some_and(|m| m.is_empty() || m.starts_with(['.', '!', '?', '…', '”', ')']))
        {
            i += 1;
        }
        // "Why?" she asked: a small letter goes on.
        let after = (i..tokens.len().min(i + 8)).find(|&n| mark(n).is_none()).map(|n| &tokens[n]);
        let goes_on = after.is_some_and(|t| {
            marked.text[t.range.clone()].starts_with(char::is_lowercase) && mark(i).is_none()
        });
        if tokens[i - 1].space && !goes_on {
            return i;
        }
    }
    tokens.len()
}

/// Parts of a sentence that Kokoro can take, cut at the ends of clauses where there are any.
fn parts(said: &[Said], first: bool) -> Vec<Range<usize>> {
    let length = |range: Range<usize>| said[range].iter().map(|s| s.length + 1).sum::<usize>();
    let mut parts = Vec::new();
    let mut start = 0;
    while start < said.len() {
        let rest = length(start..said.len());
        let early = first && start == 0 && rest > LONG_FIRST;
        if rest <= MAX_PHONEMES && !early {
            parts.push(start..said.len());
            break;
        }
        let limit = if early { LONG_FIRST } else { MAX_PHONEMES };
        let mut run = 0;
        // The last end of a clause within the limit (the first, if sound is to begin early), else of a word.
        let (mut clause, mut word) = (None, None);
        let mut most = start + 1;
        for (i, one) in said.iter().enumerate().skip(start) {
            run += one.length + 1;
            if run > MAX_PHONEMES || run > limit && (clause.is_some() || !early) {
                break;
            }
            most = i + 1;
            if one.token.space && run >= SHORT {
                let ends =
                    matches!(&one.token.kind, Kind::Mark(m) if m.starts_with([',', ';', ':', '—', ')', '”']));
                if ends && rest - run >= SHORT && (!early || clause.is_none()) {
                    clause = Some(i + 1);
                }
            }
            if one.token.space {
                word = Some(i + 1);
            }
        }
        let end = match (clause, early && rest <= MAX_PHONEMES) {
            (Some(end), _) => end,
            (None, true) => said.len(),
            (None, false) => word.unwrap_or(most),
        };
        parts.push(start..end.max(start + 1));
        start = end.max(start + 1);
    }
    parts
}

/// A sentence of its tokens; `None` if nothing in it is heard.
fn assemble(said: &[Said], marked: &Marked) -> Option<Sentence> {
    let mut sentence = Sentence::default();
    // Of each word, its range in the text without markup.
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut count = 0;
    let mut space = false;
    let mut last_mark = None;
    let mut heard = false;
    // A sentence does not begin with a dash: it is the mark of a list's item or of speech.
    let dash = |s: &&Said| matches!(&s.token.kind, Kind::Mark(m) if m == "—" || m.is_empty());
    let skipped = said.iter().take_while(dash).count();
    for (i, one) in said.iter().enumerate().skip(skipped) {
        let room = MAX_PHONEMES - count;
        let wants_space = (space || one.sound.spaced) && count > 0 && one.length > 0;
        if wants_space && room > 1 {
            sentence.phonemes.push(' ');
            count += 1;
        }
        let from = count;
        // Only a single token longer than a whole sentence is cut short.
        let room = MAX_PHONEMES - count;
        sentence.phonemes.extend(one.sound.phonemes.chars().take(room));
        count += one.length.min(room);
        // A mark without a sound parts words as a space does.
        let parts = matches!(one.token.kind, Kind::Mark(_)) && one.length == 0;
        space = one.token.space || parts || space && one.length == 0;
        if let Kind::Mark(mark) = &one.token.kind {
            last_mark = mark.chars().find(|c| !"”“()".contains(*c)).or(last_mark);
            continue;
        }
        last_mark = None;
        heard |= one.length > 0;
        let touches = i > 0 && !said[i - 1].token.space && !matches!(said[i - 1].token.kind, Kind::Mark(_));
        match (sentence.words.last_mut(), ranges.last_mut()) {
            (Some(word), Some(range)) if touches => {
                range.end = one.token.range.end;
                extend(word, one, from..count, marked);
            }
            _ => {
                ranges.push(one.token.range.clone());
                sentence.words.push(word(one, from..count, marked));
            }
        }
    }
    for (word, range) in sentence.words.iter_mut().zip(&ranges) {
        word.text = shown(range, marked);
    }
    sentence.pause_after = match last_mark {
        Some('.' | '!' | '?') => AFTER_SENTENCE,
        Some('…') => AFTER_TRAILING_OFF,
        Some(_) => AFTER_CLAUSE,
        None => 0.0,
    };
    heard.then_some(sentence)
}

fn word(one: &Said, phonemes: Range<usize>, marked: &Marked) -> Word {
    Word {
        text: String::new(),
        source: marked.source(&one.token.range),
        phonemes,
        emphasised: matches!(one.token.stress, Some(Stress::Raise | Stress::Primary)),
        origin: one.sound.origin,
    }
}

/// A further piece of a word.
fn extend(word: &mut Word, one: &Said, phonemes: Range<usize>, marked: &Marked) {
    let source = marked.source(&one.token.range);
    word.source.end = word.source.end.max(source.end);
    if one.length > 0 {
        let silent = word.phonemes.is_empty();
        word.phonemes = if silent { phonemes } else { word.phonemes.start..phonemes.end };
        word.origin = if silent { one.sound.origin } else { word.origin.max(one.sound.origin) };
    }
}

/// What is shown for a word: with the punctuation that touches it and no other word.
fn shown(range: &Range<usize>, marked: &Marked) -> String {
    let text = &marked.text;
    let part = |c: &char| c.is_alphanumeric() || c.is_whitespace();
    let after: usize = text[range.end..].chars().take_while(|c| !part(c)).map(char::len_utf8).sum();
    let before: usize = text[..range.start].chars().rev().take_while(|c| !part(c)).map(char::len_utf8).sum();
    // Punctuation between two words is shown with the first.
    let opens = text[..range.start - before].chars().next_back().is_none_or(char::is_whitespace);
    let start = if opens { range.start - before } else { range.start };
    text[start..range.end + after].to_owned()
}

/// Puts the pauses of the markup between the sentences, in place of those of the punctuation. Several in one place add
/// up.
fn place_pauses(speech: &mut Speech, marked: &Marked) {
    let mut last = None;
    for &(at, seconds) in &marked.pauses {
        let source = marked.source(&(at..at)).start;
        let before =
            speech.sentences.partition_point(|s| s.words.last().is_some_and(|w| w.source.end <= source));
        let pause = match before.checked_sub(1) {
            Some(sentence) => &mut speech.sentences[sentence].pause_after,
            None => &mut speech.pause_before,
        };
        *pause = if last == Some(before) { *pause + seconds } else { seconds };
        last = Some(before);
    }
}

#[cfg(test)]
#[path = "speech_tests.rs"]
mod tests;
