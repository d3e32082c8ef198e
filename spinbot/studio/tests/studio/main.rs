//! The steps as the engine runs them: real photo, real voice, and input that must be refused.
#![allow(clippy::unwrap_used)] // A test stops at the first thing that is not there.

mod articulation;
mod cards;
mod chain;
mod drawing;
mod drawn_faces;
mod music;
mod pictures;
mod pocket;
mod recorded;
mod refusals;
mod restart;
mod scoring;
mod speech;
mod subtitles;
mod talking_head;
mod tiny_model;
mod training;
mod voice;
mod wav2lip;
