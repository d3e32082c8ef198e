//! `read_voice`: one voice of several, stock voices and profiles alike; or one voice of pocket-tts, which cannot be
//! mixed, seen to fit its weights.

use super::speak::bytes_of;
use crate::cloning::stock_voice;
use crate::loaded;
use crate::speaking::{PocketSpeaker, unnamed};
use crate::step::{Inputs, Report, Run, StepError, StepInput, StepOutput, input, model_fault};
use spinbot::Fault;
use spinbot::steps::ReadVoice;
use spinbot_models::cloning::stock_prints;
use spinbot_models::kokoro::SpeakerPrints;
use spinbot_models::kokoro::Voice;
use spinbot_models::kokoro::voice::stock;
use spinbot_models::pocket::{PocketModel, is_pocket_voice};

/// The most parts of a blend.
const MOST_PARTS: usize = 16;

impl Run for ReadVoice {
    const MODELS: &'static [&'static str] = &["kokoro-voices"];

    fn check(&self) -> Result<(), Fault> {
        let fault = |text: String| Err(Fault::new(text).about("voice"));
        if self.blend.is_empty() || self.blend.len() > MOST_PARTS {
            return fault(format!("a voice is mixed of 1 to {MOST_PARTS}, not of {}", self.blend.len()));
        }
        match self.blend.iter().find(|part| !(part.weight.is_finite() && part.weight > 0.0)) {
            Some(part) => {
                fault(format!("the share of `{}` is {}, need more than 0", part.voice, part.weight))
            }
            None => Ok(()),
        }
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        if let Some(weights) = inputs.get("weights") {
            let bytes = of_pocket(self, inputs, weights)?;
            report.progress(1.0, 1.0, "voice");
            return Ok(vec![StepOutput { name: "voice", media_type: "application/octet-stream", bytes }]);
        }
        let mut parts = Vec::with_capacity(self.blend.len());
        for part in &self.blend {
            let voice = match stock(&part.voice) {
                Some(known) => stock_voice(&*loaded::stock_voices()?, known)?,
                None => {
                    let bytes = bytes_of(input(inputs, &part.voice)?)?;
                    if is_pocket_voice(&bytes) {
                        return Err(unnamed().into());
                    }
                    Voice::read(&bytes).map_err(|error| model_fault(error).about(&part.voice))?
                }
            };
            parts.push((voice, part.weight as f32));
        }
        let prints = stock_prints().map_err(model_fault)?;
        let own_pitch = |voice: &Voice| {
            prints.iter().find(|print| print.voice.name == voice.base).map(|print| print.pitch)
        };
        let voice = Voice::blend(&parts, own_pitch).map_err(model_fault)?;
        report.progress(1.0, 1.0, "voice");
        let bytes = voice.bytes().map_err(model_fault)?;
        Ok(vec![StepOutput { name: "voice", media_type: "application/octet-stream", bytes }])
    }
}

/// The bytes of the one voice of pocket-tts, as `speak` takes them.
fn of_pocket(step: &ReadVoice, inputs: &Inputs, weights: &StepInput) -> Result<Vec<u8>, Fault> {
    let [part] = step.blend.as_slice() else {
        let fault = Fault::new("voices of pocket-tts cannot be mixed").about("voice");
        return Err(fault.help("use one of them alone"));
    };
    let bytes = bytes_of(input(inputs, &part.voice)?)?;
    let speaker = PocketSpeaker::read(&bytes, Some(weights))?;
    let prints = SpeakerPrints::read(&bytes).map_err(|error| model_fault(error).about("voice"))?;
    let model = PocketModel { id: weights.label.clone(), sha256: weights.sha256.clone() };
    speaker.voice.to_safetensors(&model, prints.as_ref()).map_err(model_fault)
}
