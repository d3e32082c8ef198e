//! The text after a magic's name, cut into flags and words the way a shell would.
//!
//! `'..'` and `".."` keep blanks together; a backslash takes the next character as it is; `--name value` and
//! `--name=value` are flags; `--` ends them. Everywhere, also in quotes, `{expr}` stands for what that Rust
//! expression displays, and `{{` and `}}` for the braces themselves. What a flag means is not known here.

use crate::error::{MagicError, Span};
use crate::rust_lex::closing;

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as meant: quotes and escapes resolved.
    Text(String),
    /// A Rust expression to evaluate, without its braces.
    Code {
        /// The expression.
        expr: String,
        /// Where it lies, with its braces.
        span: Span,
    },
}

/// A word of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its parts, in order; none for `""`.
    pub pieces: Vec<Piece>,
    /// Where it lies, with its quotes.
    pub span: Span,
}

impl Word {
    /// The word when no Rust is in it.
    pub fn plain(&self) -> Option<String> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Code { .. } => None,
            })
            .collect()
    }
}

/// A flag or a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// `--name` or `--name=value`.
    Flag {
        /// With its dashes: `--name`.
        name: String,
        /// Where the dashes and the name lie.
        span: Span,
        /// What follows a `=`.
        value: Option<Word>,
    },
    /// Anything else.
    Word(Word),
}

/// Cuts `text`, which begins at byte `offset` of the cell.
///
/// # Errors
/// A quote or brace left open, or `{}` with nothing in it.
pub fn lex(text: &str, offset: usize) -> Result<Vec<Token>, MagicError> {
    let mut lexer = Lexer { text, at: 0, offset };
    let (mut tokens, mut flags) = (Vec::new(), true);
    loop {
        lexer.skip_blanks();
        if lexer.peek().is_none() {
            return Ok(tokens);
        }
        match lexer.flag_head().filter(|_| flags) {
            Some(end) if lexer.text.get(lexer.at..end) == Some("--") => {
                lexer.at = end;
                flags = false;
            }
            Some(end) => tokens.push(lexer.flag(end)?),
            None => tokens.push(Token::Word(lexer.word()?)),
        }
    }
}

/// Reads `{expr}` out of a text that needs no shell quoting: a value of a TOML body. All parts get `span`.
///
/// # Errors
/// As [`lex`].
pub fn interpolated(text: &str, span: Span) -> Result<Word, MagicError> {
    let mut lexer = Lexer { text, at: 0, offset: 0 };
    let mut pieces = Pieces::default();
    while let Some(c) = lexer.peek() {
        if !lexer.brace(&mut pieces).map_err(|error| MagicError { span: Some(span), ..error })? {
            pieces.push(c);
            lexer.at += c.len_utf8();
        }
    }
    let mut pieces = pieces.done();
    for piece in &mut pieces {
        if let Piece::Code { span: place, .. } = piece {
            *place = span;
        }
    }
    Ok(Word { pieces, span })
}

/// Pieces under construction: neighbouring characters join.
#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    text: String,
}

impl Pieces {
    fn push(&mut self, c: char) {
        self.text.push(c);
    }

    fn push_code(&mut self, expr: &str, span: Span) {
        self.flush();
        self.done.push(Piece::Code { expr: expr.to_owned(), span });
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.done.push(Piece::Text(std::mem::take(&mut self.text)));
        }
    }

    fn done(mut self) -> Vec<Piece> {
        self.flush();
        self.done
    }
}

struct Lexer<'a> {
    text: &'a str,
    /// Byte of `text` to be read next.
    at: usize,
    /// Where `text` begins in the cell.
    offset: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn span_from(&self, start: usize) -> Span {
        Span::new(start, self.at).shifted(self.offset)
    }

    /// `\` at a line's end, which joins it with the next line.
    fn line_end(text: &str) -> Option<&'static str> {
        ["\\\r\n", "\\\n"].into_iter().find(|end| text.starts_with(end))
    }

    /// Skips blanks and `\` at a line's end.
    fn skip_blanks(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            let continued = Self::line_end(trimmed).and_then(|end| trimmed.strip_prefix(end));
            let (left, done) = (continued.unwrap_or(trimmed).len(), continued.is_none());
            self.at = self.text.len() - left;
            if done {
                return;
            }
        }
    }

    /// The end of the dashes and name of a flag that begins here: `--name`, `-x`, or a bare `--`. A number such
    /// as `-5` is no flag.
    fn flag_head(&self) -> Option<usize> {
        let rest = self.rest();
        let named = rest.trim_start_matches('-');
        let dashes = rest.len() - named.len();
        let name = named.find(|c: char| !(c.is_alphanumeric() || "-_".contains(c))).unwrap_or(named.len());
        let begins = named.starts_with(char::is_alphabetic);
        let over = |text: &str| {
            text.is_empty() || text.starts_with(char::is_whitespace) || Self::line_end(text).is_some()
        };
        let bare = dashes == 2 && over(named);
        let end = self.at + dashes + name;
        let after = self.text.get(end..)?;
        let ended = after.starts_with('=') || over(after);
        ((1..=2).contains(&dashes) && (begins && ended || bare)).then_some(end)
    }

    fn flag(&mut self, end: usize) -> Result<Token, MagicError> {
        let start = self.at;
        let name = self.text.get(start..end).unwrap_or("").to_owned();
        self.at = end;
        let span = self.span_from(start);
        let value = if self.rest().starts_with('=') {
            self.at += 1;
            Some(self.word()?)
        } else {
            None
        };
        Ok(Token::Flag { name, span, value })
    }

    /// A word, up to the next blank outside quotes and braces; empty where a blank stands here already.
    fn word(&mut self) -> Result<Word, MagicError> {
        let start = self.at;
        let mut pieces = Pieces::default();
        let mut quote: Option<(char, usize)> = None;
        while let Some(c) = self.peek() {
            match (quote, c) {
                (None, c) if c.is_whitespace() => break,
                (None, '"' | '\'') => {
                    quote = Some((c, self.at));
                    self.at += 1;
                }
                (Some((open, _)), c) if c == open => {
                    quote = None;
                    self.at += 1;
                }
                (_, '\\') => {
                    if quote.is_none() && Self::line_end(self.rest()).is_some() {
                        break;
                    }
                    self.at += 1;
                    let escaped = self.peek();
                    pieces.push(escaped.unwrap_or('\\'));
                    self.at += escaped.map_or(0, char::len_utf8);
                }
                (_, c) => {
                    if !self.brace(&mut pieces)? {
                        pieces.push(c);
                        self.at += c.len_utf8();
                    }
                }
            }
        }
        if let Some((open, from)) = quote {
            return Err(MagicError::at(self.span_from(from), format!("this {open} is never closed"))
                .help(format!("end the text with {open}, or write \\{open} for the character itself")));
        }
        Ok(Word { pieces: pieces.done(), span: self.span_from(start) })
    }

    /// Reads `{expr}`, `{{` or `}}` if one begins here, and says whether one did.
    fn brace(&mut self, pieces: &mut Pieces) -> Result<bool, MagicError> {
        let rest = self.rest();
        if rest.starts_with("{{") || rest.starts_with("}}") {
            pieces.push(if rest.starts_with('{') { '{' } else { '}' });
            self.at += 2;
            return Ok(true);
        }
        if !rest.starts_with('{') {
            return Ok(false);
        }
        let start = self.at;
        let literally = "write {{ for the character { itself";
        let Some(end) = closing(self.text, start) else {
            self.at = self.text.trim_end().len();
            return Err(MagicError::at(self.span_from(start), "this { is never closed").help(literally));
        };
        self.at = end;
        let expr = self.text.get(start + 1..end - 1).unwrap_or("").trim();
        if expr.is_empty() {
            return Err(MagicError::at(self.span_from(start), "there is no expression in these braces")
                .help(format!("name a Rust value, as in {{name}}, or {literally}")));
        }
        pieces.push_code(expr, self.span_from(start));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(word: &Word) -> String {
        let mut out = String::from("[");
        for piece in &word.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Code { expr, .. } => out.push_str(&format!("<{expr}>")),
            }
        }
        out + "]"
    }

    /// Flags as they stand, words in `[]`, Rust in `<>`; or the error with its characters.
    fn check(text: &str, expected: &str) {
        let cell = format!("%x {text}");
        let found = match lex(text, 3) {
            Err(error) => format!("{} @ {}", error.message, error.span.unwrap().of(&cell)),
            Ok(tokens) => {
                let token = |t: &Token| match t {
                    Token::Word(word) => shown(word),
                    Token::Flag { name, span, value } => {
                        assert_eq!(span.of(&cell), name);
                        name.clone() + &value.as_ref().map_or(String::new(), |v| format!("={}", shown(v)))
                    }
                };
                tokens.iter().map(token).collect::<Vec<_>>().join(" ")
            }
        };
        assert_eq!(found, expected, "in {text:?}");
    }

    #[test]
    fn a_line_is_cut_like_a_shell_would() {
        check("", "");
        check("  a  b ", "[a] [b]");
        check("--n 5 --flag --k=v w", "--n [5] --flag --k=[v] [w]");
        check("'a b' \"c d\" e' 'f", "[a b] [c d] [e f]");
        check(r#"a\ b "say \"hi\"" 'it\'s' \\"#, r#"[a b] [say "hi"] [it's] [\]"#);
        check("\"\" --t=\"\" --t= x", "[] --t=[] --t=[] [x]");
        check("-5 -0.5 -x -- --not-a-flag", "[-5] [-0.5] -x [--not-a-flag]");
        check("'--quoted' me--you.jpg --a=b=c", "[--quoted] [me--you.jpg] --a=[b=c]");
        check("photos/é.jpg 写真", "[photos/é.jpg] [写真]");
        check("a \\\n  --b c", "[a] --b [c]");
        check("a\\\n  --b\\\n c", "[a] --b [c]");
        check("a\\\r\n--b=c\\\r\n--\\\n--d\\\n", "[a] --b=[c] [--d]");
    }

    #[test]
    fn braces_hold_rust_also_in_quotes() {
        check("{a} x{b + 1}y", "[<a>] [x<b + 1>y]");
        check("\"hi {name}!\" '{f(\"}\")}'", "[hi <name>!] [<f(\"}\")>]");
        check("--n={count} --t {s[\"a b\"]}", "--n=[<count>] --t [<s[\"a b\"]>]");
        check("{{a}} \"{{}}\" a}b", "[{a}] [{}] [a}b]");
        check("{ Point { x: 1 }.x }", "[<Point { x: 1 }.x>]");
    }

    #[test]
    fn what_is_left_open_is_pointed_at() {
        check("a \"b c", "this \" is never closed @ \"b c");
        check("it's", "this ' is never closed @ 's");
        check("a {b ", "this { is never closed @ {b");
        check("a { } b", "there is no expression in these braces @ { }");
    }

    #[test]
    fn a_toml_value_may_hold_rust_too() {
        let span = Span::new(7, 20);
        let word = interpolated("it's {a} {{b}}", span).unwrap();
        assert_eq!(shown(&word), "[it's <a> {b}]");
        assert!(word.pieces.contains(&Piece::Code { expr: "a".into(), span }));
        assert_eq!(interpolated("{", span).unwrap_err().span, Some(span));
    }
}
