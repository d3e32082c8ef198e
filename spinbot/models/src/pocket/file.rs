//! The files of pocket-tts on the user's disk, and reading safetensors without believing them: the header is checked
//! against the file's length before anything is allocated, and no tensor is read but those asked for.

use super::error::PocketError;
use crate::error::{ModelError, Result};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorInfo;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The name of this model in errors.
pub(super) const MODEL: &str = "pocket-tts";
/// The largest header believed: the releases' hold about 220 tensors in 25 KB.
const MAX_HEADER: u64 = 4 << 20;
/// The largest file believed; the largest release (24 layers, bf16) has under 1 GB.
const MAX_FILE: u64 = 4 << 30;

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

/// A reader that can be sought in: a file or bytes.
pub(super) trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

/// An opened safetensors file: its header, checked, and its bytes, still unread.
pub(super) struct Tensors<'a> {
    source: RefCell<Box<dyn Source + 'a>>,
    data_start: u64,
    entries: BTreeMap<String, TensorInfo>,
    metadata: HashMap<String, String>,
    taken: RefCell<BTreeSet<String>>,
    /// Where tensors are put.
    pub(super) device: Device,
}

impl<'a> Tensors<'a> {
    pub(super) fn open(path: &Path, what: &'static str, device: &Device) -> Result<Tensors<'static>> {
        if !path.is_file() {
            return Err(PocketError::Missing { what, path: path.to_owned() }.into());
        }
        let file = File::open(path).map_err(ModelError::io("opening", path))?;
        let length = file.metadata().map_err(ModelError::io("reading", path))?.len();
        Tensors::read(Box::new(file), length, device)
    }

    pub(super) fn from_bytes(bytes: &'a [u8], device: &Device) -> Result<Tensors<'a>> {
        Tensors::read(Box::new(std::io::Cursor::new(bytes)), bytes.len() as u64, device)
    }

    fn read<'b>(mut source: Box<dyn Source + 'b>, length: u64, device: &Device) -> Result<Tensors<'b>> {
        let mut start = [0_u8; 8];
        source.read_exact(&mut start).map_err(|e| refuse(format!("no safetensors header: {e}")))?;
        let header = u64::from_le_bytes(start);
        let data = length.checked_sub(8).and_then(|rest| rest.checked_sub(header));
        let Some(data) = data.filter(|_| header <= MAX_HEADER && length <= MAX_FILE) else {
            return Err(refuse(format!("a header of {header} bytes in a file of {length} is not believed")));
        };
        let mut json = vec![0; header as usize];
        source.read_exact(&mut json).map_err(|e| refuse(format!("its header ends early: {e}")))?;
        let mut fields: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&json).map_err(|e| refuse(format!("its header is no listing: {e}")))?;
        let metadata = match fields.remove("__metadata__") {
            Some(value) => serde_json::from_value(value)
                .map_err(|e| refuse(format!("its metadata is no list of strings: {e}")))?,
            None => HashMap::new(),
        };
        let mut entries = BTreeMap::new();
        let mut sum = 0_u64;
        for (name, value) in fields {
            let info: TensorInfo =
                serde_json::from_value(value).map_err(|e| refuse(format!("`{name}` is no tensor: {e}")))?;
            let bytes = info
                .shape
                .iter()
                .try_fold(info.dtype.bitsize() as u64, |all, n| all.checked_mul(*n as u64))
                .map(|bits| bits.div_ceil(8));
            let (from, to) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
            if to.checked_sub(from).is_none() || to.checked_sub(from) != bytes || to > data {
                return Err(refuse(format!(
                    "`{name}` lies at {from}..{to} of {data} bytes, which its shape denies"
                )));
            }
            sum += to - from;
            entries.insert(name, info);
        }
        if sum > data {
            return Err(refuse("its tensors overlap".into()));
        }
        Ok(Tensors {
            source: RefCell::new(source),
            data_start: 8 + header,
            entries,
            metadata,
            taken: RefCell::default(),
            device: device.clone(),
        })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The tensor's shape, if it is there.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|info| info.shape.as_slice())
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
        (0..).take_while(|n| self.entries.contains_key(&format!("{prefix}{n}{ending}"))).count()
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
        use safetensors::Dtype;
        let info = self.entries.get(name).ok_or_else(|| refuse(format!("`{name}` is missing")))?;
        let (dtype, wanted) = match info.dtype {
            Dtype::F32 => (DType::F32, DType::F32),
            Dtype::F16 => (DType::F16, DType::F32),
            Dtype::BF16 => (DType::BF16, DType::F32),
            Dtype::F64 => (DType::F64, DType::F32),
            Dtype::I64 => (DType::I64, DType::I64),
            other => return Err(refuse(format!("`{name}` is stored as {other:?}, which is not read"))),
        };
        self.taken.borrow_mut().insert(name.to_owned());
        let (from, to) = info.data_offsets;
        let mut bytes = vec![0; to - from];
        let mut source = self.source.borrow_mut();
        source
            .seek(SeekFrom::Start(self.data_start + from as u64))
            .and_then(|_| source.read_exact(&mut bytes))
            .map_err(|e| refuse(format!("`{name}` cannot be read: {e}")))?;
        Tensor::from_raw_buffer(&bytes, dtype, &info.shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(wanted)?.to_device(&self.device))
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
        match self.entries.keys().find(|name| !self.taken.borrow().contains(*name)) {
            Some(name) => Err(refuse(format!("`{name}` has no place in this architecture"))),
            None => Ok(()),
        }
    }
}

/// The error for a file that is not what it should be.
pub(super) fn refuse(reason: String) -> ModelError {
    ModelError::Weights { model: MODEL.into(), reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn headers_that_lie_are_refused_before_anything_is_allocated() {
        let file = |header: &str, data: usize| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(header.as_bytes());
            bytes.resize(bytes.len() + data, 0);
            bytes
        };
        let tensor = |shape: &str, from: u64, to: u64| {
            format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}}}"#)
        };
        let long = u64::MAX.to_le_bytes().to_vec();
        let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        for (bytes, expected) in [
            (vec![1, 2, 3], "no safetensors header"),
            (long, "is not believed"),
            (file("{}", 0)[..9].to_vec(), "is not believed"),
            (file("not json", 0), "its header is no listing"),
            (file(r#"{"a":1}"#, 0), "`a` is no tensor"),
            (file(&tensor("[1]", 0, 8), 8), "which its shape denies"),
            (file(&tensor("[1]", 4, 8), 4), "which its shape denies"),
            (file(&tensor("[1]", 8, 4), 8), "which its shape denies"),
            (file(&tensor("[4294967296,4294967296]", 0, 4), 4), "which its shape denies"),
            (file(twice, 4), "its tensors overlap"),
            (file(r#"{"__metadata__":[1]}"#, 0), "its metadata is no list"),
        ] {
            let sentence = Tensors::from_bytes(&bytes, &Device::Cpu).map(|_| ()).unwrap_err().to_string();
            assert!(sentence.contains(expected), "{sentence}");
        }
        let fine = file(&tensor("[1]", 0, 4), 4);
        assert_eq!(Tensors::from_bytes(&fine, &Device::Cpu).unwrap().shape("a"), Some(&[1][..]));
    }
}
