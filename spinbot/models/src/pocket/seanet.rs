//! SEANet, the convolutional halves of the codec (Tagliasacchi et al. 2020; EnCodec, Défossez et al. 2022): from
//! samples to vectors at a reduced rate and back. Depth, widths and strides are read from the shapes.

use super::file::{Tensors, refuse};
use super::layers::{Before, Conv, Streams, UpConv};
use crate::error::Result;
use candle_core::Tensor;

/// Samples a vector, at most; the releases have 120.
const MAX_HOP: usize = 4096;

enum Stage {
    Conv(Conv),
    Up(UpConv),
    Residual(Conv, Conv),
    Elu,
}

/// A run of stages; [channels in, time] to [channels out, time'].
pub(super) struct SeaNet {
    stages: Vec<Stage>,
    /// Channels of what comes in and what goes out.
    pub(super) channels: [usize; 2],
    /// By how much the rate changes, down or up.
    pub(super) hop: usize,
}

impl SeaNet {
    /// The encoder, `{prefix}.model.N`: samples to vectors.
    pub(super) fn encoder(w: &Tensors<'_>, prefix: &str) -> Result<Self> {
        let mut net = SeaNet::start(w, prefix)?;
        let mut at = 1;
        loop {
            at += net.residuals(w, prefix, at)?;
            let name = format!("{prefix}.model.{}.conv", at + 1);
            let [output, input, kernel] = w.dims::<3>(&format!("{name}.weight"))?;
            // What follows the last reduction is an ordinary convolution with no stage behind it.
            if w.shape(&format!("{prefix}.model.{}.conv.weight", at + 3)).is_none()
                && w.shape(&format!("{prefix}.model.{}.block.1.conv.weight", at + 2)).is_none()
            {
                return net.finish(w, &name, [input, output, kernel]);
            }
            net.change_hop(&name, kernel)?;
            net.stages.push(Stage::Elu);
            net.stages.push(Stage::Conv(Conv::down(w, &name, [input, output, kernel], Before::Zeros)?));
            at += 2;
        }
    }

    /// The decoder, `{prefix}.model.N`: vectors to samples.
    pub(super) fn decoder(w: &Tensors<'_>, prefix: &str) -> Result<Self> {
        let mut net = SeaNet::start(w, prefix)?;
        let mut at = 1;
        loop {
            let name = format!("{prefix}.model.{}.convtr", at + 1);
            if w.shape(&format!("{name}.weight")).is_none() {
                let name = format!("{prefix}.model.{}.conv", at + 1);
                let [output, input, kernel] = w.dims::<3>(&format!("{name}.weight"))?;
                return net.finish(w, &name, [input, output, kernel]);
            }
            let [input, output, kernel] = w.dims::<3>(&format!("{name}.weight"))?;
            net.change_hop(&name, kernel)?;
            net.stages.push(Stage::Elu);
            net.stages.push(Stage::Up(UpConv::load(w, &name, [input, output, kernel])?));
            at += 2;
            at += net.residuals(w, prefix, at)?;
        }
    }

    fn start(w: &Tensors<'_>, prefix: &str) -> Result<Self> {
        let name = format!("{prefix}.model.0.conv");
        let [output, input, kernel] = w.dims::<3>(&format!("{name}.weight"))?;
        let first = Stage::Conv(Conv::load(w, &name, [input, output, kernel], 1)?);
        Ok(SeaNet { stages: vec![first], channels: [input, 0], hop: 1 })
    }

    fn finish(mut self, w: &Tensors<'_>, name: &str, sizes: [usize; 3]) -> Result<Self> {
        self.stages.push(Stage::Elu);
        self.stages.push(Stage::Conv(Conv::load(w, name, sizes, 1)?));
        self.channels[1] = sizes[1];
        Ok(self)
    }

    fn change_hop(&mut self, name: &str, kernel: usize) -> Result<()> {
        self.hop = self.hop.saturating_mul(kernel / 2);
        match self.hop {
            1..=MAX_HOP => Ok(()),
            hop => Err(refuse(format!(
                "`{name}` brings the codec's hop to {hop} samples, expected 1 to {MAX_HOP}"
            ))),
        }
    }

    /// Residual blocks from that index on, each more widely dilated than the one before; gives how many.
    fn residuals(&mut self, w: &Tensors<'_>, prefix: &str, from: usize) -> Result<usize> {
        for n in 0.. {
            let name = |part: usize| format!("{prefix}.model.{}.block.{part}.conv", from + n);
            if w.shape(&format!("{}.weight", name(1))).is_none() {
                return Ok(n);
            }
            let [hidden, width, kernel] = w.dims::<3>(&format!("{}.weight", name(1)))?;
            if n > 8 {
                return Err(refuse(format!("`{}` is one residual block too many", name(1))));
            }
            self.stages.push(Stage::Residual(
                Conv::load(w, &name(1), [width, hidden, kernel], 1 << n)?,
                Conv::load(w, &name(3), [hidden, width, 1], 1)?,
            ));
        }
        Ok(0)
    }

    pub(super) fn forward(&self, x: &Tensor, streams: &mut Streams) -> candle_core::Result<Tensor> {
        let mut x = x.clone();
        for stage in &self.stages {
            x = match stage {
                Stage::Conv(conv) => conv.forward(&x, streams)?,
                Stage::Up(conv) => conv.forward(&x, streams)?,
                Stage::Elu => x.elu(1.0)?,
                Stage::Residual(first, second) => {
                    let hidden = first.forward(&x.elu(1.0)?, streams)?;
                    (&x + second.forward(&hidden.elu(1.0)?, streams)?)?
                }
            };
        }
        Ok(x)
    }
}
