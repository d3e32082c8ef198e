//! The evaluator: a cell's Rust, compiled by evcxr on its own thread and run in a process that forks a checkpoint
//! before each cell.
//!
//! What a cell says arrives through [`channel`], never through evcxr. Nothing here speaks Jupyter.

mod channel;
mod errors;
mod frame;
mod inference;
mod intercept;
mod interrupt;
pub(crate) mod rewrite;
pub(crate) mod runtime;
mod workspace;

pub(crate) use channel::Listener;
pub(crate) use workspace::private_folder;

use channel::{CellEnd, Channel};
use evcxr::{CommandContext, EvalContext};
use rewrite::Rewritten;
use spinbot::Bundle;
use spinbot::cell::Message;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Why a cell did not end well, as a notebook shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EvalError {
    /// `CompilationError`, `Panic`, `Interrupted`, `ProcessEnded`, `EarlyReturn`, `EvaluatorError`.
    pub(crate) name: &'static str,
    /// One line.
    pub(crate) value: String,
    /// Lines to show.
    pub(crate) traceback: Vec<String>,
}

/// Sets what evcxr and rust-analyzer read from the environment.
///
/// # Safety
/// No other thread may exist yet.
pub(crate) unsafe fn prepare_environment() {
    // SAFETY: promised by the caller.
    unsafe {
        std::env::set_var("EVCXR_TMPDIR", workspace::own_folder());
        // Without it evcxr runs `rustup component add rust-src`, silently.
        std::env::set_var("RUST_SRC_PATH", workspace::empty_std());
        // The engine that cells and magics start is this program; a build that runs from nowhere uses the PATH.
        if let Ok(program) = std::env::current_exe() {
            std::env::set_var("SPINBOT_BIN", program);
        }
    }
}

enum Request {
    Eval {
        code: String,
        listener: Box<dyn Listener>,
        answer: mpsc::Sender<Result<Evaluated, EvalError>>,
    },
    /// Nobody waits for the answer after `until`.
    Complete {
        code: String,
        position: usize,
        until: Instant,
        answer: mpsc::Sender<Completions>,
    },
    Variables {
        answer: mpsc::Sender<Vec<(String, String)>>,
    },
}

/// Removes the sockets of kernels that are gone, and one left by an earlier process with our id.
fn sweep(sockets: &Path) {
    for entry in std::fs::read_dir(sockets).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid =
            name.to_str().and_then(|n| n.strip_prefix("cell-")?.strip_suffix(".sock")?.parse::<u32>().ok());
        let gone = |pid: u32| pid == std::process::id() || !Path::new(&format!("/proc/{pid}")).exists();
        if pid.is_some_and(gone) {
            // Another kernel may be sweeping too.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// What came of a cell that ended well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Evaluated {
    /// The answer to a magic's `{expr}`.
    pub(crate) answer: Option<String>,
    /// Spent in analysis and the compiler.
    pub(crate) compiling: Duration,
    /// Spent running.
    pub(crate) running: Duration,
}

/// What could stand at a position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Completions {
    /// Byte range that a completion replaces.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Texts, best first.
    pub(crate) matches: Vec<String>,
}

#[derive(Default)]
struct State {
    /// An evaluation is under way.
    busy: AtomicBool,
    /// The one under way was interrupted.
    interrupted: AtomicBool,
    /// The workspace is being built, once for this version.
    building: AtomicBool,
}

/// A handle to the evaluator's thread.
#[derive(Clone)]
pub(crate) struct Evaluator {
    requests: mpsc::Sender<Request>,
    channel: Arc<Channel>,
    state: Arc<State>,
}

impl Evaluator {
    /// Starts warming up; cells asked for meanwhile wait. `sockets` is a private folder for the channel.
    pub(crate) fn start(sockets: &Path) -> std::io::Result<Evaluator> {
        let path = sockets.join(format!("cell-{}.sock", std::process::id()));
        sweep(sockets);
        let channel = Arc::new(Channel::listen(path)?);
        let state = Arc::new(State::default());
        let (requests, incoming) = mpsc::channel();
        let thread = Thread { channel: Arc::clone(&channel), state: Arc::clone(&state) };
        // Parsers recurse as deeply as a cell nests.
        let builder = std::thread::Builder::new().name("evaluator".to_owned()).stack_size(256 << 20);
        builder.spawn(move || thread.run(&incoming))?;
        Ok(Evaluator { requests, channel, state })
    }

    /// Forgets earlier interrupts: the next one is meant for what is evaluated from now on.
    pub(crate) fn begin(&self) {
        self.state.interrupted.store(false, Ordering::SeqCst);
    }

    /// Evaluates Rust; `listener` hears what it says while it says it. Once interrupted, nothing is evaluated any more until
    /// [`Evaluator::begin`].
    pub(crate) fn eval(&self, code: &str, mut listener: Box<dyn Listener>) -> Result<Evaluated, EvalError> {
        if self.state.building.load(Ordering::Acquire) {
            listener.stderr("Building the crates every cell uses: once for this version of SpinBot, about half a minute ...\n");
        }
        let (answer, answered) = mpsc::channel();
        let request = Request::Eval { code: code.to_owned(), listener, answer };
        if self.requests.send(request).is_err() {
            return Err(gone());
        }
        answered.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Completions at a byte position, or none when a cell is running or analysis takes longer than `patience`.
    pub(crate) fn complete(&self, code: &str, position: usize, patience: Duration) -> Completions {
        if self.state.busy.load(Ordering::Acquire) {
            return Completions::default();
        }
        let (answer, answered) = mpsc::channel();
        let until = Instant::now() + patience;
        let request = Request::Complete { code: code.to_owned(), position, until, answer };
        match self.requests.send(request) {
            Ok(()) => answered.recv_timeout(patience).unwrap_or_default(),
            Err(_) => Completions::default(),
        }
    }

    /// Names and types of the variables, or none when a cell is running or the answer takes longer than `patience`.
    pub(crate) fn variables(&self, patience: Duration) -> Vec<(String, String)> {
        if self.state.busy.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let (answer, answered) = mpsc::channel();
        match self.requests.send(Request::Variables { answer }) {
            Ok(()) => answered.recv_timeout(patience).unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Ends what is being evaluated: its compiler or its process. Variables from before stay.
    pub(crate) fn interrupt(&self) {
        self.state.interrupted.store(true, Ordering::SeqCst);
        let (channel, state) = (Arc::clone(&self.channel), Arc::clone(&self.state));
        // Between compiler and process there is a moment with nothing to kill: keep looking.
        std::thread::spawn(move || {
            while state.busy.load(Ordering::SeqCst) && state.interrupted.load(Ordering::SeqCst) {
                if channel.kill_running() {
                    return;
                }
                interrupt::kill_compilers();
                std::thread::sleep(Duration::from_millis(10));
            }
        });
    }

    /// Ends everything that would outlive the kernel, and removes its files.
    pub(crate) fn shut_down(&self) {
        self.interrupt();
        interrupt::kill_compilers();
        // Whatever cannot be removed now is swept by the next kernel.
        let _ = std::fs::remove_file(self.channel.path());
        workspace::remove_own_folder();
    }
}

fn gone() -> EvalError {
    evaluator_error("the evaluator's thread has ended; restart the kernel")
}

fn evaluator_error(text: impl Into<String>) -> EvalError {
    let value = text.into();
    EvalError { name: "EvaluatorError", traceback: vec![value.clone()], value }
}

struct Thread {
    channel: Arc<Channel>,
    state: Arc<State>,
}

impl Thread {
    fn run(self, requests: &mpsc::Receiver<Request>) {
        let mut context = self.warm_up();
        for request in requests {
            match request {
                Request::Eval { code, listener, answer } => {
                    self.state.busy.store(true, Ordering::SeqCst);
                    if context.is_err() {
                        // Whatever stood in the way (no compiler in PATH, a full disk) may be mended by now.
                        context = self.warm_up();
                    }
                    let result = match &mut context {
                        // Stopped while it waited for its turn: nothing was there to kill.
                        _ if self.state.interrupted.load(Ordering::SeqCst) => Err(was_interrupted()),
                        Ok(context) => self.eval(context, &code, listener),
                        Err(error) => Err(error.clone()),
                    };
                    self.state.busy.store(false, Ordering::SeqCst);
                    // Whoever asked has gone when the kernel shuts down.
                    let _ = answer.send(result);
                }
                Request::Complete { until, .. } if Instant::now() > until => {}
                Request::Complete { code, position, answer, .. } => {
                    let completions = context.as_mut().ok().map(|c| complete(c, &code, position));
                    let _ = answer.send(completions.unwrap_or_default());
                }
                Request::Variables { answer } => {
                    let variables = context.as_ref().map_or_else(
                        |_| Vec::new(),
                        |c| c.variables_and_types().map(|(n, t)| (n.to_owned(), t.to_owned())).collect(),
                    );
                    let _ = answer.send(variables);
                }
            }
        }
    }

    fn warm_up(&self) -> Result<CommandContext, EvalError> {
        self.try_warm_up().map_err(|reason| {
            let help =
                "help: cells are compiled with the Rust toolchain: `rustc` and `cargo` must be in PATH";
            let mut error = evaluator_error(format!("the Rust evaluator did not start: {reason}"));
            error.traceback.push(help.to_owned());
            error
        })
    }

    fn try_warm_up(&self) -> Result<CommandContext, String> {
        let say = |what: &str, e: std::io::Error| format!("{what}: {e}");
        if let Some(manifest) = workspace::workspace_above() {
            let advice = "set SPINBOT_CACHE to a folder with no Cargo.toml above it";
            return Err(format!(
                "cells cannot be built below the cargo workspace of {}; {advice}",
                manifest.display()
            ));
        }
        let ask = |question: &[&str]| {
            let output =
                Command::new("rustc").args(question).output().map_err(|e| say("running rustc", e))?;
            Ok::<_, String>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let warm = workspace::Warm::locate(&ask(&["-vV"])?);
        let libraries = ask(&["--print", "target-libdir"])?;
        workspace::tidy().map_err(|e| say("preparing the cache folder", e))?;
        let lock = workspace::Lock::wait().map_err(|e| say("locking the cache folder", e))?;
        let built = warm.is_built();
        if built {
            warm.copy().map_err(|e| say("copying the built workspace", e))?;
            drop(lock);
            self.open(&warm, &libraries, built)
        } else {
            self.state.building.store(true, Ordering::Release);
            let laid_out = warm.lay_out().map_err(|e| say("writing the workspace", e));
            let context = laid_out.and_then(|()| self.open(&warm, &libraries, built));
            if context.is_ok() {
                // Not kept (a full disk), it serves this kernel all the same; the next one builds it again.
                let _ = warm.keep();
            }
            self.state.building.store(false, Ordering::Release);
            drop(lock);
            context
        }
    }

    fn open(&self, warm: &workspace::Warm, libraries: &str, built: bool) -> Result<CommandContext, String> {
        let executable = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut command = Command::new(executable);
        command
            .arg("runtime")
            .env(runtime::CHANNEL_VARIABLE, self.channel.path())
            .env(runtime::LIBRARIES_VARIABLE, libraries);
        let (context, outputs) = EvalContext::with_subprocess_command(command).map_err(|e| e.to_string())?;
        for lines in [outputs.stdout, outputs.stderr] {
            // Nothing a cell says comes this way; evcxr waits for these to be empty.
            std::thread::spawn(move || while lines.recv().is_ok() {});
        }
        let mut context = CommandContext::with_eval_context(context);
        context.set_opt_level("0").map_err(|e| e.to_string())?;
        let prelude = format!(":dep spinbot = {{ path = {:?} }}\nuse spinbot::prelude::*;", warm.client());
        context.execute(&prelude).map_err(|e| match e {
            evcxr::Error::CompilationErrors(errors) => {
                errors.iter().map(|e| e.rendered()).collect::<Vec<_>>().join("\n")
            }
            other => other.to_string(),
        })?;
        if !built {
            // `cargo check`, by which inference and evcxr's own diagnostics work, builds the crates once more.
            context.check("let _ = ();").map_err(|e| e.to_string())?;
        }
        match self.channel.finish().died {
            Some(how) => Err(format!("a first cell did not run: {how}")),
            None => Ok(context),
        }
    }

    fn eval(
        &self,
        context: &mut CommandContext,
        code: &str,
        listener: Box<dyn Listener>,
    ) -> Result<Evaluated, EvalError> {
        let began = Instant::now();
        if rewrite::too_deep(code) {
            let mut error = evaluator_error("the cell nests brackets too deeply to be parsed");
            error.traceback.push(format!("help: split it; at most {} levels are taken", rewrite::DEEPEST));
            return Err(error);
        }
        let parsed = rewrite::parse(code);
        let rewritten = inference::annotate(context, &parsed);
        self.channel.begin(listener);
        let result = context.execute(&rewritten.code);
        let end = self.channel.finish();
        let interrupted = self.state.interrupted.load(Ordering::Acquire);
        match result {
            Err(_) if interrupted => Err(was_interrupted()),
            Ok(_) if interrupted && end.died.is_some() => {
                if let Some(job) = &end.job {
                    cancel(job);
                }
                Err(was_interrupted())
            }
            Ok(outputs) => {
                if let Some(how) = &end.died {
                    return Err(process_ended(how));
                }
                if end.panicked {
                    return Err(panicked(&end, context, code));
                }
                if let Some(error) = &end.errored {
                    return Err(returned_early(error));
                }
                let running = outputs
                    .phases
                    .iter()
                    .find(|p| p.name == "Execution")
                    .map_or(Duration::ZERO, |p| p.duration);
                self.channel.say(outputs.content_by_mime_type);
                Ok(Evaluated {
                    answer: end.answer,
                    compiling: began.elapsed().saturating_sub(running),
                    running,
                })
            }
            Err(error) => Err(told(error, code, &rewritten)),
        }
    }
}

impl Channel {
    /// Hands on what evcxr's own commands (`:vars`, `:dep`) answer.
    fn say(&self, content: std::collections::HashMap<String, String>) {
        if !content.is_empty() {
            let bundle = content.into_iter().fold(Bundle::default(), |b, (mime, text)| b.with(&mime, text));
            self.tell(Message::Result { bundle });
        }
    }
}

/// Cancels the job an interrupted cell was following. Where no engine answers, there is no job to cancel.
fn cancel(job: &str) {
    if let Ok(Some(mut engine)) = spinbot::Engine::running() {
        let _ = engine.cancel(job);
    }
}

fn was_interrupted() -> EvalError {
    let value = "the cell was interrupted; variables from before it are kept".to_owned();
    EvalError { name: "Interrupted", traceback: vec![format!("Interrupted: {value}")], value }
}

fn process_ended(how: &str) -> EvalError {
    let value = format!("the cell's process ended: {how}; variables from before it are kept");
    EvalError { name: "ProcessEnded", traceback: vec![format!("ProcessEnded: {value}")], value }
}

fn returned_early(error: &str) -> EvalError {
    let value = error.trim().to_owned();
    let traceback = std::iter::once("EarlyReturn: a `?` returned an error from the cell")
        .chain(value.lines())
        .map(str::to_owned)
        .collect();
    EvalError { name: "EarlyReturn", value, traceback }
}

fn panicked(end: &CellEnd, context: &CommandContext, typed: &str) -> EvalError {
    let (value, line) = end.panic.clone().unwrap_or_else(|| ("the cell panicked".to_owned(), 0));
    let mut traceback = vec![format!("Panic: {value}")];
    let source = context.last_source().unwrap_or_default();
    let compiled =
        usize::try_from(line).ok().and_then(|l| l.checked_sub(1)).and_then(|l| source.lines().nth(l));
    // The compiled source is the cell's own text between generated lines: the line is found again by its text.
    let plain = |text: &str| text.replace(rewrite::OPEN, "").trim().trim_end_matches([';', ')']).to_owned();
    if let Some(compiled) = compiled.map(plain).filter(|c| !c.is_empty())
        && let Some((number, text)) = typed.lines().enumerate().find(|(_, text)| plain(text) == compiled)
    {
        let width = (number + 1).to_string().len();
        traceback.push(format!("{:width$} --> cell:{}", "", number + 1));
        traceback.push(format!("{} | {text}", number + 1));
    }
    EvalError { name: "Panic", value, traceback }
}

fn told(error: evcxr::Error, typed: &str, rewritten: &Rewritten) -> EvalError {
    match error {
        evcxr::Error::CompilationErrors(errors) => {
            let value =
                errors.first().map_or_else(|| "the cell does not compile".to_owned(), |e| e.message());
            let mut traceback: Vec<String> = Vec::new();
            for text in errors.iter().map(|e| errors::render(e, typed, rewritten)) {
                if !traceback.contains(&text) {
                    traceback.push(text);
                }
            }
            EvalError { name: "CompilationError", value, traceback }
        }
        evcxr::Error::SubprocessTerminated(text) => EvalError {
            name: "ProcessEnded",
            value: "the process that holds the variables ended; they are lost".to_owned(),
            traceback: vec![text],
        },
        other => evaluator_error(other.to_string()),
    }
}

fn complete(context: &mut CommandContext, code: &str, position: usize) -> Completions {
    // Analysis of half-typed code may fail in many ways, none of which the user wants to hear of.
    match context.completions(code, position) {
        Ok(found) => Completions {
            start: found.start_offset,
            end: found.end_offset,
            matches: found.completions.into_iter().map(|c| c.code).collect(),
        },
        Err(_) => Completions::default(),
    }
}
