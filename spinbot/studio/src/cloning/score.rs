//! What a voice is worth: it says some sentences, and four networks listen.

use super::{SCORED, pitch_of};
use crate::loaded;
use crate::speaking::{Manner, Speaker};
use crate::step::{StepError, media_fault, model_fault};
use spinbot::Fault;
use spinbot_media::audio::Clip;
use spinbot_models::cloning::StockPrint;
use spinbot_models::kokoro::{Pitch, SAMPLE_RATE, Voice};
use spinbot_models::listen::{Voiceprint, levelled_speech, mean_voiceprint, word_errors};

/// How much more a stage may cost: words misheard, as a share of all, and quality in DNSMOS' points.
const WORDS_LOST: f64 = 0.05;
const QUALITY_LOST: f64 = 0.15;
/// What similarity must gain for a stage to be worth it.
const GAIN: f32 = 0.005;

/// A voice to both encoders.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prints {
    pub(super) ge2e: Voiceprint,
    pub(super) dvector: Voiceprint,
}

/// What was heard of a voice saying the test sentences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Score {
    pub(super) prints: Prints,
    /// Share of words speech recognition hears wrong.
    pub(super) word_error: f64,
    /// DNSMOS P.835, overall.
    pub(super) dnsmos: f64,
    /// How high it speaks; nothing where no pitch was heard.
    pub(super) pitch: Option<Pitch>,
}

/// The prints of some recordings of one voice: each heard without its pauses, the mean of all.
pub(super) fn prints_of(clips: &[Clip]) -> Result<Prints, Fault> {
    let listener = loaded::listener()?;
    let (encoder, judge) = (listener.encoder().map_err(model_fault)?, listener.judge().map_err(model_fault)?);
    let (mut ge2e, mut dvector) = (Vec::new(), Vec::new());
    for clip in clips {
        let mut samples = heard(clip)?.samples;
        let speech = levelled_speech(&mut samples);
        let speech = if speech.is_empty() { samples } else { speech };
        ge2e.push(encoder.embed(&speech).map_err(model_fault)?);
        dvector.push(judge.embed(&speech).map_err(model_fault)?);
    }
    Ok(Prints { ge2e: mean_voiceprint(&ge2e), dvector: mean_voiceprint(&dvector) })
}

/// At the rate of everything that listens.
pub(super) fn heard(clip: &Clip) -> Result<Clip, Fault> {
    clip.resampled(spinbot_models::listen::SAMPLE_RATE).map_err(|error| media_fault(error, "clip"))
}

impl From<&StockPrint> for Score {
    /// The stock voice as it was heard saying the same sentences.
    fn from(print: &StockPrint) -> Self {
        Score {
            prints: Prints { ge2e: print.ge2e, dvector: print.dvector },
            word_error: print.word_error,
            dnsmos: print.dnsmos,
            pitch: Some(print.pitch),
        }
    }
}

impl Score {
    /// Lets the voice say the test sentences, and listens.
    pub(super) fn of(voice: &Voice) -> Result<Score, StepError> {
        let text = SCORED.join(" ");
        let spoken = Speaker::new(voice)?.say(&text, &Manner::default(), None, &mut |_, _, _| Ok(()))?;
        Score::heard(&text, Clip::new(spoken.samples, SAMPLE_RATE))
    }

    /// Listens to a voice that said this text.
    pub(super) fn heard(text: &str, clip: Clip) -> Result<Score, StepError> {
        let prints = prints_of(std::slice::from_ref(&clip))?;
        let pitch = pitch_of(std::slice::from_ref(&clip))?;
        let listener = loaded::listener()?;
        let clip = heard(&clip)?;
        let transcript = listener
            .transcriber()
            .and_then(|network| network.transcribe(&clip.samples))
            .map_err(model_fault)?;
        let quality =
            listener.dnsmos().and_then(|network| network.score(&clip.samples)).map_err(model_fault)?;
        Ok(Score {
            prints,
            word_error: word_errors(text, &transcript.text()).rate(),
            dnsmos: f64::from(quality.ovrl),
            pitch,
        })
    }

    /// This voice, with the words and quality of whichever of both is understood worse or sounds worse.
    pub(super) fn worse_of(&self, other: &Score) -> Score {
        Score {
            word_error: self.word_error.max(other.word_error),
            dnsmos: self.dnsmos.min(other.dnsmos),
            ..*self
        }
    }

    /// Whether a stage that made `self` of `before` is kept, judged by the voice it was to come near to and by the
    /// voice before the search, `base`, which it must not fall behind; and why, as part of a sentence.
    pub(super) fn verdict(&self, before: &Score, base: &Score, reference: &Voiceprint) -> (bool, String) {
        let gain = self.prints.ge2e.similarity(reference) - before.prints.ge2e.similarity(reference);
        if gain < GAIN {
            return (false, format!("similarity changed by {gain:+.3}, too little to be worth it"));
        }
        if self.word_error > base.word_error + WORDS_LOST {
            let (now, then) = (self.word_error * 100.0, base.word_error * 100.0);
            return (false, format!("{now:.0}% of words were misheard, {then:.0}% before the search"));
        }
        if self.dnsmos < base.dnsmos - QUALITY_LOST {
            return (false, format!("quality fell from {:.2} to {:.2}", base.dnsmos, self.dnsmos));
        }
        (true, format!("{gain:.2} more like the speech it learned from; words and quality held"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A voice of that likeness to the voice of likeness 1.
    pub(in crate::cloning) fn print(x: f32) -> Voiceprint {
        let mut values = [0.0; 256];
        (values[0], values[1]) = (x, (1.0 - x * x).sqrt());
        Voiceprint(values)
    }

    #[test]
    fn a_stage_must_help_and_cost_nothing() {
        let score = |similarity: f32, word_error: f64, dnsmos: f64| Score {
            prints: Prints { ge2e: print(similarity), dvector: print(0.5) },
            word_error,
            dnsmos,
            pitch: None,
        };
        let reference = print(1.0);
        let base = score(0.6, 0.04, 3.2);
        for (after, kept, why) in [
            (score(0.8, 0.04, 3.2), true, "0.20 more like"),
            (score(0.8, 0.08, 3.1), true, "words and quality held"),
            (score(0.602, 0.0, 3.5), false, "too little"),
            (score(0.5, 0.0, 3.5), false, "changed by -0.100"),
            (score(0.9, 0.2, 3.2), false, "20% of words"),
            (score(0.9, 0.04, 3.0), false, "quality fell from 3.20 to 3.00"),
        ] {
            let (is, because) = after.verdict(&base, &base, &reference);
            assert_eq!(is, kept, "{because}");
            assert!(because.contains(why), "{because}");
        }
        // The speaker's pitch had already cost some: that is not the search's fault.
        let pitched = score(0.62, 0.08, 3.1);
        let unsearched = base.worse_of(&pitched);
        assert_eq!((unsearched.word_error, unsearched.dnsmos), (0.08, 3.1));
        assert!(score(0.8, 0.12, 2.96).verdict(&pitched, &unsearched, &reference).0);
        assert!(!score(0.8, 0.12, 2.94).verdict(&pitched, &unsearched, &reference).0);
    }
}
