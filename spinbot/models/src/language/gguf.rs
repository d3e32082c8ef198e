//! A GGUF file: its metadata by name, its tensors. candle parses the container and bounds what a hostile one may ask for.

use crate::error::{ModelError, Result};
use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{Device, Tensor};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// An opened file.
pub(super) struct GgufFile {
    path: PathBuf,
    file: BufReader<File>,
    content: Content,
}

/// Whether the file says that it is GGUF.
///
/// # Errors
/// It cannot be read.
fn is_gguf(path: &Path) -> Result<bool> {
    let mut magic = [0; 4];
    let mut file = File::open(path).map_err(ModelError::io("opening", path))?;
    match file.read_exact(&mut magic) {
        Ok(()) => Ok(&magic == b"GGUF"),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(ModelError::io("reading", path)(e)),
    }
}

impl GgufFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        if !is_gguf(path)? {
            return Err(ModelError::Format {
                path: path.to_owned(),
                reason: "this is no GGUF file".into(),
                convert: "take the model's .gguf file, or make one with llama.cpp's convert_hf_to_gguf.py"
                    .into(),
            });
        }
        let mut file = BufReader::new(File::open(path).map_err(ModelError::io("opening", path))?);
        let content = Content::read(&mut file).map_err(|e| ModelError::Format {
            path: path.to_owned(),
            reason: format!("this GGUF file cannot be read: {e}"),
            convert: "fetch it again: it may be cut short".into(),
        })?;
        Ok(GgufFile { path: path.to_owned(), file, content })
    }

    /// What is wrong with it, as an error.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> ModelError {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned();
        ModelError::Weights { model: name, reason: reason.into() }
    }

    fn value(&self, key: &str) -> Result<&Value> {
        self.content.metadata.get(key).ok_or_else(|| self.wrong(format!("`{key}` is missing")))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.content.metadata.contains_key(key)
    }

    pub(super) fn text(&self, key: &str) -> Result<&str> {
        match self.value(key)? {
            Value::String(text) => Ok(text),
            other => Err(self.wrong(format!("`{key}` is {other:?}, not a text"))),
        }
    }

    /// A number that counts something, at most `most`.
    pub(super) fn count(&self, key: &str, most: usize) -> Result<usize> {
        let value = self.value(key)?;
        let number = whole(value).ok_or_else(|| self.wrong(format!("`{key}` is {value:?}, not a number")))?;
        match number <= most {
            true => Ok(number),
            false => Err(self.wrong(format!("`{key}` is {number}, the most is {most}"))),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<f64> {
        match self.value(key)? {
            Value::F32(number) => Ok(f64::from(*number)),
            Value::F64(number) => Ok(*number),
            other => Err(self.wrong(format!("`{key}` is {other:?}, not a number"))),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.content.metadata.get(key).and_then(|value| value.to_bool().ok())
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let list = match self.value(key)? {
            Value::Array(list) => list,
            other => return Err(self.wrong(format!("`{key}` is {other:?}, not a list"))),
        };
        list.iter()
            .map(|value| match value {
                Value::String(text) => Ok(text.as_str()),
                other => Err(self.wrong(format!("`{key}` holds {other:?}, not only texts"))),
            })
            .collect()
    }

    pub(super) fn counts(&self, key: &str) -> Result<Vec<usize>> {
        let Value::Array(list) = self.value(key)? else {
            return Err(self.wrong(format!("`{key}` is no list")));
        };
        list.iter()
            .map(|value| {
                whole(value).ok_or_else(|| self.wrong(format!("`{key}` holds {value:?}, not only numbers")))
            })
            .collect()
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Vec<f32>> {
        let Value::Array(list) = self.value(key)? else {
            return Err(self.wrong(format!("`{key}` is no list")));
        };
        list.iter().map(|value| value.to_f32().map_err(|e| self.wrong(format!("`{key}`: {e}")))).collect()
    }

    pub(super) fn has_tensor(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// A tensor as it is stored, of that shape.
    pub(super) fn tensor(&mut self, name: &str, shape: &[usize], device: &Device) -> Result<QTensor> {
        let missing = || self.wrong(format!("the tensor `{name}` is missing"));
        let info = self.content.tensor_infos.get(name).ok_or_else(missing)?;
        if info.shape.dims() != shape {
            let found = info.shape.dims();
            return Err(self.wrong(format!("the tensor `{name}` is {found:?}, expected {shape:?}")));
        }
        let read = info.read(&mut self.file, self.content.tensor_data_offset, device);
        read.map_err(|e| self.wrong(format!("the tensor `{name}` cannot be read: {e}")))
    }

    /// A short vector in f32.
    pub(super) fn vector(&mut self, name: &str, length: usize, device: &Device) -> Result<Tensor> {
        let stored = self.tensor(name, &[length], device)?;
        stored.dequantize(device).map_err(|e| self.wrong(format!("the tensor `{name}`: {e}")))
    }
}

fn whole(value: &Value) -> Option<usize> {
    let number = match value {
        Value::I8(n) => i64::from(*n),
        Value::I16(n) => i64::from(*n),
        Value::I32(n) => i64::from(*n),
        Value::I64(n) => *n,
        other => return usize::try_from(other.to_u64().ok()?).ok(),
    };
    usize::try_from(number).ok()
}
