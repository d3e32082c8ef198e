//! Drawings as pictures. JupyterLab strips `<svg>` from HTML it does not trust and keeps `<img>`, so that a drawing
//! travels as a data URI: it sees neither the page's colours nor its theme, and uses tones that read on both white
//! and black.

use super::{data_uri, escape};

/// Lines and letters.
pub(super) const INK: &str = "#7d8590";
/// What the drawing is about.
pub(super) const ACCENT: &str = "#2f81f7";
/// What it is compared with.
pub(super) const SECOND: &str = "#d29922";

/// A drawing of `width` by `height` pixels, shrunk where there is less room. `alt` says it in words.
pub(super) fn picture(width: f64, height: f64, alt: &str, content: &str) -> String {
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"system-ui, sans-serif\">{content}</svg>"
    );
    format!(
        "<img alt=\"{}\" style=\"display:block;max-width:100%;margin:6px 0\" src=\"{}\">",
        escape(alt),
        data_uri("image/svg+xml", svg.as_bytes())
    )
}

/// Letters at a place; `anchor` is `start`, `middle` or `end`.
pub(super) fn letters(x: f64, y: f64, size: f64, anchor: &str, colour: &str, text: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{}</text>",
        escape(&printable(text))
    )
}

pub(super) fn line(x1: f64, y1: f64, x2: f64, y2: f64, colour: &str, width: f64) -> String {
    format!(
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" \
         stroke-width=\"{width}\"/>"
    )
}

/// How wide letters of that size are, roughly: fonts differ, and what is drawn must not overlap in any.
pub(super) fn width_of(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.58
}

/// Without characters that no XML may hold (XML 1.0, section 2.2): one of them and nothing is drawn.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    /// The drawings inside some HTML, as markup.
    pub(crate) fn drawings(html: &str) -> Vec<String> {
        html.split("data:image/svg+xml;base64,")
            .skip(1)
            .map(|rest| String::from_utf8(BASE64.decode(rest.split('"').next().unwrap()).unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn letters_are_safe_in_xml_and_alt_in_html() {
        let html = picture(10.0, 5.4, "a \"b\"", &letters(1.0, 2.0, 9.0, "start", INK, "<a>\u{0}&\u{1b}é"));
        assert!(html.starts_with("<img alt=\"a &quot;b&quot;\""), "{html}");
        assert!(!html.contains("<svg"), "{html}");
        let svg = drawings(&html).remove(0);
        assert!(svg.contains(">&lt;a&gt;&amp;é</text></svg>") && svg.contains("height=\"5\""), "{svg}");
    }
}
