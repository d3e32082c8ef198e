//! How results look. All HTML of magics is written here and below, from plain data, with everything escaped.
//!
//! JupyterLab's sanitiser shapes it: `style`, `class` and `title` survive everywhere, `<progress>` and `<source>`
//! do not; of a style it keeps what it knows, and it knows neither `var()` nor `.5` without its zero, nor `flex`.
//! Colours come from the theme where there is one (`--jp-*`), else from the surrounding text: every themed
//! declaration follows a plain one, which is what is left of both in an untrusted notebook.

mod drawn;
mod heard;
mod job_card;
mod loras;
mod player;
mod scale;
mod script;
mod spoken;
mod svg;
mod takes;
mod training;
mod voice_card;
mod voices;
mod waveform;

pub(crate) use drawn::{DrawnCard, drawing};
pub(crate) use heard::heard;
pub(crate) use job_card::job_card;
pub(crate) use loras::loras;
pub(crate) use player::{Player, inline_size};
pub(crate) use script::script;
pub(crate) use spoken::{SpokenCard, sound_preview};
pub(crate) use takes::{TakeCell, TakesCard};
pub(crate) use training::{Trained, training_card};
pub(crate) use voice_card::VoiceCard;
pub(crate) use voices::voices;
pub(crate) use waveform::LONGEST_DRAWN;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use spinbot::bundle::escape;
use spinbot::{Bundle, JobState, JobView, follow};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Of a frame around something.
const FRAME: &str = "border:1px solid rgba(128,128,128,0.4);\
                     border:1px solid var(--jp-border-color2, rgba(128,128,128,0.4));border-radius:4px";
/// Of what is only said aside.
const QUIET: &str = "opacity:0.75;font-size:90%";

/// A time as a person says it: three digits and a unit, minutes from 90 s on.
pub(crate) fn duration(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let digits = |value: f64, unit: &str| match value {
        v if v < 9.995 => format!("{v:.2} {unit}"),
        v if v < 99.95 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    };
    match seconds {
        s if s < 0.999_5e-6 => format!("{} ns", took.as_nanos()),
        s if s < 0.999_5e-3 => digits(s * 1e6, "µs"),
        s if s < 0.999_5 => digits(s * 1e3, "ms"),
        s if s < 90.0 => digits(s, "s"),
        s if s < 5400.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{:.0} h {:02.0} min", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
    }
}

/// [`duration`] of seconds as the engine gives them; what is no time is 0.
pub(crate) fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
}

/// A size as a person says it.
pub(crate) fn bytes(size: u64) -> String {
    match size {
        0..=999 => format!("{size} B"),
        1_000..=999_999 => format!("{:.0} KB", size as f64 / 1e3),
        _ => format!("{:.1} MB", size as f64 / 1e6),
    }
}

fn data_uri(mime: &str, content: &[u8]) -> String {
    format!("data:{};base64,{}", escape(mime), BASE64.encode(content))
}

/// Where a player takes its media from.
pub(crate) enum Source<'a> {
    /// The file's bytes, inside the output.
    Inline(&'a [u8]),
    /// A file beside the notebook, by its relative path with `/` between the parts.
    Beside(&'a str),
}

/// A file's bytes, or where it lies beside the notebook.
pub(crate) fn source((content, beside): &(Vec<u8>, Option<String>)) -> Source<'_> {
    beside.as_deref().map_or(Source::Inline(content), Source::Beside)
}

impl Source<'_> {
    /// What stands in `src`.
    fn uri(&self, mime: &str) -> String {
        match self {
            Source::Inline(content) => data_uri(mime, content),
            Source::Beside(path) => {
                escape(&path.split('/').map(percent_encoded).collect::<Vec<_>>().join("/"))
            }
        }
    }
}

fn percent_encoded(part: &str) -> String {
    part.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// A player of sound. `src` on the element itself: the sanitiser strips `<source>` in untrusted notebooks.
fn audio(source: &Source<'_>, mime: &str) -> String {
    let style = "display:block;width:100%;max-width:540px;margin:4px 0";
    format!("<audio controls preload=\"auto\" style=\"{style}\" src=\"{}\"></audio>", source.uri(mime))
}

/// Subtitles above this are left to `subtitles()`, in bytes.
const LONGEST_SUBTITLES: usize = 20_000;

/// WebVTT to read; nothing where it is too long to be shown.
fn subtitles(webvtt: &str) -> Option<String> {
    (webvtt.len() <= LONGEST_SUBTITLES).then(|| {
        let style = "max-height:16em;overflow:auto;margin:0";
        format!("<pre style=\"{style}\">{}</pre>", escape(webvtt))
    })
}

/// A table, its columns to the left. Cells are HTML already.
fn table_of_html(columns: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |tag: &str, content: &str| format!("<{tag} style=\"text-align:left\">{content}</{tag}>");
    let head: String = columns.iter().map(|column| cell("th", &escape(column))).collect();
    let head = if columns.is_empty() { String::new() } else { format!("<thead><tr>{head}</tr></thead>") };
    let rows: String = rows
        .iter()
        .map(|row| format!("<tr>{}</tr>", row.iter().map(|c| cell("td", c)).collect::<String>()))
        .collect();
    format!("<table style=\"margin:0\">{head}<tbody>{rows}</tbody></table>")
}

/// A table of texts under named columns, as HTML and as aligned plain text.
pub(crate) fn table(columns: &[&str], rows: &[Vec<String>]) -> Bundle {
    let escaped: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|c| escape(c)).collect()).collect();
    let plain = rows.iter().fold(spinbot::Table::new(columns.iter().copied()), |table, row| table.row(row));
    let plain = spinbot::Show::bundle(&plain);
    plain.with("text/html", table_of_html(columns, &escaped))
}

/// A bar filled to `fraction`, in the colour of how the job stands.
fn bar(fraction: f64, state: JobState) -> String {
    let (theme, plain) = match state {
        JobState::Failed => ("--jp-error-color1", "#d32f2f"),
        JobState::Cancelled => ("--jp-warn-color1", "#f57c00"),
        _ => ("--jp-brand-color1", "#1976d2"),
    };
    let percent = (fraction.clamp(0.0, 1.0) * 100.0).round();
    format!(
        "<div style=\"height:6px;border-radius:3px;overflow:hidden;margin:6px 0;\
         background:rgba(128,128,128,0.3);background:var(--jp-layout-color3, rgba(128,128,128,0.3))\" \
         title=\"{percent:.0}%\"><div style=\"height:6px;width:{percent:.0}%;\
         background:{plain};background:var({theme}, {plain})\"></div></div>"
    )
}

/// The engine's last jobs.
pub(crate) fn jobs(jobs: &[JobView]) -> Bundle {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
    jobs_at(jobs, now)
}

fn jobs_at(jobs: &[JobView], now: f64) -> Bundle {
    let text = follow::jobs_table(jobs, now);
    let plain = Bundle::text(text.trim_end());
    if jobs.is_empty() {
        return plain;
    }
    let rows: Vec<Vec<String>> = jobs
        .iter()
        .map(|view| {
            let took = view.started_at.map(|start| view.ended_at.unwrap_or(now) - start);
            let why = view.fault.as_ref().map_or(String::new(), |fault| {
                format!("<br><span style=\"{QUIET}\">{}</span>", escape(&fault.message))
            });
            vec![
                format!("<code>{}</code>", escape(&view.job)),
                view.state.name().to_owned(),
                format!("<div style=\"width:6em\">{}</div>", bar(view.fraction, view.state)),
                took.map_or(String::new(), seconds),
                escape(&view.title) + &why,
            ]
        })
        .collect();
    plain.with("text/html", table_of_html(&["job", "state", "", "took", "what"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinbot::Fault;

    #[test]
    fn times_and_sizes_read_like_speech() {
        for (nanos, expected) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_500, "1.50 µs"),
            (999_600, "1.00 ms"),
            (12_340_000, "12.3 ms"),
            (420_000_000, "420 ms"),
            (1_234_000_000, "1.23 s"),
            (89_940_000_000, "89.9 s"),
            (125_900_000_000, "2 min 05 s"),
            (7_260_000_000_000, "2 h 01 min"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), expected);
        }
        for (size, expected) in [(12, "12 B"), (330_400, "330 KB"), (2_500_000, "2.5 MB")] {
            assert_eq!(bytes(size), expected);
        }
        assert_eq!((seconds(-1.0), seconds(f64::NAN)), ("0 ns".to_owned(), "0 ns".to_owned()));
    }

    #[test]
    fn a_table_escapes_what_users_wrote() {
        let shown = table(&["a<b"], &[vec!["<script>".to_owned()]]);
        let html = shown.data["text/html"].as_str().unwrap();
        assert!(
            html.contains("a&lt;b") && html.contains("&lt;script&gt;") && !html.contains("<script"),
            "{html}"
        );
        assert!(shown.data["text/plain"].as_str().unwrap().contains("<script>"));
    }

    #[test]
    fn the_job_list_names_the_reason_of_a_failure() {
        let failed = JobView {
            job: "0f2k".into(),
            title: "render <me>.jpg".into(),
            state: JobState::Failed,
            fault: Some(Fault::new("no face & no hair")),
            ..JobView::default()
        };
        let html = jobs_at(&[failed], 10.0).data["text/html"].to_string();
        for wanted in ["0f2k", "failed", "render &lt;me&gt;.jpg", "no face &amp; no hair"] {
            assert!(html.contains(wanted), "`{wanted}` is missing in {html}");
        }
        assert_eq!(jobs_at(&[], 10.0), Bundle::text("no jobs yet"));
    }
}
