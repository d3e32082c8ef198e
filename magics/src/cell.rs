//! Cuts a cell into Rust and magics.
//!
//! `%%name` on the first non-blank line makes the whole rest of the cell that magic's body. Otherwise every line
//! whose first non-blank characters are `%name` (or `?name`, for help) *where a statement may begin* is a magic
//! line: outside strings and comments, with no bracket open, and with nothing, `;` or `}` as the Rust token
//! before it. So `total\n    %count` stays the remainder it is in Rust; a value shown just before a magic line
//! needs its own cell or a `;`. A line that ends in `\` goes on in the next one.
//!
//! Only the shape is read here: whether a magic exists and what its arguments mean is decided when it runs, so
//! that what stands before a mistaken line still runs.

use crate::error::{MagicError, Span};
use crate::magic::find;
use crate::rust_lex::{Lexeme, lexeme};

/// One piece of a cell. In order, the pieces cover the cell but for blank stretches between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Rust for the evaluator.
    Rust {
        /// The code, exactly as typed.
        code: String,
        /// The cell's line it starts on, from 0: for moving rustc's line numbers back into the cell.
        start_line: usize,
        /// Where it lies in the cell.
        range: Span,
    },
    /// A `%name` line, or a question (`%name?`).
    Line {
        /// The magic as typed.
        magic: RawMagic,
    },
    /// A `%%name` cell.
    Cell {
        /// The magic as typed, with its body.
        magic: RawMagic,
    },
}

/// A magic as typed, not yet looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMagic {
    /// The name without `%` or `?`.
    pub name: String,
    /// The name with its `%`, `%%` or `?` before it.
    pub name_span: Span,
    /// Everything after the name on its line(s), without the line end.
    pub args: String,
    /// Where `args` lies in the cell.
    pub args_span: Span,
    /// The magic's line(s) without the last line end; for a cell, up to the end of the cell.
    pub span: Span,
    /// Typed with two `%`.
    pub double: bool,
    /// A question: show help instead of running.
    pub help: bool,
    /// The lines below a `%%name`, and where they lie.
    pub body: Option<(String, Span)>,
}

/// Cuts a cell into its pieces. Never fails: what is not a magic is Rust.
pub fn split(code: &str) -> Vec<Segment> {
    let start = code.len() - code.trim_start().len();
    if let Some(mut magic) = head(code, start).filter(|magic| magic.double) {
        if !magic.help {
            let body = code.get(magic.span.end..).unwrap_or("").strip_prefix('\n').unwrap_or("");
            magic.body = Some((body.to_owned(), Span::new(code.len() - body.len(), code.len())));
        }
        magic.span.end = code.len();
        return vec![Segment::Cell { magic }];
    }
    let mut splitter = Splitter::default();
    splitter.run(code);
    splitter.segments
}

/// A line that names a magic but was read as the remainder of the expression before it. For a cell whose Rust did
/// not compile: very likely a `;` is missing there.
pub fn misread(code: &str) -> Option<MagicError> {
    let mut splitter = Splitter::default();
    splitter.run(code);
    let span =
        splitter.continued.into_iter().find(|span| find(span.of(code).trim_start_matches('%')).is_some())?;
    let line = span.of(code);
    Some(
        MagicError::at(span, format!("{line} was read as the remainder of the expression before it"))
            .help(format!("end the line before it with `;` to make {line} a magic")),
    )
}

/// Where the splitter stands between two lexemes.
#[derive(Default)]
struct Splitter {
    /// `%name`s that continue an expression.
    continued: Vec<Span>,
    segments: Vec<Segment>,
    /// Where the Rust not yet put into `segments` begins.
    rust_from: usize,
    /// Open brackets.
    depth: usize,
    /// Whether the last Rust token leaves an expression that a `%` would continue.
    open_expression: bool,
}

impl Splitter {
    fn run(&mut self, code: &str) {
        let (mut at, mut line_start) = (0, true);
        while let Some((kind, end)) = lexeme(code, at) {
            if line_start
                && kind == Lexeme::Other
                && self.depth == 0
                && let Some(magic) = head(code, at)
            {
                if self.open_expression {
                    self.continued.push(magic.name_span);
                    line_start = false;
                    at = end;
                    continue;
                }
                self.push_rust(code, at);
                at = magic.span.end;
                self.rust_from = at;
                self.segments.push(Segment::Line { magic });
                continue;
            }
            match kind {
                Lexeme::Space | Lexeme::Comment => {}
                Lexeme::Open => self.depth += 1,
                Lexeme::Close | Lexeme::CloseBrace => self.depth = self.depth.saturating_sub(1),
                Lexeme::Semicolon | Lexeme::Other => {}
            }
            match kind {
                Lexeme::Space => line_start |= code.get(at..end).is_some_and(|s| s.ends_with('\n')),
                _ => line_start = false,
            }
            match kind {
                Lexeme::Space | Lexeme::Comment => {}
                Lexeme::Semicolon | Lexeme::CloseBrace => self.open_expression = false,
                _ => self.open_expression = true,
            }
            at = end;
        }
        self.push_rust(code, code.len());
    }

    /// Puts away the Rust up to `end`, unless it is blank.
    fn push_rust(&mut self, code: &str, end: usize) {
        let text = code.get(self.rust_from..end).unwrap_or("");
        if text.trim().is_empty() {
            return;
        }
        // The line end after a magic line belongs to that line.
        let skip = usize::from(self.rust_from > 0 && text.starts_with('\n'));
        let start = self.rust_from + skip;
        self.segments.push(Segment::Rust {
            code: text.get(skip..).unwrap_or("").to_owned(),
            start_line: code.get(..start).unwrap_or("").matches('\n').count(),
            range: Span::new(start, end),
        });
    }
}

/// The magic whose sigil stands at byte `at`, without a body.
fn head(code: &str, at: usize) -> Option<RawMagic> {
    let rest = code.get(at..)?;
    let asked = rest.starts_with('?');
    let unasked = rest.strip_prefix('?').unwrap_or(rest);
    let named = unasked.trim_start_matches('%');
    let sigils = unasked.len() - named.len();
    if sigils > 2 || (sigils == 0 && !asked) {
        return None;
    }
    let name_len = named.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(named.len());
    let name = named.get(..name_len)?;
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let name_end = at + (rest.len() - named.len()) + name_len;
    let line_end = logical_line_end(code, name_end);
    let args = code.get(name_end..line_end)?;
    let args = args.strip_suffix('\r').unwrap_or(args);
    Some(RawMagic {
        name: name.to_owned(),
        name_span: Span::new(at, name_end),
        args: args.to_owned(),
        args_span: Span::new(name_end, name_end + args.len()),
        span: Span::new(at, line_end),
        double: sigils == 2,
        help: asked || matches!(args.trim(), "?" | "??"),
        body: None,
    })
}

/// The end of the line that holds byte `at`, and of those it goes on in.
fn logical_line_end(code: &str, at: usize) -> usize {
    let mut from = at;
    loop {
        let Some(end) = code.get(from..).and_then(|rest| rest.find('\n')).map(|i| from + i) else {
            return code.len();
        };
        let line = code.get(at..end).unwrap_or("");
        if !line.strip_suffix('\r').unwrap_or(line).ends_with('\\') {
            return end;
        }
        from = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cell's pieces, one a line: `rust@LINE code`, `%name[args]`, `%%name[args] body`, `?name`.
    fn shape(code: &str) -> Vec<String> {
        let magic = |m: &RawMagic| match (&m.body, m.help) {
            (_, true) => format!("?{}", m.name),
            (None, _) => format!("{}{}[{}]", if m.double { "%%" } else { "%" }, m.name, m.args),
            (Some((body, _)), _) => format!("%%{}[{}] {body}", m.name, m.args),
        };
        split(code)
            .iter()
            .map(|segment| match segment {
                Segment::Rust { code, start_line, .. } => format!("rust@{start_line} {code}"),
                Segment::Line { magic: m } | Segment::Cell { magic: m } => magic(m),
            })
            .collect()
    }

    fn check(code: &str, expected: &[&str]) {
        assert_eq!(shape(code), expected, "in {code:?}");
    }

    #[test]
    fn rust_and_magic_lines_alternate_in_order() {
        check("", &[]);
        check("  \n\n", &[]);
        check("1 + 1", &["rust@0 1 + 1"]);
        check("%jobs", &["%jobs[]"]);
        check("let a = 1;\n%time f(a)\na", &["rust@0 let a = 1;\n", "%time[ f(a)]", "rust@2 a"]);
        check("%jobs\n%lsmagic\n\nlet b = 2;", &["%jobs[]", "%lsmagic[]", "rust@2 \nlet b = 2;"]);
        check("fn f() {}\n  %jobs  \n", &["rust@0 fn f() {}\n  ", "%jobs[  ]"]);
        check("// note\n%jobs // all", &["rust@0 // note\n", "%jobs[ // all]"]);
        check("%jobs\r\nlet a = 1;\r\n", &["%jobs[]", "rust@1 let a = 1;\r\n"]);
    }

    #[test]
    fn a_percent_that_rust_would_read_stays_rust() {
        let stays = |code: &str| check(code, &[&format!("rust@0 {code}")]);
        stays("let r = total\n    %count;");
        stays("let r = total\n    % count;");
        stays("f(\n%count)");
        stays("{\n%time x\n}");
        stays("let s = \"\n%time x\n\";");
        stays("let s = r#\"\n%time x\n\"#;");
        stays("/*\n%time x\n*/");
        stays("a; %time x");
        stays("%5");
        stays("%");
        stays("?");
        stays("%%%time");
        stays("foo()\n?;");
    }

    #[test]
    fn a_magic_read_as_a_remainder_is_found_afterwards() {
        let found = |code: &str| misread(code).map(|error| error.span.map(|span| span.of(code).to_owned()));
        assert_eq!(found("show(a)\n%time b"), Some(Some("%time".to_owned())));
        assert_eq!(found("show(a);\n%time b"), None);
        assert_eq!(found("total\n    %count"), None);
    }

    #[test]
    fn a_cell_magic_takes_the_whole_rest() {
        check("%%time\nlet a = 1;\n%jobs", &["%%time[] let a = 1;\n%jobs"]);
        check("\n\n  %%render --preset draft\nseed = 1\n", &["%%render[ --preset draft] seed = 1\n"]);
        check("%%time", &["%%time[] "]);
        // Not first: kept as a line, so that running it can say so.
        check("let a = 1;\n%%time\na", &["rust@0 let a = 1;\n", "%%time[]", "rust@2 a"]);
    }

    #[test]
    fn questions_ask_for_help() {
        for code in ["%time?", "%time ?", "%time??", "?time", "?%time", "%%time?", "?%%time"] {
            check(code, &["?time"]);
        }
        check("let a = 1;\n?time\na", &["rust@0 let a = 1;\n", "?time", "rust@2 a"]);
    }

    #[test]
    fn a_backslash_continues_a_magic_line() {
        check("%render --a b \\\n  --c d\nx", &["%render[ --a b \\\n  --c d]", "rust@2 x"]);
        check("%render \\", &["%render[ \\]"]);
    }

    #[test]
    fn spans_point_into_the_cell() {
        let code = "let é = 1;\n  %render --a b\nx";
        let segments = split(code);
        let Segment::Line { magic } = &segments[1] else { panic!("{segments:?}") };
        assert_eq!(magic.name_span.of(code), "%render");
        assert_eq!(magic.args_span.of(code), " --a b");
        assert_eq!(magic.span.of(code), "%render --a b");
        let Segment::Rust { range, code: rust, .. } = &segments[2] else { panic!("{segments:?}") };
        assert_eq!(range.of(code), rust);

        let code = "\n%%render\nseed = 1";
        let segments = split(code);
        let Segment::Cell { magic } = &segments[0] else { panic!("{segments:?}") };
        let (body, span) = magic.body.as_ref().unwrap();
        assert_eq!((span.of(code), magic.span.of(code)), (body.as_str(), "%%render\nseed = 1"));
    }
}
