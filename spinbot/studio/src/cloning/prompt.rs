//! A voice of pocket-tts: the recordings are its prompt, there is nothing to search. It is scored as every other, on
//! speech it was not made of, beside the nearest stock voice of Kokoro.

use super::course::Course;
use super::recorded::{Recorded, seconds_of};
use super::score::Score;
use super::stages::Stages;
use super::{Cloned, LISTENING, SCORED, SCORING, Wanted, clip_fault};
use crate::loaded;
use crate::speaking::PocketSpeaker;
use crate::step::{Report, StepError, StepInput, model_fault};
use spinbot::voices::Stage;
use spinbot_media::audio::{self, Clip};
use spinbot_models::pocket::{self, PocketModel};
use std::time::Instant;

/// Seconds of recordings that are of use: more makes the voice no closer, and every sentence dearer.
const USEFUL: f64 = 30.0;
/// Seconds of silence between recordings.
const GAP: f64 = 0.2;

/// Makes a voice of `speech`, as [`super::clone`], for these weights.
pub(crate) fn clone_by_prompt(
    speech: &Clip,
    spans: &[(f64, f64)],
    wanted: &Wanted,
    weights: &StepInput,
    report: &mut dyn Report,
) -> Result<Cloned, StepError> {
    let pocket = loaded::pocket(weights)?;
    pocket.can_clone().map_err(|error| model_fault(error).about("weights"))?;
    let mut course = Course::new(report, LISTENING + 2.0 * SCORING);
    let recorded = Recorded::hear(speech, spans, wanted, &mut course)?;
    let mut stages =
        Stages { held_out: recorded.kept_back, reference: recorded.speaker.ge2e, all: Vec::new() };
    let base = Score::from(&recorded.nearest);
    stages.note(Stage::NearestStock, &base, false, "to compare with".to_owned(), 0, Instant::now());

    let started = Instant::now();
    let used = useful(&recorded.parts.reference);
    let (prompt, _) = audio::join(used, GAP).map_err(clip_fault)?;
    let prompt = prompt.resampled(pocket::SAMPLE_RATE).map_err(clip_fault)?;
    let voice = pocket.voice_from(&prompt.samples).map_err(|error| model_fault(error).about("clip"))?;
    let speaker = PocketSpeaker { pocket, voice };
    course.passed(SCORING)?;
    let mut say = |text: &str| -> Result<Clip, StepError> {
        let spoken = speaker.say(text, wanted.seed, None, &mut |_, _, _| course.stopped())?;
        Ok(Clip::new(spoken.samples, pocket::SAMPLE_RATE))
    };
    let text = SCORED.join(" ");
    let score = Score::heard(&text, say(&text)?)?;
    let gain =
        score.prints.ge2e.similarity(&stages.reference) - base.prints.ge2e.similarity(&stages.reference);
    let why = format!(
        "{gain:+.2} against {}, by likeness to the speech it was made of",
        recorded.nearest.voice.name
    );
    stages.note(Stage::Prompt, &score, true, why, 0, started);

    let model = PocketModel { id: weights.label.clone(), sha256: weights.sha256.clone() };
    let file = speaker.voice.to_safetensors(&model, Some(&recorded.prints())).map_err(model_fault)?;
    let seconds = seconds_of(used);
    let cloned = recorded.cloned(file, seconds, (&base, &score), (stages.all, Vec::new()), &mut say)?;
    course.end();
    Ok(cloned)
}

/// The first recordings, as many as are of use; the first in any case.
fn useful(clips: &[Clip]) -> &[Clip] {
    let mut seconds = 0.0;
    let fits = |clip: &&Clip| {
        seconds += clip.seconds();
        seconds <= USEFUL
    };
    let count = clips.iter().take_while(fits).count().max(1);
    clips.get(..count).unwrap_or(clips)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_whole_recordings_are_used_as_are_of_use() {
        let used = |lengths: &[f64]| {
            let clips: Vec<Clip> = lengths.iter().map(|seconds| Clip::silence(*seconds, 8000)).collect();
            useful(&clips).len()
        };
        for (lengths, expected) in
            [(&[5.0][..], 1), (&[10.0, 11.0, 8.0, 5.0], 3), (&[40.0, 2.0], 1), (&[10.0, 11.0], 2)]
        {
            assert_eq!(used(lengths), expected, "{lengths:?}");
        }
    }
}
