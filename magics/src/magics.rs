//! The magics: one file each, one line each in the list.

mod bash;
mod cancel;
mod html;
mod jobs;
mod lsmagic;
mod markdown;
mod render;
mod time;

use crate::magic::Magic;

/// All of them, sorted by name.
pub(crate) const ALL: &[&dyn Magic] = &[
    &bash::Bash,
    &cancel::Cancel,
    &html::Html,
    &jobs::Jobs,
    &lsmagic::LsMagic,
    &markdown::Markdown,
    &render::Render,
    &time::Time,
];
