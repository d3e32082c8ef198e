//! The short-time spectrum that measuring, denoising and drawing share: Hann windows, zeros beyond both ends,
//! frame `i` centred on sample `i * hop`. Nothing is decided here.

use crate::{MediaError, Result};
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use std::f32::consts::TAU;
use std::sync::Arc;

/// A short-time Fourier transform of one size.
pub(crate) struct Stft {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    window: Vec<f32>,
    hop: usize,
}

impl Stft {
    /// Windows of `window` samples, one every `hop`, transformed at `size` >= `window` points.
    pub(crate) fn new(window: usize, hop: usize, size: usize) -> Self {
        let mut planner = RealFftPlanner::new();
        let size = size.max(window).max(2);
        let hann = (0..window).map(|i| 0.5 - 0.5 * (TAU * i as f32 / window as f32).cos()).collect();
        Stft {
            forward: planner.plan_fft_forward(size),
            inverse: planner.plan_fft_inverse(size),
            window: hann,
            hop: hop.max(1),
        }
    }

    /// Values in a spectrum.
    pub(crate) fn bins(&self) -> usize {
        self.forward.len() / 2 + 1
    }

    /// The bin nearest to a frequency.
    pub(crate) fn bin(&self, hertz: f32, rate: u32) -> usize {
        ((hertz * self.forward.len() as f32 / rate as f32).round() as usize).min(self.bins() - 1)
    }

    /// Frames of a clip of that many samples.
    pub(crate) fn frames(&self, samples: usize) -> usize {
        samples.div_ceil(self.hop) + 1
    }

    /// Hands each frame's spectrum to `each`, scaled so that the squared magnitude of a bin is the mean square of
    /// white noise in it: over all bins they sum to the mean square of the windowed part.
    pub(crate) fn each(
        &self,
        samples: &[f32],
        mut each: impl FnMut(usize, &mut [Complex<f32>]),
    ) -> Result<()> {
        let mut block = self.forward.make_input_vec();
        let mut bins = self.forward.make_output_vec();
        let mut scratch = self.forward.make_scratch_vec();
        let energy: f32 = self.window.iter().map(|w| w * w).sum();
        let scale = (2.0 / (energy * self.forward.len() as f32)).sqrt();
        for frame in 0..self.frames(samples.len()) {
            self.fill(samples, frame, &mut block);
            self.forward
                .process_with_scratch(&mut block, &mut bins, &mut scratch)
                .map_err(|e| MediaError::encode("a Fourier transform", e))?;
            bins.iter_mut().for_each(|bin| *bin *= scale);
            each(frame, &mut bins);
        }
        Ok(())
    }

    /// Power of each bin, frame after frame.
    pub(crate) fn power(&self, samples: &[f32]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(self.frames(samples.len()));
        self.each(samples, |_, bins| all.push(bins.iter().map(|bin| bin.norm_sqr()).collect()))?;
        Ok(all)
    }

    /// The sound with each frame's spectrum changed by `change`, put together again by weighted overlap-add
    /// (Griffin and Lim, 1984); unchanged spectra give back the samples, without delay.
    pub(crate) fn rework(
        &self,
        samples: &[f32],
        mut change: impl FnMut(usize, &mut [Complex<f32>]),
    ) -> Result<Vec<f32>> {
        let (half, size) = (self.window.len() / 2, self.forward.len() as f32);
        let mut sum = vec![0.0f32; samples.len() + self.window.len()];
        let mut weight = vec![0.0f32; sum.len()];
        let energy: f32 = self.window.iter().map(|w| w * w).sum();
        let scale = (2.0 / (energy * size)).sqrt();
        let mut block = self.inverse.make_output_vec();
        let mut scratch = self.inverse.make_scratch_vec();
        let mut failed = None;
        self.each(samples, |frame, bins| {
            change(frame, bins);
            // What a real signal cannot have.
            if let [first, .., last] = bins {
                (first.im, last.im) = (0.0, 0.0);
            }
            if let Err(e) = self.inverse.process_with_scratch(bins, &mut block, &mut scratch) {
                failed = Some(MediaError::encode("a Fourier transform", e));
            }
            // `sum` is `half` samples ahead, so that frames before the start have room.
            let start = frame * self.hop;
            for (i, (value, w)) in block.iter().zip(&self.window).enumerate() {
                if let Some(slot) = sum.get_mut(start + i) {
                    *slot += value * w / (size * scale);
                    weight[start + i] += w * w;
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        Ok((0..samples.len()).map(|i| sum[i + half] / weight[i + half].max(1e-6)).collect())
    }

    /// The windowed samples of a frame, zeros after them.
    fn fill(&self, samples: &[f32], frame: usize, block: &mut [f32]) {
        block.fill(0.0);
        let start = (frame * self.hop) as isize - (self.window.len() / 2) as isize;
        for (i, (slot, w)) in block.iter_mut().zip(&self.window).enumerate() {
            let at = usize::try_from(start + i as isize).ok();
            *slot = at.and_then(|at| samples.get(at)).copied().unwrap_or(0.0) * w;
        }
    }
}

/// Power in dB, -120 at the lowest.
pub(crate) fn decibels(power: f32) -> f32 {
    10.0 * power.max(1e-12).log10()
}

/// The value below which `share` of `values` lie, `None` of none.
pub(crate) fn percentile(values: &[f32], share: f32) -> Option<f32> {
    let mut sorted = values.to_vec();
    let at = (share * sorted.len().saturating_sub(1) as f32).round() as usize;
    (at < sorted.len()).then(|| *sorted.select_nth_unstable_by(at, f32::total_cmp).1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_spectra_give_the_sound_back_and_sum_to_its_power() {
        let samples: Vec<f32> =
            (0..5003).map(|i: u32| ((i * 7919 % 2003) as f32 / 1001.5 - 1.0) * 0.5).collect();
        for (window, hop, size) in [(512, 128, 512), (400, 160, 512), (256, 128, 1024)] {
            let stft = Stft::new(window, hop, size);
            let back = stft.rework(&samples, |_, _| {}).unwrap();
            let worst = back.iter().zip(&samples).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{window} {hop}: {worst}");
            let power = stft.power(&samples).unwrap();
            let inner = &power[8..power.len() - 8];
            let mean = inner.iter().flatten().sum::<f32>() / inner.len() as f32;
            let truth = samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32;
            assert!((mean / truth - 1.0).abs() < 0.05, "{window} {hop}: {mean} for {truth}");
        }
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
