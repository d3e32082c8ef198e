//! The steps that write.

use super::StepParams;
use serde::{Deserialize, Serialize};

/// Writes what is said and where it is said, from a topic, with a language model.
///
/// Input `weights`: the GGUF file, where a model of the user's own writes. Outputs `stage` and `narration` (plain text),
/// and `report` (JSON, [`crate::script::ScriptReport`]). While it writes, `narration` and `stage` are told as texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteScript {
    /// What it is about, 1..=500 characters.
    pub topic: String,
    /// In which manner.
    pub tone: Tone,
    /// Who speaks, up to 500 characters.
    pub persona: Option<String>,
    /// How long it should take to say, in seconds, 3..=300.
    pub seconds: f64,
    /// How fast the voice speaks, in words a second, 0.5..=8.
    pub words_per_second: f64,
    /// Stages to choose from; any where there are none.
    pub stages: Vec<String>,
    /// Who writes.
    pub llm: Llm,
    /// Where it is computed, as `--device` names it; Ollama decides for itself.
    pub device: String,
}

impl StepParams for WriteScript {
    const KIND: &'static str = "write_script";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["weights?"];
    const OUTPUTS: &'static [&'static str] = &["stage", "narration", "report"];
}

/// A manner of speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As among friends.
    #[default]
    Casual,
    /// As in a lecture.
    Formal,
    /// With jokes.
    Playful,
    /// As on a stage.
    Dramatic,
}

impl Tone {
    /// By name.
    pub const NAMES: &'static [&'static str] = &["casual", "formal", "playful", "dramatic"];

    /// `casual`, `formal`, `playful`, `dramatic`.
    pub fn name(self) -> &'static str {
        match self {
            Tone::Casual => "casual",
            Tone::Formal => "formal",
            Tone::Playful => "playful",
            Tone::Dramatic => "dramatic",
        }
    }
}

impl std::str::FromStr for Tone {
    type Err = crate::Fault;

    fn from_str(name: &str) -> crate::Result<Self> {
        let all = [Tone::Casual, Tone::Formal, Tone::Playful, Tone::Dramatic];
        let unknown = || crate::Fault::not_among(format!("`{name}` is not a tone"), Tone::NAMES, "tone");
        all.into_iter().find(|tone| tone.name() == name).ok_or_else(unknown)
    }
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Llm {
    /// SmolLM2, which `spinbot models pull smollm2` fetches.
    #[default]
    SmolLm2,
    /// The GGUF file of the input `weights`.
    Weights,
    /// A server that speaks Ollama's API.
    Ollama {
        /// Where it listens: `http://127.0.0.1:11434`.
        url: String,
        /// The model, as Ollama names it.
        model: String,
        /// Whether `url` may be another machine: then what is asked leaves this one.
        remote: bool,
    },
}
