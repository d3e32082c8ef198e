//! Pictures: the grid that fills in while they are drawn, and what is left.

use super::{QUIET, Source, bar, data_uri, escape, table_of_html};
use spinbot::{Bundle, JobView, follow};

/// Cells beside one another.
const COLUMNS: usize = 4;

/// A picture of the grid: MIME type and bytes of what is seen of it so far.
pub(crate) type Seen<'a> = Option<(&'a str, &'a [u8])>;

/// The grid of a job that draws: a cell for each seed with what is seen of it.
pub(crate) fn drawing(view: &JobView, cells: &[(u64, Seen<'_>)]) -> Bundle {
    // Two by two rather than three and one.
    let columns = if cells.len() == 4 { 2 } else { COLUMNS };
    let width = if cells.len() > 4 { 128 } else { 192 };
    let cell = |(seed, seen): &(u64, Seen<'_>)| {
        let picture = match seen {
            // Both sides are given, so that nothing moves when a picture comes; a preview is smaller than its picture.
            Some((mime, content)) => {
                let uri = data_uri(mime, content);
                format!("<img src=\"{uri}\" style=\"display:block;width:{width}px\">")
            }
            None => format!(
                "<div style=\"width:{width}px;height:{width}px;border-radius:3px;background:rgba(128,128,128,0.2)\"></div>"
            ),
        };
        format!(
            "<td style=\"text-align:center;vertical-align:top;padding:2px\">{picture}<span style=\"{QUIET}\">seed \
             {seed}</span></td>"
        )
    };
    let rows: String = cells
        .chunks(columns)
        .map(|row| format!("<tr>{}</tr>", row.iter().map(cell).collect::<String>()))
        .collect();
    let caption = follow::caption(view);
    let fault =
        view.fault.as_ref().map_or(String::new(), |fault| format!("<div>{}</div>", escape(&fault.message)));
    let html = format!(
        "<div style=\"max-width:820px\"><div><b>{title}</b></div><table style=\"margin:4px 0\"><tbody>{rows}</tbody>\
         </table><div style=\"max-width:400px\">{bar}</div><div style=\"{QUIET}\">{caption}</div>{fault}</div>",
        title = escape(&view.title),
        bar = bar(view.fraction, view.state),
        caption = escape(&caption),
    );
    let percent = view.fraction.clamp(0.0, 1.0) * 100.0;
    Bundle::text(format!("{}: {percent:.0}% {caption}", view.title)).with("text/html", html)
}

/// Pictures that were drawn.
pub(crate) struct DrawnCard<'a> {
    /// The picture, or the grid of several.
    pub(crate) source: Source<'a>,
    pub(crate) mime: &'a str,
    /// What stands under it.
    pub(crate) prompt: &'a str,
    /// Facts under it, name and value.
    pub(crate) facts: &'a [(&'a str, String)],
    /// What terminals show.
    pub(crate) text: String,
}

impl DrawnCard<'_> {
    pub(crate) fn bundle(&self) -> Bundle {
        let facts: Vec<Vec<String>> =
            self.facts.iter().map(|(name, value)| vec![escape(name), escape(value)]).collect();
        let html = format!(
            "<div style=\"max-width:1100px\"><img src=\"{uri}\" style=\"display:block;max-width:100%;min-width:256px\">\
             <div style=\"margin:6px 0\">{prompt}</div><div style=\"{QUIET}\">{table}</div></div>",
            uri = self.source.uri(self.mime),
            prompt = escape(self.prompt),
            table = table_of_html(&[], &facts),
        );
        Bundle::text(self.text.clone()).with("text/html", html)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_a_cell_for_each_seed_from_the_beginning() {
        let view = JobView { job: "0f2k".into(), title: "draw <b>x".into(), ..JobView::default() };
        let cells = [(7, None), (8, Some(("image/png", &[1, 2, 3][..]))), (9, None), (10, None)];
        let bundle = drawing(&view, &cells);
        let html = bundle.data["text/html"].as_str().unwrap();
        assert_eq!((html.matches("<tr>").count(), html.matches("<td ").count()), (2, 4));
        for wanted in ["seed 10", "data:image/png;base64,AQID", "draw &lt;b&gt;x"] {
            assert!(html.contains(wanted), "`{wanted}` is missing in {html}");
        }
        assert!(!html.contains("<b>x") && !html.contains("flex"), "{html}");
        let card = DrawnCard {
            source: Source::Beside("a/b c.jpg"),
            mime: "image/jpeg",
            prompt: "<i>",
            facts: &[("seeds", "7".into())],
            text: "drawn".into(),
        };
        let html = card.bundle().data["text/html"].to_string();
        assert!(
            html.contains("a/b%20c.jpg") && html.contains("&lt;i&gt;") && html.contains("seeds"),
            "{html}"
        );
    }
}
