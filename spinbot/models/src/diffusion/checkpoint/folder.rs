//! diffusers' folders: `model_index.json`, a folder for each component, weights whole, in a variant or in shards.

use super::component_names::Naming;
use super::{Part, read_json, refuse};
use crate::added;
use crate::error::{ModelError, Result};
use crate::tensor_file::TensorFile;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file that makes a folder a model.
pub(super) const INDEX: &str = "model_index.json";
/// Components with weights that are used here; safety checkers and image encoders are not.
const COMPONENTS: [&str; 4] = ["unet", "vae", "text_encoder", "text_encoder_2"];

/// The components of a folder. `variant` is the infix of their files, as `fp16`; without it the full weights are
/// taken, or where there are none those of the one variant that is there.
pub(super) fn parts(folder: &Path, variant: Option<&str>) -> Result<BTreeMap<String, Part>> {
    let index = read_json(&folder.join(INDEX))?;
    let mut parts = BTreeMap::new();
    for component in COMPONENTS {
        if !has(&index, component) {
            continue;
        }
        let place = folder.join(component);
        let paths = weights(&place, variant)?;
        let label = format!("{}/{component}", folder.file_name().unwrap_or_default().to_string_lossy());
        let files = paths.iter().map(|path| TensorFile::open(&label, path)).collect::<Result<Vec<_>>>()?;
        let config = read_json(&place.join("config.json"))?;
        parts
            .insert(component.to_owned(), Part { config, naming: Naming::Diffusers, files: Arc::new(files) });
    }
    match parts.is_empty() {
        true => {
            Err(refuse(&folder.display().to_string(), format!("its {INDEX} names no component to draw with")))
        }
        false => Ok(parts),
    }
}

/// What is read of a folder, sorted: its index, each component's configuration and weights without a variant, the
/// tokenizers and the noise schedule.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let path = folder.join(INDEX);
    if !path.is_file() {
        return Err(refuse(&folder.display().to_string(), format!("there is no {INDEX} in it")));
    }
    let index = read_json(&path)?;
    let mut files = vec![path];
    for component in COMPONENTS.into_iter().filter(|component| has(&index, component)) {
        let place = folder.join(component);
        files.push(place.join("config.json"));
        files.extend(weights(&place, None)?);
    }
    for small in ["tokenizer", "tokenizer_2", "scheduler"] {
        let entries = std::fs::read_dir(folder.join(small)).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    files.sort();
    Ok(files)
}

/// Whether an index names that component; `[null, null]` is one that the pipeline can have and this model has not.
fn has(index: &Value, component: &str) -> bool {
    index.get(component).and_then(|class| class.get(1)).is_some_and(Value::is_string)
}

/// The weight files of a component's folder.
fn weights(folder: &Path, variant: Option<&str>) -> Result<Vec<PathBuf>> {
    let stems = ["diffusion_pytorch_model", "model"];
    let wanted: Vec<Option<&str>> = match variant {
        Some(variant) => vec![Some(variant)],
        None => vec![None, Some("fp16"), Some("bf16"), Some("fp32")],
    };
    for variant in wanted {
        let infix = variant.map_or_else(String::new, |variant| format!(".{variant}"));
        for stem in stems {
            let whole = folder.join(format!("{stem}{infix}.safetensors"));
            if whole.is_file() {
                return Ok(vec![whole]);
            }
            let index = folder.join(format!("{stem}.safetensors.index{infix}.json"));
            if index.is_file() {
                return shards(&index);
            }
        }
    }
    for pickle in ["diffusion_pytorch_model.bin", "pytorch_model.bin"] {
        if folder.join(pickle).is_file() {
            added::check_format(&folder.join(pickle))?;
        }
    }
    let kind = variant.map_or_else(String::new, |variant| format!(" of the variant {variant}"));
    Err(refuse(&folder.display().to_string(), format!("there are no safetensors{kind} in it")))
}

/// The files that an index of shards names, which lie beside it.
fn shards(index: &Path) -> Result<Vec<PathBuf>> {
    let listing = read_json(index)?;
    let map = listing.get("weight_map").and_then(Value::as_object);
    let names: BTreeSet<&str> = map.into_iter().flatten().filter_map(|(_, file)| file.as_str()).collect();
    let path = |name: &str| match Path::new(name).file_name() {
        Some(plain) if plain == name && name.ends_with(".safetensors") => Ok(index.with_file_name(name)),
        _ => Err(ModelError::Listing {
            what: index.display().to_string(),
            reason: format!("`{name}` is no safetensors file beside it"),
        }),
    };
    names.into_iter().map(path).collect()
}

/// The folder that a place in the Hugging Face cache means: of `models--org--name` the snapshot that `refs/main`
/// names, or the only one. Any other folder is itself.
pub(crate) fn resolved(folder: &Path) -> Result<PathBuf> {
    let snapshots = folder.join("snapshots");
    if folder.join(INDEX).is_file() || !snapshots.is_dir() {
        return Ok(folder.to_owned());
    }
    let main = std::fs::read_to_string(folder.join("refs/main")).unwrap_or_default();
    let hash = main.trim();
    if !hash.is_empty()
        && hash.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && snapshots.join(hash).is_dir()
    {
        return Ok(snapshots.join(hash));
    }
    let entries = std::fs::read_dir(&snapshots).map_err(ModelError::io("reading", &snapshots))?;
    let mut found: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found.pop().ok_or_else(|| refuse(&folder.display().to_string(), "no snapshot in it is complete".into()))
}
