//! What a magic may ask of the notebook it runs in. The kernel implements it; tests have their own.
//!
//! Nothing here speaks Jupyter's wire: a session takes bundles, text and Rust, and decides how they travel.

use crate::error::EvalFailure;
use crate::jobs::{EngineJobs, Jobs};
use spinbot::voices::Profiles;
use spinbot::{Bundle, Fault, Loras};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// A stream of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How the time of an evaluation was spent, where the session can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// Spent in the compiler.
    pub compiling: Option<Duration>,
    /// Spent running the code.
    pub running: Option<Duration>,
}

/// The notebook a magic runs in.
pub trait Session {
    /// Shows a bundle; with an id it can be updated later.
    fn display(&mut self, bundle: &Bundle, display_id: Option<&str>);

    /// Replaces everything shown under `id`.
    fn update(&mut self, id: &str, bundle: &Bundle);

    /// Clears the cell's output, at once or when the next output comes.
    fn clear_output(&mut self, wait: bool);

    /// Leaves text in a cell below this one, to be edited and run; front ends without cells leave it away.
    fn next_cell(&mut self, text: &str);

    /// Writes text to a stream of the cell.
    fn stream(&mut self, name: StreamName, text: &str);

    /// Runs Rust in the user's context with its output shown, a last expression's value too.
    ///
    /// # Errors
    /// It does not compile, or it stopped.
    fn eval(&mut self, rust: &str) -> Result<Timing, EvalFailure>;

    /// What a Rust expression displays (`{}`), without showing it.
    ///
    /// # Errors
    /// It does not compile, has no `Display`, or stopped.
    fn eval_to_string(&mut self, expr: &str) -> Result<String, Fault>;

    /// Leaves a Rust variable: `let name: rust_type = rust_expr;`. The type is given because the evaluator need
    /// not be able to infer through the standard library; `rust_expr` may use `?` with a [`Fault`].
    ///
    /// # Errors
    /// It does not compile, or evaluating it failed.
    fn bind(&mut self, name: &str, rust_type: &str, rust_expr: &str) -> Result<(), Fault>;

    /// Whether the user pressed stop since the cell began.
    fn interrupted(&self) -> bool;

    /// The folder paths are relative to.
    fn cwd(&self) -> &Path;

    /// A display id no other output has.
    fn unique_id(&mut self) -> String;

    /// Where the user's voices are kept. Tests bring their own.
    fn profiles(&self) -> Profiles {
        Profiles::standard()
    }

    /// Where the user's LoRAs are kept. Tests bring their own.
    fn loras(&self) -> Loras {
        Loras::standard()
    }

    /// The program itself, for what only its command line does. Tests bring their own.
    fn program(&self) -> OsString {
        spinbot::home::program()
    }

    /// The door to the engine; started when there is none. Tests bring their own.
    ///
    /// # Errors
    /// The engine cannot be started or reached.
    fn jobs(&mut self) -> Result<Box<dyn Jobs>, Fault> {
        Ok(Box::new(EngineJobs::connect()?))
    }
}
