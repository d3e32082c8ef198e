//! Pictures from text: the networks of Stable Diffusion, under diffusers' names of weights and configuration.
//!
//! - [`layers`]: what every network here is built of;
//! - [`adapters`]: LoRA, beside any layer;
//! - [`scheduler`]: which noise levels are visited, and the step from one to the next.
//!
//! No file formats and no training loop live here beyond what a network needs to be one.

pub mod adapters;
pub mod layers;
pub mod scheduler;

pub use adapters::{Adapters, LowRank, Site, SiteKind};
