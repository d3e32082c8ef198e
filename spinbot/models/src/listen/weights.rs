//! Reading a network's safetensors by name and shape, as f32.

use crate::convert::SCALE_SUFFIX;
use crate::error::{ModelError, Result};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

/// The tensors of one weight file.
pub(crate) struct Weights<'a> {
    model: &'static str,
    file: SafeTensors<'a>,
}

impl<'a> Weights<'a> {
    pub(crate) fn read(model: &'static str, file: &'a [u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(file)
            .map_err(|e| ModelError::Weights { model: model.to_owned(), reason: e.to_string() })?;
        Ok(Weights { model, file })
    }

    /// The numbers of the f32 tensor of that name, row major, which must have that shape.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let bytes = self.bytes(name, shape, Dtype::F32)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }

    /// The numbers of an 8-bit tensor of that name and shape, times its scale.
    pub(crate) fn scaled(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let bytes = self.bytes(name, shape, Dtype::I8)?;
        let scale = self.get(&format!("{name}{SCALE_SUFFIX}"), &[1])?[0];
        Ok(bytes.iter().map(|&byte| f32::from(byte as i8) * scale).collect())
    }

    /// The bits of the half precision tensor of that name and shape.
    pub(crate) fn halves(&self, name: &str, shape: &[usize]) -> Result<Vec<u16>> {
        let bytes = self.bytes(name, shape, Dtype::F16)?;
        Ok(bytes.as_chunks::<2>().0.iter().map(|&bytes| u16::from_le_bytes(bytes)).collect())
    }

    /// The bytes of the tensor of that name, which must have that shape and type.
    pub(crate) fn bytes(&self, name: &str, shape: &[usize], dtype: Dtype) -> Result<&'a [u8]> {
        let refuse = |reason: String| ModelError::Weights { model: self.model.to_owned(), reason };
        let tensor = self.file.tensor(name).map_err(|_| refuse(format!("`{name}` is missing")))?;
        if tensor.shape() != shape || tensor.dtype() != dtype {
            let (found, of) = (tensor.shape(), tensor.dtype());
            return Err(refuse(format!("`{name}` is {of:?} {found:?}, expected {dtype:?} {shape:?}")));
        }
        Ok(tensor.data())
    }

    /// The bytes of a list: a tensor of that type with one dimension.
    pub(crate) fn bytes_of_any_length(&self, name: &str, dtype: Dtype) -> Result<&'a [u8]> {
        let length = self.file.tensor(name).ok().and_then(|tensor| tensor.shape().first().copied());
        self.bytes(name, &[length.unwrap_or(0)], dtype)
    }
}
