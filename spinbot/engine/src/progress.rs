//! How far a job is: one fraction over all its steps that never falls, with rate and time left, not too often.

use spinbot::Plan;
use spinbot::event::EventBody;
use std::time::{Duration, Instant};

/// Least time between two progress events of a job.
const PAUSE: Duration = Duration::from_millis(100);
/// A rate over less than this is noise.
const SHORTEST_BASE: f64 = 0.2;

/// Folds what the steps say into the job's progress.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Each step's share of the whole, summing to 1.
    shares: Vec<f64>,
    /// The step that runs.
    at: usize,
    /// Never falls.
    fraction: f64,
    /// When progress was last said.
    last: Option<Instant>,
    /// From where the rate is measured: the first word of the step in its present units.
    base: Option<Base>,
}

#[derive(Debug)]
struct Base {
    at: Instant,
    done: f64,
    total: f64,
    unit: String,
}

impl Progress {
    pub(crate) fn new(plan: &Plan) -> Self {
        let whole: f64 = plan.steps.iter().map(|s| s.weight).sum();
        let shares = plan.steps.iter().map(|s| s.weight / whole).collect();
        Progress { shares, at: 0, fraction: 0.0, last: None, base: None }
    }

    /// Another step begins; those before it are done.
    pub(crate) fn step(&mut self, at: usize) {
        self.at = at;
        self.base = None;
    }

    /// The running step is done, or was done before.
    pub(crate) fn step_done(&mut self, step: &str, now: Instant) -> Option<EventBody> {
        let (total, unit) =
            self.base.as_ref().map_or((1.0, "step".to_owned()), |b| (b.total, b.unit.clone()));
        self.said(step, total, total, &unit, now)
    }

    /// The running step said how far it is. The event, if it is time for one.
    pub(crate) fn said(
        &mut self,
        step: &str,
        done: f64,
        total: f64,
        unit: &str,
        now: Instant,
    ) -> Option<EventBody> {
        let total = if total.is_finite() && total > 0.0 { total } else { 1.0 };
        let done = if done.is_nan() { 0.0 } else { done.clamp(0.0, total) };
        let before: f64 = self.shares.iter().take(self.at).sum();
        let share = self.shares.get(self.at).copied().unwrap_or(0.0);
        self.fraction = self.fraction.max((before + share * done / total).clamp(0.0, 1.0));
        let anew = |b: &Base| b.unit != unit || b.total != total || b.done > done;
        if self.base.as_ref().is_none_or(anew) {
            self.base = Some(Base { at: now, done, total, unit: unit.to_owned() });
        }
        if self.last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            return None;
        }
        self.last = Some(now);
        let rate = self.base.as_ref().and_then(|base| {
            let seconds = now.duration_since(base.at).as_secs_f64();
            (seconds >= SHORTEST_BASE && done > base.done).then(|| (done - base.done) / seconds)
        });
        // What nobody can see is not written: a journal read back gives the very numbers.
        let eta = rate.map(|rate| round((total - done) / rate, 1e3));
        let (rate, fraction) = (rate.map(|rate| round(rate, 1e3)), round(self.fraction, 1e6));
        let (step, unit) = (step.to_owned(), unit.to_owned());
        Some(EventBody::Progress { step, fraction, done, total, unit, rate, eta })
    }
}

/// To `parts` parts of one. Keeps order, so what never fell does not fall now.
fn round(value: f64, parts: f64) -> f64 {
    let rounded = (value * parts).round() / parts;
    if rounded.is_finite() { rounded } else { value }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use spinbot::Step;

    fn plan(weights: &[f64]) -> Plan {
        let step = |(i, weight): (usize, &f64)| Step {
            id: i.to_string(),
            kind: "toy".into(),
            params: serde_json::Value::Null,
            inputs: Default::default(),
            seed: 0,
            weight: *weight,
        };
        let steps = weights.iter().enumerate().map(step).collect();
        Plan { title: "t".into(), steps, result: ("0".into(), "out".into()) }
    }

    proptest! {
        #[test]
        fn whatever_steps_say_the_fraction_stays_in_range_and_never_falls(
            weights in prop::collection::vec(1e-6f64..1e6, 1..6),
            words in prop::collection::vec((any::<f64>(), any::<f64>(), 0usize..3, 0u64..400, any::<bool>()), 0..60),
        ) {
            let mut progress = Progress::new(&plan(&weights));
            let (mut at, mut now, mut last) = (0, Instant::now(), 0.0);
            let mut said_at: Option<Instant> = None;
            for (done, total, unit, millis, next) in words {
                if next && at + 1 < weights.len() {
                    at += 1;
                    progress.step(at);
                }
                now += Duration::from_millis(millis);
                let unit = ["frames", "bytes", "steps"][unit];
                let Some(EventBody::Progress { fraction, done, total, rate, eta, .. }) =
                    progress.said("s", done, total, unit, now) else { continue };
                prop_assert!((last..=1.0).contains(&fraction), "{last} then {fraction}");
                prop_assert!(done.is_finite() && total.is_finite() && (0.0..=total).contains(&done));
                prop_assert!(rate.is_none_or(|r| r >= 0.0) && eta.is_none_or(|e| e >= 0.0));
                prop_assert!(said_at.is_none_or(|at| now - at >= PAUSE));
                (last, said_at) = (fraction, Some(now));
            }
        }
    }

    #[test]
    fn shares_follow_the_weights_and_the_rate_is_of_this_step() {
        let mut progress = Progress::new(&plan(&[1.0, 3.0]));
        let start = Instant::now();
        progress.step(1);
        progress.said("1", 0.0, 300.0, "frames", start).unwrap();
        let said = progress.said("1", 100.0, 300.0, "frames", start + Duration::from_secs(2)).unwrap();
        let EventBody::Progress { fraction, rate, eta, .. } = said else { panic!("{said:?}") };
        assert!((fraction - 0.5).abs() < 1e-12);
        assert_eq!((rate, eta), (Some(50.0), Some(4.0)));
    }
}
