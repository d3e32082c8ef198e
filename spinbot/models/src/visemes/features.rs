//! What the network hears of a recording: mel powers a hundred times a second, and their logarithms as it takes them.

use crate::error::{ModelError, Result};
use crate::listen::spectrogram::{MelSpectrogram, Shape, hann};
use candle_core::{Device, Tensor};

/// Mel bands from 0 to 8 kHz.
pub const MELS: usize = 64;
/// Frames side by side in one step of the network.
pub const STACK: usize = 2;
/// Frames a second.
pub const RATE: usize = 100;
const WINDOW: usize = 400;
const HOP: usize = super::SAMPLE_RATE as usize / RATE;
/// Added to every power: far below 16-bit sound.
const LEAST: f32 = 1e-9;
/// What counts as loud speech is no quieter than this, in powers of ten: a recording of silence stays silent.
const QUIETEST: f32 = -2.5;
/// Powers of ten below loud speech that are told apart.
const DEPTH: f32 = 4.5;

/// Takes mel powers of 16 kHz samples.
pub struct Ear(MelSpectrogram);

impl Ear {
    /// Prepares the transform.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn new(device: &Device) -> Result<Ear> {
        let window = hann(WINDOW);
        MelSpectrogram::new(&Shape { fft: 512, window: &window, hop: HOP, mels: MELS }, device).map(Ear)
    }

    /// The mel powers, [`MELS`] a frame; frame `i` is centred on `i / RATE` seconds. An even number of frames.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn powers(&self, samples: &[f32], device: &Device) -> Result<Vec<f32>> {
        let frames = (samples.len() / HOP + 1).next_multiple_of(STACK);
        let mut padded = vec![0.0; (frames - 1) * HOP + WINDOW];
        padded[WINDOW / 2..].iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
        let take = || -> candle_core::Result<Vec<f32>> {
            let count = padded.len();
            self.0.forward(&Tensor::from_vec(padded, count, device)?)?.flatten_all()?.to_vec1()
        };
        take().map_err(ModelError::tensor("taking a spectrogram"))
    }
}

/// Mel powers as the network takes them: logarithms against the recording's own loud frames, cut off where noise begins.
pub fn scaled(powers: &[f32]) -> Vec<f32> {
    let mut levels: Vec<f32> =
        powers.chunks(MELS).map(|frame| frame.iter().sum::<f32>().max(LEAST).log10()).collect();
    levels.sort_unstable_by(f32::total_cmp);
    // Of the frames that are no silence the loud ones, so that long pauses change nothing.
    let loudest = levels.last().copied().unwrap_or(QUIETEST);
    let spoken = &levels[levels.partition_point(|level| *level < loudest - 3.0)..];
    let loud = spoken.get(spoken.len() * 4 / 5).copied().unwrap_or(QUIETEST).max(QUIETEST);
    powers.iter().map(|power| ((power + LEAST).log10() - loud).max(-DEPTH) / 2.0 + 1.5).collect()
}
