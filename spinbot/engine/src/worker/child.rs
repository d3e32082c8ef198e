//! The worker's own process: takes tasks from stdin, runs them, answers on what was stdout.
//!
//! File descriptor 1 is turned into stderr before any step runs, so that a `printf` deep in a library cannot
//! break the protocol. The process ends when stdin closes and, on Linux, when its engine dies.

use super::{FromWorker, Task, TaskOutput, ToWorker};
use crate::catalogue::{Catalogue, Studio};
use crate::lines::{Line, read_line};
use crate::store::private_folder;
use spinbot_studio::{Report, StepError, StepInput};
use std::any::Any;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longest line from the engine.
const LONGEST_LINE: usize = 16 << 20;
/// Progress said more often than this is dropped here, before it costs a pipe write.
const PROGRESS_PAUSE: Duration = Duration::from_millis(40);
/// So is a text that is said more often: ten times a second reads as smooth.
const TEXT_PAUSE: Duration = Duration::from_millis(100);
/// Stack of the thread that runs steps: decoders of hostile files recurse.
const STACK: usize = 64 << 20;

/// Runs the steps of `spinbot-studio`, as `spinbot worker` does. Returns when the engine closes the pipe.
///
/// # Errors
/// When the pipes cannot be set up or written.
pub fn worker_main() -> io::Result<()> {
    worker_main_with(Arc::new(Studio))
}

/// The same with steps of one's own.
///
/// # Errors
/// When the pipes cannot be set up or written.
pub fn worker_main_with(catalogue: Arc<dyn Catalogue>) -> io::Result<()> {
    die_with_the_engine();
    spinbot_models::keep_memory();
    let (commands, answers) = take_the_pipes()?;
    let cancelled = Arc::new(AtomicU64::new(0));
    let (tasks, queue) = mpsc::channel();
    let flag = Arc::clone(&cancelled);
    std::thread::Builder::new().name("commands".into()).spawn(move || {
        listen(commands, &tasks, &flag);
        // The engine is gone: nothing a running step could still make would be kept.
        std::process::exit(0);
    })?;
    let steps = std::thread::Builder::new().name("steps".into()).stack_size(STACK).spawn(move || {
        let mut answers = answers;
        for task in queue {
            if !run(&*catalogue, task, &mut answers, &cancelled)? {
                break;
            }
            spinbot_models::give_back_memory();
        }
        Ok(())
    })?;
    steps.join().unwrap_or_else(|_| Err(io::Error::other("the steps' thread panicked")))
}

/// Reads commands until the pipe closes.
fn listen(commands: File, tasks: &mpsc::Sender<Task>, cancelled: &AtomicU64) {
    let mut reader = BufReader::new(commands);
    while let Ok(Line::Whole(line)) = read_line(&mut reader, LONGEST_LINE) {
        match serde_json::from_slice(&line) {
            Ok(ToWorker::Run { task }) => {
                if tasks.send(task).is_err() {
                    return;
                }
            }
            Ok(ToWorker::Cancel { number }) => cancelled.store(number, Ordering::Release),
            // An engine of another build; it sees the pipe close and says so.
            Err(_) => return,
        }
    }
}

/// Runs one task and says how it ended. False when the process must not go on.
fn run(catalogue: &dyn Catalogue, task: Task, answers: &mut File, cancelled: &AtomicU64) -> io::Result<bool> {
    let inputs = task.inputs.into_iter();
    let inputs = inputs
        .map(|(name, i)| (name, StepInput { path: i.path, label: i.label, sha256: i.sha256.0 }))
        .collect();
    let mut report = Speaker {
        answers,
        number: task.number,
        cancelled,
        scratch: &task.scratch,
        kept: &task.kept,
        files: 0,
        last: HashMap::new(),
        texts: HashMap::new(),
        lasting: true,
        broken: None,
    };
    report.say(&FromWorker::Begun);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        catalogue.run(&task.kind, &task.params, &inputs, task.seed, &mut report)
    }));
    let (answer, go_on) = match ended {
        Ok(Ok(outputs)) => {
            let kept = outputs.into_iter().map(|output| {
                let file = report.put(&output.bytes)?;
                Ok(TaskOutput {
                    name: output.name.to_owned(),
                    media_type: output.media_type.to_owned(),
                    file,
                })
            });
            match kept.collect::<io::Result<Vec<_>>>() {
                Ok(outputs) => (FromWorker::Outputs { outputs, lasting: report.lasting }, true),
                Err(e) => {
                    let source = crate::EngineError::Io {
                        doing: "cannot write in",
                        path: task.scratch.clone(),
                        source: e,
                    };
                    (FromWorker::Fault { fault: source.into() }, true)
                }
            }
        }
        Ok(Err(StepError::Fault(fault))) => (FromWorker::Fault { fault }, true),
        Ok(Err(StepError::Cancelled)) => (FromWorker::Cancelled, true),
        Err(panic) => (FromWorker::Panicked { message: panic_message(&*panic) }, false),
    };
    report.say(&answer);
    match report.broken {
        Some(e) => Err(e),
        None => Ok(go_on),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

/// The running step's voice.
struct Speaker<'a> {
    answers: &'a mut File,
    number: u64,
    /// The number of the task that was last asked to stop.
    cancelled: &'a AtomicU64,
    scratch: &'a Path,
    kept: &'a Path,
    /// Files put into the scratch folder so far; the next one's name.
    files: u64,
    /// When progress was last said, by unit.
    last: HashMap<String, Instant>,
    /// Texts as they were last said, and when.
    texts: HashMap<String, (String, Instant)>,
    /// Whether the outputs stand for all runs of the same step.
    lasting: bool,
    /// The first failure to write; the step is then told to stop.
    broken: Option<io::Error>,
}

impl Speaker<'_> {
    fn say(&mut self, what: &FromWorker) {
        let said = serde_json::to_vec(what).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.answers.write_all(&line)
        });
        if let Err(e) = said {
            self.broken.get_or_insert(e);
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<String> {
        let name = self.files.to_string();
        self.files += 1;
        std::fs::write(self.scratch.join(&name), bytes)?;
        Ok(name)
    }
}

impl Report for Speaker<'_> {
    fn progress(&mut self, done: f64, total: f64, unit: &str) {
        // JSON has no NaN and no infinity: a fraction of nothing says nothing.
        if !(done.is_finite() && total.is_finite()) {
            return;
        }
        let now = Instant::now();
        let due = self.last.get(unit).is_none_or(|at| now - *at >= PROGRESS_PAUSE);
        if due || done >= total {
            self.last.insert(unit.to_owned(), now);
            self.say(&FromWorker::Progress { done, total, unit: unit.to_owned() });
        }
    }

    fn metric(&mut self, name: &str, at: f64, value: f64) {
        if at.is_finite() && value.is_finite() {
            self.say(&FromWorker::Metric { name: name.to_owned(), at, value });
        } else {
            self.log(&format!("{name} is {value} at {at}"));
        }
    }

    fn preview(&mut self, name: &str, media_type: &str, bytes: &[u8]) {
        match self.put(bytes) {
            Ok(file) => {
                let (name, media_type) = (name.to_owned(), media_type.to_owned());
                self.say(&FromWorker::Preview { name, media_type, file });
            }
            Err(e) => self.log(&format!("the preview `{name}` could not be written: {e}")),
        }
    }

    fn text(&mut self, name: &str, text: &str, whole: bool) {
        let now = Instant::now();
        let (from, rest) = match self.texts.get(name) {
            Some((_, at)) if !whole && now - *at < TEXT_PAUSE => return,
            Some((said, _)) => {
                let same = said.chars().zip(text.chars()).take_while(|(a, b)| a == b);
                let from = same.map(|(c, _)| c.len_utf8()).sum();
                (from, text[from..].to_owned())
            }
            None => (0, text.to_owned()),
        };
        self.texts.insert(name.to_owned(), (text.to_owned(), now));
        self.say(&FromWorker::Text { name: name.to_owned(), from, text: rest });
    }

    fn passing(&mut self) {
        self.lasting = false;
    }

    fn log(&mut self, line: &str) {
        self.say(&FromWorker::Log { line: line.to_owned() });
    }

    fn kept(&mut self) -> Option<PathBuf> {
        match private_folder(self.kept) {
            Ok(()) => Some(self.kept.to_owned()),
            Err(e) => {
                self.log(&format!("nothing can be kept: {e}"));
                None
            }
        }
    }

    fn cancelled(&self) -> bool {
        self.broken.is_some() || self.cancelled.load(Ordering::Acquire) == self.number
    }
}

/// Takes stdin and stdout for the protocol; what else reads or prints gets nothing and stderr.
fn take_the_pipes() -> io::Result<(File, File)> {
    let duplicate = |fd: i32| -> io::Result<File> {
        // SAFETY: duplicating an open descriptor; the new one is ours alone and is closed by its owner.
        let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
        if copy < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `copy` was just made and belongs to nobody else.
        Ok(File::from(unsafe { OwnedFd::from_raw_fd(copy) }))
    };
    let pipes = (duplicate(0)?, duplicate(1)?);
    let nothing = File::open("/dev/null")?;
    // SAFETY: all four descriptors are open; 0 and 1 now name other files, which std reads and writes unharmed.
    let ok = unsafe { libc::dup2(nothing.as_raw_fd(), 0) >= 0 && libc::dup2(2, 1) >= 0 };
    if ok { Ok(pipes) } else { Err(io::Error::last_os_error()) }
}

/// A worker without an engine would hold the device for nothing.
fn die_with_the_engine() {
    #[cfg(target_os = "linux")]
    // SAFETY: plain system calls on our own process. The parent may have died before the first of them: then
    // we belong to someone else already, and stdin is closed, which ends us as well.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}
