//! 24 kHz, where voices are made, to 16 kHz, where they are heard, with a gradient.

use crate::error::{ModelError, Result};
use candle_core::{Device, Tensor};
use std::f64::consts::PI;

/// Zero crossings of the filter on each side, in output samples.
const CROSSINGS: i64 = 24;
/// Where the filter halves the amplitude, as a share of the new Nyquist frequency: what is below 6.7 kHz passes,
/// what is above 8.4 kHz is gone.
const CUTOFF: f64 = 0.94;
/// Kaiser's shape; 8 keeps what folds back 80 dB down.
const BETA: f64 = 8.0;
/// First of the input samples (relative to 3j) that outputs 2j and 2j + 1 are made of.
const FIRST: i64 = -(CROSSINGS * 3 / 2);
/// How many groups of three they are.
const GROUPS: usize = 25;

/// Two outputs for every three inputs: a polyphase filter as one matrix product.
pub(crate) struct Resampler {
    /// [3 * GROUPS, 2].
    filter: Tensor,
}

impl Resampler {
    pub(crate) fn new(device: &Device) -> Result<Self> {
        let filter = (0..3 * GROUPS as i64).flat_map(|row| {
            // On the common grid of 48 kHz the output is at 3 * phase and the input at 2 * (row + FIRST).
            (0..2).map(move |phase| (2.0 * tap(3 * phase - 2 * (row + FIRST))) as f32)
        });
        let filter = Tensor::from_vec(filter.collect(), (3 * GROUPS, 2), device);
        Ok(Resampler { filter: filter.map_err(ModelError::tensor("preparing the resampler"))? })
    }

    /// [n] at 24 kHz -> [2n / 3] at 16 kHz, in time with each other; silence is assumed on both sides.
    pub(crate) fn forward(&self, samples: &Tensor) -> candle_core::Result<Tensor> {
        let count = samples.dim(0)?;
        let pairs = count.div_ceil(3);
        let left = FIRST.unsigned_abs() as usize;
        let right = (pairs + GROUPS - 1) * 3 - left - count;
        let groups = samples.pad_with_zeros(0, left, right)?.reshape((pairs + GROUPS - 1, 3))?;
        let shifted = (0..GROUPS).map(|shift| groups.narrow(0, shift, pairs));
        let framed = Tensor::cat(&shifted.collect::<candle_core::Result<Vec<_>>>()?, 1)?;
        framed.matmul(&self.filter)?.flatten_all()?.narrow(0, 0, count * 2 / 3)
    }
}

/// The low-pass filter at 48 kHz, `at` samples from its middle.
fn tap(at: i64) -> f64 {
    let half = 3 * CROSSINGS;
    if at.abs() > half {
        return 0.0;
    }
    // The new Nyquist frequency is a third of 48 kHz' own.
    let x = PI * at as f64 * CUTOFF / 3.0;
    let sinc = if at == 0 { 1.0 } else { x.sin() / x };
    let along = at as f64 / half as f64;
    CUTOFF / 3.0 * sinc * bessel(BETA * (1.0 - along * along).sqrt()) / bessel(BETA)
}

/// The modified Bessel function I0, by its power series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..40 {
        term *= (x / 2.0 / f64::from(n)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tone(hertz: f64, rate: f64, count: usize) -> Vec<f32> {
        (0..count).map(|n| (2.0 * PI * hertz * n as f64 / rate).sin() as f32).collect()
    }

    #[test]
    fn tones_below_the_new_nyquist_stay_and_those_above_vanish() {
        let resampler = Resampler::new(&Device::Cpu).unwrap();
        for (hertz, stays) in
            [(60.0, true), (1000.0, true), (6600.0, true), (8600.0, false), (11_000.0, false)]
        {
            for count in [24_000, 24_001, 24_002] {
                let samples = Tensor::from_vec(tone(hertz, 24_000.0, count), count, &Device::Cpu).unwrap();
                let got = resampler.forward(&samples).unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(got.len(), count * 2 / 3);
                let mut expected = tone(hertz, 16_000.0, got.len());
                if !stays {
                    expected.fill(0.0);
                }
                // The ends hear the silence around.
                let middle = 100..got.len() - 100;
                let off = got[middle.clone()].iter().zip(&expected[middle]);
                let off = off.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 1e-3, "{hertz} Hz is off by {off}");
            }
        }
    }
}
