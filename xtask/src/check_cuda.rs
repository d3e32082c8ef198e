//! `cargo xtask check-cuda`: whether the workspace compiles with its feature `cuda`, on a machine without a GPU.
//!
//! The toolkit is that of `tests/requirements-cuda.txt` and lies in an environment of its own, as what is compiled
//! does: no CUDA of the machine's is looked at, and the usual build stays as it is.

use crate::setup::{self, Places, say};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What candle's kernels are compiled for unless `CUDA_COMPUTE_CAP` says another: Ampere. Older ones leave some out.
const COMPUTE_CAP: &str = "80";

/// `cargo xtask check-cuda`; an error tells what does not compile.
pub(crate) fn check_cuda(options: &[&str]) -> Result<bool> {
    ensure!(options.is_empty(), "check-cuda takes no options, got {}", options.join(" "));
    let mut places = Places::find()?;
    places.venv = places.target.join("venv-cuda");
    setup::cuda_toolkit(&places).context(
        "the CUDA toolkit was not fetched: its wheels are on PyPI, for Linux only; pip's messages say why",
    )?;
    let home = toolkit(&places.venv)?;
    let nvcc = home.join("bin/nvcc");
    let release = release(&nvcc)?;
    let compute_cap = std::env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| COMPUTE_CAP.to_owned());

    say(&format!(
        "checking the workspace with CUDA {release} for compute capability {compute_cap} (some 10 minutes of one \
         core, half of them for candle's kernels; only what changed the next time)"
    ));
    let programs = std::env::var_os("PATH").unwrap_or_default();
    let programs =
        std::env::join_paths([home.join("bin")].into_iter().chain(std::env::split_paths(&programs)))
            .context("the toolkit's path cannot be part of PATH")?;
    let mut cargo = places.cargo("check");
    cargo
        .args(["--features", "cuda"])
        .env("CARGO_TARGET_DIR", places.target.join("cuda"))
        .env("CUDA_HOME", &home)
        .env("CUDA_COMPUTE_CAP", &compute_cap)
        .env("NVCC", &nvcc)
        .env("PATH", programs);
    setup::run(&mut cargo).context(
        "the workspace does not compile with its feature `cuda`: cargo's messages say where. If nvcc refuses the C++ \
         compiler, NVCC_CCBIN names another",
    )?;
    say(&format!(
        "the workspace compiles with CUDA {release} for compute capability {compute_cap}: its code is checked, \
         candle's kernels are compiled; nothing was linked and nothing was run"
    ));
    Ok(true)
}

/// The folder within the environment that the wheels make a toolkit of: the one with nvcc.
fn toolkit(venv: &Path) -> Result<PathBuf> {
    for python in folders(&venv.join("lib"))? {
        let nvidia = python.join("site-packages/nvidia");
        if !nvidia.is_dir() {
            continue;
        }
        if let Some(home) = folders(&nvidia)?.into_iter().find(|home| home.join("bin/nvcc").is_file()) {
            return Ok(home);
        }
    }
    bail!("there is no nvcc in {}: remove the folder and repeat", venv.display())
}

/// What is in a folder.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    entries.map(|entry| Ok(entry.with_context(|| folder.display().to_string())?.path())).collect()
}

/// The toolkit's release as nvcc tells it, which shows that nvcc runs here.
fn release(nvcc: &Path) -> Result<String> {
    let output = Command::new(nvcc)
        .arg("--version")
        .output()
        .with_context(|| format!("{} cannot be started: it needs Linux with glibc", nvcc.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let release = text.split("release ").nth(1).and_then(|rest| rest.split(',').next());
    release.map(str::to_owned).with_context(|| format!("{} tells no release: {text}", nvcc.display()))
}
