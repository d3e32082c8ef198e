//! The files of pocket-tts on the user's disk, and a record of which of their tensors were asked for.

use super::error::PocketError;
use crate::error::{ModelError, Result};
use crate::tensor_file::TensorFile;
use candle_core::{DType, Device, Tensor};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The name of this model in errors.
pub(super) const MODEL: &str = "pocket-tts";

/// Where the parts of one release lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PocketFiles {
    /// `model.safetensors`.
    pub weights: PathBuf,
    /// `tokenizer.json` (tokenizers) or `tokenizer.model` (SentencePiece).
    pub tokenizer: PathBuf,
}

impl PocketFiles {
    /// The parts in the folder of a weight file, as the releases lay them out: the tokenizer beside the weights.
    /// Suits the path of an [`AddedModel`](crate::AddedModel).
    ///
    /// # Errors
    /// [`PocketError::Missing`] when the weights or a tokenizer are not there.
    pub fn beside(weights: &Path) -> Result<PocketFiles> {
        let folder = weights.parent().unwrap_or(Path::new(""));
        let names = ["tokenizer.json", "tokenizer.model"];
        let found = names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        let files = PocketFiles {
            weights: weights.to_owned(),
            tokenizer: found.unwrap_or_else(|| folder.join(names[0])),
        };
        files.check()?;
        Ok(files)
    }

    /// The preset voices in `embeddings/` beside the weights, name and path, by name.
    pub fn voices(&self) -> Vec<(String, PathBuf)> {
        let folder = self.weights.parent().unwrap_or(Path::new("")).join("embeddings");
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut voices: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
            .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
            .collect();
        voices.sort();
        voices
    }

    pub(super) fn check(&self) -> Result<()> {
        for (what, path) in [("weights", &self.weights), ("tokenizer", &self.tokenizer)] {
            if !path.is_file() {
                return Err(PocketError::Missing { what, path: path.clone() }.into());
            }
        }
        Ok(())
    }
}

/// An opened safetensors file, and what of it was asked for.
pub(super) struct Tensors<'a> {
    file: TensorFile<'a>,
    taken: RefCell<BTreeSet<String>>,
    /// Where tensors are put.
    pub(super) device: Device,
}

impl<'a> Tensors<'a> {
    pub(super) fn open(path: &Path, what: &'static str, device: &Device) -> Result<Tensors<'static>> {
        if !path.is_file() {
            return Err(PocketError::Missing { what, path: path.to_owned() }.into());
        }
        let file = TensorFile::open(MODEL, path)?;
        Ok(Tensors { file, taken: RefCell::default(), device: device.clone() })
    }

    pub(super) fn from_bytes(bytes: &'a [u8], device: &Device) -> Result<Tensors<'a>> {
        let file = TensorFile::from_bytes(MODEL, bytes)?;
        Ok(Tensors { file, taken: RefCell::default(), device: device.clone() })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.file.names()
    }

    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.file.metadata().get(key).map(String::as_str)
    }

    /// The tensor's shape, if it is there.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.shape(name)
    }

    /// The tensor's shape, which has that many dimensions, none of them zero.
    pub(super) fn dims<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let shape = self.shape(name).ok_or_else(|| refuse(format!("`{name}` is missing")))?;
        match <[usize; N]>::try_from(shape) {
            Ok(dims) if !dims.contains(&0) => Ok(dims),
            _ => Err(refuse(format!("`{name}` has shape {shape:?}, expected {N} dimensions"))),
        }
    }

    /// How many of `prefix0`, `prefix1`, ... with that ending are there without a gap.
    pub(super) fn count(&self, prefix: &str, ending: &str) -> usize {
        (0..).take_while(|n| self.shape(&format!("{prefix}{n}{ending}")).is_some()).count()
    }

    /// The tensor as f32, of exactly that shape.
    pub(super) fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let found = self.shape(name).ok_or_else(|| refuse(format!("`{name}` is missing")))?;
        if found != shape {
            return Err(refuse(format!("`{name}` has shape {found:?}, expected {shape:?}")));
        }
        self.any(name)
    }

    /// The tensor in whichever shape it has, floats as f32, whole numbers as i64.
    pub(super) fn any(&self, name: &str) -> Result<Tensor> {
        let stored = self.file.stored(name)?;
        self.taken.borrow_mut().insert(name.to_owned());
        let wanted = if stored.dtype().is_int() { DType::I64 } else { DType::F32 };
        stored
            .to_dtype(wanted)
            .and_then(|tensor| tensor.to_device(&self.device))
            .map_err(ModelError::tensor("loading weights"))
    }

    /// Leaves what begins so unread, as if it had been asked for.
    pub(super) fn pass_over(&self, prefix: &str) {
        let names = self.names().filter(|name| name.starts_with(prefix)).map(str::to_owned);
        self.taken.borrow_mut().extend(names);
    }

    /// Refuses when the file holds a tensor that nothing has asked for: then it is of another architecture, and what
    /// was left out would be missed in the sound.
    pub(super) fn all_taken(&self) -> Result<()> {
        match self.names().find(|name| !self.taken.borrow().contains(*name)) {
            Some(name) => Err(refuse(format!("`{name}` has no place in this architecture"))),
            None => Ok(()),
        }
    }
}

/// The error for a file that is not what it should be.
pub(super) fn refuse(reason: String) -> ModelError {
    ModelError::Weights { model: MODEL.into(), reason }
}
