//! Just enough of Rust's lexical grammar to know where a statement may begin and where a brace closes.
//!
//! It tells strings, raw strings, characters, lifetimes and nested comments from code. It does not parse: what
//! the tokens mean is rustc's business.

/// What a run of bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lexeme {
    /// Blanks, one line end at most and only as the last byte.
    Space,
    /// A line or block comment.
    Comment,
    /// `(`, `[` or `{`.
    Open,
    /// `)` or `]`.
    Close,
    /// `}`.
    CloseBrace,
    /// `;`.
    Semicolon,
    /// Anything else: a word, a literal, an operator's character.
    Other,
}

/// The lexeme at byte `at` and where it ends; `None` at the end of `code`. `at` lies on a character boundary,
/// and so does the end. What is left open runs to the end of `code`.
pub(crate) fn lexeme(code: &str, at: usize) -> Option<(Lexeme, usize)> {
    let rest = code.get(at..)?;
    let first = rest.chars().next()?;
    let bytes = rest.as_bytes();
    let (kind, len) = match first {
        '\n' => (Lexeme::Space, 1),
        c if c.is_whitespace() => {
            let blank = rest.find(|c: char| !c.is_whitespace() || c == '\n').unwrap_or(rest.len());
            (Lexeme::Space, blank + usize::from(bytes.get(blank) == Some(&b'\n')))
        }
        '/' if bytes.get(1) == Some(&b'/') => (Lexeme::Comment, rest.find('\n').unwrap_or(rest.len())),
        '/' if bytes.get(1) == Some(&b'*') => (Lexeme::Comment, block_comment(bytes)),
        '(' | '[' | '{' => (Lexeme::Open, 1),
        ')' | ']' => (Lexeme::Close, 1),
        '}' => (Lexeme::CloseBrace, 1),
        ';' => (Lexeme::Semicolon, 1),
        '"' => (Lexeme::Other, quoted(bytes, b'"')),
        '\'' => (Lexeme::Other, character_or_lifetime(rest)),
        c if c == '_' || c.is_alphabetic() => (Lexeme::Other, word_or_prefixed_literal(rest)),
        c => (Lexeme::Other, c.len_utf8()),
    };
    Some((kind, at + len))
}

/// Length of a block comment, nested ones inside.
fn block_comment(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => {
                depth += 1;
                at += 2;
            }
            Some(b"*/") => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Length of a literal in quotes with backslash escapes. The quotes are ASCII, so the end is a boundary.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            _ if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn character_or_lifetime(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) => quoted(rest.as_bytes(), b'\''),
        (Some((_, c)), Some((at, '\''))) if c != '\'' => at + 1,
        // A lifetime or a lone quote: the quote alone; a word after it is a lexeme of its own.
        _ => 1,
    }
}

fn word_or_prefixed_literal(rest: &str) -> usize {
    let word = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
    let after = rest.as_bytes().get(word..).unwrap_or_default();
    match (rest.get(..word), after.first()) {
        (Some("b" | "c"), Some(b'"')) => word + quoted(after, b'"'),
        (Some("b"), Some(b'\'')) => word + quoted(after, b'\''),
        (Some("r" | "br" | "cr"), Some(b'"' | b'#')) => raw_string(after).map_or(word, |len| word + len),
        _ => word,
    }
}

/// Length of `#"..."#` with any number of hashes; `None` when it is a raw identifier (`r#type`).
fn raw_string(bytes: &[u8]) -> Option<usize> {
    let hashes = bytes.iter().take_while(|b| **b == b'#').count();
    if bytes.get(hashes) != Some(&b'"') {
        return None;
    }
    let body = hashes + 1;
    let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let found = bytes.get(body..)?.windows(closing.len()).position(|w| w == closing);
    Some(found.map_or(bytes.len(), |at| body + at + closing.len()))
}

/// Where the bracket opened at byte `at` closes: the offset just past its partner, if there is one.
pub(crate) fn closing(code: &str, at: usize) -> Option<usize> {
    let (mut position, mut depth) = (at, 0_usize);
    while let Some((kind, end)) = lexeme(code, position) {
        match kind {
            Lexeme::Open => depth += 1,
            Lexeme::Close | Lexeme::CloseBrace => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(end);
                }
            }
            _ => {}
        }
        position = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, expected: &[&str]) {
        let (mut at, mut found) = (0, Vec::new());
        while let Some((kind, end)) = lexeme(code, at) {
            if kind != Lexeme::Space {
                found.push(&code[at..end]);
            }
            at = end;
        }
        assert_eq!(found, expected, "in {code:?}");
    }

    #[test]
    fn literals_and_comments_are_one_lexeme_each() {
        check(r#"let s = "a;\"{";"#, &["let", "s", "=", r#""a;\"{""#, ";"]);
        check("r#\"a\"}\"# r\"x\\\" r#type", &["r#\"a\"}\"#", "r\"x\\\"", "r", "#", "type"]);
        check(
            "b'\\'' '{' '\\u{41}' 'é' &'a str",
            &["b'\\''", "'{'", "'\\u{41}'", "'é'", "&", "'", "a", "str"],
        );
        check("/* a /* b */ } */ x // }\ny", &["/* a /* b */ } */", "x", "// }", "y"]);
        check("br##\"a\"# b\"## c\"c\"", &["br##\"a\"# b\"##", "c\"c\""]);
        // Left open: to the end.
        check("\"open\n%x", &["\"open\n%x"]);
        check("/* open", &["/* open"]);
        check("\"ends in backslash\\", &["\"ends in backslash\\"]);
    }

    #[test]
    fn a_brace_closes_at_its_partner() {
        for (code, end) in [
            ("{a}b", Some(3)),
            (r#"{f("}")}"#, Some(8)),
            ("{ {1} [2] } }", Some(11)),
            ("{'}'}", Some(5)),
            ("{open", None),
        ] {
            assert_eq!(closing(code, 0), end, "in {code:?}");
        }
    }
}
