//! Colours by the names people have for them.

/// Below this chroma (of Oklab) a colour is told by its lightness alone.
const GREY: f32 = 0.04;
/// Hues of Oklch, in degrees, up to which a name goes; the rest is `pink` again. Set between the middles of CSS's
/// own red, orange, yellow, lime, teal, blue, purple and magenta.
const HUES: [(f32, &str); 9] = [
    (10.0, "pink"),
    (42.0, "red"),
    (80.0, "orange"),
    (118.0, "yellow"),
    (165.0, "green"),
    (212.0, "teal"),
    (285.0, "blue"),
    (322.0, "purple"),
    (360.0, "pink"),
];

/// The name of a colour, as a caption has it: `light blue`.
pub(crate) fn name(rgb: [f32; 3]) -> String {
    let [l, a, b] = oklab(rgb);
    let chroma = a.hypot(b);
    if chroma < GREY {
        let grey = match l {
            l if l < 0.3 => "black",
            l if l < 0.55 => "dark grey",
            l if l < 0.8 => "grey",
            l if l < 0.93 => "light grey",
            _ => "white",
        };
        return grey.to_owned();
    }
    let hue = b.atan2(a).to_degrees().rem_euclid(360.0);
    let name = HUES.iter().find(|(end, _)| hue < *end).map_or("pink", |(_, name)| name);
    match (name, l) {
        ("red" | "orange" | "yellow", l) if l < 0.5 && chroma < 0.15 => "brown".to_owned(),
        // Purple and magenta are of one hue: the darker is purple.
        ("pink", l) if l < 0.55 && (310.0..345.0).contains(&hue) => "purple".to_owned(),
        ("red", l) if l > 0.75 => "pink".to_owned(),
        ("orange" | "yellow", l) if l > 0.8 && chroma < 0.09 => "beige".to_owned(),
        // Light yellow is what yellow is.
        (name, l) if l > 0.82 && name != "yellow" && name != "orange" => format!("light {name}"),
        (name, l) if l < 0.38 => format!("dark {name}"),
        (name, _) => name.to_owned(),
    }
}

/// How far two colours are apart to the eye; 0.02 is just seen, black to white is 1.
pub(crate) fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    let (a, b) = (oklab(a), oklab(b));
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
}

/// How colourful it is: 0 for greys, 0.3 for the purest of a screen.
pub(crate) fn chroma(rgb: [f32; 3]) -> f32 {
    let [_, a, b] = oklab(rgb);
    a.hypot(b)
}

/// sRGB, 0..=255, in Oklab (B. Ottosson, 2020): lightness 0..=1, green to red, blue to yellow.
fn oklab(rgb: [f32; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(|c| {
        let c = c / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    });
    let l = (0.412_221_47 * r + 0.536_332_54 * g + 0.051_445_995 * b).cbrt();
    let m = (0.211_903_5 * r + 0.680_699_55 * g + 0.107_396_96 * b).cbrt();
    let s = (0.088_302_46 * r + 0.281_718_84 * g + 0.629_978_7 * b).cbrt();
    [
        0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
        1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
        0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_the_names_people_give_them() {
        for (rgb, expected) in [
            ([255, 255, 255], "white"),
            ([0, 0, 0], "black"),
            ([128, 128, 128], "grey"),
            ([255, 0, 0], "red"),
            ([255, 165, 0], "orange"),
            ([255, 255, 0], "yellow"),
            ([0, 128, 0], "green"),
            ([0, 128, 128], "teal"),
            ([0, 0, 255], "blue"),
            ([128, 0, 128], "purple"),
            ([255, 192, 203], "light pink"),
            ([255, 105, 180], "pink"),
            ([139, 69, 19], "brown"),
            ([245, 222, 179], "beige"),
            ([173, 216, 230], "light blue"),
            ([0, 0, 100], "dark blue"),
        ] {
            assert_eq!(name(rgb.map(|c: u8| f32::from(c))), expected, "{rgb:?}");
        }
        assert!((distance([0.0; 3], [255.0; 3]) - 1.0).abs() < 1e-3);
        assert!(chroma([90.0; 3]) < 1e-3 && chroma([255.0, 0.0, 0.0]) > 0.25);
    }
}
