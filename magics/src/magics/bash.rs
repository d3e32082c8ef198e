//! `%%bash`: runs a shell script beside the notebook.

use crate::error::{Failure, MagicError};
use crate::process::Process;
use crate::spec::{Arg, BodyKind, Example, Kind};
use crate::{Call, Magic, Session};
use spinbot::Fault;
use std::io::ErrorKind;
use std::process::Command;

pub(crate) struct Bash;

const ARGS: &[Arg] = &[Arg::positional("script", "SCRIPT", Kind::Code, "The script to run.").required()];

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
        let mut command = Command::new("bash");
        // As an argument, not as input: the script's own commands would read the rest of it.
        command.args(["-c", call.text("script").unwrap_or_default()]).current_dir(cx.cwd());
        let script = Process::start(command).map_err(|e| call.fault(not_started(&e)))?;
        let status = script.follow(cx, |cx, stream, text| cx.stream(stream, text))?;
        match status.success() {
            true => Ok(()),
            false => Err(MagicError::at(call.head(), format!("the script failed with {status}"))
                .help("what it printed is above; `|| true` behind a command lets it fail")
                .into()),
        }
    }
}

fn not_started(error: &std::io::Error) -> Fault {
    match error.kind() {
        ErrorKind::NotFound => Fault::new("bash is not installed here, or the notebook's folder is gone"),
        _ => Fault::new(format!("bash cannot be started: {error}")),
    }
}
