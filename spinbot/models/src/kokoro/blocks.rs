//! Layers that several parts of Kokoro are made of. Everything is time-major: x is [time, channels], a style
//! [1, 128].

use crate::error::{ModelError, Result};
use crate::tensor_file::TensorFile;
use candle_core::{D, Tensor};

/// Added to a variance before its root is taken, in every normalisation but BERT's.
pub(super) const EPSILON: f64 = 1e-5;

/// y = x Wᵀ + b.
pub(super) struct Linear {
    /// Wᵀ, [in, out]: products with W itself took a tenth longer, its columns being gathered each time.
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(super) fn load(
        weights: &TensorFile<'_>,
        name: &str,
        [input, output]: [usize; 2],
        device: &candle_core::Device,
    ) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), &[output, input], device)?;
        Ok(Linear {
            weight: weight.t().and_then(|w| w.contiguous()).map_err(ModelError::tensor("loading weights"))?,
            bias: weights.tensor(&format!("{name}.bias"), &[output], device)?,
        })
    }

    /// Several that take the same input, as one whose outputs are theirs one after the other.
    pub(super) fn stacked(layers: &[Linear]) -> Result<Self> {
        let stack = |part: fn(&Linear) -> &Tensor| {
            Tensor::cat(&layers.iter().map(part).collect::<Vec<_>>(), D::Minus1)
                .map_err(ModelError::tensor("loading weights"))
        };
        Ok(Linear { weight: stack(|layer| &layer.weight)?, bias: stack(|layer| &layer.bias)? })
    }

    pub(super) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}

/// Normalises every row to mean 0 and variance 1, then scales and shifts each channel.
pub(super) struct LayerNorm {
    scale: Tensor,
    shift: Tensor,
    epsilon: f32,
}

impl LayerNorm {
    /// `names` are those of the scale and the shift.
    pub(super) fn load(
        weights: &TensorFile<'_>,
        names: [&str; 2],
        width: usize,
        epsilon: f32,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let [scale, shift] = names.map(|name| weights.tensor(name, &[width], device));
        Ok(LayerNorm { scale: scale?, shift: shift?, epsilon })
    }

    /// Without scale and shift.
    pub(super) fn plain(
        width: usize,
        epsilon: f32,
        device: &candle_core::Device,
    ) -> candle_core::Result<Self> {
        let scale = Tensor::ones(width, candle_core::DType::F32, device)?;
        Ok(LayerNorm { shift: scale.zeros_like()?, scale, epsilon })
    }

    pub(super) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        candle_nn::ops::layer_norm(x, &self.scale, &self.shift, self.epsilon)
    }
}

/// A convolution over time with an odd kernel, padded with zeros so that the length stays.
pub(super) struct Conv {
    /// [kernel x in, out].
    weight: Tensor,
    bias: Option<Tensor>,
    kernel: usize,
}

impl Conv {
    pub(super) fn load(
        weights: &TensorFile<'_>,
        name: &str,
        [input, output, kernel]: [usize; 3],
        bias: bool,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let stored = weights.values(&format!("{name}.weight"), &[output, input, kernel])?;
        // [out, in, kernel] -> [kernel, in, out]: a window of the input is then one row of a matrix.
        let mut turned = vec![0.0; stored.len()];
        for (o, per_output) in stored.chunks_exact(input * kernel).enumerate() {
            for (i, per_input) in per_output.chunks_exact(kernel).enumerate() {
                for (k, value) in per_input.iter().enumerate() {
                    turned[(k * input + i) * output + o] = *value;
                }
            }
        }
        let weight = Tensor::from_vec(turned, (kernel * input, output), device);
        Ok(Conv {
            weight: weight.map_err(ModelError::tensor("loading weights"))?,
            bias: bias.then(|| weights.tensor(&format!("{name}.bias"), &[output], device)).transpose()?,
            kernel,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let time = x.dim(0)?;
        let side = self.kernel / 2;
        let windows = if side == 0 {
            x.clone()
        } else {
            let padded = x.pad_with_zeros(0, side, side)?;
            let shifted = (0..self.kernel).map(|k| padded.narrow(0, k, time));
            Tensor::cat(&shifted.collect::<candle_core::Result<Vec<_>>>()?, 1)?
        };
        let y = windows.matmul(&self.weight)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// Adaptive instance normalisation: every channel is brought to mean 0 and variance 1 over the whole time, then to
/// a spread and a mean that the style decides (Huang and Belongie 2017).
pub(super) struct AdaIn {
    style: Linear,
}

impl AdaIn {
    pub(super) fn load(
        weights: &TensorFile<'_>,
        name: &str,
        channels: usize,
        device: &candle_core::Device,
    ) -> Result<Self> {
        Ok(AdaIn { style: Linear::load(weights, &format!("{name}.fc"), [128, 2 * channels], device)? })
    }

    pub(super) fn forward(&self, x: &Tensor, style: &Tensor) -> candle_core::Result<Tensor> {
        let spread_and_mean = self.style.forward(style)?.chunk(2, D::Minus1)?;
        let centred = x.broadcast_sub(&x.mean_keepdim(0)?)?;
        let variance = centred.sqr()?.mean_keepdim(0)?;
        let spread = ((&spread_and_mean[0] + 1.0)? / (variance + EPSILON)?.sqrt()?)?;
        centred.broadcast_mul(&spread)?.broadcast_add(&spread_and_mean[1])
    }
}

/// A residual block whose normalisations follow the style; may double the time.
pub(super) struct AdaInResidual {
    norm1: AdaIn,
    norm2: AdaIn,
    conv1: Conv,
    conv2: Conv,
    /// Where the number of channels changes.
    shortcut: Option<Conv>,
    doubling: Option<Doubling>,
}

impl AdaInResidual {
    pub(super) fn load(
        weights: &TensorFile<'_>,
        name: &str,
        [input, output]: [usize; 2],
        doubles: bool,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let at = |part: &str| format!("{name}.{part}");
        Ok(AdaInResidual {
            norm1: AdaIn::load(weights, &at("norm1"), input, device)?,
            norm2: AdaIn::load(weights, &at("norm2"), output, device)?,
            conv1: Conv::load(weights, &at("conv1"), [input, output, 3], true, device)?,
            conv2: Conv::load(weights, &at("conv2"), [output, output, 3], true, device)?,
            shortcut: (input != output)
                .then(|| Conv::load(weights, &at("conv1x1"), [input, output, 1], false, device))
                .transpose()?,
            doubling: doubles.then(|| Doubling::load(weights, &at("pool"), input, device)).transpose()?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, style: &Tensor) -> candle_core::Result<Tensor> {
        let mut y = leaky_relu(&self.norm1.forward(x, style)?)?;
        let mut shortcut = x.clone();
        if let Some(doubling) = &self.doubling {
            y = doubling.forward(&y)?;
            shortcut = interleave(&shortcut, &shortcut)?;
        }
        let y = self.conv1.forward(&y)?;
        let y = self.conv2.forward(&leaky_relu(&self.norm2.forward(&y, style)?)?)?;
        if let Some(conv) = &self.shortcut {
            shortcut = conv.forward(&shortcut)?;
        }
        (y + shortcut)? * std::f64::consts::FRAC_1_SQRT_2
    }
}

/// The depthwise transposed convolution (kernel 3, stride 2, padding 1, output padding 1) that doubles the time.
/// An even step sees one input, an odd step the two beside it.
struct Doubling {
    /// The kernel's three taps, [channels] each.
    taps: [Tensor; 3],
    bias: Tensor,
}

impl Doubling {
    fn load(
        weights: &TensorFile<'_>,
        name: &str,
        channels: usize,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let stored = weights.values(&format!("{name}.weight"), &[channels, 1, 3])?;
        let tap = |n: usize| Tensor::from_iter(stored.iter().skip(n).step_by(3).copied(), device);
        let tap = |n| tap(n).map_err(ModelError::tensor("loading weights"));
        Ok(Doubling {
            taps: [tap(0)?, tap(1)?, tap(2)?],
            bias: weights.tensor(&format!("{name}.bias"), &[channels], device)?,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let time = x.dim(0)?;
        let next = x.pad_with_zeros(0, 0, 1)?.narrow(0, 1, time)?;
        let [left, middle, right] = &self.taps;
        let even = x.broadcast_mul(middle)?.broadcast_add(&self.bias)?;
        let odd = (x.broadcast_mul(right)? + next.broadcast_mul(left)?)?.broadcast_add(&self.bias)?;
        interleave(&even, &odd)
    }
}

/// max(x, 0.2 x).
pub(super) fn leaky_relu(x: &Tensor) -> candle_core::Result<Tensor> {
    x.maximum(&(x * 0.2)?)
}

/// Two [time, channels] -> [2 time, channels], row by row in turn.
fn interleave(even: &Tensor, odd: &Tensor) -> candle_core::Result<Tensor> {
    let (time, channels) = even.dims2()?;
    Tensor::stack(&[even, odd], 1)?.reshape((2 * time, channels))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    fn apart(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn the_doubling_equals_the_transposed_convolution_it_stands_for() {
        let weight = Tensor::randn(0.0_f32, 1.0, (6, 1, 3), &Device::Cpu).unwrap();
        let tap = |n| weight.narrow(2, n, 1).unwrap().flatten_all().unwrap();
        let bias = Tensor::randn(0.0_f32, 1.0, 6, &Device::Cpu).unwrap();
        let doubling = Doubling { taps: [tap(0), tap(1), tap(2)], bias: bias.clone() };
        let x = Tensor::randn(0.0_f32, 1.0, (5, 6), &Device::Cpu).unwrap();
        let channels_first = x.t().unwrap().unsqueeze(0).unwrap().contiguous().unwrap();
        let expected = channels_first.conv_transpose1d(&weight, 1, 1, 2, 1, 6).unwrap().squeeze(0).unwrap();
        let expected = expected.t().unwrap().broadcast_add(&bias).unwrap();
        assert!(apart(&doubling.forward(&x).unwrap(), &expected) < 1e-6);
    }

    #[test]
    fn the_convolution_equals_candles() {
        for kernel in [1, 3, 5] {
            let weight = Tensor::randn(0.0_f32, 1.0, (4, 3, kernel), &Device::Cpu).unwrap();
            let turned = weight.permute((2, 1, 0)).unwrap().contiguous().unwrap();
            let conv = Conv { weight: turned.reshape((kernel * 3, 4)).unwrap(), bias: None, kernel };
            let x = Tensor::randn(0.0_f32, 1.0, (7, 3), &Device::Cpu).unwrap();
            let channels_first = x.t().unwrap().unsqueeze(0).unwrap().contiguous().unwrap();
            let expected = channels_first.conv1d(&weight, kernel / 2, 1, 1, 1).unwrap().squeeze(0).unwrap();
            assert!(apart(&conv.forward(&x).unwrap(), &expected.t().unwrap()) < 1e-5, "kernel {kernel}");
        }
    }
}
