//! Weights and inputs for tests that follow from names alone, as `recipe` of `tests/reference/diffusion_pipeline.py` makes
//! them: fixtures then hold outputs only.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use std::path::PathBuf;

/// -1..1: 32-bit FNV-1a of the name, then MurmurHash3's finaliser of that plus a multiple of the index.
pub(crate) fn input(name: &str, shape: impl Into<Shape>) -> Tensor {
    let shape = shape.into();
    let seed =
        name.bytes().fold(2_166_136_261_u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(16_777_619));
    let value = |index: usize| {
        let mut x = (index as u32).wrapping_mul(0x9e37_79b9).wrapping_add(seed);
        for (shift, factor) in [(16, 0x85eb_ca6b), (13, 0xc2b2_ae35)] {
            x = (x ^ (x >> shift)).wrapping_mul(factor);
        }
        (f64::from(x ^ (x >> 16)) / 2_147_483_648.0 - 1.0) as f32
    };
    let values: Vec<f32> = (0..shape.elem_count()).map(value).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// As [`input`], with the variance of a normal.
pub(crate) fn noise(name: &str, shape: impl Into<Shape>) -> Tensor {
    (input(name, shape) * f64::from(3f32.sqrt())).unwrap()
}

/// Any weight by its name, but those whose name holds one of these words.
struct Weights(&'static [&'static str]);

impl SimpleBackend for Weights {
    fn get(&self, shape: Shape, name: &str, _: candle_nn::Init, dtype: DType, _: &Device) -> Result<Tensor> {
        let values = input(name, shape.clone());
        let values = match shape.dims() {
            [_] if name.ends_with("weight") => ((values * f64::from(0.1f32))? + 1.0)?,
            [_] => (values * f64::from(0.1f32))?,
            [_, fan_in @ ..] => {
                let fan_in = fan_in.iter().product::<usize>() as f64;
                (values * f64::from((3.0 / fan_in).sqrt() as f32))?
            }
            [] => values,
        };
        values.to_dtype(dtype)
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
    VarBuilder::from_backend(Box::new(Weights(without)), dtype, Device::Cpu)
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
