//! Drawing by denoising: the networks of Stable Diffusion 1.5, 2.x and XL, and of models shaped like them.
//!
//! - [`layers`]: what every network here is built of;
//! - [`adapters`]: LoRA, beside any layer;
//! - [`unet`]: the denoising network;
//! - [`scheduler`]: which noise levels are visited, and the step from one to the next;
//! - [`text`]: prompts, and CLIP's text encoders;
//! - [`vae`]: between pictures and latents;
//! - [`pipeline`]: from a request to pictures;
//! - [`checkpoint`]: whole models on disk, in folders and single files;
//! - [`lora_file`]: adapters on disk, as diffusers and kohya write them;
//! - [`train`]: the optimiser.
//!
//! No training loop lives here beyond what a network needs to be one.

pub mod adapters;
pub mod checkpoint;
pub mod layers;
pub mod lora_file;
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
