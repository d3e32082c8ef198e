//! The loops over values that are not matrix products, compiled for the vector units found at run time.
//!
//! All take rows of `channels` values and constants per channel, so that the innermost loop runs over channels.

use super::curve::sigmoid;

/// How values are bent after they were scaled.
#[derive(Clone, Copy)]
pub(super) enum Bend<'a> {
    /// Not at all.
    Not,
    /// `u` where positive, `slope·u` where negative.
    Leaky(f32),
    /// `u + sin²(αu)/α`, with α and 1/α per channel.
    Snake(&'a [f32], &'a [f32]),
    /// `u·sigmoid(u)` (SiLU).
    Silu,
}

/// Statistics of each channel that normalise it.
pub(super) struct Statistics {
    /// Mean over time.
    pub(super) mean: Vec<f32>,
    /// 1/√(σ² + ε).
    pub(super) inverse_deviation: Vec<f32>,
}

/// Compiles a function thrice, for AVX-512, for AVX2 and for whatever every machine has, and picks at run time.
/// The body is generic over whether `a·b + c` is one instruction.
macro_rules! for_each_machine {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $body:ident) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        pub(super) fn $name($($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn with_avx512($($arg: $type),*) $(-> $out)? {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn with_avx2($($arg: $type),*) $(-> $out)? {
                    $body::<true>($($arg),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("fma")
                {
                    // SAFETY: the features it was compiled for were just found.
                    return unsafe { with_avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: as above.
                    return unsafe { with_avx2($($arg),*) };
                }
            }
            $body::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}
pub(crate) use for_each_machine;

for_each_machine! {
    /// `out = bend(scale·x + offset)`.
    fn bend(out: &mut [f32], x: &[f32], scale: &[f32], offset: &[f32], bend: Bend) = bend_body
}
for_each_machine! {
    /// Turns `grad`, the gradient of `bend(scale·x + offset)`, into that of the normalised and scaled values
    /// `u = scale·x + offset`, and adds to `sums` what AdaIN needs per channel: Σ du, then Σ du·(x−μ)/σ.
    fn bend_backward(
        grad: &mut [f32], x: &[f32], scale: &[f32], offset: &[f32], bend: Bend, statistics: Option<&Statistics>,
        sums: (&mut [f32], &mut [f32]),
    ) = bend_backward_body
}
for_each_machine! {
    /// Turns `grad`, the gradient of `scale·x + offset` with `scale = gain/σ`, into that of x; `means` are those
    /// over time of du and of du·(x−μ)/σ.
    fn normalise_backward(
        grad: &mut [f32], x: &[f32], scale: &[f32], statistics: &Statistics, means: (&[f32], &[f32]),
    ) = normalise_backward_body
}
for_each_machine! {
    /// Means over the rows, and the sums of squared distances from them.
    fn moments(x: &[f32], mean: &mut [f32], squares: &mut [f32]) = moments_body
}

#[inline(always)]
pub(super) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The nearest integer, for |x| < 2²², without a call; as a float, and whether it is odd as a sign bit.
#[inline(always)]
fn nearest(x: f32) -> (f32, u32) {
    const MAGIC: f32 = 12_582_912.0; // 1.5·2²³: adding it leaves no bits for the fraction
    let shifted = x + MAGIC;
    (shifted - MAGIC, shifted.to_bits() << 31)
}

/// Sine within 2e-7 for |x| up to some thousands: the argument less its multiple of π, then the odd minimax
/// polynomial of degree 9 on ±π/2.
#[inline(always)]
pub(super) fn sine<const FMA: bool>(x: f32) -> f32 {
    // π in three parts, so that the difference is exact to the last bit of the first two products.
    const PI_HIGH: f32 = 3.140_625;
    const PI_MIDDLE: f32 = 9.675_026e-4;
    const PI_LOW: f32 = 1.509_958e-7;
    let (turns, sign) = nearest(x * std::f32::consts::FRAC_1_PI);
    let r = fma::<FMA>(turns, -PI_HIGH, x);
    let r = fma::<FMA>(turns, -PI_MIDDLE, r);
    let r = fma::<FMA>(turns, -PI_LOW, r);
    let s = r * r;
    let p = fma::<FMA>(s, 2.600_054_5e-6, -1.980_661_5e-4);
    let p = fma::<FMA>(p, s, 8.333_017e-3);
    let p = fma::<FMA>(p, s, -1.666_665_7e-1);
    let y = fma::<FMA>(p * s, r, r);
    f32::from_bits(y.to_bits() ^ sign)
}

#[inline(always)]
fn rows<const FMA: bool>(
    out: &mut [f32],
    x: &[f32],
    scale: &[f32],
    offset: &[f32],
    value: impl Fn(usize, f32) -> f32,
) {
    let channels = scale.len();
    let offset = &offset[..channels];
    for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
        for c in 0..channels {
            out[c] = value(c, fma::<FMA>(x[c], scale[c], offset[c]));
        }
    }
}

#[inline(always)]
fn bend_body<const FMA: bool>(out: &mut [f32], x: &[f32], scale: &[f32], offset: &[f32], bend: Bend) {
    match bend {
        Bend::Not => rows::<FMA>(out, x, scale, offset, |_, u| u),
        Bend::Leaky(slope) => {
            rows::<FMA>(out, x, scale, offset, |_, u| if u > 0.0 { u } else { slope * u });
        }
        Bend::Silu => rows::<FMA>(out, x, scale, offset, |_, u| u * sigmoid::<FMA>(u)),
        Bend::Snake(alpha, inverse) => {
            let (alpha, inverse) = (&alpha[..scale.len()], &inverse[..scale.len()]);
            rows::<FMA>(out, x, scale, offset, |c, u| {
                let s = sine::<FMA>(alpha[c] * u);
                fma::<FMA>(s * s, inverse[c], u)
            });
        }
    }
}

#[inline(always)]
fn rows_backward<const FMA: bool>(
    grad: &mut [f32],
    x: &[f32],
    [scale, offset]: [&[f32]; 2],
    statistics: Option<&Statistics>,
    (sums, products): (&mut [f32], &mut [f32]),
    slope: impl Fn(usize, f32) -> f32,
) {
    let channels = scale.len();
    let offset = &offset[..channels];
    let pairs = grad.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
    match statistics {
        Some(Statistics { mean, inverse_deviation }) => {
            let (mean, inverse_deviation) = (&mean[..channels], &inverse_deviation[..channels]);
            let (sums, products) = (&mut sums[..channels], &mut products[..channels]);
            for (grad, x) in pairs {
                for c in 0..channels {
                    let du = grad[c] * slope(c, fma::<FMA>(x[c], scale[c], offset[c]));
                    sums[c] += du;
                    products[c] = fma::<FMA>(du, (x[c] - mean[c]) * inverse_deviation[c], products[c]);
                    grad[c] = du;
                }
            }
        }
        None => {
            for (grad, x) in pairs {
                for c in 0..channels {
                    grad[c] *= scale[c] * slope(c, fma::<FMA>(x[c], scale[c], offset[c]));
                }
            }
        }
    }
}

#[inline(always)]
fn bend_backward_body<const FMA: bool>(
    grad: &mut [f32],
    x: &[f32],
    scale: &[f32],
    offset: &[f32],
    bend: Bend,
    statistics: Option<&Statistics>,
    sums: (&mut [f32], &mut [f32]),
) {
    let affine = [scale, offset];
    match bend {
        Bend::Not => rows_backward::<FMA>(grad, x, affine, statistics, sums, |_, _| 1.0),
        Bend::Leaky(slope) => {
            rows_backward::<FMA>(grad, x, affine, statistics, sums, |_, u| if u > 0.0 { 1.0 } else { slope });
        }
        Bend::Silu => {
            rows_backward::<FMA>(grad, x, affine, statistics, sums, |_, u| {
                let sigmoid = sigmoid::<FMA>(u);
                sigmoid * fma::<FMA>(u, 1.0 - sigmoid, 1.0)
            });
        }
        Bend::Snake(alpha, _) => {
            let alpha = &alpha[..scale.len()];
            // d/du sin²(αu)/α = 2 sin(αu) cos(αu) = sin(2αu)
            rows_backward::<FMA>(grad, x, affine, statistics, sums, |c, u| {
                1.0 + sine::<FMA>(2.0 * alpha[c] * u)
            });
        }
    }
}

#[inline(always)]
fn normalise_backward_body<const FMA: bool>(
    grad: &mut [f32],
    x: &[f32],
    scale: &[f32],
    statistics: &Statistics,
    (mean_du, mean_product): (&[f32], &[f32]),
) {
    let channels = scale.len();
    let (mean, inverse_deviation) = (&statistics.mean[..channels], &statistics.inverse_deviation[..channels]);
    let (mean_du, mean_product) = (&mean_du[..channels], &mean_product[..channels]);
    for (grad, x) in grad.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
        for c in 0..channels {
            let normalised = (x[c] - mean[c]) * inverse_deviation[c];
            grad[c] = scale[c] * (grad[c] - fma::<FMA>(normalised, mean_product[c], mean_du[c]));
        }
    }
}

#[inline(always)]
fn moments_body<const FMA: bool>(x: &[f32], mean: &mut [f32], squares: &mut [f32]) {
    let channels = mean.len();
    let squares = &mut squares[..channels];
    mean.fill(0.0);
    squares.fill(0.0);
    for x in x.chunks_exact(channels) {
        for c in 0..channels {
            mean[c] += x[c];
        }
    }
    let share = 1.0 / (x.len() / channels).max(1) as f32;
    mean.iter_mut().for_each(|mean| *mean *= share);
    for x in x.chunks_exact(channels) {
        for c in 0..channels {
            let distance = x[c] - mean[c];
            squares[c] = fma::<FMA>(distance, distance, squares[c]);
        }
    }
}
