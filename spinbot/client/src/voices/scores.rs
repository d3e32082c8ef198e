//! How well a cloned voice matches its speaker: everything a sceptic asks for, and the verdict in words.
//!
//! `clone_voice` measures and fills these in; here is what they mean and what is concluded from them.

use serde::{Deserialize, Serialize};

/// What `clone_voice` found out. All similarities are cosines of speaker embeddings; all to speech the clone was
/// *not* made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VoiceScores {
    /// Seconds of speech the clone was made from.
    pub reference_seconds: f64,
    /// Seconds of speech kept back to score it.
    pub held_out_seconds: f64,
    /// What is said in the clips.
    pub transcript: String,
    /// Where the transcript comes from.
    pub transcript_source: TranscriptSource,
    /// The stock voice it started from, the nearest to the speaker.
    pub base: String,
    /// How high the voices are.
    pub pitch: PitchScores,
    /// The scale of the encoder that guided the clone: GE2E (Wan et al., 2018; Resemblyzer's weights).
    pub ge2e: EncoderScale,
    /// The scale of the second encoder, which the clone was never optimised for.
    pub dvector: EncoderScale,
    /// The stages in the order they were tried. The first is the nearest stock voice: what the clone begins with, or,
    /// with a model of the user's own, is compared with.
    pub stages: Vec<StageScore>,
    /// Similarity (GE2E) by optimisation step.
    pub curve: Vec<(f64, f64)>,
    /// What is doubtful about the clips, as sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Wall seconds all of it took.
    pub seconds: f64,
}

/// Where a transcript comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TranscriptSource {
    /// The user gave it.
    Given,
    /// Speech recognition heard it.
    Heard,
}

/// How high a voice is and how much it moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pitch {
    /// Mean F0 of voiced frames, in Hz (the exponential of the mean of its logarithm).
    pub hz: f64,
    /// Standard deviation of F0 around it, in semitones.
    pub semitones: f64,
}

/// How high the voices are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PitchScores {
    /// The speaker.
    pub speaker: Pitch,
    /// The stock voice the clone started from.
    pub base: Pitch,
    /// The clone; nothing where what it says has no pitch.
    pub clone: Option<Pitch>,
}

/// What a similarity means: where other voices lie on the same scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EncoderScale {
    /// Mean similarity of different people.
    pub different_speaker: f64,
    /// Similarity of the nearest stock voice as it is to this speaker.
    pub nearest_stock: f64,
    /// Similarity of the clone to the held-out speech.
    pub clone: f64,
    /// Mean similarity of two recordings of one person.
    pub same_speaker: f64,
}

impl EncoderScale {
    /// Where the clone lies between different people (0) and the same person (1); beyond either when it is. 0 for
    /// a scale that makes no sense.
    pub fn position(&self) -> f64 {
        let position = (self.clone - self.different_speaker) / (self.same_speaker - self.different_speaker);
        if position.is_finite() && self.same_speaker > self.different_speaker { position } else { 0.0 }
    }
}

/// A stage of making a clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Choosing the stock voice most like the speaker.
    NearestStock,
    /// Moving its F0 range to the speaker's.
    Pitch,
    /// Optimising the acoustic style.
    Style,
    /// Training adapters in the decoder.
    Adapters,
    /// Letting pocket-tts hear the speech.
    Prompt,
}

impl Stage {
    /// As tables name it.
    pub fn title(self) -> &'static str {
        match self {
            Stage::NearestStock => "nearest stock voice",
            Stage::Pitch => "pitch",
            Stage::Style => "style",
            Stage::Adapters => "adapters",
            Stage::Prompt => "pocket-tts",
        }
    }
}

/// How the voice was after one stage, and whether that was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageScore {
    /// Which one.
    pub stage: Stage,
    /// Whether the clone is built on it; what is not kept was undone.
    pub kept: bool,
    /// Why it was kept or not, as part of a sentence: `similarity rose by 0.16, words and quality held`.
    pub why: String,
    /// Similarity to the held-out speech by the encoder that guided it.
    pub ge2e: f64,
    /// The same by the second encoder.
    pub dvector: f64,
    /// Share of words that speech recognition hears wrong, 0..; of the clone saying the test sentences.
    pub word_error: f64,
    /// Overall quality (DNSMOS P.835 OVRL), 1..=5.
    pub dnsmos: f64,
    /// Optimisation steps it took.
    pub steps: u64,
    /// Wall seconds it took.
    pub seconds: f64,
}

/// How much a clone is like its speaker, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nearer to a stranger than to the speaker.
    OnlyRoughly,
    /// More like the speaker than a stranger, and told apart with ease.
    Resembles,
    /// About as like as two recordings of the speaker are to each other.
    SoundsLike,
}

impl Verdict {
    /// A clone sounds like its speaker from here on, as [`EncoderScale::position`] of *both* encoders.
    pub const SOUNDS_LIKE: f64 = 0.9;
    /// A clone resembles its speaker from here on.
    pub const RESEMBLES: f64 = 0.5;

    /// As a sentence goes on after "this clone".
    pub fn words(self) -> &'static str {
        match self {
            Verdict::SoundsLike => "sounds like",
            Verdict::Resembles => "resembles",
            Verdict::OnlyRoughly => "only roughly resembles",
        }
    }
}

impl VoiceScores {
    /// The verdict by the stricter of the two encoders: [`Verdict::SOUNDS_LIKE`] of the way from a stranger to the
    /// speaker sounds like them, [`Verdict::RESEMBLES`] of it resembles them, less does so only roughly.
    pub fn verdict(&self) -> Verdict {
        match self.ge2e.position().min(self.dvector.position()) {
            p if p >= Verdict::SOUNDS_LIKE => Verdict::SoundsLike,
            p if p >= Verdict::RESEMBLES => Verdict::Resembles,
            _ => Verdict::OnlyRoughly,
        }
    }

    /// The stage the clone ended with.
    pub fn last_kept(&self) -> Option<&StageScore> {
        self.stages.iter().rfind(|stage| stage.kept)
    }

    /// The stock voice as it was, which the clone is compared with.
    pub fn baseline(&self) -> Option<&StageScore> {
        self.stages.iter().find(|stage| stage.stage == Stage::NearestStock)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Scores with the figures measured for a LibriSpeech speaker.
    pub(crate) fn scores() -> VoiceScores {
        let stage = |stage, kept, ge2e, dvector| StageScore {
            stage,
            kept,
            why: "similarity rose".into(),
            ge2e,
            dvector,
            word_error: 0.1,
            dnsmos: 3.1,
            steps: 60,
            seconds: 40.0,
        };
        VoiceScores {
            reference_seconds: 20.0,
            held_out_seconds: 10.0,
            transcript: "he hoped there would be stew".into(),
            transcript_source: TranscriptSource::Heard,
            base: "am_echo".into(),
            pitch: PitchScores {
                speaker: Pitch { hz: 118.0, semitones: 2.9 },
                base: Pitch { hz: 131.0, semitones: 3.4 },
                clone: Some(Pitch { hz: 119.0, semitones: 3.0 }),
            },
            ge2e: EncoderScale {
                different_speaker: 0.6,
                nearest_stock: 0.68,
                clone: 0.84,
                same_speaker: 0.92,
            },
            dvector: EncoderScale {
                different_speaker: 0.3,
                nearest_stock: 0.49,
                clone: 0.72,
                same_speaker: 0.9,
            },
            stages: vec![
                stage(Stage::NearestStock, true, 0.68, 0.49),
                stage(Stage::Style, true, 0.84, 0.72),
                stage(Stage::Adapters, false, 0.85, 0.7),
            ],
            curve: vec![(0.0, 0.68), (60.0, 0.84)],
            warnings: Vec::new(),
            seconds: 61.0,
        }
    }

    #[test]
    fn the_verdict_follows_the_stricter_encoder() {
        let mut scores = scores();
        assert_eq!(scores.verdict(), Verdict::Resembles);
        scores.ge2e.clone = 0.91;
        scores.dvector.clone = 0.86;
        assert_eq!(scores.verdict(), Verdict::SoundsLike);
        scores.dvector.clone = 0.5;
        assert_eq!(scores.verdict(), Verdict::OnlyRoughly);
        scores.dvector.clone = f64::NAN;
        assert_eq!((scores.dvector.position(), scores.verdict()), (0.0, Verdict::OnlyRoughly));
        scores.dvector = EncoderScale { same_speaker: 0.1, clone: -0.5, ..scores.ge2e };
        assert_eq!(scores.dvector.position(), 0.0);
        assert_eq!(scores.last_kept().map(|stage| stage.stage), Some(Stage::Style));
    }
}
