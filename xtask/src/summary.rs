//! Counting: what cargo and pytest say at their end, and the table that closes a run.

use std::time::Duration;

/// Tests by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    /// Not asked for: samples Jupyter's conformance cases have no notion of in Rust, ignored tests.
    pub(crate) skipped: u32,
}

impl Tally {
    /// Adds what a closing line of cargo (`test result: ok. 3 passed; 0 failed; ...`) or of pytest
    /// (`== 3 passed, 1 failed in 2.1s ==`) counts; other lines count nothing.
    pub(crate) fn read(&mut self, line: &str) {
        let bare = line.trim().trim_matches('=').trim();
        let cargo = bare.starts_with("test result:");
        let pytest =
            bare.starts_with(|c: char| c.is_ascii_digit()) && bare.contains(" in ") && bare.contains('s');
        if !cargo && !pytest {
            return;
        }
        let words: Vec<&str> = bare.split_whitespace().collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u32>() else { continue };
            match pair[1].trim_end_matches([';', ',']) {
                "passed" => self.passed += count,
                "failed" | "error" | "errors" => self.failed += count,
                "skipped" | "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) stage: &'static str,
    pub(crate) tally: Tally,
    /// Every command of the stage ended well.
    pub(crate) ok: bool,
    pub(crate) took: Duration,
}

/// The table and the line that sums it up.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut all = Tally::default();
    let mut text =
        format!("\n{:<10}{:>8}{:>8}{:>9}{:>9}\n", "stage", "passed", "failed", "skipped", "seconds");
    for Line { stage, tally, ok, took } in lines {
        let end = if *ok { "" } else { "  FAILED" };
        let Tally { passed, failed, skipped } = tally;
        text += &format!("{stage:<10}{passed:>8}{failed:>8}{skipped:>9}{:>9.1}{end}\n", took.as_secs_f64());
        all.add(*tally);
    }
    text + &format!("\n{} passed, {} failed\n", all.passed, all.failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted_and_others_are_not() {
        let tally = |passed, failed, skipped| Tally { passed, failed, skipped };
        for (line, expected) in [
            ("test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out", tally(12, 0, 3)),
            ("test result: FAILED. 1 passed; 2 failed; 0 ignored", tally(1, 2, 0)),
            ("===== 2 failed, 13 passed, 1 skipped, 1 error in 12.02s =====", tally(13, 3, 1)),
            ("5 passed in 0.11s", tally(5, 0, 0)),
            ("======== 4 passed, 6 subtests passed in 63.05s (0:01:03) ========", tally(4, 0, 0)),
            ("running 3 tests", tally(0, 0, 0)),
            ("test a ... ok", tally(0, 0, 0)),
            ("3 failed attempts to connect", tally(0, 0, 0)),
        ] {
            let mut read = Tally::default();
            read.read(line);
            assert_eq!(read, expected, "{line}");
        }
    }
}
