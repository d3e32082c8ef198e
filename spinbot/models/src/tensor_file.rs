//! Safetensors on disk or in memory, read one tensor at a time and without being believed: the header is checked
//! against the length before anything is allocated, and a network loads without file and tensors in memory together.

use crate::error::{ModelError, Result};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, TensorInfo};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The longest header that is believed; SDXL's 2,500 tensors take 0.3 MB, a LoRA's tag statistics a few.
const MAX_HEADER: u64 = 16 << 20;

/// An opened safetensors file: its header, checked, and its tensors, still unread.
#[derive(Debug)]
pub(crate) struct TensorFile<'a> {
    model: String,
    source: Source<'a>,
    entries: BTreeMap<String, TensorInfo>,
    metadata: HashMap<String, String>,
    /// Where the tensors begin, in bytes from the file's start.
    start: u64,
}

#[derive(Debug)]
enum Source<'a> {
    File(PathBuf, File),
    Bytes(&'a [u8]),
}

impl Source<'_> {
    fn read(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        match self {
            Source::File(path, file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, at).map_err(ModelError::io("reading", path))?;
                Ok(bytes)
            }
            // Callers have checked the range against the length.
            Source::Bytes(bytes) => Ok(bytes[at as usize..][..length].to_vec()),
        }
    }
}

impl TensorFile<'static> {
    /// Opens the file and checks its header. `model` is named in errors.
    pub(crate) fn open(model: &str, path: &Path) -> Result<TensorFile<'static>> {
        let file = File::open(path).map_err(ModelError::io("opening", path))?;
        let length = file.metadata().map_err(ModelError::io("reading", path))?.len();
        TensorFile::check(model, Source::File(path.to_owned(), file), length)
    }
}

impl<'a> TensorFile<'a> {
    /// The same of bytes in memory.
    pub(crate) fn from_bytes(model: &str, bytes: &'a [u8]) -> Result<TensorFile<'a>> {
        TensorFile::check(model, Source::Bytes(bytes), bytes.len() as u64)
    }

    fn check(model: &str, source: Source<'a>, length: u64) -> Result<TensorFile<'a>> {
        let refuse = |reason: String| ModelError::Weights { model: model.to_owned(), reason };
        if length < 8 {
            return Err(refuse(format!("{length} bytes hold no safetensors header")));
        }
        let start = source.read(0, 8)?;
        let header = u64::from_le_bytes(std::array::from_fn(|n| start[n]));
        let Some(data) = (length - 8).checked_sub(header).filter(|_| header <= MAX_HEADER) else {
            return Err(refuse(format!("a header of {header} bytes in a file of {length} is not believed")));
        };
        let json = source.read(8, header as usize)?;
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
            // Each is at most `data` long, so that this ends long before the sum could overflow.
            sum += to - from;
            if sum > data {
                return Err(refuse("its tensors overlap".into()));
            }
            entries.insert(name, info);
        }
        if sum < data {
            return Err(refuse(format!("of {data} bytes its tensors take only {sum}")));
        }
        Ok(TensorFile { model: model.to_owned(), source, entries, metadata, start: 8 + header })
    }

    /// The tensors' names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// What the header says beside the tensors.
    pub(crate) fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// The tensor's shape, if it is there.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|info| info.shape.as_slice())
    }

    /// The tensor's shape, type and bytes, row-major.
    fn raw(&self, name: &str) -> Result<(&TensorInfo, Vec<u8>)> {
        let info = self.entries.get(name).ok_or_else(|| self.refuse(format!("`{name}` is missing")))?;
        let (from, to) = info.data_offsets;
        Ok((info, self.source.read(self.start + from as u64, to - from)?))
    }

    /// The tensor in the shape and type that it is stored in, on the CPU.
    pub(crate) fn stored(&self, name: &str) -> Result<Tensor> {
        let (info, bytes) = self.raw(name)?;
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F64 => DType::F64,
            Dtype::F8_E4M3 => DType::F8E4M3,
            Dtype::I64 => DType::I64,
            Dtype::I32 => DType::I32,
            other => return Err(self.refuse(format!("`{name}` is stored as {other:?}, which is not read"))),
        };
        Tensor::from_raw_buffer(&bytes, dtype, &info.shape, &Device::Cpu)
            .map_err(ModelError::tensor("loading weights"))
    }

    /// The values of that tensor, row-major, which must be f32 and have that shape.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (info, bytes) = self.raw(name)?;
        if info.shape != shape || info.dtype != Dtype::F32 {
            let found = format!("{} {:?}", info.dtype, info.shape);
            return Err(self.refuse(format!("`{name}` is {found}, expected F32 {shape:?}")));
        }
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    /// The tensor of that name on a device; it must be f32 and have that shape.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let values = self.values(name, shape)?;
        Tensor::from_vec(values, shape, device).map_err(ModelError::tensor("loading weights"))
    }

    fn refuse(&self, reason: String) -> ModelError {
        ModelError::Weights { model: self.model.clone(), reason }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use safetensors::tensor::TensorView;

    #[test]
    fn tensors_are_read_by_name_and_lies_about_the_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let view = |shape, from, to| TensorView::new(Dtype::F32, shape, &bytes[from..to]).unwrap();
        let good = safetensors::serialize([("b", view(vec![1], 0, 4)), ("a", view(vec![3, 1], 4, 16))], None)
            .unwrap();
        std::fs::write(&path, &good).unwrap();
        let file = TensorFile::open("toy", &path).unwrap();
        assert_eq!(file.values("a", &[3, 1]).unwrap(), [2.0, 3.0, 4.0]);
        let tensor = file.tensor("b", &[1], &candle_core::Device::Cpu).unwrap();
        assert_eq!(tensor.to_vec1::<f32>().unwrap(), [1.0]);
        let error = file.values("a", &[3]).unwrap_err().to_string();
        assert_eq!(error, "weights of `toy`: `a` is F32 [3, 1], expected F32 [3]");
        assert!(file.values("c", &[1]).unwrap_err().to_string().contains("`c` is missing"));
        for bad in [&good[..good.len() - 1], &good[..20], &[0xff; 64][..], &good[..4], b""] {
            std::fs::write(&path, bad).unwrap();
            assert!(TensorFile::open("toy", &path).is_err(), "{} bytes", bad.len());
        }
    }

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
            (file(&tensor("[1]", 0, 4), 8), "take only 4"),
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
            let sentence = TensorFile::from_bytes("toy", &bytes).map(|_| ()).unwrap_err().to_string();
            assert!(sentence.contains(expected), "{sentence}");
        }
        let fine = file(&tensor("[1]", 0, 4), 4);
        assert_eq!(TensorFile::from_bytes("toy", &fine).unwrap().shape("a"), Some(&[1][..]));
    }
}
