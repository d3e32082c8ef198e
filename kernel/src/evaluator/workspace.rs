//! The cargo workspace in which cells are compiled: built once per version of SpinBot, copied for each kernel.
//!
//! evcxr wants a folder of its own per kernel. Building the `spinbot` crate and its three dependencies into it
//! costs seconds, copying the result a tenth of one. Nothing here evaluates anything.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

include!(concat!(env!("OUT_DIR"), "/client_sources.rs"));

/// What a cell's crate may use, and evcxr's own build of it.
const CLIENT_MANIFEST: &str = r#"[package]
name = "spinbot"
version = "@version@"
edition = "2024"

[dependencies]
base64 = "0.22"
serde = { version = "1", features = ["derive"] }
serde_json = "1"

[workspace]
"#;

/// The crates a cell's result passes through run optimised; the cell itself compiles at opt-level 0.
const CARGO_CONFIG: &str = r#"[profile.dev.package.base64]
opt-level = 2
[profile.dev.package.serde_json]
opt-level = 2
"#;

/// The evaluator's part of the cache. Cargo finds its configuration here from every folder below.
fn root() -> PathBuf {
    spinbot::home::cache_dir().join("evaluator")
}

/// The folder this process compiles its cells in.
pub(crate) fn own_folder() -> PathBuf {
    root().join(format!("kernel-{}", std::process::id()))
}

/// Removes this process's folder, at its end.
pub(crate) fn remove_own_folder() {
    // What cannot be removed now is swept by the next kernel.
    let _ = fs::remove_dir_all(own_folder());
}

/// A folder that passes for the sources of std and holds none: rust-analyzer then starts in half a second
/// instead of three and takes 130 MB instead of 490, at the cost of completing std's own names.
pub(crate) fn empty_std() -> PathBuf {
    root().join("no-std-sources")
}

/// A `Cargo.toml` above the evaluator's folders: cargo would take a cell for a stray member of that workspace.
pub(crate) fn workspace_above() -> Option<PathBuf> {
    root().ancestors().map(|folder| folder.join("Cargo.toml")).find(|manifest| manifest.exists())
}

/// The pre-warmed workspace of one version of SpinBot and one compiler.
#[derive(Debug, Clone)]
pub(crate) struct Warm {
    folder: PathBuf,
}

impl Warm {
    /// Its place, built or not.
    pub(crate) fn locate(rustc_version: &str) -> Warm {
        use std::hash::{Hash, Hasher};
        // Only names a cache folder: any change of the sources, the lock file or the compiler gives another.
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        (CLIENT_SOURCES, CARGO_LOCK, CLIENT_MANIFEST, CARGO_CONFIG, rustc_version).hash(&mut hasher);
        Warm { folder: root().join(format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), hasher.finish())) }
    }

    /// Whether it was built to the end.
    pub(crate) fn is_built(&self) -> bool {
        self.template().exists()
    }

    /// The `spinbot` crate's folder, named in the cell's `Cargo.toml`.
    pub(crate) fn client(&self) -> PathBuf {
        self.folder.join("spinbot")
    }

    fn template(&self) -> PathBuf {
        self.folder.join("template")
    }

    /// Writes the `spinbot` crate's sources, and this process's folder with nothing built in it.
    pub(crate) fn lay_out(&self) -> io::Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        let client = self.client();
        fs::create_dir_all(client.join("src"))?;
        fs::write(
            client.join("Cargo.toml"),
            CLIENT_MANIFEST.replace("@version@", env!("CARGO_PKG_VERSION")),
        )?;
        for (name, source) in CLIENT_SOURCES {
            let file = client.join("src").join(name);
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(file, source)?;
        }
        fs::create_dir_all(own_folder())?;
        // The versions SpinBot itself was built with: on that machine they need no network.
        fs::write(own_folder().join("Cargo.lock"), CARGO_LOCK)
    }

    /// Keeps what this process has built for the kernels to come.
    pub(crate) fn keep(&self) -> io::Result<()> {
        let partial = self.folder.join("template.partial");
        copy_tree(&own_folder(), &partial)?;
        fs::rename(&partial, self.template())
    }

    /// Copies the template to this process's folder.
    pub(crate) fn copy(&self) -> io::Result<()> {
        copy_tree(&self.template(), &own_folder())
    }
}

/// Makes the folders every kernel needs and removes those of kernels that are gone.
pub(crate) fn tidy() -> io::Result<()> {
    fs::create_dir_all(empty_std().join("core"))?;
    fs::create_dir_all(root().join(".cargo"))?;
    let config = root().join(".cargo/config.toml");
    if fs::read_to_string(&config).ok().as_deref() != Some(CARGO_CONFIG) {
        fs::write(config, CARGO_CONFIG)?;
    }
    for entry in fs::read_dir(root())?.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix("kernel-")).and_then(|n| n.parse::<u32>().ok());
        if pid.is_some_and(|pid| pid == std::process::id() || !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another kernel may be sweeping the same folder: whoever comes second finds it gone.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// Copies a folder with its times, by which cargo knows what is fresh. Build products are replaced, never written
/// in place, so they are linked instead of copied.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_file() {
            let product = source.extension().is_some_and(|e| e == "rlib" || e == "rmeta" || e == "so");
            if product && fs::hard_link(&source, &target).is_ok() {
                continue;
            }
            fs::copy(&source, &target)?;
            let times = fs::metadata(&source)?;
            let times = fs::FileTimes::new().set_modified(times.modified()?).set_accessed(times.accessed()?);
            fs::File::options()
                .write(true)
                .open(&target)
                .or_else(|_| fs::File::open(&target))?
                .set_times(times)?;
        }
    }
    let times = fs::metadata(from)?;
    fs::File::open(to)?.set_times(fs::FileTimes::new().set_modified(times.modified()?))
}

/// Holds a lock on the evaluator's cache for as long as it lives, so that two first kernels do not both warm up.
pub(crate) struct Lock(#[allow(dead_code, reason = "held for its lock")] fs::File);

impl Lock {
    /// Waits for the lock.
    pub(crate) fn wait() -> io::Result<Lock> {
        fs::create_dir_all(root())?;
        let file = fs::File::options().create(true).truncate(false).write(true).open(root().join("lock"))?;
        file.lock()?;
        Ok(Lock(file))
    }
}

/// Creates a folder only its owner may look into.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    // SAFETY of the design: somebody else's folder under our name must not be used for sockets.
    let owner = fs::metadata(path)?.uid();
    let own = fs::metadata("/proc/self").map_or(owner, |m| m.uid());
    if owner != own {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} belongs to user {owner}, not to user {own}", path.display()),
        ));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}
