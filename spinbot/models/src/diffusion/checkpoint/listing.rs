//! What models and LoRAs there are below a folder: ComfyUI's, A1111's, the Hugging Face cache, or any other.

use super::folder::INDEX;
use super::folder::resolved;
use std::path::{Path, PathBuf};

/// What a listed file or folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FoundKind {
    /// A diffusers folder.
    Folder,
    /// A model in one safetensors file.
    SingleFile,
    /// A LoRA.
    Lora,
    /// A pickle, which has to be converted first.
    Pickle,
}

/// A model or a LoRA on disk, unopened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is called: its path below its folder without extension, `org/name` in the cache.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What it is.
    pub kind: FoundKind,
}

/// Folders of ComfyUI and of A1111, and what is kept in them.
const SHELVES: [(&str, FoundKind); 5] = [
    ("checkpoints", FoundKind::SingleFile),
    ("Stable-diffusion", FoundKind::SingleFile),
    ("loras", FoundKind::Lora),
    ("Lora", FoundKind::Lora),
    ("diffusers", FoundKind::Folder),
];
/// How deep people sort their models into folders.
const DEPTH: usize = 4;
/// The most that is listed.
const MOST: usize = 10_000;

/// What there is below `root`, by name: `root` may be a program's folder or its `models`, the cache of Hugging Face
/// or its `hub`, or a folder of diffusers folders. What cannot be read is left out.
pub fn list(root: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    for base in [root.to_owned(), root.join("models")] {
        for (shelf, kind) in SHELVES {
            let shelf = base.join(shelf);
            walk(&shelf, &shelf, kind, DEPTH, &mut found);
        }
    }
    for base in [root.to_owned(), root.join("hub")] {
        folders(&base, &mut found);
    }
    found.sort_by(|a, b| (&a.name, a.kind, &a.path).cmp(&(&b.name, b.kind, &b.path)));
    found.dedup_by(|a, b| a.path == b.path);
    found
}

fn walk(shelf: &Path, folder: &Path, kind: FoundKind, depth: usize, found: &mut Vec<Found>) {
    for path in entries(folder) {
        if found.len() >= MOST {
            return;
        }
        if path.is_dir() {
            if path.join(INDEX).is_file() {
                found.push(Found { name: below(shelf, &path), path, kind: FoundKind::Folder });
            } else if depth > 0 {
                walk(shelf, &path, kind, depth - 1, found);
            }
            continue;
        }
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let kind = match extension.as_deref() {
            Some("safetensors") if kind != FoundKind::Folder => kind,
            Some("ckpt" | "pt" | "bin") if kind != FoundKind::Folder => FoundKind::Pickle,
            _ => continue,
        };
        found.push(Found { name: below(shelf, &path.with_extension("")), path, kind });
    }
}

/// diffusers folders right below, and those of the cache.
fn folders(base: &Path, found: &mut Vec<Found>) {
    for path in entries(base).into_iter().filter(|path| path.is_dir()) {
        let name = below(base, &path);
        let Ok(model) = resolved(&path) else { continue };
        if model.join(INDEX).is_file() && found.len() < MOST {
            let name = name.strip_prefix("models--").map_or(name.clone(), |name| name.replacen("--", "/", 1));
            found.push(Found { name, path: model, kind: FoundKind::Folder });
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).take(MOST).collect()
}

fn below(base: &Path, path: &Path) -> String {
    path.strip_prefix(base).unwrap_or(path).to_string_lossy().into_owned()
}
