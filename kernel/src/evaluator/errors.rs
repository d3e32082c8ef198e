//! rustc's errors as the user should see them: on the lines they typed, with carets, notes and help.

use super::rewrite::Rewritten;
use evcxr::CompilationError;
use std::fmt::Write;

// Escape sequences as rustc prints them on a terminal; Jupyter shows tracebacks with them.
const RED: &str = "\x1b[1;31m";
const BLUE: &str = "\x1b[1;34m";
const BOLD: &str = "\x1b[1m";
const OFF: &str = "\x1b[0m";

/// One error as text: `error[E0308]: mismatched types` and its lines.
pub(crate) fn render(error: &CompilationError, typed: &str, rewritten: &Rewritten) -> String {
    let code = error.code().map_or(String::new(), |code| format!("[{code}]"));
    let level = if error.level().is_empty() { "error" } else { error.level() };
    let mut text = format!("{RED}{level}{code}{OFF}{BOLD}: {}{OFF}", error.message());
    let lines: Vec<&str> = typed.lines().collect();
    let mut labels = Vec::new();
    for spanned in error.spanned_messages() {
        let Some(span) = spanned.span else { continue };
        let start = rewritten.typed(span.start_line, span.start_column);
        let end = rewritten.typed(span.end_line, span.end_column);
        labels.push(Label {
            start,
            end,
            text: if spanned.label.ends_with(&error.message()) {
                String::new()
            } else {
                spanned.label.clone()
            },
            primary: spanned.is_primary,
        });
    }
    labels.sort_by_key(|label| (label.start, !label.primary));
    if let Some(first) = labels.iter().find(|l| l.primary).or(labels.first()) {
        let _ = write!(text, "\n {BLUE}-->{OFF} cell:{}:{}", first.start.0, first.start.1);
    }
    let width = labels.iter().map(|l| l.start.0.max(l.end.0).to_string().len()).max().unwrap_or(1);
    let mut shown_line = 0;
    for label in &labels {
        let Some(line) = label.start.0.checked_sub(1).and_then(|i| lines.get(i)) else { continue };
        if label.start.0 != shown_line {
            let gap = if shown_line != 0 && label.start.0 > shown_line + 1 { "..." } else { "" };
            let _ = write!(text, "\n{BLUE}{:width$} |{gap}\n{:width$} |{OFF} {line}", "", label.start.0);
            shown_line = label.start.0;
        }
        let until = if label.end.0 == label.start.0 { label.end.1 } else { line.chars().count() + 1 };
        let (mark, colour) = if label.primary { ("^", RED) } else { ("-", BLUE) };
        let carets = mark.repeat(until.saturating_sub(label.start.1).max(1));
        let indent = " ".repeat(label.start.1.saturating_sub(1));
        let _ = write!(text, "\n{BLUE}{:width$} |{OFF} {indent}{colour}{carets} {}{OFF}", "", label.text);
    }
    for help in error.help() {
        let _ = write!(text, "\n{BLUE}{:width$} ={OFF} help: {}", "", help.replace(super::rewrite::OPEN, ""));
    }
    if let Some(hint) = error.evcxr_extra_hint() {
        let _ = write!(text, "\n{BLUE}{:width$} ={OFF} note: {hint}", "");
    }
    text
}

struct Label {
    /// Line and column from 1.
    start: (usize, usize),
    end: (usize, usize),
    text: String,
    primary: bool,
}
