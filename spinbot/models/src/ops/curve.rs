//! The curves that networks bend values by, without branches or calls, so that loops over them become vectors.

use super::simd::fma;

/// e^x to 2e-7 relative; x beyond ±87 counts as ±87. e^x = 2ⁿ·eʳ with n an integer and |r| ≤ ln 2 / 2, eʳ by its
/// Taylor polynomial of degree 7.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5·2²³: adding it rounds to an integer, which then stands in the low bits
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let rounded = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = fma::<FMA>(n, -LN2_LOW, fma::<FMA>(n, -LN2_HIGH, x));
    let terms = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0_f32];
    let power = terms.into_iter().fold(1.0 / 5040.0, |sum, term| fma::<FMA>(sum, r, term));
    power * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// The standard normal distribution's Φ(x), to 1e-7, and its density: GELU is x·Φ(x). By Abramowitz and Stegun's
/// 7.1.26.
#[inline(always)]
pub(super) fn normal<const FMA: bool>(x: f32) -> (f32, f32) {
    let t = 1.0 / fma::<FMA>(x.abs(), 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2, 1.0);
    let bell = exp::<FMA>(-0.5 * x * x);
    let terms = [-1.453_152, 1.421_413_7, -0.284_496_72, 0.254_829_6, 0.0];
    let tail = 0.5 * bell * terms.into_iter().fold(1.061_405_4, |sum, term| fma::<FMA>(sum, t, term));
    (if x < 0.0 { tail } else { 1.0 - tail }, bell * 0.398_942_3)
}
