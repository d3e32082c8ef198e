//! The lines below `%%name` as TOML: the same arguments under the same names, each value with its place.

use crate::args::{Piece, Word, interpolated};
use crate::call::{Assignment, Given};
use crate::error::{MagicError, Span};
use crate::magic::Magic;
use crate::spec::{Arg, Kind};
use spinbot::suggest::nearest;
use toml::de::{DeTable, DeValue};

/// The arguments a TOML body gives. `place` is where the body lies in the cell.
///
/// # Errors
/// It is no TOML, a key is unknown, or a value cannot be of its argument's kind.
pub(crate) fn assignments(
    magic: &'static dyn Magic,
    body: &str,
    place: Span,
) -> Result<Vec<Assignment>, MagicError> {
    let in_cell = |range: std::ops::Range<usize>| Span::new(range.start, range.end).shifted(place.start);
    let table = DeTable::parse(body).map_err(|error| {
        let span = error.span().map_or(place, in_cell);
        MagicError::at(
            span,
            format!("the lines below %%{} are not TOML: {}", magic.name(), error.message().trim()),
        )
        .help("write one `name = value` a line, with texts in \"quotes\"")
    })?;
    let mut entries: Vec<_> = table.into_inner().into_iter().collect();
    // The table is sorted by name; what was typed first is checked first.
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut given = Vec::new();
    for (key, value) in entries {
        let name_span = in_cell(key.span());
        let arg = declared(magic, key.get_ref(), name_span)?;
        let values = match (arg.repeated, value) {
            (true, list) if matches!(list.get_ref(), DeValue::Array(_)) => match list.into_inner() {
                DeValue::Array(values) => values.into_iter().collect(),
                _ => Vec::new(),
            },
            (_, single) => vec![single],
        };
        for value in values {
            let span = in_cell(value.span());
            if let Some(value) = scalar(arg, value.get_ref(), span)? {
                given.push(Assignment { arg, name_span, value });
            }
        }
    }
    Ok(given)
}

fn declared(magic: &'static dyn Magic, key: &str, span: Span) -> Result<&'static Arg, MagicError> {
    let name = key.replace('_', "-");
    let known = || magic.args().iter();
    if let Some(arg) = known().find(|arg| arg.name == name) {
        return Ok(arg);
    }
    let error = MagicError::at(span, format!("%%{} has no `{key}`", magic.name()));
    Err(match (magic.instead_of(&format!("--{name}")), nearest(&name, known().map(|arg| arg.name))) {
        (Some(help), _) => error.help(help),
        (None, Some(near)) => error.help(format!("did you mean `{near}`?")),
        (None, None) => error.help(format!("`%{}?` shows what it takes", magic.name())),
    })
}

/// One TOML value for an argument; nothing for a switch that is off.
fn scalar(arg: &Arg, value: &DeValue<'_>, span: Span) -> Result<Option<Given>, MagicError> {
    let wanted = match arg.kind {
        Kind::Flag => "true or false",
        Kind::Int { .. } => "a whole number",
        Kind::Number { .. } => "a number",
        _ => "a text in quotes",
    };
    let example = match (arg.kind, wanted) {
        (Kind::Flag, _) => "true".to_owned(),
        (_, "a text in quotes") => format!("\"{}\"", arg.placeholder),
        _ => arg.placeholder.to_owned(),
    };
    let wrong = |got: &str| {
        MagicError::at(span, format!("`{}` needs {wanted}, got {got}", arg.name))
            .help(format!("write `{} = {example}`: {}", arg.name, arg.help))
    };
    let text = |text: String| Some(Given::Word(Word { pieces: vec![Piece::Text(text)], span }));
    let numeric = matches!(arg.kind, Kind::Int { .. } | Kind::Number { .. });
    match value {
        DeValue::Boolean(on) if arg.kind == Kind::Flag => Ok(on.then_some(Given::On)),
        // A text may hold `{expr}` that becomes a number; what it becomes is checked afterwards.
        DeValue::String(string) if arg.kind != Kind::Flag => {
            Ok(Some(Given::Word(interpolated(string, span)?)))
        }
        DeValue::Integer(int) if numeric => match i64::from_str_radix(int.as_str(), int.radix()) {
            Ok(number) => Ok(text(number.to_string())),
            Err(_) => Err(wrong("one that is too large")),
        },
        DeValue::Float(float) if numeric => Ok(text(float.as_str().to_owned())),
        other => Err(wrong(match other {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        })),
    }
}
