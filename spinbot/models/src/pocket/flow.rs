//! The flow head: a small network that turns noise into a latent under the transformer's hidden vector (Li et al. 2024,
//! arXiv 2406.11838), with two times for Lagrangian self distillation, one for plain flow matching, or none.

use super::config::OneStep;
use super::file::{Tensors, refuse};
use super::layers::{LayerNorm, Linear};
use crate::error::{ModelError, Result};
use candle_core::{D, Tensor};

const EPS: f64 = 1e-6;

pub(super) struct FlowHead {
    input: Linear,
    cond: Linear,
    times: Vec<TimeEmbedding>,
    blocks: Vec<Block>,
    last_modulation: Linear,
    last: Linear,
    last_norm: LayerNorm,
    one_step: OneStep,
    pub(super) latent: usize,
}

/// A scalar time as cosines and sines, then two layers and a normalisation.
struct TimeEmbedding {
    /// [1, n]
    frequencies: Tensor,
    first: Linear,
    second: Linear,
    alpha: Tensor,
}

struct Block {
    norm: LayerNorm,
    first: Linear,
    second: Linear,
    modulation: Linear,
}

/// The way from noise to latent in a number of steps: for each its embedded times, if the head takes any.
pub(super) struct Path {
    steps: Vec<Option<Tensor>>,
}

impl FlowHead {
    /// Reads `{prefix}.*`; all sizes come from the shapes.
    pub(super) fn load(w: &Tensors<'_>, prefix: &str, one_step: OneStep) -> Result<Self> {
        let [width, latent] = w.dims::<2>(&format!("{prefix}.input_proj.weight"))?;
        let [_, cond] = w.dims::<2>(&format!("{prefix}.cond_embed.weight"))?;
        let linear = |name: String, sizes| Linear::load(w, &name, sizes);
        let times = w.count(&format!("{prefix}.time_embed."), ".freqs");
        if times > 2 {
            return Err(refuse(format!("its flow head takes {times} times, expected two at most")));
        }
        let blocks = w.count(&format!("{prefix}.res_blocks."), ".in_ln.weight");
        let block = |n: usize| {
            let name = format!("{prefix}.res_blocks.{n}");
            Ok(Block {
                norm: LayerNorm::load(w, &format!("{name}.in_ln"), width, EPS)?,
                first: linear(format!("{name}.mlp.0"), [width, width])?,
                second: linear(format!("{name}.mlp.2"), [width, width])?,
                modulation: linear(format!("{name}.adaLN_modulation.1"), [width, 3 * width])?,
            })
        };
        let time = |n: usize| TimeEmbedding::load(w, &format!("{prefix}.time_embed.{n}"), width);
        Ok(FlowHead {
            input: linear(format!("{prefix}.input_proj"), [latent, width])?,
            cond: linear(format!("{prefix}.cond_embed"), [cond, width])?,
            times: (0..times).map(time).collect::<Result<_>>()?,
            blocks: (0..blocks).map(block).collect::<Result<_>>()?,
            last_modulation: linear(format!("{prefix}.final_layer.adaLN_modulation.1"), [width, 2 * width])?,
            last: linear(format!("{prefix}.final_layer.linear"), [width, latent])?,
            last_norm: LayerNorm::plain(EPS),
            one_step,
            latent,
        })
    }

    /// How many steps suit this head, and how many it can take at most: a head without times has only the one.
    pub(super) fn steps(&self) -> (usize, usize) {
        match self.times.len() {
            0 => (1, 1),
            1 => (16, 128),
            _ => (1, 128),
        }
    }

    /// The times of `steps` equal steps from noise (0) to latent (1).
    pub(super) fn path(&self, steps: usize) -> candle_core::Result<Path> {
        let at = |n: usize| n as f32 / steps as f32;
        let embed = |step: usize| match self.times.as_slice() {
            [from, to] => {
                let sum = (from.forward(at(step))? + to.forward(at(step + 1))?)?;
                Ok(Some((sum / 2.0)?))
            }
            [from] => from.forward(at(step)).map(Some),
            _ => Ok(None),
        };
        Ok(Path { steps: (0..steps).map(embed).collect::<candle_core::Result<_>>()? })
    }

    /// Hidden vector [1, cond] and noise [1, latent] to a latent [1, latent].
    pub(super) fn decode(&self, hidden: &Tensor, noise: &Tensor, path: &Path) -> candle_core::Result<Tensor> {
        let cond = self.cond.forward(hidden)?;
        let share = 1.0 / path.steps.len() as f64;
        let mut x = noise.clone();
        for times in &path.steps {
            x = match times {
                Some(times) => (&x + (self.flow(&(&cond + times)?, &x)? * share)?)?,
                None => match self.one_step {
                    OneStep::Drifting => self.flow(&cond, &x)?,
                    OneStep::Pointwise => (&x + self.flow(&cond, &x)?)?,
                },
            };
        }
        Ok(x)
    }

    /// The flow at x under the summed conditions, both [1, _].
    fn flow(&self, conditions: &Tensor, x: &Tensor) -> candle_core::Result<Tensor> {
        let conditions = conditions.silu()?;
        let mut x = self.input.forward(x)?;
        for block in &self.blocks {
            let modulation = block.modulation.forward(&conditions)?.chunk(3, D::Minus1)?;
            let h = modulate(&block.norm.forward(&x)?, &modulation[0], &modulation[1])?;
            let h = block.second.forward(&block.first.forward(&h)?.silu()?)?;
            x = (x + (&modulation[2] * h)?)?;
        }
        let modulation = self.last_modulation.forward(&conditions)?.chunk(2, D::Minus1)?;
        self.last.forward(&modulate(&self.last_norm.forward(&x)?, &modulation[0], &modulation[1])?)
    }
}

fn modulate(x: &Tensor, shift: &Tensor, scale: &Tensor) -> candle_core::Result<Tensor> {
    ((x * (scale + 1.0)?)? + shift)?.contiguous()
}

impl TimeEmbedding {
    fn load(w: &Tensors<'_>, name: &str, width: usize) -> Result<Self> {
        let [n] = w.dims::<1>(&format!("{name}.freqs"))?;
        let frequencies = w.get(&format!("{name}.freqs"), &[n])?;
        if width < 2 {
            return Err(refuse(format!("`{name}` is {width} wide, expected two or more")));
        }
        Ok(TimeEmbedding {
            frequencies: frequencies.unsqueeze(0).map_err(ModelError::tensor("loading weights"))?,
            first: Linear::load(w, &format!("{name}.mlp.0"), [2 * n, width])?,
            second: Linear::load(w, &format!("{name}.mlp.2"), [width, width])?,
            alpha: w.get(&format!("{name}.mlp.3.alpha"), &[width])?,
        })
    }

    fn forward(&self, time: f32) -> candle_core::Result<Tensor> {
        let angles = (&self.frequencies * f64::from(time))?;
        let x = Tensor::cat(&[angles.cos()?, angles.sin()?], D::Minus1)?;
        let x = self.second.forward(&self.first.forward(&x)?.silu()?)?;
        // The reference divides by the standard deviation (n - 1 in its denominator) without centring.
        let deviation = (x.var_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
        x.broadcast_div(&deviation)?.broadcast_mul(&self.alpha)
    }
}
