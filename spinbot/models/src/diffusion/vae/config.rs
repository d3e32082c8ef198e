//! The autoencoder's configuration under diffusers' names.

use crate::error::{ModelError, Result};
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

/// `vae/config.json`; what is missing has diffusers' defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct AutoencoderKlConfig {
    /// Channels of a level, finest first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of a level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Groups of every normalisation.
    pub norm_num_groups: usize,
    /// What latents are multiplied with for the UNet.
    pub scaling_factor: f64,
    /// What is subtracted from them before.
    pub shift_factor: Option<f64>,
    /// The channels' means, instead of `shift_factor`.
    pub latents_mean: Option<Vec<f64>>,
    /// The channels' deviations, which divide them too.
    pub latents_std: Option<Vec<f64>>,
    /// Whether f16 is too narrow for it.
    pub force_upcast: bool,
    /// Whether a 1x1 convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether one precedes the decoder.
    pub use_post_quant_conv: bool,
    /// Whether the coarsest level attends.
    pub mid_block_add_attention: bool,
    pub(super) down_block_types: Vec<String>,
    pub(super) up_block_types: Vec<String>,
    pub(super) act_fn: String,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
}

impl Default for AutoencoderKlConfig {
    fn default() -> Self {
        AutoencoderKlConfig {
            block_out_channels: vec![64],
            layers_per_block: 1,
            latent_channels: 4,
            norm_num_groups: 32,
            scaling_factor: 0.18215,
            shift_factor: None,
            latents_mean: None,
            latents_std: None,
            force_upcast: true,
            use_quant_conv: true,
            use_post_quant_conv: true,
            mid_block_add_attention: true,
            down_block_types: vec!["DownEncoderBlock2D".into()],
            up_block_types: vec!["UpDecoderBlock2D".into()],
            act_fn: "silu".into(),
            in_channels: 3,
            out_channels: 3,
        }
    }
}

impl AutoencoderKlConfig {
    /// Reads the bytes of a `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when it is no such file or of another kind of autoencoder.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let refuse = |reason: String| ModelError::Weights {
            model: "vae".into(),
            reason: format!("its config.json: {reason}"),
        };
        let config: AutoencoderKlConfig = serde_json::from_slice(json).map_err(|e| refuse(e.to_string()))?;
        let levels = config.block_out_channels.len();
        for (types, built) in
            [(&config.down_block_types, "DownEncoderBlock2D"), (&config.up_block_types, "UpDecoderBlock2D")]
        {
            if let Some(other) = types.iter().find(|kind| *kind != built) {
                return Err(refuse(format!("blocks of the type {other} are not built here, only {built}")));
            }
            if types.len() != levels {
                return Err(refuse(format!("{levels} levels of channels and {} of {built}", types.len())));
            }
        }
        // Eight levels are 128 pixels a latent; none has more than four.
        if !(1..=8).contains(&levels) {
            return Err(refuse(format!("{levels} levels")));
        }
        if !matches!(config.act_fn.as_str(), "silu" | "swish") {
            return Err(refuse(format!("the activation {} is not built here, only silu", config.act_fn)));
        }
        if (config.in_channels, config.out_channels) != (3, 3) {
            return Err(refuse("its pictures are not RGB".into()));
        }
        let channels =
            [&config.latents_mean, &config.latents_std].map(|list| list.as_ref().map_or(0, Vec::len));
        if channels != [0, 0] && channels != [config.latent_channels; 2] {
            return Err(refuse("latents_mean and latents_std are not one value per latent channel".into()));
        }
        if config.scaling_factor == 0.0 || config.latents_std.iter().flatten().any(|&std| std == 0.0) {
            return Err(refuse("latents would be divided by 0".into()));
        }
        Ok(config)
    }

    /// What to load its weights as where the other networks are of that type: f32 instead of f16 if the autoencoder
    /// overflows in it.
    pub fn dtype(&self, wanted: DType) -> DType {
        if wanted == DType::F16 && self.force_upcast { DType::F32 } else { wanted }
    }

    pub(super) fn factor(&self) -> usize {
        1 << (self.block_out_channels.len().saturating_sub(1))
    }

    /// `(scale, shift)`, `[1, c, 1, 1]`: the UNet's latents are `(latents - shift)·scale`.
    pub(super) fn scale_and_shift(&self, device: &Device) -> candle_core::Result<(Tensor, Tensor)> {
        let shape = (1, self.latent_channels, 1, 1);
        let filled = |value: f64| vec![value; self.latent_channels];
        let (scale, shift) = match (&self.latents_mean, &self.latents_std) {
            (Some(mean), Some(std)) => {
                (std.iter().map(|std| self.scaling_factor / std).collect(), mean.clone())
            }
            _ => (filled(self.scaling_factor), filled(self.shift_factor.unwrap_or(0.0))),
        };
        let tensor = |values: Vec<f64>| {
            Tensor::from_vec(values.into_iter().map(|value| value as f32).collect(), shape, device)
        };
        Ok((tensor(scale)?, tensor(shift)?))
    }
}
