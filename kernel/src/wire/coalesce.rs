//! Fewer, larger messages: text printed in small pieces and displays updated in place are gathered.
//!
//! Front ends and the Jupyter server choke on thousands of messages a second. Order is never changed: anything
//! else, and any other stream or display, first sends what is gathered. No clock is read here.

use crate::wire::message::{Outgoing, Parent};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Least time between two gathered messages: 10 a second are as live as eyes can tell.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long the first piece after a quiet time waits for its neighbours.
const FIRST_WAIT: Duration = Duration::from_millis(20);

/// Text gathered beyond this goes out at once.
const STREAM_CAP: usize = 64 * 1024;

/// Where text was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// What is published on iopub.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Publication {
    Text {
        parent: Parent,
        stream: Stream,
        text: String,
    },
    /// A display replaced in place; only the last of several in a row is worth sending.
    Update {
        parent: Parent,
        display_id: String,
        content: Value,
    },
    Message(Outgoing),
}

/// Holds back what may still grow.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    held: Option<Publication>,
    /// When `held` must be sent; set whenever it is.
    due: Option<Instant>,
    last_sent: Option<Instant>,
}

impl Coalescer {
    /// Takes a publication; returns what is to be sent now, in order.
    pub(super) fn push(&mut self, next: Publication, now: Instant) -> Vec<Outgoing> {
        let next = match (&mut self.held, next) {
            (
                Some(Publication::Text { parent, stream, text }),
                Publication::Text { parent: same_parent, stream: same_stream, text: more },
            ) if *parent == same_parent && *stream == same_stream => {
                text.push_str(&more);
                return if text.len() >= STREAM_CAP {
                    self.flush(now).into_iter().collect()
                } else {
                    Vec::new()
                };
            }
            (
                Some(Publication::Update { parent, display_id, content }),
                Publication::Update { parent: same_parent, display_id: same_id, content: newer },
            ) if *parent == same_parent && *display_id == same_id => {
                *content = newer;
                return Vec::new();
            }
            (_, other) => other,
        };
        let mut ready: Vec<Outgoing> = self.flush(now).into_iter().collect();
        if let Publication::Message(message) = next {
            ready.push(message);
            return ready;
        }
        let big = matches!(&next, Publication::Text { text, .. } if text.len() >= STREAM_CAP);
        self.due = Some(self.last_sent.map_or(now, |at| at + INTERVAL).max(now + FIRST_WAIT));
        self.held = Some(next);
        if big {
            ready.extend(self.flush(now));
        }
        ready
    }

    /// When [`Coalescer::flush`] should be called, if something is held.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is held, to be sent now.
    pub(super) fn flush(&mut self, now: Instant) -> Option<Outgoing> {
        self.due = None;
        let held = self.held.take()?;
        self.last_sent = Some(now);
        Some(match held {
            Publication::Text { parent, stream, text } => {
                Outgoing::new("stream", parent, json!({"name": stream.name(), "text": text}))
            }
            Publication::Update { parent, content, .. } => {
                Outgoing::new("update_display_data", parent, content)
            }
            Publication::Message(message) => message,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn text(parent: &str, stream: Stream, text: &str) -> Publication {
        Publication::Text { parent: Arc::new(json!(parent)), stream, text: text.to_owned() }
    }
    fn update(id: &str, shown: u32) -> Publication {
        Publication::Update {
            parent: Arc::new(json!("a")),
            display_id: id.to_owned(),
            content: json!({"id": id, "shown": shown}),
        }
    }
    fn message(name: &str) -> Publication {
        Publication::Message(Outgoing::new("display_data", json!("a"), json!({"shown": name})))
    }
    fn short(message: &Outgoing) -> String {
        let c = &message.content;
        match message.kind {
            "stream" => format!("{}:{}", c["name"].as_str().unwrap(), c["text"].as_str().unwrap()),
            "update_display_data" => format!("{}={}", c["id"].as_str().unwrap(), c["shown"]),
            _ => c["shown"].as_str().unwrap().to_owned(),
        }
    }

    #[test]
    fn neighbours_are_gathered_and_order_is_kept() {
        use Stream::{Stderr, Stdout};
        let now = Instant::now();
        let cases: Vec<(Vec<Publication>, &[&str])> = vec![
            (vec![text("a", Stdout, "x"), text("a", Stdout, "y")], &["stdout:xy"]),
            (
                vec![text("a", Stdout, "x"), text("a", Stderr, "e"), text("a", Stdout, "y")],
                &["stdout:x", "stderr:e", "stdout:y"],
            ),
            (vec![text("a", Stdout, "x"), text("b", Stdout, "y")], &["stdout:x", "stdout:y"]),
            (
                vec![text("a", Stdout, "x"), message("D"), text("a", Stdout, "y")],
                &["stdout:x", "D", "stdout:y"],
            ),
            (vec![update("p", 1), update("p", 2), update("p", 3)], &["p=3"]),
            (vec![update("p", 1), update("q", 2), update("p", 3)], &["p=1", "q=2", "p=3"]),
            (vec![update("p", 1), text("a", Stdout, "x"), update("p", 2)], &["p=1", "stdout:x", "p=2"]),
        ];
        for (pushed, expected) in cases {
            let mut coalescer = Coalescer::default();
            let mut sent: Vec<Outgoing> = pushed.into_iter().flat_map(|p| coalescer.push(p, now)).collect();
            sent.extend(coalescer.flush(now));
            assert_eq!(sent.iter().map(short).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_hundred_thousand_prints_become_a_few_messages() {
        let start = Instant::now();
        let mut coalescer = Coalescer::default();
        let mut sent = Vec::new();
        for i in 0..100_000u32 {
            let now = start + Duration::from_micros(10) * i; // one second of printing
            if coalescer.due().is_some_and(|due| due <= now) {
                sent.extend(coalescer.flush(now));
            }
            sent.extend(coalescer.push(text("a", Stream::Stdout, &format!("line {i}\n")), now));
        }
        sent.extend(coalescer.flush(start + Duration::from_secs(1)));
        let whole: String = sent.iter().map(|m| m.content["text"].as_str().unwrap()).collect();
        assert_eq!(whole.lines().count(), 100_000);
        assert!(whole.ends_with("line 99999\n"));
        assert!(sent.len() < 40, "{} messages", sent.len());
    }

    #[test]
    fn text_waits_a_moment_after_a_quiet_time_and_longer_in_a_flood() {
        let start = Instant::now();
        let mut coalescer = Coalescer::default();
        coalescer.push(text("a", Stream::Stdout, "first"), start);
        assert_eq!(coalescer.due(), Some(start + FIRST_WAIT));
        coalescer.flush(start + FIRST_WAIT);
        assert_eq!(coalescer.due(), None);
        coalescer.push(text("a", Stream::Stdout, "second"), start + FIRST_WAIT);
        assert_eq!(coalescer.due(), Some(start + FIRST_WAIT + INTERVAL));
    }

    proptest! {
        #[test]
        fn no_text_is_lost_or_reordered(pieces in prop::collection::vec((any::<bool>(), ".{0,8}", 0u64..200), 0..60)) {
            let start = Instant::now();
            let mut now = start;
            let mut coalescer = Coalescer::default();
            let mut sent = Vec::new();
            let mut expected: Vec<(Stream, String)> = Vec::new();
            for (error, piece, wait) in pieces {
                let stream = if error { Stream::Stderr } else { Stream::Stdout };
                now += Duration::from_millis(wait);
                if coalescer.due().is_some_and(|due| due <= now) {
                    sent.extend(coalescer.flush(now));
                }
                sent.extend(coalescer.push(text("a", stream, &piece), now));
                match expected.last_mut() {
                    Some((same, text)) if *same == stream => text.push_str(&piece),
                    _ => expected.push((stream, piece)),
                }
            }
            sent.extend(coalescer.flush(now));
            let mut got: Vec<(String, String)> = Vec::new();
            for message in &sent {
                let name = message.content["name"].as_str().unwrap().to_owned();
                let piece = message.content["text"].as_str().unwrap();
                match got.last_mut() {
                    Some((same, text)) if *same == name => text.push_str(piece),
                    _ => got.push((name, piece.to_owned())),
                }
            }
            let expected: Vec<_> = expected.into_iter().map(|(s, t)| (s.name().to_owned(), t)).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
