//! One file per step.

mod animate;
mod articulate;
mod drive;
mod encode;
mod read_portrait;
mod read_speech;
