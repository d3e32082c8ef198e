//! Adaptive instance normalisation: each channel to mean 0 and variance 1 over the whole time axis, then scaled
//! and shifted by the style (AdaIN; Huang & Belongie 2017).

use super::block;
use super::simd::{self, Statistics};
use candle_core::{D, Result, Tensor};

/// Added to the variance.
pub(super) const EPSILON: f64 = 1e-5;

/// Rows whose statistics are summed in f32; between blocks they are combined in f64.
const ROWS: usize = 256;

/// `(1+γ)·(x−μ)/√(σ²+ε) + β` in candle's operations; x is `[time, channels]`, `style` is γ then β, `[2·channels]`.
pub(crate) fn normalise(x: &Tensor, style: &Tensor) -> Result<Tensor> {
    let channels = x.dim(D::Minus1)?;
    // Sums over the last axis run in several lanes, which keeps thousands of rows from drowning in rounding.
    let mean = |x: &Tensor| x.t()?.contiguous()?.mean_keepdim(1)?.t();
    let centred = x.broadcast_sub(&mean(x)?)?;
    let variance = mean(&centred.sqr()?)?;
    let normalised = centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?;
    let gain = (style.narrow(0, 0, channels)? + 1.0)?;
    normalised.broadcast_mul(&gain)?.broadcast_add(&style.narrow(0, channels, channels)?)
}

/// The statistics of each channel of `[time, channels]` values.
pub(super) fn statistics(x: &[f32], channels: usize) -> Statistics {
    let (mean, variance) = moments(x, channels);
    Statistics {
        inverse_deviation: variance.iter().map(|v| (1.0 / (v + EPSILON).sqrt()) as f32).collect(),
        mean: mean.into_iter().map(|mean| mean as f32).collect(),
    }
}

/// Mean and variance of each channel of `[rows, channels]` values.
pub(super) fn moments(x: &[f32], channels: usize) -> (Vec<f64>, Vec<f64>) {
    let blocks = block::map(x.len().div_ceil(ROWS * channels), |n| {
        let x = &x[n * ROWS * channels..x.len().min((n + 1) * ROWS * channels)];
        let (mut mean, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
        simd::moments(x, &mut mean, &mut squares);
        (mean, squares, x.len() / channels)
    });
    let rows = (x.len() / channels).max(1) as f64;
    let mut mean = vec![0.0_f64; channels];
    for (block, _, count) in &blocks {
        mean.iter_mut()
            .zip(block)
            .for_each(|(mean, block)| *mean += f64::from(*block) * *count as f64 / rows);
    }
    // Chan, Golub & LeVeque: squares within the blocks, plus those between their means.
    let mut variance = vec![0.0_f64; channels];
    for (block, squares, count) in &blocks {
        for c in 0..channels {
            let between = *count as f64 * (f64::from(block[c]) - mean[c]).powi(2);
            variance[c] += (f64::from(squares[c]) + between) / rows;
        }
    }
    (mean, variance)
}
