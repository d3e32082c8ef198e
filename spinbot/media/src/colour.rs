//! A colour map for levels, from near black to near white: lightness rises evenly while the hue turns from blue
//! over red to yellow, so that it also reads in grey and by the colour-blind. Made here in Oklab (Ottosson, 2020)
//! after the idea of matplotlib's magma; no table of theirs is used.

use image::Rgb;

/// Lightness at both ends.
const LIGHTNESS: (f32, f32) = (0.13, 0.97);
/// Hue at both ends in degrees, by way of 360.
const HUE: (f32, f32) = (275.0, 460.0);
/// Most colourful, in the middle.
const CHROMA: f32 = 0.19;

/// The colour of `share`, 0..=1.
pub(crate) fn heat(share: f32) -> Rgb<u8> {
    let share = share.clamp(0.0, 1.0);
    let lightness = LIGHTNESS.0 + (LIGHTNESS.1 - LIGHTNESS.0) * share;
    let hue = (HUE.0 + (HUE.1 - HUE.0) * share.powf(0.9)).to_radians();
    let mut chroma = CHROMA * (std::f32::consts::PI * share.powf(0.85)).sin().max(0.0).powf(0.7) + 0.02;
    // As colourful as the screen can show at that lightness.
    loop {
        let linear = oklab_to_linear([lightness, chroma * hue.cos(), chroma * hue.sin()]);
        if chroma < 1e-3 || linear.iter().all(|c| (-1e-3..=1.001).contains(c)) {
            return Rgb(linear.map(|c| (255.0 * gamma(c.clamp(0.0, 1.0))).round() as u8));
        }
        chroma *= 0.96;
    }
}

fn oklab_to_linear([l, a, b]: [f32; 3]) -> [f32; 3] {
    let cone = |x: f32| x * x * x;
    let long = cone(l + 0.396_337_78 * a + 0.215_803_76 * b);
    let medium = cone(l - 0.105_561_346 * a - 0.063_854_17 * b);
    let short = cone(l - 0.089_484_18 * a - 1.291_485_5 * b);
    [
        4.076_741_7 * long - 3.307_711_6 * medium + 0.230_969_94 * short,
        -1.268_438 * long + 2.609_757_4 * medium - 0.341_319_38 * short,
        -0.004_196_086_3 * long - 0.703_418_6 * medium + 1.707_614_7 * short,
    ]
}

/// The transfer curve of sRGB.
fn gamma(linear: f32) -> f32 {
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_grow_lighter_in_even_steps() {
        let luminance = |Rgb([r, g, b]): Rgb<u8>| {
            let linear = |c: u8| (f32::from(c) / 255.0).powf(2.2);
            (0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)).cbrt()
        };
        let steps: Vec<f32> = (0..=32).map(|i| luminance(heat(i as f32 / 32.0))).collect();
        for pair in steps.windows(2) {
            assert!((0.008..0.06).contains(&(pair[1] - pair[0])), "{steps:?}");
        }
        assert!(steps[0] < 0.2 && steps[32] > 0.93, "{steps:?}");
        let Rgb([r, g, b]) = heat(0.5);
        assert!(r > 140 && g < r && b < r, "{:?}", heat(0.5));
    }
}
