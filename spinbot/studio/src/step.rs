//! What every step has in common, and the one list of them.

use serde_json::Value;
use spinbot::Fault;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One input of a step: a file of the store.
#[derive(Debug, Clone)]
pub struct StepInput {
    /// Where its bytes lie.
    pub path: PathBuf,
    /// What the user called it (`me.jpg`), for messages; the step's output name for inputs of earlier steps.
    pub label: String,
}

/// One output of a step.
#[derive(Debug, Clone)]
pub struct StepOutput {
    /// Its name, one of the kind's `OUTPUTS`.
    pub name: &'static str,
    /// MIME type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How a step speaks while it runs.
pub trait Report {
    /// `done` of `total` units; called as often as the step likes, thinned out by the receiver.
    fn progress(&mut self, done: f64, total: f64, unit: &str);
    /// One value of a curve.
    fn metric(&mut self, name: &str, at: f64, value: f64);
    /// Something to look at before the end.
    fn preview(&mut self, name: &str, media_type: &str, bytes: &[u8]);
    /// A line for the log.
    fn log(&mut self, line: &str);
    /// Whether the user asked to stop; a step looks at least every half second.
    fn cancelled(&self) -> bool;
}

/// How a step ends without outputs.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It cannot be done, told to the user.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// It saw [`Report::cancelled`].
    #[error("cancelled")]
    Cancelled,
}

/// What the engine needs to know of a kind of step without running it.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name.
    pub kind: &'static str,
    /// Its version, part of the content key.
    pub version: u32,
    /// Names of its inputs.
    pub inputs: &'static [&'static str],
    /// Names of its outputs.
    pub outputs: &'static [&'static str],
    /// Ids of the models it loads; their hashes are part of the content key.
    pub models: &'static [&'static str],
}
