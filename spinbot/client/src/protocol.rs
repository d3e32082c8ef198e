//! What kernel and engine say to each other: one JSON value a line, over the engine's Unix socket.
//!
//! A connection starts with [`Request::Hello`]. Every request gets exactly one [`Response`], except
//! [`Request::Follow`], which gets the job's events as they come until the terminal one.

use crate::event::{ArtifactRef, Event, JobView};
use crate::{Digest, Fault, Plan};
use serde::{Deserialize, Serialize};

/// Raised when requests, responses, events or plans change their meaning. An engine and a kernel with different
/// numbers refuse each other with a sentence.
pub const PROTOCOL: u32 = 2;

/// From kernel to engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// First on every connection.
    Hello { protocol: u32, version: String },
    /// Validates the plan whole, copies its files into the store, queues it.
    /// Relative paths in it are meant from `folder`; errors name them as typed.
    Submit {
        plan: Plan,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<std::path::PathBuf>,
    },
    /// Streams the job's events from position `from` to the terminal one.
    Follow { job: String, from: u64 },
    /// Asks a queued or running job to stop.
    Cancel { job: String },
    /// The last jobs, newest first, each folded without its curves and log lines.
    Jobs { limit: usize },
    /// One artifact by digest.
    Artifact { digest: Digest },
    /// What the engine is and does now.
    Status,
    /// Stop the engine: the running job is cancelled first.
    Shutdown,
}

/// From engine to kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    /// To `Hello`.
    Welcome { protocol: u32, version: String, pid: u32 },
    /// To `Submit`.
    Submitted { job: String },
    /// To `Follow`, many.
    Event { event: Event },
    /// To `Jobs`.
    Jobs { jobs: Vec<JobView> },
    /// To `Artifact`.
    Artifact { artifact: ArtifactRef },
    /// To `Status`.
    Status { status: EngineStatus },
    /// To `Cancel` and `Shutdown`.
    Ok,
    /// To any request that could not be met.
    Refused { fault: Fault },
}

/// What an engine is and does now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// The crate version.
    pub version: String,
    /// Process ids of the engine and its worker, if one is alive.
    pub pid: u32,
    pub worker_pid: Option<u32>,
    /// The running job and how many wait.
    pub running: Option<String>,
    pub queued: usize,
    /// Seconds since it started.
    pub uptime: f64,
    /// The folder of its store.
    pub store: std::path::PathBuf,
}
