//! The stages of a clone, each judged and written down.

use super::score::{Prints, Score};
use spinbot::voices::{Stage, StageScore};
use spinbot_models::cloning::StockPrint;
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
    pub(super) fn first(&mut self, print: &StockPrint) -> Score {
        let score = Score::from(print);
        let why = "where the search starts".to_owned();
        self.note(Stage::NearestStock, &score, true, why, 0, Instant::now());
        score
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
            // What is heard of a voice that was as high already goes up and down with the sounds it says.
            true if nearer < 0.5 => format!("as high and as lively as the speaker, similarity {gain:+.2}"),
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
        let (kept, why) = match self.farther(score, before) {
            Some(why) => (false, why),
            None => score.verdict(before, base, &self.reference),
        };
        // Of several tries of one stage the last tells how it ended.
        self.all.retain(|other| other.stage != stage);
        self.note(stage, score, kept, why, steps, started);
        kept
    }

    /// Why a voice that came nearer to what it learned from is none the better: both encoders find it less like the speech
    /// that was kept back. Of a few seconds of speech a search may learn what was said instead of who said it.
    fn farther(&self, score: &Score, before: &Score) -> Option<String> {
        let held_out = &self.held_out;
        let like = |score: &Score| {
            (score.prints.ge2e.similarity(&held_out.ge2e), score.prints.dvector.similarity(&held_out.dvector))
        };
        let (now, then) = (like(score), like(before));
        (now.0 < then.0 && now.1 < then.1).then(|| {
            format!(
                "less like the speech that was kept back, by {:.2} and {:.2}; longer recordings would help",
                then.0 - now.0,
                then.1 - now.1
            )
        })
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

#[cfg(test)]
mod tests {
    use super::super::score::tests::print;
    use super::*;

    #[test]
    fn a_voice_that_both_encoders_find_farther_from_the_kept_back_speech_is_not_kept() {
        let score = |ge2e: f32, dvector: f32| Score {
            prints: Prints { ge2e: print(ge2e), dvector: print(dvector) },
            word_error: 0.0,
            dnsmos: 3.4,
            pitch: None,
        };
        let before = score(0.7, 0.6);
        for (after, kept) in [(score(0.8, 0.7), true), (score(0.8, 0.5), true), (score(0.65, 0.55), false)] {
            // What was learned from lies where a lower likeness to the rest is a gain.
            let reference = if kept { print(1.0) } else { print(0.0) };
            let held_out = Prints { ge2e: print(1.0), dvector: print(1.0) };
            let mut stages = Stages { held_out, reference, all: Vec::new() };
            let is = stages.judge(Stage::Style, &after, &before, &before, 1, Instant::now());
            let why = &stages.all[0].why;
            assert_eq!(is, kept, "{why}");
            assert!(kept || why.starts_with("less like the speech that was kept back, by 0.05"), "{why}");
        }
    }
}
