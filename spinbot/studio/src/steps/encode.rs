//! `encode`: picture and sound in one file.

use crate::step::{
    Inputs, MAX_SPEECH_SECONDS, Report, Run, StepError, StepOutput, input, json_input, media_fault,
};
use spinbot::provenance::{PLAN_TAG, Provenance};
use spinbot::{Fault, steps::Encode};
use spinbot_media::audio::{self, AudioCaps};
use spinbot_media::mp4;

/// Longest title a file gets, in characters.
const MAX_TITLE: usize = 500;

impl Run for Encode {
    fn check(&self) -> Result<(), Fault> {
        if self.title.chars().count() > MAX_TITLE {
            return Err(Fault::new(format!("the title is longer than {MAX_TITLE} characters"))
                .help("choose a shorter title")
                .about("title"));
        }
        Ok(())
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let (video, speech) = (input(inputs, "video")?, input(inputs, "speech")?);
        let file = std::fs::read(&video.path)
            .map_err(|error| Fault::new(format!("{}: could not be read ({error})", video.label)))?;
        let track = mp4::read_video(&file).map_err(|error| media_fault(error, "video"))?;
        let caps = AudioCaps { max_seconds: MAX_SPEECH_SECONDS, ..AudioCaps::default() };
        let clip =
            audio::read(&speech.path, &speech.label, &caps).map_err(|error| media_fault(error, "speech"))?;
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        // Both end together, so that no player shows a frozen last picture or cuts the last word.
        let samples = (track.seconds() * f64::from(clip.rate)).round() as usize;
        let provenance: Provenance = json_input(inputs, "provenance")?;
        let plan = serde_json::to_string(&provenance)
            .map_err(|error| Fault::new(format!("what it was made of cannot be written: {error}")))?;
        let tags = mp4::Tags {
            title: self.title.clone(),
            comment: provenance.notice(),
            software: provenance.software,
            named: vec![(PLAN_TAG.to_owned(), plan)],
        };
        let bytes = mp4::write(&track, Some(&clip.fitted(samples)), &tags)
            .map_err(|error| media_fault(error, "video"))?;
        report.progress(track.seconds(), track.seconds(), "s");
        Ok(vec![StepOutput { name: "video", media_type: "video/mp4", bytes }])
    }
}
