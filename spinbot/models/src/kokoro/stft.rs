//! The short-time Fourier transform of 20 samples at hop 5 that the generator reads and writes.

use candle_core::{Device, Result, Tensor};
use std::f64::consts::TAU;

/// Samples of a frame.
pub(super) const WINDOW: usize = 20;
/// Samples from one frame to the next.
pub(super) const HOP: usize = 5;
/// Frequencies from 0 to half the sampling rate.
pub(super) const BINS: usize = WINDOW / 2 + 1;

/// Periodic Hann.
fn window(n: usize) -> f64 {
    0.5 - 0.5 * (TAU * n as f64 / WINDOW as f64).cos()
}

fn angle(bin: usize, n: usize) -> f64 {
    // Reduced before the sine, so that what is zero on paper is zero.
    TAU * ((bin * n) % WINDOW) as f64 / WINDOW as f64
}

/// Magnitudes and angles of each frame, `[frames, 11 + 11]` values; frames are centred on every fifth sample,
/// the signal mirrored at its ends.
pub(super) fn analyse(signal: &[f32]) -> Vec<f32> {
    let Some(last) = signal.len().checked_sub(1) else { return Vec::new() };
    let mut table = [[(0.0, 0.0); WINDOW]; BINS];
    for (bin, row) in table.iter_mut().enumerate() {
        for (n, entry) in row.iter_mut().enumerate() {
            let (sine, cosine) = angle(bin, n).sin_cos();
            // The sine of the first and the last bin is zero, whatever rounding makes of it.
            let sine = if bin % (BINS - 1) == 0 { 0.0 } else { sine };
            *entry = (window(n) * cosine, -window(n) * sine);
        }
    }
    let mirrored = |place: isize| {
        let place = place.unsigned_abs();
        let place = if place > last { (2 * last).saturating_sub(place) } else { place };
        f64::from(signal[place.min(last)])
    };
    let frames = signal.len() / HOP + 1;
    let mut out = Vec::with_capacity(frames * 2 * BINS);
    for frame in 0..frames {
        let start = (frame * HOP) as isize - (WINDOW / 2) as isize;
        let samples: [f64; WINDOW] = std::array::from_fn(|n| mirrored(start + n as isize));
        let bins = table.map(|row| {
            row.iter()
                .zip(&samples)
                .fold((0.0, 0.0), |(re, im), (entry, sample)| (re + entry.0 * sample, im + entry.1 * sample))
        });
        out.extend(bins.iter().map(|(re, im)| re.hypot(*im) as f32));
        // Adding 0 turns the negative zero of an imaginary part into the positive one.
        out.extend(bins.iter().map(|(re, im)| (im + 0.0).atan2(*re) as f32));
    }
    out
}

/// The inverse transform, as candle's operations.
#[derive(Debug)]
pub(super) struct Synthesis {
    /// From real and imaginary parts to windowed samples, `[11 + 11, 20]`.
    basis: Tensor,
    device: Device,
}

impl Synthesis {
    pub(super) fn new(device: &Device) -> Result<Synthesis> {
        let mut basis = Vec::with_capacity(2 * BINS * WINDOW);
        for imaginary in [false, true] {
            for bin in 0..BINS {
                // The bins between the ends stand for two frequencies, one of either sign.
                let weight = if bin % (BINS - 1) == 0 { 1.0 } else { 2.0 } / WINDOW as f64;
                basis.extend((0..WINDOW).map(|n| {
                    let (sine, cosine) = angle(bin, n).sin_cos();
                    let part = match imaginary {
                        false => cosine,
                        true if bin % (BINS - 1) == 0 => 0.0,
                        true => -sine,
                    };
                    (weight * window(n) * part) as f32
                }));
            }
        }
        let basis = Tensor::from_vec(basis, (2 * BINS, WINDOW), device)?;
        Ok(Synthesis { basis, device: device.clone() })
    }

    /// The signal of frames given as logarithmic magnitudes and the arc sines of their angles, `[frames, 11 + 11]`;
    /// 5·(frames − 1) samples.
    pub(super) fn run(&self, spectrum: &Tensor) -> Result<Tensor> {
        let frames = spectrum.dim(0)?;
        let magnitude = spectrum.narrow(1, 0, BINS)?.exp()?;
        let angle = spectrum.narrow(1, BINS, BINS)?.sin()?;
        let parts = [(&magnitude * angle.cos()?)?, (&magnitude * angle.sin()?)?];
        let windowed = Tensor::cat(&parts, 1)?.matmul(&self.basis)?;
        // Each frame reaches over four hops: four signals, each one hop later than the one before.
        let hops = WINDOW / HOP;
        let mut signal: Option<Tensor> = None;
        for hop in 0..hops {
            let part = windowed.narrow(1, hop * HOP, HOP)?.pad_with_zeros(0, hop, hops - 1 - hop)?;
            signal = Some(match signal {
                Some(signal) => (signal + part)?,
                None => part,
            });
        }
        // There are four hops, so there is a signal.
        let Some(signal) = signal else { candle_core::bail!("a frame of no hops") };
        let length = HOP * (frames - 1);
        let signal = signal.flatten_all()?.narrow(0, WINDOW / 2, length)?;
        signal * Tensor::from_vec(envelope(frames), length, &self.device)?
    }
}

/// What divides the overlapped windows out: 1/Σw², which is 1/1.5 but at the ends.
fn envelope(frames: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; HOP * (frames - 1) + WINDOW];
    for frame in 0..frames {
        for n in 0..WINDOW {
            sums[frame * HOP + n] += window(n).powi(2);
        }
    }
    sums[WINDOW / 2..sums.len() - WINDOW / 2].iter().map(|sum| (1.0 / sum) as f32).collect()
}
