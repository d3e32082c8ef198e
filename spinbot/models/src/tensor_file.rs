//! A safetensors file of f32 on disk, read one tensor at a time: what a large network loads from without ever
//! holding the file and the tensors in memory together.

use crate::error::{ModelError, Result};
use candle_core::Tensor;
use safetensors::tensor::{Dtype, Metadata};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The longest header that is believed; a network of ten thousand tensors has less than a megabyte.
const MAX_HEADER: u64 = 16 << 20;

/// An open weight file.
#[derive(Debug)]
pub(crate) struct TensorFile {
    model: &'static str,
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Where the tensors begin, in bytes from the file's start.
    start: u64,
}

impl TensorFile {
    /// Opens the file and reads its header. `model` is named in errors.
    pub(crate) fn open(model: &'static str, path: &Path) -> Result<TensorFile> {
        let refuse = |reason: String| ModelError::Weights { model: model.to_owned(), reason };
        let file = File::open(path).map_err(ModelError::io("opening", path))?;
        let length = file.metadata().map_err(ModelError::io("reading", path))?.len();
        let mut prefix = [0; 8];
        file.read_exact_at(&mut prefix, 0).map_err(ModelError::io("reading", path))?;
        let header = u64::from_le_bytes(prefix);
        if header > MAX_HEADER || header + 8 > length {
            return Err(refuse(format!("the file's header claims {header} bytes")));
        }
        let mut head = vec![0; 8 + header as usize];
        file.read_exact_at(&mut head, 0).map_err(ModelError::io("reading", path))?;
        let metadata: Metadata = serde_json::from_slice(&head[8..]).map_err(|e| refuse(e.to_string()))?;
        let start = 8 + header;
        let end = metadata.tensors().values().map(|info| info.data_offsets.1).max().unwrap_or(0);
        if start.checked_add(end as u64) != Some(length) {
            return Err(refuse(format!("the file is {length} bytes long, its header says {start} + {end}")));
        }
        Ok(TensorFile { model, path: path.to_owned(), file, metadata, start })
    }

    /// The values of that tensor, row-major, which must be f32 and have that shape.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let refuse = |reason: String| ModelError::Weights { model: self.model.to_owned(), reason };
        let info = self.metadata.info(name).ok_or_else(|| refuse(format!("`{name}` is missing")))?;
        if info.shape != shape || info.dtype != Dtype::F32 {
            let found = format!("{} {:?}", info.dtype, info.shape);
            return Err(refuse(format!("`{name}` is {found}, expected F32 {shape:?}")));
        }
        let (from, to) = info.data_offsets;
        let mut bytes = vec![0; to - from];
        self.file
            .read_exact_at(&mut bytes, self.start + from as u64)
            .map_err(ModelError::io("reading", &self.path))?;
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    /// The tensor of that name on a device; it must be f32 and have that shape.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize], device: &candle_core::Device) -> Result<Tensor> {
        let values = self.values(name, shape)?;
        Tensor::from_vec(values, shape, device).map_err(ModelError::tensor("loading weights"))
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
}
