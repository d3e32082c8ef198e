//! The residual block, the changes of size, and the order in which they make up the network.

use super::config::UNetConfig;
use super::transformer::Transformer2D;
use super::{Given, State};
use crate::diffusion::adapters::Adapters;
use crate::diffusion::layers::{Before, Conv2d, ConvConfig, GroupNorm, Linear, Weights, upsample_nearest};
use crate::ops::OpSet;
use candle_core::{D, Result, Tensor};

/// Two convolutions around the time's embedding, beside a shortcut (diffusers' `ResnetBlock2D`).
#[derive(Debug, Clone)]
struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Linear>,
}

impl ResnetBlock {
    fn load(config: &UNetConfig, weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        let norm = |name, channels| {
            GroupNorm::load(&weights.pp(name), channels, config.norm_num_groups, config.norm_eps)
        };
        let conv = |name, inputs| Conv2d::load(&weights.pp(name), inputs, outputs, ConvConfig::same(3));
        let time = 4 * config.block_out_channels[0];
        let shortcut = || Linear::load_conv1x1(&weights.pp("conv_shortcut"), inputs, outputs);
        Ok(ResnetBlock {
            norm1: norm("norm1", inputs)?,
            conv1: conv("conv1", inputs)?,
            time_emb_proj: Linear::load(&weights.pp("time_emb_proj"), time, outputs, true)?,
            norm2: norm("norm2", outputs)?,
            conv2: conv("conv2", outputs)?,
            conv_shortcut: (inputs != outputs).then(shortcut).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor, time: &Tensor, adapters: &Adapters) -> Result<Tensor> {
        let time = self.time_emb_proj.forward(time, adapters)?.unsqueeze(1)?.unsqueeze(1)?;
        let h = self.conv1.run(x, Before::GroupSilu(&self.norm1), Some(&time), adapters)?;
        let shortcut = match &self.conv_shortcut {
            Some(layer) => layer.forward(x, adapters)?,
            None => x.clone(),
        };
        self.conv2.run(&h, Before::GroupSilu(&self.norm2), Some(&shortcut), adapters)
    }
}

/// What happens between two points at which training may stop keeping things.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one")]
enum Work {
    Block { resnet: ResnetBlock, transformer: Option<Transformer2D> },
    Downsample(Conv2d),
    Upsample(Conv2d, OpSet),
}

/// One step of the network.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    work: Work,
    /// Whether it continues from the latest skip as well.
    takes: bool,
    /// Whether its result is a skip.
    leaves: bool,
}

impl Segment {
    pub(super) fn run(&self, state: State, given: &Given, adapters: &Adapters) -> Result<State> {
        let State { mut hidden, mut skips } = state;
        if self.takes {
            let Some(skip) = skips.pop() else { candle_core::bail!("more blocks up than down") };
            hidden = Tensor::cat(&[hidden, skip], D::Minus1)?;
        }
        hidden = match &self.work {
            Work::Block { resnet, transformer } => {
                let h = resnet.forward(&hidden, &given.time, adapters)?;
                match transformer {
                    Some(transformer) => transformer.forward(&h, &given.text, adapters)?,
                    None => h,
                }
            }
            Work::Downsample(conv) => conv.forward(&hidden, adapters)?,
            Work::Upsample(conv, set) => conv.forward(&upsample_nearest(&hidden, *set)?, adapters)?,
        };
        if self.leaves {
            skips.push(hidden.clone());
        }
        Ok(State { hidden, skips })
    }

    /// Whether it continues from the latest skip as well.
    pub(super) fn takes(&self) -> bool {
        self.takes
    }

    pub(super) fn set_attention_slice(&mut self, scores: usize) {
        if let Work::Block { transformer: Some(transformer), .. } = &mut self.work {
            transformer.set_attention_slice(scores);
        }
    }
}

/// All segments, in the order of their running.
pub(super) fn load(config: &UNetConfig, weights: &Weights) -> Result<Vec<Segment>> {
    let channels = &config.block_out_channels;
    let last = channels.len() - 1;
    let mut segments = Vec::new();
    let resampled = |place: &Weights, name, width, stride| {
        let conv = ConvConfig { kernel: 3, stride, padding: 1 };
        Conv2d::load(&place.pp(name).pp("0.conv"), width, width, conv)
    };

    // What each skip is wide.
    let mut widths = vec![channels[0]];
    for (i, kind) in config.down_block_types.iter().enumerate() {
        let place = weights.pp(format!("down_blocks.{i}"));
        for layer in 0..config.layers_per_block.at(i) {
            let inputs = *widths.last().unwrap_or(&channels[0]);
            let resnet =
                ResnetBlock::load(config, &place.pp(format!("resnets.{layer}")), inputs, channels[i])?;
            let attends = kind == "CrossAttnDownBlock2D";
            let transformer = || Transformer2D::load(config, &place.pp(format!("attentions.{layer}")), i);
            let transformer = attends.then(transformer).transpose()?;
            segments.push(Segment { work: Work::Block { resnet, transformer }, takes: false, leaves: true });
            widths.push(channels[i]);
        }
        if i < last {
            let work = Work::Downsample(resampled(&place, "downsamplers", channels[i], 2)?);
            segments.push(Segment { work, takes: false, leaves: true });
            widths.push(channels[i]);
        }
    }

    let place = weights.pp("mid_block");
    let mut width = channels[last];
    for i in 0..2 {
        let resnet = ResnetBlock::load(config, &place.pp(format!("resnets.{i}")), width, width)?;
        let transformer = || Transformer2D::load(config, &place.pp("attentions.0"), last);
        let transformer = (i == 0).then(transformer).transpose()?;
        segments.push(Segment { work: Work::Block { resnet, transformer }, takes: false, leaves: false });
    }

    for (i, kind) in config.up_block_types.iter().enumerate() {
        let (place, level) = (weights.pp(format!("up_blocks.{i}")), last - i);
        for layer in 0..=config.layers_per_block.at(level) {
            let inputs = width + widths.pop().unwrap_or(0);
            width = channels[level];
            let resnet = ResnetBlock::load(config, &place.pp(format!("resnets.{layer}")), inputs, width)?;
            let attends = kind == "CrossAttnUpBlock2D";
            let transformer = || Transformer2D::load(config, &place.pp(format!("attentions.{layer}")), level);
            let transformer = attends.then(transformer).transpose()?;
            segments.push(Segment { work: Work::Block { resnet, transformer }, takes: true, leaves: false });
        }
        if i < last {
            let work = Work::Upsample(resampled(&place, "upsamplers", width, 1)?, weights.op_set());
            segments.push(Segment { work, takes: false, leaves: false });
        }
    }
    Ok(segments)
}
