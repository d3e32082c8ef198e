//! One file per step.

mod animate;
mod articulate;
mod drive;
mod encode;
mod encode_speech;
mod read_clips;
mod read_portrait;
mod read_speech;
mod read_voice;
mod speak;
