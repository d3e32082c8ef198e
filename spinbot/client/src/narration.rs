//! A text, the voice that says it and how: the part of a plan that speaking and rendering share.

use crate::plan::{Input, Step};
use crate::steps::Speak;
use crate::voices::{Accent, Profiles, VoiceExpression};
use crate::{Fault, Result};
use std::collections::BTreeMap;

/// The voice where none is named.
pub const DEFAULT_VOICE: &str = "af_heart";
/// Slowest and fastest.
pub const SPEEDS: std::ops::RangeInclusive<f64> = 0.5..=2.0;
/// Characters of a text that stand in a title.
const QUOTED: usize = 60;

/// Something to say.
#[derive(Debug, Clone)]
pub(crate) struct Narration {
    pub(crate) text: String,
    /// What an earlier step writes, in place of the text.
    pub(crate) written: Option<Input>,
    pub(crate) voice: String,
    pub(crate) speed: f64,
    pub(crate) accent: Option<Accent>,
    pub(crate) lexicon: BTreeMap<String, String>,
    pub(crate) profiles: Profiles,
}

impl Narration {
    pub(crate) fn new(text: String) -> Self {
        Narration {
            text,
            written: None,
            voice: DEFAULT_VOICE.to_owned(),
            speed: 1.0,
            accent: None,
            lexicon: BTreeMap::new(),
            profiles: Profiles::standard(),
        }
    }

    /// The steps `read_voice` and `speak`.
    pub(crate) fn steps(&self, seed: u64) -> Result<(Step, Step)> {
        if self.written.is_none() && self.text.trim().is_empty() {
            let fault = Fault::new("there is nothing to say: the text is empty").about("text");
            return Err(fault.help("write at least a word"));
        }
        if !SPEEDS.contains(&self.speed) {
            let (slowest, fastest) = (SPEEDS.start(), SPEEDS.end());
            let fault = Fault::new(format!("speed is {}, need {slowest}..={fastest}", self.speed));
            return Err(fault.help("1 is the voice's own").about("speed"));
        }
        for (word, phonemes) in &self.lexicon {
            if word.trim().is_empty() || phonemes.trim().is_empty() {
                let fault = Fault::new("a pronunciation needs a word and its phonemes").about("say");
                return Err(fault.help("write WORD=PHONEMES, as in `kubectl=kjˈubkʌtᵊl`"));
            }
        }
        let voice: VoiceExpression = self.voice.parse()?;
        let read_voice = voice.read_voice(&self.profiles)?.weighing(1.0);
        let weights = read_voice.inputs.get("weights").cloned();
        if weights.is_some() {
            self.check_free_voice()?;
        }
        let speak = Step::new(&Speak {
            text: self.text.clone(),
            speed: self.speed,
            accent: self.accent.map(|accent| accent.name().to_owned()),
            lexicon: self.lexicon.clone(),
        })
        .with("voice", read_voice.output("voice"))
        .seeded(seed)
        .weighing(20.0);
        let written = self.written.iter().cloned();
        let speak = written.fold(speak, |speak, written| speak.with("narration", written));
        let speak = weights.into_iter().fold(speak, |speak, weights| speak.with("weights", weights));
        Ok((read_voice, speak))
    }

    /// pocket-tts reads a text by itself: it cannot be told how fast, or how a word is pronounced.
    fn check_free_voice(&self) -> Result<()> {
        let cannot = |what: &str, about: &str| {
            Err(Fault::new(format!("`{}` is a voice of pocket-tts, which cannot be told {what}", self.voice))
                .help(format!(
                    "leave --{about} out, or choose a stock voice or a profile made without --with"
                ))
                .about(about))
        };
        match () {
            () if self.speed != 1.0 => cannot("how fast to speak", "speed"),
            () if self.accent.is_some() => cannot("which English to speak", "accent"),
            () if !self.lexicon.is_empty() => cannot("how a word is pronounced", "say"),
            () => Ok(()),
        }
    }

    /// The beginning of the text in quotes.
    pub(crate) fn quoted(&self) -> String {
        let words = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        match words.char_indices().nth(QUOTED) {
            None => format!("\"{words}\""),
            Some((end, _)) => format!("\"{}…\"", words.get(..end).unwrap_or_default().trim_end()),
        }
    }
}
