//! Weights and inputs for the unit tests, and the reference's outputs to hold theirs against.
#![allow(clippy::unwrap_used)]

#[path = "../../tests/common/recipe.rs"]
#[allow(dead_code, clippy::expect_used, reason = "shared with tests that use the rest of it")]
mod names;

pub(crate) use names::recipe as input;

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use std::path::PathBuf;

/// As [`input`], with the variance of a normal.
pub(crate) fn noise(name: &str, shape: impl Into<Shape>) -> Tensor {
    (input(name, shape) * f64::from(3f32.sqrt())).unwrap()
}

/// Any weight by its name, but those whose name holds one of these words.
struct Without(&'static [&'static str]);

impl SimpleBackend for Without {
    fn get(&self, shape: Shape, name: &str, _: candle_nn::Init, dtype: DType, _: &Device) -> Result<Tensor> {
        names::weight(name, shape)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("the shape of {name} must be known")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        !self.0.iter().any(|word| name.contains(word))
    }
}

/// Weights of any shape by name; there are none whose names hold one of the words.
pub(crate) fn weights(without: &'static [&'static str], dtype: DType) -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(Without(without)), dtype, Device::Cpu)
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests").join(name)
}

/// The tensors that the reference script stored.
pub(crate) struct Reference(std::collections::HashMap<String, Tensor>);

impl Reference {
    pub(crate) fn read(name: &str) -> Self {
        Reference(candle_core::safetensors::load(fixture("reference").join(name), &Device::Cpu).unwrap())
    }

    pub(crate) fn get(&self, name: &str) -> &Tensor {
        self.0.get(name).unwrap_or_else(|| panic!("the reference has no {name}"))
    }

    /// The largest difference from the tensor of that name.
    pub(crate) fn difference(&self, name: &str, got: &Tensor) -> f32 {
        let expected = self.get(name);
        assert_eq!(got.dims(), expected.dims(), "{name}");
        let difference = (got.to_dtype(DType::F32).unwrap() - expected).unwrap().abs().unwrap();
        difference.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    /// Fails if the tensor of that name is further away than `most` anywhere.
    pub(crate) fn check(&self, name: &str, got: &Tensor, most: f32) {
        let difference = self.difference(name, got);
        assert!(difference <= most, "{name}: {difference} away");
    }
}
