//! Drawing by latent diffusion, under diffusers' names.
//!
//! - [`scheduler`]: which noise levels are visited, and the step from one to the next.

pub mod scheduler;
