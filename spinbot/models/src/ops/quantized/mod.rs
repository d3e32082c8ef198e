//! Products with frozen matrices of few bits, as GGUF files hold them.
//!
//! On the CPU the plain block formats (Q4_0, Q4_1, Q8_0) are repacked and multiplied here ([`packed`]); all others, and
//! all on other devices, are candle's. Inputs are rounded to 8 bits in blocks of 32 for both, as llama.cpp does.

mod kernel;
mod packed;

use candle_core::quantized::{QMatMul, QTensor, ggml_file::qtensor_from_ggml};
use candle_core::{CustomOp1, Device, Module, Result, Tensor, bail};
use packed::Packed;
use std::sync::Arc;

/// A frozen matrix of few bits.
#[derive(Debug, Clone)]
pub(crate) struct Quantized {
    weights: Weights,
    rows: usize,
    columns: usize,
    device: Device,
}

#[derive(Debug, Clone)]
enum Weights {
    Packed(Arc<Packed>),
    Stock { product: QMatMul, tensor: Arc<QTensor> },
}

impl Quantized {
    /// From a tensor of `[rows, columns]` as a file holds it.
    pub(crate) fn new(tensor: QTensor) -> Result<Self> {
        let (rows, columns) = tensor.shape().dims2()?;
        let device = tensor.device();
        let packed = match device.is_cpu() {
            true => Packed::new(tensor.dtype(), &tensor.data()?, rows, columns),
            false => None,
        };
        let weights = match packed {
            Some(packed) => Weights::Packed(Arc::new(packed)),
            None => {
                let tensor = Arc::new(tensor);
                Weights::Stock { product: QMatMul::from_arc(Arc::clone(&tensor))?, tensor }
            }
        };
        Ok(Quantized { weights, rows, columns, device })
    }

    /// `x·Wᵀ`: `[n, columns]` to `[n, rows]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weights {
            Weights::Packed(packed) => x.contiguous()?.apply_op1_no_bwd(&Product(packed)),
            Weights::Stock { product, .. } => product.forward(x),
        }
    }

    /// Some of its rows, `[n, columns]`: an embedding.
    pub(crate) fn look_up(&self, ids: &[u32]) -> Result<Tensor> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.rows) {
            bail!("row {id} of a matrix with {}", self.rows);
        }
        let shape = (ids.len(), self.columns);
        match &self.weights {
            Weights::Packed(packed) => {
                let values = ids.iter().flat_map(|id| packed.row(*id as usize)).collect();
                Tensor::from_vec(values, shape, &self.device)
            }
            Weights::Stock { tensor, .. } => {
                let bytes = tensor.data()?;
                let row = bytes.len() / self.rows;
                let chosen: Vec<u8> =
                    ids.iter().flat_map(|id| &bytes[*id as usize * row..][..row]).copied().collect();
                let dims = vec![ids.len(), self.columns];
                qtensor_from_ggml(tensor.dtype(), &chosen, dims, &self.device)?.dequantize(&self.device)
            }
        }
    }
}

/// The packed product as candle's operation.
struct Product<'a>(&'a Packed);

impl CustomOp1 for Product<'_> {
    fn name(&self) -> &'static str {
        "quantized product"
    }

    fn cpu_fwd(
        &self,
        x: &candle_core::CpuStorage,
        layout: &candle_core::Layout,
    ) -> Result<(candle_core::CpuStorage, candle_core::Shape)> {
        let (tokens, columns) = layout.shape().dims2()?;
        if columns != self.0.columns() {
            bail!("a product of {columns} columns with a matrix of {}", self.0.columns());
        }
        let out = self.0.multiply(super::custom::values(x, layout)?);
        Ok((candle_core::CpuStorage::F32(out), (tokens, self.0.rows()).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::GgmlDType;

    /// Values that look random, in -1..1.
    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn products_are_those_of_the_values_up_to_the_rounding_of_the_inputs() {
        let columns = 96;
        for (format, packed) in [
            (GgmlDType::Q4_0, true),
            (GgmlDType::Q4_1, true),
            (GgmlDType::Q8_0, true),
            (GgmlDType::Q5_1, false),
            (GgmlDType::F32, false),
            (GgmlDType::F16, false),
        ] {
            for (rows, tokens) in [(16, 1), (40, 1), (33, 3), (160, 9), (7, 50)] {
                let weights =
                    Tensor::from_vec(noise(rows * columns, 3), (rows, columns), &Device::Cpu).unwrap();
                let stored = QTensor::quantize(&weights, format).unwrap();
                let exact = stored.dequantize(&Device::Cpu).unwrap();
                let quantized = Quantized::new(stored).unwrap();
                assert_eq!(matches!(quantized.weights, Weights::Packed(_)), packed, "{format:?}");
                let x =
                    Tensor::from_vec(noise(tokens * columns, 5), (tokens, columns), &Device::Cpu).unwrap();
                let got = quantized.forward(&x).unwrap().to_vec2::<f32>().unwrap();
                let want = x.matmul(&exact.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
                // Half a step of 127 on values below 1, 96 of them, weights about 0.6 in the mean square: σ = 0.013.
                for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
                    assert!((got - want).abs() < 0.08, "{format:?} {rows}x{tokens}: {got} for {want}");
                }
                let ids = [0, rows as u32 - 1, 0];
                let looked = quantized.look_up(&ids).unwrap().to_vec2::<f32>().unwrap();
                let exact = exact.to_vec2::<f32>().unwrap();
                for (row, id) in looked.iter().zip(ids) {
                    let off =
                        row.iter().zip(&exact[id as usize]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(off < 1e-6, "{format:?}: row {id} is off by {off}");
                }
                assert!(quantized.look_up(&[rows as u32]).is_err());
            }
        }
    }
}
