//! `speak`: a text said in a voice, with the time of everything in it.

use crate::committed::Committed;
use crate::speaking::{Manner, PocketSpeaker, Speaker, Spoken};
use crate::step::{
    Inputs, Report, Run, StepError, StepInput, StepOutput, in_range, input, media_fault, model_fault,
};
use spinbot::Fault;
use spinbot::SPEEDS;
use spinbot::steps::Speak;
use spinbot_media::audio::{self, Clip};
use spinbot_models::kokoro::voice::Accent;
use spinbot_models::kokoro::{SAMPLE_RATE, Voice};
use spinbot_models::pocket::is_pocket_voice;
use std::io::Read;
use std::time::Instant;

/// Samples a second of everything downstream.
pub(super) const RATE: u32 = 48_000;
pub(super) const LUFS: f64 = -16.0;
pub(super) const PEAK_DBFS: f64 = -1.0;
/// Most bytes of a voice file: a minute of pocket-tts' memory has 37 MB.
const LARGEST_VOICE: u64 = 128 << 20;
/// Most bytes of a text that an earlier step wrote.
const LARGEST_TEXT: u64 = 1 << 20;

/// The part of a long text that is said, and how much more of it is worth keeping, in seconds of speech.
const SAID: &str = "said";
const KEPT_EVERY: f64 = 20.0;

impl Run for Speak {
    const MODELS: &'static [&'static str] = &["kokoro"];

    fn check(&self) -> Result<(), Fault> {
        in_range("speed", self.speed, *SPEEDS.start(), *SPEEDS.end())?;
        accent(self.accent.as_deref()).map(drop)
    }

    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        let text = match inputs.get("narration") {
            Some(written) => text_of(written)?,
            None => self.text.clone(),
        };
        if text.trim().is_empty() {
            return Err(Fault::new("there is nothing to say: the text is empty").about("text").into());
        }
        let bytes = bytes_of(input(inputs, "voice")?)?;
        let weights = inputs.get("weights");
        let of_pocket = weights.is_some() || is_pocket_voice(&bytes);
        let kokoro_voice;
        let (ready, unit) = match of_pocket {
            true => {
                check_plain(self)?;
                (Ready::Pocket(PocketSpeaker::read(&bytes, weights)?), "characters")
            }
            false => {
                kokoro_voice = Voice::read(&bytes).map_err(|error| model_fault(error).about("voice"))?;
                (Ready::Kokoro(Speaker::new(&kokoro_voice)?), "phonemes")
            }
        };
        // The text may be another step's: what was said is of the same text, for the folder belongs to these very inputs.
        let committed = Committed::new(report.kept());
        let before = committed.read(SAID).and_then(|part| unpacked(&part));
        if let Some(before) = &before {
            report.log(&format!("{:.0} s were already said before it was stopped", before.timing.seconds));
        }
        let mut kept = before.as_ref().map_or(0.0, |before| before.timing.seconds);
        let begun = Instant::now();
        let (mut first, mut previewed) = (true, false);
        let mut each = |spoken: &Spoken, done: usize, total: usize| {
            if report.cancelled() {
                return Err(StepError::Cancelled);
            }
            if std::mem::take(&mut first) {
                report.metric("first_sound", 0.0, begun.elapsed().as_secs_f64());
            }
            if !previewed && !spoken.timing.sentences.is_empty() {
                previewed = true;
                // Heard while the rest is made.
                if done < total {
                    let clip = finished(Clip::new(spoken.samples.clone(), SAMPLE_RATE))?;
                    let (media_type, bytes) =
                        audio::inline_bytes(&clip).map_err(|error| media_fault(error, "text"))?;
                    report.preview("sentence", media_type, &bytes);
                }
            }
            let whole = spoken.whole == spoken.samples.len();
            if whole && done < total && spoken.timing.seconds > kept + KEPT_EVERY {
                kept = spoken.timing.seconds;
                if let Err(error) = committed.keep(SAID, &packed(spoken)) {
                    report.log(&format!("what is said could not be kept for a restart: {error}"));
                }
            }
            report.progress(done as f64, total as f64, unit);
            Ok(())
        };
        let spoken = match ready {
            Ready::Pocket(speaker) => speaker.say(&text, seed, before, &mut each)?,
            Ready::Kokoro(speaker) => {
                let manner = Manner {
                    speed: self.speed as f32,
                    accent: accent(self.accent.as_deref())?,
                    lexicon: self.lexicon.clone(),
                    seed,
                };
                speaker.say(&text, &manner, before, &mut each)?
            }
        };
        let (said, took) = (spoken.timing.seconds, begun.elapsed().as_secs_f64());
        report.metric("real_time_factor", 0.0, took / said.max(1e-3));
        report.log(&format!("{said:.1} s of speech in {took:.1} s"));
        if spoken.unended > 0 {
            report.log(&format!("{} parts came to no end of their own and were cut", spoken.unended));
        }
        let clip = finished(Clip::new(spoken.samples, SAMPLE_RATE))?;
        let told = spoken.timing.to_microseconds();
        let timing = serde_json::to_vec(&told)
            .map_err(|error| Fault::new(format!("the timing could not be written: {error}")))?;
        Ok(vec![
            StepOutput { name: "speech", media_type: "audio/wav", bytes: audio::wav_bytes(&clip) },
            StepOutput { name: "timing", media_type: "application/json", bytes: timing },
            StepOutput { name: "subtitles", media_type: "text/vtt", bytes: told.webvtt().into_bytes() },
        ])
    }
}

/// What was said, as it is kept.
fn packed(spoken: &Spoken) -> Vec<u8> {
    let told = serde_json::to_vec(&(&spoken.timing, spoken.unended, spoken.parts)).unwrap_or_default();
    let mut bytes = (told.len() as u64).to_le_bytes().to_vec();
    bytes.extend(told);
    bytes.extend(spoken.samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}

fn unpacked(bytes: &[u8]) -> Option<Spoken> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (told, sound) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (timing, unended, parts) = serde_json::from_slice(told).ok()?;
    let samples: Vec<f32> =
        sound.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Some(Spoken { whole: samples.len(), samples, timing, unended, parts })
}

/// A voice that is loaded.
enum Ready<'a> {
    Kokoro(Speaker<'a>),
    Pocket(PocketSpeaker),
}

/// What pocket-tts cannot be told, which the builders refuse before.
fn check_plain(step: &Speak) -> Result<(), Fault> {
    let argument = match () {
        () if step.speed != 1.0 => "speed",
        () if step.accent.is_some() => "accent",
        () if !step.lexicon.is_empty() => "say",
        () => return Ok(()),
    };
    let fault = Fault::new(format!("this voice is of pocket-tts, which takes no {argument}"));
    Err(fault.help("leave it out, or choose a voice of Kokoro").about(argument))
}

/// At the rate and loudness of everything that is heard.
pub(super) fn finished(clip: Clip) -> Result<Clip, Fault> {
    let fault = |error| media_fault(error, "text");
    clip.resampled(RATE).and_then(|clip| clip.normalized(LUFS, PEAK_DBFS)).map_err(fault)
}

/// A text that an earlier step wrote.
fn text_of(file: &StepInput) -> Result<String, Fault> {
    let mut text = String::new();
    let read =
        std::fs::File::open(&file.path).and_then(|file| file.take(LARGEST_TEXT).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(Fault::new(format!("{}: could not be read ({error})", file.label)).about("text")),
    }
}

/// The bytes of a voice file.
pub(super) fn bytes_of(file: &StepInput) -> Result<Vec<u8>, Fault> {
    let fault = |what: String| Fault::new(format!("{}: {what}", file.label)).about("voice");
    let mut bytes = Vec::new();
    std::fs::File::open(&file.path)
        .and_then(|opened| opened.take(LARGEST_VOICE + 1).read_to_end(&mut bytes))
        .map_err(|error| fault(format!("could not be read ({error})")))?;
    match bytes.len() as u64 > LARGEST_VOICE {
        true => Err(fault(format!("is larger than the {} MB of a voice", LARGEST_VOICE >> 20))),
        false => Ok(bytes),
    }
}

fn accent(given: Option<&str>) -> Result<Option<Accent>, Fault> {
    match given {
        None => Ok(None),
        Some("us") => Ok(Some(Accent::American)),
        Some("uk") => Ok(Some(Accent::British)),
        Some(other) => Err(Fault::new(format!("`{other}` is no accent"))
            .help("choose us or uk, or leave it out for the voice's own")
            .about("accent")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use spinbot::timing::SpeechTiming;

    #[test]
    fn what_was_said_comes_back_as_it_was_kept() {
        let timing = SpeechTiming { seconds: 1.5, ..SpeechTiming::default() };
        let spoken =
            Spoken { samples: vec![0.25, -1.0, f32::MIN_POSITIVE], timing, unended: 1, parts: 2, whole: 3 };
        let back = unpacked(&packed(&spoken)).unwrap();
        assert_eq!(
            (back.samples, back.timing, back.unended),
            (spoken.samples.clone(), spoken.timing.clone(), 1)
        );
        assert_eq!((back.parts, back.whole), (2, 3));
        assert!(unpacked(&packed(&spoken)[..9]).is_none() && unpacked(&[]).is_none());
    }
}
