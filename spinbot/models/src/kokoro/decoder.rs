//! From phoneme features to audio: the blocks that mix text, pitch, energy and style, before the generator.

use super::adapters::{Adapters, Style};
use super::generator::Generator;
use super::loader::{AdaIn, Adaptable, AdaptedConv, Loader, STYLE};
use super::{MODEL, Prosody};
use crate::device::Device;
use crate::error::{ModelError, Result};
use crate::ops::{Before, Conv, OpSet, Target, Then};
use crate::store::Store;
use crate::tensor_file::TensorFile;
use candle_core::{DType, Tensor};
use std::f64::consts::FRAC_1_SQRT_2;
use std::ops::Range;

/// Channels of the text's features.
const TEXT: usize = 512;
/// Channels between the blocks.
const WIDE: usize = 1024;
/// Channels of the text as every block sees it.
const NARROW_TEXT: usize = 64;
/// Channels of a block's input: what the last one gave, text, pitch and energy.
const BLOCK: usize = WIDE + NARROW_TEXT + 2;

/// What the front half of Kokoro makes of a sentence. T frames of 25 ms.
#[derive(Debug, Clone)]
pub struct Features {
    /// The text, `[T, 512]`.
    pub asr: Tensor,
    /// The pitch in Hz, below 10 where unvoiced; 2·T values.
    pub f0: Vec<f32>,
    /// The logarithmic energy; 2·T values.
    pub energy: Vec<f32>,
}

impl From<Prosody> for Features {
    fn from(prosody: Prosody) -> Self {
        Features { asr: prosody.asr, f0: prosody.f0, energy: prosody.energy }
    }
}

impl Features {
    /// Frames of 25 ms.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the three are not equally long or the text has another shape.
    fn frames(&self) -> candle_core::Result<usize> {
        let (frames, channels) = self.asr.dims2()?;
        if channels != TEXT || self.f0.len() != 2 * frames || self.energy.len() != 2 * frames || frames == 0 {
            candle_core::bail!(
                "features of {frames}x{channels} with {} values of pitch and {} of energy do not fit",
                self.f0.len(),
                self.energy.len()
            );
        }
        Ok(frames)
    }
}

/// The noise in the voice's excitation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise<'a> {
    /// Gaussian, from that seed; the same seed gives the same audio.
    Seed(u64),
    /// None, as in ONNX exports of the model. For comparing.
    Off,
    /// Instead of harmonics and noise that spectrum of them: `[120·T + 1, 22]` values, 11 magnitudes and 11 angles
    /// of each frame of 20 samples at hop 5. For comparing.
    Spectrum(&'a [f32]),
}

/// Is told of the stages of a decoding by name, each as soon as its result is there.
pub(super) type Observer<'a> = &'a mut dyn FnMut(&'static str, &Tensor);

/// Residual block of the decoder.
#[derive(Debug)]
struct Block {
    norm1: AdaIn,
    conv1: AdaptedConv,
    norm2: AdaIn,
    conv2: AdaptedConv,
    skip: AdaptedConv,
    upsampling: Option<Upsampling>,
}

/// Doubling of the rows: transposed convolution of each channel by itself, three taps at stride 2.
#[derive(Debug)]
struct Upsampling {
    /// Each `[channels]`.
    taps: [Tensor; 3],
    bias: Tensor,
}

impl Upsampling {
    fn load(loader: &Loader, name: &str, channels: usize) -> Result<Self> {
        let weight = loader.tensor(&format!("{name}.weight"), &[channels, 1, 3])?;
        let tap = |n| weight.get_on_dim(2, n).and_then(|tap| tap.flatten_all()?.contiguous());
        let taps = || Ok([tap(0)?, tap(1)?, tap(2)?]);
        Ok(Upsampling {
            taps: taps().map_err(ModelError::tensor("loading the speech decoder"))?,
            bias: loader.tensor(&format!("{name}.bias"), &[channels])?,
        })
    }

    /// Even rows see the row under the middle tap, odd ones the two beside them.
    fn run(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (rows, channels) = x.dims2()?;
        let next = x.narrow(0, 1, rows - 1)?.pad_with_zeros(0, 0, 1)?;
        let even = x.broadcast_mul(&self.taps[1])?;
        let odd = (x.broadcast_mul(&self.taps[2])? + next.broadcast_mul(&self.taps[0])?)?;
        Tensor::cat(&[even, odd], 1)?.reshape((2 * rows, channels))?.broadcast_add(&self.bias)
    }
}

/// Each row twice.
fn doubled(x: &Tensor) -> candle_core::Result<Tensor> {
    let (rows, channels) = x.dims2()?;
    Tensor::cat(&[x, x], 1)?.reshape((2 * rows, channels))
}

/// Slope of the blocks' leaky ReLU.
const LEAKY: Then = Then::Leaky(0.2);

impl Block {
    fn load(loader: &mut Loader, name: &str, [inputs, outputs]: [usize; 2], up: bool) -> Result<Self> {
        Ok(Block {
            norm1: loader.norm(&format!("{name}.norm1"), inputs)?,
            conv1: loader.conv(&format!("{name}.conv1"), [inputs, outputs, 3], 1, true)?,
            norm2: loader.norm(&format!("{name}.norm2"), outputs)?,
            conv2: loader.conv(&format!("{name}.conv2"), [outputs, outputs, 3], 1, true)?,
            skip: loader.conv(&format!("{name}.conv1x1"), [inputs, outputs, 1], 1, false)?,
            upsampling: match up {
                true => Some(Upsampling::load(loader, &format!("{name}.pool"), inputs)?),
                false => None,
            },
        })
    }

    fn run(&self, x: &Tensor, style: &Style) -> candle_core::Result<Tensor> {
        let [first, second] = [self.norm1.of(style)?, self.norm2.of(style)?];
        let mut skip = self.skip.run(x, Before::Nothing, style, Target::New)?;
        let inner = match &self.upsampling {
            None => self.conv1.run(x, self.norm1.then(&first, LEAKY), style, Target::New)?,
            Some(upsampling) => {
                skip = doubled(&skip)?;
                let bent = self.norm1.then(&first, LEAKY).apply(x)?;
                self.conv1.run(&upsampling.run(&bent)?, Before::Nothing, style, Target::New)?
            }
        };
        let sum = self.conv2.run(&inner, self.norm2.then(&second, LEAKY), style, Target::Onto(skip))?;
        sum * FRAC_1_SQRT_2
    }

    fn convs(&mut self) -> [&mut AdaptedConv; 3] {
        [&mut self.conv1, &mut self.conv2, &mut self.skip]
    }
}

/// A convolution of one channel, three taps at stride 2: pitch and energy from 12.5 to 25 ms. No gradient flows
/// through it.
#[derive(Debug)]
struct Halving {
    taps: Vec<f32>,
    bias: f32,
}

impl Halving {
    fn load(loader: &Loader, name: &str) -> Result<Self> {
        let taps = loader.values(&format!("{name}.weight"), &[1, 1, 3])?;
        let bias = loader.values(&format!("{name}.bias"), &[1])?;
        Ok(Halving { taps, bias: bias.iter().sum() })
    }

    /// `[frames, 1]` from 2·frames values.
    fn run(&self, x: &[f32], device: &candle_core::Device) -> candle_core::Result<Tensor> {
        let at = |n: Option<usize>| n.and_then(|n| x.get(n)).copied().unwrap_or(0.0);
        let frame = |t: usize| {
            let places = [(2 * t).checked_sub(1), Some(2 * t), Some(2 * t + 1)];
            self.bias + places.into_iter().zip(&self.taps).map(|(n, tap)| at(n) * tap).sum::<f32>()
        };
        Tensor::from_iter((0..x.len() / 2).map(frame), device)?.unsqueeze(1)
    }
}

/// The back half of Kokoro-82M: features and a style in, 24 kHz audio out.
///
/// Differentiable in the style and in adapters; the weights are frozen. AdaIN's statistics run over all frames
/// given, so a crop sounds slightly unlike the same frames within their sentence.
#[derive(Debug)]
pub struct Decoder {
    device: candle_core::Device,
    pitch: Halving,
    energy: Halving,
    text: AdaptedConv,
    encode: Block,
    decode: Vec<Block>,
    generator: Generator,
    /// γ and β of all AdaIN layers from the style.
    styles: Conv,
    adaptable: Adaptable,
}

impl Decoder {
    /// Loads the decoder from a store's weights.
    ///
    /// # Errors
    /// [`ModelError::NotFetched`]; [`ModelError::Hash`] when the file was changed; [`ModelError::Weights`];
    /// [`ModelError::Io`].
    pub fn open(store: &Store, device: &Device) -> Result<Decoder> {
        let weights = TensorFile::open(MODEL, &store.checked_file(MODEL)?)?;
        Decoder::load(|name, shape| weights.tensor(name, shape, &candle_core::Device::Cpu), device)
    }

    /// Takes the decoder's layers out of Kokoro's weights, in the set of operations that is fastest on that device.
    /// `tensors` gives the f32 tensor of a name, which must have the shape it is told; each is asked for once.
    ///
    /// # Errors
    /// Those of `tensors`; [`ModelError::Tensor`].
    pub fn load(tensors: impl Fn(&str, &[usize]) -> Result<Tensor>, device: &Device) -> Result<Decoder> {
        Decoder::load_with(tensors, device, OpSet::fastest_on(&device.0))
    }

    /// As [`Decoder::load`], in that set of operations.
    ///
    /// # Errors
    /// As [`Decoder::load`].
    pub fn load_with(
        tensors: impl Fn(&str, &[usize]) -> Result<Tensor>,
        device: &Device,
        set: OpSet,
    ) -> Result<Decoder> {
        let mut loader = Loader::new(&tensors, &device.0, set);
        let l = &mut loader;
        let pitch = Halving::load(l, "decoder.F0_conv")?;
        let energy = Halving::load(l, "decoder.N_conv")?;
        let text = l.conv("decoder.asr_res.0", [TEXT, NARROW_TEXT, 1], 1, true)?;
        let encode = Block::load(l, "decoder.encode", [TEXT + 2, WIDE], false)?;
        let block = |n| {
            let outputs = if n == 3 { WIDE / 2 } else { WIDE };
            Block::load(l, &format!("decoder.decode.{n}"), [BLOCK, outputs], n == 3)
        };
        let decode = (0..4).map(block).collect::<Result<_>>()?;
        let generator = Generator::load(&mut loader, &device.0)?;
        let (styles, adaptable) = loader.finish()?;
        let device = device.0.clone();
        Ok(Decoder { device, pitch, energy, text, encode, decode, generator, styles, adaptable })
    }

    /// Where it computes.
    pub(crate) fn device(&self) -> &candle_core::Device {
        &self.device
    }

    /// What an adapter can change.
    pub(super) fn adaptable(&self) -> &Adaptable {
        &self.adaptable
    }

    /// Makes the adapters part of the weights, so that they cost nothing any more.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when they are not this decoder's.
    pub fn merge(&mut self, adapters: &Adapters) -> Result<()> {
        let mut convs = vec![&mut self.text];
        convs.extend(self.encode.convs());
        convs.extend(self.decode.iter_mut().flat_map(Block::convs));
        convs.extend(self.generator.convs());
        let merged = convs.into_iter().try_for_each(|conv| conv.merge(&adapters.low_rank));
        merged
            .and_then(|()| self.styles.shift(&adapters.offsets()?))
            .map_err(ModelError::tensor("merging adapters"))
    }

    /// Speaks: 24 kHz mono, 600 samples a frame, about ±1.
    ///
    /// No graph is kept, whatever the adapters are.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the features do not fit each other or a tensor operation fails.
    pub fn audio(
        &self,
        features: &Features,
        style: &[f32; STYLE],
        adapters: Option<&Adapters>,
        noise: Noise,
    ) -> Result<Vec<f32>> {
        self.audio_observed(features, style, adapters, noise, &mut |_, _| {})
    }

    /// As [`Decoder::audio`], telling `observer` of each stage's result as it is there: for tests and timing.
    #[doc(hidden)]
    pub fn audio_observed(
        &self,
        features: &Features,
        style: &[f32; STYLE],
        adapters: Option<&Adapters>,
        noise: Noise,
        observer: &mut dyn FnMut(&'static str, &Tensor),
    ) -> Result<Vec<f32>> {
        let adapters = adapters.map(Adapters::detached);
        let mut run = || -> candle_core::Result<Vec<f32>> {
            let style = Tensor::new(style.as_slice(), &self.device)?;
            let frames = 0..features.frames()?;
            self.run(features, &style, adapters.as_ref(), noise, frames, observer)?.to_vec1()
        };
        run().map_err(ModelError::tensor("speaking"))
    }

    /// Speaks those frames of the features as a tensor `[600·frames]`, differentiable in the style, `[128]`, and
    /// in the adapters. The statistics of AdaIN and the phase of the excitation are the crop's own.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the features do not fit each other, when the frames lie outside of them or when
    /// a tensor operation fails.
    pub fn audio_tensor(
        &self,
        features: &Features,
        style: &Tensor,
        adapters: Option<&Adapters>,
        noise: Noise,
        frames: Range<usize>,
    ) -> Result<Tensor> {
        self.run(features, style, adapters, noise, frames, &mut |_, _| {})
            .map_err(ModelError::tensor("speaking"))
    }

    fn run(
        &self,
        features: &Features,
        style: &Tensor,
        adapters: Option<&Adapters>,
        noise: Noise,
        frames: Range<usize>,
        observer: Observer,
    ) -> candle_core::Result<Tensor> {
        let all = features.frames()?;
        if frames.is_empty() || frames.end > all {
            candle_core::bail!("there are no frames {frames:?} among {all}");
        }
        let affine = self.styles.run(&style.reshape((1, STYLE))?, Before::Nothing, None, Target::New)?;
        let mut affine = affine.flatten_all()?;
        if let Some(adapters) = adapters {
            affine = (affine + adapters.offsets()?)?;
        }
        let style = Style { affine, adapters };
        let steps = 2 * frames.start..2 * frames.end;
        let f0 = &features.f0[steps.clone()];
        let asr = features.asr.narrow(0, frames.start, frames.len())?;
        let asr = asr.to_device(&self.device)?.to_dtype(DType::F32)?.contiguous()?;
        let pitch = self.pitch.run(f0, &self.device)?;
        let energy = self.energy.run(&features.energy[steps], &self.device)?;
        let text = self.text.run(&asr, Before::Nothing, &style, Target::New)?;
        let mut x = self.encode.run(&Tensor::cat(&[&asr, &pitch, &energy], 1)?, &style)?;
        observer("encode", &x);
        for block in &self.decode {
            x = block.run(&Tensor::cat(&[&x, &text, &pitch, &energy], 1)?, &style)?;
        }
        observer("decode", &x);
        self.generator.run(x, f0, &style, noise, observer)
    }
}
