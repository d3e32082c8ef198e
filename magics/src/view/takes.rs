//! Several takes: a grid of players, each with its number and seed.

use super::{QUIET, Source, data_uri, escape, subtitles, table_of_html};
use spinbot::Bundle;

/// Players in a row.
const COLUMNS: usize = 3;

/// One take of several.
pub(crate) struct TakeCell<'a> {
    pub(crate) source: Source<'a>,
    /// JPEG shown before it plays.
    pub(crate) poster: Option<&'a [u8]>,
    /// What stands under it, beside its number.
    pub(crate) caption: String,
    /// WebVTT to read below.
    pub(crate) subtitles: Option<String>,
}

/// The takes of a render.
pub(crate) struct TakesCard<'a> {
    pub(crate) cells: &'a [TakeCell<'a>],
    /// CSS pixels of a player.
    pub(crate) width: u32,
    /// Facts under the grid, name and value.
    pub(crate) facts: &'a [(&'a str, String)],
    /// What terminals show.
    pub(crate) text: String,
}

impl TakesCard<'_> {
    /// The grid as HTML, the first poster as JPEG for places without HTML, and the text.
    pub(crate) fn bundle(&self) -> Bundle {
        let cell = |(at, cell): (usize, &TakeCell<'_>)| {
            let poster = cell
                .poster
                .map_or(String::new(), |jpeg| format!(" poster=\"{}\"", data_uri("image/jpeg", jpeg)));
            // `src` on the element itself: the sanitiser strips `<source>` in untrusted notebooks.
            format!(
                "<td style=\"padding:0 12px 12px 0;vertical-align:top\"><video controls loop preload=\"metadata\" \
                 width=\"{width}\" style=\"display:block;max-width:100%\"{poster} src=\"{source}\"></video>\
                 <div><b>{number}</b> <span style=\"{QUIET}\">{caption}</span></div>{words}</td>",
                width = self.width,
                source = cell.source.uri("video/mp4"),
                number = at + 1,
                caption = escape(&cell.caption),
                words = cell.subtitles.as_deref().and_then(subtitles).unwrap_or_default(),
            )
        };
        let cells: Vec<String> = self.cells.iter().enumerate().map(cell).collect();
        let rows: String = cells.chunks(COLUMNS).map(|row| format!("<tr>{}</tr>", row.concat())).collect();
        let facts: Vec<Vec<String>> =
            self.facts.iter().map(|(name, value)| vec![escape(name), escape(value)]).collect();
        let html = format!(
            "<div><table style=\"border-collapse:collapse;text-align:left\">{rows}</table>\
             <div style=\"{QUIET}\">{}</div></div>",
            table_of_html(&[], &facts)
        );
        let bundle = Bundle::text(self.text.clone()).with("text/html", html);
        match self.cells.first().and_then(|cell| cell.poster) {
            Some(jpeg) => bundle.with_bytes("image/jpeg", jpeg),
            None => bundle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_take_has_a_player_and_its_number_three_in_a_row() {
        let cell = |name: &'static str| TakeCell {
            source: Source::Beside(name),
            poster: Some(b"jpg"),
            caption: "seed <7>".into(),
            subtitles: Some("WEBVTT\n\n00:00.000 --> 00:01.000\na <b>\n".into()),
        };
        let cells = [cell("a.mp4"), cell("b.mp4"), cell("c.mp4"), cell("d.mp4")];
        let facts = [("variable", "takes".to_owned())];
        let shown = TakesCard { cells: &cells, width: 256, facts: &facts, text: "4 takes".into() }.bundle();
        let html = shown.data["text/html"].as_str().unwrap();
        assert_eq!((html.matches("<video controls").count(), html.matches("<tr>").count()), (4, 3));
        for wanted in
            ["src=\"d.mp4\"", "<b>4</b>", "seed &lt;7&gt;", "a &lt;b&gt;", " width=\"256\"", "takes"]
        {
            assert!(html.contains(wanted), "`{wanted}` is missing in {html}");
        }
        assert!(!html.contains("<source") && !html.contains("flex"), "{html}");
        assert_eq!(
            (&shown.data["image/jpeg"], &shown.data["text/plain"]),
            (&"anBn".into(), &"4 takes".into())
        );
    }
}
