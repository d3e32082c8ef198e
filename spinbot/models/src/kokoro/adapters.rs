//! What cloning changes of the decoder: a low-rank adapter beside each convolution, and offsets of every AdaIN
//! layer's γ and β.

use super::decoder::Decoder;
use super::loader::Adaptable;
use crate::error::{ModelError, Result};
use crate::ops::LowRank;
use candle_core::{Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::collections::HashMap;
use std::path::Path;

/// The highest rank that is believed of a file.
const MAX_RANK: usize = 64;

/// Adapters of one voice.
///
/// Each convolution's weights W, `[outputs, inputs, taps]`, act as `W + B·A` with A `[rank, inputs·taps]` and B
/// `[outputs, rank]`; each AdaIN layer's γ and β are moved by a constant. At rank 4 that is 539,000 numbers.
#[derive(Debug, Clone)]
pub struct Adapters {
    adaptable: Adaptable,
    pub(super) low_rank: Vec<LowRank>,
    /// Added to γ and β of each AdaIN layer.
    offsets: Vec<Tensor>,
    variables: Vec<Var>,
}

/// The style as the layers read it.
pub(super) struct Style<'a> {
    /// γ and β of all AdaIN layers.
    pub(super) affine: Tensor,
    pub(super) adapters: Option<&'a Adapters>,
}

impl Style<'_> {
    pub(super) fn adapter(&self, place: usize) -> Option<&LowRank> {
        self.adapters.and_then(|adapters| adapters.low_rank.get(place))
    }
}

impl Adapters {
    /// Fresh adapters that change nothing yet, to be trained: A is normal with spread 1/√(inputs·taps), B and the
    /// offsets are zero.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device refuses them.
    pub fn new(decoder: &Decoder, rank: usize, seed: u64) -> Result<Adapters> {
        let device = decoder.device();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut build = || -> candle_core::Result<Adapters> {
            let adaptable = decoder.adaptable().clone();
            let (mut low_rank, mut variables) = (Vec::new(), Vec::new());
            for (_, outputs, inputs) in &adaptable.convs {
                let spread = (*inputs as f32).sqrt().recip();
                let normal = |_| -> f32 {
                    let normal: f32 = StandardNormal.sample(&mut random);
                    spread * normal
                };
                let down: Vec<f32> = (0..rank * inputs).map(normal).collect();
                let down = Var::from_vec(down, (rank, *inputs), device)?;
                let up = Var::zeros((*outputs, rank), candle_core::DType::F32, device)?;
                low_rank.push(LowRank { down: down.as_tensor().clone(), up: up.as_tensor().clone() });
                variables.extend([down, up]);
            }
            let mut offsets = Vec::new();
            for (_, channels) in &adaptable.norms {
                let offset = Var::zeros(2 * channels, candle_core::DType::F32, device)?;
                offsets.push(offset.as_tensor().clone());
                variables.push(offset);
            }
            Ok(Adapters { adaptable, low_rank, offsets, variables })
        };
        build().map_err(ModelError::tensor("making adapters"))
    }

    /// What an optimiser changes, in the order of [`Adapters::names`]; empty for adapters that cannot be trained.
    pub fn variables(&self) -> &[Var] {
        &self.variables
    }

    /// The names of the tensors: `NAME.down` (A) and `NAME.up` (B) of each convolution, then `NAME.offset` of each
    /// AdaIN layer.
    pub fn names(&self) -> Vec<String> {
        let convs = self.adaptable.convs.iter();
        let convs = convs.flat_map(|(name, ..)| [format!("{name}.down"), format!("{name}.up")]);
        convs.chain(self.adaptable.norms.iter().map(|(name, _)| format!("{name}.offset"))).collect()
    }

    /// All offsets, one after the other.
    pub(super) fn offsets(&self) -> candle_core::Result<Tensor> {
        Tensor::cat(&self.offsets, 0)
    }

    /// How many numbers they are.
    pub fn len(&self) -> usize {
        let low_rank = self.low_rank.iter().flat_map(|adapter| [&adapter.down, &adapter.up]);
        low_rank.chain(&self.offsets).map(Tensor::elem_count).sum()
    }

    /// Whether they are no numbers at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy whose effect is that multiple of this one's, which cannot be trained.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device refuses it.
    pub fn scaled(&self, factor: f32) -> Result<Adapters> {
        let factor = f64::from(factor);
        let build = || -> candle_core::Result<Adapters> {
            let scale = |adapter: &LowRank| {
                Ok(LowRank { down: adapter.down.detach(), up: (adapter.up.detach() * factor)? })
            };
            Ok(Adapters {
                adaptable: self.adaptable.clone(),
                low_rank: self.low_rank.iter().map(scale).collect::<candle_core::Result<_>>()?,
                offsets: self
                    .offsets
                    .iter()
                    .map(|offset| offset.detach() * factor)
                    .collect::<candle_core::Result<_>>()?,
                variables: Vec::new(),
            })
        };
        build().map_err(ModelError::tensor("scaling adapters"))
    }

    /// The tensors by their [`Adapters::names`], as they are stored.
    pub fn tensors(&self) -> HashMap<String, Tensor> {
        let low_rank = self.low_rank.iter().flat_map(|adapter| [&adapter.down, &adapter.up]);
        self.names().into_iter().zip(low_rank.chain(&self.offsets).map(Tensor::detach)).collect()
    }

    /// Adapters from the tensors of [`Adapters::tensors`], to speak with or, if `trainable`, to train further.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when a tensor is missing, has a wrong shape or values that are not finite, or when
    /// ranks differ or exceed 64.
    pub fn from_tensors(
        decoder: &Decoder,
        tensors: &HashMap<String, Tensor>,
        trainable: bool,
    ) -> Result<Adapters> {
        let refuse = |reason| ModelError::Weights { model: "voice adapters".into(), reason };
        let get = |name: String| tensors.get(&name).ok_or_else(|| refuse(format!("`{name}` is missing")));
        let checked = |name: String, shape: &[usize]| -> Result<Tensor> {
            let tensor = get(name.clone())?;
            if tensor.dims() != shape {
                return Err(refuse(format!("`{name}` has shape {:?}, expected {shape:?}", tensor.dims())));
            }
            let values = tensor.to_dtype(candle_core::DType::F32).and_then(|t| t.flatten_all()?.to_vec1());
            let values: Vec<f32> = values.map_err(|e| refuse(format!("`{name}`: {e}")))?;
            if values.iter().any(|value| !value.is_finite()) {
                return Err(refuse(format!("`{name}` holds values that are not finite")));
            }
            Tensor::from_vec(values, shape, decoder.device()).map_err(ModelError::tensor("loading adapters"))
        };
        let adaptable = decoder.adaptable().clone();
        let rank = match adaptable.convs.first() {
            Some((name, ..)) => get(format!("{name}.up"))?.dims().get(1).copied().unwrap_or(0),
            None => 0,
        };
        if rank == 0 || rank > MAX_RANK {
            return Err(refuse(format!("their rank is {rank}, expected 1 to {MAX_RANK}")));
        }
        let mut low_rank = Vec::new();
        for (name, outputs, inputs) in &adaptable.convs {
            let down = checked(format!("{name}.down"), &[rank, *inputs])?;
            low_rank.push(LowRank { down, up: checked(format!("{name}.up"), &[*outputs, rank])? });
        }
        let offsets = adaptable
            .norms
            .iter()
            .map(|(name, channels)| checked(format!("{name}.offset"), &[2 * channels]))
            .collect::<Result<Vec<_>>>()?;
        let mut adapters = Adapters { adaptable, low_rank, offsets, variables: Vec::new() };
        if trainable {
            adapters.make_trainable().map_err(ModelError::tensor("loading adapters"))?;
        }
        Ok(adapters)
    }

    /// The same numbers without the variables, so that no graph is kept.
    pub(super) fn detached(&self) -> Adapters {
        let detach = |adapter: &LowRank| LowRank { down: adapter.down.detach(), up: adapter.up.detach() };
        Adapters {
            adaptable: self.adaptable.clone(),
            low_rank: self.low_rank.iter().map(detach).collect(),
            offsets: self.offsets.iter().map(Tensor::detach).collect(),
            variables: Vec::new(),
        }
    }

    fn make_trainable(&mut self) -> candle_core::Result<()> {
        let low_rank = self.low_rank.iter_mut().flat_map(|adapter| [&mut adapter.down, &mut adapter.up]);
        for tensor in low_rank.chain(&mut self.offsets) {
            let variable = Var::from_tensor(tensor)?;
            *tensor = variable.as_tensor().clone();
            self.variables.push(variable);
        }
        Ok(())
    }

    /// Writes them as safetensors.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        candle_core::safetensors::save(&self.tensors(), path).map_err(ModelError::tensor("saving adapters"))
    }

    /// Reads what [`Adapters::save`] wrote.
    ///
    /// # Errors
    /// As [`Adapters::from_tensors`], and [`ModelError::Tensor`] when the file is no safetensors file.
    pub fn load(decoder: &Decoder, path: &Path, trainable: bool) -> Result<Adapters> {
        let tensors = candle_core::safetensors::load(path, &candle_core::Device::Cpu)
            .map_err(ModelError::tensor("loading adapters"))?;
        Adapters::from_tensors(decoder, &tensors, trainable)
    }
}
