//! The worker: a child process that runs steps, and the words it exchanges with the engine over two pipes.
//!
//! The engine's end is [`link`], the worker's own loop [`child`]. One JSON value a line. Bytes never cross the
//! pipes: they are files of the task's scratch folder, named by plain file names.

mod child;
mod link;

pub use child::{worker_main, worker_main_with};
pub(crate) use link::{Said, Worker, WorkerCommand};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use spinbot::{Digest, Fault};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// From engine to worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum ToWorker {
    /// Run a step. The worker runs one at a time.
    Run { task: Task },
    /// Stop that task, if it still runs.
    Cancel { number: u64 },
}

/// One step to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Rises with every task of this worker.
    pub number: u64,
    pub kind: String,
    pub params: Value,
    pub inputs: BTreeMap<String, TaskInput>,
    pub seed: u64,
    /// Where outputs and previews are put.
    pub scratch: PathBuf,
    /// What outlives the task unless it ends well. Made when it is first asked for.
    pub kept: PathBuf,
}

/// A file of the store, or a model of the user's own, that feeds a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TaskInput {
    pub path: PathBuf,
    /// What the user called it.
    pub label: String,
    pub sha256: Digest,
}

/// From worker to engine, all about the task it runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum FromWorker {
    /// It has the task and starts on it: from here on a death is the step's.
    Begun,
    Progress {
        done: f64,
        total: f64,
        unit: String,
    },
    Metric {
        name: String,
        at: f64,
        value: f64,
    },
    Preview {
        name: String,
        media_type: String,
        file: String,
    },
    /// A text that is being written, from that byte on.
    Text {
        name: String,
        from: usize,
        text: String,
    },
    Log {
        line: String,
    },
    /// The end: the step's outputs, and whether they stand for all runs of the same step.
    Outputs {
        outputs: Vec<TaskOutput>,
        lasting: bool,
    },
    /// The end: it cannot be done.
    Fault {
        fault: Fault,
    },
    /// The end: a bug. The worker leaves after saying so, since what the panic left behind is not to be trusted.
    Panicked {
        message: String,
    },
    /// The end: it was asked to stop.
    Cancelled,
}

/// One output of a task.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TaskOutput {
    pub name: String,
    pub media_type: String,
    /// Plain file name in the scratch folder.
    pub file: String,
}
