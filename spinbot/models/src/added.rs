//! The user's own models, weight files and diffusers folders: which formats are taken, and the list of them. They are
//! named, never copied.

use crate::diffusion::checkpoint;
use crate::error::{ModelError, Result};
use crate::hash;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A model of the user's own: a weight file, or a diffusers folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedModel {
    /// Its id, made from the file's name.
    pub id: String,
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// Its size in bytes; of a folder that of the files in it that are read.
    pub bytes: u64,
    /// Its SHA-256 when it was added, hex; of a folder, that of a listing of its files with theirs.
    pub sha256: String,
    /// When the file was last changed as it was hashed, in nanoseconds since 1970, of a folder the wrapping sum over its
    /// files: while this and the size are the same, nothing is hashed again.
    #[serde(default)]
    pub modified: Option<u64>,
}

impl AddedModel {
    /// Sees that the file is still the one that was added. Where its time changed and its bytes did not: the entry
    /// with the new time.
    fn same(&self) -> Result<Option<AddedModel>> {
        let changed = |reason: &'static str| ModelError::Changed {
            id: self.id.clone(),
            path: self.path.clone(),
            reason,
        };
        match self.path.metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(changed("is gone")),
            found => found.map(|_| ()).map_err(ModelError::io("reading", &self.path))?,
        }
        // A folder that lost a file is no model any more.
        let there = files(&self.path).ok().filter(|files| files.iter().all(|file| file.is_file()));
        let Some(files) = there else { return Err(changed("has changed since it was added")) };
        let (bytes, modified) = measured(&files)?;
        if bytes != self.bytes {
            return Err(changed("has changed since it was added"));
        }
        if modified.is_some() && modified == self.modified {
            return Ok(None);
        }
        if hash_of(&self.path)? != self.sha256 {
            return Err(changed("has changed since it was added"));
        }
        Ok(modified.map(|modified| AddedModel { modified: Some(modified), ..self.clone() }))
    }
}

/// What is read of a model: the file itself, or of a folder the index and its components' files, sorted.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_dir() { checkpoint::files(path) } else { Ok(vec![path.to_owned()]) }
}

/// Size in bytes and [`AddedModel::modified`] of files.
fn measured(files: &[PathBuf]) -> Result<(u64, Option<u64>)> {
    let mut all = (0_u64, Some(0_u64));
    for file in files {
        let found = file.metadata().map_err(ModelError::io("reading", file))?;
        let sum = all.1.zip(modified(&found)).map(|(sum, time)| sum.wrapping_add(time));
        all = (all.0.saturating_add(found.len()), sum);
    }
    Ok(all)
}

/// [`AddedModel::sha256`] of what lies there now.
pub(crate) fn hash_of(path: &Path) -> Result<String> {
    if !path.is_dir() {
        return hash::of_file(path);
    }
    let mut listing = String::new();
    for file in files(path)? {
        let name = file.strip_prefix(path).unwrap_or(&file).display().to_string();
        listing.push_str(&listed(&name, &hash::of_file(&file)?));
    }
    Ok(hash::of_bytes(listing.as_bytes()))
}

/// [`AddedModel::sha256`] of a folder of these files, sorted by path.
pub(crate) fn hash_of_files(files: &[(&str, &[u8])]) -> String {
    let listing: String = files.iter().map(|(name, bytes)| listed(name, &hash::of_bytes(bytes))).collect();
    hash::of_bytes(listing.as_bytes())
}

/// The line of a file in the listing that a folder's hash is taken of.
fn listed(name: &str, sha256: &str) -> String {
    format!("{sha256}  {name}\n")
}

fn modified(found: &std::fs::Metadata) -> Option<u64> {
    let since = found.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// The largest safetensors header that is believed (the format's own limit).
const MAX_HEADER: u64 = 100_000_000;

pub(crate) fn list_file(folder: &Path) -> PathBuf {
    folder.join("added.json")
}

/// The models added to the store in that folder.
pub(crate) fn read(folder: &Path) -> Result<Vec<AddedModel>> {
    let path = list_file(folder);
    match std::fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json)
            .map_err(|e| ModelError::Listing { what: path.display().to_string(), reason: e.to_string() }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(ModelError::Io { doing: "reading", path, source }),
    }
}

/// Where the file of that model lies, after it was seen to be the one that was added, with that hash; and the list as
/// JSON where its entry's time was renewed.
pub(crate) fn checked(folder: &Path, id: &str, sha256: &str) -> Result<(PathBuf, Option<Vec<u8>>)> {
    let mut list = read(folder)?;
    let Some(model) = list.iter_mut().find(|model| model.id == id) else {
        return Err(ModelError::NotAdded { id: id.to_owned() });
    };
    if model.sha256 != sha256 {
        let (id, path) = (model.id.clone(), model.path.clone());
        return Err(ModelError::Changed { id, path, reason: "is not the file that was meant" });
    }
    let path = model.path.clone();
    let Some(renewed) = model.same()? else { return Ok((path, None)) };
    *model = renewed;
    Ok((path, Some(as_json(folder, &list)?)))
}

/// The file as a model, and the list with it in as JSON. Adding a path again replaces its entry, and so does a `name`
/// that another file has. Without a name the id is made from the file's; then, as with `taken` ids, a number is put
/// behind where another file has it.
pub(crate) fn with(
    folder: &Path,
    path: &Path,
    name: Option<&str>,
    taken: &[&str],
) -> Result<(AddedModel, Vec<u8>)> {
    let path = path.canonicalize().map_err(ModelError::io("opening", path))?;
    let path = if path.is_dir() { checkpoint::resolved(&path)? } else { path };
    if !path.is_dir() {
        check_format(&path)?;
    }
    let files = files(&path)?;
    let mut list = read(folder)?;
    list.retain(|model| model.path != path);
    let stem = own_name(&path);
    let stem: String = name
        .unwrap_or(&stem)
        .to_lowercase()
        .chars()
        .map(|c| if c.is_alphanumeric() || "._".contains(c) { c } else { '-' })
        .collect();
    if name.is_some() {
        list.retain(|model| model.id != stem);
    }
    let free = |id: &String| !taken.contains(&id.as_str()) && list.iter().all(|model| model.id != *id);
    let numbered = (2_usize..).map(|n| format!("{stem}-{n}"));
    // The list is finite, so some number is free.
    let id = std::iter::once(stem.clone()).chain(numbered).find(free).unwrap_or(stem);
    let (bytes, modified) = measured(&files)?;
    let model = AddedModel { id, sha256: hash_of(&path)?, bytes, modified, path };
    list.push(model.clone());
    Ok((model, as_json(folder, &list)?))
}

/// A model's name without one given: of a file its stem, of a folder its name, of a snapshot in the Hugging Face cache
/// that of its repository.
fn own_name(path: &Path) -> String {
    let named = |part: &Path| Some(part.file_name()?.to_string_lossy().into_owned());
    let repository = path.ancestors().filter_map(named).find(|part| part.starts_with("models--"));
    let name = match repository {
        Some(repository) => repository.rsplit("--").next().map(str::to_owned),
        None if path.is_dir() => named(path),
        None => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
    };
    name.unwrap_or_else(|| "model".into())
}

fn as_json(folder: &Path, list: &[AddedModel]) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(list).map_err(|e| ModelError::Listing {
        what: list_file(folder).display().to_string(),
        reason: e.to_string(),
    })
}

/// Takes safetensors and GGUF by extension and first bytes; anything else is refused with how to convert it.
pub(crate) fn check_format(path: &Path) -> Result<()> {
    let refuse = |reason: &str, convert: &str| {
        Err(ModelError::Format { path: path.to_owned(), reason: reason.into(), convert: convert.into() })
    };
    // Many a checkpoint of training has the weights beside other things.
    let to_safetensors = "convert it where you trust it: python3 -c \"import torch, safetensors.torch as s; \
                          d = torch.load('IN', map_location='cpu', weights_only=True); s.save_file({k: v.contiguous() \
                          for k, v in d.get('state_dict', d).items()}, 'OUT.safetensors')\"";
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("safetensors") => {
            let start = first_bytes::<9>(path)?;
            let length = path.metadata().map_err(ModelError::io("reading", path))?.len();
            let header = u64::from_le_bytes(std::array::from_fn(|n| start[n]));
            if header > MAX_HEADER || header.saturating_add(8) > length || start[8] != b'{' {
                return refuse("it is named .safetensors but does not begin like one", "download it again");
            }
            Ok(())
        }
        Some("gguf") if first_bytes::<4>(path)? == *b"GGUF" => Ok(()),
        Some("gguf") => refuse("it is named .gguf but does not begin like one", "download it again"),
        Some("pt" | "pth" | "ckpt" | "bin" | "pkl") => {
            refuse("pickled weights can run code when they are read, so they are not read", to_safetensors)
        }
        Some("onnx" | "tflite" | "h5" | "pb") => {
            refuse("this format is not read", "look for the same model as safetensors or GGUF")
        }
        _ => refuse("it is neither .safetensors nor .gguf", "look for the same model as safetensors or GGUF"),
    }
}

/// The first bytes of a file; zeros where it is shorter.
fn first_bytes<const N: usize>(path: &Path) -> Result<[u8; N]> {
    let file = File::open(path).map_err(ModelError::io("opening", path))?;
    let mut start = Vec::with_capacity(N);
    file.take(N as u64).read_to_end(&mut start).map_err(ModelError::io("reading", path))?;
    start.resize(N, 0);
    Ok(std::array::from_fn(|n| start[n]))
}
