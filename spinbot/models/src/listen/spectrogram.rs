//! Mel spectrograms at 16 kHz as matrix products, so that a gradient passes through them and they run on
//! any device. What each network takes of it (logarithm, padding, scaling) stays with the network.

use crate::error::{ModelError, Result};
use candle_core::{Device, Tensor};
use std::f64::consts::PI;

/// Hertz of everything in `listen`.
pub(crate) const RATE: usize = 16_000;

/// How a spectrogram is taken.
pub(crate) struct Shape<'a> {
    /// Length of the Fourier transform; the window lies anywhere inside, its place does not change the power.
    pub(crate) fft: usize,
    /// The window, at most `fft` long; a frame has as many samples.
    pub(crate) window: &'a [f64],
    /// Samples from one frame to the next.
    pub(crate) hop: usize,
    /// Mel bands.
    pub(crate) mels: usize,
}

/// The transform of one [`Shape`], ready to be applied.
pub(crate) struct MelSpectrogram {
    window: usize,
    hop: usize,
    /// [blocks * hop, 2 * bins]: windowed cosines, then sines; rows after the window's end are zero.
    basis: Tensor,
    /// [bins, mels].
    bank: Tensor,
}

impl MelSpectrogram {
    /// Of mel bands from 0 to 8 kHz.
    pub(crate) fn new(shape: &Shape, device: &Device) -> Result<Self> {
        Self::within(shape, [0.0, RATE as f64 / 2.0], device)
    }

    /// Of mel bands between those frequencies in hertz.
    pub(crate) fn within(shape: &Shape, hertz: [f64; 2], device: &Device) -> Result<Self> {
        let (window, bins) = (shape.window.len(), shape.fft / 2 + 1);
        let rows = window.next_multiple_of(shape.hop);
        let mut basis = vec![0.0_f32; rows * 2 * bins];
        for ((n, weight), row) in shape.window.iter().enumerate().zip(basis.chunks_exact_mut(2 * bins)) {
            let (cosines, sines) = row.split_at_mut(bins);
            for (k, (cosine, sine)) in cosines.iter_mut().zip(sines).enumerate() {
                // Reduced as integers: the angle itself would lose digits.
                let angle = 2.0 * PI * ((n * k) % shape.fft) as f64 / shape.fft as f64;
                *cosine = (weight * angle.cos()) as f32;
                *sine = (weight * angle.sin()) as f32;
            }
        }
        let bank = mel_bank_within(RATE, shape.fft, shape.mels, hertz);
        let tensor = |values, dims: (usize, usize)| {
            Tensor::from_vec(values, dims, device).map_err(ModelError::tensor("preparing a spectrogram"))
        };
        Ok(MelSpectrogram {
            window,
            hop: shape.hop,
            basis: tensor(basis, (rows, 2 * bins))?,
            bank: tensor(bank, (bins, shape.mels))?,
        })
    }

    /// Mel powers [frames, mels] of samples [n]: 1 + (n - window) / hop frames. Nothing is padded; fewer samples
    /// than the window are an error.
    pub(crate) fn forward(&self, samples: &Tensor) -> candle_core::Result<Tensor> {
        self.powers(samples)?.matmul(&self.bank)
    }

    /// The same of magnitudes in place of powers, without a gradient where there is silence.
    pub(crate) fn magnitudes(&self, samples: &Tensor) -> candle_core::Result<Tensor> {
        self.powers(samples)?.sqrt()?.matmul(&self.bank)
    }

    /// [frames, bins].
    fn powers(&self, samples: &Tensor) -> candle_core::Result<Tensor> {
        let count = samples.dim(0)?;
        let Some(frames) = count.checked_sub(self.window).map(|rest| 1 + rest / self.hop) else {
            candle_core::bail!("{count} samples are fewer than a window of {}", self.window)
        };
        // A frame is a few blocks of `hop` samples in a row, so all frames are a few shifted views side by side.
        let blocks = self.window.div_ceil(self.hop);
        let needed = (frames - 1 + blocks) * self.hop;
        let samples = match needed.checked_sub(count) {
            Some(missing) => samples.pad_with_zeros(0, 0, missing)?,
            None => samples.narrow(0, 0, needed)?,
        };
        let rows = samples.reshape((frames - 1 + blocks, self.hop))?;
        let shifted = (0..blocks).map(|shift| rows.narrow(0, shift, frames));
        let framed = Tensor::cat(&shifted.collect::<candle_core::Result<Vec<_>>>()?, 1)?;
        let parts = framed.matmul(&self.basis)?.sqr()?;
        let bins = parts.dim(1)? / 2;
        parts.narrow(1, 0, bins)? + parts.narrow(1, bins, bins)?
    }
}

/// The periodic Hann window.
pub(crate) fn hann(length: usize) -> Vec<f64> {
    (0..length).map(|n| 0.5 - 0.5 * (2.0 * PI * n as f64 / length as f64).cos()).collect()
}
/// The periodic Hamming window.
pub(crate) fn hamming(length: usize) -> Vec<f64> {
    (0..length).map(|n| 0.54 - 0.46 * (2.0 * PI * n as f64 / length as f64).cos()).collect()
}

/// Slaney's mel bands with unit area up to half the rate, [bins, mels] row major: linear to 1 kHz, logarithmic above, as
/// in librosa and as in the file that OpenAI ships with Whisper.
pub(crate) fn mel_bank_at(rate: usize, fft: usize, mels: usize) -> Vec<f32> {
    mel_bank_within(rate, fft, mels, [0.0, rate as f64 / 2.0])
}

/// The same between those frequencies in hertz.
fn mel_bank_within(rate: usize, fft: usize, mels: usize, hertz: [f64; 2]) -> Vec<f32> {
    let step = 6.4_f64.ln() / 27.0;
    let mel_of = |hertz: f64| match hertz < 1000.0 {
        true => hertz * 3.0 / 200.0,
        false => 15.0 + (hertz / 1000.0).ln() / step,
    };
    let hertz_of = |mel: f64| match mel < 15.0 {
        true => mel * 200.0 / 3.0,
        false => 1000.0 * (step * (mel - 15.0)).exp(),
    };
    let [lowest, highest] = hertz.map(mel_of);
    let edge = |n: usize| hertz_of(lowest + (highest - lowest) * n as f64 / (mels + 1) as f64);
    let edges: Vec<f64> = (0..mels + 2).map(edge).collect();
    (0..=fft / 2)
        .flat_map(|bin| {
            let hertz = bin as f64 * rate as f64 / fft as f64;
            edges.windows(3).map(move |edges| {
                let rising = (hertz - edges[0]) / (edges[1] - edges[0]);
                let falling = (edges[2] - hertz) / (edges[2] - edges[1]);
                // Rounded where librosa rounds.
                let triangle = rising.min(falling).max(0.0) as f32;
                (f64::from(triangle) * 2.0 / (edges[2] - edges[0])) as f32
            })
        })
        .collect()
}
