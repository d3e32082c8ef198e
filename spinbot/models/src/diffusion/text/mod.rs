//! Prompts to what the UNet attends to: tokens, CLIP's text encoders, weights of words.
//!
//! Which model has which encoders, and what it makes of their states, is the pipeline's.

mod clip;
mod config;
mod encoder;
mod prompt;
#[cfg(test)]
pub(in crate::diffusion) mod tests;
mod tokenizer;

pub use clip::{ClipText, HiddenState, TextStates};
pub use config::{Activation, ClipTextConfig};
pub use encoder::TextEncoder;
pub use tokenizer::ClipTokenizer;
