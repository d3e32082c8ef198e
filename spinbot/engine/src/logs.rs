//! Log files of bounded size.

use crate::EngineError;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A log is set aside as `.1` when it reaches this many bytes; one older piece is kept.
pub(crate) const LARGEST_LOG: u64 = 1 << 20;

/// A log file, 0600, that starts anew when it is full.
#[derive(Debug)]
pub(crate) struct RollingLog {
    path: PathBuf,
    inner: Mutex<Option<(File, u64)>>,
}

impl RollingLog {
    pub(crate) fn open(path: PathBuf) -> Result<Self, EngineError> {
        let (file, size) = open_log(&path)?;
        Ok(RollingLog { path, inner: Mutex::new(Some((file, size))) })
    }

    /// Appends a line. A log that cannot be written is no reason to stop working: the line is lost.
    pub(crate) fn line(&self, text: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.as_ref().is_none_or(|(_, size)| *size >= LARGEST_LOG) {
            *inner = open_log(&self.path).ok();
        }
        if let Some((file, size)) = inner.as_mut() {
            let line = format!("{text}\n");
            if file.write_all(line.as_bytes()).is_ok() {
                *size += line.len() as u64;
            }
        }
    }
}

/// Opens a log for appending, setting a full one aside first; also gives its size.
pub(crate) fn open_log(path: &Path) -> Result<(File, u64), EngineError> {
    if fs::metadata(path).is_ok_and(|m| m.len() >= LARGEST_LOG) {
        let mut old = path.as_os_str().to_owned();
        old.push(".1");
        fs::rename(path, old).map_err(EngineError::io("cannot set aside", path))?;
    }
    let mut options = fs::OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).open(path);
    let file = file.map_err(EngineError::io("cannot write", path))?;
    let size = file.metadata().map_or(0, |m| m.len());
    Ok((file, size))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_set_aside_and_never_grows_past_two_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.log");
        let log = RollingLog::open(path.clone()).unwrap();
        let line = "x".repeat(10_000);
        for _ in 0..350 {
            log.line(&line);
        }
        let sizes: Vec<u64> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|s| *s <= LARGEST_LOG + 10_001), "{sizes:?}");
        log.line("last");
        assert!(fs::read_to_string(&path).unwrap().ends_with("last\n"));
    }
}
