//! Loops over rows of values that are no products: layer normalisation, softmax, GEGLU and what is left of group
//! normalisation's gradient, compiled for the vector units found at run time.

use super::curve::{exp, normal};
use super::simd::{fma, for_each_machine};

for_each_machine! {
    /// Each row of x at mean 0 and variance 1, scaled and shifted.
    fn layer_norm(out: &mut [f32], x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) = layer_norm_body
}
for_each_machine! {
    /// Turns the gradient of a layer norm of x into that of x.
    fn layer_norm_backward(grad: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) = layer_norm_backward_body
}
for_each_machine! {
    /// Turns `grad`, the gradient of the scaled and shifted values, into that of x: per channel, `moments` are mean
    /// and 1/σ of its group, `means` those over the group of `weight·grad` and of `weight·grad·(x−μ)/σ`.
    fn group_norm_backward(
        grad: &mut [f32], x: &[f32], weight: &[f32], moments: (&[f32], &[f32]), means: (&[f32], &[f32]),
    ) = group_norm_backward_body
}
for_each_machine! {
    /// Rows of `2·width` values to rows of `width`: the first half times the GELU of the second.
    fn geglu(out: &mut [f32], x: &[f32], width: usize) = geglu_body
}
for_each_machine! {
    /// The gradient of [`geglu`]'s x from that of its result.
    fn geglu_backward(dx: &mut [f32], x: &[f32], grad: &[f32], width: usize) = geglu_backward_body
}
for_each_machine! {
    /// Turns each row of `length` scores s into exp(scale·s) over the row's sum of it.
    fn softmax(rows: &mut [f32], length: usize, scale: f32) = softmax_body
}
for_each_machine! {
    /// Turns each row of `grad`, the gradient of `softmax` rows, into that of the unscaled scores.
    fn softmax_backward(grad: &mut [f32], softmax: &[f32], length: usize, scale: f32) = softmax_backward_body
}

/// Values summed apart from each other, so that a sum becomes vectors.
const LANES: usize = 32;

#[inline(always)]
fn sum(count: usize, value: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let whole = count / LANES * LANES;
    for first in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += value(first + lane);
        }
    }
    let rest: f32 = (whole..count).map(value).sum();
    lanes.iter().sum::<f32>() + rest
}

#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let share = 1.0 / x.len().max(1) as f32;
    let mean = share * sum(x.len(), |i| x[i]);
    let variance = share * sum(x.len(), |i| (x[i] - mean) * (x[i] - mean));
    (mean, 1.0 / (variance + epsilon).sqrt())
}

#[inline(always)]
fn layer_norm_body<const FMA: bool>(out: &mut [f32], x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let channels = weight.len();
    let bias = &bias[..channels];
    for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
        let (mean, inverse) = moments(x, epsilon);
        for c in 0..channels {
            out[c] = fma::<FMA>((x[c] - mean) * inverse, weight[c], bias[c]);
        }
    }
}

#[inline(always)]
fn layer_norm_backward_body<const FMA: bool>(grad: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
    let channels = weight.len();
    let share = 1.0 / channels.max(1) as f32;
    for (grad, x) in grad.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
        let (mean, inverse) = moments(x, epsilon);
        let first = share * sum(channels, |c| grad[c] * weight[c]);
        let second = share * inverse * sum(channels, |c| grad[c] * weight[c] * (x[c] - mean));
        for c in 0..channels {
            let normalised = (x[c] - mean) * inverse;
            grad[c] = inverse * (fma::<FMA>(grad[c], weight[c], -first) - normalised * second);
        }
    }
}

#[inline(always)]
fn group_norm_backward_body<const FMA: bool>(
    grad: &mut [f32],
    x: &[f32],
    weight: &[f32],
    (mean, inverse): (&[f32], &[f32]),
    (first, second): (&[f32], &[f32]),
) {
    let channels = weight.len();
    let (mean, inverse) = (&mean[..channels], &inverse[..channels]);
    let (first, second) = (&first[..channels], &second[..channels]);
    for (grad, x) in grad.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
        for c in 0..channels {
            let normalised = (x[c] - mean[c]) * inverse[c];
            grad[c] = inverse[c] * (fma::<FMA>(grad[c], weight[c], -first[c]) - normalised * second[c]);
        }
    }
}

#[inline(always)]
fn geglu_body<const FMA: bool>(out: &mut [f32], x: &[f32], width: usize) {
    for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(2 * width)) {
        let (value, gate) = x.split_at(width);
        for c in 0..width {
            out[c] = value[c] * gate[c] * normal::<FMA>(gate[c]).0;
        }
    }
}

#[inline(always)]
fn geglu_backward_body<const FMA: bool>(dx: &mut [f32], x: &[f32], grad: &[f32], width: usize) {
    let rows = dx.chunks_exact_mut(2 * width).zip(x.chunks_exact(2 * width));
    for ((dx, x), grad) in rows.zip(grad.chunks_exact(width)) {
        let (value, gate) = x.split_at(width);
        let (d_value, d_gate) = dx.split_at_mut(width);
        for c in 0..width {
            let (share, density) = normal::<FMA>(gate[c]);
            d_value[c] = grad[c] * gate[c] * share;
            d_gate[c] = grad[c] * value[c] * fma::<FMA>(gate[c], density, share);
        }
    }
}

#[inline(always)]
fn softmax_body<const FMA: bool>(rows: &mut [f32], length: usize, scale: f32) {
    for row in rows.chunks_exact_mut(length) {
        let mut lanes = [f32::NEG_INFINITY; LANES];
        let chunks = row.chunks_exact(LANES);
        let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
            }
        }
        let highest = lanes.iter().fold(rest, |a, b| a.max(*b));
        for value in row.iter_mut() {
            *value = exp::<FMA>((*value - highest) * scale);
        }
        let inverse = 1.0 / sum(length, |i| row[i]);
        row.iter_mut().for_each(|value| *value *= inverse);
    }
}

#[inline(always)]
fn softmax_backward_body<const FMA: bool>(grad: &mut [f32], softmax: &[f32], length: usize, scale: f32) {
    for (grad, softmax) in grad.chunks_exact_mut(length).zip(softmax.chunks_exact(length)) {
        let total = sum(length, |i| grad[i] * softmax[i]);
        for (grad, softmax) in grad.iter_mut().zip(softmax) {
            *grad = softmax * (*grad - total) * scale;
        }
    }
}
