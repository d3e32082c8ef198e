//! Which words are burned into which frame: captions from the times of words, and where on the picture they stand.

use crate::landmarks::Landmarks;
use spinbot::Fault;
use spinbot::timing::{SpeechTiming, TimedSentence};
use spinbot_media::RgbImage;
use spinbot_media::caption::CaptionBand;
use std::ops::Range;

/// Longest time one caption stands, in seconds.
const LONGEST: f64 = 6.0;
/// How long a caption and the colour of a word outlast what is said, in seconds, unless the next one begins.
const LINGER: f64 = 0.4;
/// What a caption costs beside what it leaves empty: from 0, full, to 1.
const ONE_MORE: f32 = 0.5;
/// What a break within a phrase costs.
const BROKEN_PHRASE: f32 = 1.2;

/// The captions of one piece of speech on one picture.
#[derive(Debug)]
pub(crate) struct Subtitles {
    band: CaptionBand,
    /// In the order of their times.
    captions: Vec<Caption>,
}

#[derive(Debug)]
struct Caption {
    words: Vec<Word>,
    /// Where each line's words end.
    lines: Vec<usize>,
    /// In seconds.
    shown: Range<f64>,
}

/// One word, or a piece of one that is wider than a line.
#[derive(Debug, Clone)]
struct Word {
    text: String,
    /// In seconds.
    said: Range<f64>,
    /// Whether its time is known, not shared out by its length.
    known: bool,
}

impl Subtitles {
    /// The captions of `timing`, clear of the mouth of that picture.
    ///
    /// # Errors
    /// There is no room for words that can be read.
    pub(crate) fn new(timing: &SpeechTiming, landmarks: &Landmarks) -> Result<Self, Fault> {
        let (width, height) = (landmarks.width, landmarks.height);
        let band = mouth(landmarks).and_then(|mouth| CaptionBand::new(width, height, mouth));
        let band = band.ok_or_else(|| {
            Fault::new(format!("a picture of {width}x{height} has no room for subtitles beside the mouth"))
                .help("use `--subtitles beside`, or a picture with more room above or below the face")
                .about("subtitles")
        })?;
        let mut captions: Vec<Caption> =
            sentences(timing, &band).iter().flat_map(|words| captions_of(words, &band)).collect();
        for i in 0..captions.len() {
            let next = captions.get(i + 1).map_or(f64::MAX, |next| next.shown.start);
            let shown = &mut captions[i].shown;
            shown.end = (shown.end + LINGER).min(next).max(shown.end.min(next));
        }
        Ok(Subtitles { band, captions })
    }

    /// Draws what is said at that time, in seconds.
    pub(crate) fn draw(&self, at: f64, frame: &mut RgbImage) {
        let past = self.captions.partition_point(|caption| caption.shown.end <= at);
        let Some(caption) = self.captions.get(past).filter(|caption| caption.shown.start <= at) else {
            return;
        };
        let texts: Vec<&str> = caption.words.iter().map(|word| word.text.as_str()).collect();
        let mut from = 0;
        let lines: Vec<&[&str]> = caption
            .lines
            .iter()
            .map(|to| {
                let line = &texts[from..*to];
                from = *to;
                line
            })
            .collect();
        let current = caption.words.iter().rposition(|word| word.said.start <= at);
        let current = current.filter(|i| caption.words[*i].known && at < caption.words[*i].said.end + LINGER);
        self.band.draw(frame, &lines, current);
    }
}

/// The rows in which the mouth and what it moves may lie.
fn mouth(landmarks: &Landmarks) -> Option<Range<f32>> {
    let (lips, chin) = (landmarks.points.get(48..68)?, landmarks.points.get(8)?);
    let [left, top, right, bottom] = Landmarks::bounds(lips);
    let wide = right - left;
    Some(top - 0.3 * wide..(bottom + 0.5 * wide).max(chin[1] + 0.1 * wide))
}

/// The words of each sentence, with their times; by their length where those are not known.
fn sentences(timing: &SpeechTiming, band: &CaptionBand) -> Vec<Vec<Word>> {
    if timing.words.is_empty() {
        return timing.sentences.iter().map(|sentence| estimated(sentence, band)).collect();
    }
    let mut sentences: Vec<Vec<Word>> = Vec::new();
    for word in &timing.words {
        let begins = timing.sentences.iter().any(|s| (s.start - word.start).abs() < 1e-6);
        if begins || sentences.is_empty() {
            sentences.push(Vec::new());
        }
        if let Some(sentence) = sentences.last_mut() {
            share_out(&[&word.text], word.start..word.end, true, band, sentence);
        }
    }
    sentences
}

fn estimated(sentence: &TimedSentence, band: &CaptionBand) -> Vec<Word> {
    let texts: Vec<&str> = sentence.text.split_whitespace().collect();
    let mut words = Vec::new();
    share_out(&texts, sentence.start..sentence.end, false, band, &mut words);
    words
}

/// Adds the texts, in pieces that fit a line, each with a share of the time by its length.
fn share_out(texts: &[&str], time: Range<f64>, known: bool, band: &CaptionBand, to: &mut Vec<Word>) {
    let pieces: Vec<String> = texts.iter().flat_map(|text| band.pieces(text)).collect();
    let length = |piece: &String| (piece.chars().count() + 1) as f64;
    let per_length = (time.end - time.start) / pieces.iter().map(length).sum::<f64>().max(1.0);
    let mut start = time.start;
    for text in pieces {
        let end = start + per_length * length(&text);
        to.push(Word { text, said: start..end, known });
        start = end;
    }
}

/// A sentence in captions: as few as can be, evenly filled, broken where a phrase ends. The cheapest way to cut it
/// (Knuth and Plass, 1981), as lines of a paragraph are found.
fn captions_of(words: &[Word], band: &CaptionBand) -> Vec<Caption> {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let ends_phrase =
        |i: usize| i + 1 == words.len() || texts[i].ends_with([',', ';', ':', '.', '!', '?', '—']);
    // By how many words it covers: the cost, where its last caption begins and that one's lines.
    let mut best: Vec<(f32, usize, Vec<usize>)> = vec![(0.0, 0, Vec::new())];
    for to in 1..=words.len() {
        let mut found = (f32::INFINITY, to - 1, vec![1]);
        for from in (0..to).rev() {
            let Some(lines) = band.lines(&texts[from..to]) else { break };
            let long = words[to - 1].said.end - words[from].said.start > LONGEST;
            if long && from + 1 < to {
                break;
            }
            let slack = 1.0 - band.filled(&texts[from..to]);
            let broken = if ends_phrase(to - 1) { 0.0 } else { BROKEN_PHRASE };
            let cost = best[from].0 + ONE_MORE + slack * slack + broken;
            if cost < found.0 {
                found = (cost, from, lines);
            }
        }
        best.push(found);
    }
    let mut captions = Vec::new();
    let mut to = words.len();
    while to > 0 {
        let (_, from, ref lines) = best[to];
        let shown = words[from].said.start..words[to - 1].said.end;
        captions.push(Caption { words: words[from..to].to_vec(), lines: lines.clone(), shown });
        to = from;
    }
    captions.reverse();
    captions
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test stops at the first thing that is not there.
    use super::*;
    use spinbot::timing::TimedWord;

    fn face(side: f32, chin: f32) -> Landmarks {
        let mut points = vec![[0.5 * side, 0.4 * side]; 68];
        points[48..].iter_mut().enumerate().for_each(|(i, p)| {
            *p = [side * (0.42 + 0.008 * i as f32), side * (0.55 + 0.002 * i as f32)];
        });
        points[8] = [0.5 * side, chin * side];
        let (width, height) = (side as u32, side as u32);
        Landmarks { width, height, score: 1.0, points, drawn: false, mesh: Vec::new() }
    }

    fn said(text: &str, from: f64) -> Vec<TimedWord> {
        let timed = |(i, word): (usize, &str)| {
            let start = from + 0.3 * i as f64;
            TimedWord { text: word.into(), start, end: start + 0.3, phonemes: String::new() }
        };
        text.split_whitespace().enumerate().map(timed).collect()
    }

    fn texts(subtitles: &Subtitles) -> Vec<String> {
        let text = |words: &[Word]| words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        subtitles.captions.iter().map(|caption| text(&caption.words)).collect()
    }

    #[test]
    fn captions_break_at_sentences_and_phrases_and_hold_every_word_once() {
        let first = "When the sun had set over the hills, the old lighthouse keeper lit his lamp, climbed the \
                     stairs and waited for the ships that never came back.";
        let mut words = said(first, 0.2);
        let second = words.last().unwrap().end + 0.8;
        words.extend(said("Then he slept.", second));
        let sentence = |start| TimedSentence { text: String::new(), start, end: 0.0 };
        let timing = SpeechTiming {
            words: words.clone(),
            sentences: vec![sentence(0.2), sentence(second)],
            ..SpeechTiming::default()
        };
        let subtitles = Subtitles::new(&timing, &face(512.0, 0.66)).unwrap();
        let shown = texts(&subtitles);
        assert_eq!(shown.join(" "), format!("{first} Then he slept."));
        assert!(shown.len() >= 3 && shown.last().unwrap() == "Then he slept.", "{shown:#?}");
        assert!(shown[0].ends_with(','), "{shown:#?}");
        let captions = &subtitles.captions;
        assert!(captions.iter().all(|c| c.lines.len() <= 2 && c.words.len() > 1), "{captions:#?}");
        assert!(captions.windows(2).all(|two| two[0].shown.end <= two[1].shown.start), "{captions:#?}");
        // It stays a moment, and is gone in the pause.
        let mut frame = RgbImage::new(512, 512);
        subtitles.draw(second - 0.6, &mut frame);
        assert!(frame.pixels().any(|p| p.0 != [0; 3]), "the last words are gone at once");
        frame = RgbImage::new(512, 512);
        for silent in [0.0, second - 0.3, 1e6, f64::NAN] {
            subtitles.draw(silent, &mut frame);
        }
        assert!(frame.pixels().all(|p| p.0 == [0; 3]), "a caption stands in silence");
    }

    #[test]
    fn sentences_without_times_of_words_are_shared_out_and_hostile_times_are_no_panic() {
        let sentence = |text: &str, start, end| TimedSentence { text: text.into(), start, end };
        let long = "A sentence of a voice that tells no times, ".repeat(8);
        let timing = SpeechTiming {
            sentences: vec![sentence(&long, 0.5, 12.5), sentence("", 12.5, 12.5)],
            ..SpeechTiming::default()
        };
        let subtitles = Subtitles::new(&timing, &face(256.0, 0.66)).unwrap();
        assert_eq!(texts(&subtitles).join(" "), long.trim());
        let lasting = |caption: &Caption| caption.shown.end - caption.shown.start;
        assert!(subtitles.captions.iter().all(|c| lasting(c) < LONGEST + 1.0));
        let mut words = said(&format!("a {} b", "w".repeat(300)), 0.0);
        words[1].start = f64::NAN;
        words[2].end = f64::NEG_INFINITY;
        let hostile = SpeechTiming { words, ..SpeechTiming::default() };
        let subtitles = Subtitles::new(&hostile, &face(256.0, 0.66)).unwrap();
        subtitles.draw(0.1, &mut RgbImage::new(256, 256));
        assert!(Subtitles::new(&SpeechTiming::default(), &face(256.0, 0.66)).unwrap().captions.is_empty());
    }

    #[test]
    fn a_face_that_fills_the_picture_leaves_no_room() {
        let mut all_mouth = face(256.0, 1.0);
        all_mouth.points[48] = [128.0, 4.0];
        let fault = Subtitles::new(&SpeechTiming::default(), &all_mouth).unwrap_err();
        assert!(fault.message.contains("no room") && fault.help.is_some(), "{fault}");
    }
}
