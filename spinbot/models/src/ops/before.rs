//! What a frozen layer does to its input first, on rows of values, and the way back.

use super::block::for_chunks;
use super::simd::{self, Bend, Statistics};
use super::{norm, rowwise};
use std::borrow::Cow;
use std::sync::Arc;

/// A group or layer normalisation with frozen scale and shift.
#[derive(Debug)]
pub(crate) struct Norm {
    /// Scale per channel.
    pub(crate) weight: Vec<f32>,
    /// Shift per channel.
    pub(crate) bias: Vec<f32>,
    /// Groups of channels over a sample's rows, or `None` to normalise each row by itself.
    pub(crate) groups: Option<usize>,
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

/// What happens to rows before they are multiplied.
#[derive(Debug, Clone)]
pub(crate) enum First {
    /// Nothing.
    Nothing,
    /// A normalisation, then SiLU if so.
    Norm(Arc<Norm>, bool),
    /// GEGLU, which halves the channels.
    Geglu,
}

/// Values to a thread, at least.
const SHARE: usize = 1 << 14;

/// Rows to a thread.
fn band(rows: usize, width: usize) -> usize {
    rows.div_ceil(rayon::current_num_threads()).max(SHARE / width.max(1)).max(1)
}

/// Calls `work` with bands of rows of `out` and the same rows of x; gives back what it returns, in order.
fn bands<R: Send>(
    out: &mut [f32],
    width: usize,
    x: &[f32],
    x_width: usize,
    work: impl Fn(&mut [f32], &[f32]) -> R + Sync,
) -> Vec<R> {
    let band = band(out.len() / width.max(1), width);
    for_chunks(out, band * width, |n, out| {
        let first = n * band * x_width;
        work(out, &x[first..first + out.len() / width.max(1) * x_width])
    })
}

impl First {
    /// Channels of what comes out of so many.
    pub(super) fn width(&self, channels: usize) -> usize {
        if matches!(self, First::Geglu) { channels / 2 } else { channels }
    }

    /// Does it to samples of `rows` rows.
    pub(super) fn apply<'a>(&self, x: &'a [f32], channels: usize, rows: usize) -> Cow<'a, [f32]> {
        match self {
            First::Nothing => Cow::Borrowed(x),
            First::Norm(norm, silu) => Cow::Owned(norm.apply(x, rows, *silu)),
            First::Geglu => {
                let width = channels / 2;
                let mut out = vec![0.0; x.len() / 2];
                bands(&mut out, width, x, channels, |out, x| rowwise::geglu(out, x, width));
                Cow::Owned(out)
            }
        }
    }

    /// The gradient of x from that of the result.
    pub(super) fn backward(&self, x: &[f32], channels: usize, rows: usize, mut grad: Vec<f32>) -> Vec<f32> {
        match self {
            First::Nothing => grad,
            First::Norm(norm, silu) => {
                norm.backward(x, rows, *silu, &mut grad);
                grad
            }
            First::Geglu => {
                let mut dx = vec![0.0; x.len()];
                let width = channels / 2;
                let band = band(x.len() / channels.max(1), channels);
                for_chunks(&mut dx, band * channels, |n, dx| {
                    let (x, grad) = (&x[n * band * channels..], &grad[n * band * width..]);
                    rowwise::geglu_backward(dx, &x[..dx.len()], &grad[..dx.len() / 2], width);
                });
                dx
            }
        }
    }
}

impl Norm {
    fn apply(&self, x: &[f32], rows: usize, silu: bool) -> Vec<f32> {
        let channels = self.weight.len();
        let mut out = vec![0.0; x.len()];
        let Some(groups) = self.groups else {
            bands(&mut out, channels, x, channels, |out, x| {
                rowwise::layer_norm(out, x, &self.weight, &self.bias, self.epsilon);
            });
            return out;
        };
        let sample = rows * channels;
        for (out, x) in out.chunks_mut(sample).zip(x.chunks(sample)) {
            let (_, scale, offset) = self.affine(x, groups);
            let bend = if silu { Bend::Silu } else { Bend::Not };
            bands(out, channels, x, channels, |out, x| simd::bend(out, x, &scale, &offset, bend));
        }
        out
    }

    /// A sample's statistics by channel, and the factor and addend that normalise, scale and shift.
    fn affine(&self, x: &[f32], groups: usize) -> (Statistics, Vec<f32>, Vec<f32>) {
        let channels = self.weight.len();
        let (mean, variance) = norm::moments(x, channels);
        let width = channels / groups;
        let mut statistics = Statistics { mean: vec![0.0; channels], inverse_deviation: vec![0.0; channels] };
        for first in (0..channels).step_by(width) {
            let group = first..first + width;
            let centre = mean[group.clone()].iter().sum::<f64>() / width as f64;
            let spread = group.clone().map(|c| variance[c] + (mean[c] - centre).powi(2)).sum::<f64>();
            let inverse = 1.0 / (spread / width as f64 + f64::from(self.epsilon)).sqrt();
            statistics.mean[group.clone()].fill(centre as f32);
            statistics.inverse_deviation[group].fill(inverse as f32);
        }
        let scale: Vec<f32> =
            self.weight.iter().zip(&statistics.inverse_deviation).map(|(w, inverse)| w * inverse).collect();
        let offset = (0..channels).map(|c| self.bias[c] - statistics.mean[c] * scale[c]).collect();
        (statistics, scale, offset)
    }

    /// Turns the gradient of the result into that of x.
    fn backward(&self, x: &[f32], rows: usize, silu: bool, grad: &mut [f32]) {
        let channels = self.weight.len();
        let Some(groups) = self.groups else {
            bands(grad, channels, x, channels, |grad, x| {
                rowwise::layer_norm_backward(grad, x, &self.weight, self.epsilon);
            });
            return;
        };
        let sample = rows * channels;
        for (grad, x) in grad.chunks_mut(sample).zip(x.chunks(sample)) {
            let (statistics, scale, offset) = self.affine(x, groups);
            let bend = if silu { Bend::Silu } else { Bend::Not };
            let sums = bands(grad, channels, x, channels, |grad, x| {
                let (mut du, mut products) = (vec![0.0; channels], vec![0.0; channels]);
                let both = (&mut du[..], &mut products[..]);
                simd::bend_backward(grad, x, &scale, &offset, bend, Some(&statistics), both);
                (du, products)
            });
            let width = channels / groups;
            let share = 1.0 / (rows * width) as f64;
            let (mut first, mut second) = (vec![0.0; channels], vec![0.0; channels]);
            for start in (0..channels).step_by(width) {
                let group = start..start + width;
                type Sums = (Vec<f32>, Vec<f32>);
                let mean = |pick: fn(&Sums) -> &Vec<f32>| {
                    let weighted =
                        |sums| group.clone().map(|c| f64::from(pick(sums)[c] * self.weight[c])).sum::<f64>();
                    (share * sums.iter().map(weighted).sum::<f64>()) as f32
                };
                let (du, product) = (mean(|sums| &sums.0), mean(|sums| &sums.1));
                first[group.clone()].fill(du);
                second[group].fill(product);
            }
            let moments = (&statistics.mean[..], &statistics.inverse_deviation[..]);
            bands(grad, channels, x, channels, |grad, x| {
                rowwise::group_norm_backward(grad, x, &self.weight, moments, (&first, &second));
            });
        }
    }
}
