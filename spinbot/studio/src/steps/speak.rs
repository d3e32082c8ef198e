//! `speak`: a text said in a voice, with the time of everything in it.

use crate::speaking::{Manner, Speaker};
use crate::step::{
    Inputs, Report, Run, StepError, StepInput, StepOutput, in_range, input, media_fault, model_fault,
};
use spinbot::Fault;
use spinbot::SPEEDS;
use spinbot::steps::Speak;
use spinbot_media::audio::{self, Clip};
use spinbot_models::kokoro::voice::Accent;
use spinbot_models::kokoro::{SAMPLE_RATE, Voice};
use std::time::Instant;

/// Samples a second of everything downstream.
const RATE: u32 = 48_000;
const LUFS: f64 = -16.0;
const PEAK_DBFS: f64 = -1.0;

impl Run for Speak {
    const MODELS: &'static [&'static str] = &["kokoro"];

    fn check(&self) -> Result<(), Fault> {
        in_range("speed", self.speed, *SPEEDS.start(), *SPEEDS.end())?;
        if self.text.trim().is_empty() {
            return Err(Fault::new("there is nothing to say: the text is empty").about("text"));
        }
        accent(self.accent.as_deref()).map(drop)
    }

    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        let voice = read_voice(input(inputs, "voice")?)?;
        let speaker = Speaker::new(&voice)?;
        let manner = Manner {
            speed: self.speed as f32,
            accent: accent(self.accent.as_deref())?,
            lexicon: self.lexicon.clone(),
            seed,
        };
        let begun = Instant::now();
        let mut first = true;
        let spoken = speaker.say(&self.text, &manner, &mut |spoken, done, total| {
            if report.cancelled() {
                return Err(StepError::Cancelled);
            }
            if std::mem::take(&mut first) {
                report.metric("first_sound", 0.0, begun.elapsed().as_secs_f64());
                // Heard while the rest is made.
                if done < total {
                    let clip = finished(Clip::new(spoken.samples.clone(), SAMPLE_RATE))?;
                    let (media_type, bytes) =
                        audio::inline_bytes(&clip).map_err(|error| media_fault(error, "text"))?;
                    report.preview("sentence", media_type, &bytes);
                }
            }
            report.progress(done as f64, total as f64, "phonemes");
            Ok(())
        })?;
        let (said, took) = (spoken.timing.seconds, begun.elapsed().as_secs_f64());
        report.metric("real_time_factor", 0.0, took / said.max(1e-3));
        report.log(&format!("{said:.1} s of speech in {took:.1} s"));
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

/// At the rate and loudness of everything that is heard.
pub(super) fn finished(clip: Clip) -> Result<Clip, Fault> {
    let fault = |error| media_fault(error, "text");
    clip.resampled(RATE).and_then(|clip| clip.normalized(LUFS, PEAK_DBFS)).map_err(fault)
}

/// The voice in a file of the store.
pub(super) fn read_voice(file: &StepInput) -> Result<Voice, Fault> {
    let bytes = std::fs::read(&file.path)
        .map_err(|error| Fault::new(format!("{}: could not be read ({error})", file.label)).about("voice"))?;
    Voice::read(&bytes).map_err(|error| model_fault(error).about("voice"))
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
