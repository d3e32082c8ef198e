//! `listen`: what is said in a recording, how well it sounds, whose voice it resembles.

use crate::loaded;
use crate::step::{
    Inputs, MAX_SPEECH_SECONDS, Report, Run, StepError, StepOutput, input, media_fault, model_fault, numbered,
};
use spinbot::Fault;
use spinbot::listen::{Dnsmos, Heard, Likeness};
use spinbot::steps::Listen;
use spinbot::voices::Pitch as PitchHeard;
use spinbot_media::audio::{self, AudioCaps};
use spinbot_models::cloning::stock_prints;
use spinbot_models::kokoro::{Pitch, SpeakerPrints};
use spinbot_models::listen::{Confidence, PitchRange, SAMPLE_RATE, levelled_speech, pitch};

/// How many of the nearest voices are told.
const NEAREST: usize = 5;
/// The most profiles that are compared with.
const MOST_PROFILES: usize = 16;
/// Parts of the work: words, quality, voice.
const PARTS: f64 = 3.0;

impl Run for Listen {
    const MODELS: &'static [&'static str] = &["speaker-encoder", "voice-judge", "whisper-tiny.en", "dnsmos"];

    fn check(&self) -> Result<(), Fault> {
        if self.profiles.len() > MOST_PROFILES {
            let text =
                format!("{} profiles are more than the {MOST_PROFILES} compared with", self.profiles.len());
            return Err(Fault::new(text).about("like"));
        }
        Ok(())
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let file = input(inputs, "speech")?;
        let caps = AudioCaps { max_seconds: MAX_SPEECH_SECONDS, ..AudioCaps::default() };
        let media = |error| media_fault(error, "speech");
        let clip = audio::read(&file.path, &file.label, &caps).map_err(media)?;
        let snr = clip.activity().map_err(media)?.snr_db();
        let mut samples = clip.resampled(SAMPLE_RATE).map_err(media)?.samples;
        let listener = loaded::listener()?;
        let mut done = 0.0;
        let mut next = |report: &mut dyn Report| {
            done += 1.0;
            report.progress(done, PARTS, "parts");
            if report.cancelled() { Err(StepError::Cancelled) } else { Ok(()) }
        };
        let transcript =
            listener.transcriber().and_then(|network| network.transcribe(&samples)).map_err(model_fault)?;
        next(report)?;
        let quality = listener.dnsmos().and_then(|network| network.score(&samples)).map_err(model_fault)?;
        next(report)?;
        let range = PitchRange::of(&pitch(&samples)).map(Pitch::from);
        let speech = levelled_speech(&mut samples);
        let encoder = listener.encoder().map_err(model_fault)?;
        let mut nearest = Vec::new();
        let mut profiles = Vec::new();
        let mut speakers = 0;
        if !speech.is_empty() {
            speakers = if encoder.two_voices(&speech).map_err(model_fault)?.several() { 2 } else { 1 };
            let ge2e = encoder.embed(&speech).map_err(model_fault)?;
            let dvector = listener.judge().and_then(|judge| judge.embed(&speech)).map_err(model_fault)?;
            for print in stock_prints().map_err(model_fault)? {
                nearest.push(Likeness {
                    voice: print.voice.name.to_owned(),
                    ge2e: f64::from(print.ge2e.similarity(&ge2e)),
                    dvector: f64::from(print.dvector.similarity(&dvector)),
                });
            }
            for (name, (_, file)) in self.profiles.iter().zip(numbered(inputs, "profile")) {
                let speaker = SpeakerPrints::read(&super::speak::bytes_of(file)?);
                let speaker =
                    speaker.map_err(|error| model_fault(error).about("like"))?.ok_or_else(|| {
                        Fault::new(format!("the profile {name} does not tell how its speaker sounds"))
                            .help("make it again with `%clone_voice`")
                            .about("like")
                    })?;
                profiles.push(Likeness {
                    voice: name.clone(),
                    ge2e: f64::from(speaker.ge2e.similarity(&ge2e)),
                    dvector: f64::from(speaker.dvector.similarity(&dvector)),
                });
            }
            nearest.sort_by(|a, b| b.ge2e.total_cmp(&a.ge2e));
            nearest.truncate(NEAREST);
        }
        next(report)?;
        let mut warnings = Vec::new();
        match transcript.confidence() {
            Confidence::Clear => {}
            Confidence::Doubtful => {
                warnings.push("the words are doubtful: another language than English, or noise".to_owned())
            }
            Confidence::Nothing => warnings.push("no words were heard".to_owned()),
        }
        if speakers > 1 {
            warnings.push("more than one person seems to speak".to_owned());
        }
        let heard = Heard {
            seconds: clip.seconds(),
            transcript: transcript.text(),
            confidence: transcript.avg_logprob().map_or(0.0, |log| f64::from(log).exp()),
            dnsmos: Dnsmos {
                overall: f64::from(quality.ovrl),
                signal: f64::from(quality.sig),
                background: f64::from(quality.bak),
            },
            snr,
            pitch: range.map(|range| PitchHeard {
                hz: f64::from(range.hertz()),
                semitones: f64::from(range.semitones()),
            }),
            speakers,
            nearest,
            profiles,
            warnings,
        };
        let bytes = serde_json::to_vec(&heard)
            .map_err(|error| Fault::new(format!("what was heard could not be written: {error}")))?;
        Ok(vec![StepOutput { name: "report", media_type: "application/json", bytes }])
    }
}
