//! Help in words, made from what magics declare: `%name?`, `%lsmagic`, docs/magics.md.
//!
//! Nothing is written by hand here that a declaration could say.

use crate::magic::{Magic, registry};
use crate::spec::{Arg, BodyKind, Kind};
use crate::view;
use spinbot::Bundle;

/// The help of one magic, as Markdown and as plain text.
pub fn help(magic: &dyn Magic) -> Bundle {
    Bundle::text(plain(magic)).with("text/markdown", section(magic))
}

/// docs/magics.md, whole.
pub fn reference() -> String {
    let sections: Vec<String> = registry().iter().map(|magic| section(*magic)).collect();
    format!("{INTRODUCTION}\n{}", sections.join("\n"))
}

const INTRODUCTION: &str = "# Magics

<!-- Generated from the declarations in magics/src/magics. `SPINBOT_BLESS=1 cargo test --release -p spinbot-magics`
     writes it anew; a test fails when it is out of date. -->

A line that begins with `%name` is a magic; what follows are its arguments. `%%name` on the first line of a cell
makes the rest of the cell its body. Rust and magic lines may share a cell and run in order.

- `%name?` shows the help of a magic, `%lsmagic` lists them all.
- Arguments are cut like in a shell: `'..'` and `\"..\"` keep blanks together, a backslash takes the next character
  as it is. A backslash at the end of a line goes on in the next one.
- `{expr}` anywhere in an argument is what that Rust expression displays; `{{` and `}}` are the braces themselves.
- In a TOML body the arguments have the same names, with dashes or underscores; a repeated one takes a list.
- A line is a magic only where a Rust statement may begin: outside strings, comments and brackets, and with
  nothing, `;` or `}` before it. So `total\\n    %count` stays the remainder it is in Rust.
- Paths are relative to the notebook; `~/` is the home folder.
";

/// How one magic is typed: `%render --portrait IMAGE [--preset draft|standard|fine]`.
pub(crate) fn synopsis(magic: &dyn Magic) -> String {
    let below = match magic.body() {
        BodyKind::TextOnly(main) => Some(main),
        _ => None,
    };
    let args = magic.args().iter().filter(|arg| below != Some(arg.name));
    let args: String = args.map(|arg| format!(" {}", usage(arg))).collect();
    match below {
        Some(main) => format!("%%{}{args}\n{}", magic.name(), main.to_uppercase()),
        None => format!("%{}{args}", magic.name()),
    }
}

fn usage(arg: &Arg) -> String {
    let value = match arg.kind {
        Kind::Choice(choices) => choices.join("|"),
        _ => arg.placeholder.to_owned(),
    };
    let typed = match (arg.positional, arg.kind) {
        (true, _) => value,
        (false, Kind::Flag) => format!("--{}", arg.name),
        (false, _) => format!("--{} {value}", arg.name),
    };
    let typed = if arg.required { typed } else { format!("[{typed}]") };
    if arg.repeated { format!("{typed}...") } else { typed }
}

/// What the `%%` form takes, if there is one.
fn body(magic: &dyn Magic) -> Option<String> {
    let name = magic.name();
    match magic.body() {
        BodyKind::None => None,
        BodyKind::Toml => Some(format!("`%%{name}` takes the same arguments as TOML on the lines below it.")),
        BodyKind::Text(_) | BodyKind::TextOnly(_) => {
            Some(format!("`%%{name}` takes its text from the lines below it, as it stands."))
        }
        BodyKind::Rust(_) => Some(format!("`%%{name}` takes Rust on the lines below it.")),
    }
}

/// What an argument may be, beyond its name.
fn domain(arg: &Arg) -> String {
    let range = match arg.kind {
        Kind::Number { min, max } => format!("{min} to {max}"),
        Kind::Int { min, max: i64::MAX } => format!("{min} or more"),
        Kind::Int { min, max } => format!("{min} to {max}"),
        Kind::Choice(choices) => choices.join(", "),
        Kind::Name => "a variable's name".to_owned(),
        Kind::File => "a file".to_owned(),
        Kind::Text | Kind::Path | Kind::Voice | Kind::Model | Kind::Lora | Kind::Flag | Kind::Code => {
            String::new()
        }
    };
    let notes = [
        range,
        if arg.required { "required".to_owned() } else { String::new() },
        if arg.repeated { "may be repeated".to_owned() } else { String::new() },
        arg.default.map_or(String::new(), |value| format!("default {value}")),
    ];
    notes.into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join("; ")
}

/// The argument's name as typed, with its placeholder.
pub(crate) fn label(arg: &Arg) -> String {
    match (arg.positional, arg.kind) {
        (true, _) => arg.placeholder.to_owned(),
        (false, Kind::Flag) => format!("--{}", arg.name),
        (false, _) => format!("--{} {}", arg.name, arg.placeholder),
    }
}

/// An argument's help as one line.
pub(crate) fn about(arg: &Arg) -> String {
    match domain(arg) {
        domain if domain.is_empty() => arg.help.to_owned(),
        domain => format!("{} ({domain})", arg.help),
    }
}

fn section(magic: &dyn Magic) -> String {
    let mut out = format!("## %{}\n\n{}\n\n```\n{}\n```\n", magic.name(), magic.summary(), synopsis(magic));
    if let Some(body) = body(magic) {
        out.push_str(&format!("\n{body}\n"));
    }
    if !magic.details().is_empty() {
        out.push_str(&format!("\n{}\n", magic.details()));
    }
    if !magic.args().is_empty() {
        out.push_str("\n| argument | meaning |\n|---|---|\n");
        let row = |arg: &Arg| format!("| `{}` | {} |\n", label(arg), about(arg).replace('|', "\\|"));
        out.extend(magic.args().iter().map(row));
    }
    for example in magic.examples() {
        out.push_str(&format!("\n{}\n\n```\n{}\n```\n", example.about, example.cell));
    }
    out
}

fn plain(magic: &dyn Magic) -> String {
    let mut out = format!("{}\n\n{}\n", synopsis(magic), magic.summary());
    if let Some(body) = body(magic) {
        out.push_str(&format!("{body}\n"));
    }
    if !magic.details().is_empty() {
        out.push_str(&format!("\n{}\n", magic.details()));
    }
    if !magic.args().is_empty() {
        let width = magic.args().iter().map(|arg| label(arg).len()).max().unwrap_or(0);
        out.push('\n');
        out.extend(magic.args().iter().map(|arg| format!("  {:<width$}  {}\n", label(arg), about(arg))));
    }
    for example in magic.examples() {
        out.push_str(&format!("\n{}\n", example.about));
        out.extend(example.cell.lines().map(|line| format!("    {line}\n")));
    }
    out.trim_end().to_owned()
}

/// What `%lsmagic` shows.
pub(crate) fn list() -> Bundle {
    let rows: Vec<Vec<String>> = registry()
        .iter()
        .map(|magic| {
            let forms = match magic.body() {
                BodyKind::None => format!("%{}", magic.name()),
                BodyKind::TextOnly(_) => format!("%%{}", magic.name()),
                _ => format!("%{0}  %%{0}", magic.name()),
            };
            vec![forms, magic.summary().to_owned(), synopsis(*magic)]
        })
        .collect();
    view::table(&["magic", "what it does", "how it is typed"], &rows)
}
