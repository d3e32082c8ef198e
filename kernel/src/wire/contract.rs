//! What the wire asks of the rest of the kernel: a session that runs cells one after another on a thread of its
//! own, and the quick answers that must not wait for a running cell.

use crate::wire::output::Output;
use crate::wire::refusals::Counters;
use spinbot::bundle::Bundle;
use std::sync::Arc;

/// One cell to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecuteRequest {
    pub(crate) code: String,
    /// Nobody looks: no echo of the input, no result shown, not counted.
    pub(crate) silent: bool,
    /// Keep it in the history and count it.
    pub(crate) store_history: bool,
    /// The number in the cell's brackets, from 1.
    pub(crate) execution_count: u64,
    /// Whether an error drops the cells queued behind this one. The wire does that; here for the curious.
    pub(crate) stop_on_error: bool,
    /// JupyterLab's id of the cell, where the client tells it.
    pub(crate) cell_id: Option<String>,
}

/// What a cell that went wrong says; the wire shows it, so a session does not also print it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CellError {
    /// The kind of error, e.g. `error[E0308]` or `Interrupted`.
    pub(crate) ename: String,
    /// One line saying what is wrong.
    pub(crate) evalue: String,
    /// The lines shown, with ANSI colours if wanted.
    pub(crate) traceback: Vec<String>,
}

/// How a cell ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ExecuteOutcome {
    /// It ran. `next_cell` is put into a cell below it, by front ends that know how.
    Ok { next_cell: Option<String> },
    /// It went wrong. Cells queued behind it are then aborted by the wire.
    Error(CellError),
}

/// Runs cells in order. Lives and dies on one thread, so it need not be `Send`.
pub(crate) trait Session {
    /// A cell is about to be announced as running: from here on an interrupt is meant for it. An interrupt comes from
    /// another thread and may come as soon as the announcement is out.
    fn begin(&mut self);
    /// Runs a cell to its end; blocks. A panic in here becomes the cell's error.
    fn execute(&mut self, request: &ExecuteRequest, out: &Output) -> ExecuteOutcome;
}

/// Whether a text is a whole cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Completeness {
    Complete,
    /// More must follow; the next line begins with `indent`.
    Incomplete {
        indent: String,
    },
    Invalid,
}

/// Words that fit at the cursor. Offsets are bytes into the code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) matches: Vec<Match>,
    /// The part of the code a match replaces.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// One word that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) text: String,
    /// What it is, e.g. `function`, `magic`; shown beside it.
    pub(crate) kind: String,
    /// Its signature; may be empty.
    pub(crate) signature: String,
}

/// Answers that are wanted at once, also while a cell runs. Called on threads that may block for a while.
pub(crate) trait Quick: Send + Sync {
    fn is_complete(&self, code: &str) -> Completeness;
    /// `cursor` is a byte offset on a character boundary, at most `code.len()`.
    fn complete(&self, code: &str, cursor: usize) -> Completion;
    /// What is known of the word at the cursor; None when nothing is. `detail` is 0 or 1 (more).
    fn inspect(&self, code: &str, cursor: usize, detail: u8) -> Option<Bundle>;
}

/// Reaches a session that is busy. Both return at once, and do nothing where there is nothing to do.
pub(crate) trait Interrupt: Send + Sync {
    /// Stops the running cell.
    fn interrupt(&self);
    /// The kernel leaves: end whatever would outlive it. Called once.
    fn shut_down(&self) {}
}

/// Makes the session on its thread, after the sockets answer; called again at the next cell if it failed.
pub(crate) type OpenSession = Box<dyn FnMut() -> anyhow::Result<Box<dyn Session>> + Send>;

/// A kernel, as the wire needs it.
pub(crate) struct Kernel {
    pub(crate) open: OpenSession,
    pub(crate) quick: Arc<dyn Quick>,
    pub(crate) interrupt: Arc<dyn Interrupt>,
    /// What was refused and lost so far; keep a clone to show it.
    pub(crate) counters: Arc<Counters>,
}
