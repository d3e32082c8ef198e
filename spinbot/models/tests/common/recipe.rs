//! Weights and inputs that follow from names alone, as tests/reference/diffusion_recipe.py makes them.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};

/// Uniform values in -1..1 of a name: 32-bit FNV-1a of it, then MurmurHash3's finaliser of that plus a multiple of
/// the index.
pub fn recipe(name: &str, shape: impl Into<Shape>) -> Tensor {
    let shape = shape.into();
    let seed =
        name.bytes().fold(2166136261_u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(16777619));
    let value = |i: usize| {
        let mut x = (i as u32).wrapping_mul(0x9E37_79B9).wrapping_add(seed);
        x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
        x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
        x ^= x >> 16;
        (f64::from(x) / f64::from(1_u32 << 31) - 1.0) as f32
    };
    let values = (0..shape.elem_count()).map(value).collect::<Vec<_>>();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("as many values as the shape has")
}

/// A weight: of a fan-in's spread, around 1 for the scale of a normalisation, small for a bias.
pub fn weight(name: &str, shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    let u = recipe(name, shape.clone());
    if shape.rank() > 1 {
        let fan_in: usize = shape.dims()[1..].iter().product();
        return u * f64::from((3.0 / fan_in as f64).sqrt() as f32);
    }
    let small = (u * f64::from(0.1_f32))?;
    if name.ends_with("weight") { small + 1.0 } else { Ok(small) }
}

struct Recipe;

impl SimpleBackend for Recipe {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        weight(name, shape)?.to_dtype(dtype)?.to_device(device)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("the shape of `{name}` is not known")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

/// Weights of any network.
pub fn weights(dtype: DType) -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(Recipe), dtype, Device::Cpu)
}
