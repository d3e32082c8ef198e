//! Voices: packs of styles, and the 28 stock ones.
//!
//! A style is 256 numbers: the first 128 are how the voice sounds (for the decoder), the last 128 how it speaks
//! (for the predictor). A pack holds one for each length of text.

use crate::error::{ModelError, Result};
use crate::store::Store;
use crate::tensor_file::TensorFile;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The stock voices' id in the manifest.
pub const MODEL: &str = "kokoro-voices";
/// Numbers in a style.
pub const STYLE: usize = 256;
/// Styles in a pack.
pub const ROWS: usize = 510;

/// Whether a stock voice is a woman's or a man's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// A woman's.
    Female,
    /// A man's.
    Male,
}

/// Which English a stock voice speaks, and which phonemes it therefore expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accent {
    /// General American.
    #[serde(rename = "us")]
    American,
    /// British.
    #[serde(rename = "uk")]
    British,
}

/// A voice that comes with the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockVoice {
    /// Its name, as in `af_heart`.
    pub name: &'static str,
    /// Whose it sounds like.
    pub sex: Sex,
    /// Its English.
    pub accent: Accent,
}

/// The stock voices of English, sorted by name.
pub const STOCK: [StockVoice; 28] = [
    american_female("af_alloy"),
    american_female("af_aoede"),
    american_female("af_bella"),
    american_female("af_heart"),
    american_female("af_jessica"),
    american_female("af_kore"),
    american_female("af_nicole"),
    american_female("af_nova"),
    american_female("af_river"),
    american_female("af_sarah"),
    american_female("af_sky"),
    american_male("am_adam"),
    american_male("am_echo"),
    american_male("am_eric"),
    american_male("am_fenrir"),
    american_male("am_liam"),
    american_male("am_michael"),
    american_male("am_onyx"),
    american_male("am_puck"),
    american_male("am_santa"),
    british_female("bf_alice"),
    british_female("bf_emma"),
    british_female("bf_isabella"),
    british_female("bf_lily"),
    british_male("bm_daniel"),
    british_male("bm_fable"),
    british_male("bm_george"),
    british_male("bm_lewis"),
];

const fn american_female(name: &'static str) -> StockVoice {
    StockVoice { name, sex: Sex::Female, accent: Accent::American }
}

const fn american_male(name: &'static str) -> StockVoice {
    StockVoice { name, sex: Sex::Male, accent: Accent::American }
}

const fn british_female(name: &'static str) -> StockVoice {
    StockVoice { name, sex: Sex::Female, accent: Accent::British }
}

const fn british_male(name: &'static str) -> StockVoice {
    StockVoice { name, sex: Sex::Male, accent: Accent::British }
}

/// The stock voice of that name.
pub fn stock(name: &str) -> Option<StockVoice> {
    STOCK.into_iter().find(|voice| voice.name == name)
}

/// A voice: one style for each length of text, [510, 256].
#[derive(Clone, PartialEq)]
pub struct VoicePack(Vec<f32>);

impl fmt::Debug for VoicePack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoicePack").finish_non_exhaustive()
    }
}

impl VoicePack {
    /// A pack from its numbers, row-major [510, 256].
    ///
    /// # Errors
    /// [`ModelError::Voice`] when there are more or fewer, or some are not finite.
    pub fn new(styles: Vec<f32>) -> Result<VoicePack> {
        let refuse = |reason: String| {
            Err(ModelError::Voice {
                given: "the voice pack".into(),
                reason,
                advice: format!("a pack is {ROWS} styles of {STYLE} numbers"),
            })
        };
        if styles.len() != ROWS * STYLE {
            return refuse(format!("it has {} numbers", styles.len()));
        }
        if !styles.iter().all(|value| value.is_finite()) {
            return refuse("some of its numbers are not finite".into());
        }
        Ok(VoicePack(styles))
    }

    /// A voice that has the same style for every length of text.
    ///
    /// # Errors
    /// [`ModelError::Voice`] when some of its numbers are not finite.
    pub fn uniform(style: &[f32; STYLE]) -> Result<VoicePack> {
        VoicePack::new(style.repeat(ROWS))
    }

    /// The style for a text of that many phonemes, pads not counted.
    pub fn style(&self, phonemes: usize) -> &[f32; STYLE] {
        let (styles, _) = self.0.as_chunks();
        &styles[phonemes.clamp(1, ROWS) - 1]
    }

    /// All styles, row-major [510, 256].
    pub fn styles(&self) -> &[f32] {
        &self.0
    }

    /// The weighted mean of some packs; the weights are divided by their sum. Of none, all zeros.
    pub fn mean<'a>(packs: impl Iterator<Item = (&'a VoicePack, f32)> + Clone) -> VoicePack {
        let whole: f32 = packs.clone().map(|(_, weight)| weight).sum();
        let mut styles = vec![0.0; ROWS * STYLE];
        for (pack, weight) in packs {
            let share = weight / whole;
            styles.iter_mut().zip(&pack.0).for_each(|(sum, value)| *sum += share * value);
        }
        VoicePack(styles)
    }
}

/// The stock voices of a store.
#[derive(Debug)]
pub struct StockVoices(TensorFile<'static>);

impl StockVoices {
    /// Opens them.
    ///
    /// # Errors
    /// [`ModelError::NotFetched`]; [`ModelError::Hash`] when the file was changed; [`ModelError::Weights`];
    /// [`ModelError::Io`].
    pub fn open(store: &Store) -> Result<StockVoices> {
        TensorFile::open(MODEL, &store.checked_file(MODEL)?).map(StockVoices)
    }

    /// The stock voice of that name.
    ///
    /// # Errors
    /// [`ModelError::Voice`] with the names that exist; [`ModelError::Io`].
    pub fn pack(&self, name: &str) -> Result<VoicePack> {
        let voice = stock(name).ok_or_else(|| ModelError::Voice {
            given: name.to_owned(),
            reason: "no stock voice is called that".into(),
            advice: format!("stock voices: {}", STOCK.map(|voice| voice.name).join(", ")),
        })?;
        VoicePack::new(self.0.values(voice.name, &[ROWS, STYLE])?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_names_letters_say_what_the_table_says() {
        for voice in STOCK {
            let letters = match (voice.accent, voice.sex) {
                (Accent::American, Sex::Female) => "af_",
                (Accent::American, Sex::Male) => "am_",
                (Accent::British, Sex::Female) => "bf_",
                (Accent::British, Sex::Male) => "bm_",
            };
            assert!(voice.name.starts_with(letters), "{}", voice.name);
        }
        assert!(STOCK.is_sorted_by_key(|voice| voice.name));
    }

    #[test]
    fn the_style_is_the_row_of_the_texts_length() {
        let styles = (0..ROWS * STYLE).map(|n| (n / STYLE) as f32).collect();
        let pack = VoicePack::new(styles).unwrap();
        for (phonemes, row) in [(0, 0.0), (1, 0.0), (2, 1.0), (510, 509.0), (9999, 509.0)] {
            assert_eq!(pack.style(phonemes), &[row; STYLE], "{phonemes} phonemes");
        }
        assert!(VoicePack::new(vec![0.0; 12]).unwrap_err().to_string().contains("it has 12 numbers"));
        assert!(VoicePack::uniform(&[f32::NAN; STYLE]).unwrap_err().to_string().contains("not finite"));
    }
}
