//! `%%bash`: runs a shell script beside the notebook.

use crate::error::{Failure, MagicError};
use crate::session::StreamName;
use crate::spec::{Arg, BodyKind, Example, Kind};
use crate::{Call, Magic, Session};
use spinbot::Fault;
use std::io::{ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

pub(crate) struct Bash;

const ARGS: &[Arg] = &[Arg::positional("script", "SCRIPT", Kind::Code, "The script to run.").required()];

/// How often the stop button is looked at while the script is silent.
const GLANCE: Duration = Duration::from_millis(50);
/// Pieces of output that may wait to be shown; a script that writes faster is held back.
const WAITING: usize = 64;

impl Magic for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn summary(&self) -> &'static str {
        "Runs the lines below it in bash."
    }

    fn details(&self) -> &'static str {
        "It runs in the notebook's folder, without input; what it prints is shown as it comes. A failing script \
         is an error of the cell. The stop button ends it with everything it started."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn body(&self) -> BodyKind {
        BodyKind::TextOnly("script")
    }

    fn examples(&self) -> &'static [Example] {
        &[Example { cell: "%%bash\nfor n in 1 2 3; do echo \"take $n\"; done", about: "Print three lines." }]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let started = Script::start(call.text("script").unwrap_or_default(), cx.cwd());
        let mut script = started.map_err(|fault| call.fault(fault))?;
        loop {
            if cx.interrupted() {
                // Dropping it ends it.
                return Err(Failure::Interrupted);
            }
            match script.output.recv_timeout(GLANCE) {
                Ok((stream, text)) => cx.stream(stream, &text),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // A script may close its outputs and go on.
        let status = loop {
            if cx.interrupted() {
                return Err(Failure::Interrupted);
            }
            match script.ended() {
                Ok(Some(status)) => break status,
                Ok(None) => std::thread::sleep(GLANCE),
                Err(e) => return Err(call.fault(Fault::new(format!("bash was lost: {e}"))).into()),
            }
        };
        match status.success() {
            true => Ok(()),
            false => Err(MagicError::at(call.head(), format!("the script failed with {status}"))
                .help("what it printed is above; `|| true` behind a command lets it fail")
                .into()),
        }
    }
}

/// A script. Dropping it while it runs ends it and everything it started; what it left running when it ended stays.
struct Script {
    child: Child,
    /// Whether `child` was waited for: from then on its number may be another's.
    waited: bool,
    /// What it prints; closes when nobody can print any more.
    output: Receiver<(StreamName, String)>,
}

impl Script {
    fn start(text: &str, folder: &Path) -> Result<Self, Fault> {
        let failed = |e: std::io::Error| match e.kind() {
            ErrorKind::NotFound => Fault::new("bash is not installed here, or the notebook's folder is gone"),
            _ => Fault::new(format!("bash cannot be started: {e}")),
        };
        let mut child = Command::new("bash")
            // As an argument, not as input: the script's own commands would read the rest of it.
            .args(["-c", text])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that all of it can be ended.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (sender, output) = sync_channel(WAITING);
        if let Some(stdout) = child.stdout.take() {
            pump(stdout, StreamName::Stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            pump(stderr, StreamName::Stderr, sender);
        }
        Ok(Script { child, waited: false, output })
    }

    /// How it ended, once it has.
    fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.waited = status.is_some();
        Ok(status)
    }
}

impl Drop for Script {
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
