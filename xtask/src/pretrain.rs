//! `cargo xtask pretrain`: the embedded image model from nothing, or on from wherever it was stopped.
//!
//! The recipe is `spinbot/models/recipes/tiny`; here is only what it needs around it.

use crate::setup::{self, Places};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the recipe lies, and where the model is built in from.
const RECIPE: &str = "spinbot/models/recipes/tiny";
const WEIGHTS: &str = "spinbot/models/weights/portraits";
/// The reader of portraits, which scores what the model draws, and the finder of drawn faces.
const BESIDE: [&str; 2] = ["portrait-reader.safetensors", "drawn-faces.safetensors"];
/// What a run ends with that was stopped and can go on.
const STOPPED: i32 = 143;

/// `cargo xtask pretrain [--install] [FOLDER]`; whether the model is whole.
pub(crate) fn pretrain(options: &[&str]) -> Result<bool> {
    let (flags, folders): (Vec<&str>, Vec<&str>) = options.iter().partition(|word| word.starts_with('-'));
    let install = flags == ["--install"];
    ensure!(flags.is_empty() || install, "pretrain knows --install, got {}", flags.join(" "));
    ensure!(folders.len() <= 1, "pretrain works in one folder, got {}", folders.join(" "));
    let mut places = Places::find()?;
    places.venv = places.target.join("venv-pretrain");
    let folder = folders.first().map_or(places.target.join("pretrain"), PathBuf::from);
    setup::recipe_python(&places, &format!("{RECIPE}/requirements.txt"))?;
    setup::npm("the drawings")?;
    setup::say(&format!(
        "training in {} (hours; stop and repeat as often as you like, THREADS=2 for two threads)",
        folder.display()
    ));
    let mut script = Command::new(places.root.join(RECIPE).join("pretrain.sh"));
    let status = script.arg(&folder).arg(places.python()).status().context("starting pretrain.sh")?;
    if status.code() == Some(STOPPED) {
        setup::say("stopped; the same command goes on from here");
        return Ok(false);
    }
    ensure!(status.success(), "the recipe ended with {status}");
    if install {
        let weights = places.root.join(WEIGHTS);
        copy(&folder.join("model"), &weights)?;
        for name in BESIDE {
            let built_in = weights.with_file_name(name);
            std::fs::copy(folder.join(name), &built_in).with_context(|| built_in.display().to_string())?;
        }
        setup::say(&format!(
            "the model is in {}, {} beside it; their hashes in the manifest and the client must follow",
            weights.display(),
            BESIDE.join(" and ")
        ));
    }
    Ok(true)
}

/// Copies a folder into another, over what lies there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry.with_context(|| from.display().to_string())?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &target)?,
            false => std::fs::copy(&path, &target).map(drop).with_context(|| target.display().to_string())?,
        }
    }
    Ok(())
}
