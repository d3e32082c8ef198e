//! What the terminal shows while a notebook runs: a line a cell on stderr, alive where a terminal is watching.
#![allow(clippy::print_stderr, reason = "progress is this command's purpose; stdout stays free for results")]

use std::io::{IsTerminal, Write};
use std::time::Instant;

const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Characters of a cell's first line that are shown.
const WIDTH: usize = 60;

/// How a cell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Ok,
    Failed,
}

/// Progress over a known number of code cells.
pub(super) struct Progress {
    total: usize,
    alive: bool,
    frame: usize,
    begun: Instant,
    label: String,
}

impl Progress {
    pub(super) fn new(total: usize) -> Self {
        let alive = std::io::stderr().is_terminal();
        Progress { total, alive, frame: 0, begun: Instant::now(), label: String::new() }
    }

    /// A cell begins; `number` counts code cells from 1.
    pub(super) fn begin(&mut self, number: usize, source: &str) {
        self.begun = Instant::now();
        self.label = format!("[{number}/{}] {}", self.total, first_line(source));
        if self.alive {
            self.tick();
        } else {
            eprintln!("  {}", self.label);
        }
    }

    /// Time has passed; call a few times a second.
    pub(super) fn tick(&mut self) {
        if self.alive {
            self.frame = (self.frame + 1) % FRAMES.len();
            let seconds = self.begun.elapsed().as_secs_f64();
            eprint!("\r\x1b[2K{} {}  {seconds:.1} s", FRAMES[self.frame], self.label);
            // A closed terminal has no progress to see.
            let _ = std::io::stderr().flush();
        }
    }

    /// The cell ended.
    pub(super) fn end(&mut self, end: End) {
        let mark = match end {
            End::Ok => "✓",
            End::Failed => "✗",
        };
        let back = if self.alive { "\r\x1b[2K" } else { "" };
        eprintln!("{back}{mark} {}  {:.1} s", self.label, self.begun.elapsed().as_secs_f64());
    }

    /// A line of its own.
    pub(super) fn say(&self, line: &str) {
        let back = if self.alive { "\r\x1b[2K" } else { "" };
        eprintln!("{back}{line}");
    }
}

/// The first line that says something, cut to fit, with nothing in it that could drive a terminal.
fn first_line(source: &str) -> String {
    let line = source.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("(empty)");
    let mut shown: String = line.chars().filter(|c| !c.is_control()).take(WIDTH).collect();
    if line.chars().count() > WIDTH {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn a_cell_is_known_by_its_first_line() {
        for (source, expected) in [
            ("let a = 1;\nlet b = 2;", "let a = 1;"),
            ("\n\n  %render x \n", "%render x"),
            ("", "(empty)"),
            ("\x1b[2Jx", "[2Jx"),
        ] {
            assert_eq!(first_line(source), expected);
        }
        let long = "é".repeat(100);
        assert_eq!(first_line(&long), format!("{}…", "é".repeat(60)));
    }
}
