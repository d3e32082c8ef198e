//! The waveform of speech with its words under it, in rows like music.

use super::svg::{ACCENT, INK, letters, line, picture, width_of};
use crate::wav::Samples;
use spinbot::SpeechTiming;

/// Seconds of a row.
const ROW: f64 = 8.0;
/// Rows that are drawn; more is no picture any more.
const MOST_ROWS: usize = 8;
/// Seconds that are drawn.
pub(crate) const LONGEST_DRAWN: f64 = ROW * MOST_ROWS as f64;
/// Pixels of the whole width, and most of them for a second.
const WIDTH: f64 = 760.0;
const WIDEST_SECOND: f64 = 240.0;
/// Pixels of one column of the wave.
const COLUMN: f64 = 2.0;
/// Height of the wave, and of a line of words.
const WAVE: f64 = 56.0;
const LINE: f64 = 13.0;
/// Lines words may be put on where they would overlap.
const LINES: usize = 3;
/// Size of the letters.
const SIZE: f64 = 11.0;

/// The beginning of a piece of speech as a picture, up to [`LONGEST_DRAWN`]; nothing where there is nothing to draw.
pub(super) fn waveform(sound: &Samples, timing: &SpeechTiming) -> String {
    let whole = sound.samples.len() as f64 / f64::from(sound.rate);
    let seconds = whole.min(LONGEST_DRAWN);
    if seconds <= 0.0 {
        return String::new();
    }
    let scale = (WIDTH / seconds.min(ROW)).min(WIDEST_SECOND);
    let loudest = sound.samples.iter().fold(0.0_f32, |most, s| most.max(s.abs())).max(1e-3);
    let (mut content, mut y) = (String::new(), 0.0);
    for row in 0..(seconds / ROW).ceil() as usize {
        let (from, to) = (row as f64 * ROW, ((row + 1) as f64 * ROW).min(seconds));
        content.push_str(&wave(sound, loudest, from, to, scale, y));
        let (words, lines) = words(timing, from, to, scale, y + WAVE);
        content.push_str(&words);
        y += WAVE + lines as f64 * LINE + 10.0;
    }
    let said: Vec<&str> = match timing.words.is_empty() {
        true => timing.sentences.iter().map(|sentence| sentence.text.as_str()).take(4).collect(),
        false => timing.words.iter().map(|word| word.text.as_str()).take(40).collect(),
    };
    picture(WIDTH, y, &format!("waveform: {}", said.join(" ")), &content)
}

/// The wave between two times: one filled shape, mirrored about its middle.
fn wave(sound: &Samples, loudest: f32, from: f64, to: f64, scale: f64, y: f64) -> String {
    let columns = ((to - from) * scale / COLUMN).ceil() as usize;
    let at = |column: usize| ((from + column as f64 * COLUMN / scale) * f64::from(sound.rate)) as usize;
    let middle = y + WAVE / 2.0;
    let heights: Vec<f64> = (0..columns)
        .map(|column| {
            let samples = sound.samples.get(at(column)..at(column + 1).min(sound.samples.len()));
            let peak = samples.unwrap_or_default().iter().fold(0.0_f32, |most, s| most.max(s.abs()));
            f64::from(peak / loudest) * (WAVE / 2.0 - 2.0) + 0.5
        })
        .collect();
    let x = |column: usize| column as f64 * COLUMN;
    let above = heights.iter().enumerate().map(|(i, h)| format!("{:.0},{:.1} ", x(i), middle - h));
    let below = heights.iter().enumerate().rev().map(|(i, h)| format!("{:.0},{:.1} ", x(i), middle + h));
    let points: String = above.chain(below).collect();
    format!("<polygon points=\"{}\" fill=\"{ACCENT}\"/>", points.trim_end())
}

/// Marks and letters of the words that begin between two times, and how many lines they take. A word that would
/// overlap another on every line is left without letters.
fn words(timing: &SpeechTiming, from: f64, to: f64, scale: f64, y: f64) -> (String, usize) {
    let mut ends = [0.0_f64; LINES];
    let (mut drawn, mut used) = (String::new(), 1);
    for word in timing.words.iter().filter(|word| (from..to).contains(&word.start)) {
        let x = (word.start - from) * scale;
        let width = width_of(&word.text, SIZE);
        // The last word of a row may end it, but not lie beyond the picture.
        let left = (x + 2.0).min(WIDTH - width);
        let free = ends.iter().position(|end| left >= *end);
        let foot = y + free.map_or(0.0, |line| (line + 1) as f64 * LINE);
        drawn.push_str(&line(x, y - WAVE, x, foot, INK, 0.6));
        if let Some(free) = free {
            drawn.push_str(&letters(left, foot - 2.0, SIZE, "start", INK, &word.text));
            ends[free] = left + width + 5.0;
            used = used.max(free + 1);
        }
    }
    (drawn, used)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::svg::tests::drawings;
    use super::*;
    use spinbot::timing::{TimedSentence, TimedWord};

    /// A beat a word, and the words' times.
    pub(crate) fn speech(words: &[&str], each: f64) -> (Samples, SpeechTiming) {
        let seconds = words.len() as f64 * each;
        let samples = (0..(seconds * 8000.0) as usize)
            .map(|i| {
                let beat = (i as f64 / 8000.0 / each).fract();
                ((i as f64 * 0.3).sin() * (beat * std::f64::consts::PI).sin() * 0.5) as f32
            })
            .collect();
        let timed = |(i, word): (usize, &&str)| TimedWord {
            text: (*word).to_owned(),
            start: i as f64 * each,
            end: (i + 1) as f64 * each,
            phonemes: String::new(),
        };
        let sentence = TimedSentence { text: words.join(" "), start: 0.0, end: seconds };
        let words = words.iter().enumerate().map(timed).collect();
        let timing = SpeechTiming { seconds, sentences: vec![sentence], words, phonemes: Vec::new() };
        (Samples { rate: 8000, samples }, timing)
    }

    #[test]
    fn every_word_stands_under_its_own_beginning() {
        let (sound, timing) = speech(&["one", "two", "<three>", "four."], 1.0);
        let svg = drawings(&waveform(&sound, &timing)).remove(0);
        // 4 s over 760 pixels.
        for (x, word) in [(0, "one"), (190, "two"), (380, "&lt;three&gt;"), (570, "four.")] {
            assert!(svg.contains(&format!("<line x1=\"{x}.0\"")), "{svg}");
            assert!(svg.contains(&format!("<text x=\"{}.0\"", x + 2)) && svg.contains(word), "{svg}");
        }
        assert_eq!(svg.matches("<polygon").count(), 1);
    }

    #[test]
    fn long_speech_goes_on_in_rows_up_to_a_limit_and_words_never_overlap() {
        let words: Vec<&str> = std::iter::repeat_n("considerably", 500).collect();
        let (sound, timing) = speech(&words, 0.2);
        let html = waveform(&sound, &timing);
        let svg = drawings(&html).remove(0);
        assert_eq!(svg.matches("<polygon").count(), MOST_ROWS);
        assert!(svg.matches("<text").count() < svg.matches("<line").count());
        assert!(html.len() < 400_000, "{}", html.len());
        let mut placed: Vec<(String, f64)> = Vec::new();
        for text in svg.split("<text x=\"").skip(1) {
            let mut parts = text.split('"');
            let (x, y) = (parts.next().unwrap().parse::<f64>().unwrap(), parts.nth(1).unwrap().to_owned());
            if let Some((_, last)) = placed.iter().rfind(|(line, last)| *line == y && *last < x) {
                assert!(x - last >= width_of("considerably", SIZE), "{x} after {last}");
            }
            placed.push((y, x));
        }
        let silence = Samples { rate: 48_000, samples: vec![0.0; 4800] };
        assert_eq!(drawings(&waveform(&silence, &SpeechTiming::default())).len(), 1);
        let nothing = Samples { rate: 48_000, samples: Vec::new() };
        assert_eq!(waveform(&nothing, &timing), "");
    }
}
