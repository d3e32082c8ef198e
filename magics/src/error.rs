//! What goes wrong in a magic, and how it is told: a sentence, the characters it is about, a way out.
//!
//! Spans are byte offsets into the cell as typed, so that an error can underline what the user wrote. Nothing
//! here knows which magic failed or how Jupyter wraps a traceback.

use spinbot::Fault;
use unicode_width::UnicodeWidthStr;

/// Bytes `start..end` of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes from `start` up to `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Span { start, end }
    }

    /// The text it covers, or nothing when it lies outside `cell` or cuts a character.
    pub fn of(self, cell: &str) -> &str {
        cell.get(self.start..self.end).unwrap_or("")
    }

    /// This span moved `by` bytes to the right: from a part of a cell to the whole.
    #[must_use]
    pub const fn shifted(self, by: usize) -> Self {
        Span { start: self.start + by, end: self.end + by }
    }
}

/// A mistake in a magic line or in what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MagicError {
    /// What is wrong, as a sentence that names the thing.
    pub message: String,
    /// What to do about it, without the `help:` prefix.
    pub help: Option<String>,
    /// The characters at fault.
    pub span: Option<Span>,
}

impl MagicError {
    /// An error about the whole magic.
    pub fn new(message: impl Into<String>) -> Self {
        MagicError { message: message.into(), help: None, span: None }
    }

    /// An error about some of the characters typed.
    pub fn at(span: Span, message: impl Into<String>) -> Self {
        MagicError { message: message.into(), help: None, span: Some(span) }
    }

    /// Adds the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The error as plain text: sentence, the line with its characters underlined, `help:`.
    pub fn render(&self, cell: &str) -> String {
        self.paint(cell, &Paint::PLAIN)
    }

    /// The same with terminal colours, as notebooks show in a traceback.
    pub fn render_ansi(&self, cell: &str) -> String {
        self.paint(cell, &Paint::ANSI)
    }

    fn paint(&self, cell: &str, paint: &Paint) -> String {
        let Paint { error, frame, help, bold, off } = paint;
        let mut out = format!("{error}error{off}{bold}: {}{off}", self.message);
        if let Some(excerpt) = self.span.and_then(|span| Excerpt::of(cell, span)) {
            let Excerpt { number, line, indent, width } = excerpt;
            let gutter = " ".repeat(number.len());
            out.push_str(&format!("\n{gutter} {frame}|{off}\n{frame}{number} |{off} {line}"));
            let (indent, carets) = (" ".repeat(indent), "^".repeat(width));
            out.push_str(&format!("\n{gutter} {frame}|{off} {indent}{error}{carets}{off}"));
        }
        if let Some(text) = &self.help {
            out.push_str(&format!("\n{help}help{off}: {text}"));
        }
        out
    }
}

impl std::fmt::Display for MagicError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for MagicError {}

impl From<Fault> for MagicError {
    /// The fault without a place; [`crate::Call::fault`] finds the argument it is about.
    fn from(fault: Fault) -> Self {
        MagicError { message: fault.message, help: fault.help, span: None }
    }
}

/// The escape sequences of one way to print an error.
struct Paint {
    error: &'static str,
    frame: &'static str,
    help: &'static str,
    bold: &'static str,
    off: &'static str,
}

impl Paint {
    const PLAIN: Paint = Paint { error: "", frame: "", help: "", bold: "", off: "" };
    const ANSI: Paint = Paint {
        error: "\x1b[1;31m",
        frame: "\x1b[1;34m",
        help: "\x1b[1;36m",
        bold: "\x1b[1m",
        off: "\x1b[0m",
    };
}

/// The line a span begins on, ready to print.
struct Excerpt {
    /// Line number from 1, as text.
    number: String,
    /// The line with tabs made into spaces.
    line: String,
    /// Columns before the underline, and its width.
    indent: usize,
    width: usize,
}

impl Excerpt {
    /// A span over several lines is underlined to the end of its first; an empty one gets one caret.
    fn of(cell: &str, span: Span) -> Option<Self> {
        let before = cell.get(..span.start)?;
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let end = cell.get(span.start..)?.find('\n').map_or(cell.len(), |i| span.start + i);
        let marked = cell.get(span.start..span.end.clamp(span.start, end)).unwrap_or("");
        let flat = |text: &str| text.trim_end_matches('\r').replace('\t', "    ");
        Some(Excerpt {
            number: (before.matches('\n').count() + 1).to_string(),
            line: flat(cell.get(start..end)?),
            indent: flat(cell.get(start..span.start)?).width(),
            width: flat(marked).width().max(1),
        })
    }
}

/// How the user's own Rust failed, in the words of Jupyter's `error` message. The session made it and knows how
/// it is shown; a magic only passes it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalFailure {
    /// Kind of error, e.g. `CompilationError`.
    pub ename: String,
    /// Its sentence.
    pub evalue: String,
    /// Lines to show.
    pub traceback: Vec<String>,
}

/// How a magic ends when it does not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A mistake to point at.
    Magic(MagicError),
    /// The user's Rust did not compile or stopped.
    Eval(EvalFailure),
    /// The stop button.
    Interrupted,
}

impl Failure {
    /// The fields of Jupyter's `error` message for a failure in `cell`.
    pub fn report(&self, cell: &str) -> EvalFailure {
        match self {
            Failure::Magic(error) => EvalFailure {
                ename: "MagicError".to_owned(),
                evalue: error.to_string(),
                traceback: error.render_ansi(cell).lines().map(str::to_owned).collect(),
            },
            Failure::Eval(failure) => failure.clone(),
            Failure::Interrupted => EvalFailure {
                ename: "Interrupted".to_owned(),
                evalue: "interrupted".to_owned(),
                traceback: vec![MagicError::new("interrupted").render_ansi(cell)],
            },
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Magic(error) => error.fmt(f),
            Failure::Eval(failure) => write!(f, "{}: {}", failure.ename, failure.evalue),
            Failure::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<MagicError> for Failure {
    fn from(error: MagicError) -> Self {
        Failure::Magic(error)
    }
}

impl From<EvalFailure> for Failure {
    fn from(failure: EvalFailure) -> Self {
        Failure::Eval(failure)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Magic(fault.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: MagicError, cell: &str, expected: &str) {
        assert_eq!(error.render(cell), expected.trim_start_matches('\n'), "in {cell:?}");
    }

    #[test]
    fn errors_underline_the_characters_typed() {
        check(
            MagicError::at(Span::new(8, 17), "unknown flag `--portait`").help("did you mean `--portrait`?"),
            "%render --portait me.jpg",
            "
error: unknown flag `--portait`
  |
1 | %render --portait me.jpg
  |         ^^^^^^^^^
help: did you mean `--portrait`?",
        );
        // Wide characters take two columns; tabs four; the line number counts from the cell's first line.
        check(
            MagicError::at(Span::new(19, 22), "no"),
            "let a = 1;\n\t写真 abc",
            "
error: no
  |
2 |     写真 abc
  |          ^^^",
        );
        check(
            MagicError::at(Span::new(3, 9), "over two lines"),
            "ab cd\nef\n",
            "
error: over two lines
  |
1 | ab cd
  |    ^^",
        );
        check(
            MagicError::at(Span::new(7, 7), "something is missing"),
            "%render",
            "
error: something is missing
  |
1 | %render
  |        ^",
        );
        check(MagicError::new("no place"), "%x", "error: no place");
        check(MagicError::at(Span::new(90, 95), "outside"), "%x", "error: outside");
        check(MagicError::at(Span::new(1, 2), "cuts a character"), "é", "error: cuts a character");
    }

    #[test]
    fn the_coloured_error_says_the_same() {
        let error = MagicError::at(Span::new(0, 2), "bad").help("do better");
        let mut bare = String::new();
        let mut escape = false;
        for c in error.render_ansi("%x").chars() {
            match (escape, c) {
                (false, '\x1b') => escape = true,
                (true, 'm') => escape = false,
                (true, _) => {}
                (false, c) => bare.push(c),
            }
        }
        assert_eq!(bare, error.render("%x"));
    }
}
