//! The engine's door: connect (starting an engine where none runs), submit a plan, follow a job.
//!
//! Blocking, over one Unix socket, one JSON value a line ([`crate::protocol`]). How jobs are queued and run is
//! `spinbot-engine`'s business; how a followed job looks in a cell is in [`crate::follow`].

use crate::event::{ArtifactRef, Event, JobView};
use crate::protocol::{EngineStatus, PROTOCOL, Request, Response};
use crate::{Digest, Fault, Plan, Result, home};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a freshly started engine may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a listening engine may take to say who it is.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to the engine of this user and machine.
#[derive(Debug)]
pub struct Engine {
    line: Line,
    version: String,
    pid: u32,
}

impl Engine {
    /// Connects to the running engine, or starts one (`$SPINBOT_BIN`, else `spinbot` on the path) and waits
    /// until it answers.
    ///
    /// # Errors
    /// When no engine runs and none can be started, or the one that runs speaks another protocol.
    pub fn connect() -> Result<Self> {
        let socket = home::engine_socket();
        if let Some(engine) = Self::at(&socket)? {
            return Ok(engine);
        }
        Self::start(&socket)
    }

    /// Connects to the engine of this user and machine only if one runs.
    ///
    /// # Errors
    /// When the socket cannot be used, or the engine speaks another protocol.
    pub fn running() -> Result<Option<Self>> {
        Self::at(&home::engine_socket())
    }

    /// Connects to the engine that listens at `socket`; `None` when nobody does.
    ///
    /// # Errors
    /// When the socket cannot be used, or the engine speaks another protocol.
    pub fn at(socket: &Path) -> Result<Option<Self>> {
        let Some((engine, protocol)) = Self::greet(socket)? else { return Ok(None) };
        if protocol == PROTOCOL {
            return Ok(Some(engine));
        }
        Err(Fault::new(format!(
            "the running engine (version {}, process {}) speaks protocol {protocol}, this is {PROTOCOL}",
            engine.version, engine.pid
        ))
        .help("stop it with `spinbot engine --stop`; the next job starts one of this version"))
    }

    /// Asks the engine at `socket` to stop, whatever protocol it speaks. False when none runs.
    ///
    /// # Errors
    /// When it does not listen to the request.
    pub fn stop(socket: &Path) -> Result<bool> {
        match Self::greet(socket)? {
            Some((mut engine, _)) => engine.shutdown().map(|()| true),
            None => Ok(false),
        }
    }

    /// The other side's protocol, once it has welcomed us. `None` when nobody listens.
    fn greet(socket: &Path) -> Result<Option<(Self, u32)>> {
        let stream = match UnixStream::connect(socket) {
            Ok(stream) => stream,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(e) => {
                return Err(Fault::new(format!(
                    "the engine's socket {} cannot be used: {e}",
                    socket.display()
                ))
                .help("set SPINBOT_HOME to a folder of yours with a short path"));
            }
        };
        let mut line = Line { reader: BufReader::new(stream), socket: socket.to_owned() };
        line.timeout(Some(WELCOME_TIMEOUT))?;
        let hello = Request::Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() };
        // An engine that hangs up here is one that was leaving: as good as none.
        if line.send(&hello).is_err() {
            return Ok(None);
        }
        match line.receive()? {
            Some(Response::Welcome { protocol, version, pid }) => {
                line.timeout(None)?;
                Ok(Some((Engine { line, version, pid }, protocol)))
            }
            Some(Response::Refused { fault }) => Err(fault),
            Some(other) => Err(unexpected("a welcome", &other)),
            None => Ok(None),
        }
    }

    /// Starts an engine and waits until it answers.
    fn start(socket: &Path) -> Result<Self> {
        let program = home::program();
        let failed = |why: String| Fault::new(format!("the engine could not be started: {why}"));
        // `--background` starts the engine as its own session and returns: nothing of ours is its parent.
        let mut launcher = Command::new(&program)
            .args(["engine", "--background"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| {
                failed(format!("{}: {e}", program.to_string_lossy()))
                    .help("put `spinbot` on the PATH or set SPINBOT_BIN to it")
            })?;
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(engine) = Self::at(socket)? {
                reap(launcher);
                return Ok(engine);
            }
            if let Ok(Some(status)) = launcher.try_wait()
                && !status.success()
            {
                let mut said = String::new();
                if let Some(stderr) = launcher.stderr.take() {
                    // What is not text is of no use in a sentence.
                    let _ = stderr.take(4096).read_to_string(&mut said);
                }
                return Err(failed(format!("{status}: {}", said.trim())));
            }
            if Instant::now() >= deadline {
                reap(launcher);
                let log = home::data_dir().join("logs/engine.log");
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                let last = said.lines().rfind(|l| !l.trim_start().starts_with("help:"));
                let last = last.map_or(String::new(), |l| format!(" (it last said: {l})"));
                return Err(failed(format!("no answer within {} s{last}", START_TIMEOUT.as_secs()))
                    .help("run `spinbot engine` in a terminal to see why"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The engine's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The engine's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Submits a plan: it is validated whole and its files are copied before this returns. Relative paths are
    /// meant from this process's working folder.
    ///
    /// # Errors
    /// What is wrong with the plan, pointing at the argument.
    pub fn submit(&mut self, plan: Plan) -> Result<Job> {
        let folder = std::env::current_dir().ok();
        match self.line.ask(&Request::Submit { plan, folder })? {
            Response::Submitted { job } => Ok(self.job(job)),
            other => Err(unexpected("a job", &other)),
        }
    }

    /// A handle on a job by its id, to follow from its first event.
    pub fn job(&self, id: impl Into<String>) -> Job {
        Job {
            id: id.into(),
            socket: self.line.socket.clone(),
            line: None,
            next: 0,
            ended: false,
            view: JobView::default(),
        }
    }

    /// The last jobs, newest first, without their curves and logs.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn jobs(&mut self, limit: usize) -> Result<Vec<JobView>> {
        match self.line.ask(&Request::Jobs { limit })? {
            Response::Jobs { jobs } => Ok(jobs),
            other => Err(unexpected("jobs", &other)),
        }
    }

    /// What the engine is and does now.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn status(&mut self) -> Result<EngineStatus> {
        match self.line.ask(&Request::Status)? {
            Response::Status { status } => Ok(status),
            other => Err(unexpected("its status", &other)),
        }
    }

    /// One artifact of the store.
    ///
    /// # Errors
    /// When the store does not hold it.
    pub fn artifact(&mut self, digest: &Digest) -> Result<ArtifactRef> {
        match self.line.ask(&Request::Artifact { digest: digest.clone() })? {
            Response::Artifact { artifact } => Ok(artifact),
            other => Err(unexpected("an artifact", &other)),
        }
    }

    /// Asks a queued or running job to stop. A job that has ended stays as it is.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn cancel(&mut self, job: &str) -> Result<()> {
        self.line.ask_ok(&Request::Cancel { job: job.to_owned() })
    }

    /// Stops the engine: the running job is cancelled first.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn shutdown(&mut self) -> Result<()> {
        self.line.ask_ok(&Request::Shutdown)
    }
}

/// A job of the engine. Dropping the handle does not end the job: jobs outlive those who watch them.
#[derive(Debug)]
pub struct Job {
    id: String,
    socket: PathBuf,
    /// A connection of its own, opened at the first look at the events.
    line: Option<Line>,
    /// Position of the next event.
    next: u64,
    ended: bool,
    /// The fold of the events seen so far.
    view: JobView,
}

impl Job {
    /// The job's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The fold of the events seen so far.
    pub fn view(&self) -> &JobView {
        &self.view
    }

    /// Waits for the next event; `None` after the terminal one.
    ///
    /// # Errors
    /// When there is no such job, or the engine goes away.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        if self.ended {
            return Ok(None);
        }
        let line = match &mut self.line {
            Some(line) => line,
            None => {
                let engine = Engine::at(&self.socket)?.ok_or_else(|| gone(&self.id))?;
                let mut line = engine.line;
                line.send(&Request::Follow { job: self.id.clone(), from: self.next })?;
                self.line.insert(line)
            }
        };
        match line.receive()? {
            Some(Response::Event { event }) => {
                self.next = event.seq + 1;
                self.ended = event.body.is_terminal();
                self.view.apply(&event);
                Ok(Some(event))
            }
            Some(Response::Refused { fault }) => {
                // Nothing follows on this connection: who asks again asks anew.
                self.line = None;
                Err(fault)
            }
            Some(other) => Err(unexpected("an event", &other)),
            None => {
                self.line = None;
                Err(gone(&self.id))
            }
        }
    }

    /// Hands every event with the view after it to `watch`, until the job ends or `watch` breaks; returns the
    /// view. A failed job is no error here: look at [`JobView::fault`].
    ///
    /// # Errors
    /// When there is no such job, or the engine goes away.
    pub fn follow(&mut self, mut watch: impl FnMut(&Event, &JobView) -> ControlFlow<()>) -> Result<JobView> {
        while let Some(event) = self.next_event()? {
            if watch(&event, &self.view).is_break() {
                break;
            }
        }
        Ok(self.view.clone())
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When there is no such job, or the engine goes away.
    pub fn wait(&mut self) -> Result<JobView> {
        self.follow(|_, _| ControlFlow::Continue(()))
    }

    /// Asks the job to stop, over a connection of its own, so that it can be called while another follows.
    ///
    /// # Errors
    /// When there is no such job, or the engine is gone.
    pub fn cancel(&self) -> Result<()> {
        Engine::at(&self.socket)?.ok_or_else(|| gone(&self.id))?.cancel(&self.id)
    }
}

/// One connection: requests out, responses in.
#[derive(Debug)]
struct Line {
    reader: BufReader<UnixStream>,
    socket: PathBuf,
}

impl Line {
    fn timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.reader.get_ref().set_read_timeout(timeout).map_err(|e| broken(&e))
    }

    fn send(&mut self, request: &Request) -> Result<()> {
        let mut text = serde_json::to_vec(request)
            .map_err(|e| Fault::new(format!("the request cannot be written as JSON: {e}")))?;
        text.push(b'\n');
        self.reader.get_mut().write_all(&text).map_err(|e| broken(&e))
    }

    /// The next response; `None` when the engine hung up.
    fn receive(&mut self) -> Result<Option<Response>> {
        let mut text = Vec::new();
        match self.reader.read_until(b'\n', &mut text) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Err(e) => return Err(broken(&e)),
        }
        if text.last() != Some(&b'\n') {
            return Ok(None);
        }
        serde_json::from_slice(&text).map(Some).map_err(|e| {
            Fault::new(format!("the engine's answer is not understood: {e}"))
                .help("stop it with `spinbot engine --stop` if it is of another version")
        })
    }

    fn ask(&mut self, request: &Request) -> Result<Response> {
        self.send(request)?;
        match self.receive()? {
            Some(Response::Refused { fault }) => Err(fault),
            Some(response) => Ok(response),
            None => Err(Fault::new("the engine went away before it answered").help("run it again")),
        }
    }

    fn ask_ok(&mut self, request: &Request) -> Result<()> {
        match self.ask(request)? {
            Response::Ok => Ok(()),
            other => Err(unexpected("an ok", &other)),
        }
    }
}

/// Collects the launcher, which has returned or is about to, so that it leaves no zombie behind.
fn reap(mut launcher: Child) {
    for _ in 0..50 {
        if !matches!(launcher.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn gone(job: &str) -> Fault {
    Fault::new(format!("the engine went away while job {job} was followed"))
        .help("`spinbot jobs` shows how it ended; what was finished is kept and not computed again")
}

fn broken(error: &std::io::Error) -> Fault {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Fault::new("the engine listens but does not answer")
            .help("stop it with `spinbot engine --stop`, or end its process"),
        _ => Fault::new(format!("the connection to the engine broke: {error}")).help("run it again"),
    }
}

fn unexpected(wanted: &str, got: &Response) -> Fault {
    let got = serde_json::to_string(got).unwrap_or_default();
    let got: String = got.chars().take(120).collect();
    Fault::new(format!("the engine answered with something else than {wanted}: {got}"))
}
