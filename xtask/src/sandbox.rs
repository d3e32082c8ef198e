//! A home of its own for every run: no test sees the user's data, and nothing started in it outlives it.

use crate::setup::Places;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A fresh `SPINBOT_HOME`; dropped, it ends every process that carries it and removes the folder.
#[derive(Debug)]
pub(crate) struct Sandbox {
    home: PathBuf,
    cache: PathBuf,
}

impl Sandbox {
    /// It lies in the temporary folder and not in the target folder, because it holds sockets, whose paths have
    /// room for 107 bytes, and the workspace of cells, which may not lie below another cargo workspace. The cache
    /// is new every time too, so that every run sees what a first user sees; only the fetched models are those of
    /// earlier runs.
    pub(crate) fn new(places: &Places) -> Result<Self> {
        let home = std::env::temp_dir().join(format!("spinbot-test-{}", std::process::id()));
        let cache = home.join("cache");
        std::fs::create_dir_all(&home)?;
        std::fs::create_dir_all(&cache)?;
        let models = places.model_cache().join("models");
        std::fs::create_dir_all(&models)?;
        std::os::unix::fs::symlink(models, cache.join("models"))?;
        Ok(Sandbox { home, cache })
    }

    /// Points a command at it.
    pub(crate) fn enter<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SPINBOT_HOME", &self.home).env("SPINBOT_CACHE", &self.cache)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let end = Instant::now() + Duration::from_secs(5);
        for signal in ["-TERM", "-KILL"] {
            let inhabitants = inhabitants(&self.home);
            if inhabitants.is_empty() {
                break;
            }
            // One that has ended meanwhile makes `kill` complain; that is no news.
            let _ = Command::new("kill").arg(signal).args(inhabitants).output();
            while signal == "-TERM" && Instant::now() < end && !self::inhabitants(&self.home).is_empty() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        if let Err(error) = std::fs::remove_dir_all(&self.home) {
            eprintln!("{} is left behind: {error}", self.home.display());
        }
    }
}

/// Process ids, as text, of those that were started with this home or one below it.
fn inhabitants(home: &Path) -> Vec<String> {
    let mark = [b"SPINBOT_HOME=", home.as_os_str().as_encoded_bytes()].concat();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|entry| {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| {
                variable.strip_prefix(&mark[..]).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
            })
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .collect()
}
