//! The magics: one file each, one line each in the list.

mod bash;
mod cancel;
mod capabilities;
mod clone_voice;
mod draw;
mod html;
mod jobs;
mod keep;
mod listen;
mod loras;
mod lsmagic;
mod markdown;
mod models;
mod render;
mod script;
mod speak;
mod time;
mod train_lora;
mod voices;

use crate::magic::Magic;

/// All of them, sorted by name.
pub(crate) const ALL: &[&dyn Magic] = &[
    &bash::Bash,
    &cancel::Cancel,
    &capabilities::Capabilities,
    &clone_voice::CloneVoice,
    &draw::Draw,
    &html::Html,
    &jobs::Jobs,
    &keep::Keep,
    &listen::Listen,
    &loras::Loras,
    &lsmagic::LsMagic,
    &markdown::Markdown,
    &models::Models,
    &render::Render,
    &script::Script,
    &speak::Speak,
    &time::Time,
    &train_lora::TrainLora,
    &voices::Voices,
];
