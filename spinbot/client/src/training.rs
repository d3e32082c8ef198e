//! What a training of adapters tells of itself at its end.

use serde::{Deserialize, Serialize};

/// The output `report` of [`TrainLora`](crate::steps::TrainLora).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// The word that calls up what was learned.
    pub trigger: String,
    /// Optimiser steps.
    pub steps: u32,
    /// The step at which it went on after a stop; 0 where it never stopped.
    pub resumed_at: u32,
    /// The loss of each step, as it is.
    pub losses: Vec<f64>,
    /// Step and loss on pictures that are held out, or, where none are, on those that were learned, with the same noise
    /// each time.
    pub validation: Vec<(u32, f64)>,
    /// Whether those were held out.
    pub held_out: bool,
    /// Seconds of the steps themselves, over all runs.
    pub seconds: f64,
    /// Pictures learned from.
    pub pictures: usize,
    /// Numbers that were trained.
    pub parameters: usize,
    /// What the memory was foreseen to be, in bytes.
    pub memory_estimate: u64,
    /// What whoever trains should know, as sentences.
    pub notes: Vec<String>,
}
