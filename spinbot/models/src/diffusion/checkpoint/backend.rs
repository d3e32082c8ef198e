//! What a `VarBuilder` of a checkpoint reads from: files opened, one tensor at a time, under diffusers' names.

use super::component_names::{Naming, Part};
use crate::tensor_file::TensorFile;
use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::Init;
use candle_nn::var_builder::SimpleBackend;
use std::collections::HashMap;
use std::sync::Arc;

/// The files of one component.
pub(super) struct Renamed {
    files: Arc<Vec<TensorFile<'static>>>,
    /// Which file has which of its names.
    by_name: HashMap<String, usize>,
    naming: Naming,
}

impl Renamed {
    pub(super) fn new(files: Arc<Vec<TensorFile<'static>>>, naming: Naming) -> Renamed {
        let names = files.iter().enumerate();
        let by_name =
            names.flat_map(|(n, file)| file.names().map(move |name| (name.to_owned(), n))).collect();
        Renamed { files, by_name, naming }
    }

    fn find(&self, name: &str) -> Option<(&TensorFile<'static>, String, Part)> {
        let there = |(source, part): (String, Part)| {
            let file = self.by_name.get(&source)?;
            Some((&self.files[*file], source, part))
        };
        self.naming.sources(name).into_iter().find_map(there)
    }
}

impl SimpleBackend for Renamed {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if *tensor.shape() == shape {
            return Ok(tensor);
        }
        // A 1x1 convolution is a linear layer, and the two are stored one for the other.
        let matrix = |dims: &[usize]| match dims {
            [rows, columns, rest @ ..] if rest.iter().all(|n| *n == 1) => Some([*rows, *columns]),
            _ => None,
        };
        if matrix(tensor.dims()).is_some() && matrix(tensor.dims()) == matrix(shape.dims()) {
            return tensor.reshape(shape);
        }
        let msg = format!("shape mismatch for `{name}`");
        Err(Error::UnexpectedShape { msg, expected: shape, got: tensor.shape().clone() })
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let Some((file, source, part)) = self.find(name) else {
            return Err(Error::CannotFindTensor { path: name.to_owned() });
        };
        let stored = file.stored(&source).map_err(Error::wrap)?;
        let tensor = match part {
            Part::Whole => stored,
            Part::Third(n) => {
                let rows = stored.dim(0)? / 3;
                stored.narrow(0, n * rows, rows)?
            }
            Part::Transposed => stored.t()?,
        };
        tensor.to_dtype(dtype)?.to_device(device)?.contiguous()
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}
