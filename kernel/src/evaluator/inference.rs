//! Types of the variables a cell defines, asked of rustc.
//!
//! evcxr must name a variable's type to keep it and asks rust-analyzer, which here runs without std's sources (see
//! `workspace::empty_std`) and so cannot type `vec![1]`. rustc can: a call that fails to compile names the type in
//! its message. It costs one `cargo check` and only cells that need it.

use super::rewrite::{Parsed, Rewritten};
use evcxr::{CommandContext, CompilationError};

/// What `spinbot::cell::Typed` puts before the type in the compiler's message.
const MARK: &str = "spinbot:type:";

/// The cell as it is to be evaluated: its last expression shown, its variables typed where rustc could tell.
pub(super) fn annotate(context: &mut CommandContext, parsed: &Parsed<'_>) -> Rewritten {
    if parsed.untyped.is_empty() {
        return parsed.shown();
    }
    let (probe, first) = parsed.probe();
    let Ok(errors) = context.check(&probe) else { return parsed.shown() };
    let mut types: Vec<Option<String>> = vec![None; parsed.untyped.len()];
    for error in &errors {
        let message = error.message();
        let Some(name) = message.strip_prefix(MARK) else { continue };
        let line = error.primary_spanned_message().and_then(|m| m.span).map(|s| s.start_line);
        if let Some(slot) = line.and_then(|l| l.checked_sub(first)).and_then(|i| types.get_mut(i)) {
            *slot = nameable(name);
        }
    }
    if types.iter().all(Option::is_none) {
        return parsed.shown();
    }
    let rewritten = parsed.typed(&types);
    // rustc shortens `std::collections::HashMap` to `HashMap`: where that is not in scope, it also says what to
    // import, and the type is written with that path.
    if types.iter().flatten().all(|t| in_prelude(t)) {
        return rewritten;
    }
    let Ok(errors) = context.check(&rewritten.code) else { return rewritten };
    let missing: Vec<(String, Option<String>)> = errors.iter().filter_map(missing_import).collect();
    if missing.is_empty() {
        return rewritten;
    }
    // Where rustc knows no path either, evcxr's own message asks for an explicit type.
    let written = |of: String| {
        missing.iter().try_fold(of, |of, (name, path)| match path {
            Some(path) => Some(qualify(&of, name, path)),
            None => {
                let used = words(&of).any(|w| w == name);
                (!used).then_some(of)
            }
        })
    };
    let types: Vec<Option<String>> = types.into_iter().map(|of| of.and_then(written)).collect();
    parsed.typed(&types)
}

/// A type that can be written in code, or `None`.
fn nameable(name: &str) -> Option<String> {
    let name = name.replace("{integer}", "i32").replace("{float}", "f64");
    let hidden = name.contains(['{', '@']) || name.contains("impl ") || name.contains("...");
    let unknown = words(&name).any(|w| w == "_");
    (!hidden && !unknown).then(|| with_static_references(&name))
}

/// `&str` to `&'static str`: a kept variable cannot borrow from anything else.
fn with_static_references(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        text.push(c);
        if c == '&' && chars.peek() != Some(&'\'') {
            text.push_str("'static ");
        }
    }
    text
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty())
}

/// Whether every name in the type is one that is always in scope.
fn in_prelude(of: &str) -> bool {
    const NAMES: &[&str] =
        &["Vec", "String", "Option", "Result", "Box", "str", "static", "bool", "char", "mut", "dyn"];
    let number = |w: &str| {
        w.strip_prefix(['i', 'u', 'f']).is_some_and(|bits| bits == "size" || bits.parse::<u16>().is_ok())
    };
    words(of).all(|w| NAMES.contains(&w) || number(w) || w.parse::<u64>().is_ok())
}

/// From "cannot find type `HashMap` in this scope" the name, and the path if "use std::collections::HashMap;" is
/// among its help.
fn missing_import(error: &CompilationError) -> Option<(String, Option<String>)> {
    let message = error.message();
    let name = message.strip_prefix("cannot find type `")?.split('`').next()?.to_owned();
    let help = error.help().join("\n") + &error.rendered();
    let path = help
        .split("use ")
        .skip(1)
        .filter_map(|rest| rest.split(';').next())
        .find(|path| path.ends_with(&format!("::{name}")) && !path.contains(char::is_whitespace))
        .map(str::to_owned);
    Some((name, path))
}

fn qualify(of: &str, name: &str, path: &str) -> String {
    let (mut text, mut rest) = (String::new(), of);
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let alone = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        text.push_str(before);
        text.push_str(if alone { path } else { name });
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_as_rustc_prints_them_become_types_as_code_writes_them() {
        for (printed, written) in [
            ("Vec<{integer}>", Some("Vec<i32>")),
            ("&str", Some("&'static str")),
            ("Vec<&[f32]>", Some("Vec<&'static [f32]>")),
            ("{closure@src/lib.rs:1:2: 3:4}", None),
            ("impl Iterator<Item = u8>", None),
            ("Vec<_>", None),
        ] {
            assert_eq!(nameable(printed).as_deref(), written, "{printed}");
        }
        assert_eq!(
            qualify("HashMap<HashMapper, HashMap<u8>>", "HashMap", "s::HashMap"),
            "s::HashMap<HashMapper, s::HashMap<u8>>"
        );
        assert!(in_prelude("Vec<Option<(u8, &'static str)>>") && !in_prelude("HashMap<u8, u8>"));
    }
}
