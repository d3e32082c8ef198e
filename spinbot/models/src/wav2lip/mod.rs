//! Lips for a face from the sound of speech, by the generator of Wav2Lip (Prajwal et al. 2020, "A Lip Sync Expert Is All
//! You Need for Speech to Lip Generation In The Wild"), with weights that the user brings: a checkpoint of
//! Rudrabha/Wav2Lip as safetensors, under its own tensor names. The authors' checkpoints are for research and
//! non-commercial use only, and none is here: the network is held against the same one in PyTorch with random weights
//! only (`tests/reference/wav2lip.py`).
//!
//! What a face gives is computed once ([`Wav2Lip::see`]), what each frame's sound gives for every frame
//! ([`Wav2Lip::speak`]). On the CPU only. Where the face lies in a picture, and how the lips are put back into it, is not
//! known here.

mod layers;
mod mel;
#[cfg(test)]
mod tests;
mod weights;

use crate::error::{ModelError, Result};
use candle_core::{Device, Tensor};
use layers::{Block, Conv, Kernel};
pub use mel::Heard;
use mel::{BANDS, Ear, FRAMES};
use std::ops::Range;
use std::path::Path;
use weights::Weights;

/// The name of this model in errors.
const MODEL: &str = "wav2lip";
/// Edge of the face the network sees and draws, in pixels.
pub const SIDE: usize = 96;
/// Samples a second of what it hears.
pub const SAMPLE_RATE: u32 = crate::listen::spectrogram::RATE as u32;
/// Colours of a face without its lower half, and of all of it.
const PLANES: usize = 6;
/// Residual convolutions after the first of each of the face encoder's blocks that halve the picture.
const SEEN: [usize; 5] = [2, 3, 2, 2, 1];
/// Residual convolutions after the first of each of the decoder's blocks that enlarge the picture.
const DRAWN: [usize; 6] = [1, 2, 2, 2, 2, 2];
/// Strides of the audio encoder's convolutions in bands and frames, each with the residual ones that follow it.
const HEARD: [([usize; 2], usize); 4] = [([1, 1], 2), ([3, 1], 2), ([3, 3], 2), ([3, 2], 1)];

/// The generator.
#[derive(Debug)]
pub struct Wav2Lip {
    face: Vec<Block>,
    audio: Block,
    decoder: Vec<Block>,
    last: Block,
    colour: Conv,
    ear: Ear,
}

/// What the network sees of one face: what each of its encoder's blocks makes of it.
#[derive(Debug, Clone)]
pub struct Face(Vec<Tensor>);

impl Wav2Lip {
    /// Reads the weights, whose tensors say how wide each layer is; batch normalisations become part of the convolutions
    /// before them.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when a tensor is missing or does not fit the others; [`ModelError::Io`].
    pub fn load(path: &Path) -> Result<Self> {
        let weights = Weights::open(path)?;
        let mut chain = weights.chain("face_encoder_blocks.0", PLANES);
        let mut face = vec![Block(vec![chain.conv(0, Kernel::same(7))?])];
        let (mut width, mut widths) = (chain.width, vec![chain.width]);
        for (n, residual) in (1..).zip(SEEN) {
            let mut chain = weights.chain(&format!("face_encoder_blocks.{n}"), width);
            let halving = chain.conv(0, Kernel { stride: [2, 2], ..Kernel::same(3) })?;
            face.push(Block([vec![halving], chain.residual(1..=residual)?].concat()));
            width = chain.width;
            widths.push(width);
        }
        let mut chain = weights.chain("face_encoder_blocks.6", width);
        face.push(Block(vec![chain.conv(0, Kernel::inside(3))?, chain.conv(1, Kernel::inside(1))?]));
        widths.push(chain.width);

        let mut chain = weights.chain("audio_encoder", 1);
        let (mut stages, mut at) = (Vec::new(), 0);
        for (stride, residual) in HEARD {
            stages.push(chain.conv(at, Kernel { stride, ..Kernel::same(3) })?);
            stages.extend(chain.residual(at + 1..=at + residual)?);
            at += residual + 1;
        }
        stages.extend([chain.conv(at, Kernel::inside(3))?, chain.conv(at + 1, Kernel::inside(1))?]);
        let audio = Block(stages);

        let mut chain = weights.chain("face_decoder_blocks.0", chain.width);
        let mut decoder = vec![Block(vec![chain.conv(0, Kernel::inside(1))?])];
        // Beside what a block makes comes what the face encoder made at the same size, the last of it first.
        let mut beside = widths.into_iter().rev();
        let mut width = chain.width + beside.next().unwrap_or(0);
        for (n, residual) in (1..).zip(DRAWN) {
            let mut chain = weights.chain(&format!("face_decoder_blocks.{n}"), width);
            let enlarging = chain.enlarging(0, n == 1)?;
            decoder.push(Block([vec![enlarging], chain.residual(1..=residual)?].concat()));
            width = chain.width + beside.next().unwrap_or(0);
        }
        let mut chain = weights.chain("output_block", width);
        let last = Block(vec![chain.conv(0, Kernel::same(3))?]);
        let colour = weights.point("output_block.1", chain.width, 3)?;
        Ok(Wav2Lip { face, audio, decoder, last, colour, ear: Ear::new(&Device::Cpu)? })
    }

    /// Looks at a face of [`SIDE`] by [`SIDE`] pixels, `3 · SIDE · SIDE` bytes of RGB: its upper half, and all of it as
    /// what the person looks like.
    ///
    /// # Errors
    /// [`ModelError::Picture`] when there are more or fewer bytes; [`ModelError::Tensor`].
    pub fn see(&self, rgb: &[u8]) -> Result<Face> {
        if rgb.len() != 3 * SIDE * SIDE {
            let reason = format!("{} bytes are no face of {SIDE}x{SIDE} pixels", rgb.len());
            return Err(ModelError::Picture { width: SIDE as u32, height: SIDE as u32, reason });
        }
        let mut values = Vec::with_capacity(2 * rgb.len());
        for (n, pixel) in rgb.chunks_exact(3).enumerate() {
            // It was trained with OpenCV, which has blue first.
            let [blue, green, red] = [2, 1, 0].map(|k| f32::from(pixel[k]) / 255.0);
            let kept = if n < SIDE * SIDE / 2 { 1.0 } else { 0.0 };
            values.extend([kept * blue, kept * green, kept * red, blue, green, red]);
        }
        let look = || self.encode(&Tensor::from_vec(values, (1, SIDE, SIDE, PLANES), &Device::Cpu)?);
        look().map_err(ModelError::tensor("looking at a face"))
    }

    /// Hears speech: samples at [`SAMPLE_RATE`].
    ///
    /// # Errors
    /// [`ModelError::Sound`] when there are no samples, too many or some are not numbers.
    pub fn hear(&self, samples: &[f32]) -> Result<Heard> {
        self.ear.hear(samples)
    }

    /// The face as it says what is heard in those frames, of `fps` a second: of each `SIDE · SIDE` pixels of red, green and
    /// blue, 0..=255, row by row. Frames together cost less than one by one, and none changes another.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn speak(
        &self,
        face: &Face,
        heard: &Heard,
        frames: Range<usize>,
        fps: u32,
    ) -> Result<Vec<Vec<[f32; 3]>>> {
        let count = frames.len();
        let windows: Vec<f32> = frames.flat_map(|frame| heard.window(frame, fps)).collect();
        let draw = || -> candle_core::Result<Vec<f32>> {
            let windows = Tensor::from_vec(windows, (count, BANDS, FRAMES, 1), &Device::Cpu)?;
            self.decode(&windows, face)?.flatten_all()?.to_vec1()
        };
        let drawn = draw().map_err(ModelError::tensor("drawing lips"))?;
        let rgb = |bgr: &[f32]| [2, 1, 0].map(|k| bgr[k] * 255.0);
        Ok(drawn.chunks_exact(3 * SIDE * SIDE).map(|face| face.chunks_exact(3).map(rgb).collect()).collect())
    }

    /// `[batch, SIDE, SIDE, PLANES]`, masked and whole, of 0..=1.
    fn encode(&self, pictures: &Tensor) -> candle_core::Result<Face> {
        let mut made = Vec::with_capacity(self.face.len());
        let mut x = pictures.clone();
        for block in &self.face {
            x = block.run(&x)?;
            made.push(x.clone());
        }
        Ok(Face(made))
    }

    /// Mel windows `[batch, BANDS, FRAMES, 1]` to pictures `[batch, SIDE, SIDE, 3]` of 0..=1; of one face, or of as many as
    /// there are windows.
    fn decode(&self, windows: &Tensor, face: &Face) -> candle_core::Result<Tensor> {
        let batch = windows.dim(0)?;
        let mut x = self.audio.run(windows)?;
        for (block, seen) in self.decoder.iter().zip(face.0.iter().rev()) {
            let made = block.run(&x)?;
            let (_, height, width, channels) = seen.dims4()?;
            let seen = seen.broadcast_as((batch, height, width, channels))?;
            x = Tensor::cat(&[made, seen.contiguous()?], 3)?;
        }
        let y = self.colour.linear(&self.last.run(&x)?)?;
        (y.neg()?.exp()? + 1.0)?.recip()
    }
}
