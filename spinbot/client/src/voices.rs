//! Voices by name: the stock voices that come with the synthesiser, the profiles people made of themselves, mixtures of
//! both, and the voices beside models of the user's own.
//!
//! A profile is one file, `voices/NAME.safetensors` in the data folder: the voice as `clone_voice` left it, with
//! who agreed to it, how it scored and two samples to hear. What is inside a voice is `spinbot-models`' business;
//! here it is only copied. How a voice is found in recordings is in [`crate::clone_voice`].

mod expression;
mod profile;
mod scores;
mod stock;

pub use crate::models::PresetVoice;
pub use expression::{VoiceExpression, VoicePart};
pub use profile::{Clip, Profiles, Synthesiser, VoiceProfile};
pub use scores::{
    EncoderScale, Pitch, PitchScores, Stage, StageScore, TranscriptSource, Verdict, VoiceScores,
};
pub use stock::{Accent, STOCK, Sex, StockVoice, stock};

#[cfg(test)]
pub(crate) use profile::VOICE;
pub(crate) use profile::check_name;
#[cfg(test)]
pub(crate) use profile::tests::folder as test_folder;

use crate::bundle::{Bundle, Show, Table};
use crate::{Fault, Result};

/// Every voice that can be named.
#[derive(Debug, Clone)]
pub struct Voices {
    /// The profiles, sorted by name.
    pub profiles: Vec<VoiceProfile>,
    /// Profiles whose files cannot be used, and why.
    pub damaged: Vec<Fault>,
    /// The voices that came with models of the user's own.
    pub presets: Vec<PresetVoice>,
    /// The voices that come with the synthesiser.
    pub stock: &'static [StockVoice],
}

/// Every voice that can be named: the user's profiles, the voices of their own models, and the stock voices.
///
/// # Errors
/// When the folder of profiles cannot be read.
pub fn voices() -> Result<Voices> {
    Profiles::standard().voices()
}

impl Show for Voices {
    fn bundle(&self) -> Bundle {
        let table = self.profiles.iter().fold(Table::new(["voice", "what it is"]), |table, profile| {
            table.row([profile.name().to_owned(), profile.summary()])
        });
        let table = self.damaged.iter().fold(table, |table, fault| table.row(["", fault.message.as_str()]));
        let table = self.presets.iter().fold(table, |table, voice| {
            table.row([voice.name.clone(), format!("a preset voice of the model {}", voice.model.id)])
        });
        self.stock
            .iter()
            .fold(table, |table, voice| {
                let about = format!("{}, {}", voice.accent.title(), voice.sex.name());
                table.row([voice.id.to_owned(), about])
            })
            .bundle()
    }
}
