//! Reads a cell's Rust before evcxr does: finds the last expression and writes `__show!` around it, says whether
//! code is complete, and keeps the map from the rewritten text back to what was typed.

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::{MacroDelimiter, Stmt};

/// A cell as evcxr gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rewritten {
    /// The code to evaluate.
    pub(crate) code: String,
    /// What was inserted: line and column (from 1, in characters, of the code typed), and its length.
    inserted: Vec<(usize, usize, usize)>,
}

/// What stands before a shown expression; taken out of what rustc suggests.
pub(crate) const OPEN: &str = "spinbot::__show!(";
const CLOSE: &str = ");";

impl Rewritten {
    /// Inserts texts at byte offsets of `code`; a text replaces as many bytes as said.
    fn new(code: &str, mut edits: Vec<(usize, usize, String)>) -> Rewritten {
        edits.sort();
        let (mut text, mut inserted, mut at) = (String::with_capacity(code.len() + 64), Vec::new(), 0);
        for (offset, replaced, new) in edits {
            text.push_str(&code[at..offset]);
            text.push_str(&new);
            let line = code[..offset].matches('\n').count() + 1;
            let column = code[..offset].chars().rev().take_while(|c| *c != '\n').count() + 1;
            let gone = code[offset..offset + replaced].chars().count();
            inserted.push((line, column, new.chars().count().saturating_sub(gone)));
            at = offset + replaced;
        }
        text.push_str(&code[at..]);
        Rewritten { code: text, inserted }
    }

    /// A position (line and column from 1, in characters) of the rewritten code, as one of the code typed.
    pub(crate) fn typed(&self, line: usize, column: usize) -> (usize, usize) {
        let mut typed = column;
        for (at_line, at, length) in &self.inserted {
            if *at_line == line && typed > *at {
                typed = typed.saturating_sub(*length).max(*at);
            }
        }
        (line, typed)
    }
}

/// Lines that are evcxr's commands (`:dep`), blanked for parsing so that positions stay.
fn without_commands(code: &str) -> String {
    code.split_inclusive('\n')
        .map(|line| {
            if line.starts_with(':') {
                line.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
            } else {
                line.to_owned()
            }
        })
        .collect()
}

/// Brackets within brackets that a parser is trusted with: each takes some of its stack.
pub(crate) const DEEPEST: usize = 500;

/// Whether a parser could run out of stack on it: brackets counted as they stand, strings and comments not told
/// apart.
pub(crate) fn too_deep(code: &str) -> bool {
    let mut depth = 0usize;
    code.bytes().any(|byte| {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEEPEST
    })
}

fn statements(code: &str) -> syn::Result<Vec<Stmt>> {
    use syn::parse::Parser;
    if too_deep(code) {
        return Err(syn::Error::new(proc_macro2::Span::call_site(), "nested too deeply"));
    }
    syn::Block::parse_within.parse_str(code)
}

/// A variable that a cell defines without saying its whole type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Untyped {
    /// Its name.
    pub(crate) name: String,
    mutable: bool,
    /// Where `: Type` goes: offset and bytes replaced; `None` inside a pattern.
    annotation: Option<(usize, usize)>,
}

/// A cell's text with what is found in it.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    code: &'a str,
    /// Byte range of the last expression, if its value could be shown.
    shown: Option<(usize, usize)>,
    /// Where a semicolon goes behind a last expression that never has a value: without one, evcxr would try to
    /// show it itself.
    closed: Option<usize>,
    /// Its top-level variables whose type is not written out and not plain from a literal.
    pub(crate) untyped: Vec<Untyped>,
}

/// Reads a cell. One that does not parse has nothing found in it: rustc explains it better.
pub(crate) fn parse(code: &str) -> Parsed<'_> {
    let Ok(statements) = statements(&without_commands(code)) else {
        return Parsed { code, shown: None, closed: None, untyped: Vec::new() };
    };
    let mut closed = None;
    let span = match statements.last() {
        // Of type `()` always; wrapping them would only cost better messages.
        Some(Stmt::Expr(
            valueless @ (syn::Expr::While(_)
            | syn::Expr::ForLoop(_)
            | syn::Expr::Assign(_)
            | syn::Expr::Return(_)),
            None,
        )) => {
            closed = offset(code, valueless.span().end());
            None
        }
        Some(Stmt::Expr(expression, None)) => Some(expression.span()),
        // `thread_local! { .. }` may define items; `vec![..]` and `format!(..)` are values.
        Some(Stmt::Macro(call))
            if call.semi_token.is_none() && !matches!(call.mac.delimiter, MacroDelimiter::Brace(_)) =>
        {
            Some(call.span())
        }
        _ => None,
    };
    let shown = span.and_then(|s| offset(code, s.start()).zip(offset(code, s.end())));
    let mut untyped: Vec<Untyped> = Vec::new();
    for statement in &statements {
        if let Stmt::Local(local) = statement {
            for found in untyped_of(code, local) {
                // The last definition of a name is the one that stays.
                untyped.retain(|earlier| earlier.name != found.name);
                untyped.push(found);
            }
        }
    }
    Parsed { code, shown, closed, untyped }
}

fn untyped_of(code: &str, local: &syn::Local) -> Vec<Untyped> {
    match &local.pat {
        syn::Pat::Ident(name) => {
            let plain = local.init.as_ref().is_some_and(|init| is_plain(&init.expr));
            let end = offset(code, name.span().end()).filter(|_| !plain);
            let variable = |end| Untyped {
                name: name.ident.to_string(),
                mutable: name.mutability.is_some(),
                annotation: Some((end, 0)),
            };
            end.map(variable).into_iter().collect()
        }
        syn::Pat::Type(typed) => {
            let text = code_of(code, typed.ty.span());
            let hole =
                text.is_some_and(|t| t.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "_"));
            match (&*typed.pat, offset(code, typed.pat.span().end()), offset(code, typed.ty.span().end())) {
                (syn::Pat::Ident(name), Some(start), Some(end)) if hole => vec![Untyped {
                    name: name.ident.to_string(),
                    mutable: name.mutability.is_some(),
                    annotation: Some((start, end - start)),
                }],
                _ => Vec::new(),
            }
        }
        pattern => {
            let mut names = Names(Vec::new());
            syn::visit::Visit::visit_pat(&mut names, pattern);
            names.0
        }
    }
}

/// Collects the variables of a pattern.
struct Names(Vec<Untyped>);

impl<'ast> syn::visit::Visit<'ast> for Names {
    fn visit_pat_ident(&mut self, name: &'ast syn::PatIdent) {
        // `None`, `MAX`: a pattern's upper-case identifiers are constants.
        if !name.ident.to_string().starts_with(char::is_uppercase) {
            self.0.push(Untyped {
                name: name.ident.to_string(),
                mutable: name.mutability.is_some(),
                annotation: None,
            });
        }
    }
}

/// Whether rust-analyzer knows the type without knowing std: literals and arithmetic of them.
fn is_plain(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Lit(_) => true,
        syn::Expr::Unary(unary) => is_plain(&unary.expr),
        syn::Expr::Paren(paren) => is_plain(&paren.expr),
        syn::Expr::Binary(binary) => is_plain(&binary.left) && is_plain(&binary.right),
        _ => false,
    }
}

fn code_of(code: &str, span: proc_macro2::Span) -> Option<&str> {
    code.get(offset(code, span.start())?..offset(code, span.end())?)
}

impl Parsed<'_> {
    /// The cell with its last expression shown.
    pub(crate) fn shown(&self) -> Rewritten {
        Rewritten::new(self.code, self.show_edits())
    }

    fn show_edits(&self) -> Vec<(usize, usize, String)> {
        match (self.shown, self.closed) {
            (Some((start, end)), _) => vec![(start, 0, OPEN.to_owned()), (end, 0, CLOSE.to_owned())],
            (None, Some(end)) => vec![(end, 0, ";".to_owned())],
            (None, None) => Vec::new(),
        }
    }

    /// The cell followed by one line for each untyped variable that makes the compiler name its type; with the
    /// number of the first such line.
    pub(crate) fn probe(&self) -> (String, usize) {
        let mut code = self.shown().code;
        code.push('\n');
        let first = code.matches('\n').count() + 1;
        for variable in &self.untyped {
            code.push_str(&format!("spinbot::cell::type_of(&{});\n", variable.name));
        }
        (code, first)
    }

    /// The cell with its last expression shown and its untyped variables typed, where a type is known.
    pub(crate) fn typed(&self, types: &[Option<String>]) -> Rewritten {
        let mut edits = self.show_edits();
        let mut after = String::new();
        for (variable, of) in self.untyped.iter().zip(types) {
            let Some(of) = of else { continue };
            match variable.annotation {
                Some((at, replaced)) => edits.push((at, replaced, format!(": {of}"))),
                None => {
                    let mutable = if variable.mutable { "mut " } else { "" };
                    after.push_str(&format!("\nlet {mutable}{0}: {of} = {0};", variable.name));
                }
            }
        }
        let mut rewritten = Rewritten::new(self.code, edits);
        rewritten.code.push_str(&after);
        rewritten
    }
}

fn offset(code: &str, at: LineColumn) -> Option<usize> {
    let line_start: usize = code.split_inclusive('\n').take(at.line.checked_sub(1)?).map(str::len).sum();
    let line = &code[line_start..];
    let column = line.char_indices().map(|(i, _)| i).chain([line.len()]).nth(at.column)?;
    Some(line_start + column)
}

/// Whether a cell could run as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Completeness {
    /// It parses.
    Complete,
    /// It would parse with more; the text to indent the next line with.
    Incomplete(String),
    /// No continuation makes it parse.
    Invalid,
}

/// Says whether `code` is a whole cell.
pub(crate) fn completeness(code: &str) -> Completeness {
    let code = without_commands(code);
    let error = match statements(&code) {
        Ok(_) => return Completeness::Complete,
        Err(error) => error,
    };
    let open = open_brackets(&code);
    let indent = || {
        let last = code.lines().last().unwrap_or_default();
        let current: String = last.chars().take_while(|c| c.is_whitespace()).collect();
        if last.trim_end().ends_with(['{', '(', '[']) { format!("{current}    ") } else { current }
    };
    match open {
        Some(0) if error.to_string().starts_with("unexpected end of input") => {
            Completeness::Incomplete(indent())
        }
        Some(0) | None => Completeness::Invalid,
        Some(_) => Completeness::Incomplete(indent()),
    }
}

/// Brackets still open at the end, counting an open string or comment as one; `None` when one closes that was not
/// opened.
fn open_brackets(code: &str) -> Option<usize> {
    let mut stack = Vec::new();
    let bytes = code.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let rest = &code[i..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            match block_comment(rest) {
                Some(length) => length,
                None => return Some(stack.len() + 1),
            }
        } else if let Some(hashes) = raw_string_start(code, i) {
            let close = format!("\"{}", "#".repeat(hashes));
            let start = 2 + hashes;
            match rest[start..].find(&close) {
                Some(at) => start + at + close.len(),
                None => return Some(stack.len() + 1),
            }
        } else if rest.starts_with('"') {
            match string_length(rest) {
                Some(length) => length,
                None => return Some(stack.len() + 1),
            }
        } else if rest.starts_with('\'') {
            character_or_lifetime(rest)
        } else {
            match bytes[i] {
                open @ (b'(' | b'[' | b'{') => stack.push(open),
                close @ (b')' | b']' | b'}') => {
                    let opened = stack.pop()?;
                    if !matches!((opened, close), (b'(', b')') | (b'[', b']') | (b'{', b'}')) {
                        return None;
                    }
                }
                _ => {}
            }
            rest.chars().next().map_or(1, char::len_utf8)
        };
        i += skipped;
    }
    Some(stack.len())
}

fn block_comment(text: &str) -> Option<usize> {
    let (mut depth, mut i) = (0usize, 0);
    while i < text.len() {
        let rest = &text.as_bytes()[i..];
        if rest.starts_with(b"/*") {
            (depth, i) = (depth + 1, i + 2);
        } else if rest.starts_with(b"*/") {
            (depth, i) = (depth - 1, i + 2);
            if depth == 0 {
                return Some(i);
            }
        } else {
            i += 1;
        }
    }
    None
}

fn raw_string_start(code: &str, at: usize) -> Option<usize> {
    let after = code[at..].strip_prefix('r')?;
    let in_identifier = code[..at]
        .chars()
        .next_back()
        .is_some_and(|c| (c.is_alphanumeric() || c == '_') && c != 'b' && c != 'c');
    let hashes = after.bytes().take_while(|b| *b == b'#').count();
    (!in_identifier && after[hashes..].starts_with('"')).then_some(hashes)
}

fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

fn character_or_lifetime(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => {
            text[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(1, |(i, _)| i + 3)
        }
        (Some(_), Some((i, '\''))) => i + 1,
        _ => 1,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_expression_is_shown_and_nothing_else_is() {
        for (code, expected) in [
            ("1+1", "spinbot::__show!(1+1);"),
            ("let x = 1;\nx // ok", "let x = 1;\nspinbot::__show!(x); // ok"),
            ("let x = 1;", "let x = 1;"),
            ("x;", "x;"),
            ("fn f() {}", "fn f() {}"),
            ("vec![1]", "spinbot::__show!(vec![1]);"),
            ("thread_local! { static A: u8 = 0; }", "thread_local! { static A: u8 = 0; }"),
            (":dep rand\n\"é\".len()", ":dep rand\nspinbot::__show!(\"é\".len());"),
            ("for _ in 0..3 {}", "for _ in 0..3 {};"),
            ("while f() {} // ok", "while f() {}; // ok"),
            ("x = 5", "x = 5;"),
            ("let = ", "let = "),
            ("", ""),
        ] {
            assert_eq!(parse(code).shown().code, expected, "{code}");
        }
    }

    #[test]
    fn columns_lead_back_to_what_was_typed() {
        let rewritten = parse("let a = 1;\n  a + b").shown();
        let column = rewritten.code.lines().nth(1).unwrap().rfind('b').unwrap() + 1;
        assert_eq!(rewritten.typed(2, column), (2, 7));
        assert_eq!(rewritten.typed(1, 5), (1, 5));
    }

    #[test]
    fn variables_without_a_whole_type_get_the_one_the_compiler_names() {
        let code = "let a = 1;\nlet v = vec![1];\nlet m: Vec<_> = f();\nlet (x, mut y) = g();\nv.len()";
        let parsed = parse(code);
        let names: Vec<&str> = parsed.untyped.iter().map(|u| u.name.as_str()).collect();
        assert_eq!(names, ["v", "m", "x", "y"]);
        assert_eq!(parsed.probe().1, 6);
        let types = ["Vec<i32>", "Vec<u8>", "A", "B"].map(|t| Some(t.to_owned()));
        let rewritten = parsed.typed(&types);
        let expected = "let a = 1;\nlet v: Vec<i32> = vec![1];\nlet m: Vec<u8> = f();\nlet (x, mut y) = g();\n\
                        spinbot::__show!(v.len());\nlet x: A = x;\nlet mut y: B = y;";
        assert_eq!(rewritten.code, expected);
        let column = rewritten.code.lines().nth(1).unwrap().find("vec!").unwrap() + 1;
        assert_eq!(rewritten.typed(2, column), (2, 9));
    }

    #[test]
    fn a_cell_is_complete_or_wants_more_or_never_parses() {
        use Completeness::*;
        for (code, expected) in [
            ("1+1", Complete),
            ("fn f() {}", Complete),
            ("", Complete),
            ("fn f() {", Incomplete("    ".into())),
            ("let x = vec![1,", Incomplete("".into())),
            ("let x = ", Incomplete("".into())),
            ("let s = \"abc", Incomplete("".into())),
            ("r#\"x\"", Incomplete("".into())),
            ("/* a", Incomplete("".into())),
            ("fn )(", Invalid),
            ("let x = 1))", Invalid),
            ("'{'", Complete),
        ] {
            assert_eq!(completeness(code), expected, "{code}");
        }
    }
}
