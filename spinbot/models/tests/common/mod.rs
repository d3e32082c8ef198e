//! Where tests find weights that are not built in.

use std::path::PathBuf;

/// What a test says when weights are missing.
pub const FETCH: &str = "weights are missing: run `cargo xtask test`, which fetches them";

/// The folder whose store the tests read: `$SPINBOT_CACHE`, else where `spinbot models pull` puts weights for this
/// user.
pub fn cache_dir() -> PathBuf {
    let from_env = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from_env("SPINBOT_CACHE").unwrap_or_else(|| {
        let home = || from_env("HOME").unwrap_or_else(|| "/".into());
        from_env("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")).join("spinbot")
    })
}
