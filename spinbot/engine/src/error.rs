//! What can go wrong in the engine itself, as opposed to in a job.

use spinbot::Fault;
use std::io;
use std::path::{Path, PathBuf};

/// Why the engine, its store or its worker could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The file system refused.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done: `cannot write`.
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Another engine holds the lock.
    #[error("another engine (process {owner}) already uses {}", path.display())]
    AlreadyRunning { owner: String, path: PathBuf },
    /// An artifact is named but not there.
    #[error("the store holds no artifact {0}")]
    Missing(String),
    /// An artifact's bytes are not those it is named by.
    #[error("artifact {wanted} was damaged on disk: its bytes now hash to {got}")]
    Damaged { wanted: String, got: String },
    /// The worker could not be started.
    #[error("the worker could not be started ({command}): {source}")]
    Worker { command: String, source: io::Error },
}

impl EngineError {
    /// For `map_err`: an I/O error with what was being done to which path.
    pub(crate) fn io(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| EngineError::Io { doing, path, source }
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        let fault = Fault::new(error.to_string());
        match &error {
            EngineError::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    fault.help("the disk is full: make room, then run it again; nothing finished is lost")
                }
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                    fault.help("set SPINBOT_HOME to a folder that can be written")
                }
                _ => fault,
            },
            EngineError::AlreadyRunning { .. } => {
                fault.help("stop it with `spinbot engine --stop`, or set SPINBOT_HOME to use another store")
            }
            EngineError::Damaged { .. } => {
                fault.help("it was set aside in the store's `damaged` folder; run it again to make it anew")
            }
            EngineError::Missing(_) => fault.help("run the plan that made it again"),
            EngineError::Worker { .. } => {
                fault.help("check that `spinbot` is still where it was installed, then run it again")
            }
        }
    }
}
