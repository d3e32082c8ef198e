//! Pictures from text: the networks of Stable Diffusion, under diffusers' names of weights and configuration.
//!
//! - [`layers`]: what every network here is built of;
//! - [`adapters`]: LoRA, beside any layer;
//! - [`scheduler`]: which noise levels are visited, and the step from one to the next;
//! - [`checkpoint`]: whole models on disk, in folders and single files;
//! - [`lora_file`]: adapters on disk, as diffusers and kohya write them;
//! - [`unet`]: the denoising network;
//! - [`train`]: the optimiser.
//!
//! No training loop lives here beyond what a network needs to be one.

pub mod adapters;
pub mod checkpoint;
pub mod layers;
pub mod lora_file;
pub mod scheduler;
pub mod train;
pub mod unet;

pub use adapters::{Adapters, LowRank, Site, SiteKind};
pub use unet::{AddedCond, Conditioning, UNet2DCondition, UNetConfig};
