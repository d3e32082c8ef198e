//! How jobs look to someone who watches: live in a Rust cell, and as a table of text.
//!
//! Drawn from [`JobView`] alone, so that a finished job looks as it did to those who watched it.

use crate::bundle::{Audio, Image, Text};
use crate::display::{DisplayHandle, bar, display};
use crate::{Bundle, Digest, Fault, Job, JobState, JobView, Result, Show};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Jupyter Server drops what comes faster than it can pass on; four redraws a second read as live.
const REDRAW: Duration = Duration::from_millis(250);

impl Job {
    /// Follows the job from a Rust cell: previews as they come, a bar under them, and the fault as the error.
    /// Stopping the cell cancels the job.
    ///
    /// # Errors
    /// The job's own fault when it failed, that it was cancelled, or that the engine went away.
    pub fn show(&mut self) -> Result<JobView> {
        let mut bar: Option<(DisplayHandle, Instant)> = None;
        let mut previews: BTreeMap<String, (DisplayHandle, Digest)> = BTreeMap::new();
        crate::cell::send(&crate::cell::Message::Following { job: self.id().to_owned() });
        let view = self.follow(|event, view| {
            let due = bar.as_ref().is_none_or(|(_, at)| at.elapsed() >= REDRAW);
            if due || event.body.is_terminal() {
                show_previews(view, &mut previews);
                let handle = match bar.take() {
                    Some((handle, _)) => {
                        handle.update(line(view));
                        handle
                    }
                    None => display(line(view)),
                };
                bar = Some((handle, Instant::now()));
            }
            ControlFlow::Continue(())
        })?;
        match (view.state, &view.fault) {
            (_, Some(fault)) => Err(fault.clone()),
            (JobState::Cancelled, None) => Err(Fault::new(format!("job {} was cancelled", view.job))),
            _ => Ok(view),
        }
    }
}

fn show_previews(view: &JobView, shown: &mut BTreeMap<String, (DisplayHandle, Digest)>) {
    for (name, artifact) in &view.previews {
        if shown.get(name).is_some_and(|(_, digest)| *digest == artifact.digest) {
            continue;
        }
        // A preview that cannot be read is not worth ending the job's display for.
        let picture = Image::file(&artifact.path).map(|image| image.bundle());
        let Ok(preview) = picture.or_else(|_| Audio::file(&artifact.path).map(|audio| audio.bundle())) else {
            continue;
        };
        match shown.get_mut(name) {
            Some((handle, digest)) => {
                handle.update(preview);
                digest.clone_from(&artifact.digest);
            }
            None => {
                shown.insert(name.clone(), (display(preview), artifact.digest.clone()));
            }
        }
    }
}

fn line(view: &JobView) -> Bundle {
    let text = caption(view);
    Text(text.clone()).bundle().with("text/html", bar(view.fraction, &text))
}

/// Where a job stands, in a line: `animate 120/250 frames, 61.2/s, 2 s left`.
pub fn caption(view: &JobView) -> String {
    let seconds = view.ended_at.zip(view.started_at).map_or(0.0, |(end, start)| end - start);
    match view.state {
        JobState::Queued => format!("job {} waits for its turn", view.job),
        JobState::Done => format!("job {} done in {seconds:.1} s", view.job),
        JobState::Failed => format!("job {} failed after {seconds:.1} s", view.job),
        JobState::Cancelled => format!("job {} cancelled", view.job),
        JobState::Running => {
            let step = view.step.as_deref().unwrap_or("starting");
            let Some((done, total, unit, rate, eta)) = &view.units else { return step.to_owned() };
            let rate = rate.map_or(String::new(), |r| format!(", {r:.1}/s"));
            let eta = eta.map_or(String::new(), |s| format!(", {s:.0} s left"));
            format!("{step} {done:.0}/{total:.0} {unit}{rate}{eta}")
        }
    }
}

/// The table of `spinbot jobs`: one line a job, the reason of a failed one under it. `now` is Unix seconds.
pub fn jobs_table(jobs: &[JobView], now: f64) -> String {
    if jobs.is_empty() {
        return "no jobs yet\n".to_owned();
    }
    let mut table =
        format!("{:<13} {:<9} {:>5} {:>8} {:>8}  {}\n", "JOB", "STATE", "DONE", "TOOK", "AGE", "WHAT");
    for view in jobs {
        let took = view.started_at.map(|start| view.ended_at.unwrap_or(now) - start);
        table.push_str(&format!(
            "{:<13} {:<9} {:>4.0}% {:>8} {:>8}  {}\n",
            view.job,
            view.state.name(),
            view.fraction * 100.0,
            took.map_or_else(|| "-".to_owned(), duration),
            duration(now - view.queued_at),
            view.title
        ));
        if let Some(fault) = &view.fault {
            table.push_str(&format!("{:14}{}\n", "", fault.message));
        }
    }
    table
}

/// Seconds as a person says them: `3.2 s`, `4 min`, `2 h`, `5 d`.
fn duration(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{:.0} min", s / 60.0),
        s if s < 86400.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_became_of_every_job() {
        let done = JobView {
            job: "0f2k9c3ma7qx".into(),
            title: "render me.jpg saying hello.wav".into(),
            state: JobState::Done,
            fraction: 1.0,
            queued_at: 1000.0,
            started_at: Some(1001.0),
            ended_at: Some(1004.25),
            ..JobView::default()
        };
        let failed = JobView {
            job: "0f2k9c3mb000".into(),
            state: JobState::Failed,
            fault: Some(Fault::new("me.jpg: no face found")),
            queued_at: 1000.0,
            ..JobView::default()
        };
        let table = jobs_table(&[done, failed], 1300.0);
        for wanted in ["0f2k9c3ma7qx", "done", "100%", "3.2 s", "5 min", "render me.jpg", "no face found"] {
            assert!(table.contains(wanted), "`{wanted}` is missing in\n{table}");
        }
        assert_eq!(jobs_table(&[], 0.0), "no jobs yet\n");
    }
}
