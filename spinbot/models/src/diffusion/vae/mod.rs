//! The autoencoder between pictures and the latents that diffusion works on.
//!
//! What is drawn in the latents, and with which noise, is not known here.

mod blocks;
mod config;
#[cfg(test)]
pub(in crate::diffusion) mod tests;
mod tiles;

pub use config::AutoencoderKlConfig;

use super::adapters::Adapters;
use super::layers::{Linear, Weights, channels_first, channels_last};
use crate::error::{ModelError, Result};
use crate::ops::OpSet;
use blocks::{Decoder, Encoder};
use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use tiles::Tiles;

/// diffusers' `AutoencoderKL` (Esser et al. 2021; Rombach et al. 2022).
///
/// Pictures are `[batch, 3, height, width]` in -1..1 with edges that are multiples of [`AutoencoderKl::factor`].
/// Latents are `[batch, c, height / factor, width / factor]` on the UNet's scale: `scaling_factor` and
/// `shift_factor`, or the channels' mean and deviation where the configuration has them, are applied here and only
/// here. In and out are f32 on the weights' device whatever the weights are.
pub struct AutoencoderKl {
    config: AutoencoderKlConfig,
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Option<Linear>,
    post_quant_conv: Option<Linear>,
    dtype: DType,
    tile: Option<usize>,
}

/// What a picture's latents may be: a normal distribution of each value, on the UNet's scale.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// Means, `[batch, c, h, w]`.
    pub mean: Tensor,
    /// Standard deviations, of the same shape.
    pub deviation: Tensor,
}

impl Posterior {
    /// A sample, from normal noise of the mean's shape.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the noise has another shape.
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        let build = || &self.mean + (&self.deviation * noise)?;
        build().map_err(ModelError::tensor("sampling latents"))
    }
}

impl AutoencoderKl {
    /// Loads the autoencoder. Pictures with an edge above 512 pixels are taken in tiles until
    /// [`AutoencoderKl::set_tile`] says otherwise. What type `vb` should
    /// have says [`AutoencoderKlConfig::dtype`].
    ///
    /// # Errors
    /// [`ModelError::Weights`] when a tensor is missing or has another shape.
    pub fn load(config: &AutoencoderKlConfig, vb: VarBuilder, set: OpSet) -> Result<Self> {
        Self::build(config.clone(), &Weights::new("vae", vb, set)).map_err(ModelError::weights("vae"))
    }

    fn build(config: AutoencoderKlConfig, weights: &Weights) -> candle_core::Result<Self> {
        let channels = config.latent_channels;
        let quant = |wanted: bool, name: &str, channels| match wanted {
            true => Linear::load_conv1x1(&weights.pp(name), channels, channels).map(Some),
            false => Ok(None),
        };
        Ok(AutoencoderKl {
            encoder: Encoder::load(&config, &weights.pp("encoder"))?,
            decoder: Decoder::load(&config, &weights.pp("decoder"))?,
            quant_conv: quant(config.use_quant_conv, "quant_conv", 2 * channels)?,
            post_quant_conv: quant(config.use_post_quant_conv, "post_quant_conv", channels)?,
            dtype: weights.dtype(),
            tile: Some(Tiles::DEFAULT),
            config,
        })
    }

    /// Its configuration.
    pub fn config(&self) -> &AutoencoderKlConfig {
        &self.config
    }

    /// Pixels of a picture's edge per latent: 8 for Stable Diffusion.
    pub fn factor(&self) -> usize {
        self.config.factor()
    }

    /// Takes pictures with an edge of more pixels than this in overlapping tiles of this size, whose seams are
    /// blended; `None` takes any at once. Tiles bound the memory, and each is normalised by itself: tones may differ a
    /// little from one to the next.
    pub fn set_tile(&mut self, pixels: Option<usize>) {
        self.tile = pixels.map(|pixels| pixels.max(4 * self.factor()));
    }

    /// The latents of pictures.
    ///
    /// # Errors
    /// [`ModelError::Drawing`] when the shape is none of a picture, [`ModelError::Tensor`] when the device fails.
    pub fn encode(&self, pictures: &Tensor) -> Result<Posterior> {
        let factor = self.factor();
        match pictures.dims() {
            &[_, 3, h, w] if h > 0 && w > 0 && h % factor == 0 && w % factor == 0 => {}
            other => {
                return Err(ModelError::Drawing {
                    reason: format!("{other:?} is no batch of RGB pictures for this autoencoder"),
                    advice: format!("resize them so that height and width are multiples of {factor}"),
                });
            }
        }
        self.posterior(pictures).map_err(ModelError::tensor("encoding a picture"))
    }

    fn posterior(&self, pictures: &Tensor) -> candle_core::Result<Posterior> {
        let x = channels_last(&pictures.to_dtype(self.dtype)?)?;
        let encode = |x: &Tensor| {
            let x = self.encoder.forward(x)?;
            self.quant_conv.as_ref().map_or(Ok(x.clone()), |conv| conv.forward(&x, &Adapters::none()))
        };
        let tiles = self.tile.map(|tile| Tiles { size: tile, scaled: tile / self.factor() });
        let moments = self.in_passes(&x, self.factor(), tiles, encode)?;
        let (mean, logvar) =
            (moments.narrow(1, 0, self.config.latent_channels)?, self.config.latent_channels);
        let logvar = moments.narrow(1, logvar, logvar)?.clamp(-30.0, 20.0)?;
        let (scale, shift) = self.config.scale_and_shift(pictures.device())?;
        Ok(Posterior {
            mean: mean.broadcast_sub(&shift)?.broadcast_mul(&scale)?,
            deviation: (logvar * 0.5)?.exp()?.broadcast_mul(&scale)?,
        })
    }

    /// The pictures of latents. Values may lie a little outside -1..1.
    ///
    /// # Errors
    /// [`ModelError::Drawing`] when the shape is none of latents, [`ModelError::Tensor`] when the device fails.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        match latents.dims() {
            &[_, c, h, w] if c == self.config.latent_channels && h > 0 && w > 0 => {}
            other => {
                return Err(ModelError::Drawing {
                    reason: format!(
                        "{other:?} are no latents of this autoencoder, which have {} channels",
                        self.config.latent_channels
                    ),
                    advice: "use the autoencoder that the UNet was trained with".into(),
                });
            }
        }
        self.pictures(latents).map_err(ModelError::tensor("decoding a picture"))
    }

    fn pictures(&self, latents: &Tensor) -> candle_core::Result<Tensor> {
        let (scale, shift) = self.config.scale_and_shift(latents.device())?;
        let x = latents.to_dtype(DType::F32)?.broadcast_div(&scale)?.broadcast_add(&shift)?;
        let x = channels_last(&x.to_dtype(self.dtype)?)?;
        let decode = |x: &Tensor| {
            let conv = self.post_quant_conv.as_ref();
            let x = conv.map_or(Ok(x.clone()), |conv| conv.forward(x, &Adapters::none()))?;
            self.decoder.forward(&x)
        };
        let tiles = self.tile.map(|tile| Tiles { size: tile / self.factor(), scaled: tile });
        self.in_passes(&x, 1, tiles, decode)
    }

    /// Runs `network` over `[batch, h, w, c]` in as many pictures at once as together have no more pixels than a
    /// tile, or in tiles, and gives f32 `[batch, c', h', w']`. `unit` is how many of x's pixels make a latent.
    fn in_passes(
        &self,
        x: &Tensor,
        unit: usize,
        tiles: Option<Tiles>,
        network: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<Tensor> {
        let (batch, h, w, _) = x.dims4()?;
        let pixels = h * w * (self.factor() / unit).pow(2);
        let at_once = (Tiles::DEFAULT.pow(2) / pixels).clamp(1, batch.max(1));
        let mut done = Vec::new();
        for first in (0..batch).step_by(at_once) {
            let x = x.narrow(0, first, at_once.min(batch - first))?;
            let y = match &tiles {
                Some(tiles) if h.max(w) > tiles.size => tiles.run(&x, &network)?,
                _ => network(&x)?,
            };
            done.push(channels_first(&y)?.to_dtype(DType::F32)?);
        }
        Tensor::cat(&done, 0)
    }
}
