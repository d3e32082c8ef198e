//! The encoder and the decoder, on `[batch, height, width, channels]`.

use super::AutoencoderKlConfig;
use crate::diffusion::adapters::Adapters;
use crate::diffusion::layers::{
    Attend, Before, Conv2d, ConvConfig, GroupNorm, Linear, Weights, upsample_nearest,
};
use crate::ops::OpSet;
use candle_core::{Result, Tensor};

const EPSILON: f64 = 1e-6;
/// Scores of the middle's attention held at once: 128 MB in f32. A 1024-pixel picture has 268 million.
const SCORES: usize = 1 << 25;

struct Resnet {
    norm1: GroupNorm,
    conv1: Conv2d,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Linear>,
}

impl Resnet {
    fn load(weights: &Weights, inputs: usize, outputs: usize, groups: usize) -> Result<Self> {
        let conv = |name, inputs| Conv2d::load(&weights.pp(name), inputs, outputs, ConvConfig::same(3));
        let shortcut = match inputs == outputs {
            true => None,
            false => Some(Linear::load_conv1x1(&weights.pp("conv_shortcut"), inputs, outputs)?),
        };
        Ok(Resnet {
            norm1: GroupNorm::load(&weights.pp("norm1"), inputs, groups, EPSILON)?,
            conv1: conv("conv1", inputs)?,
            norm2: GroupNorm::load(&weights.pp("norm2"), outputs, groups, EPSILON)?,
            conv2: conv("conv2", outputs)?,
            shortcut,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let none = Adapters::none();
        let y = self.conv1.run(x, Before::GroupSilu(&self.norm1), None, &none)?;
        let residual = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x, &none)?,
            None => x.clone(),
        };
        self.conv2.run(&y, Before::GroupSilu(&self.norm2), Some(&residual), &none)
    }
}

/// Attention of all pixels with one head.
struct Attention {
    group_norm: GroupNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    attend: Attend,
}

impl Attention {
    fn load(weights: &Weights, channels: usize, groups: usize) -> Result<Self> {
        // diffusers before 0.18 named them otherwise, and files of that time are still about.
        let old = weights.contains("query.weight");
        let linear = |name: &str, before: &str| {
            Linear::load(&weights.pp(if old { before } else { name }), channels, channels, true)
        };
        let attend = Attend::new(1, weights.op_set());
        Ok(Attention {
            group_norm: GroupNorm::load(&weights.pp("group_norm"), channels, groups, EPSILON)?,
            q: linear("to_q", "query")?,
            k: linear("to_k", "key")?,
            v: linear("to_v", "value")?,
            out: linear("to_out.0", "proj_attn")?,
            attend: Attend { upcast: true, slice: SCORES, ..attend },
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let none = Adapters::none();
        let (b, h, w, c) = x.dims4()?;
        let tokens = self.group_norm.forward(x, false)?.reshape((b, h * w, c))?;
        let project = |linear: &Linear| linear.forward(&tokens, &none);
        let y = self.attend.forward(&project(&self.q)?, &project(&self.k)?, &project(&self.v)?)?;
        self.out.run(&y.reshape((b, h, w, c))?, Before::Nothing, Some(x), &none)
    }
}

/// The coarsest level of both.
struct Middle {
    before: Resnet,
    attention: Option<Attention>,
    after: Resnet,
}

impl Middle {
    fn load(config: &AutoencoderKlConfig, weights: &Weights, channels: usize) -> Result<Self> {
        let groups = config.norm_num_groups;
        let resnet =
            |number| Resnet::load(&weights.pp(format!("resnets.{number}")), channels, channels, groups);
        let attention = match config.mid_block_add_attention {
            true => Some(Attention::load(&weights.pp("attentions.0"), channels, groups)?),
            false => None,
        };
        Ok(Middle { before: resnet(0)?, attention, after: resnet(1)? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.before.forward(x)?;
        if let Some(attention) = &self.attention {
            x = attention.forward(&x)?;
        }
        self.after.forward(&x)
    }
}

/// One level: residual blocks, then a change of size unless it is the last.
struct Level {
    resnets: Vec<Resnet>,
    sampler: Option<Conv2d>,
}

impl Level {
    fn load(
        weights: &Weights,
        [inputs, outputs]: [usize; 2],
        resnets: usize,
        groups: usize,
        sampler: Option<(&str, ConvConfig)>,
    ) -> Result<Self> {
        let resnet = |number| {
            let inputs = if number == 0 { inputs } else { outputs };
            Resnet::load(&weights.pp(format!("resnets.{number}")), inputs, outputs, groups)
        };
        Ok(Level {
            resnets: (0..resnets).map(resnet).collect::<Result<_>>()?,
            sampler: sampler
                .map(|(name, config)| Conv2d::load(&weights.pp(name), outputs, outputs, config))
                .transpose()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.resnets.iter().try_fold(x.clone(), |x, resnet| resnet.forward(&x))
    }
}

/// Pictures to the latents' means and log variances.
pub(super) struct Encoder {
    conv_in: Conv2d,
    levels: Vec<Level>,
    middle: Middle,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Encoder {
    pub(super) fn load(config: &AutoencoderKlConfig, weights: &Weights) -> Result<Self> {
        let (channels, groups) = (&config.block_out_channels, config.norm_num_groups);
        let (first, last) = ends(channels)?;
        let level = |number: usize| {
            let inputs = channels[number.saturating_sub(1)];
            let halves = ConvConfig { kernel: 3, stride: 2, padding: 0 };
            let sampler = (number + 1 < channels.len()).then_some(("downsamplers.0.conv", halves));
            let weights = weights.pp(format!("down_blocks.{number}"));
            Level::load(&weights, [inputs, channels[number]], config.layers_per_block, groups, sampler)
        };
        let same = ConvConfig::same(3);
        Ok(Encoder {
            conv_in: Conv2d::load(&weights.pp("conv_in"), 3, first, same)?,
            levels: (0..channels.len()).map(level).collect::<Result<_>>()?,
            middle: Middle::load(config, &weights.pp("mid_block"), last)?,
            norm_out: GroupNorm::load(&weights.pp("conv_norm_out"), last, groups, EPSILON)?,
            conv_out: Conv2d::load(&weights.pp("conv_out"), last, 2 * config.latent_channels, same)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let none = Adapters::none();
        let mut x = self.conv_in.forward(x, &none)?;
        for level in &self.levels {
            x = level.forward(&x)?;
            if let Some(sampler) = &level.sampler {
                // Zeros at the right and below only, where a padding of the convolution has them on all sides.
                x = sampler.forward(&x.pad_with_zeros(1, 0, 1)?.pad_with_zeros(2, 0, 1)?, &none)?;
            }
        }
        self.conv_out.run(&self.middle.forward(&x)?, Before::GroupSilu(&self.norm_out), None, &none)
    }
}

/// Latents to pictures.
pub(super) struct Decoder {
    conv_in: Conv2d,
    middle: Middle,
    levels: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    set: OpSet,
}

impl Decoder {
    pub(super) fn load(config: &AutoencoderKlConfig, weights: &Weights) -> Result<Self> {
        let (channels, groups) = (&config.block_out_channels, config.norm_num_groups);
        let (first, last) = ends(channels)?;
        let same = ConvConfig::same(3);
        // The decoder's levels run from the coarsest to the finest.
        let level = |number: usize| {
            let at = channels.len() - 1 - number;
            let inputs = channels[(at + 1).min(channels.len() - 1)];
            let sampler = (at > 0).then_some(("upsamplers.0.conv", same));
            let weights = weights.pp(format!("up_blocks.{number}"));
            Level::load(&weights, [inputs, channels[at]], config.layers_per_block + 1, groups, sampler)
        };
        Ok(Decoder {
            conv_in: Conv2d::load(&weights.pp("conv_in"), config.latent_channels, last, same)?,
            middle: Middle::load(config, &weights.pp("mid_block"), last)?,
            levels: (0..channels.len()).map(level).collect::<Result<_>>()?,
            norm_out: GroupNorm::load(&weights.pp("conv_norm_out"), first, groups, EPSILON)?,
            conv_out: Conv2d::load(&weights.pp("conv_out"), first, 3, same)?,
            set: weights.op_set(),
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let none = Adapters::none();
        let mut x = self.middle.forward(&self.conv_in.forward(x, &none)?)?;
        for level in &self.levels {
            x = level.forward(&x)?;
            if let Some(sampler) = &level.sampler {
                x = sampler.forward(&upsample_nearest(&x, self.set)?, &none)?;
            }
        }
        self.conv_out.run(&x, Before::GroupSilu(&self.norm_out), None, &none)
    }
}

fn ends(channels: &[usize]) -> Result<(usize, usize)> {
    match (channels.first(), channels.last()) {
        (Some(&first), Some(&last)) => Ok((first, last)),
        _ => candle_core::bail!("an autoencoder without levels"),
    }
}
