//! What is heard in the recordings before a voice is made of them, and what is told of the voice that was.

use super::course::Course;
use super::hearing::{Said, understand};
use super::parts::{Parts, part};
use super::score::{Prints, Score, prints_of};
use super::{Cloned, DVECTOR_MARKS, GE2E_MARKS, LISTENING, SCORED, Wanted, pitch_of, sample_of};
use crate::step::{StepError, model_fault};
use spinbot::Fault;
use spinbot::voices::{
    EncoderScale, Pitch as PitchHeard, PitchScores, StageScore, TranscriptSource, VoiceScores,
};
use spinbot_media::audio::Clip;
use spinbot_models::cloning::{StockPrint, stock_prints};
use spinbot_models::kokoro::{Pitch, SpeakerPrints};
use std::time::Instant;

/// How long some recordings are together.
pub(super) fn seconds_of(clips: &[Clip]) -> f64 {
    clips.iter().map(Clip::seconds).sum()
}

/// The recordings of one speaker, heard.
pub(super) struct Recorded {
    begun: Instant,
    given: bool,
    pub(super) parts: Parts,
    pub(super) said: Said,
    /// The speaker in what is learned from.
    pub(super) speaker: Prints,
    /// The speaker in what is kept back.
    pub(super) kept_back: Prints,
    pub(super) range: Option<Pitch>,
    /// All stock voices, and the one most like the speaker.
    pub(super) stock: Vec<StockPrint>,
    pub(super) nearest: StockPrint,
}

impl Recorded {
    /// Parts the speech and listens to it.
    pub(super) fn hear(
        speech: &Clip,
        spans: &[(f64, f64)],
        wanted: &Wanted,
        course: &mut Course,
    ) -> Result<Recorded, StepError> {
        let begun = Instant::now();
        let parts = part(speech, spans);
        let said = understand(&parts.reference, &parts.held_out, wanted, course)?;
        let speaker = prints_of(&parts.reference)?;
        let kept_back = prints_of(&parts.held_out)?;
        let range = pitch_of(&parts.reference)?;
        course.passed(LISTENING)?;
        let stock = stock_prints().map_err(model_fault)?;
        let near = |print: &StockPrint| print.ge2e.similarity(&speaker.ge2e);
        let nearest = stock.iter().max_by(|a, b| near(a).total_cmp(&near(b))).copied();
        let nearest = nearest.ok_or_else(|| Fault::new("there are no stock voices"))?;
        course.report.log(&format!("the nearest stock voice is {}", nearest.voice.name));
        let given = wanted.transcript.is_some();
        Ok(Recorded { begun, given, parts, said, speaker, kept_back, range, stock, nearest })
    }

    /// How the speaker is heard, as a voice keeps it.
    pub(super) fn prints(&self) -> SpeakerPrints {
        SpeakerPrints { ge2e: self.speaker.ge2e, dvector: self.speaker.dvector }
    }

    /// What came of it: `voice` is the file of the one that was `best`, made of so many `seconds` of speech, and `say` lets
    /// it speak.
    pub(super) fn cloned(
        self,
        voice: Vec<u8>,
        seconds: f64,
        (base, best): (&Score, &Score),
        (stages, curve): (Vec<StageScore>, Vec<(f64, f64)>),
        say: &mut dyn FnMut(&str) -> Result<Clip, StepError>,
    ) -> Result<Cloned, StepError> {
        let held_out = &self.parts.held_out;
        let original = sample_of(held_out);
        let words = self.said.held_out.iter().find(|text| !text.is_empty());
        let clone = say(words.map_or(SCORED[0], String::as_str))?;
        let clone_pitch = pitch_of(std::slice::from_ref(&clone))?;
        let told = |pitch: Pitch| PitchHeard {
            hz: f64::from(pitch.hertz()),
            semitones: f64::from(pitch.semitones()),
        };
        let scale = |(different_speaker, same_speaker), similarity: &dyn Fn(&Prints) -> f32| EncoderScale {
            different_speaker,
            same_speaker,
            nearest_stock: f64::from(similarity(&base.prints)),
            clone: f64::from(similarity(&best.prints)),
        };
        let scores = VoiceScores {
            reference_seconds: seconds,
            held_out_seconds: seconds_of(held_out),
            transcript: self.said.whole,
            transcript_source: if self.given { TranscriptSource::Given } else { TranscriptSource::Heard },
            base: self.nearest.voice.name.to_owned(),
            pitch: PitchScores {
                speaker: told(self.range.unwrap_or(self.nearest.pitch)),
                base: told(self.nearest.pitch),
                clone: clone_pitch.map(told),
            },
            ge2e: scale(GE2E_MARKS, &|prints| prints.ge2e.similarity(&self.kept_back.ge2e)),
            dvector: scale(DVECTOR_MARKS, &|prints| prints.dvector.similarity(&self.kept_back.dvector)),
            stages,
            curve,
            warnings: self.said.warnings,
            seconds: self.begun.elapsed().as_secs_f64(),
        };
        Ok(Cloned { voice, scores, original, clone })
    }
}
