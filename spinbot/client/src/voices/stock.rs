//! The stock voices: the 28 English voices of Kokoro-82M v1.0 (npm `kokoro-js` 1.2.1, `voices/*.bin`).

use crate::{Fault, Result};
use serde::{Deserialize, Serialize};

/// Which English a voice speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accent {
    /// American.
    #[default]
    Us,
    /// British.
    Uk,
}

impl Accent {
    /// As they are typed.
    pub const NAMES: &'static [&'static str] = &["us", "uk"];

    /// As it is typed: `us`, `uk`.
    pub fn name(self) -> &'static str {
        match self {
            Accent::Us => "us",
            Accent::Uk => "uk",
        }
    }

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Accent::Us => "American English",
            Accent::Uk => "British English",
        }
    }
}

impl std::str::FromStr for Accent {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "us" => Ok(Accent::Us),
            "uk" => Ok(Accent::Uk),
            other => Err(Fault::not_among(format!("`{other}` is not an accent"), Accent::NAMES, "accent")),
        }
    }
}

/// Whose voice it sounds like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// A woman's.
    Female,
    /// A man's.
    Male,
}

impl Sex {
    /// `female`, `male`.
    pub fn name(self) -> &'static str {
        match self {
            Sex::Female => "female",
            Sex::Male => "male",
        }
    }
}

/// A voice that comes with the synthesiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockVoice {
    /// As it is typed: `af_heart`.
    pub id: &'static str,
    /// Which English it speaks.
    pub accent: Accent,
    /// Whose voice it sounds like.
    pub sex: Sex,
}

/// Kokoro's naming rule: the first letter is the accent (`a`merican, `b`ritish), the second the sex.
const fn voice(id: &'static str) -> StockVoice {
    let letters = id.as_bytes();
    let accent = if letters[0] == b'b' { Accent::Uk } else { Accent::Us };
    let sex = if letters[1] == b'm' { Sex::Male } else { Sex::Female };
    StockVoice { id, accent, sex }
}

/// All of them: American women and men, then British women and men.
pub const STOCK: &[StockVoice] = &[
    voice("af_heart"),
    voice("af_alloy"),
    voice("af_aoede"),
    voice("af_bella"),
    voice("af_jessica"),
    voice("af_kore"),
    voice("af_nicole"),
    voice("af_nova"),
    voice("af_river"),
    voice("af_sarah"),
    voice("af_sky"),
    voice("am_adam"),
    voice("am_echo"),
    voice("am_eric"),
    voice("am_fenrir"),
    voice("am_liam"),
    voice("am_michael"),
    voice("am_onyx"),
    voice("am_puck"),
    voice("am_santa"),
    voice("bf_alice"),
    voice("bf_emma"),
    voice("bf_isabella"),
    voice("bf_lily"),
    voice("bm_daniel"),
    voice("bm_fable"),
    voice("bm_george"),
    voice("bm_lewis"),
];

/// The stock voice of that name.
pub fn stock(id: &str) -> Option<&'static StockVoice> {
    STOCK.iter().find(|voice| voice.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_is_known_by_the_letters_of_its_name() {
        let of = |id: &str| stock(id).map(|voice| (voice.accent, voice.sex));
        assert_eq!(of("af_heart"), Some((Accent::Us, Sex::Female)));
        assert_eq!(of("am_echo"), Some((Accent::Us, Sex::Male)));
        assert_eq!(of("bf_emma"), Some((Accent::Uk, Sex::Female)));
        assert_eq!(of("bm_george"), Some((Accent::Uk, Sex::Male)));
        assert_eq!(of("me"), None);
        let count =
            |accent, sex| STOCK.iter().filter(|voice| (voice.accent, voice.sex) == (accent, sex)).count();
        let counts =
            [count(Accent::Us, Sex::Female), count(Accent::Us, Sex::Male), count(Accent::Uk, Sex::Female)];
        assert_eq!((counts, STOCK.len()), ([11, 9, 4], 28));
        assert!("french".parse::<Accent>().is_err_and(|f| f.argument.as_deref() == Some("accent")));
    }
}
