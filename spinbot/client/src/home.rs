//! Where SpinBot keeps things: one folder for what it made, one for what it fetched, one for sockets.
//!
//! `SPINBOT_HOME` moves the data and the sockets (two homes never meet: each has its own engine);
//! `SPINBOT_CACHE` moves what can be fetched or built again.

use std::ffi::OsString;
use std::path::PathBuf;

fn from_env(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn user_home() -> PathBuf {
    from_env("HOME").unwrap_or_else(|| PathBuf::from("."))
}

/// Artifacts, journals and profiles: `$SPINBOT_HOME`, or `spinbot` in the user's data folder.
pub fn data_dir() -> PathBuf {
    from_env("SPINBOT_HOME").unwrap_or_else(|| {
        from_env("XDG_DATA_HOME").unwrap_or_else(|| user_home().join(".local/share")).join("spinbot")
    })
}

/// What can be fetched or built again (models, the pre-warmed Rust workspace): `$SPINBOT_CACHE`, or `spinbot`
/// in the user's cache folder.
pub fn cache_dir() -> PathBuf {
    from_env("SPINBOT_CACHE").unwrap_or_else(|| {
        from_env("XDG_CACHE_HOME").unwrap_or_else(|| user_home().join(".cache")).join("spinbot")
    })
}

/// Sockets, locks and per-kernel scratch, 0700. With `SPINBOT_HOME` set it lies there; else in
/// `$XDG_RUNTIME_DIR`, else in the temporary folder under the user's id.
pub fn runtime_dir() -> PathBuf {
    if let Some(home) = from_env("SPINBOT_HOME") {
        return home.join("run");
    }
    match from_env("XDG_RUNTIME_DIR") {
        Some(dir) => dir.join("spinbot"),
        None => std::env::temp_dir().join(format!("spinbot-{}", user_id())),
    }
}

/// The program: `$SPINBOT_BIN`, else `spinbot` on the path.
pub fn program() -> OsString {
    std::env::var_os("SPINBOT_BIN").filter(|v| !v.is_empty()).unwrap_or_else(|| "spinbot".into())
}

/// The engine's Unix socket.
pub fn engine_socket() -> PathBuf {
    runtime_dir().join("engine.sock")
}

fn user_id() -> u32 {
    use std::os::unix::fs::MetadataExt;
    // The owner of our own /proc entry is our effective user; without /proc the home folder's owner stands in.
    std::fs::metadata("/proc/self").or_else(|_| std::fs::metadata(user_home())).map(|m| m.uid()).unwrap_or(0)
}
