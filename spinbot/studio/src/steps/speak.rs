//! `speak`: a text said in a voice, with the time of everything in it.

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
            report.progress(done as f64, total as f64, unit);
            Ok(())
        };
        let spoken = match ready {
            Ready::Pocket(speaker) => speaker.say(&text, seed, &mut each)?,
            Ready::Kokoro(speaker) => {
                let manner = Manner {
                    speed: self.speed as f32,
                    accent: accent(self.accent.as_deref())?,
                    lexicon: self.lexicon.clone(),
                    seed,
                };
                speaker.say(&text, &manner, &mut each)?
            }
        };
        let (said, took) = (spoken.timing.seconds, begun.elapsed().as_secs_f64());
        report.metric("real_time_factor", 0.0, took / said.max(1e-3));
        report.log(&format!("{said:.1} s of speech in {took:.1} s"));
        if spoken.unended > 0 {
            report.log(&format!("{} parts came to no end of their own and were cut", spoken.unended));
        }
        let clip = finished(Clip::new(spoken.samples, SAMPLE_RATE))?;
        let timing = serde_json::to_vec(&spoken.timing)
            .map_err(|error| Fault::new(format!("the timing could not be written: {error}")))?;
        Ok(vec![
            StepOutput { name: "speech", media_type: "audio/wav", bytes: audio::wav_bytes(&clip) },
            StepOutput { name: "timing", media_type: "application/json", bytes: timing },
            StepOutput {
                name: "subtitles",
                media_type: "text/vtt",
                bytes: spoken.timing.webvtt().into_bytes(),
            },
        ])
    }
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
