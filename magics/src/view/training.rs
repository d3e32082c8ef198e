//! A training being followed, and what it came to: the curve, the pictures it draws as it learns, what it learned
//! from, with which settings, what to know of it and what to type next.

use super::svg::{ACCENT, INK, SECOND, letters, line, picture};
use super::{FRAME, QUIET, Source, bar, escape, job_card, seconds, table_of_html};
use crate::follow::{Shown, refresh};
use spinbot::pictures::PicturesRead;
use spinbot::steps::{LoraTargets, TrainLora};
use spinbot::{Bundle, Fault, JobState, JobView, TrainReport, TrainedLora, follow};

/// Pixels of the curve.
const SIZE: (f64, f64) = (560.0, 220.0);
/// Around it: left, top, right, bottom.
const MARGINS: [f64; 4] = [52.0, 24.0, 12.0, 30.0];
/// Points of a curve that are drawn.
const MOST_POINTS: usize = 280;

type Points = [(f64, f64)];

/// The card of a training that runs: its curve from the metrics, its grid from the previews; the latest is kept in
/// `shown`. Until there is either, a job like any other.
pub(crate) fn training_card(view: &JobView, shown: &mut Option<Shown>) -> Bundle {
    let curve = |name: &str| view.metrics.get(name).map_or(&[][..], Vec::as_slice);
    let (loss, validation) = (curve("loss"), curve("validation"));
    if let Some(preview) = view.previews.get("grid") {
        refresh(shown, preview);
    }
    let grid = shown.as_ref().map(|(_, mime, content)| (mime.as_str(), content.as_slice()));
    let ended = view.state == JobState::Failed || view.state == JobState::Cancelled;
    if ended || (loss.is_empty() && grid.is_none()) {
        return job_card(view, grid);
    }
    let total = view.units.as_ref().map_or(0.0, |(_, total, ..)| *total);
    let grid = grid.map_or(String::new(), |(mime, content)| {
        image("what it draws so far", &Source::Inline(content), mime)
    });
    let latest = |points: &Points| points.last().map(|(_, value)| *value);
    let caption = follow::caption(view);
    let values =
        [("loss", latest(loss)), ("held out", latest(validation)), ("identity", latest(curve("identity")))];
    let values: Vec<String> =
        values.iter().filter_map(|(name, value)| Some(format!("{name} {:.3}", (*value)?))).collect();
    let caption = match values.is_empty() {
        true => caption,
        false => format!("{caption} · {}", values.join(", ")),
    };
    let html = format!(
        "<div style=\"max-width:760px;padding:8px 12px;{FRAME}\"><div><b>{title}</b></div>{curve}{grid}{bar}\
         <div style=\"{QUIET}\">{caption}</div></div>",
        title = escape(&view.title),
        curve = curves(loss, validation, total),
        bar = bar(view.fraction, view.state),
        caption = escape(&caption),
    );
    let percent = view.fraction.clamp(0.0, 1.0) * 100.0;
    Bundle::text(format!("{}: {percent:.0}% {caption}", view.title)).with("text/html", html)
}

fn image(alt: &str, source: &Source<'_>, mime: &str) -> String {
    let style = "display:block;max-width:100%;margin:6px 0";
    format!("<img alt=\"{alt}\" style=\"{style}\" src=\"{}\">", source.uri(mime))
}

/// The losses over the steps up to `total`; nothing while there are fewer than two points.
fn curves(loss: &Points, validation: &Points, total: f64) -> String {
    let finite = |points: &Points| -> Vec<(f64, f64)> {
        points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    };
    let (loss, validation) = (finite(loss), finite(validation));
    if loss.len() + validation.len() < 2 {
        return String::new();
    }
    let all = || loss.iter().chain(&validation);
    let last = all().map(|(x, _)| *x).fold(total, f64::max).max(1.0);
    let low = all().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
    let high = all().map(|(_, y)| *y).fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = if high - low > 1e-9 { (low, high) } else { (low - 0.5, high + 0.5) };
    let [left, top, right, bottom] = MARGINS;
    let place = |(x, y): &(f64, f64)| {
        let across = left + x / last * (SIZE.0 - left - right);
        let up = top + (high - y) / (high - low) * (SIZE.1 - top - bottom);
        (across, up)
    };
    let foot = SIZE.1 - bottom;
    let mut drawn = line(left, foot, SIZE.0 - right, foot, INK, 1.0);
    drawn.push_str(&line(left, top, left, foot, INK, 1.0));
    for (value, y) in [(high, top + 4.0), ((low + high) / 2.0, (top + foot) / 2.0 + 4.0), (low, foot)] {
        drawn.push_str(&letters(left - 6.0, y, 11.0, "end", INK, &format!("{value:.3}")));
    }
    for share in [0.0, 0.5, 1.0] {
        let (x, _) = place(&(share * last, low));
        let anchor = if share == 1.0 { "end" } else { "middle" };
        drawn.push_str(&letters(x, foot + 16.0, 11.0, anchor, INK, &format!("{:.0}", share * last)));
    }
    let mut name_at = left + 10.0;
    for (name, points, colour) in [("loss, smoothed", &loss, ACCENT), ("held out", &validation, SECOND)] {
        if points.is_empty() {
            continue;
        }
        let step = points.len().div_ceil(MOST_POINTS);
        // The last point is where it stands.
        let thinned = points.iter().rev().step_by(step).rev();
        let path: Vec<String> = thinned.map(|p| place(p)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        drawn.push_str(&format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            path.join(" ")
        ));
        if let Some((x, y)) = points.last().map(place) {
            drawn.push_str(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"));
        }
        drawn.push_str(&letters(name_at, 14.0, 12.0, "start", colour, name));
        name_at += super::svg::width_of(name, 12.0) + 18.0;
    }
    let said = |name: &str, points: &Points| match points {
        [(_, first), .., (_, last)] => Some(format!("{name} from {first:.4} to {last:.4}")),
        _ => None,
    };
    let alt = [said("loss", &loss), said("held out", &validation)].into_iter().flatten();
    picture(SIZE.0, SIZE.1, &alt.collect::<Vec<_>>().join("; "), &drawn)
}

/// A LoRA that was trained, to show.
pub(crate) struct Trained<'a> {
    pub(crate) trained: &'a TrainedLora,
    pub(crate) report: &'a TrainReport,
    pub(crate) pictures: &'a PicturesRead,
    pub(crate) settings: &'a TrainLora,
    /// PNG: before and after.
    pub(crate) grid: Source<'a>,
    /// PNG: what it learned from.
    pub(crate) sheet: Source<'a>,
    /// More facts, name and value.
    pub(crate) facts: &'a [(&'a str, String)],
}

impl Trained<'_> {
    pub(crate) fn bundle(&self) -> Result<Bundle, Fault> {
        let summary = self.trained.summary()?;
        let losses: Vec<(f64, f64)> = smoothed(&self.report.losses);
        let validation: Vec<(f64, f64)> =
            self.report.validation.iter().map(|(step, loss)| (f64::from(*step), *loss)).collect();
        let part = |title: &str, content: &str| {
            format!("<div style=\"margin-top:8px\"><b>{title}</b></div>{content}")
        };
        let next = self.next();
        let html = format!(
            "<div style=\"max-width:760px\"><div style=\"font-size:115%\"><b>{name}</b></div>\
             <div style=\"{QUIET}\">{summary}</div>{grid}{curve}{sheet}{facts}\
             <div style=\"padding:6px 10px;margin:6px 0;{FRAME}\">Next: <code>{next}</code></div></div>",
            name = escape(self.trained.name()),
            summary = escape(&summary),
            grid = part(
                "before and after",
                &format!("{}{}", image("before and after", &self.grid, "image/png"), self.looks())
            ),
            curve = curves(&losses, &validation, f64::from(self.report.steps)),
            sheet = part("learned from", &image("what it learned from", &self.sheet, "image/png")),
            facts = format!("<div style=\"{QUIET}\">{}</div>", table_of_html(&[], &self.all_facts())),
            next = escape(&next),
        );
        let notes: String = self.notes().map(|note| format!("\nnote: {note}")).collect();
        let text = format!("{}: {summary}{notes}\nnext: {next}", self.trained.name());
        Ok(Bundle::text(text).with("text/html", html))
    }

    /// What the previews are worth, step by step, as a table; nothing where none was drawn.
    fn looks(&self) -> String {
        if self.report.looks.is_empty() {
            return String::new();
        }
        let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        let rows: Vec<Vec<String>> = (self.report.looks.iter())
            .map(|look| {
                let adherence = look.adherence.map(|share| format!("{:.0}%", share * 100.0));
                vec![
                    look.step.to_string(),
                    value(look.identity),
                    value(look.without),
                    adherence.unwrap_or_else(|| "-".to_owned()),
                ]
            })
            .collect();
        let by = self.report.identity_by.map_or(String::new(), |by| format!(", told by {}", by.name()));
        let own = self
            .report
            .own_identity
            .map_or(String::new(), |own| format!(" The pictures it learned from come to {own:.2}."));
        let names = ["step", "identity", "without the trigger word", "prompt obeyed"];
        format!(
            "<div style=\"{QUIET}\">{table}identity is 1 for the same figure{by}.{own}</div>",
            table = table_of_html(&names, &rows),
        )
    }

    /// What to type next.
    fn next(&self) -> String {
        format!("%draw \"{}\" --lora {}", self.trained.prompt(), self.trained.name())
    }

    fn notes(&self) -> impl Iterator<Item = &str> {
        let left_out = self.pictures.left_out.iter().map(|left| left.why.as_str());
        left_out.chain(self.pictures.notes.iter().chain(&self.report.notes).map(String::as_str))
    }

    fn all_facts(&self) -> Vec<Vec<String>> {
        let (settings, report) = (self.settings, self.report);
        let chosen =
            |value: String, given: bool| if given { value } else { format!("{value}, as suits the model") };
        let targets = match report.targets {
            LoraTargets::Attention => "attention",
            LoraTargets::AttentionMlp => "attention and MLPs",
            LoraTargets::All => "all layers, convolutions too",
        };
        let text = if settings.text_encoder { ", and the text encoder" } else { "" };
        let resumed = match report.resumed_at {
            0 => String::new(),
            step => format!(", gone on at step {step}"),
        };
        let steps = format!(
            "{} in {} ({:.2} s a step){resumed}",
            report.steps,
            seconds(report.seconds),
            report.seconds / f64::from(report.steps.max(1))
        );
        let alpha = settings.alpha.unwrap_or(f64::from(settings.rank));
        let mut facts = vec![
            ("trigger word", self.trained.trigger().to_owned()),
            (
                "pictures",
                format!("{} learned from, {} kept back", self.pictures.learned(), self.pictures.held_out()),
            ),
            ("steps", steps),
            ("adapters", format!("rank {}, alpha {alpha}, {} numbers", settings.rank, report.parameters)),
            ("layers", chosen(format!("{targets}{text}"), settings.targets.is_some())),
            ("learning rate", chosen(format!("{:e}", report.lr), settings.lr.is_some())),
            ("batch", chosen(report.batch.to_string(), settings.batch.is_some())),
            ("the model's own pictures", format!("{:.0}% of a step", settings.prior_share * 100.0)),
            ("memory", format!("{} foreseen", super::bytes(report.memory_estimate))),
        ];
        facts.extend(self.notes().map(|note| ("note", note.to_owned())));
        facts.extend(self.facts.iter().map(|(name, value)| (*name, value.clone())));
        facts.into_iter().map(|(name, value)| vec![escape(name), escape(&value)]).collect()
    }
}

/// Losses by step as the curve shows them while it grows: each the mean of itself and what came before, with less and
/// less weight (0.05 of the newest, corrected for the beginning as Adam's moments are).
fn smoothed(losses: &[f64]) -> Vec<(f64, f64)> {
    const NEW: f64 = 0.05;
    let (mut mean, mut weight) = (0.0, 0.0);
    losses
        .iter()
        .enumerate()
        .filter(|(_, loss)| loss.is_finite())
        .map(|(i, loss)| {
            mean = (1.0 - NEW) * mean + NEW * loss;
            weight = (1.0 - NEW) * weight + NEW;
            ((i + 1) as f64, mean / weight)
        })
        .collect()
}
