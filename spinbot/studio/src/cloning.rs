//! From recordings to a voice: which stage is tried when, what is kept of it, and what it was worth.
//!
//! The speech is parted: two thirds are learned from, a third only scores the result. Each stage is judged by its
//! likeness to the first part and must not cost words or quality; what people are told is measured on the second.
//! How a stage works is `spinbot_models::cloning`'s business, which sentences are said is decided here.
//!
//! | file | what |
//! |---|---|
//! | `parts` | parting the speech |
//! | `hearing` | what is said in it, and whether it is one person's English |
//! | `words` | sharing out a transcript over the parts |
//! | `score`, `stages` | what a voice is worth, whether a stage is kept, what is told of it |
//! | `recorded` | what is heard before a voice is made, and what is told of it |
//! | `prompt` | a voice of pocket-tts, which is made at once |
//! | `course` | how far all of it is, and the curve of the search |

mod course;
mod hearing;
mod parts;
mod prompt;
mod recorded;
mod score;
mod stages;
mod words;

use crate::loaded;
use crate::speaking::{Manner, Speaker};
use crate::step::{Report, StepError, media_fault, model_fault};
use course::{Course, Curve};
pub(crate) use prompt::clone_by_prompt;
use recorded::{Recorded, seconds_of};
use score::{Prints, Score, heard};
use spinbot::Fault;
use spinbot::voices::{Stage, VoiceScores};
use spinbot_media::audio::Clip;
use spinbot_models::cloning::{
    Adaptation, Inversion, Lesson, SOUND, StockPrint, adapt, invert, lesson, moved, stock_prints_file,
    style_spread,
};
use spinbot_models::kokoro::voice::{STOCK, STYLE, StockVoice, StockVoices, VoicePack};
use spinbot_models::kokoro::{Pitch, SAMPLE_RATE, Voice, vocab};
use spinbot_models::listen::{PitchRange, Voiceprint, kokoro_grid, pitch};
use stages::Stages;
use std::time::Instant;

/// What is said while the style is searched: Harvard sentences (IEEE 1969), rich in sounds.
const SEARCHED: [&str; 6] = [
    "These days a chicken leg is a rare dish.",
    "The source of the huge river is the clear spring.",
    "Help the woman get back to her feet.",
    "A pot of tea helps to pass the evening.",
    "Smoky fires lack flame and heat.",
    "The soft cushion broke the man's fall.",
];
/// What is said to be scored: others of the same lists. DNSMOS of three of them varied by 0.1 with which three.
const SCORED: [&str; 5] = [
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "A king ruled the state in the early days.",
    "The ship was torn apart on the sharp reef.",
];
/// Steps of the search, its rate and its pull; see `spinbot_models::cloning::Inversion`. Likeness to held-out speech
/// (GE2E; second encoder; speakers 1688, 2609, 3005): 70 steps at 0.09 0.90 0.83 0.85; 0.85 0.78 0.70, 50 at 0.09 3005
/// 0.82; 0.69, 50 at 0.12 0.90 0.82 0.84; 0.85 0.77 0.72, in two thirds of the time.
const SEARCH_STEPS: usize = 50;
const SEARCH_RATE: f64 = 0.12;
const SEARCH_PULL: f64 = 0.04;
/// How many of the nearest stock voices the search starts between, and the difference in likeness that makes one count
/// e times less.
const MIXED: usize = 4;
const MIXED_WITHIN: f32 = 0.05;
/// Frames of 25 ms in a crop: a window of the speaker encoder.
const CROP: usize = 68;
/// Steps and rank of the adapters.
const ADAPT_STEPS: usize = 150;
const ADAPT_RANK: usize = 4;
/// How much of what a stage found is tried in turn, until it helps and words and quality hold.
const STYLE_SHARES: [f32; 4] = [1.0, 0.85, 0.7, 0.5];
/// All of what adapters learn is mostly as like the speaker as 0.8 of it and costs twice the words: it is tried where 0.8
/// is too little.
const ADAPTER_SHARES: [f32; 4] = [0.8, 1.0, 0.6, 0.4];
/// Where recordings of one person and of two lie: means over six LibriSpeech speakers, utterance to held-out mean.
const GE2E_MARKS: (f64, f64) = (0.60, 0.92);
const DVECTOR_MARKS: (f64, f64) = (0.305, 0.90);
/// Longest sample that is kept for hearing, in seconds.
const SAMPLE: f64 = 10.0;
/// Progress that listening, scoring and hearing take, in steps of the search.
const LISTENING: f64 = 6.0;
const SCORING: f64 = 6.0;
/// Longest recording a lesson is made of, in phonemes.
const LONGEST_LESSON: usize = 400;

/// How every stock voice is heard, as the bytes of the file that `spinbot_models::cloning::stock_prints` reads. `told`
/// hears a line for each voice. For the recipe in `examples/stock_voices.rs`.
///
/// # Errors
/// What is missing or fails, as a sentence.
#[doc(hidden)]
pub fn measure_stock_voices(told: &mut dyn FnMut(&str)) -> Result<Vec<u8>, Fault> {
    let voices = loaded::stock_voices()?;
    let mut prints = Vec::new();
    for stock in STOCK {
        let voice = stock_voice(&voices, stock)?;
        let score = Score::of(&voice).map_err(|error| Fault::new(error.to_string()))?;
        let Score { prints: Prints { ge2e, dvector }, word_error, dnsmos, pitch } = score;
        let pitch = pitch.ok_or_else(|| Fault::new(format!("{} has no pitch", stock.name)))?;
        told(&format!(
            "{}: {:.0} Hz, {:.1} semitones, {:.0}% of words misheard, DNSMOS {dnsmos:.2}",
            stock.name,
            pitch.hertz(),
            pitch.semitones(),
            word_error * 100.0
        ));
        prints.push(StockPrint { voice: stock, ge2e, dvector, pitch, word_error, dnsmos });
    }
    stock_prints_file(&prints).map_err(model_fault)
}

/// A stock voice as it is.
pub(crate) fn stock_voice(voices: &StockVoices, stock: StockVoice) -> Result<Voice, Fault> {
    let pack = voices.pack(stock.name).map_err(model_fault)?;
    let base = stock.name.to_owned();
    Ok(Voice { pack, accent: stock.accent, base, pitch: None, speaker: None, adapters: Default::default() })
}

/// What is wanted.
pub(crate) struct Wanted<'a> {
    /// What is said, where the user told.
    pub(crate) transcript: Option<&'a str>,
    /// Whether adapters are tried too.
    pub(crate) finetune: bool,
    /// Decides everything random.
    pub(crate) seed: u64,
}

/// What came of it.
pub(crate) struct Cloned {
    /// The file of the voice.
    pub(crate) voice: Vec<u8>,
    pub(crate) scores: VoiceScores,
    /// Some of the speech that was kept back, 24 kHz.
    pub(crate) original: Clip,
    /// The voice saying the same, 24 kHz.
    pub(crate) clone: Clip,
}

/// Finds the voice of `speech` (24 kHz, one speaker, cleaned), whose recordings lie at `spans` (seconds).
pub(crate) fn clone(
    speech: &Clip,
    spans: &[(f64, f64)],
    wanted: &Wanted,
    report: &mut dyn Report,
) -> Result<Cloned, StepError> {
    let adapters = if wanted.finetune { ADAPT_STEPS as f64 + SCORING } else { 0.0 };
    let total = LISTENING + 2.0 * SCORING + SEARCH_STEPS as f64 + adapters;
    let mut course = Course::new(report, total);
    let recorded = Recorded::hear(speech, spans, wanted, &mut course)?;
    let Recorded { speaker, range, nearest, .. } = recorded;
    let voices = loaded::stock_voices()?;
    let mut voice = stock_voice(&voices, nearest.voice)?;
    voice.speaker = Some(recorded.prints());
    let base_pack = start(&voices, &recorded.stock, &speaker.ge2e, &voice.pack)?;
    let mut stages = Stages { held_out: recorded.kept_back, reference: speaker.ge2e, all: Vec::new() };
    let base = stages.first(&nearest);

    // The melody at the speaker's height.
    let mut best = base;
    if let Some(range) = range {
        let started = Instant::now();
        let moved = Voice { pitch: Some(range), ..voice.clone() };
        let score = Score::of(&moved)?;
        let away = |pitch: &Pitch| (pitch.mean - range.mean).abs() * 12.0 / std::f32::consts::LN_2;
        let nearer = away(&nearest.pitch) - away(&score.pitch.unwrap_or(nearest.pitch));
        if stages.judge_pitch(&score, &best, nearer, started) {
            (voice, best) = (moved, score);
        }
    }
    course.passed(SCORING)?;

    // What words and quality are held against. The speaker's pitch alone may cost some of both, which is not the search's
    // fault: measured against the stock voice, all that was found for a speaker an octave away was thrown away.
    let unsearched = base.worse_of(&best);

    // The sound of the voice.
    let started = Instant::now();
    let spread = style_spread(&voices).map_err(model_fault)?;
    let sentences = sentences(&voice)?;
    let target = speaker.ge2e;
    let kokoro = loaded::kokoro()?;
    let decoder = loaded::decoder()?;
    let encoder = loaded::listener()?.encoder().map_err(model_fault)?;
    let mut curve = Curve::new(nearest.ge2e.similarity(&target));
    let inversion = Inversion {
        kokoro: &kokoro,
        decoder: &decoder,
        encoder,
        base: &base_pack,
        target: &target,
        pitch: voice.pitch,
        sentences: &sentences,
        spread: &spread,
        steps: SEARCH_STEPS,
        crop: CROP,
        rate: SEARCH_RATE,
        pull: SEARCH_PULL,
        seed: wanted.seed,
    };
    let found = invert(&inversion, &mut |step| curve.step(step, &mut course)).map_err(model_fault)?;
    course.stopped()?;
    let mut offset = [0.0; SOUND];
    for share in STYLE_SHARES {
        let tried = found.map(|value| value * share);
        let pack = moved(&base_pack, &tried).map_err(model_fault)?;
        let candidate = Voice { pack, ..voice.clone() };
        let score = Score::of(&candidate)?;
        if stages.judge(Stage::Style, &score, &best, &unsearched, SEARCH_STEPS, started) {
            (voice, best, offset) = (candidate, score, tried);
            break;
        }
    }
    course.passed(SCORING)?;

    if wanted.finetune {
        let started = Instant::now();
        let lessons =
            lessons(&voice, &recorded.parts.reference, &recorded.said.reference, &base_pack, &mut course)?;
        let adaptation = Adaptation {
            decoder: &decoder,
            encoder,
            base: &base_pack,
            offset: &offset,
            spread: &spread,
            target: &target,
            lessons: &lessons,
            rank: ADAPT_RANK,
            steps: ADAPT_STEPS,
            crop: CROP,
            seed: wanted.seed,
        };
        let (at, adapters) =
            adapt(&adaptation, &mut |step| curve.step(step, &mut course)).map_err(model_fault)?;
        course.stopped()?;
        for share in ADAPTER_SHARES {
            let tried: [f32; SOUND] = std::array::from_fn(|n| offset[n] + share * (at[n] - offset[n]));
            let pack = moved(&base_pack, &tried).map_err(model_fault)?;
            let adapters = adapters.scaled(share).map_err(model_fault)?.tensors();
            let candidate = Voice { pack, adapters, ..voice.clone() };
            let score = Score::of(&candidate)?;
            if stages.judge(Stage::Adapters, &score, &best, &unsearched, ADAPT_STEPS, started) {
                (voice, best) = (candidate, score);
                break;
            }
        }
        course.passed(SCORING)?;
    }

    let file = voice.bytes().map_err(model_fault)?;
    let seconds = seconds_of(&recorded.parts.reference);
    let told = (stages.all, curve.points);
    let cloned = recorded.cloned(file, seconds, (&base, &best), told, &mut |words| say(&voice, words))?;
    course.end();
    Ok(cloned)
}

/// Where the search starts: how the nearest stock voice speaks, with the sound of the few nearest ones, the nearer the
/// more. On three LibriSpeech readers that ended at a likeness of 0.80 to 0.83 where the nearest alone led to 0.69
/// to 0.82: a single voice may lie at the bottom of a hollow of its own.
fn start(
    voices: &StockVoices,
    stock: &[StockPrint],
    speaker: &Voiceprint,
    nearest: &VoicePack,
) -> Result<VoicePack, Fault> {
    let mut near: Vec<(f32, &StockPrint)> =
        stock.iter().map(|print| (print.ge2e.similarity(speaker), print)).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.truncate(MIXED);
    let best = near.first().map_or(0.0, |(likeness, _)| *likeness);
    let weights: Vec<f32> =
        near.iter().map(|(likeness, _)| ((likeness - best) / MIXED_WITHIN).exp()).collect();
    let packs = near.iter().map(|(_, print)| voices.pack(print.voice.name)).collect::<Result<Vec<_>, _>>();
    let packs = packs.map_err(model_fault)?;
    let mixed = VoicePack::mean(packs.iter().zip(weights.iter().copied()));
    let mut styles = nearest.styles().to_vec();
    for (style, mixed) in styles.chunks_exact_mut(STYLE).zip(mixed.styles().chunks_exact(STYLE)) {
        style[..SOUND].copy_from_slice(&mixed[..SOUND]);
    }
    VoicePack::new(styles).map_err(model_fault)
}

/// The speaker's pitch over some recordings.
fn pitch_of(clips: &[Clip]) -> Result<Option<Pitch>, Fault> {
    let mut track = Vec::new();
    for clip in clips {
        track.extend(pitch(&heard(clip)?.samples));
    }
    Ok(PitchRange::of(&track).map(Pitch::from))
}

/// The sentences of the search as tokens.
fn sentences(voice: &Voice) -> Result<Vec<Vec<u32>>, Fault> {
    let speaker = Speaker::new(voice)?;
    SEARCHED.iter().map(|text| Ok(tokens(&speaker, text)?.unwrap_or_default())).collect()
}

/// A text as one run of tokens; nothing when it is too long or has no sound.
fn tokens(speaker: &Speaker, text: &str) -> Result<Option<Vec<u32>>, Fault> {
    let speech = speaker.read(text, &Manner::default())?;
    let sentences: Vec<&str> = speech.sentences.iter().map(|sentence| sentence.phonemes.as_str()).collect();
    let tokens = vocab::encode(&sentences.join(" "));
    let fits = (1..=LONGEST_LESSON).contains(&tokens.places.len());
    Ok(fits.then_some(tokens.ids))
}

/// What the adapters learn from: every recording whose words are known.
fn lessons(
    voice: &Voice,
    clips: &[Clip],
    texts: &[String],
    base: &VoicePack,
    course: &mut Course,
) -> Result<Vec<Lesson>, StepError> {
    let speaker = Speaker::new(voice)?;
    let (kokoro, decoder) = (loaded::kokoro()?, loaded::decoder()?);
    let mut lessons = Vec::new();
    for (clip, text) in clips.iter().zip(texts) {
        course.stopped()?;
        if text.trim().is_empty() {
            continue;
        }
        let Some(tokens) = tokens(&speaker, text)? else { continue };
        let f0 = kokoro_grid(&pitch(&heard(clip)?.samples), clip.samples.len() / (SAMPLE_RATE as usize / 80));
        match lesson(&kokoro, &decoder, base, &tokens, &clip.samples, &f0) {
            Ok(lesson) => lessons.push(lesson),
            // One recording whose words cannot be right is no reason to stop.
            Err(error) => course.report.log(&format!("a recording is left out: {error}")),
        }
    }
    Ok(lessons)
}

/// The voice saying those words.
fn say(voice: &Voice, words: &str) -> Result<Clip, StepError> {
    let spoken = Speaker::new(voice)?.say(words, &Manner::default(), None, &mut |_, _, _| Ok(()))?;
    Ok(Clip::new(spoken.samples, SAMPLE_RATE))
}

/// The first of the recordings, of a length that is pleasant to hear.
fn sample_of(clips: &[Clip]) -> Clip {
    let first = clips.first().cloned().unwrap_or_else(|| Clip::silence(0.1, SAMPLE_RATE));
    let longest = (SAMPLE * f64::from(first.rate)) as usize;
    if first.samples.len() > longest { first.fitted(longest) } else { first }
}

/// A fault of the media crate about the recordings.
pub(crate) fn clip_fault(error: spinbot_media::MediaError) -> Fault {
    media_fault(error, "clip")
}
