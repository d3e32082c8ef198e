//! The process that runs cells: it forks a checkpoint before each, so that whatever a cell does to its process
//! (an interrupt's SIGKILL, a segfault, `abort`, `exit`) loses that cell and nothing before it.
//!
//! evcxr speaks to it in lines over stdin and stdout (`LOAD_AND_RUN`, `EVCXR_EXECUTION_COMPLETE`); everything a
//! cell says goes to the kernel over the frames of [`super::frame`]. No kernel state lives here.
//!
//! ```text
//! supervisor (evcxr's child; lives while any process below does)
//!   worker: waits for LOAD_AND_RUN, then forks
//!     parent = checkpoint: waits; if the cell ends well it leaves, else it answers for it and is the worker again
//!     child  = runs the cell; when it ends well it is the worker
//! ```
//! Threads are not forked: those a cell leaves behind are not in the next cell's process. They go on in its checkpoint
//! and end with it, when that cell has ended well.

use super::frame::{self, Hello, Tag};
use super::intercept;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Names the kernel's socket for this process.
pub(crate) const CHANNEL_VARIABLE: &str = "SPINBOT_CELL_CHANNEL";

/// Names the folder of the compiler's own libraries.
pub(crate) const LIBRARIES_VARIABLE: &str = "SPINBOT_RUST_LIBRARIES";

/// How often text without a newline is pushed out while a cell runs.
const FLUSH_EVERY: Duration = Duration::from_millis(30);

const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE";
const PANIC: &str = "EVCXR_PANIC_NOTIFICATION";

/// Runs until evcxr closes our stdin.
pub(crate) fn main() -> ! {
    let Some(channel) = std::env::var_os(CHANNEL_VARIABLE).map(PathBuf::from) else { std::process::exit(97) };
    // SAFETY: plain system calls before any thread exists.
    unsafe {
        // Workers outlive their checkpoints and are adopted by the supervisor.
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // Ctrl-C in a terminal reaches the whole foreground group; an interrupt is the kernel's to give.
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        if libc::fork() != 0 {
            supervise();
        }
    }
    load_std();
    match Worker::new(channel) {
        Ok(mut worker) => worker.run(),
        Err(_) => std::process::exit(96),
    }
}

/// Loads the standard library that every cell is linked against. Their own search path is relative to where rustc
/// wrote them, and evcxr moves them.
fn load_std() {
    use std::os::unix::ffi::OsStrExt;
    let folder = std::env::var_os(LIBRARIES_VARIABLE).unwrap_or_default();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_bytes().starts_with(b"libstd-")
            && name.as_bytes().ends_with(b".so")
            && let Ok(path) = CString::new(entry.path().as_os_str().as_bytes())
        {
            // SAFETY: loading the library a cell would load itself. Failing here, the cell says so.
            unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        }
    }
}

/// Reaps until no process of ours is left.
fn supervise() -> ! {
    loop {
        // SAFETY: waiting on any child; the status is not wanted.
        let reaped = unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) };
        if reaped < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            std::process::exit(0);
        }
    }
}

type Cell = extern "C" fn(*mut c_void) -> *mut c_void;

struct Worker {
    /// evcxr's requests; moved off descriptor 0 so that a cell that reads stdin does not eat them.
    requests: std::fs::File,
    /// Answers to evcxr; moved off descriptor 1, which is the cell's.
    answers: std::fs::File,
    /// The kernel's socket.
    channel: PathBuf,
    /// evcxr's store of variables, owned by the cells' code.
    variables: *mut c_void,
    /// Forks while holding the locks of standard output and error, so that no thread left behind holds them in the
    /// child; from the last cell's library, whose standard library they belong to.
    fork: Option<ForkLocked>,
}

type ForkLocked = extern "C" fn(extern "C" fn() -> c_int) -> c_int;

extern "C" fn fork() -> c_int {
    // SAFETY: the child goes on as the cell's process and calls nothing that another thread's lock could block,
    // but for the allocator, which the C library makes safe, and the streams, which `ForkLocked` holds.
    unsafe { libc::fork() }
}

impl Worker {
    fn new(channel: PathBuf) -> io::Result<Worker> {
        let requests = private_copy(0)?;
        let answers = private_copy(1)?;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        for fd in 0..=2 {
            replace(fd, null.as_raw_fd())?;
        }
        Ok(Worker {
            requests: requests.into(),
            answers: answers.into(),
            channel,
            fork: None,
            variables: std::ptr::null_mut(),
        })
    }

    fn run(&mut self) -> ! {
        while let Some(line) = self.request() {
            let mut words = line.split(' ');
            let (Some("LOAD_AND_RUN"), Some(library), Some(function)) =
                (words.next(), words.next(), words.next())
            else {
                std::process::exit(99)
            };
            self.checkpoint_and_run(library, function);
        }
        std::process::exit(0)
    }

    /// One request line, read byte by byte: a buffer would be copied by fork and answer twice.
    fn request(&mut self) -> Option<String> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        loop {
            match self.requests.read(&mut byte) {
                Ok(1) if byte[0] == b'\n' => return String::from_utf8(line).ok(),
                Ok(1) => line.push(byte[0]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }

    fn answer(&mut self, line: &str) {
        // evcxr gone means our stdin ends too, and that ends us.
        let _ = self.answers.write_all(format!("{line}\n").as_bytes());
    }

    fn checkpoint_and_run(&mut self, library: &str, function: &str) {
        let Ok((mut finished, finish)) = pipe() else { std::process::exit(95) };
        match self.fork.map_or_else(|| fork(), |locked| locked(fork)) {
            -1 => {
                let error = io::Error::last_os_error();
                self.report_death(&format!("no process could be forked for it: {error}"));
            }
            0 => {
                drop(finished);
                self.run_cell(library, function);
                let _ = (&finish).write_all(b"k");
                drop(finish);
                self.answer(COMPLETE);
            }
            child => {
                drop(finish);
                if let Ok(1) = finished.read(&mut [0]) {
                    // SAFETY: leaves without running destructors: the child owns everything now.
                    unsafe { libc::_exit(0) }
                }
                let mut status = 0;
                // SAFETY: our own child; it is dead or dying, since its end of the pipe is closed.
                unsafe { libc::waitpid(child, &mut status, 0) };
                self.report_death(&how_it_ended(status));
            }
        }
    }

    /// Answers for a cell whose process is gone; its variables from before are this process's own.
    fn report_death(&mut self, how: &str) {
        if let Ok(mut frames) = connect(&self.channel, Hello::Frames, 0) {
            let _ = frame::write(&mut frames, Tag::Died, how.as_bytes());
        }
        self.answer(PANIC);
        self.answer(COMPLETE);
    }

    fn run_cell(&mut self, library: &str, function: &str) {
        let Ok(output) = CellOutput::open(&self.channel, &self.answers) else { std::process::exit(94) };
        let (library, function) = match (CString::new(library), CString::new(function)) {
            (Ok(library), Ok(function)) => (library, function),
            _ => std::process::exit(93),
        };
        // SAFETY: the library was just built by evcxr for this process. It is never closed: variables of its
        // types, and their destructors, live on.
        unsafe {
            let handle = libc::dlopen(library.as_ptr(), libc::RTLD_NOW);
            if handle.is_null() {
                output.fail(&format!("its library did not load: {}", load_error()));
            }
            let symbol = |name: &CStr| libc::dlsym(handle, name.as_ptr());
            let cell = symbol(&function);
            if cell.is_null() {
                output.fail(&format!("its function is not in its library: {}", load_error()));
            }
            let cell: Cell = std::mem::transmute::<*mut c_void, Cell>(cell);
            let locked = symbol(c"spinbot_fork");
            self.fork = (!locked.is_null()).then(|| std::mem::transmute::<*mut c_void, ForkLocked>(locked));
            let flush = Hook::find(symbol(c"spinbot_flush_stdout"));
            if let Some(enter) = Hook::find(symbol(c"spinbot_enter_cell")) {
                enter.call();
            }
            let flusher = Flusher::start(flush, output.frames());
            self.variables = cell(self.variables);
            flusher.stop();
            if let Some(flush) = flush {
                flush.call();
            }
        }
        output.close();
    }
}

/// A function without arguments that the `spinbot` crate exports from every cell's library.
#[derive(Clone, Copy)]
struct Hook(extern "C" fn());

impl Hook {
    /// # Safety
    /// `symbol` is null or a function `extern "C" fn()` of a library that stays loaded.
    unsafe fn find(symbol: *mut c_void) -> Option<Hook> {
        // SAFETY: promised by the caller.
        (!symbol.is_null())
            .then(|| Hook(unsafe { std::mem::transmute::<*mut c_void, extern "C" fn()>(symbol) }))
    }

    fn call(self) {
        (self.0)();
    }
}

/// Pushes out text without a newline while a cell runs, and ends the process when the kernel is gone.
struct Flusher {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flusher {
    fn start(flush: Option<Hook>, kernel: RawFd) -> Flusher {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("flush".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Acquire) {
                    std::thread::park_timeout(FLUSH_EVERY);
                    if hung_up(kernel) {
                        std::process::abort();
                    }
                    if let Some(flush) = flush {
                        flush.call();
                    }
                }
            }
        });
        Flusher { stop, thread: thread.ok() }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread {
            thread.thread().unpark();
            // It must be gone before the next fork; a panic in it cannot be told to anyone.
            let _ = thread.join();
        }
    }
}

fn hung_up(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: 0, revents: 0 };
    // SAFETY: one descriptor, no waiting.
    unsafe { libc::poll(&mut poll, 1, 0) > 0 && poll.revents & (libc::POLLHUP | libc::POLLERR) != 0 }
}

/// Descriptors 1 and 2 of a running cell, and the frames its `write`s become.
struct CellOutput {
    frames: RawFd,
}

impl CellOutput {
    fn open(channel: &std::path::Path, answers: &std::fs::File) -> io::Result<CellOutput> {
        let frames = connect(channel, Hello::Frames, std::process::id())?;
        replace(1, connect(channel, Hello::RawStdout, 0)?.as_raw_fd())?;
        replace(2, connect(channel, Hello::RawStderr, 0)?.as_raw_fd())?;
        let fd = frames.as_raw_fd();
        intercept::begin(frames, answers.as_raw_fd());
        Ok(CellOutput { frames: fd })
    }

    fn frames(&self) -> RawFd {
        self.frames
    }

    /// Closes all three; the kernel then has everything the cell said.
    fn close(self) {
        if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
            let _ = replace(1, null.as_raw_fd());
            let _ = replace(2, null.as_raw_fd());
        }
        if let Some(mut frames) = intercept::end() {
            // The kernel closes its end when it has let go of this process's id: from then on no interrupt can
            // reach the process that holds the variables.
            let _ = frames.shutdown(std::net::Shutdown::Write);
            let _ = frames.read(&mut [0]);
        }
    }

    /// Ends the process for a reason the checkpoint cannot know.
    fn fail(&self, reason: &str) -> ! {
        intercept::send(Tag::Stderr, format!("the cell could not be started: {reason}\n").as_bytes());
        std::process::exit(92)
    }
}

/// `pid` is what an interrupt would kill; 0 for nothing.
fn connect(channel: &std::path::Path, hello: Hello, pid: u32) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(channel)?;
    stream.write_all(&[hello as u8])?;
    if hello == Hello::Frames {
        stream.write_all(&pid.to_le_bytes())?;
    }
    Ok(stream)
}

fn pipe() -> io::Result<(std::fs::File, std::fs::File)> {
    let mut ends = [0; 2];
    // SAFETY: fills two descriptors, which become the files' own.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((std::fs::File::from_raw_fd(ends[0]), std::fs::File::from_raw_fd(ends[1])))
    }
}

/// A copy of a descriptor, out of the cell's way and closed on exec.
fn private_copy(fd: c_int) -> io::Result<OwnedFd> {
    // SAFETY: the copy is ours alone.
    unsafe {
        let copy = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 100);
        if copy < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(copy)) }
    }
}

/// Makes `fd` mean what `source` means.
fn replace(fd: c_int, source: RawFd) -> io::Result<()> {
    // SAFETY: dup2 on descriptors this process owns.
    if unsafe { libc::dup2(source, fd) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn load_error() -> String {
    // SAFETY: dlerror gives null or a C string valid until the next dl call on this thread.
    unsafe {
        let text: *const c_char = libc::dlerror();
        if text.is_null() {
            "no reason given".to_owned()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

fn how_it_ended(status: c_int) -> String {
    if libc::WIFSIGNALED(status) {
        return match libc::WTERMSIG(status) {
            libc::SIGKILL => "it was killed (SIGKILL)".to_owned(),
            libc::SIGSEGV => "it touched memory that is not its own (SIGSEGV)".to_owned(),
            libc::SIGABRT => "it aborted (SIGABRT)".to_owned(),
            libc::SIGILL => "it ran an illegal instruction (SIGILL)".to_owned(),
            libc::SIGBUS => "it touched memory that is not there (SIGBUS)".to_owned(),
            libc::SIGFPE => "it made an arithmetic fault (SIGFPE)".to_owned(),
            signal => format!("it was ended by signal {signal}"),
        };
    }
    format!("it left with exit code {}", libc::WEXITSTATUS(status))
}
