//! The engine: one process per user and machine that queues jobs, keeps what they make, and explains both.
//!
//! It outlives kernels and notebooks, is found through one socket, and leaves when idle. It is the only crate
//! that touches the store; it knows nothing of tensors: steps run in a worker, a child process whose death
//! fails one job and nothing else.
//!
//! | file | what lives there |
//! |---|---|
//! | `serve` | the process: locks, socket, clients, idleness, signals, shutdown |
//! | `connection` | one client's conversation |
//! | `intake` | validation of a submitted plan, and the copy of its files |
//! | `jobs`, `journal` | the queue, the index, one append-only journal a job |
//! | `scheduler`, `dispatch`, `progress` | walking a plan's steps, running one in the worker, saying how far |
//! | `store`, `key` | artifacts by hash, manifests, step results by content key |
//! | `worker` | the pipe to the worker, and the worker's own loop |
//! | `catalogue` | what steps exist; the one door to `spinbot-studio` |
//!
//! ```no_run
//! # fn main() -> Result<(), spinbot_engine::EngineError> {
//! // What `spinbot engine` does; the same binary is the worker.
//! let spinbot = std::env::current_exe().unwrap_or_else(|_| "spinbot".into());
//! spinbot_engine::serve(spinbot_engine::Options::standard(&spinbot))
//! # }
//! ```

mod catalogue;
mod connection;
mod dispatch;
mod error;
mod intake;
mod jobs;
mod journal;
mod key;
mod lineage;
mod lines;
mod logs;
mod progress;
mod scheduler;
mod serve;
mod store;
mod worker;

pub use catalogue::{Catalogue, Studio};
pub use error::EngineError;
pub use serve::{Options, serve, serve_with, start_in_background};
pub use worker::{worker_main, worker_main_with};
