//! `%time`, `%%time`: how long Rust takes.

use crate::error::Failure;
use crate::session::{StreamName, Timing};
use crate::spec::{Arg, BodyKind, Example, Kind};
use crate::view::duration;
use crate::{Call, Magic, Session};
use std::time::{Duration, Instant};

pub(crate) struct Time;

const ARGS: &[Arg] = &[Arg::positional("code", "CODE", Kind::Code, "The Rust to run.").required()];

impl Magic for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn summary(&self) -> &'static str {
        "Runs Rust and says how long it took."
    }

    fn details(&self) -> &'static str {
        "The rest of the line, or the lines below `%%time`, run as if they stood alone in a cell: what they print \
         and show comes first, variables stay. The time is wall time; where the notebook can tell, what the \
         compiler took is named apart."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn body(&self) -> BodyKind {
        BodyKind::Rust("code")
    }

    fn examples(&self) -> &'static [Example] {
        &[
            Example { cell: "%time (1..=1_000_000_u64).sum::<u64>()", about: "Time an expression." },
            Example {
                cell: "%%time\nlet squares: Vec<u64> = (0..1000).map(|n| n * n).collect();\nsquares.len()",
                about: "Time a whole cell; `squares` stays.",
            },
        ]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let code = call.text("code").unwrap_or_default();
        let started = Instant::now();
        let timing = cx.eval(code)?;
        cx.stream(StreamName::Stdout, &sentence(started.elapsed(), timing));
        Ok(())
    }
}

fn sentence(wall: Duration, timing: Timing) -> String {
    let parts: Vec<String> = [("compiling", timing.compiling), ("running", timing.running)]
        .iter()
        .filter_map(|(what, took)| took.map(|took| format!("{what} {}", duration(took))))
        .collect();
    match parts.is_empty() {
        true => format!("wall time: {}\n", duration(wall)),
        false => format!("wall time: {} ({})\n", duration(wall), parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_named_apart_where_it_is_known() {
        let ms = Duration::from_millis;
        assert_eq!(sentence(ms(1500), Timing::default()), "wall time: 1.50 s\n");
        let timing = Timing { compiling: Some(ms(90)), running: Some(Duration::from_micros(12)) };
        assert_eq!(sentence(ms(91), timing), "wall time: 91.0 ms (compiling 90.0 ms, running 12.0 µs)\n");
    }
}
