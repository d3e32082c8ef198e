//! DNSMOS' networks: the f32 initialisers of several ONNX files -> one safetensors file, each under the name of its
//! file and its own.

use super::onnx::Initialisers;
use safetensors::tensor::{Dtype, TensorView};

/// Files with their paths, whose file names without `.onnx` begin the tensors' names.
pub(super) fn convert<'a>(files: impl Iterator<Item = (&'a str, &'a Vec<u8>)>) -> Result<Vec<u8>, String> {
    let mut tensors = Vec::new();
    for (path, bytes) in files {
        let stem = path.rsplit('/').next().and_then(|file| file.strip_suffix(".onnx"));
        let stem = stem.ok_or_else(|| format!("`{path}` is not named like an ONNX file"))?;
        for one in Initialisers::read(bytes)?.iter().filter(|one| one.is_f32()) {
            let values: Vec<u8> = one.f32()?.into_iter().flat_map(f32::to_le_bytes).collect();
            tensors.push((format!("{stem}/{}", one.name()), one.shape().to_vec(), values));
        }
    }
    let views = tensors
        .iter()
        .map(|(name, shape, data)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| e.to_string())?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}
