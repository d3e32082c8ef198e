//! One client's conversation: a request a line, an answer a line, until it leaves.
//!
//! Nothing a client sends ends the engine: what is not understood is refused with a sentence.

use crate::catalogue::Catalogue;
use crate::intake;
use crate::jobs::Jobs;
use crate::lines::{Line, read_line};
use crate::store::Store;
use spinbot::protocol::{EngineStatus, PROTOCOL, Request, Response};
use spinbot::{Event, Fault};
use std::io::{self, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longest request.
const LONGEST_LINE: usize = 4 << 20;
/// How often a follower without news is looked at: is it still there?
const LOOK: Duration = Duration::from_millis(500);
/// A client that takes nothing for this long is let go.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most jobs in one answer.
const MOST_JOBS: usize = 10_000;

/// What all conversations share.
pub(crate) struct House {
    pub store: Store,
    pub jobs: Jobs,
    pub catalogue: Arc<dyn Catalogue>,
    pub started: Instant,
    pub worker_pid: Arc<AtomicU32>,
    /// Clients connected, and those of them that follow a live job.
    pub clients: AtomicUsize,
    pub followers: AtomicUsize,
    /// Set to end the engine.
    pub stop: AtomicBool,
    /// Written to when `stop` is set, so that the main thread looks.
    pub bell: UnixStream,
}

impl House {
    /// Ends the engine, soon.
    pub(crate) fn ring_stop(&self) {
        self.stop.store(true, Ordering::Release);
        // A full pipe means that it rings already.
        let _ = (&self.bell).write(b"!");
    }
}

/// One more in a count, until dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Talks with a client until it leaves.
///
/// # Errors
/// When the connection breaks, which concerns nobody else.
pub(crate) fn converse(house: &House, stream: UnixStream) -> io::Result<()> {
    let _present = Counted::new(&house.clients);
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut client = Client { reader: BufReader::new(stream), protocol: None };
    loop {
        let line = match read_line(&mut client.reader, LONGEST_LINE)? {
            Line::End => return Ok(()),
            Line::TooLong => {
                client.refuse(Fault::new("the request is over 4 MiB"))?;
                continue;
            }
            Line::Whole(line) => line,
        };
        match serde_json::from_slice(&line) {
            Ok(request) => client.answer(house, request)?,
            Err(e) => client.refuse(
                Fault::new(format!("the request is not understood: {e}"))
                    .help("stop the engine with `spinbot engine --stop` if it is of another version"),
            )?,
        }
    }
}

struct Client {
    reader: BufReader<UnixStream>,
    /// What it said in its hello.
    protocol: Option<u32>,
}

impl Client {
    fn say(&mut self, response: &Response) -> io::Result<()> {
        let mut line = serde_json::to_vec(response)?;
        line.push(b'\n');
        self.reader.get_mut().write_all(&line)
    }

    fn refuse(&mut self, fault: Fault) -> io::Result<()> {
        self.say(&Response::Refused { fault })
    }

    fn answer(&mut self, house: &House, request: Request) -> io::Result<()> {
        match (&request, self.protocol) {
            (Request::Hello { .. }, _) | (_, Some(PROTOCOL)) => {}
            // Whoever speaks another protocol may still end this engine, so that it can be replaced.
            (Request::Shutdown, Some(_)) => {}
            (_, Some(other)) => {
                return self
                    .refuse(Fault::new(format!("the engine speaks protocol {PROTOCOL}, not {other}")));
            }
            (_, None) => return self.refuse(Fault::new("a connection starts with `hello`")),
        }
        let response = match request {
            Request::Hello { protocol, .. } => {
                self.protocol = Some(protocol);
                let version = env!("CARGO_PKG_VERSION").to_owned();
                Ok(Response::Welcome { protocol: PROTOCOL, version, pid: std::process::id() })
            }
            Request::Submit { plan, folder } => {
                intake::accept(&plan, folder.as_deref(), &*house.catalogue, &house.store)
                    .and_then(|files| house.jobs.submit(plan, files))
                    .map(|record| Response::Submitted { job: record.id().to_owned() })
            }
            Request::Follow { job, from } => return self.follow(house, &job, from),
            Request::Cancel { job } => house.jobs.cancel(&job).map(|()| Response::Ok),
            Request::Jobs { limit } => Ok(Response::Jobs { jobs: house.jobs.list(limit.min(MOST_JOBS)) }),
            Request::Artifact { digest } => house
                .store
                .artifact(&digest)
                .map(|artifact| Response::Artifact { artifact })
                .ok_or_else(|| Fault::new(format!("the store holds no artifact {}", digest.short()))),
            Request::Status => Ok(Response::Status { status: status(house) }),
            Request::Shutdown => {
                self.say(&Response::Ok)?;
                house.ring_stop();
                return Ok(());
            }
        };
        match response {
            Ok(response) => self.say(&response),
            Err(fault) => self.refuse(fault),
        }
    }

    /// Sends the job's events from position `from` until the terminal one, or until the client is gone.
    fn follow(&mut self, house: &House, job: &str, mut from: u64) -> io::Result<()> {
        let Some(record) = house.jobs.live(job) else {
            return match house.jobs.finished(job) {
                Ok(events) => {
                    let skipped = usize::try_from(from).unwrap_or(usize::MAX);
                    self.tell_to_the_end(job, events.into_iter().skip(skipped))
                }
                Err(fault) => self.refuse(fault),
            };
        };
        let _following = Counted::new(&house.followers);
        loop {
            let (events, ended) = record.events_from(from, LOOK);
            from += events.len() as u64;
            if ended {
                return self.tell_to_the_end(job, events);
            }
            let silent = events.is_empty();
            for event in events {
                self.tell(event)?;
            }
            if silent && hung_up(self.reader.get_ref()) {
                // The job goes on: jobs outlive those who watch them.
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
    }

    /// Sends the last events of a job that has ended. Where the end is not among them (the disk was full when it
    /// should have been written, or `from` was past it) the client is told so: it would wait for ever.
    fn tell_to_the_end(&mut self, job: &str, events: impl IntoIterator<Item = Event>) -> io::Result<()> {
        let mut end_told = false;
        for event in events {
            end_told = event.body.is_terminal();
            self.tell(event)?;
        }
        if end_told {
            return Ok(());
        }
        self.refuse(
            Fault::new(format!("the journal of job {job} has no more to tell"))
                .help("`spinbot jobs` shows how it ended"),
        )
    }

    fn tell(&mut self, event: Event) -> io::Result<()> {
        self.say(&Response::Event { event })
    }
}

fn status(house: &House) -> EngineStatus {
    let (running, queued) = house.jobs.load();
    let worker = house.worker_pid.load(Ordering::Relaxed);
    EngineStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        worker_pid: (worker != 0).then_some(worker),
        running,
        queued,
        uptime: house.started.elapsed().as_secs_f64(),
        store: house.store.root().to_owned(),
    }
}

/// Whether the other side closed the connection. Reads nothing.
fn hung_up(stream: &UnixStream) -> bool {
    let mut byte = 0u8;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: one byte is peeked into one byte of ours from an open socket.
    let n = unsafe { libc::recv(stream.as_raw_fd(), (&raw mut byte).cast(), 1, flags) };
    n == 0 || (n < 0 && io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock)
}
