//! `clone_voice`: the voice of some recordings, what it is worth, and two samples to hear.

use super::speak::finished;
use crate::clips::Clips;
use crate::cloning::{self, Wanted, clip_fault};
use crate::step::{Inputs, Report, Run, StepError, StepOutput, input, json_input};
use spinbot::Fault;
use spinbot::steps::CloneVoice;
use spinbot_media::audio::{self, AudioCaps};
use spinbot_media::spectrogram;

impl Run for CloneVoice {
    const MODELS: &'static [&'static str] =
        &["kokoro", "kokoro-voices", "speaker-encoder", "voice-judge", "whisper-tiny.en", "dnsmos"];

    fn check(&self) -> Result<(), Fault> {
        match &self.transcript {
            Some(text) if text.trim().is_empty() => {
                Err(Fault::new("the transcript is empty").about("transcript"))
            }
            _ => Ok(()),
        }
    }

    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        let file = input(inputs, "speech")?;
        let speech = audio::read(&file.path, &file.label, &AudioCaps::default()).map_err(clip_fault)?;
        let clips: Clips = json_input(inputs, "clips")?;
        let spans: Vec<(f64, f64)> = clips.clips.iter().map(|clip| (clip.start, clip.end)).collect();
        let wanted = Wanted { transcript: self.transcript.as_deref(), finetune: self.finetune, seed };
        let mut cloned = match inputs.get("weights") {
            Some(_) if self.finetune => {
                let fault = Fault::new("pocket-tts has no adapters to train").about("finetune");
                return Err(fault.help("leave --finetune out").into());
            }
            Some(weights) => cloning::clone_by_prompt(&speech, &spans, &wanted, weights, report)?,
            None => cloning::clone(&speech, &spans, &wanted, report)?,
        };
        for clip in clips.clips {
            cloned
                .scores
                .warnings
                .extend(clip.warnings.into_iter().map(|text| format!("{}: {text}", clip.label)));
        }
        let scores = serde_json::to_vec(&cloned.scores)
            .map_err(|error| Fault::new(format!("the scores could not be written: {error}")))?;
        let (original, clone) = (finished(cloned.original)?, finished(cloned.clone)?);
        let picture = spectrogram::png(&[("original", &original), ("clone", &clone)]).map_err(clip_fault)?;
        Ok(vec![
            StepOutput { name: "voice", media_type: "application/octet-stream", bytes: cloned.voice },
            StepOutput { name: "scores", media_type: "application/json", bytes: scores },
            StepOutput { name: "original", media_type: "audio/wav", bytes: audio::wav_bytes(&original) },
            StepOutput { name: "clone", media_type: "audio/wav", bytes: audio::wav_bytes(&clone) },
            StepOutput { name: "picture", media_type: "image/png", bytes: picture },
        ])
    }
}
