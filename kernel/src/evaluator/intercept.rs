//! `write` and `writev` of the process that runs cells, so that text on stdout and stderr keeps its order among
//! itself and with displays.
//!
//! Two pipes read side by side cannot tell which was written first. Rust's standard library writes through libc's
//! `write`, which cells take from the running executable when it exports one; this one turns descriptors 1 and 2
//! into frames while a cell runs and passes everything else to the system. evcxr's own markers on stdout are taken
//! out here and answered to evcxr. What bypasses `write` (the cell's child processes) arrives on the raw
//! connections instead.

use super::frame::{self, Tag};
use spinbot::Bundle;
use spinbot::cell::Message;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether a cell runs: the only thing every `write` of every SpinBot process looks at.
static RUNNING: AtomicBool = AtomicBool::new(false);

static CELL: Mutex<Option<Channel>> = Mutex::new(None);

struct Channel {
    frames: UnixStream,
    /// Where evcxr reads; owned by the worker.
    answers: RawFd,
    /// An open `EVCXR_BEGIN_CONTENT` block: its MIME type and text so far.
    content: Option<(String, String)>,
    /// The start of a marker line whose end has not been written yet.
    held: Vec<u8>,
}

fn cell() -> MutexGuard<'static, Option<Channel>> {
    CELL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on descriptors 1 and 2 become frames.
pub(super) fn begin(frames: UnixStream, answers: RawFd) {
    *cell() = Some(Channel { frames, answers, content: None, held: Vec::new() });
    RUNNING.store(true, Ordering::Release);
}

/// Gives the connection back; descriptors 1 and 2 are the system's again.
pub(super) fn end() -> Option<UnixStream> {
    RUNNING.store(false, Ordering::Release);
    cell().take().map(|mut channel| {
        let held = std::mem::take(&mut channel.held);
        if !held.is_empty() {
            channel.frame(Tag::Stdout, &held);
        }
        channel.frames
    })
}

/// Sends one frame, if a cell runs.
pub(super) fn send(tag: Tag, payload: &[u8]) {
    if let Some(channel) = cell().as_mut() {
        channel.frame(tag, payload);
    }
}

impl Channel {
    fn frame(&mut self, tag: Tag, payload: &[u8]) {
        // The kernel gone is seen by the flusher, which ends this process.
        let _ = frame::write(&mut SystemWriter(self.frames.as_raw_fd()), tag, payload);
    }

    /// Standard output with evcxr's markers taken out. Each marker is a line of its own, though text without a
    /// newline may stand before it on the same line.
    fn stdout(&mut self, text: &[u8]) {
        if self.content.is_none() && self.held.is_empty() && !contains(text, b"EVCXR_") {
            return self.frame(Tag::Stdout, text);
        }
        self.held.extend_from_slice(text);
        while let Some(end) = self.held.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.held.drain(..=end).collect();
            self.line(&line);
        }
        if self.content.is_none() && !contains(&self.held, b"EVCXR_") {
            let rest = std::mem::take(&mut self.held);
            if !rest.is_empty() {
                self.frame(Tag::Stdout, &rest);
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
        if let Some((mime, mut content)) = self.content.take() {
            if text == "EVCXR_END_CONTENT" {
                let bundle = Bundle::default().with(&mime, content);
                let message = Message::Display { bundle, display_id: None, update: false };
                return self.frame(Tag::Message, &serde_json::to_vec(&message).unwrap_or_default());
            }
            if !content.is_empty() {
                content.push('\n');
            }
            content.push_str(&text);
            self.content = Some((mime, content));
            return;
        }
        let Some(at) = text.find("EVCXR_") else { return self.frame(Tag::Stdout, line) };
        let (before, marker) = text.split_at(at);
        let known = match marker {
            "EVCXR_PANIC_NOTIFICATION" => Some(Tag::Panicked),
            "EVCXR_ERROR_OCCURRED" => Some(Tag::Errored),
            _ => None,
        };
        if known.is_none()
            && !marker.starts_with("EVCXR_VARIABLE_CHANGED_TYPE:")
            && !marker.starts_with("EVCXR_BEGIN_CONTENT ")
        {
            return self.frame(Tag::Stdout, line);
        }
        // First of all: what a `?` printed of its error stands just before it, whatever text waited in the buffer.
        if let Some(tag) = known {
            self.frame(tag, b"");
        }
        if !before.is_empty() {
            self.frame(Tag::Stdout, before.as_bytes());
        }
        if let Some(mime) = marker.strip_prefix("EVCXR_BEGIN_CONTENT ") {
            self.content = Some((mime.to_owned(), String::new()));
            return;
        }
        let _ = SystemWriter(self.answers).write_all(format!("{marker}\n").as_bytes());
    }
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// The system's own `write`, past ours.
struct SystemWriter(RawFd);

impl Write for SystemWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // SAFETY: the descriptor is open for as long as its owner, and the bytes for the call.
        let written = unsafe { system_write(self.0, bytes.as_ptr().cast(), bytes.len()) };
        usize::try_from(written).map_err(|_| std::io::Error::last_os_error())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// # Safety
/// As of `write(2)`.
unsafe fn system_write(fd: libc::c_int, bytes: *const libc::c_void, length: libc::size_t) -> libc::ssize_t {
    // SAFETY: as of the caller.
    unsafe { libc::syscall(libc::SYS_write, fd, bytes, length) as libc::ssize_t }
}

fn ours(fd: libc::c_int) -> Option<Tag> {
    if !RUNNING.load(Ordering::Acquire) {
        return None;
    }
    match fd {
        1 => Some(Tag::Stdout),
        2 => Some(Tag::Stderr),
        _ => None,
    }
}

fn take_text(tag: Tag, text: &[u8]) {
    if let Some(channel) = cell().as_mut() {
        match tag {
            Tag::Stdout => channel.stdout(text),
            other => channel.frame(other, text),
        }
    }
}

/// libc's `write` for every library loaded into this process.
///
/// # Safety
/// As of `write(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(
    fd: libc::c_int,
    bytes: *const libc::c_void,
    length: libc::size_t,
) -> libc::ssize_t {
    match ours(fd) {
        Some(tag) if !bytes.is_null() => {
            // SAFETY: the caller gives `length` readable bytes.
            take_text(tag, unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) });
            length as libc::ssize_t
        }
        // SAFETY: as of the caller.
        _ => unsafe { system_write(fd, bytes, length) },
    }
}

/// libc's `writev` for every library loaded into this process.
///
/// # Safety
/// As of `writev(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(
    fd: libc::c_int,
    parts: *const libc::iovec,
    count: libc::c_int,
) -> libc::ssize_t {
    match ours(fd) {
        Some(tag) if !parts.is_null() => {
            let mut text = Vec::new();
            for i in 0..usize::try_from(count).unwrap_or(0) {
                // SAFETY: the caller gives `count` parts of readable bytes.
                unsafe {
                    let part = &*parts.add(i);
                    if part.iov_len > 0 {
                        text.extend_from_slice(std::slice::from_raw_parts(
                            part.iov_base.cast::<u8>(),
                            part.iov_len,
                        ));
                    }
                }
            }
            take_text(tag, &text);
            text.len() as libc::ssize_t
        }
        // SAFETY: as of the caller.
        _ => unsafe { libc::syscall(libc::SYS_writev, fd, parts, count) as libc::ssize_t },
    }
}

/// The door through which `spinbot::cell` sends its messages.
///
/// # Safety
/// `bytes` points at `length` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spinbot_cell_send(bytes: *const u8, length: usize) {
    if !bytes.is_null() {
        // SAFETY: promised by the caller.
        send(Tag::Message, unsafe { std::slice::from_raw_parts(bytes, length) });
    }
}
