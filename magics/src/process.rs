//! A program run beside the notebook: its output passed on as it comes, the stop button heeded.
//!
//! Which program, and what its end means, is the magic's own business.

use crate::error::{Failure, MagicError};
use crate::session::{Session, StreamName};
use spinbot::Fault;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How often the stop button is looked at while the program is silent.
const GLANCE: Duration = Duration::from_millis(50);
/// Pieces of output that may wait to be shown; a program that writes faster is held back.
const WAITING: usize = 64;

/// A program. Dropping it while it runs ends it and everything it started; what it left running when it ended stays.
pub(crate) struct Process {
    child: Child,
    /// Whether `child` was waited for: from then on its number may be another's.
    waited: bool,
    /// What it prints; closes when nobody can print any more.
    output: Receiver<(StreamName, String)>,
}

impl Process {
    /// Starts it, without input.
    ///
    /// # Errors
    /// The system's own.
    pub(crate) fn start(mut command: Command) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that all of it can be ended.
            .process_group(0)
            .spawn()?;
        let (sender, output) = sync_channel(WAITING);
        if let Some(stdout) = child.stdout.take() {
            pump(stdout, StreamName::Stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            pump(stderr, StreamName::Stderr, sender);
        }
        Ok(Process { child, waited: false, output })
    }

    /// Hands on what it prints until it ends.
    ///
    /// # Errors
    /// The stop button, which ends it; or that it was lost.
    pub(crate) fn follow(
        mut self,
        cx: &mut dyn Session,
        mut said: impl FnMut(&mut dyn Session, StreamName, &str),
    ) -> Result<ExitStatus, Failure> {
        loop {
            if cx.interrupted() {
                // Dropping it ends it.
                return Err(Failure::Interrupted);
            }
            match self.output.recv_timeout(GLANCE) {
                Ok((stream, text)) => said(cx, stream, &text),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // A program may close its outputs and go on.
        loop {
            if cx.interrupted() {
                return Err(Failure::Interrupted);
            }
            match self.ended() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => std::thread::sleep(GLANCE),
                Err(e) => {
                    let lost = Fault::new(format!("the program that was started was lost: {e}"));
                    return Err(MagicError::from(lost).into());
                }
            }
        }
    }

    /// How it ended, once it has.
    fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.waited = status.is_some();
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.waited {
            return;
        }
        // Through a shell's own `kill`, because the standard library has none for groups. What cannot be ended has
        // ended already.
        let group = format!("kill -KILL -- -{}", self.child.id());
        let _ = Command::new("bash").args(["-c", &group]).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes a pipe on as text until it closes or nobody listens.
fn pump(mut pipe: impl Read + Send + 'static, name: StreamName, sender: SyncSender<(StreamName, String)>) {
    std::thread::spawn(move || {
        let (mut buffer, mut pending) = ([0; 8192], Vec::new());
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            pending.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let text = whole_characters(&mut pending);
            if !text.is_empty() && sender.send((name, text)).is_err() {
                return;
            }
        }
        if !pending.is_empty() {
            // Nobody listening any more is no error at the end.
            let _ = sender.send((name, String::from_utf8_lossy(&pending).into_owned()));
        }
    });
}

/// Takes the text out of `pending`, but for a character at its end of which bytes are still to come.
fn whole_characters(pending: &mut Vec<u8>) -> String {
    let cut_short = |bytes: &[u8]| std::str::from_utf8(bytes).is_err_and(|e| e.error_len().is_none());
    let last = pending.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    let left = if cut_short(last) { last.len() } else { 0 };
    let rest = pending.split_off(pending.len() - left);
    let text = String::from_utf8_lossy(pending).into_owned();
    *pending = rest;
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_cut_by_the_pipe_arrives_whole() {
        let mut pending = "a写".as_bytes()[..3].to_vec();
        assert_eq!(whole_characters(&mut pending), "a");
        pending.push("写".as_bytes()[2]);
        assert_eq!(whole_characters(&mut pending), "写");
        assert!(pending.is_empty());
        let mut broken = b"a\xffb".to_vec();
        assert_eq!(whole_characters(&mut broken), "a\u{fffd}b");
    }
}
