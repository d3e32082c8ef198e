//! How far a clone is, told as it goes: progress in steps, and the curve of likeness.

use super::GE2E_MARKS;
use crate::step::{Report, StepError};
use spinbot_media::plot::Curves;
use spinbot_models::cloning::StepReport;

/// Steps between two drawings of the curve.
const REDRAW: usize = 5;

/// How far all of it is.
pub(super) struct Course<'a> {
    pub(super) report: &'a mut dyn Report,
    pub(super) done: f64,
    pub(super) total: f64,
    pub(super) cancelled: bool,
}

impl<'a> Course<'a> {
    /// Of that many steps.
    pub(super) fn new(report: &'a mut dyn Report, total: f64) -> Self {
        Course { report, done: 0.0, total, cancelled: false }
    }

    pub(super) fn passed(&mut self, steps: f64) -> Result<(), StepError> {
        self.done = (self.done + steps).min(self.total);
        self.report.progress(self.done, self.total, "steps");
        self.stopped()
    }

    /// An error when the user wants it to stop.
    pub(super) fn stopped(&mut self) -> Result<(), StepError> {
        self.cancelled |= self.report.cancelled();
        if self.cancelled { Err(StepError::Cancelled) } else { Ok(()) }
    }

    pub(super) fn end(&mut self) {
        self.report.progress(self.total, self.total, "steps");
    }
}

/// Similarity by step, over both stages, drawn as it grows.
pub(super) struct Curve {
    pub(super) nearest: f64,
    pub(super) points: Vec<(f64, f64)>,
}

impl Curve {
    pub(super) fn new(nearest: f32) -> Self {
        Curve { nearest: f64::from(nearest), points: Vec::new() }
    }

    /// Takes a step in; false when the user wants it to stop.
    pub(super) fn step(&mut self, step: StepReport, course: &mut Course) -> bool {
        let at = self.points.last().map_or(0.0, |(at, _)| *at) + 1.0;
        let similarity = f64::from(step.similarity);
        self.points.push((at, similarity));
        course.report.metric("similarity", at, similarity);
        course.report.metric("loss", at, f64::from(step.loss));
        if self.points.len().is_multiple_of(REDRAW) || step.done == step.total {
            // A plot that cannot be drawn is not worth the search.
            if let Ok(png) = self.png() {
                course.report.preview("similarity", "image/png", &png);
            }
        }
        course.passed(1.0).is_ok()
    }

    pub(super) fn png(&self) -> spinbot_media::Result<Vec<u8>> {
        let last = self.points.last().map_or(1.0, |(at, _)| *at).max(2.0);
        let level = |value: f64| vec![(1.0, value), (last, value)];
        Curves::new("How like the speaker it sounds, step by step")
            .labels("step", "similarity (GE2E)")
            .series("this clone, in crops of 1.7 s", self.points.clone())
            .series("nearest stock voice", level(self.nearest))
            .series("same speaker", level(GE2E_MARKS.1))
            .png()
    }
}
