//! `score_pictures`: what drawn pictures are worth.

use crate::step::{Inputs, Report, Run, StepError, StepOutput, media_fault, numbered};
use crate::{loaded, scoring};
use spinbot::draw::MOST_PICTURES;
use spinbot::scores::Identity;
use spinbot::{Fault, steps::ScorePictures};
use spinbot_media::picture::{self, Caps};

impl Run for ScorePictures {
    const MODELS: &'static [&'static str] = scoring::MODELS;

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let files = numbered(inputs, "picture");
        if files.len() > MOST_PICTURES {
            return Err(Fault::new(format!("{} pictures, the most is {MOST_PICTURES}", files.len())).into());
        }
        let identity: Option<Identity> = match inputs.get("identity") {
            None => None,
            Some(file) => {
                let fault =
                    |why: String| Fault::new(format!("{}: does not say whose it is: {why}", file.label));
                let text = std::fs::read(&file.path).map_err(|e| fault(e.to_string()))?;
                Some(serde_json::from_slice(&text).map_err(|e| fault(e.to_string()).about("identity"))?)
            }
        };
        let caps = Caps { min_side: 16, ..Caps::default() };
        let mut pictures = Vec::with_capacity(files.len());
        for (_, file) in &files {
            let read = picture::read(&file.path, &file.label, &caps);
            pictures.push(read.map_err(|error| media_fault(error, "picture"))?);
        }
        let scores = loaded::judge()?.score(&pictures, &self.prompt, identity.as_ref())?;
        for (name, value) in scores.named() {
            report.metric(name, 0.0, value);
        }
        report.progress(1.0, 1.0, "scores");
        let bytes = serde_json::to_vec(&scores)
            .map_err(|e| Fault::new(format!("the scores could not be written: {e}")))?;
        Ok(vec![StepOutput { name: "report", media_type: "application/json", bytes }])
    }
}
