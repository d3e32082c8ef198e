//! From the text of an argument to its kind, with the sentence for each way it can be wrong.

use crate::call::Value;
use crate::error::{MagicError, Span};
use crate::spec::{Arg, Kind};
use spinbot::suggest::nearest;
use std::path::{Path, PathBuf};

/// Words that cannot name a variable.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "Self",
    "static", "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// The value of `arg` that `text` stands for.
///
/// # Errors
/// It is of another kind, out of range, or names no file, pointing at `span`.
pub(crate) fn value(arg: &Arg, text: &str, span: Span, cwd: &Path) -> Result<Value, MagicError> {
    let name = if arg.positional { arg.placeholder.to_owned() } else { format!("--{}", arg.name) };
    let wrong = |message: String| MagicError::at(span, message);
    let wrong_number = |message: String| {
        let written = if arg.positional { name.clone() } else { format!("{name} {}", arg.placeholder) };
        wrong(message).help(format!("write `{written}`: {}", arg.help))
    };
    match arg.kind {
        Kind::Text | Kind::Voice | Kind::Model | Kind::Lora | Kind::Code => Ok(Value::Text(text.to_owned())),
        Kind::Flag => match text {
            "true" => Ok(Value::Flag),
            _ => Err(wrong(format!("{name} takes no value")).help("write it alone")),
        },
        Kind::File => file(text, span, cwd),
        Kind::Path if text.is_empty() => Err(wrong(format!("{name} needs a path")).help(arg.help)),
        Kind::Path => Ok(Value::Path(resolved(text, cwd))),
        Kind::Name if is_variable_name(text) => Ok(Value::Text(text.to_owned())),
        Kind::Name => Err(wrong(format!("`{text}` cannot name a Rust variable"))
            .help("use letters, digits and `_`, not a digit first, and no Rust keyword")),
        Kind::Number { min, max } => match text.parse::<f64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
            Ok(number) => Err(wrong_number(format!("{name}: got {number}, need {min}..={max}"))),
            Err(_) => Err(wrong_number(format!("{name} needs a number, got `{text}`"))),
        },
        // Digits that do not fit 64 bits are a number all the same: out of range, not of the wrong kind.
        Kind::Int { min, max } => match (text.parse::<i64>(), text.parse::<i128>()) {
            (Ok(number), _) if (min..=max).contains(&number) => Ok(Value::Int(number)),
            (Err(_), Err(_)) => Err(wrong_number(format!("{name} needs a whole number, got `{text}`"))),
            (Ok(_), _) if max == i64::MAX => {
                Err(wrong_number(format!("{name}: got {text}, need {min} or more")))
            }
            _ => Err(wrong_number(format!("{name}: got {text}, need {min}..={max}"))),
        },
        Kind::Choice(choices) if choices.contains(&text) => Ok(Value::Text(text.to_owned())),
        Kind::Choice(choices) => {
            let error = wrong(format!("{name} has no `{text}`"));
            Err(match nearest(text, choices.iter().copied()) {
                Some(near) => error.help(format!("did you mean `{near}`? It knows {}", choices.join(", "))),
                None => error.help(format!("use one of {}", choices.join(", "))),
            })
        }
    }
}

fn file(text: &str, span: Span, cwd: &Path) -> Result<Value, MagicError> {
    let path = resolved(text, cwd);
    match std::fs::metadata(&path) {
        Ok(meta) if meta.is_file() => Ok(Value::Path(path)),
        Ok(_) => Err(MagicError::at(span, format!("{text} is not a file")).help("name one file in it")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let error = MagicError::at(span, format!("there is no file {text}"));
            Err(match neighbour(&path) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("paths are relative to {}", cwd.display())),
            })
        }
        Err(e) => Err(MagicError::at(span, format!("{text} cannot be read: {e}"))
            .help("check its name and who may read it")),
    }
}

/// The path meant: `~/` is the home folder, what is relative is so to `cwd`.
pub(crate) fn resolved(text: &str, cwd: &Path) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => cwd.join(text),
    }
}

/// Relative to this process's folder where it lies in it: the engine names files in its errors as they are given,
/// and reads relative ones from that folder.
pub(crate) fn as_short_as_possible(path: &Path) -> PathBuf {
    let folder = std::env::current_dir().ok();
    folder
        .and_then(|folder| path.strip_prefix(folder).ok().map(Path::to_owned))
        .unwrap_or_else(|| path.to_owned())
}

/// A file of nearly that name in the same folder.
fn neighbour(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    // Folders can be huge; a suggestion is not worth reading all of one.
    let entries = std::fs::read_dir(path.parent()?).ok()?.take(2000).flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

/// Whether `name` can name a Rust variable.
pub(crate) fn is_variable_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
        && name != "_"
        && !KEYWORDS.contains(&name)
}
