//! `%cancel`: stops a job.

use crate::error::Failure;
use crate::session::StreamName;
use crate::spec::{Arg, Example, Kind};
use crate::{Call, Magic, Session};
use spinbot::Fault;

pub(crate) struct Cancel;

const ARGS: &[Arg] =
    &[Arg::positional("job", "ID", Kind::Text, "The job's id, or as much of its beginning as is needed.")
        .required()];

/// How far back an abbreviated id is looked for.
const RECENT: usize = 200;

impl Magic for Cancel {
    fn name(&self) -> &'static str {
        "cancel"
    }

    fn summary(&self) -> &'static str {
        "Stops a queued or running job."
    }

    fn details(&self) -> &'static str {
        "It stops within seconds and leaves nothing half-written. A job that has ended stays as it is."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn examples(&self) -> &'static [Example] {
        &[Example { cell: "%cancel 0f2k", about: "Stop the job whose id begins with 0f2k." }]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let typed = call.text("job").unwrap_or_default();
        let fault = |fault: Fault| Failure::from(call.fault(fault.about("job")));
        let mut engine = cx.jobs().map_err(|f| call.fault(f))?;
        let ids: Vec<String> = engine.list(RECENT).map_err(fault)?.into_iter().map(|view| view.job).collect();
        let id = match ids.iter().filter(|id| id.starts_with(typed)).collect::<Vec<_>>().as_slice() {
            [one] => (*one).clone(),
            [] => {
                let none = Fault::new(format!("there is no job {typed}")).help("`%jobs` lists them");
                return Err(fault(none));
            }
            _ if ids.iter().any(|id| id == typed) => typed.to_owned(),
            [first, second, ..] => {
                let which = format!("{typed} begins more than one job: {first}, {second}");
                return Err(fault(Fault::new(which).help("write more of the id")));
            }
        };
        engine.cancel(&id).map_err(fault)?;
        cx.stream(StreamName::Stdout, &format!("asked job {id} to stop\n"));
        Ok(())
    }
}
