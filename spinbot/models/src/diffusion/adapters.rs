//! LoRA (Hu et al. 2021): low-rank pairs beside the layers of a network, found by their sites.
//!
//! No file formats: what the tensors are called on disk is for who reads and writes them.

use crate::error::{ModelError, Result};
use candle_core::{DType, Device, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What kind of layer a site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteKind {
    /// A linear layer.
    Linear,
    /// A convolution with a square kernel.
    Conv {
        /// Pixels of the kernel's edge.
        kernel: usize,
        /// Pixels from one output to the next.
        stride: usize,
        /// Pixels of zeros at each edge.
        padding: usize,
    },
}

/// A layer that can carry adapters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its place in the order of loading, within its component.
    pub index: usize,
    /// Component and diffusers' path: `unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q`.
    pub path: String,
    /// What it is.
    pub kind: SiteKind,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
}

impl Site {
    /// The shape of A at that rank: `[rank, inputs]`, for a convolution `[rank, inputs, kernel, kernel]`.
    pub fn down_shape(&self, rank: usize) -> Vec<usize> {
        match self.kind {
            SiteKind::Linear => vec![rank, self.inputs],
            SiteKind::Conv { kernel, .. } => vec![rank, self.inputs, kernel, kernel],
        }
    }
}

/// One low-rank pair: its layer gives `y + scale·up(down(x))`.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// A, [`Site::down_shape`]; a convolution's has the layer's stride and padding.
    pub down: Tensor,
    /// B, `[outputs, rank]`.
    pub up: Tensor,
    /// What the product counts by: alpha / rank, times the weight it was asked for with.
    pub scale: f64,
}

impl LowRank {
    /// The rank.
    pub fn rank(&self) -> usize {
        self.down.dims().first().copied().unwrap_or(0)
    }

    /// `scale·inner·Bᵀ` of `[rows, rank]`.
    pub(super) fn raise(&self, inner: &Tensor) -> candle_core::Result<Tensor> {
        inner.matmul(&self.up.to_dtype(inner.dtype())?.t()?)? * self.scale
    }
}

/// Dropout of what adapters see of their layers' inputs.
#[derive(Debug, Clone, Copy)]
struct Dropout {
    probability: f32,
    seed: u64,
}

/// The adapters of one component, by site: none, one or, where LoRAs are mixed, several at each.
#[derive(Debug, Clone, Default)]
pub struct Adapters {
    by_site: Vec<Vec<LowRank>>,
    variables: Vec<(String, Var)>,
    dropout: Option<Dropout>,
}

impl Adapters {
    /// No adapters.
    pub fn none() -> Self {
        Adapters::default()
    }

    /// Fresh adapters for those sites that change nothing yet, to be trained: A as peft draws it (Kaiming uniform
    /// with a = √5, which is ±1/√fan-in), B zeros, `scale` = alpha / rank. They are f32 whatever the network is.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device refuses them.
    pub fn new_trainable(
        sites: &[Site],
        rank: usize,
        alpha: f64,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut build = || {
            let mut adapters = Adapters::none();
            for site in sites {
                let shape = site.down_shape(rank);
                let bound = (shape[1..].iter().product::<usize>() as f32).sqrt().recip();
                let count: usize = shape.iter().product();
                let down: Vec<f32> = (0..count).map(|_| random.random_range(-bound..bound)).collect();
                let down = Tensor::from_vec(down, shape, device)?;
                let up = Tensor::zeros((site.outputs, rank), DType::F32, device)?;
                adapters.push_trainable(site, &down, &up, alpha / rank as f64)?;
            }
            Ok(adapters)
        };
        build().map_err(ModelError::tensor("making adapters"))
    }

    /// Adds a pair that an optimiser may change, from these values: A of the site's [`Site::down_shape`], B
    /// `[outputs, rank]`.
    ///
    /// # Errors
    /// When the device refuses them.
    pub fn push_trainable(
        &mut self,
        site: &Site,
        down: &Tensor,
        up: &Tensor,
        scale: f64,
    ) -> candle_core::Result<()> {
        let (down, up) = (Var::from_tensor(down)?, Var::from_tensor(up)?);
        self.push(site, LowRank { down: down.as_tensor().clone(), up: up.as_tensor().clone(), scale });
        self.variables.push((format!("{}.lora_A", site.path), down));
        self.variables.push((format!("{}.lora_B", site.path), up));
        Ok(())
    }

    /// Adds a pair at a site, beside those that are there.
    pub fn push(&mut self, site: &Site, pair: LowRank) {
        if self.by_site.len() <= site.index {
            self.by_site.resize_with(site.index + 1, Vec::new);
        }
        self.by_site[site.index].push(pair);
    }

    /// The pairs at the site of that index.
    pub fn at(&self, index: usize) -> &[LowRank] {
        self.by_site.get(index).map_or(&[], Vec::as_slice)
    }

    /// What an optimiser changes, by name: each site's path with `.lora_A`, then with `.lora_B`, in the order in which
    /// the sites were given. Empty where nothing can be trained.
    pub fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_site.iter().all(Vec::is_empty)
    }

    /// Drops each value that an adapter sees with that probability, 0 to 1, and scales up the rest; what is dropped
    /// follows from the seed alone, so that running a layer again drops the same. 0 turns it off.
    pub fn set_dropout(&mut self, probability: f32, seed: u64) {
        self.dropout = (probability > 0.0).then_some(Dropout { probability, seed });
    }

    /// The same numbers without variables, so that no graph is kept, and without dropout.
    pub fn detached(&self) -> Self {
        Adapters { dropout: None, ..self.quiet() }
    }

    /// The same numbers and dropout without variables, so that no graph is kept.
    pub(super) fn quiet(&self) -> Self {
        let detach = |pair: &LowRank| LowRank { down: pair.down.detach(), up: pair.up.detach(), ..*pair };
        let by_site = self.by_site.iter().map(|pairs| pairs.iter().map(detach).collect()).collect();
        Adapters { by_site, variables: Vec::new(), dropout: self.dropout }
    }

    /// Whether anything is dropped of what adapters see.
    pub(super) fn drop_any(&self) -> bool {
        self.dropout.is_some()
    }

    /// What the adapters at that site see of x.
    pub(super) fn dropped(&self, site: usize, x: &Tensor) -> candle_core::Result<Tensor> {
        let Some(Dropout { probability, seed }) = self.dropout else { return Ok(x.clone()) };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(site as u64);
        let kept = (1.0 - probability).recip();
        let mask = |_| if random.random::<f32>() < probability { 0.0 } else { kept };
        let mask: Vec<f32> = (0..x.elem_count()).map(mask).collect();
        x * Tensor::from_vec(mask, x.shape(), &Device::Cpu)?.to_device(x.device())?.to_dtype(x.dtype())?
    }
}
