//! The magics: one file each, one line each in the list.

mod cancel;
mod jobs;
mod lsmagic;
mod render;
mod time;

use crate::magic::Magic;

/// All of them, sorted by name.
pub(crate) const ALL: &[&dyn Magic] =
    &[&cancel::Cancel, &jobs::Jobs, &lsmagic::LsMagic, &render::Render, &time::Time];
