//! Layers with frozen weights that read diffusers' names, compute with either [`OpSet`] and take adapters.
//!
//! Pictures and feature maps are `[batch, height, width, channels]` between layers, so that a 1x1 convolution is a
//! linear layer and a picture is a sequence of tokens without a transpose. Sequences are `[batch, tokens, channels]`.
//! Only a network's rim turns from and to `[batch, channels, height, width]`: [`channels_last`], [`channels_first`].
//!
//! Which networks exist is not known here.

mod attention;
mod conv;
mod frozen;
mod linear;
mod norm;
mod shape;
#[cfg(test)]
mod tests;
mod weights;

pub use attention::Attend;
pub use conv::{Conv2d, ConvConfig};
pub use linear::Linear;
pub use norm::{Before, GroupNorm, LayerNorm};
pub use shape::{channels_first, channels_last, upsample_nearest};
pub use weights::Weights;
