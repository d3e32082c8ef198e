//! Where a clone lies between strangers and its speaker, by both encoders.

use super::svg::{ACCENT, INK, SECOND, letters, line, picture, width_of};
use spinbot::voices::EncoderScale;

/// Pixels of the whole, of what stands before the scales, and of one scale.
const WIDTH: f64 = 760.0;
const NAMES: f64 = 130.0;
const HEIGHT: f64 = 84.0;
const MARGIN: f64 = 60.0;
/// Size of the letters.
const SIZE: f64 = 11.0;

/// Both scales as a picture; nothing when their figures make no sense.
pub(super) fn scales(ge2e: &EncoderScale, dvector: &EncoderScale) -> String {
    let rows = [("GE2E", "guided the clone", ge2e), ("second encoder", "independent", dvector)];
    let figures = |s: &EncoderScale| [s.different_speaker, s.nearest_stock, s.clone, s.same_speaker];
    if rows.iter().any(|(_, _, scale)| !figures(scale).iter().all(|f| (-1.5..=1.5).contains(f))) {
        return String::new();
    }
    let drawn: String = rows
        .iter()
        .enumerate()
        .map(|(i, (name, role, scale))| one(name, role, scale, i as f64 * HEIGHT))
        .collect();
    let said = |scale: &EncoderScale| {
        format!(
            "different speaker {:.2}, nearest stock voice {:.2}, this clone {:.2}, same speaker {:.2}",
            scale.different_speaker, scale.nearest_stock, scale.clone, scale.same_speaker
        )
    };
    let alt = format!("GE2E: {}; second encoder: {}", said(ge2e), said(dvector));
    picture(WIDTH, HEIGHT * 2.0, &alt, &drawn)
}

fn one(name: &str, role: &str, scale: &EncoderScale, top: f64) -> String {
    let figures = [scale.different_speaker, scale.nearest_stock, scale.clone, scale.same_speaker];
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let span = (figures.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least).max(1e-6);
    let (left, right) = (NAMES + MARGIN, WIDTH - MARGIN);
    let x = |figure: f64| left + (figure - least) / span * (right - left);
    let y = top + 34.0;
    let mut drawn = letters(0.0, y, 12.5, "start", INK, name);
    drawn.push_str(&letters(0.0, y + 15.0, 10.0, "start", INK, role));
    drawn.push_str(&line(left - 20.0, y, right + 20.0, y, INK, 1.5));
    // From a stranger to the speaker: what counts.
    drawn.push_str(&line(x(scale.different_speaker), y, x(scale.clone), y, ACCENT, 5.0));
    for (title, figure, colour, row) in [
        ("different speaker", scale.different_speaker, INK, 0.0),
        ("nearest stock voice", scale.nearest_stock, SECOND, 1.0),
        ("same speaker", scale.same_speaker, INK, 0.0),
    ] {
        let (at, foot) = (x(figure), y + 12.0 + row * 14.0);
        drawn.push_str(&line(at, y - 6.0, at, foot, colour, 2.0));
        let text = format!("{title} {figure:.2}");
        let half = width_of(&text, SIZE) / 2.0;
        let middle = at.clamp(NAMES + half, WIDTH - half);
        drawn.push_str(&letters(middle, foot + 10.0, SIZE, "middle", colour, &text));
    }
    let at = x(scale.clone);
    drawn.push_str(&format!("<circle cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"6\" fill=\"{ACCENT}\"/>"));
    let text = format!("this clone {:.2}", scale.clone);
    drawn.push_str(&letters(at, y - 12.0, 12.5, "middle", ACCENT, &text));
    drawn
}

#[cfg(test)]
mod tests {
    use super::super::svg::tests::drawings;
    use super::*;

    fn scale(different_speaker: f64, nearest_stock: f64, clone: f64, same_speaker: f64) -> EncoderScale {
        EncoderScale { different_speaker, nearest_stock, clone, same_speaker }
    }

    #[test]
    fn the_clone_lies_where_its_figure_is() {
        let html = scales(&scale(0.6, 0.68, 0.76, 0.92), &scale(0.3, 0.5, 0.95, 0.9));
        let svg = drawings(&html).remove(0);
        // Half way from 190 to 700; beyond the speaker's own likeness, at the end.
        assert!(svg.contains("<circle cx=\"445.0\"") && svg.contains("<circle cx=\"700.0\""), "{svg}");
        for wanted in
            ["different speaker 0.60", "nearest stock voice 0.50", "same speaker 0.92", "this clone 0.95"]
        {
            assert!(svg.contains(wanted), "{wanted} is missing in {svg}");
        }
        assert!(html.contains("alt=\"GE2E: different speaker 0.60, nearest"), "{html}");
    }

    #[test]
    fn figures_that_make_no_sense_are_not_drawn() {
        let good = scale(0.6, 0.7, 0.8, 0.9);
        assert_eq!(scales(&good, &scale(0.6, f64::NAN, 0.8, 0.9)), "");
        assert_eq!(scales(&scale(0.6, 7.0, 0.8, 0.9), &good), "");
        assert_eq!(drawings(&scales(&good, &scale(0.5, 0.5, 0.5, 0.5))).len(), 1);
    }
}
