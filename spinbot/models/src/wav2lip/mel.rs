//! What the network hears: mel magnitudes of 16 kHz sound, 80 bands 80 times a second, in decibels from -4 to 4 as the
//! original's `audio.py` scales them, and the window of them that belongs to a frame.

use super::SAMPLE_RATE;
use crate::error::{ModelError, Result};
use crate::listen::check_samples;
use crate::listen::spectrogram::{MelSpectrogram, Shape, hann};
use candle_core::{Device, Tensor};

/// Mel bands.
pub(super) const BANDS: usize = 80;
/// Mel frames that the network hears for one picture.
pub(super) const FRAMES: usize = 16;
const WINDOW: usize = 800;
const HOP: usize = 200;
/// Mel frames a second.
const RATE: f64 = SAMPLE_RATE as f64 / HOP as f64;
/// Where the lowest band begins and the highest ends, in hertz.
const HERTZ: [f64; 2] = [55.0, 7600.0];
const PREEMPHASIS: f32 = 0.97;
/// Frames transformed together; bounds the memory that long speech takes.
const TOGETHER: usize = 4096;
/// What silence is.
const SILENCE: f32 = -4.0;

pub(super) struct Ear {
    mel: MelSpectrogram,
    device: Device,
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ear")
    }
}

impl Ear {
    pub(super) fn new(device: &Device) -> Result<Self> {
        let shape = Shape { fft: WINDOW, window: &hann(WINDOW), hop: HOP, mels: BANDS };
        Ok(Ear { mel: MelSpectrogram::within(&shape, HERTZ, device)?, device: device.clone() })
    }

    /// Frame `k` is centred on sample `k · HOP`; both ends are reflected.
    pub(super) fn hear(&self, samples: &[f32]) -> Result<Heard> {
        check_samples(samples)?;
        let before = |n: usize| n.checked_sub(1).map_or(0.0, |n| samples[n]);
        let emphasised = |n: usize| samples[n] - PREEMPHASIS * before(n);
        let half = (WINDOW / 2) as isize;
        let padded: Vec<f32> =
            (-half..samples.len() as isize + half).map(|n| emphasised(reflected(n, samples.len()))).collect();
        let frames = 1 + samples.len() / HOP;
        let mut values = Vec::with_capacity(frames * BANDS);
        let mut transform = |first: usize| -> candle_core::Result<()> {
            let count = TOGETHER.min(frames - first);
            let part = &padded[first * HOP..][..(count - 1) * HOP + WINDOW];
            let mel = self.mel.magnitudes(&Tensor::new(part, &self.device)?)?;
            values.extend(mel.flatten_all()?.to_vec1::<f32>()?.into_iter().map(scaled));
            Ok(())
        };
        (0..frames)
            .step_by(TOGETHER)
            .try_for_each(&mut transform)
            .map_err(ModelError::tensor("taking a spectrogram"))?;
        Ok(Heard { values })
    }
}

/// Where place `n` lies in so many samples, of which those beyond the ends mirror those inside.
fn reflected(n: isize, count: usize) -> usize {
    let turn = 2 * (count.max(2) as isize - 1);
    let n = n.rem_euclid(turn);
    n.min(turn - n).min(count as isize - 1) as usize
}

/// Decibels over 20, from -100 at -4 to 0 at 4.
fn scaled(magnitude: f32) -> f32 {
    let decibels = 20.0 * magnitude.max(1e-5).log10() - 20.0;
    (8.0 * (decibels + 100.0) / 100.0 - 4.0).clamp(-4.0, 4.0)
}

/// Speech as the network hears it.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// `[frames, BANDS]`.
    pub(super) values: Vec<f32>,
}

impl Heard {
    /// `[BANDS, FRAMES]` of the picture that is shown as the `frame`th of `fps` a second.
    ///
    /// It begins with the picture before, as in training (the original's `inference.py` begins with the picture itself,
    /// 40 ms later than what its network has learned); beyond the ends there is what is heard there.
    pub(super) fn window(&self, frame: usize, fps: u32) -> Vec<f32> {
        let frames = self.values.len() / BANDS;
        let first = (frame.saturating_sub(1) as f64 * RATE / f64::from(fps)) as usize;
        let first = first.min(frames.saturating_sub(FRAMES));
        let at = |n: usize, band: usize| self.values.get((first + n) * BANDS + band).copied();
        (0..BANDS).flat_map(|band| (0..FRAMES).map(move |n| at(n, band).unwrap_or(SILENCE))).collect()
    }
}
