//! When each word and phoneme of synthesised speech is said: exact, from the synthesiser's own durations.
//!
//! `speak` leaves it, `articulate` moves the mouth by it, subtitles are made of it.

use serde::{Deserialize, Serialize};

/// When everything in a piece of speech is said. All times are in seconds from the start of the sound.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SpeechTiming {
    /// How long the sound is.
    pub seconds: f64,
    /// The sentences, in order.
    pub sentences: Vec<TimedSentence>,
    /// The words, in order; none where the synthesiser does not tell when they are said.
    pub words: Vec<TimedWord>,
    /// The phonemes, in order and without gaps within a sentence; stress marks belong to the phoneme after them.
    pub phonemes: Vec<TimedPhoneme>,
}

/// One sentence, or the part of a long one that was said in one breath.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedSentence {
    /// As it was written.
    pub text: String,
    /// When its first word begins.
    pub start: f64,
    /// When its last word ends.
    pub end: f64,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedWord {
    /// As it was written, punctuation behind it included: `$3.50`, not "three dollars fifty".
    pub text: String,
    /// When it begins.
    pub start: f64,
    /// When it ends.
    pub end: f64,
    /// How it is pronounced, in Kokoro's alphabet.
    pub phonemes: String,
}

/// One phoneme, or a pause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedPhoneme {
    /// One character of Kokoro's alphabet; a space or punctuation is a pause.
    pub symbol: char,
    /// When it begins.
    pub start: f64,
    /// When it ends.
    pub end: f64,
    /// 0 none, 1 secondary, 2 primary stress.
    #[serde(default)]
    pub stress: u8,
}

/// Most characters in one line of a subtitle (BBC and Netflix guidelines: 37 to 42).
const LINE: usize = 42;
/// Longest time one subtitle stands, in seconds.
const LONGEST_CUE: f64 = 6.0;

impl SpeechTiming {
    /// The words as WebVTT (W3C, 2019): cues of at most two lines, broken at the ends of sentences. Without the times of
    /// words a cue for each sentence, in as many lines as it takes.
    pub fn webvtt(&self) -> String {
        let mut text = String::from("WEBVTT\n");
        if self.words.is_empty() {
            for sentence in &self.sentences {
                text.push_str(&format!("\n{} --> {}\n", stamp(sentence.start), stamp(sentence.end)));
                push_lines(&mut text, sentence.text.split_whitespace());
            }
            return text;
        }
        for cue in self.cues() {
            let (Some(first), Some(last)) = (cue.first(), cue.last()) else { continue };
            text.push_str(&format!("\n{} --> {}\n", stamp(first.start), stamp(last.end)));
            push_lines(&mut text, cue.iter().map(|word| word.text.as_str()));
        }
        text
    }

    /// The same with its times to the microsecond, which JSON carries from program to program without loss.
    #[must_use]
    pub fn to_microseconds(self) -> Self {
        self.timed(|seconds| (seconds * 1e6).round() / 1e6)
    }

    /// The same speech that many seconds later.
    #[must_use]
    pub fn delayed(self, seconds: f64) -> Self {
        self.timed(|at| at + seconds)
    }

    /// Every time of it put through `change`.
    fn timed(mut self, change: impl Fn(f64) -> f64) -> Self {
        self.seconds = change(self.seconds);
        let sentences = self.sentences.iter_mut().map(|s| (&mut s.start, &mut s.end));
        let words = self.words.iter_mut().map(|w| (&mut w.start, &mut w.end));
        let phonemes = self.phonemes.iter_mut().map(|p| (&mut p.start, &mut p.end));
        for (start, end) in sentences.chain(words).chain(phonemes) {
            *start = change(*start);
            *end = change(*end);
        }
        self
    }

    /// The words of each subtitle.
    fn cues(&self) -> Vec<&[TimedWord]> {
        let mut cues = Vec::new();
        // As `push_lines` breaks them: the lines before the current one, and its characters.
        let (mut from, mut lines, mut line) = (0, 0, 0);
        for (i, word) in self.words.iter().enumerate() {
            let length = word.text.chars().count();
            let started = self.words[from].start;
            let sentence = self.sentences.iter().any(|s| i > from && (s.start - word.start).abs() < 1e-6);
            let breaks = i > from && line + 1 + length > LINE;
            let full = breaks && lines == 1;
            if i > from && (sentence || full || word.end - started > LONGEST_CUE) {
                cues.push(&self.words[from..i]);
                (from, lines, line) = (i, 0, length);
            } else if breaks {
                (lines, line) = (lines + 1, length);
            } else {
                line += length + usize::from(i > from);
            }
        }
        cues.push(&self.words[from..]);
        cues
    }
}

/// The words of a cue in lines.
fn push_lines<'a>(text: &mut String, words: impl Iterator<Item = &'a str>) {
    let mut line = 0;
    for (i, word) in words.enumerate() {
        let length = word.chars().count();
        if i > 0 {
            let fits = line + 1 + length <= LINE;
            text.push(if fits { ' ' } else { '\n' });
            line = if fits { line + 1 } else { 0 };
        }
        text.push_str(&escaped(word));
        line += length;
    }
    text.push('\n');
}

/// `hh:mm:ss.ttt`.
fn stamp(seconds: f64) -> String {
    let millis = (seconds.max(0.0) * 1000.0).round() as u64;
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", millis / 1000 % 60, millis % 1000)
}

/// Cue text may hold neither of these as they stand (WebVTT, section 4.2.2).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(words: &[(&str, f64, f64)], sentences: &[(f64, f64)]) -> SpeechTiming {
        let words = words.iter().map(|&(text, start, end)| TimedWord {
            text: text.into(),
            start,
            end,
            phonemes: String::new(),
        });
        let sentences =
            sentences.iter().map(|&(start, end)| TimedSentence { text: String::new(), start, end });
        SpeechTiming { words: words.collect(), sentences: sentences.collect(), ..SpeechTiming::default() }
    }

    #[test]
    fn subtitles_break_at_sentences_and_at_line_ends() {
        let spoken = timing(
            &[("Fish", 0.1, 0.4), ("&", 0.4, 0.5), ("chips.", 0.5, 1.0), ("Now", 1.5, 3601.25)],
            &[(0.1, 1.0), (1.5, 2.0)],
        );
        assert_eq!(
            spoken.webvtt(),
            "WEBVTT\n\n00:00:00.100 --> 00:00:01.000\nFish &amp; chips.\n\n\
             00:00:01.500 --> 01:00:01.250\nNow\n"
        );
        let many: Vec<_> =
            (0..40).map(|i| ("seventy", f64::from(i) * 0.2, f64::from(i) * 0.2 + 0.2)).collect();
        let text = timing(&many, &[(0.0, 8.0)]).webvtt();
        assert!(text.lines().all(|line| line.chars().count() <= LINE), "{text}");
        assert_eq!(text.matches("seventy").count(), 40);
        assert!(text.matches("-->").count() >= 4, "{text}");
        assert!(text.split("\n\n").skip(1).all(|cue| cue.trim_end().lines().count() <= 3), "{text}");
        // 84 characters that no two lines of 42 hold.
        let uneven: Vec<_> = ["x".repeat(25), "y".repeat(25), "z".repeat(25), "v".repeat(5)].into();
        let uneven: Vec<_> = uneven.iter().map(|word| (word.as_str(), 0.0, 0.1)).collect();
        let text = timing(&uneven, &[]).webvtt();
        assert_eq!(text.matches("-->").count(), 2, "{text}");
        assert_eq!(SpeechTiming::default().webvtt(), "WEBVTT\n");
        let sentence = |text: &str, start, end| TimedSentence { text: text.into(), start, end };
        let sentences = vec![sentence("Fish & chips.", 0.1, 1.0), sentence(&"seventy ".repeat(9), 1.0, 4.5)];
        let untimed = SpeechTiming { sentences, ..SpeechTiming::default() };
        let (long, rest) = (["seventy"; 5].join(" "), ["seventy"; 4].join(" "));
        assert_eq!(
            untimed.webvtt(),
            format!(
                "WEBVTT\n\n00:00:00.100 --> 00:00:01.000\nFish &amp; chips.\n\n\
                 00:00:01.000 --> 00:00:04.500\n{long}\n{rest}\n"
            )
        );
    }
}
