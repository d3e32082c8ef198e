//! A text said in a voice: sentence by sentence, with the time of every word and phoneme. With pocket-tts, in `pocket`,
//! only sentences have times.
//!
//! What a text sounds like is `spinbot-g2p`'s business, how a voice sounds `spinbot-models`'; here they meet. Nothing
//! here writes files.

use crate::loaded;
use crate::step::{MAX_SPEECH_SECONDS, StepError, model_fault};
use spinbot::Fault;
use spinbot::timing::{SpeechTiming, TimedPhoneme, TimedSentence, TimedWord};
use spinbot_g2p::{Options, Sentence, Speech, phonemize};
use spinbot_models::kokoro::vocab::{self, Tokens};
use spinbot_models::kokoro::voice::Accent;
use spinbot_models::kokoro::{Adapters, Decoder, FRAME, Features, Kokoro, LEAD, Noise, SAMPLE_RATE, Voice};
use std::collections::BTreeMap;
use std::sync::Arc;

mod pocket;
pub(crate) use pocket::{PocketSpeaker, unnamed};

/// Numbers of a style that the decoder takes.
const SOUND: usize = 128;
/// How a text is said.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// 1 is the voice's own.
    pub(crate) speed: f32,
    /// The voice's own where it is nothing.
    pub(crate) accent: Option<Accent>,
    /// Pronunciations by word.
    pub(crate) lexicon: BTreeMap<String, String>,
    /// Decides the breath in the voice.
    pub(crate) seed: u64,
}

impl Default for Manner {
    fn default() -> Self {
        Manner { speed: 1.0, accent: None, lexicon: BTreeMap::new(), seed: 0 }
    }
}

/// What was said so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spoken {
    /// 24 kHz, as loud as the network speaks.
    pub(crate) samples: Vec<f32>,
    /// When everything is said.
    pub(crate) timing: SpeechTiming,
    /// Parts whose end pocket-tts did not find: they may end in babble.
    pub(crate) unended: usize,
    /// Sentences that were said whole, or passages with pocket-tts, and the samples of them.
    pub(crate) parts: usize,
    pub(crate) whole: usize,
}

/// A voice of Kokoro ready to speak.
pub(crate) struct Speaker<'a> {
    kokoro: Arc<Kokoro>,
    decoder: Arc<Decoder>,
    adapters: Option<Adapters>,
    voice: &'a Voice,
}

impl<'a> Speaker<'a> {
    /// Loads what is not loaded yet.
    pub(crate) fn new(voice: &'a Voice) -> Result<Self, Fault> {
        let kokoro = loaded::kokoro()?;
        let (decoder, adapters) = loaded::decoder_of(voice)?;
        Ok(Speaker { kokoro, decoder, adapters, voice })
    }

    /// Says `text`, going on from what was said of it `before`. `each` hears what was said so far after each sentence, with
    /// how many phonemes that were and how many there are.
    pub(crate) fn say(
        &self,
        text: &str,
        manner: &Manner,
        before: Option<Spoken>,
        each: &mut dyn FnMut(&Spoken, usize, usize) -> Result<(), StepError>,
    ) -> Result<Spoken, StepError> {
        let speech = self.read(text, manner)?;
        let total = speech.sentences.iter().map(|sentence| sentence.phonemes.chars().count()).sum();
        let mut spoken = before.unwrap_or_else(|| {
            let mut spoken = Spoken::default();
            spoken.pause(speech.pause_before);
            spoken
        });
        let mut done =
            speech.sentences.iter().take(spoken.parts).map(|said| said.phonemes.chars().count()).sum();
        for (sentence, nth) in speech.sentences.iter().zip(0_u64..).skip(spoken.parts) {
            self.add(sentence, manner, manner.seed.wrapping_add(nth), &mut spoken)?;
            done += sentence.phonemes.chars().count();
            if spoken.timing.seconds > MAX_SPEECH_SECONDS {
                return Err(too_long().into());
            }
            each(&spoken, done, total)?;
        }
        Ok(spoken)
    }

    /// What the text sounds like in this voice's English.
    pub(crate) fn read(&self, text: &str, manner: &Manner) -> Result<Speech, Fault> {
        let accent = match manner.accent.unwrap_or(self.voice.accent) {
            Accent::American => spinbot_g2p::Accent::Us,
            Accent::British => spinbot_g2p::Accent::Uk,
        };
        let options = Options { accent, overrides: manner.lexicon.clone() };
        let speech = phonemize(text, &options)
            .map_err(|error| Fault::new(error.to_string()).help(error.help()).about("text"))?;
        if speech.sentences.is_empty() {
            return Err(Fault::new("there is nothing in the text that can be said")
                .help("write some words; signs alone have no sound")
                .about("text"));
        }
        Ok(speech)
    }

    /// Says one sentence after what was said already.
    fn add(&self, sentence: &Sentence, manner: &Manner, seed: u64, spoken: &mut Spoken) -> Result<(), Fault> {
        let tokens = vocab::encode(&sentence.phonemes);
        let style = self.voice.pack.style(tokens.places.len());
        let prosody = self.kokoro.prosody(&tokens.ids, style, manner.speed).map_err(model_fault)?;
        let durations = prosody.durations.clone();
        let mut features = Features::from(prosody);
        if let Some(pitch) = self.voice.pitch {
            pitch.lay_over(&mut features.f0);
        }
        let mut sound = [0.0; SOUND];
        sound.copy_from_slice(&style[..SOUND]);
        let samples = self
            .decoder
            .audio(&features, &sound, self.adapters.as_ref(), Noise::Seed(seed))
            .map_err(model_fault)?;
        spoken.note(sentence, &tokens, &durations);
        spoken.samples.extend(samples);
        spoken.timing.seconds = seconds(spoken.samples.len());
        spoken.pause(sentence.pause_after);
        spoken.part_ends();
        Ok(())
    }
}

fn too_long() -> Fault {
    Fault::new(format!("the text takes more than {:.0} minutes to say", MAX_SPEECH_SECONDS / 60.0))
        .help("cut it into parts")
        .about("text")
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE)
}

impl Spoken {
    /// A part was said whole.
    fn part_ends(&mut self) {
        self.parts += 1;
        self.whole = self.samples.len();
    }

    /// Silence of that many seconds.
    fn pause(&mut self, pause: f32) {
        let count = (f64::from(pause.max(0.0)) * f64::from(SAMPLE_RATE)).round() as usize;
        self.samples.resize(self.samples.len() + count, 0.0);
        self.timing.seconds = seconds(self.samples.len());
    }

    /// Writes down when everything of a sentence is said that begins now. `durations` are in frames of 25 ms, of
    /// each token with the pads at both ends.
    fn note(&mut self, sentence: &Sentence, tokens: &Tokens, durations: &[usize]) {
        let from = seconds(self.samples.len());
        let frame = seconds(FRAME);
        // Where each token begins, and where the last ends.
        let mut begins = vec![from];
        let mut frames = 0;
        for held in durations {
            frames += held;
            begins.push((from + frames as f64 * frame - LEAD).max(from));
        }
        let begin = |token: usize| begins.get(token).or(begins.last()).copied().unwrap_or(from);
        let symbols: Vec<char> = sentence.phonemes.chars().collect();

        let (mut stress, mut marked) = (0, None);
        for (nth, place) in tokens.places.iter().enumerate() {
            let Some(symbol) = symbols.get(*place).copied() else { continue };
            let (start, end) = (begin(nth + 1), begin(nth + 2));
            match symbol {
                'ˈ' => (stress, marked) = (2, Some(marked.unwrap_or(start))),
                'ˌ' => (stress, marked) = (1, Some(marked.unwrap_or(start))),
                _ => {
                    let start = marked.take().unwrap_or(start);
                    self.timing.phonemes.push(TimedPhoneme { symbol, start, end, stress });
                    stress = 0;
                }
            }
        }

        let first = self.timing.words.len();
        for word in &sentence.words {
            let within = |place: &usize| word.phonemes.contains(place);
            let inside = || tokens.places.iter().enumerate().filter(|(_, place)| within(place));
            let (Some((one, _)), Some((last, _))) = (inside().next(), inside().next_back()) else {
                // A word without sound is shown with the one before it, or waits for the next.
                match self.timing.words.get_mut(first..).and_then(<[TimedWord]>::last_mut) {
                    Some(before) => before.text = format!("{} {}", before.text, word.text),
                    None => self.timing.words.push(TimedWord {
                        text: word.text.clone(),
                        start: begin(1),
                        end: begin(1),
                        phonemes: String::new(),
                    }),
                }
                continue;
            };
            self.timing.words.push(TimedWord {
                text: word.text.clone(),
                start: begin(one + 1),
                end: begin(last + 2),
                phonemes: symbols.get(word.phonemes.clone()).unwrap_or_default().iter().collect(),
            });
        }
        let words = &self.timing.words[first..];
        if let (Some(one), Some(last)) = (words.first(), words.last()) {
            let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            let (start, end) = (one.start, last.end);
            self.timing.sentences.push(TimedSentence { text, start, end });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_crates_mean_the_same_alphabet() {
        let unknown: Vec<char> =
            spinbot_g2p::VOCABULARY.chars().filter(|symbol| vocab::id(*symbol).is_none()).collect();
        assert!(unknown.is_empty(), "Kokoro knows no {unknown:?}");
    }

    #[test]
    fn words_and_phonemes_are_timed_by_their_tokens() {
        // h ə l ˈ O , _ w: "Hello," and a word without sound, then "w".
        let word = |text: &str, phonemes: std::ops::Range<usize>| spinbot_g2p::Word {
            text: text.into(),
            source: 0..0,
            phonemes,
            emphasised: false,
            origin: spinbot_g2p::Origin::Dictionary,
        };
        let sentence = Sentence {
            phonemes: "həlˈO, w".into(),
            words: vec![word("Hello,", 0..5), word("…", 0..0), word("w", 7..8)],
            pause_after: 0.5,
        };
        let tokens = vocab::encode(&sentence.phonemes);
        assert_eq!(tokens.ids.len(), 10);
        let durations = [4, 2, 2, 2, 1, 3, 2, 1, 4, 8];
        let mut spoken = Spoken { samples: vec![0.0; 24_000], ..Spoken::default() };
        spoken.note(&sentence, &tokens, &durations);
        let timing = &spoken.timing;
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        // One second, then four frames of pad, all of it a little early.
        assert!(close(timing.words[0].start, 1.1 - LEAD) && close(timing.words[0].end, 1.35 - LEAD));
        assert_eq!((timing.words[0].text.as_str(), timing.words[0].phonemes.as_str()), ("Hello, …", "həlˈO"));
        assert!(close(timing.words[1].start, 1.425 - LEAD) && close(timing.words[1].end, 1.525 - LEAD));
        let symbols: String = timing.phonemes.iter().map(|phoneme| phoneme.symbol).collect();
        assert_eq!(symbols, "həlO, w");
        let o = &timing.phonemes[3];
        assert!(o.stress == 2 && close(o.start, 1.25 - LEAD) && close(o.end, 1.35 - LEAD), "{o:?}");
        assert!(timing.phonemes.windows(2).all(|pair| close(pair[0].end, pair[1].start)));
        assert_eq!(timing.phonemes.iter().filter(|phoneme| phoneme.stress > 0).count(), 1);
        assert_eq!(timing.sentences.len(), 1);
        assert_eq!(timing.sentences[0].text, "Hello, … w");
    }
}
