//! iSTFTNet (Kaneko et al. 2022): from the decoder's rows of 12.5 ms to short-time spectra at hop 5, guided by the
//! spectra of the excitation.

use super::adapters::Style;
use super::decoder::{Noise, Observer};
use super::loader::{AdaIn, AdaptedConv, Loader};
use super::source::{HARMONICS, Source};
use super::stft::{self, BINS, Synthesis};
use crate::error::{ModelError, Result};
use crate::ops::{Before, Conv, Snake, Target, Then, accumulate, unfold_transposed};
use candle_core::{Device, Tensor};

/// Channels of the excitation's spectra.
const SPECTRUM: usize = 2 * BINS;

/// Three rounds of two convolutions each, the first of them dilated by 1, 3 and 5.
#[derive(Debug)]
struct ResBlock {
    rounds: Vec<[Half; 2]>,
}

/// AdaIN, snake and a convolution.
#[derive(Debug)]
struct Half {
    norm: AdaIn,
    snake: Snake,
    conv: AdaptedConv,
}

impl Half {
    fn run(&self, x: &Tensor, style: &Style, target: Target) -> candle_core::Result<Tensor> {
        let affine = self.norm.of(style)?;
        self.conv.run(x, self.norm.then(&affine, Then::Snake(&self.snake)), style, target)
    }
}

impl ResBlock {
    fn load(loader: &mut Loader, name: &str, channels: usize, kernel: usize) -> Result<Self> {
        let mut half = |n: usize, round: usize, dilation: usize| -> Result<Half> {
            Ok(Half {
                norm: loader.norm(&format!("{name}.adain{n}.{round}"), channels)?,
                snake: loader.snake(&format!("{name}.alpha{n}.{round}"), channels)?,
                conv: loader.conv(
                    &format!("{name}.convs{n}.{round}"),
                    [channels, channels, kernel],
                    dilation,
                    true,
                )?,
            })
        };
        let rounds = (0..3).map(|round| Ok([half(1, round, 1 + 2 * round)?, half(2, round, 1)?]));
        Ok(ResBlock { rounds: rounds.collect::<Result<_>>()? })
    }

    /// Adds its rounds to `x`: over it, if nobody else reads it and no gradient is wanted, else in new memory.
    /// `scratch` is a tensor like x that may be written over.
    fn run(
        &self,
        x: Tensor,
        shared: bool,
        style: &Style,
        scratch: &mut Option<Tensor>,
    ) -> candle_core::Result<Tensor> {
        let mut x = x;
        for (round, [first, second]) in self.rounds.iter().enumerate() {
            let inner = first.run(&x, style, scratch.take().map_or(Target::New, Target::Over))?;
            let onto = if shared && round == 0 { Target::Plus(x) } else { Target::Onto(x) };
            x = second.run(&inner, style, onto)?;
            *scratch = Some(inner);
        }
        Ok(x)
    }

    fn convs(&mut self) -> impl Iterator<Item = &mut AdaptedConv> {
        self.rounds.iter_mut().flatten().map(|half| &mut half.conv)
    }
}

/// One upsampling of the generator and what refines it.
#[derive(Debug)]
struct Stage {
    /// Transposed convolution: how many rows each becomes.
    rate: usize,
    up: Conv,
    /// The excitation's spectra brought to this stage's rows: how many of theirs one of ours covers.
    stride: usize,
    excitation: Conv,
    excitation_block: ResBlock,
    blocks: Vec<ResBlock>,
}

/// Kernels of a stage's parallel blocks, whose mean is taken.
const KERNELS: [usize; 3] = [3, 7, 11];

impl Stage {
    fn load(
        loader: &mut Loader,
        n: usize,
        [inputs, outputs]: [usize; 2],
        [rate, stride, kernel]: [usize; 3],
    ) -> Result<Self> {
        let name = format!("decoder.generator.noise_convs.{n}");
        let taps = if stride == 1 { 1 } else { 2 * stride };
        let weight = loader.tensor(&format!("{name}.weight"), &[outputs, SPECTRUM, taps])?;
        let bias = loader.tensor(&format!("{name}.bias"), &[outputs])?;
        // Rows that follow each other in memory are one long row: the strided convolution is a product with it.
        let weight = weight.permute((0, 2, 1)).and_then(|w| w.reshape((outputs, taps * SPECTRUM, 1)));
        let weight = weight.map_err(ModelError::tensor("loading the speech decoder"))?;
        let excitation = loader.frozen(&weight, &bias)?;
        let block = |loader: &mut Loader, (place, kernel): (usize, usize)| {
            let name = format!("decoder.generator.resblocks.{}", n * KERNELS.len() + place);
            ResBlock::load(loader, &name, outputs, kernel)
        };
        Ok(Stage {
            rate,
            up: loader.transposed(&format!("decoder.generator.ups.{n}"), [inputs, outputs], rate)?,
            stride,
            excitation,
            excitation_block: ResBlock::load(
                loader,
                &format!("decoder.generator.noise_res.{n}"),
                outputs,
                kernel,
            )?,
            blocks: KERNELS.into_iter().enumerate().map(|at| block(loader, at)).collect::<Result<_>>()?,
        })
    }

    /// The excitation at this stage's rows, from its spectra.
    fn excite(&self, spectra: &[f32], device: &Device, style: &Style) -> candle_core::Result<Tensor> {
        let frames = spectra.len() / SPECTRUM;
        let rows = if self.stride == 1 {
            Tensor::from_slice(spectra, (frames, SPECTRUM), device)?
        } else {
            // 2·stride frames from half a stride before; zeros where there are none.
            let before = self.stride.div_ceil(2) * SPECTRUM;
            let (step, width) = (self.stride * SPECTRUM, 2 * self.stride * SPECTRUM);
            let padded = [&vec![0.0; before][..], spectra, &vec![0.0; before]].concat();
            let rows = (padded.len() - width) / step + 1;
            let values: Vec<f32> =
                (0..rows).flat_map(|row| &padded[row * step..][..width]).copied().collect();
            Tensor::from_vec(values, (rows, width), device)?
        };
        let x = self.excitation.run(&rows, Before::Nothing, None, Target::New)?;
        self.excitation_block.run(x, false, style, &mut None)
    }

    /// The sum of the blocks, which is three times their mean.
    fn refine(&self, x: Tensor, style: &Style) -> candle_core::Result<Tensor> {
        let Some((last, first)) = self.blocks.split_last() else {
            candle_core::bail!("a stage of no blocks")
        };
        let (mut sum, mut scratch): (Option<Tensor>, _) = (None, None);
        for block in first {
            let refined = block.run(x.clone(), true, style, &mut scratch)?;
            sum = Some(match sum {
                Some(sum) => accumulate(sum, &refined)?,
                None => refined,
            });
        }
        let refined = last.run(x, sum.is_none(), style, &mut scratch)?;
        match sum {
            Some(sum) => accumulate(sum, &refined),
            None => Ok(refined),
        }
    }

    fn convs(&mut self) -> impl Iterator<Item = &mut AdaptedConv> {
        self.excitation_block.convs().chain(self.blocks.iter_mut().flat_map(ResBlock::convs))
    }
}

/// The generator.
#[derive(Debug)]
pub(super) struct Generator {
    device: Device,
    source: Source,
    stages: [Stage; 2],
    post: AdaptedConv,
    synthesis: Synthesis,
}

impl Generator {
    pub(super) fn load(loader: &mut Loader, device: &Device) -> Result<Self> {
        let linear = "decoder.generator.m_source.l_linear";
        let weights = loader.values(&format!("{linear}.weight"), &[1, HARMONICS])?;
        let bias = loader.values(&format!("{linear}.bias"), &[1])?;
        Ok(Generator {
            device: device.clone(),
            source: Source { weights: std::array::from_fn(|n| weights[n]), bias: bias.iter().sum() },
            stages: [
                Stage::load(loader, 0, [512, 256], [10, 6, 7])?,
                Stage::load(loader, 1, [256, 128], [6, 1, 11])?,
            ],
            post: loader.conv("decoder.generator.conv_post", [128, SPECTRUM, 7], 1, true)?,
            synthesis: Synthesis::new(device).map_err(ModelError::tensor("loading the speech decoder"))?,
        })
    }

    pub(super) fn convs(&mut self) -> impl Iterator<Item = &mut AdaptedConv> {
        self.stages.iter_mut().flat_map(Stage::convs).chain([&mut self.post])
    }

    /// Audio from `[steps, 512]` rows and the pitch of each.
    pub(super) fn run(
        &self,
        x: Tensor,
        f0: &[f32],
        style: &Style,
        noise: Noise,
        observer: Observer,
    ) -> candle_core::Result<Tensor> {
        let spectra = self.spectra(f0, noise, observer)?;
        let mut x = x;
        // The first stage's input is as it is, the others' is the sum of three blocks.
        let mut scale = 1.0;
        for (n, stage) in self.stages.iter().enumerate() {
            let excitation = stage.excite(&spectra, &self.device, style)?;
            observer(["noise_res 0", "noise_res 1"][n], &excitation);
            let rows = x.dim(0)?;
            let y = stage.up.run(&x, Before::Leaky { scale, slope: 0.1 }, None, Target::New)?;
            x = unfold_transposed(&y, rows, stage.rate)?;
            drop(y);
            observer(["ups 0", "ups 1"][n], &x);
            if n + 1 == self.stages.len() {
                // One row more, as the spectra have: mirrored at the start.
                x = Tensor::cat(&[x.narrow(0, 1, 1)?, x], 0)?;
            }
            x = accumulate(x, &excitation)?;
            drop(excitation);
            x = stage.refine(x, style)?;
            scale = 1.0 / KERNELS.len() as f32;
            observer(["resblocks 0", "resblocks 1"][n], &x);
        }
        x = self.post.run(&x, Before::Leaky { scale, slope: 0.01 }, style, Target::New)?;
        observer("conv_post", &x);
        let audio = self.synthesis.run(&x)?;
        observer("audio", &audio);
        Ok(audio)
    }

    /// The excitation's spectra.
    fn spectra(&self, f0: &[f32], noise: Noise, observer: Observer) -> candle_core::Result<Vec<f32>> {
        let seed = match noise {
            Noise::Seed(seed) => Some(seed),
            Noise::Off => None,
            Noise::Spectrum(spectra) => {
                let expected = (60 * f0.len() + 1) * SPECTRUM;
                if spectra.len() != expected {
                    candle_core::bail!("the spectrum has {} values, expected {expected}", spectra.len());
                }
                return Ok(spectra.to_vec());
            }
        };
        let signal = self.source.excite(f0, seed);
        let spectra = stft::analyse(&signal);
        observer("source", &Tensor::from_vec(signal, f0.len() * super::source::HOP, &Device::Cpu)?);
        let frames = spectra.len() / SPECTRUM;
        observer("har", &Tensor::from_slice(&spectra, (frames, SPECTRUM), &Device::Cpu)?);
        Ok(spectra)
    }
}
