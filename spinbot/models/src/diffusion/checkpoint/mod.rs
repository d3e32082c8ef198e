//! Whole models on disk.

pub(crate) mod unet_names;
