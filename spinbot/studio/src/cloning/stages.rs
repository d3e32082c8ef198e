//! The stages of a clone, each judged and written down.

use super::score::{Prints, Score};
use crate::step::StepError;
use spinbot::voices::{Stage, StageScore};
use spinbot_models::kokoro::Voice;
use spinbot_models::listen::Voiceprint;
use std::time::Instant;

/// What likeness the speaker's pitch may cost.
const PITCH_COST: f32 = 0.05;

/// The stages so far and what they are judged by.
pub(super) struct Stages {
    pub(super) held_out: Prints,
    pub(super) reference: Voiceprint,
    pub(super) all: Vec<StageScore>,
}

impl Stages {
    /// The stock voice as it is, which is always kept.
    pub(super) fn first(&mut self, voice: &Voice) -> Result<Score, StepError> {
        let started = Instant::now();
        let score = Score::of(voice)?;
        let why = "where the search starts".to_owned();
        self.note(Stage::NearestStock, &score, true, why, 0, started);
        Ok(score)
    }

    /// Judges the speaker's pitch: `nearer` is by how many semitones the voice came closer to it. Everyone hears that,
    /// though the encoders hardly do: it is kept unless it costs likeness.
    pub(super) fn judge_pitch(
        &mut self,
        score: &Score,
        before: &Score,
        nearer: f32,
        started: Instant,
    ) -> bool {
        let gain =
            score.prints.ge2e.similarity(&self.reference) - before.prints.ge2e.similarity(&self.reference);
        let kept = gain > -PITCH_COST;
        let why = match kept {
            true => format!("{nearer:.1} semitones nearer to the speaker, similarity {gain:+.2}"),
            false => format!("similarity fell by {:.2}", -gain),
        };
        self.note(Stage::Pitch, score, kept, why, 0, started);
        kept
    }

    /// Judges a stage and writes it down; whether it is kept.
    pub(super) fn judge(
        &mut self,
        stage: Stage,
        score: &Score,
        before: &Score,
        base: &Score,
        steps: usize,
        started: Instant,
    ) -> bool {
        let (kept, why) = score.verdict(before, base, &self.reference);
        // Of several tries of one stage the last tells how it ended.
        self.all.retain(|other| other.stage != stage);
        self.note(stage, score, kept, why, steps, started);
        kept
    }

    pub(super) fn note(
        &mut self,
        stage: Stage,
        score: &Score,
        kept: bool,
        why: String,
        steps: usize,
        started: Instant,
    ) {
        self.all.push(StageScore {
            stage,
            kept,
            why,
            ge2e: f64::from(score.prints.ge2e.similarity(&self.held_out.ge2e)),
            dvector: f64::from(score.prints.dvector.similarity(&self.held_out.dvector)),
            word_error: score.word_error,
            dnsmos: score.dnsmos,
            steps: steps as u64,
            seconds: started.elapsed().as_secs_f64(),
        });
    }
}
