//! Magics from outside: cells go in, and what the notebook would show comes out.
//!
//! The session and the engine are fakes ([`session`]); everything between them is real.

#![allow(clippy::unwrap_used)]

mod complete;
mod docs;
mod draw;
mod errors;
mod examples;
mod pieces;
mod render;
mod session;
mod train;
mod voice;
