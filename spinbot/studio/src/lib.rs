//! The steps: one file each, with its parameters' meaning, its run and its progress.
//!
//! A step turns input files and typed parameters (`spinbot::steps`) into named outputs. It knows nothing of
//! queues, stores, journals or notebooks: it says how far it is through [`Report`] and asks it whether to stop.

mod gesture;
mod hearing;
mod landmarks;
mod motion;
mod portrait;
mod step;
mod steps;

pub use landmarks::Landmarks;
pub use motion::{Motion, MotionFrame};
pub use step::{Kind, Report, StepError, StepInput, StepOutput, check, kinds, run};
