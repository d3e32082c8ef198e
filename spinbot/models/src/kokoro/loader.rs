//! Taking the decoder's layers out of a weight file, and which of them an adapter can change.

use super::adapters::Style;
use crate::error::{ModelError, Result};
use crate::ops::{Before, Conv, LowRank, OpSet, Snake, Target, Then};
use candle_core::{Device, Tensor};

/// How wide the style vector is.
pub(super) const STYLE: usize = 128;

/// A convolution that an adapter may change: its place among those.
#[derive(Debug)]
pub(super) struct AdaptedConv {
    conv: Conv,
    place: usize,
}

impl AdaptedConv {
    pub(super) fn run(
        &self,
        x: &Tensor,
        before: Before,
        style: &Style,
        target: Target,
    ) -> candle_core::Result<Tensor> {
        self.conv.run(x, before, style.adapter(self.place), target)
    }

    pub(super) fn merge(&mut self, adapters: &[LowRank]) -> candle_core::Result<()> {
        match adapters.get(self.place) {
            Some(adapter) => self.conv.merge(adapter),
            None => Ok(()),
        }
    }
}

/// An AdaIN layer: where its γ and β lie among those of all layers.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdaIn {
    start: usize,
    channels: usize,
}

impl AdaIn {
    /// γ, then β.
    pub(super) fn of(&self, style: &Style) -> candle_core::Result<Tensor> {
        style.affine.narrow(0, self.start, 2 * self.channels)
    }

    /// What happens to the input of a convolution behind this layer.
    pub(super) fn then<'a>(&self, affine: &'a Tensor, then: Then<'a>) -> Before<'a> {
        debug_assert_eq!(affine.elem_count(), 2 * self.channels);
        Before::Norm(affine, then)
    }
}

/// What an adapter can change, in the order of the layers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Adaptable {
    /// Name, outputs and inputs·taps of each convolution.
    pub(super) convs: Vec<(String, usize, usize)>,
    /// Name and channels of each AdaIN layer.
    pub(super) norms: Vec<(String, usize)>,
}

/// Gives the f32 tensor of that name, which must have that shape.
pub(super) type Tensors<'a> = &'a dyn Fn(&str, &[usize]) -> Result<Tensor>;

/// Takes layers by name.
pub(super) struct Loader<'a> {
    tensors: Tensors<'a>,
    device: &'a Device,
    pub(super) set: OpSet,
    pub(super) adaptable: Adaptable,
    style_weights: Vec<Tensor>,
    style_biases: Vec<Tensor>,
    style_rows: usize,
}

/// `map_err` for what the tensor library refuses while loading.
fn loading(error: candle_core::Error) -> ModelError {
    ModelError::Tensor { doing: "loading the speech decoder", source: error }
}

impl<'a> Loader<'a> {
    pub(super) fn new(tensors: Tensors<'a>, device: &'a Device, set: OpSet) -> Self {
        Loader {
            tensors,
            device,
            set,
            adaptable: Adaptable::default(),
            style_weights: Vec::new(),
            style_biases: Vec::new(),
            style_rows: 0,
        }
    }

    /// The f32 tensor of that name, which must have that shape.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        (self.tensors)(name, shape)?.to_device(self.device).map_err(loading)
    }

    /// The values of a small tensor.
    pub(super) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.tensor(name, shape)?.flatten_all().and_then(|flat| flat.to_vec1()).map_err(loading)
    }

    /// A convolution that stays as it is, from weights and a bias that the caller may have reshaped.
    pub(super) fn frozen(&self, weight: &Tensor, bias: &Tensor) -> Result<Conv> {
        Conv::new(self.set, weight, Some(bias), 1, 0).map_err(loading)
    }

    /// A transposed convolution of twice as many taps as its stride.
    pub(super) fn transposed(
        &self,
        name: &str,
        [inputs, outputs]: [usize; 2],
        stride: usize,
    ) -> Result<Conv> {
        let weight = self.tensor(&format!("{name}.weight"), &[inputs, outputs, 2 * stride])?;
        let bias = self.tensor(&format!("{name}.bias"), &[outputs])?;
        Conv::transposed(self.set, &weight, &bias, stride).map_err(loading)
    }

    /// A convolution as long as its input, which an adapter may change.
    pub(super) fn conv(
        &mut self,
        name: &str,
        [inputs, outputs, kernel]: [usize; 3],
        dilation: usize,
        bias: bool,
    ) -> Result<AdaptedConv> {
        let weight = self.tensor(&format!("{name}.weight"), &[outputs, inputs, kernel])?;
        let bias = if bias { Some(self.tensor(&format!("{name}.bias"), &[outputs])?) } else { None };
        let padding = dilation * (kernel - 1) / 2;
        let conv = Conv::new(self.set, &weight, bias.as_ref(), dilation, padding).map_err(loading)?;
        self.adaptable.convs.push((name.to_owned(), outputs, inputs * kernel));
        Ok(AdaptedConv { conv, place: self.adaptable.convs.len() - 1 })
    }

    /// An AdaIN layer.
    pub(super) fn norm(&mut self, name: &str, channels: usize) -> Result<AdaIn> {
        self.style_weights.push(self.tensor(&format!("{name}.fc.weight"), &[2 * channels, STYLE])?);
        self.style_biases.push(self.tensor(&format!("{name}.fc.bias"), &[2 * channels])?);
        self.adaptable.norms.push((name.to_owned(), channels));
        let start = self.style_rows;
        self.style_rows += 2 * channels;
        Ok(AdaIn { start, channels })
    }

    /// Snake's α.
    pub(super) fn snake(&self, name: &str, channels: usize) -> Result<Snake> {
        Snake::new(&self.tensor(name, &[1, channels, 1])?).map_err(loading)
    }

    /// The one layer that makes γ and β of all AdaIN layers from the style, and what an adapter can change.
    pub(super) fn finish(self) -> Result<(Conv, Adaptable)> {
        let weight = Tensor::cat(&self.style_weights, 0).and_then(|weight| weight.unsqueeze(2));
        let bias = Tensor::cat(&self.style_biases, 0);
        let conv = self.frozen(&weight.map_err(loading)?, &bias.map_err(loading)?)?;
        Ok((conv, self.adaptable))
    }
}
