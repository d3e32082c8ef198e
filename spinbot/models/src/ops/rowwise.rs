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

/// The sum of what `value` makes of the rows' values. Their lengths are equal.
#[inline(always)]
fn sum<const N: usize>(rows: [&[f32]; N], value: impl Fn([f32; N]) -> f32) -> f32 {
    // Whole chunks as arrays: where an index could lie outside, the compiler keeps the loop scalar.
    let split = rows.map(|row| row.as_chunks::<LANES>());
    let count = split[0].0.len();
    let chunks = split.map(|(chunks, _)| &chunks[..count]);
    let mut lanes = [0.0_f32; LANES];
    for chunk in 0..count {
        let at = chunks.map(|chunks| &chunks[chunk]);
        for lane in 0..LANES {
            lanes[lane] += value(at.map(|at| at[lane]));
        }
    }
    let rest: f32 = (count * LANES..rows[0].len()).map(|i| value(rows.map(|row| row[i]))).sum();
    rest + lanes.iter().sum::<f32>()
}

#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let share = 1.0 / x.len().max(1) as f32;
    let mean = share * sum([x], |[x]| x);
    let variance = share * sum([x], |[x]| (x - mean) * (x - mean));
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
        let first = share * sum([grad, weight], |[grad, weight]| grad * weight);
        let second = share * inverse * sum([grad, weight, x], |[grad, weight, x]| grad * weight * (x - mean));
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
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    for row in rows.chunks_exact_mut(length) {
        let (chunks, rest) = row.as_chunks_mut::<LANES>();
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for chunk in chunks.iter() {
            for lane in 0..LANES {
                lanes[lane] = larger(lanes[lane], chunk[lane]);
            }
        }
        let highest = lanes.iter().chain(&*rest).fold(f32::NEG_INFINITY, |a, b| larger(a, *b));
        let mut sums = [0.0_f32; LANES];
        for chunk in chunks.iter_mut() {
            for lane in 0..LANES {
                chunk[lane] = exp::<FMA>((chunk[lane] - highest) * scale);
                sums[lane] += chunk[lane];
            }
        }
        rest.iter_mut().for_each(|value| *value = exp::<FMA>((*value - highest) * scale));
        let inverse = 1.0 / (sums.iter().sum::<f32>() + rest.iter().sum::<f32>());
        row.iter_mut().for_each(|value| *value *= inverse);
    }
}

#[inline(always)]
fn softmax_backward_body<const FMA: bool>(grad: &mut [f32], softmax: &[f32], length: usize, scale: f32) {
    for (grad, softmax) in grad.chunks_exact_mut(length).zip(softmax.chunks_exact(length)) {
        let total = sum([grad, softmax], |[grad, softmax]| grad * softmax);
        for (grad, softmax) in grad.iter_mut().zip(softmax) {
            *grad = softmax * (*grad - total) * scale;
        }
    }
}
