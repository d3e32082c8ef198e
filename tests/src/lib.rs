//! The real kernel process seen from outside: starting it, and speaking raw Jupyter frames to it.
//!
//! Nothing here uses the kernel's own crates: frames are signed and taken apart by hand, so that a mistake in
//! the library the kernel is built on cannot hide itself. What is asserted lives in `tests/`; everything that
//! is easier to say with the client people really use lives in `python/`.

mod frames;
mod process;

pub use frames::{DELIMITER, Message, Request};
pub use process::{Kernel, spinbot, spinbot_binary};
