//! A magic's arguments, read: every name known, every value of its kind, every expression evaluated.
//!
//! The line and the TOML body give the same list of [`Assignment`]s; from there on there is one path.

use crate::args::{Piece, Token, Word, lex};
use crate::cell::RawMagic;
use crate::error::{MagicError, Span};
use crate::magic::Magic;
use crate::session::Session;
use crate::spec::{Arg, BodyKind, Kind};
use crate::{convert, toml_body};
use spinbot::Fault;
use spinbot::suggest::nearest;
use std::path::{Path, PathBuf};

/// A value as its kind has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Path(PathBuf),
    Number(f64),
    Int(i64),
    Flag,
}

/// One argument as given, not yet looked at.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) arg: &'static Arg,
    /// Where its name lies: the flag, the TOML key, or the word itself.
    pub(crate) name_span: Span,
    pub(crate) value: Given,
}

/// A value as given.
#[derive(Debug)]
pub(crate) enum Given {
    /// To be evaluated and converted.
    Word(Word),
    /// A switch that is on.
    On,
}

/// A magic with its arguments.
#[derive(Debug, Clone)]
pub struct Call {
    magic: &'static str,
    args: &'static [Arg],
    /// Everything given, in order; and the defaults, without a place.
    values: Vec<(&'static str, Option<Span>, Value)>,
    head: Span,
    cell: bool,
    /// What a plan calls things, and where they come from.
    aliases: Vec<(String, Span)>,
}

impl Call {
    /// Whether the line's only flag of note is `--help`.
    pub(crate) fn asks_for_help(magic: &dyn Magic, raw: &RawMagic) -> bool {
        let help = |token: &Token| matches!(token, Token::Flag { name, .. } if name == "--help");
        !matches!(magic.body(), BodyKind::Rust(_))
            && lex(&raw.args, raw.args_span.start).is_ok_and(|tokens| tokens.iter().any(help))
    }

    /// Reads a magic's line and body against its declaration. Everything that needs no Rust is checked before
    /// the first expression is evaluated.
    pub(crate) fn read(
        magic: &'static dyn Magic,
        raw: &RawMagic,
        cx: &mut dyn Session,
    ) -> Result<Self, MagicError> {
        let given = assignments(magic, raw)?;
        let mut call = Call {
            magic: magic.name(),
            args: magic.args(),
            values: Vec::new(),
            head: raw.name_span,
            cell: raw.double,
            aliases: Vec::new(),
        };
        call.check_counts(&given, raw, magic.body())?;
        let mut values: Vec<Option<Value>> = Vec::new();
        for assignment in &given {
            values.push(match &assignment.value {
                Given::On => Some(Value::Flag),
                Given::Word(word) => match word.plain() {
                    Some(text) => Some(convert::value(assignment.arg, &text, word.span, cx.cwd())?),
                    None => None,
                },
            });
        }
        for (assignment, value) in given.iter().zip(values) {
            let (span, value) = match (&assignment.value, value) {
                (Given::On, _) => (assignment.name_span, Value::Flag),
                (Given::Word(word), Some(value)) => (word.span, value),
                (Given::Word(word), None) => {
                    let text = evaluated(word, cx)?;
                    (word.span, convert::value(assignment.arg, &text, word.span, cx.cwd())?)
                }
            };
            call.values.push((assignment.arg.name, Some(span), value));
        }
        for arg in magic.args() {
            if let Some(default) = arg.default.filter(|_| call.first(arg.name).is_none()) {
                call.values.push((arg.name, None, convert::value(arg, default, raw.name_span, cx.cwd())?));
            }
        }
        Ok(call)
    }

    /// Nothing twice that may stand once, nothing missing.
    fn check_counts(&self, given: &[Assignment], raw: &RawMagic, body: BodyKind) -> Result<(), MagicError> {
        for (i, assignment) in given.iter().enumerate() {
            let arg = assignment.arg;
            if !arg.repeated && given.iter().take(i).any(|earlier| earlier.arg.name == arg.name) {
                return Err(MagicError::at(
                    assignment.name_span,
                    format!("{} is given twice", spelled(arg, self.cell)),
                )
                .help("keep one of them"));
            }
        }
        let missing =
            self.args.iter().find(|arg| arg.required && !given.iter().any(|a| a.arg.name == arg.name));
        let Some(arg) = missing else { return Ok(()) };
        let end = raw.args_span.start + raw.args.trim_end().len();
        let error =
            MagicError::at(Span::new(end, end), format!("%{} needs {}", self.magic, spelled(arg, self.cell)));
        let example = match (arg.positional, self.cell, body) {
            (_, true, BodyKind::Text(main) | BodyKind::TextOnly(main) | BodyKind::Rust(main))
                if main == arg.name =>
            {
                return Err(error.help(format!("write it on the lines below %%{}", self.magic)));
            }
            (true, _, _) => arg.placeholder.to_owned(),
            (false, false, _) => format!("--{} {}", arg.name, arg.placeholder),
            (false, true, _) => format!("{} = \"{}\"", arg.name, arg.placeholder),
        };
        Err(error.help(format!("add `{example}`: {}", arg.help)))
    }

    fn first(&self, name: &str) -> Option<&Value> {
        debug_assert!(self.args.iter().any(|arg| arg.name == name), "%{} declares no `{name}`", self.magic);
        self.values.iter().find(|(given, _, _)| *given == name).map(|(_, _, value)| value)
    }

    /// Whether it was the `%%` form.
    pub fn is_cell(&self) -> bool {
        self.cell
    }

    /// The magic's name with its `%` in the cell.
    pub fn head(&self) -> Span {
        self.head
    }

    /// A text, name, choice or code.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.first(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// All texts given for a repeated argument, in order.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values.iter().filter(move |(given, _, _)| *given == name).filter_map(|(_, _, value)| match value
        {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// As [`Call::texts`], with where each lies.
    pub(crate) fn placed_texts(&self, name: &str) -> impl Iterator<Item = (&str, Span)> {
        self.placed(name).filter_map(|(value, span)| match value {
            Value::Text(text) => Some((text.as_str(), span)),
            _ => None,
        })
    }

    /// All paths given for a repeated argument, with where each lies.
    pub(crate) fn placed_paths(&self, name: &str) -> impl Iterator<Item = (&Path, Span)> {
        self.placed(name).filter_map(|(value, span)| match value {
            Value::Path(path) => Some((path.as_path(), span)),
            _ => None,
        })
    }

    fn placed(&self, name: &str) -> impl Iterator<Item = (&Value, Span)> {
        let head = self.head;
        let given = self.values.iter().filter(move |(given, _, _)| *given == name);
        given.map(move |(_, span, value)| (value, span.unwrap_or(head)))
    }

    /// The same call, in which a fault about one of these names points at its characters: a plan has more inputs
    /// than its magic has arguments.
    #[must_use]
    pub(crate) fn pointing(&self, names: impl IntoIterator<Item = (String, Span)>) -> Self {
        let mut call = self.clone();
        call.aliases.extend(names);
        call
    }

    /// As [`Call::pointing`], for the profiles of a voice.
    #[must_use]
    pub(crate) fn pointing_at_voice(&self) -> Self {
        // More than any mixture has.
        let inputs = |span| {
            let profiles = (1..=99).map(move |i| (format!("profile{i}"), span));
            profiles.chain([("weights".to_owned(), span)])
        };
        self.pointing(self.span("voice").into_iter().flat_map(inputs))
    }

    /// A file, as an absolute path.
    pub fn path(&self, name: &str) -> Option<&Path> {
        match self.first(name) {
            Some(Value::Path(path)) => Some(path),
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.first(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.first(name) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// Whether a switch is on.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Where an argument's first value lies in the cell; nothing for a default.
    pub fn span(&self, name: &str) -> Option<Span> {
        self.values.iter().find(|(given, _, _)| *given == name).and_then(|(_, span, _)| *span)
    }

    /// A fault of the lower crates, pointed at the argument it is about, else at the magic's name.
    pub fn fault(&self, fault: Fault) -> MagicError {
        let alias = self.aliases.iter().find(|(name, _)| Some(name) == fault.argument.as_ref());
        if let Some((_, span)) = alias {
            return MagicError { message: fault.message, help: fault.help, span: Some(*span) };
        }
        let about = fault.argument.as_deref().map(|name| name.replace('_', "-"));
        let span =
            about.and_then(|name| self.values.iter().find(|(given, _, _)| *given == name)).and_then(|v| v.1);
        MagicError { message: fault.message, help: fault.help, span: span.or(Some(self.head)) }
    }
}

/// How an argument is called where it is given.
fn spelled(arg: &Arg, cell: bool) -> String {
    match (arg.positional, cell) {
        (true, _) => arg.placeholder.to_owned(),
        (false, false) => format!("--{}", arg.name),
        (false, true) => format!("`{}`", arg.name),
    }
}

fn assignments(magic: &'static dyn Magic, raw: &RawMagic) -> Result<Vec<Assignment>, MagicError> {
    let body = magic.body();
    let verbatim = |name: &str, text: &str, span: Span| {
        let arg = magic.args().iter().find(|arg| arg.name == name)?;
        // A body of nothing but blanks is no text.
        (!text.trim().is_empty()).then(|| Assignment {
            arg,
            name_span: span,
            value: Given::Word(Word { pieces: vec![Piece::Text(text.to_owned())], span }),
        })
    };
    if let (BodyKind::Rust(main), None) = (body, &raw.body) {
        let code = raw.args.trim();
        let start = raw.args_span.start + (raw.args.len() - raw.args.trim_start().len());
        return Ok(verbatim(main, code, Span::new(start, start + code.len())).into_iter().collect());
    }
    let mut given = from_line(magic, raw)?;
    match (&raw.body, body) {
        (Some((text, span)), BodyKind::Toml) => given.extend(toml_body::assignments(magic, text, *span)?),
        (Some((text, span)), BodyKind::Text(main) | BodyKind::TextOnly(main) | BodyKind::Rust(main)) => {
            given.extend(verbatim(main, text, *span));
        }
        _ => {}
    }
    Ok(given)
}

fn from_line(magic: &'static dyn Magic, raw: &RawMagic) -> Result<Vec<Assignment>, MagicError> {
    let tokens = lex(&raw.args, raw.args_span.start)?;
    let mut places = magic.args().iter().filter(|arg| arg.positional).peekable();
    let mut given = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    // The code below `%%name` takes the place of its argument on the line.
    let in_body = match (magic.body(), &raw.body) {
        (BodyKind::Text(main) | BodyKind::TextOnly(main) | BodyKind::Rust(main), Some(_)) => Some(main),
        _ => None,
    };
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) => {
                let arg = places.next_if(|arg| !arg.repeated).or_else(|| places.peek().copied());
                let arg = arg.filter(|arg| in_body != Some(arg.name));
                let arg = arg.ok_or_else(|| unexpected(magic, &word, raw))?;
                given.push(Assignment { arg, name_span: word.span, value: Given::Word(word) });
            }
            Token::Flag { name, span, value } => {
                let arg = declared(magic, &name, span)?;
                let value = match (arg.kind, value) {
                    (Kind::Flag, None) => Given::On,
                    (Kind::Flag, Some(value)) => {
                        return Err(MagicError::at(value.span, format!("{name} takes no value"))
                            .help("write it alone"));
                    }
                    (_, Some(value)) => Given::Word(value),
                    (_, None) => match tokens.next() {
                        Some(Token::Word(word)) => Given::Word(word),
                        _ => {
                            let end = Span::new(span.end, span.end);
                            return Err(MagicError::at(end, format!("{name} needs a value"))
                                .help(format!("write `{name} {}`: {}", arg.placeholder, arg.help)));
                        }
                    },
                };
                given.push(Assignment { arg, name_span: span, value });
            }
        }
    }
    Ok(given)
}

/// The declared argument behind a flag as typed.
fn declared(magic: &'static dyn Magic, typed: &str, span: Span) -> Result<&'static Arg, MagicError> {
    let name = typed.trim_start_matches('-').replace('_', "-");
    let flags = || magic.args().iter().filter(|arg| !arg.positional && arg.kind != Kind::Code);
    if let Some(arg) = flags().find(|arg| arg.name == name && typed.starts_with("--")) {
        return Ok(arg);
    }
    let error = MagicError::at(span, format!("%{} has no flag `{typed}`", magic.name()));
    Err(match (magic.instead_of(typed), nearest(&name, flags().map(|arg| arg.name))) {
        (Some(help), _) => error.help(help),
        (None, Some(near)) => error.help(format!("did you mean `--{near}`?")),
        (None, None) => error.help(format!("`%{}?` shows what it takes", magic.name())),
    })
}

fn unexpected(magic: &'static dyn Magic, word: &Word, raw: &RawMagic) -> MagicError {
    let name = magic.name();
    let shown = word.plain().unwrap_or_else(|| "{..}".to_owned());
    let error = MagicError::at(word.span, format!("%{name} does not know what to do with `{shown}`"));
    match (magic.instead_of(&shown), magic.body(), &raw.body) {
        (Some(help), _, _) => error.help(help),
        (None, BodyKind::Text(_) | BodyKind::TextOnly(_) | BodyKind::Rust(_), Some(_)) => {
            error.help(format!("%%{name} takes its text from the lines below it"))
        }
        _ => error.help(format!("`%{name}?` shows what it takes")),
    }
}

/// The word's text, its expressions evaluated.
fn evaluated(word: &Word, cx: &mut dyn Session) -> Result<String, MagicError> {
    let mut text = String::new();
    for piece in &word.pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Code { expr, span } => {
                let value = cx.eval_to_string(expr);
                text.push_str(&value.map_err(|e| MagicError { span: Some(*span), ..e.into() })?);
            }
        }
    }
    Ok(text)
}
