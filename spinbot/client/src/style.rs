//! `--style`: how much of a portrait moves.

use crate::{Fault, Result};

/// How much of a portrait moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Mouth and lids alone.
    Still,
    /// Head and brows too.
    #[default]
    Lively,
}

impl Style {
    /// By name: `still`, `lively`.
    pub const NAMES: &'static [&'static str] = &["still", "lively"];
}

impl std::str::FromStr for Style {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "still" => Ok(Style::Still),
            "lively" => Ok(Style::Lively),
            other => Err(Fault::not_among(format!("`{other}` is not a style"), Style::NAMES, "style")),
        }
    }
}
