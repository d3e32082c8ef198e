//! Counts of what was refused or lost, with a line on stderr once in a while.

use crate::wire::frame::Refusal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Not more than one line a kind in this time: whoever sends rubbish must not fill a log.
const QUIET: Duration = Duration::from_secs(30);

/// How often one thing happened.
#[derive(Debug, Default)]
pub(crate) struct Count {
    total: AtomicU64,
    last_line: Mutex<Option<Instant>>,
}

impl Count {
    /// How often so far.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// It happened again; `what` is logged unless something of this kind was a moment ago.
    pub(super) fn add(&self, what: &dyn std::fmt::Display) {
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        // A poisoned lock only guards the time of the last line.
        let mut last = self.last_line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_none_or(|at| at.elapsed() >= QUIET) {
            *last = Some(Instant::now());
            log(&format!("{what} ({total} of this kind so far)"));
        }
    }
}

/// What this kernel refused or lost since it began.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Messages whose signature was wrong.
    pub(crate) forged: Count,
    /// Messages that were no messages.
    pub(crate) malformed: Count,
    /// Well-made messages of a kind unknown here, or with contents that make no sense.
    pub(crate) unknown: Count,
    /// Outputs dropped because a client did not take them for a long time.
    pub(crate) dropped: Count,
}

impl Counters {
    /// What came to nothing, in a line; None if nothing did.
    pub(super) fn summary(&self) -> Option<String> {
        let all = [
            (&self.forged, "forged messages"),
            (&self.malformed, "malformed messages"),
            (&self.unknown, "unknown requests"),
            (&self.dropped, "dropped outputs"),
        ];
        let some = all.iter().filter(|(count, _)| count.total() > 0);
        let parts: Vec<String> = some.map(|(count, what)| format!("{} {what}", count.total())).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    pub(super) fn refuse(&self, channel: &str, refusal: &Refusal) {
        let counter = match refusal {
            Refusal::Forged => &self.forged,
            _ => &self.malformed,
        };
        counter.add(&format_args!("{channel}: {refusal}"));
    }
}

/// A line for whoever started the kernel: Jupyter shows a kernel's stderr in its own log.
#[allow(clippy::print_stderr, reason = "stderr is the kernel's log; stdout belongs to nobody")]
pub(super) fn log(line: &str) {
    eprintln!("spinbot kernel: {line}");
}
