//! Pictures from text: the networks of Stable Diffusion, under diffusers' names of weights and configuration.
//!
//! - [`layers`]: what every network here is built of;
//! - [`adapters`]: LoRA, beside any layer;
//! - [`unet`]: the denoising network;
//! - [`train`]: the optimiser.
//!
//! No file formats and no training loop live here beyond what a network needs to be one.

pub mod adapters;
pub mod layers;
pub mod train;
pub mod unet;

pub use adapters::{Adapters, LowRank, Site, SiteKind};
pub use unet::{AddedCond, Conditioning, UNet2DCondition, UNetConfig};
