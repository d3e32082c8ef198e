//! One step in the worker: hands it over, passes on what it says, stops it when asked, explains its death.

use crate::EngineError;
use crate::journal::Record;
use crate::progress::Progress;
use crate::store::{MadeBy, Store};
use crate::worker::{FromWorker, Said, Task, TaskOutput, Worker, WorkerCommand};
use spinbot::Fault;
use spinbot::event::{ArtifactRef, EventBody};
use spinbot_studio::Kind;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a step may take to see that it was cancelled before its worker is killed.
const CANCEL_PATIENCE: Duration = Duration::from_secs(3);
/// How often the wish to cancel is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The one worker: started when first needed, kept warm, replaced when it dies.
#[derive(Debug)]
pub(crate) struct Bench {
    command: WorkerCommand,
    worker: Option<Worker>,
    /// Whether it was given a task and has not said how it ended.
    busy: bool,
    /// The worker's process id for the status, 0 without one.
    pid: std::sync::Arc<AtomicU32>,
}

/// A step about to run.
pub(crate) struct Errand<'a> {
    pub record: &'a Record,
    pub step: &'a str,
    pub kind: &'a Kind,
    pub task: Task,
    /// For the manifests of what it makes; the seconds are filled in here.
    pub made_by: MadeBy,
}

/// What a step left.
pub(crate) struct Ended {
    pub outputs: BTreeMap<String, ArtifactRef>,
    /// Whether they stand for all runs of the same step.
    pub lasting: bool,
}

/// A task in a worker's hands.
struct Handed {
    /// The worker's number for it.
    number: u64,
    /// Whether the worker was kept warm from an earlier task. Such a one may have died unseen.
    rested: bool,
}

/// Why a step left no outputs.
#[derive(Debug)]
pub(crate) enum Stopped {
    Failed(Fault),
    Cancelled,
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Self {
        Stopped::Failed(error.into())
    }
}

impl Bench {
    pub(crate) fn new(command: WorkerCommand, pid: std::sync::Arc<AtomicU32>) -> Self {
        Bench { command, worker: None, busy: false, pid }
    }

    /// Runs one step and puts its outputs into the store.
    pub(crate) fn run(
        &mut self,
        errand: Errand<'_>,
        store: &Store,
        progress: &mut Progress,
    ) -> Result<Ended, Stopped> {
        let ended = self.run_to_its_end(errand, store, progress);
        if self.busy {
            // Given up from our side (a full disk): what it still says would be taken for the next step's.
            self.dismiss();
        }
        ended
    }

    fn run_to_its_end(
        &mut self,
        errand: Errand<'_>,
        store: &Store,
        progress: &mut Progress,
    ) -> Result<Ended, Stopped> {
        let Errand { record, step, kind, task, mut made_by } = errand;
        let scratch = task.scratch.clone();
        let started = Instant::now();
        let mut handed = self.hand_over(&task)?;
        let mut begun = false;
        let mut asked_to_stop: Option<Instant> = None;
        loop {
            let Some(worker) = &mut self.worker else { return Err(Stopped::Failed(self.died(kind.kind))) };
            if record.cancel_requested() {
                match asked_to_stop {
                    // A worker that cannot be told is dying; the next word will be its death.
                    None => drop(worker.cancel(handed.number)),
                    Some(since) if since.elapsed() >= CANCEL_PATIENCE => {
                        worker.kill();
                        self.dismiss();
                        return Err(Stopped::Cancelled);
                    }
                    Some(_) => {}
                }
                asked_to_stop.get_or_insert_with(Instant::now);
            }
            let word = match worker.hear(LOOK) {
                Said::Silence => continue,
                Said::Word(word) => word,
                Said::Gone | Said::Garbled(_) if asked_to_stop.is_some() => {
                    self.dismiss();
                    return Err(Stopped::Cancelled);
                }
                Said::Gone if handed.rested && !begun => {
                    // It was dead or dying when it was given the task: nothing of the step has run.
                    self.dismiss();
                    handed = self.hand_over(&task)?;
                    continue;
                }
                Said::Gone => return Err(Stopped::Failed(self.died(kind.kind))),
                Said::Garbled(what) => {
                    worker.kill();
                    self.dismiss();
                    return Err(Stopped::Failed(
                        Fault::new(format!(
                            "the worker said something unreadable while it ran `{step}`: {what}"
                        ))
                        .help("run it again"),
                    ));
                }
            };
            use FromWorker::{Cancelled, Fault as Failed, Outputs, Panicked};
            self.busy = !matches!(word, Outputs { .. } | Failed { .. } | Panicked { .. } | Cancelled);
            let step_name = step.to_owned();
            match word {
                FromWorker::Begun => begun = true,
                FromWorker::Progress { done, total, unit } => {
                    if let Some(event) = progress.said(step, done, total, &unit, Instant::now()) {
                        record.append(event)?;
                    }
                }
                FromWorker::Metric { name, at, value } => {
                    record.append(EventBody::Metric { step: step_name, name, at, value })?;
                }
                FromWorker::Text { name, from, text } => {
                    record.append(EventBody::Text { step: step_name, name, from, text })?;
                }
                FromWorker::Log { line } => record.append(EventBody::Log { step: step_name, line })?,
                FromWorker::Preview { name, media_type, file } => {
                    made_by.seconds = started.elapsed().as_secs_f64();
                    let artifact =
                        store.keep_output(&inside(&scratch, &file)?, &media_type, &name, &made_by)?;
                    record.append(EventBody::Preview { step: step_name, name, artifact })?;
                }
                FromWorker::Outputs { outputs, lasting } => {
                    made_by.seconds = started.elapsed().as_secs_f64();
                    let outputs = keep_outputs(store, kind, &scratch, outputs, &made_by)?;
                    return Ok(Ended { outputs, lasting });
                }
                FromWorker::Fault { fault } => return Err(Stopped::Failed(fault)),
                FromWorker::Cancelled => return Err(Stopped::Cancelled),
                FromWorker::Panicked { message } => {
                    self.dismiss();
                    return Err(Stopped::Failed(
                        Fault::new(format!("the step `{}` failed inside: {message}", kind.kind))
                            .help("this is a fault of SpinBot's; other jobs are not touched by it"),
                    ));
                }
            }
        }
    }

    /// Lets the worker go. The next step starts another.
    pub(crate) fn dismiss(&mut self) {
        self.worker = None;
        self.busy = false;
        self.pid.store(0, Ordering::Relaxed);
    }

    /// Gives the task to the worker. One that died while it had nothing to do is replaced without a word.
    fn hand_over(&mut self, task: &Task) -> Result<Handed, Stopped> {
        if let Some(worker) = self.worker.as_mut().filter(|_| !self.busy)
            && worker.alive()
            && let Ok(number) = worker.run(task.clone())
        {
            self.busy = true;
            return Ok(Handed { number, rested: true });
        }
        self.dismiss();
        let mut worker = self.command.start()?;
        self.pid.store(worker.pid(), Ordering::Relaxed);
        let given = worker.run(task.clone());
        self.worker = Some(worker);
        self.busy = true;
        match given {
            Ok(number) => Ok(Handed { number, rested: false }),
            Err(_) => Err(Stopped::Failed(self.died(&task.kind))),
        }
    }

    /// The sentence about a worker that died on a step.
    fn died(&mut self, kind: &str) -> Fault {
        self.busy = false;
        self.pid.store(0, Ordering::Relaxed);
        let (how, words) = match self.worker.take() {
            Some(worker) => worker.death(),
            None => ("was gone".to_owned(), None),
        };
        let words = words.map_or(String::new(), |words| format!("; it last said: {words}"));
        Fault::new(format!("the worker {how} while it ran `{kind}`{words}"))
            .help("if the machine ran out of memory, try --preset draft; the job can be run again")
    }
}

fn keep_outputs(
    store: &Store,
    kind: &Kind,
    scratch: &Path,
    outputs: Vec<TaskOutput>,
    made_by: &MadeBy,
) -> Result<BTreeMap<String, ArtifactRef>, Stopped> {
    let mut kept = BTreeMap::new();
    for output in outputs {
        let artifact =
            store.keep_output(&inside(scratch, &output.file)?, &output.media_type, &output.name, made_by)?;
        kept.insert(output.name, artifact);
    }
    let promised =
        kind.outputs.iter().all(|name| kept.contains_key(*name)) && kept.len() == kind.outputs.len();
    if promised {
        return Ok(kept);
    }
    let left: Vec<&str> = kept.keys().map(String::as_str).collect();
    Err(Stopped::Failed(Fault::new(format!(
        "the step `{}` left {} where it should leave {}",
        kind.kind,
        if left.is_empty() { "nothing".to_owned() } else { left.join(", ") },
        kind.outputs.join(", ")
    ))))
}

/// A file of the scratch folder by its plain name.
fn inside(scratch: &Path, file: &str) -> Result<PathBuf, Stopped> {
    let mut parts = Path::new(file).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => Ok(scratch.join(name)),
        _ => {
            Err(Stopped::Failed(Fault::new(format!("the worker named a file outside of its folder: {file}"))))
        }
    }
}
