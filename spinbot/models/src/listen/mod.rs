//! What hears a voice and scores it: who speaks, what is said, how clean it is.
//!
//! Everything takes one channel of f32 samples between -1 and 1 at 16 kHz ([`SAMPLE_RATE`]) unless it says
//! otherwise; reading files and resampling is the caller's.

mod activity;
mod conv;
mod dnsmos;
mod dvector;
mod f0;
mod ge2e;
mod listener;
mod lstm;
mod panels;
mod resample;
mod speakers;
pub(crate) mod spectrogram;
mod transcript;
mod vocabulary;
mod voiceprint;
mod weights;
mod whisper;
mod words;

pub use activity::{Activity, levelled_speech};
pub use dnsmos::{Dnsmos, Quality};
pub use dvector::VoiceJudge;
pub use f0::{PitchRange, kokoro_grid, pitch};
pub use ge2e::{SpeakerEncoder, level};
pub use listener::Listener;
pub use speakers::TwoVoices;
pub use transcript::{Confidence, Segment, Transcript};
pub use voiceprint::{Voiceprint, mean_voiceprint};
pub use whisper::Transcriber;
pub use words::{WordErrors, normal_words, word_errors};

use crate::error::{ModelError, Result};

/// Hertz of the samples that are listened to.
pub const SAMPLE_RATE: u32 = spectrogram::RATE as u32;

/// The longest recording listened to in one piece: three hours.
const LONGEST: usize = 3 * 3600 * spectrogram::RATE;

/// Refuses what no network should be given: nothing, hours of it, or samples that are not numbers.
pub(crate) fn check_samples(samples: &[f32]) -> Result<()> {
    if samples.is_empty() {
        return Err(sound("the recording is empty", "give a clip with speech in it"));
    }
    if samples.len() > LONGEST {
        let minutes = samples.len() / spectrogram::RATE / 60;
        return Err(sound(
            format!("the recording has {minutes} minutes, the longest listened to is 3 hours"),
            "cut it into parts",
        ));
    }
    if !samples.iter().all(|x| x.is_finite()) {
        return Err(sound("the recording holds samples that are not numbers", "decode or export it again"));
    }
    Ok(())
}

fn sound(reason: impl Into<String>, advice: impl Into<String>) -> ModelError {
    ModelError::Sound { reason: reason.into(), advice: advice.into() }
}
