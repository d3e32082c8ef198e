//! A notebook's session: a cell cut into Rust and magics, run in order, with everything it says put on the wire.
//!
//! It joins the three rooms that do not know each other: `wire`, `evaluator` and the `spinbot-magics` crate.

use crate::evaluator::rewrite::{self, Completeness};
use crate::evaluator::{EvalError, Evaluated, Evaluator, Listener, private_folder};
use crate::wire::{self, CellError, Completion, ExecuteOutcome, ExecuteRequest, Match, Output, Stream};
use spinbot::bundle::Bundle;
use spinbot::cell::Message;
use spinbot::fault::Fault;
use spinbot_magics::cell::{Segment, misread, split};
use spinbot_magics::{EvalFailure, Failure, StreamName, Timing};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a completion or inspection may take; rust-analyzer's first answer builds its view of the crate.
const ANALYSIS_PATIENCE: Duration = Duration::from_secs(3);

/// What the wire's threads and the session share.
#[derive(Default)]
struct Shared {
    evaluator: OnceLock<Evaluator>,
    /// The stop button was pressed since the cell began.
    interrupted: AtomicBool,
}

/// The kernel as the wire takes it.
pub(crate) fn kernel() -> wire::Kernel {
    let shared = Arc::new(Shared::default());
    let counters = Arc::new(wire::Counters::default());
    let opened = Arc::clone(&shared);
    wire::Kernel {
        open: Box::new(move || Ok(Box::new(NotebookSession::open(Arc::clone(&opened))?))),
        quick: Arc::new(Answers(Arc::clone(&shared))),
        interrupt: Arc::new(Stop(shared)),
        counters,
    }
}

struct NotebookSession {
    shared: Arc<Shared>,
    evaluator: Evaluator,
    folder: PathBuf,
}

impl NotebookSession {
    fn open(shared: Arc<Shared>) -> anyhow::Result<NotebookSession> {
        use anyhow::Context;
        let sockets = spinbot::home::runtime_dir();
        private_folder(&sockets).with_context(|| format!("preparing {}", sockets.display()))?;
        let evaluator = Evaluator::start(&sockets).context("starting the evaluator")?;
        let folder = std::env::current_dir().context("finding the notebook's folder")?;
        let evaluator = shared.evaluator.get_or_init(|| evaluator).clone();
        Ok(NotebookSession { shared, evaluator, folder })
    }
}

impl wire::Session for NotebookSession {
    fn begin(&mut self) {
        self.shared.interrupted.store(false, Ordering::Release);
        self.evaluator.begin();
    }

    fn execute(&mut self, request: &ExecuteRequest, out: &Output) -> ExecuteOutcome {
        let mut cell =
            Cell { session: self, out, count: request.execution_count, serial: 0, next_cell: None };
        match cell.run(&request.code) {
            Ok(()) => ExecuteOutcome::Ok { next_cell: cell.next_cell },
            Err(failure) => {
                let EvalFailure { ename, evalue, traceback } = failure.report(&request.code);
                ExecuteOutcome::Error(CellError { ename, evalue, traceback })
            }
        }
    }
}

/// One cell being run: what magics see of the notebook.
struct Cell<'a> {
    session: &'a mut NotebookSession,
    out: &'a Output,
    count: u64,
    /// Display ids given out.
    serial: u64,
    /// What a magic left to be edited.
    next_cell: Option<String>,
}

impl Cell<'_> {
    fn run(&mut self, code: &str) -> Result<(), Failure> {
        for segment in split(code) {
            if self.session.shared.interrupted.load(Ordering::Acquire) {
                return Err(Failure::Interrupted);
            }
            match segment {
                Segment::Rust { code: rust, start_line, .. } => {
                    // Blank lines before it, so that the compiler counts lines as the cell does.
                    let rust = "\n".repeat(start_line) + &rust;
                    self.evaluate(&rust).map_err(|error| {
                        let mut failure = failure(error);
                        if failure.ename == "CompilationError"
                            && let Some(hint) = misread(code)
                        {
                            failure.traceback.extend(hint.render_ansi(code).lines().map(str::to_owned));
                        }
                        failure
                    })?;
                }
                Segment::Line { magic } | Segment::Cell { magic } => spinbot_magics::execute(&magic, self)?,
            }
        }
        Ok(())
    }

    fn evaluate(&self, rust: &str) -> Result<Evaluated, EvalError> {
        self.session.evaluator.eval(rust, Box::new(Speaker { out: self.out.clone(), count: self.count }))
    }
}

fn failure(error: EvalError) -> EvalFailure {
    EvalFailure { ename: error.name.to_owned(), evalue: error.value, traceback: error.traceback }
}

/// Puts what a cell says on the wire.
struct Speaker {
    out: Output,
    count: u64,
}

impl Listener for Speaker {
    fn stdout(&mut self, text: &str) {
        self.out.stream(Stream::Stdout, text);
    }

    fn stderr(&mut self, text: &str) {
        self.out.stream(Stream::Stderr, text);
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Display { bundle, display_id: Some(id), update: true } => {
                self.out.update_display_data(bundle, &id);
            }
            Message::Display { bundle, display_id, .. } => {
                self.out.display_data(bundle, display_id.as_deref())
            }
            Message::Result { bundle } => self.out.execute_result(bundle, self.count),
            Message::Clear { wait } => self.out.clear_output(wait),
            // The evaluator's own; it does not hand them on.
            Message::Answer { .. } | Message::Panic { .. } | Message::Following { .. } => {}
        }
    }
}

impl spinbot_magics::Session for Cell<'_> {
    fn next_cell(&mut self, text: &str) {
        self.next_cell = Some(text.to_owned());
    }

    fn display(&mut self, bundle: &Bundle, display_id: Option<&str>) {
        self.out.display_data(bundle.clone(), display_id);
    }

    fn update(&mut self, id: &str, bundle: &Bundle) {
        self.out.update_display_data(bundle.clone(), id);
    }

    fn clear_output(&mut self, wait: bool) {
        self.out.clear_output(wait);
    }

    fn stream(&mut self, name: StreamName, text: &str) {
        let stream = match name {
            StreamName::Stdout => Stream::Stdout,
            StreamName::Stderr => Stream::Stderr,
        };
        self.out.stream(stream, text);
    }

    fn eval(&mut self, rust: &str) -> Result<Timing, EvalFailure> {
        let evaluated = self.evaluate(rust).map_err(failure)?;
        Ok(Timing { compiling: Some(evaluated.compiling), running: Some(evaluated.running) })
    }

    fn eval_to_string(&mut self, expr: &str) -> Result<String, Fault> {
        let told = |error: EvalError| {
            let help = "it must be Rust with a value that `{}` can print";
            Fault::new(format!("{{{expr}}}: {}", error.value)).help(help)
        };
        let evaluated = self.evaluate(&format!("spinbot::cell::answer(&({expr}));")).map_err(told)?;
        evaluated.answer.ok_or_else(|| Fault::new(format!("{{{expr}}} gave no value")))
    }

    fn bind(&mut self, name: &str, rust_type: &str, rust_expr: &str) -> Result<(), Fault> {
        let code = format!("let {name}: {rust_type} = {rust_expr};");
        self.evaluate(&code).map(drop).map_err(|error| {
            Fault::new(format!("the variable `{name}` could not be left behind: {}", error.value))
                .help("choose another name with --as NAME")
        })
    }

    fn interrupted(&self) -> bool {
        self.session.shared.interrupted.load(Ordering::Acquire)
    }

    fn cwd(&self) -> &Path {
        &self.session.folder
    }

    fn unique_id(&mut self) -> String {
        self.serial += 1;
        format!("spinbot-{}-{}-{}", std::process::id(), self.count, self.serial)
    }
}

/// The stop button and the end.
struct Stop(Arc<Shared>);

impl wire::Interrupt for Stop {
    fn interrupt(&self) {
        self.0.interrupted.store(true, Ordering::Release);
        if let Some(evaluator) = self.0.evaluator.get() {
            evaluator.interrupt();
        }
    }

    fn shut_down(&self) {
        self.0.interrupted.store(true, Ordering::Release);
        if let Some(evaluator) = self.0.evaluator.get() {
            evaluator.shut_down();
        }
    }
}

/// Answers that do not wait for a running cell.
struct Answers(Arc<Shared>);

impl wire::Quick for Answers {
    fn is_complete(&self, code: &str) -> wire::Completeness {
        for segment in split(code) {
            let Segment::Rust { code, .. } = segment else { continue };
            match rewrite::completeness(&code) {
                Completeness::Complete => {}
                Completeness::Incomplete(indent) => return wire::Completeness::Incomplete { indent },
                Completeness::Invalid => return wire::Completeness::Invalid,
            }
        }
        wire::Completeness::Complete
    }

    fn complete(&self, code: &str, cursor: usize) -> Completion {
        let word = |text: String, kind: &str| Match { text, kind: kind.to_owned(), signature: String::new() };
        let folder = std::env::current_dir().unwrap_or_default();
        if let Some(found) = spinbot_magics::complete(code, cursor, &folder) {
            let matches = found.matches.into_iter().map(|m| word(m, "magic")).collect();
            return Completion { matches, start: found.replaces.start, end: found.replaces.end };
        }
        let (Some(evaluator), Some((rust, start))) = (self.0.evaluator.get(), rust_at(code, cursor)) else {
            return Completion { start: cursor, end: cursor, ..Completion::default() };
        };
        let found = evaluator.complete(&rust, cursor - start, ANALYSIS_PATIENCE);
        if found.matches.is_empty() {
            return Completion { start: cursor, end: cursor, ..Completion::default() };
        }
        let matches = found.matches.into_iter().map(|m| word(m, "rust")).collect();
        Completion { matches, start: found.start + start, end: found.end + start }
    }

    fn inspect(&self, code: &str, cursor: usize, _detail: u8) -> Option<Bundle> {
        if let Some(help) = spinbot_magics::inspect(code, cursor) {
            return Some(help);
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let before = code[..cursor].char_indices().rev().find(|(_, c)| !is_word(*c));
        let start = before.map_or(0, |(i, c)| i + c.len_utf8());
        let end = code[cursor..].find(|c| !is_word(c)).map_or(code.len(), |i| cursor + i);
        let name = code.get(start..end)?;
        let variables = self.0.evaluator.get()?.variables(ANALYSIS_PATIENCE);
        let (name, of) = variables.iter().find(|(variable, _)| variable == name)?;
        let markdown = format!("```rust\nlet {name}: {of}\n```");
        Some(Bundle::text(format!("let {name}: {of}")).with("text/markdown", markdown))
    }
}

/// The Rust segment the cursor is in, and where it begins.
fn rust_at(code: &str, cursor: usize) -> Option<(String, usize)> {
    split(code).into_iter().find_map(|segment| match segment {
        Segment::Rust { code, range, .. } if (range.start..=range.end).contains(&cursor) => {
            Some((code, range.start))
        }
        _ => None,
    })
}
