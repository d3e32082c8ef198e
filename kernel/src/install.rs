//! Putting the kernel where Jupyter looks for kernels, and taking it away again.

use crate::runner::write_whole;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The name people see in Jupyter's launcher.
pub(crate) const DISPLAY_NAME: &str = "SpinBot (Rust)";

/// The specification, with `{spinbot}` for the program's path.
const TEMPLATE: &str = include_str!("../../kernelspec/kernel.json");

const LOGOS: [(&str, &[u8]); 3] = [
    ("logo-32x32.png", include_bytes!("../../kernelspec/logo-32x32.png")),
    ("logo-64x64.png", include_bytes!("../../kernelspec/logo-64x64.png")),
    ("logo-svg.svg", include_bytes!("../../kernelspec/logo-svg.svg")),
];

/// Where to put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// For this user: Jupyter's data folder in the home directory.
    User,
    /// Under a prefix: `PREFIX/share/jupyter/kernels`.
    Prefix(PathBuf),
    /// Under the prefix of the active virtual environment, else of the `python3` found first.
    SysPrefix,
}

/// Why the kernel was not installed or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("no home directory is known\nhelp: set HOME, or use --prefix DIR")]
    NoHome,
    #[error(
        "no Python is found to ask for its prefix: {0}\nhelp: activate a virtual environment, or use --prefix DIR"
    )]
    NoPython(String),
    #[error("{0:?} is no name for a kernel\nhelp: use letters, digits, '-', '.' and '_'")]
    BadName(String),
    #[error("{path}: {reason}\nhelp: is the folder yours to write? --user always is")]
    Io { path: PathBuf, reason: std::io::Error },
    #[error(
        "{0}: no kernel of that name is installed there\nhelp: `jupyter kernelspec list` shows where kernels are"
    )]
    NotInstalled(PathBuf),
    #[error(
        "{0}: this kernel was not installed by spinbot, so it is left alone\nhelp: `jupyter kernelspec remove` removes any kernel"
    )]
    NotOurs(PathBuf),
}

impl Place {
    /// The folder of kernels there.
    fn kernels(&self) -> Result<PathBuf, InstallError> {
        let prefix = match self {
            Place::User => return user_data().map(|data| data.join("kernels")),
            Place::Prefix(prefix) => std::path::absolute(prefix)
                .map_err(|reason| InstallError::Io { path: prefix.clone(), reason })?,
            Place::SysPrefix => sys_prefix()?,
        };
        Ok(prefix.join("share/jupyter/kernels"))
    }
}

/// Jupyter's data folder of this user, found as Jupyter finds it.
fn user_data() -> Result<PathBuf, InstallError> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(data) = set("JUPYTER_DATA_DIR") {
        return Ok(data);
    }
    let home = set("HOME").ok_or(InstallError::NoHome);
    if cfg!(target_os = "macos") {
        return Ok(home?.join("Library/Jupyter"));
    }
    match set("XDG_DATA_HOME") {
        Some(data) => Ok(data.join("jupyter")),
        None => Ok(home?.join(".local/share/jupyter")),
    }
}

fn sys_prefix() -> Result<PathBuf, InstallError> {
    if let Some(environment) = std::env::var_os("VIRTUAL_ENV").filter(|v| !v.is_empty()) {
        return Ok(environment.into());
    }
    let asked = std::process::Command::new("python3").args(["-c", "import sys; print(sys.prefix)"]).output();
    let output = asked.map_err(|e| InstallError::NoPython(e.to_string()))?;
    let prefix = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.success() && !prefix.is_empty() {
        true => Ok(prefix.into()),
        false => Err(InstallError::NoPython(format!("python3 ended with {}", output.status))),
    }
}

/// The folder of one kernel; names are as Jupyter allows them, so none leads elsewhere.
fn folder(place: &Place, name: &str) -> Result<PathBuf, InstallError> {
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if !fits || name.chars().all(|c| c == '.') {
        return Err(InstallError::BadName(name.to_owned()));
    }
    Ok(place.kernels()?.join(name))
}

/// The specification of a kernel run by `binary`.
fn specification(binary: &Path) -> String {
    // As JSON text, so that any path is quoted rightly.
    let path = Value::from(binary.to_string_lossy()).to_string();
    TEMPLATE.replace("\"{spinbot}\"", &path)
}

/// Installs the kernel run by `binary`, over an earlier one; returns its folder.
///
/// # Errors
/// When the place is not found or not writable.
pub(crate) fn install(place: &Place, name: &str, binary: &Path) -> Result<PathBuf, InstallError> {
    let folder = folder(place, name)?;
    let failed = |reason| InstallError::Io { path: folder.clone(), reason };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    for (file, bytes) in LOGOS {
        write_whole(&folder.join(file), bytes).map_err(failed)?;
    }
    // Last: with it, the folder is a kernel.
    write_whole(&folder.join("kernel.json"), specification(binary).as_bytes()).map_err(failed)?;
    Ok(folder)
}

/// Removes what [`install`] put there; returns the folder that is gone.
///
/// # Errors
/// When there is none, or what is there is not ours.
pub(crate) fn uninstall(place: &Place, name: &str) -> Result<PathBuf, InstallError> {
    let folder = folder(place, name)?;
    let failed = |reason| InstallError::Io { path: folder.clone(), reason };
    let file = folder.join("kernel.json");
    let text = match std::fs::read_to_string(&file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(InstallError::NotInstalled(folder)),
        read => read.map_err(failed)?,
    };
    let spec: Value = serde_json::from_str(&text).unwrap_or_default();
    if spec["display_name"] != DISPLAY_NAME {
        return Err(InstallError::NotOurs(folder));
    }
    // First: without it, the folder is no kernel.
    std::fs::remove_file(&file).map_err(failed)?;
    for (logo, _) in LOGOS {
        match std::fs::remove_file(folder.join(logo)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
    }
    // Files that somebody else put there stay, and so does the folder then.
    let _ = std::fs::remove_dir(&folder);
    Ok(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kernel_comes_and_goes() {
        let prefix = tempfile::tempdir().unwrap();
        let place = Place::Prefix(prefix.path().to_owned());
        let binary = Path::new("/opt/with \"quotes\"/spinbot");
        for _ in 0..2 {
            let folder = install(&place, "spinbot", binary).unwrap();
            assert_eq!(folder, prefix.path().join("share/jupyter/kernels/spinbot"));
            let spec: Value =
                serde_json::from_slice(&std::fs::read(folder.join("kernel.json")).unwrap()).unwrap();
            assert_eq!(
                spec,
                json!({
                    "argv": ["/opt/with \"quotes\"/spinbot", "kernel", "-f", "{connection_file}"],
                    "display_name": DISPLAY_NAME, "language": "rust", "interrupt_mode": "message",
                    "metadata": {"debugger": false},
                })
            );
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 4);
        }
        let gone = uninstall(&place, "spinbot").unwrap();
        assert!(!gone.exists());
        assert!(matches!(uninstall(&place, "spinbot"), Err(InstallError::NotInstalled(_))));
    }

    #[test]
    fn nothing_is_touched_that_is_not_ours() {
        let prefix = tempfile::tempdir().unwrap();
        let place = Place::Prefix(prefix.path().to_owned());
        let other = prefix.path().join("share/jupyter/kernels/python3");
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(other.join("kernel.json"), "{\"display_name\": \"Python 3\"}").unwrap();
        assert!(matches!(uninstall(&place, "python3"), Err(InstallError::NotOurs(_))));
        assert!(other.join("kernel.json").exists());
        for bad in ["", ".", "..", "../x", "a/b", "a b", "é"] {
            assert!(matches!(install(&place, bad, Path::new("/x")), Err(InstallError::BadName(_))), "{bad}");
        }
    }
}
