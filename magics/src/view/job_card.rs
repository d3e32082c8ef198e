//! A job being followed: title, latest preview, bar, where it stands. A pure function of the job's view.

use super::{FRAME, QUIET, bar, data_uri, escape};
use spinbot::{Bundle, JobView, follow};

/// Letters of a text that are shown while it is written: the last ones.
const LONGEST_TEXT: usize = 1200;

/// The card of a job; `picture` is its latest preview as MIME type and bytes.
pub(crate) fn job_card(view: &JobView, picture: Option<(&str, &[u8])>) -> Bundle {
    let caption = follow::caption(view);
    let percent = view.fraction.clamp(0.0, 1.0) * 100.0;
    let title = escape(&view.title);
    let image = picture.map_or(String::new(), |(mime, content)| {
        let uri = data_uri(mime, content);
        // Photos are JPEG; what is drawn, with small letters in it, is PNG.
        let width = if mime == "image/png" { 480 } else { 256 };
        format!("<img src=\"{uri}\" style=\"display:block;max-width:100%;width:{width}px;margin:6px 0\">")
    });
    let written: String = view.texts.values().map(|text| written(text)).collect();
    let fault =
        view.fault.as_ref().map_or(String::new(), |fault| format!("<div>{}</div>", escape(&fault.message)));
    let html = format!(
        "<div style=\"max-width:32em;padding:8px 12px;{FRAME}\">\
         <div><b>{title}</b></div>{image}{written}{bar}<div style=\"{QUIET}\">{caption}{cached}</div>{fault}</div>",
        bar = bar(view.fraction, view.state),
        caption = escape(&caption),
        cached = escape(&cached(view)),
    );
    Bundle::text(format!("{}: {percent:.0}% {caption}", view.title)).with("text/html", html)
}

/// A text that is being written.
fn written(text: &str) -> String {
    let count = text.chars().count();
    let last: String = text.chars().skip(count.saturating_sub(LONGEST_TEXT)).collect();
    let more = if count > LONGEST_TEXT { "…" } else { "" };
    format!("<div style=\"margin:6px 0\">{more}{}</div>", escape(&last))
}

/// Which steps needed no work, as an afterthought to the caption.
fn cached(view: &JobView) -> String {
    match view.cached.as_slice() {
        [] => String::new(),
        steps => format!(" · already there: {}", steps.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinbot::{Fault, JobState};

    fn check(view: &JobView, picture: Option<(&str, &[u8])>, text: &str, html: &[&str]) {
        let card = job_card(view, picture);
        assert_eq!(card.data["text/plain"], text);
        let found = card.data["text/html"].as_str().unwrap();
        for part in html {
            assert!(found.contains(part), "`{part}` is missing in {found}");
        }
        for banned in ["<script", "<progress", "<source", "<b>x"] {
            assert!(!found.contains(banned), "`{banned}` is in {found}");
        }
    }

    #[test]
    fn a_card_tells_where_the_job_stands() {
        let mut view = JobView { job: "0f2k".into(), title: "render <b>x".into(), ..JobView::default() };
        check(&view, None, "render <b>x: 0% job 0f2k waits for its turn", &["render &lt;b&gt;x", "width:0%"]);

        view.state = JobState::Running;
        view.fraction = 0.424;
        view.step = Some("animate".into());
        view.units = Some((106.0, 250.0, "frames".into(), Some(61.2), Some(2.4)));
        view.cached = vec!["read_portrait".into()];
        check(
            &view,
            Some(("image/jpeg", &[1, 2, 3])),
            "render <b>x: 42% animate 106/250 frames, 61.2/s, 2 s left",
            &[
                "width:42%",
                "<img src=\"data:image/jpeg;base64,AQID\"",
                "animate 106/250 frames, 61.2/s, 2 s left · already there: read_portrait",
            ],
        );

        view.state = JobState::Failed;
        view.fault = Some(Fault::new("me.jpg: no face found"));
        (view.started_at, view.ended_at) = (Some(1.0), Some(2.5));
        check(
            &view,
            None,
            "render <b>x: 42% job 0f2k failed after 1.5 s",
            &["--jp-error-color1", "me.jpg: no face found"],
        );
    }
}
