//! The engine's end of the worker: starting it, speaking to it, hearing it, and how it died.

use super::{FromWorker, Task, ToWorker};
use crate::EngineError;
use crate::lines::{Line, read_line};
use crate::logs::RollingLog;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest line from the worker.
const LONGEST_LINE: usize = 16 << 20;
/// Lines of its stderr kept for the sentence about its death.
const LAST_WORDS: usize = 3;

/// How workers are started.
#[derive(Debug)]
pub(crate) struct WorkerCommand {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Where their stderr goes.
    pub log: Arc<RollingLog>,
}

/// What the worker's pipe gave.
#[derive(Debug)]
pub(crate) enum Said {
    /// It spoke.
    Word(FromWorker),
    /// It said something that is not of the protocol; nothing after it can be trusted.
    Garbled(String),
    /// It closed the pipe.
    Gone,
    /// Nothing yet.
    Silence,
}

/// A living worker. Dropped, it is asked to leave by closing its stdin, then killed.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    /// `None` once it was asked to leave.
    stdin: Option<ChildStdin>,
    said: Receiver<Said>,
    last_words: Arc<Mutex<VecDeque<String>>>,
    /// Ends with the worker's stderr.
    stderr_reader: Option<std::thread::JoinHandle<()>>,
    /// Number of the last task.
    tasks: u64,
}

impl WorkerCommand {
    /// Starts a worker. The calling thread must live as long as it (see `PR_SET_PDEATHSIG`).
    pub(crate) fn start(&self) -> Result<Worker, EngineError> {
        let text = || self.command.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let failed = |source| EngineError::Worker { command: text(), source };
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| failed(io::Error::other("no command given")))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The terminal's interrupt is for the engine, which then stops us in order.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(io::Error::other("its pipes are missing")));
        };
        let (sender, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            loop {
                let word = match read_line(&mut reader, LONGEST_LINE) {
                    Ok(Line::Whole(line)) => match serde_json::from_slice(&line) {
                        Ok(word) => Said::Word(word),
                        Err(e) => Said::Garbled(e.to_string()),
                    },
                    Ok(Line::TooLong) => Said::Garbled("a line over 16 MiB".to_owned()),
                    Ok(Line::End) | Err(_) => Said::Gone,
                };
                let last = !matches!(word, Said::Word(_));
                if sender.send(word).is_err() || last {
                    return;
                }
            }
        });
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let (kept, log) = (Arc::clone(&last_words), Arc::clone(&self.log));
        let stderr_reader = std::thread::spawn(move || {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            // Bounded reads: a worker that prints without newlines may not fill the memory.
            while io::Read::take(&mut reader, 8 << 10).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                log.line(&text);
                if !text.trim().is_empty() {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() == LAST_WORDS {
                        kept.pop_front();
                    }
                    kept.push_back(text);
                }
            }
        });
        Ok(Worker {
            child,
            stdin: Some(stdin),
            said,
            last_words,
            stderr_reader: Some(stderr_reader),
            tasks: 0,
        })
    }
}

impl Worker {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it can still be given a task.
    pub(crate) fn alive(&mut self) -> bool {
        self.stdin.is_some() && matches!(self.child.try_wait(), Ok(None))
    }

    /// Gives it a task and returns its number.
    pub(crate) fn run(&mut self, mut task: Task) -> io::Result<u64> {
        self.tasks += 1;
        task.number = self.tasks;
        self.send(&ToWorker::Run { task })?;
        Ok(self.tasks)
    }

    /// Asks it to stop a task.
    pub(crate) fn cancel(&mut self, number: u64) -> io::Result<()> {
        self.send(&ToWorker::Cancel { number })
    }

    fn send(&mut self, what: &ToWorker) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(&line),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Waits up to `patience` for its next word.
    pub(crate) fn hear(&self, patience: Duration) -> Said {
        match self.said.recv_timeout(patience) {
            Ok(said) => said,
            Err(RecvTimeoutError::Timeout) => Said::Silence,
            Err(RecvTimeoutError::Disconnected) => Said::Gone,
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
    }

    /// How it died, for a worker that closed its pipe: `was killed (signal 9)`, with its last words apart.
    pub(crate) fn death(mut self) -> (String, Option<String>) {
        let how = match self.wait_for_end(Duration::from_secs(1)) {
            Some(status) => describe(status),
            None => "closed its pipe and went on".to_owned(),
        };
        self.kill();
        if let Some(reader) = self.stderr_reader.take() {
            // A grandchild could hold the pipe open for ever: the last words are not worth waiting for it.
            let deadline = Instant::now() + Duration::from_millis(300);
            while !reader.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said: String = words.join(" / ").chars().take(400).collect();
        (how, (!said.is_empty()).then_some(said))
    }

    fn wait_for_end(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                _ => return None,
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stdin = None;
        if self.wait_for_end(Duration::from_millis(500)).is_none() {
            self.kill();
            // Killed, it ends; collecting it leaves no zombie.
            let _ = self.child.wait();
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal @ libc::SIGKILL), _) => format!("was killed (signal {signal})"),
        (Some(signal @ libc::SIGSEGV), _) => format!("crashed with a segmentation fault (signal {signal})"),
        (Some(signal @ libc::SIGABRT), _) => format!("aborted (signal {signal})"),
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, Some(code)) => format!("left with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}
