//! How far one piece of speech is from another, with a gradient: logarithmic mel and linear spectra at three
//! resolutions, as vocoders are trained with (Yamamoto et al. 2020, Parallel WaveGAN), below the frequency where
//! the speaker's recording ends.

use crate::listen::spectrogram::{hann, mel_bank_at};
use candle_core::{Device, Result, Tensor};
use std::f64::consts::TAU;

/// Hertz of everything here.
const RATE: usize = 24_000;
/// Recordings are often made at 16 kHz; above this there is nothing to learn from them.
const HIGHEST: f64 = 7_600.0;
const SIZES: [usize; 3] = [512, 1024, 2048];
const MELS: usize = 80;
/// What the linear spectrum counts beside the mel one.
const LINEAR: f64 = 0.25;
/// Added before the logarithms, so that silence is no abyss and the room's noise between words not worth learning: a
/// twentieth and less of these taught a LibriSpeech reader's adapters 0.05 DNSMOS of noise and brought them less far.
const MEL_FLOOR: f64 = 0.02;
const LINEAR_FLOOR: f64 = 0.1;

/// The transforms at all resolutions.
pub(crate) struct SpectralLoss {
    resolutions: Vec<Resolution>,
}

struct Resolution {
    size: usize,
    /// [size, 2 * bins]: windowed cosines, then sines.
    basis: Tensor,
    /// [bins, bands].
    bank: Tensor,
}

impl SpectralLoss {
    pub(crate) fn new(device: &Device) -> Result<Self> {
        let resolutions = SIZES.map(|size| Resolution::new(size, device));
        Ok(SpectralLoss { resolutions: resolutions.into_iter().collect::<Result<_>>()? })
    }

    /// The distance of `ours` [n] from `theirs` [n], a scalar; only `ours` may have a gradient.
    pub(crate) fn between(&self, ours: &Tensor, theirs: &Tensor) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for resolution in &self.resolutions {
            let (our_mel, our_linear) = resolution.logarithms(ours)?;
            let (their_mel, their_linear) = resolution.logarithms(&theirs.detach())?;
            let mel = (our_mel - their_mel.detach())?.abs()?.mean_all()?;
            let linear = (our_linear - their_linear.detach())?.abs()?.mean_all()?;
            let both = (mel + (linear * LINEAR)?)?;
            sum = Some(match sum {
                Some(sum) => (sum + both)?,
                None => both,
            });
        }
        match sum {
            Some(sum) => sum / SIZES.len() as f64,
            None => candle_core::bail!("no resolutions"),
        }
    }
}

impl Resolution {
    fn new(size: usize, device: &Device) -> Result<Self> {
        let bins = (HIGHEST / RATE as f64 * size as f64) as usize;
        let mut basis = vec![0.0_f32; size * 2 * bins];
        for ((n, weight), row) in hann(size).iter().enumerate().zip(basis.chunks_exact_mut(2 * bins)) {
            let (cosines, sines) = row.split_at_mut(bins);
            for (k, (cosine, sine)) in cosines.iter_mut().zip(sines).enumerate() {
                let angle = TAU * ((n * k) % size) as f64 / size as f64;
                *cosine = (weight * angle.cos()) as f32;
                *sine = (weight * angle.sin()) as f32;
            }
        }
        // Only bands that end below the highest frequency and hold a bin at all.
        let whole = mel_bank_at(RATE, size, MELS);
        let weight = |bin: usize, band: usize| whole[bin * MELS + band];
        let held = |band: &usize| (0..bins).any(|k| weight(k, *band) > 0.0);
        let ends = |band: &usize| (bins..=size / 2).all(|k| weight(k, *band) == 0.0);
        let bands: Vec<usize> = (0..MELS).filter(|band| held(band) && ends(band)).collect();
        let bank = (0..bins).flat_map(|k| bands.iter().map(move |band| (k, *band)));
        let bank: Vec<f32> = bank.map(|(k, band)| weight(k, band)).collect();
        Ok(Resolution {
            size,
            basis: Tensor::from_vec(basis, (size, 2 * bins), device)?,
            bank: Tensor::from_vec(bank, (bins, bands.len()), device)?,
        })
    }

    /// Logarithms of mel and of linear magnitudes, a row for each quarter of a window.
    fn logarithms(&self, samples: &Tensor) -> Result<(Tensor, Tensor)> {
        let hop = self.size / 4;
        let rows = samples.dim(0)?.div_ceil(hop);
        // Zeros on both sides, so that the first and last frames are centred on the ends.
        let samples = samples.pad_with_zeros(0, 2 * hop, (rows + 2) * hop - samples.dim(0)?)?;
        let blocks = samples.reshape((rows + 4, hop))?;
        let shifted = (0..4).map(|shift| blocks.narrow(0, shift, rows + 1));
        let framed = Tensor::cat(&shifted.collect::<Result<Vec<_>>>()?, 1)?;
        let parts = framed.matmul(&self.basis)?.sqr()?;
        let bins = parts.dim(1)? / 2;
        let magnitudes = ((parts.narrow(1, 0, bins)? + parts.narrow(1, bins, bins)?)? + 1e-8)?.sqrt()?;
        let mel = (magnitudes.matmul(&self.bank)? + MEL_FLOOR)?.log()?;
        Ok((mel, (magnitudes + LINEAR_FLOOR)?.log()?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Var;

    /// A tone in noise, so that no bin lies at the floor, where the loss has an edge.
    fn tone(hertz: f32, count: usize) -> Vec<f32> {
        let mut state = 12_345_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let tone = |n: usize| (std::f32::consts::TAU * hertz * n as f32 / RATE as f32).sin();
        (0..count).map(|n| 0.1 * tone(n) + 0.1 * noise()).collect()
    }

    #[test]
    fn the_distance_grows_with_the_difference_and_its_gradient_is_the_slope() {
        let device = Device::Cpu;
        let loss = SpectralLoss::new(&device).unwrap();
        let sound = |hertz: f32| Tensor::new(tone(hertz, 6000), &device).unwrap();
        let far = |a: f32, b: f32| loss.between(&sound(a), &sound(b)).unwrap().to_scalar::<f32>().unwrap();
        assert!(far(300.0, 300.0) < 1e-6);
        assert!(far(300.0, 330.0) < far(300.0, 900.0));

        let target = sound(420.0);
        let start: Vec<f32> = tone(400.0, 6000).into_iter().rev().collect();
        let var = Var::new(start.as_slice(), &device).unwrap();
        let value = loss.between(&var, &target).unwrap();
        let slope = value.backward().unwrap().get(&var).unwrap().to_vec1::<f32>().unwrap();
        // Along the gradient itself the derivative is its squared length.
        let length: f64 = slope.iter().map(|g| f64::from(*g).powi(2)).sum();
        let step = 1e-4 / length.sqrt();
        let moved = |sign: f64| {
            let at: Vec<f32> =
                start.iter().zip(&slope).map(|(x, g)| x + (sign * step * f64::from(*g)) as f32).collect();
            let at = Tensor::new(at.as_slice(), &device).unwrap();
            f64::from(loss.between(&at, &target).unwrap().to_scalar::<f32>().unwrap())
        };
        let measured = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        assert!((measured / length - 1.0).abs() < 0.05, "{measured} against {length}");
    }
}
