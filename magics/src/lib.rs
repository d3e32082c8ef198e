//! What a cell may hold besides Rust: magics, their arguments, and how their results are shown.
//!
//! A cell goes through [`cell::split`]; its Rust goes to the evaluator, its magics to [`execute`], which reads
//! their arguments ([`Call`]) against what the magic declares ([`Magic`], [`spec`]) and runs it in a
//! [`Session`]. All HTML of SpinBot's own results is written in `view`; help and docs/magics.md, in
//! [`reference`]. This crate knows the client crate `spinbot` and nothing of sockets to notebooks, networks or
//! media.
//!
//! ```
//! use spinbot_magics::cell::{Segment, split};
//! let pieces = split("let a = 2;\n%time a + a");
//! assert!(matches!(&pieces[1], Segment::Line { magic } if magic.name == "time" && magic.args == " a + a"));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod args;
pub mod cell;
pub mod complete;
pub mod jobs;
pub mod reference;
pub mod spec;

mod beside;
mod call;
mod convert;
mod error;
mod follow;
mod leave;
mod magic;
mod magics;
mod process;
mod rust_lex;
mod session;
mod toml_body;
mod view;
mod wav;

pub use call::Call;
pub use complete::{Completions, complete, inspect};
pub use error::{EvalFailure, Failure, MagicError, Span};
pub use jobs::Jobs;
pub use magic::{Magic, execute, find, registry};
pub use reference::{help, reference};
pub use session::{Session, StreamName, Timing};
