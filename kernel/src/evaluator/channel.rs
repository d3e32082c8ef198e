//! The kernel's end of the channel: one thread reads every connection of the running cell and hands what it says,
//! in order, to whoever listens.
//!
//! It knows nothing of Jupyter; [`Listener`] is what the session puts in between.

use super::frame::{self, Hello, Tag};
use super::interrupt;
use spinbot::cell::Message;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longer than the wire waits for a client that does not read.
const LAST_WAIT: Duration = Duration::from_secs(120);

/// Standard error kept to tell what a `?` returned.
const LAST_WORDS: usize = 16 * 1024;

/// What a cell says, as it says it. Called on the channel's thread.
pub(crate) trait Listener: Send {
    /// Text of standard output.
    fn stdout(&mut self, text: &str);
    /// Text of standard error.
    fn stderr(&mut self, text: &str);
    /// A display, a result, a clearing.
    fn message(&mut self, message: Message);
}

/// How a cell ended, besides what evcxr knows of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CellEnd {
    /// Its outermost frame caught a panic.
    pub(crate) panicked: bool,
    /// The last panic of its own thread: text and line in the compiled source.
    pub(crate) panic: Option<(String, u32)>,
    /// A `?` returned early: what it printed of its error.
    pub(crate) errored: Option<String>,
    /// Its process died, and how.
    pub(crate) died: Option<String>,
    /// The answer to a magic's `{expr}`.
    pub(crate) answer: Option<String>,
    /// The job it followed last.
    pub(crate) job: Option<String>,
}

#[derive(Default)]
struct Shared {
    listener: Option<Box<dyn Listener>>,
    end: CellEnd,
    /// Standard error since anything else was said: a `?` prints its error just before it says that it returned.
    last_words: String,
}

/// The channel. Dropping it removes the socket; its thread ends with the process.
pub(crate) struct Channel {
    path: PathBuf,
    shared: Arc<Mutex<Shared>>,
    /// Process id of the running cell. Cleared before its connection is closed, for which the cell waits before it
    /// becomes the one process that holds the variables.
    worker: Arc<Mutex<Option<u32>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Channel {
    /// Listens on a socket at `path`.
    pub(crate) fn listen(path: PathBuf) -> io::Result<Channel> {
        let socket = UnixListener::bind(&path)?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let worker = Arc::new(Mutex::new(None));
        let reader =
            Reader { socket, shared: Arc::clone(&shared), worker: Arc::clone(&worker), open: Vec::new() };
        std::thread::Builder::new().name("cell channel".to_owned()).spawn(move || reader.run())?;
        Ok(Channel { path, shared, worker })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on `listener` hears what cells say.
    pub(crate) fn begin(&self, listener: Box<dyn Listener>) {
        let mut shared = lock(&self.shared);
        *shared = Shared { listener: Some(listener), ..Shared::default() };
    }

    /// Waits until everything the cell said has been heard, and tells how it ended.
    pub(crate) fn finish(&self) -> CellEnd {
        // The reader accepts in order and answers only when the cell's own connection has ended.
        let synced = UnixStream::connect(&self.path).and_then(|mut stream| {
            stream.write_all(&[Hello::Sync as u8])?;
            stream.set_read_timeout(Some(LAST_WAIT))?;
            stream.read(&mut [0])
        });
        let mut end = std::mem::take(&mut lock(&self.shared).end);
        if synced.is_err() {
            end.died.get_or_insert_with(|| "what it said last did not arrive".to_owned());
        }
        end
    }

    /// Hands the listener a message of the kernel's own.
    pub(crate) fn tell(&self, message: Message) {
        let mut shared = lock(&self.shared);
        if let Some(listener) = shared.listener.as_mut() {
            listener.message(message);
        }
    }

    /// Kills the running cell's process, if one runs. Under the lock, so that the process is not yet the next
    /// cell's.
    pub(crate) fn kill_running(&self) -> bool {
        let worker = lock(&self.worker);
        worker.inspect(|pid| interrupt::kill(*pid)).is_some()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.path);
    }
}

enum Kind {
    /// Nothing read yet.
    New,
    Frames {
        /// Set once the process id has been read.
        pid: Option<u32>,
        stdout: Text,
        stderr: Text,
    },
    RawStdout(Text),
    RawStderr(Text),
    Sync,
}

struct Connection {
    stream: UnixStream,
    kind: Kind,
    buffer: Vec<u8>,
    closed: bool,
}

struct Reader {
    socket: UnixListener,
    shared: Arc<Mutex<Shared>>,
    worker: Arc<Mutex<Option<u32>>>,
    open: Vec<Connection>,
}

impl Reader {
    fn run(mut self) {
        // A listener that blocks would hold up the connections already open.
        if self.socket.set_nonblocking(true).is_err() {
            return;
        }
        loop {
            let mut polls: Vec<libc::pollfd> = std::iter::once(self.socket.as_raw_fd())
                .chain(self.open.iter().map(|c| c.stream.as_raw_fd()))
                .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 })
                .collect();
            // SAFETY: as many entries as said; every descriptor is owned by `self`.
            let ready = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, -1) };
            if ready < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return;
            }
            while let Ok((stream, _)) = self.socket.accept() {
                if stream.set_nonblocking(true).is_ok() {
                    self.open.push(Connection { stream, kind: Kind::New, buffer: Vec::new(), closed: false });
                }
            }
            // A cell goes on when its child process has ended: what that printed is older than the frames that
            // lie beside it.
            let raw = |c: &Connection| matches!(c.kind, Kind::RawStdout(_) | Kind::RawStderr(_));
            let (children, frames): (Vec<usize>, Vec<usize>) =
                (0..self.open.len()).partition(|i| raw(&self.open[*i]));
            for i in children.into_iter().chain(frames) {
                self.read(i);
            }
            for connection in self.open.iter().filter(|c| c.closed) {
                let mut worker = lock(&self.worker);
                if matches!(connection.kind, Kind::Frames { pid, .. } if pid == *worker) {
                    *worker = None;
                }
            }
            self.open.retain(|c| !c.closed);
            let cell_open = self.open.iter().any(|c| matches!(c.kind, Kind::Frames { .. } | Kind::New));
            if !cell_open {
                // Whatever the cell's frames said is heard; answer those who wait for it by closing.
                self.open.retain(|c| !matches!(c.kind, Kind::Sync));
            }
        }
    }

    fn read(&mut self, index: usize) {
        let connection = &mut self.open[index];
        let mut chunk = [0u8; 65536];
        // Bounded, so that one endless talker does not keep the others from being heard.
        for _ in 0..16 {
            match connection.stream.read(&mut chunk) {
                Ok(0) => {
                    connection.closed = true;
                    break;
                }
                Ok(n) => connection.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    connection.closed = true;
                    break;
                }
            }
        }
        if matches!(connection.kind, Kind::New) && !connection.buffer.is_empty() {
            connection.kind = match connection.buffer.remove(0) {
                b if b == Hello::Frames as u8 => {
                    Kind::Frames { pid: None, stdout: Text::default(), stderr: Text::default() }
                }
                b if b == Hello::RawStdout as u8 => Kind::RawStdout(Text::default()),
                b if b == Hello::RawStderr as u8 => Kind::RawStderr(Text::default()),
                b if b == Hello::Sync as u8 => Kind::Sync,
                _ => {
                    connection.closed = true;
                    return;
                }
            };
        }
        let mut shared = lock(&self.shared);
        match &mut connection.kind {
            Kind::Frames { pid, stdout, stderr } => {
                if pid.is_none()
                    && let Some(&[a, b, c, d]) = connection.buffer.first_chunk()
                {
                    connection.buffer.drain(..4);
                    let id = u32::from_le_bytes([a, b, c, d]);
                    *pid = Some(id);
                    // A checkpoint that answers for a dead cell gives 0: it must not be killed.
                    *lock(&self.worker) = Some(id).filter(|id| *id != 0);
                }
                while pid.is_some()
                    && let Some((tag, payload)) = frame::take(&mut connection.buffer)
                {
                    let Some(tag) = tag else {
                        connection.closed = true;
                        break;
                    };
                    shared.frame(tag, &payload, stdout, stderr);
                }
            }
            Kind::RawStdout(text) => {
                let text = text.take(&std::mem::take(&mut connection.buffer));
                if let Some(listener) = shared.listener.as_mut().filter(|_| !text.is_empty()) {
                    listener.stdout(&text);
                }
            }
            Kind::RawStderr(text) => {
                let text = text.take(&std::mem::take(&mut connection.buffer));
                if let Some(listener) = shared.listener.as_mut().filter(|_| !text.is_empty()) {
                    listener.stderr(&text);
                }
            }
            Kind::New | Kind::Sync => {}
        }
    }
}

impl Shared {
    fn frame(&mut self, tag: Tag, payload: &[u8], stdout: &mut Text, stderr: &mut Text) {
        if !matches!(tag, Tag::Stderr | Tag::Errored) {
            self.last_words.clear();
        }
        match tag {
            Tag::Stdout => {
                let text = stdout.take(payload);
                if let Some(listener) = self.listener.as_mut().filter(|_| !text.is_empty()) {
                    listener.stdout(&text);
                }
            }
            Tag::Stderr => {
                let text = stderr.take(payload);
                // A cell that complains at length is not about to return.
                if self.last_words.len() > LAST_WORDS {
                    self.last_words.clear();
                }
                self.last_words.push_str(&text);
                if let Some(listener) = self.listener.as_mut().filter(|_| !text.is_empty()) {
                    listener.stderr(&text);
                }
            }
            Tag::Panicked => self.end.panicked = true,
            Tag::Errored => self.end.errored = Some(std::mem::take(&mut self.last_words)),
            Tag::Died => self.end.died = Some(String::from_utf8_lossy(payload).into_owned()),
            Tag::Message => match serde_json::from_slice(payload) {
                Ok(Message::Answer { text }) => self.end.answer = Some(text),
                Ok(Message::Following { job }) => self.end.job = Some(job),
                Ok(Message::Panic { text, line }) => self.end.panic = Some((text, line)),
                Ok(message) => {
                    if let Some(listener) = self.listener.as_mut() {
                        listener.message(message);
                    }
                }
                // Only our own crate writes messages; one that does not parse comes from a cell that wrote to the
                // channel itself.
                Err(_) => {}
            },
        }
    }
}

/// Bytes to text, keeping the start of a character that has not arrived whole.
#[derive(Default)]
struct Text {
    rest: Vec<u8>,
}

impl Text {
    fn take(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(_) => self.rest.len(),
            // Not the end of the input but a wrong byte: shown as a replacement character.
            Err(e) if e.error_len().is_some() => self.rest.len(),
            Err(e) => e.valid_up_to(),
        };
        let taken: Vec<u8> = self.rest.drain(..whole).collect();
        String::from_utf8_lossy(&taken).into_owned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_character_cut_in_two_arrives_whole() {
        let mut text = Text::default();
        let bytes = "añb".as_bytes();
        assert_eq!(text.take(&bytes[..2]), "a");
        assert_eq!(text.take(&bytes[2..]), "ñb");
        assert_eq!(text.take(&[b'x', 0xFF, b'y']), "x\u{FFFD}y");
    }

    struct Heard(Arc<Mutex<Vec<String>>>);
    impl Listener for Heard {
        fn stdout(&mut self, text: &str) {
            self.0.lock().unwrap().push(format!("out {text}"));
        }
        fn stderr(&mut self, text: &str) {
            self.0.lock().unwrap().push(format!("err {text}"));
        }
        fn message(&mut self, message: Message) {
            self.0.lock().unwrap().push(format!("{message:?}"));
        }
    }

    #[test]
    fn what_a_cell_said_before_it_was_killed_mid_frame_is_heard_and_the_next_cell_is_unharmed() {
        let folder = std::env::temp_dir().join(format!("spinbot-channel-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let channel = Channel::listen(folder.join("c")).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        for (text, torn) in [("one", true), ("two", false)] {
            channel.begin(Box::new(Heard(Arc::clone(&heard))));
            let mut cell = UnixStream::connect(channel.path()).unwrap();
            cell.write_all(&[Hello::Frames as u8, 7, 0, 0, 0]).unwrap();
            frame::write(&mut cell, Tag::Stdout, text.as_bytes()).unwrap();
            frame::write(&mut cell, Tag::Stderr, b"!").unwrap();
            if torn {
                cell.write_all(&[1, 200, 0, 0, 0, b'x']).unwrap();
            } else {
                frame::write(&mut cell, Tag::Errored, b"").unwrap();
            }
            drop(cell);
            let end = channel.finish();
            assert_eq!(end.errored, (!torn).then(|| "!".to_owned()));
            assert!(!channel.kill_running());
        }
        assert_eq!(*heard.lock().unwrap(), ["out one", "err !", "out two", "err !"]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
