//! `%jobs`: the engine's last jobs.

use crate::error::Failure;
use crate::spec::{Arg, Example, Kind};
use crate::{Call, Magic, Session, view};

pub(crate) struct Jobs;

const ARGS: &[Arg] =
    &[Arg::flag("last", "N", Kind::Int { min: 1, max: 1000 }, "How many, newest first.").default("20")];

impl Magic for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }

    fn summary(&self) -> &'static str {
        "Shows the last jobs: how far they are, how long they took, why they failed."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn examples(&self) -> &'static [Example] {
        &[
            Example { cell: "%jobs", about: "Show the last twenty." },
            Example { cell: "%jobs --last 3", about: "Show the last three." },
        ]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let last = call.int("last").and_then(|n| usize::try_from(n).ok()).unwrap_or(20);
        let jobs = cx.jobs().and_then(|mut engine| engine.list(last)).map_err(|fault| call.fault(fault))?;
        cx.display(&view::jobs(&jobs), None);
        Ok(())
    }
}
