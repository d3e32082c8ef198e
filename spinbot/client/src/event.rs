//! Events of a job and the fold that turns them into what is seen.
//!
//! A job's journal is a list of events, one JSON line each. A view is a fold over them, so that attaching late
//! or reading a finished job shows the same as having watched it.

use crate::{Digest, Fault, Plan, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One line of a job's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The job.
    pub job: String,
    /// Position in the journal, from 0 without gaps.
    pub seq: u64,
    /// Unix time in seconds.
    pub at: f64,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// An artifact as an event names it: enough to show it without asking the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// MIME type, e.g. `video/mp4`.
    pub media_type: String,
    /// Size in bytes.
    pub size: u64,
    /// Where the bytes lie on this machine.
    pub path: PathBuf,
}

impl ArtifactRef {
    /// Its bytes.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.path).map_err(|e| self.unreadable(&e))
    }

    /// Its bytes as text.
    ///
    /// # Errors
    /// When the file is gone or no text.
    pub fn text(&self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|e| self.unreadable(&e))
    }

    /// What it holds as JSON.
    ///
    /// # Errors
    /// When the file is gone or holds something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.bytes()?).map_err(|e| self.unreadable(&e))
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> Fault {
        Fault::new(format!("{}: {error}", self.path.display()))
    }
}

/// What happened to a job. Exactly one of `Done`, `Failed`, `Cancelled` ends every journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventBody {
    /// Accepted; waits for its turn.
    Queued { plan: Plan },
    /// Its first step is about to be looked at.
    Started,
    /// A step begins to compute.
    StepStarted { step: String },
    /// A step's result was already in the store.
    StepCached { step: String },
    /// How far the whole job is: `fraction` is in 0..=1 and never falls within a job.
    Progress {
        step: String,
        fraction: f64,
        /// Units done and to do within the step (frames, bytes, steps).
        done: f64,
        total: f64,
        unit: String,
        /// Units per second in this step, once known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rate: Option<f64>,
        /// Seconds to the end of this step, once known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        eta: Option<f64>,
    },
    /// One value of a named curve.
    /// (`at` is `x` on the line: the event's own time is called `at` there.)
    Metric {
        step: String,
        name: String,
        #[serde(rename = "x")]
        at: f64,
        value: f64,
    },
    /// Something to look at before the end.
    Preview { step: String, name: String, artifact: ArtifactRef },
    /// A text that is being written: what was said of it so far is kept up to the byte `from`, then `text` follows.
    Text { step: String, name: String, from: usize, text: String },
    /// A line for the log.
    Log { step: String, line: String },
    /// A step's output is in the store.
    Artifact { step: String, output: String, artifact: ArtifactRef },
    /// The end: `result` is the plan's result; `seconds` is wall time since `Started`.
    Done { result: ArtifactRef, seconds: f64 },
    /// The end, with its reason. `step` is missing when no step was running.
    Failed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        fault: Fault,
    },
    /// The end, at the user's wish.
    Cancelled,
}

impl EventBody {
    /// Whether the journal ends here.
    pub fn is_terminal(&self) -> bool {
        matches!(self, EventBody::Done { .. } | EventBody::Failed { .. } | EventBody::Cancelled)
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its turn.
    #[default]
    Queued,
    /// A worker is at it.
    Running,
    /// Ended with a result.
    Done,
    /// Ended with a reason.
    Failed,
    /// Ended at the user's wish.
    Cancelled,
}

/// Units done, to do, their name, units per second and seconds left.
pub type Units = (f64, f64, String, Option<f64>, Option<f64>);

impl JobState {
    /// The word for it, as tables and cards show it.
    pub fn name(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }
}

/// The fold of a job's events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// The job's id.
    pub job: String,
    /// The plan's title.
    pub title: String,
    /// Where it stands.
    pub state: JobState,
    /// 0..=1, never falling.
    pub fraction: f64,
    /// The step that last said something, and its units.
    pub step: Option<String>,
    /// Units done, to do, their name, rate and ETA of that step.
    pub units: Option<Units>,
    /// Curves by name, as (at, value).
    pub metrics: BTreeMap<String, Vec<(f64, f64)>>,
    /// Latest preview by name.
    pub previews: BTreeMap<String, ArtifactRef>,
    /// Name of the one that came last.
    #[serde(default)]
    pub newest: Option<String>,
    /// Texts that are being written, by name.
    #[serde(default)]
    pub texts: BTreeMap<String, String>,
    /// Outputs by step and name.
    pub artifacts: BTreeMap<String, BTreeMap<String, ArtifactRef>>,
    /// Steps whose result was already there.
    pub cached: Vec<String>,
    /// Log lines.
    pub log: Vec<String>,
    /// When it was queued, started, ended (Unix seconds).
    pub queued_at: f64,
    pub started_at: Option<f64>,
    pub ended_at: Option<f64>,
    /// The plan's result, once done.
    pub result: Option<ArtifactRef>,
    /// The reason, once failed.
    pub fault: Option<Fault>,
}

impl JobView {
    /// Folds one event in.
    pub fn apply(&mut self, event: &Event) {
        self.job.clone_from(&event.job);
        match &event.body {
            EventBody::Queued { plan } => {
                self.title.clone_from(&plan.title);
                self.queued_at = event.at;
            }
            EventBody::Started => {
                self.state = JobState::Running;
                self.started_at = Some(event.at);
            }
            EventBody::StepStarted { step } => {
                self.step = Some(step.clone());
                self.units = None;
            }
            EventBody::StepCached { step } => {
                self.step = Some(step.clone());
                self.cached.push(step.clone());
            }
            EventBody::Progress { step, fraction, done, total, unit, rate, eta } => {
                self.step = Some(step.clone());
                self.fraction = self.fraction.max(*fraction);
                self.units = Some((*done, *total, unit.clone(), *rate, *eta));
            }
            EventBody::Metric { name, at, value, .. } => {
                self.metrics.entry(name.clone()).or_default().push((*at, *value));
            }
            EventBody::Preview { name, artifact, .. } => {
                self.previews.insert(name.clone(), artifact.clone());
                self.newest = Some(name.clone());
            }
            EventBody::Text { name, from, text, .. } => {
                let written = self.texts.entry(name.clone()).or_default();
                let kept = (0..=(*from).min(written.len())).rev().find(|at| written.is_char_boundary(*at));
                written.truncate(kept.unwrap_or(0));
                written.push_str(text);
            }
            EventBody::Log { line, .. } => self.log.push(line.clone()),
            EventBody::Artifact { step, output, artifact } => {
                self.artifacts.entry(step.clone()).or_default().insert(output.clone(), artifact.clone());
            }
            EventBody::Done { result, .. } => {
                self.state = JobState::Done;
                self.fraction = 1.0;
                self.result = Some(result.clone());
                self.ended_at = Some(event.at);
            }
            EventBody::Failed { fault, .. } => {
                self.state = JobState::Failed;
                self.fault = Some(fault.clone());
                self.ended_at = Some(event.at);
            }
            EventBody::Cancelled => {
                self.state = JobState::Cancelled;
                self.ended_at = Some(event.at);
            }
        }
    }

    /// The plan's result.
    ///
    /// # Errors
    /// The job's own fault when it failed, that it was cancelled, or that it has not ended.
    pub fn result(&self) -> Result<&ArtifactRef> {
        match (&self.result, &self.fault, self.state) {
            (Some(result), _, _) => Ok(result),
            (None, Some(fault), _) => Err(fault.clone()),
            (None, None, JobState::Cancelled) => Err(Fault::new(format!("job {} was cancelled", self.job))),
            (None, None, state) => {
                Err(Fault::new(format!("job {} is {}", self.job, state.name())).help("wait for its end"))
            }
        }
    }

    /// One of the outputs its steps left.
    ///
    /// # Errors
    /// When there is no such output (yet).
    pub fn artifact(&self, step: &str, output: &str) -> Result<&ArtifactRef> {
        self.artifacts.get(step).and_then(|outputs| outputs.get(output)).ok_or_else(|| {
            Fault::new(format!("job {} left no `{output}` of its step `{step}`", self.job))
                .help("run it again")
        })
    }

    /// Wall seconds from its start to its end; 0 before both.
    pub fn seconds(&self) -> f64 {
        self.ended_at.zip(self.started_at).map_or(0.0, |(end, start)| end - start)
    }

    /// Folds a whole journal.
    pub fn of(events: &[Event]) -> Self {
        let mut view = JobView::default();
        events.iter().for_each(|e| view.apply(e));
        view
    }
}
