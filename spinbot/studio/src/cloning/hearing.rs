//! What is said in the recordings, and whether they can be learned from at all: one person, speaking English.

use super::course::Course;
use super::score::heard;
use super::{Wanted, words};
use crate::loaded;
use crate::step::{StepError, model_fault};
use spinbot::Fault;
use spinbot_media::audio::Clip;
use spinbot_models::listen::{Activity, Confidence, Transcript};

/// Parts at least this long, in seconds, say for themselves whether they are English.
const JUDGED: f64 = 2.0;

/// What is said in all parts.
pub(super) struct Said {
    pub(super) whole: String,
    pub(super) reference: Vec<String>,
    pub(super) held_out: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Hears the words of all parts, and refuses what is no single person's English.
pub(super) fn understand(
    reference: &[Clip],
    held_out: &[Clip],
    wanted: &Wanted,
    course: &mut Course,
) -> Result<Said, StepError> {
    let listener = loaded::listener()?;
    let encoder = listener.encoder().map_err(model_fault)?;
    let transcriber = listener.transcriber().map_err(model_fault)?;
    let fault = |text: &str, help: &str| Fault::new(text).help(help).about("clip");
    let all: Vec<&Clip> = reference.iter().chain(held_out).collect();
    let mut speech = Vec::new();
    let mut transcript = Transcript::default();
    let mut texts = Vec::new();
    let mut doubtful = false;
    for clip in &all {
        course.stopped()?;
        let samples = heard(clip)?.samples;
        speech.extend(Activity::of(&samples).speech_only(&samples));
        let heard = transcriber.transcribe(&samples).map_err(model_fault)?;
        // Over a whole recording a few sure words hide many doubtful ones.
        doubtful |= heard.confidence() == Confidence::Doubtful && clip.seconds() >= JUDGED;
        texts.push(heard.text());
        transcript.segments.extend(heard.segments);
    }
    if speech.is_empty() {
        return Err(fault("there is no speech in the recordings", "record two or three sentences").into());
    }
    if encoder.two_voices(&speech).map_err(model_fault)?.several() {
        return Err(fault(
            "more than one person seems to speak in the recordings",
            "give clips of one person alone; a voice belongs to one",
        )
        .into());
    }
    let mut warnings = Vec::new();
    let confidence = match transcript.confidence() {
        Confidence::Clear if doubtful => Confidence::Doubtful,
        whole => whole,
    };
    match (confidence, wanted.transcript) {
        (Confidence::Clear, _) => {}
        (Confidence::Nothing, _) => {
            return Err(fault(
                "no words were heard in the recordings: noise or music, perhaps",
                "give clips in which a person speaks English clearly",
            )
            .into());
        }
        (Confidence::Doubtful, None) => {
            return Err(fault(
                "speech recognition was unsure of the words: another language than English, or too much noise",
                "give clear English speech; if it is that, say what is said with --transcript",
            )
            .into());
        }
        (Confidence::Doubtful, Some(_)) => {
            warnings
                .push("speech recognition was unsure of the words; the transcript given was trusted".into());
        }
    }
    if let Some(given) = wanted.transcript {
        let errors = spinbot_models::listen::word_errors(given, &transcript.text());
        if errors.rate() > 0.5 {
            warnings.push(format!(
                "the transcript differs from what was heard in {:.0}% of its words",
                100.0 * errors.rate().min(1.0)
            ));
        }
        texts = words::share_out(given, &texts);
        texts.resize(all.len(), String::new());
    }
    let held_out = texts.split_off(reference.len().min(texts.len()));
    let whole = match wanted.transcript {
        Some(given) => given.trim().to_owned(),
        None => transcript.text(),
    };
    course.report.log(&format!("heard: {whole}"));
    Ok(Said { whole, reference: texts, held_out, warnings })
}
