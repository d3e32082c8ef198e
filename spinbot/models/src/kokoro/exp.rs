//! The exponential and what is made of it, for loops the compiler turns into vector instructions, and GELU.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

/// Calls `body::<FUSED>(values...)`, compiled for AVX2 and FMA where the processor has them. `FUSED` tells the body
/// whether the processor multiplies and adds in one instruction; without one, `mul_add` is a slow function call.
/// The body must be `#[inline(always)]`, or it is not compiled anew.
macro_rules! wide {
    ($body:ident($($name:ident: $type:ty = $value:expr),*) -> $out:ty) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn with_avx2($($name: $type),*) -> $out {
            $body::<true>($($name),*)
        }
        #[cfg(target_arch = "x86_64")]
        let out = if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both features, which was just asked.
            unsafe { with_avx2($($value),*) }
        } else {
            $body::<false>($($value),*)
        };
        #[cfg(not(target_arch = "x86_64"))]
        let out = $body::<{ cfg!(target_arch = "aarch64") }>($($value),*);
        out
    }};
}
pub(super) use wide;

/// e^x to 2e-7 relative, without branches or calls; x beyond +-87 counts as +-87. e^x = 2^n e^r with n an integer
/// and |r| <= ln 2 / 2, e^r by its Taylor polynomial of degree 7.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding 1.5 x 2^23 rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with few enough bits that n times it is exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 87.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2[0] - n * LN2[1];
    let terms = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0_f32];
    let power = terms.into_iter().fold(1.0 / 5040.0, |sum, term| sum * r + term);
    power * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, to 1e-7 absolute.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

/// GELU in its tanh form (Hendrycks and Gimpel 2016), which is x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)).
pub(super) fn gelu(x: &Tensor) -> candle_core::Result<Tensor> {
    if x.device().is_cpu() { x.apply_op1_no_bwd(&Gelu) } else { x.gelu() }
}

/// GELU on the CPU; candle's asks the C library for every value, which took a tenth of the front half's time.
struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        #[inline(always)]
        fn body<const FUSED: bool>(x: &[f32]) -> Vec<f32> {
            let twice = 2.0 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
            x.iter().map(|x| x * sigmoid(twice * (x + 0.044_715 * x * x * x))).collect()
        }
        let (CpuStorage::F32(x), Some((from, to))) = (x, layout.contiguous_offsets()) else {
            candle_core::bail!("gelu: contiguous f32 only")
        };
        let values = wide!(body(x: &[f32] = &x[from..to]) -> Vec<f32>);
        Ok((CpuStorage::F32(values), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_fast_exponential_is_right_to_the_last_bits() {
        for n in -8700..=8700 {
            let x = n as f32 / 100.0;
            let off = f64::from(exp(x)) / f64::from(x).exp() - 1.0;
            assert!(off.abs() < 2.5e-7, "exp({x}) is off by {off}");
        }
        assert_eq!((sigmoid(f32::MAX), sigmoid(-f32::MAX)), (1.0, 1.0 / (1.0 + exp(87.0))));
        assert_eq!((tanh(f32::MAX), tanh(-f32::MAX)), (1.0, -1.0));
    }

    #[test]
    fn gelu_equals_candles() {
        let x = Tensor::arange(-12.0_f32, 12.0, &candle_core::Device::Cpu).unwrap();
        let x = (x * 0.37).unwrap();
        let apart = (gelu(&x).unwrap() - x.gelu().unwrap()).unwrap().abs().unwrap().max_all().unwrap();
        assert!(apart.to_scalar::<f32>().unwrap() < 1e-6, "{apart}");
    }
}
