//! Pictures from text: the networks of Stable Diffusion, under diffusers' names of weights and configuration.
//!
//! - [`layers`]: what every network here is built of;
//! - [`adapters`]: LoRA, beside any layer;
//! - [`unet`]: the denoising network;
//! - [`scheduler`]: which noise levels are visited, and the step from one to the next;
//! - [`text`]: prompts, and CLIP's text encoders;
//! - [`vae`]: between pictures and latents;
//! - [`pipeline`]: from a request to pictures;
//! - [`train`]: the optimiser.
//!
//! No file formats and no training loop live here beyond what a network needs to be one.

pub mod adapters;
pub mod layers;
pub mod pipeline;
#[cfg(test)]
mod recipe;
pub mod scheduler;
pub mod text;
pub mod train;
pub mod unet;
pub mod vae;

pub use adapters::{Adapters, LowRank, Site, SiteKind};
pub use unet::{AddedCond, Conditioning, UNet2DCondition, UNetConfig};
