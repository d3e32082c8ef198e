//! Completion and inspection inside magics: names, flags, choices, files, TOML keys.
//!
//! Outside magics both answer nothing, and the evaluator is asked instead. Offsets are bytes; Jupyter's code
//! points are the kernel's to convert.

use crate::cell::{RawMagic, Segment, split};
use crate::error::Span;
use crate::magic::{Magic, find, registry};
use crate::reference::{about, help, label};
use crate::spec::{Arg, BodyKind, Kind};
use spinbot::Bundle;
use spinbot::Loras;
use spinbot::models::AddedModels;
use spinbot::voices::{Profiles, STOCK};
use std::path::Path;

/// What could stand in place of the characters `replaces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completions {
    /// The candidates, sorted.
    pub matches: Vec<String>,
    /// What each of them would replace.
    pub replaces: Span,
}

/// More entries of a folder than this are no help.
const MOST_FILES: usize = 200;

/// What can follow at byte `cursor` of a cell; `None` when the cursor is in no magic.
pub fn complete(code: &str, cursor: usize, cwd: &Path) -> Option<Completions> {
    let before = code.get(..cursor)?;
    let raw = magic_at(code, cursor)?;
    if cursor <= raw.name_span.end {
        let typed = code.get(raw.name_span.start..cursor)?;
        let sigils = typed.len() - typed.trim_start_matches(['%', '?']).len();
        let (sigil, name) = typed.split_at(sigils);
        let able = |magic: &&dyn Magic| match (sigil, magic.body()) {
            ("%%", body) => body != BodyKind::None,
            ("%", body) => !matches!(body, BodyKind::TextOnly(_)),
            _ => true,
        };
        let names = registry().iter().copied().filter(able).map(|magic| format!("{sigil}{}", magic.name()));
        let wanted = format!("{sigil}{name}");
        return Some(matching(names, &wanted, Span::new(raw.name_span.start, raw.name_span.end.max(cursor))));
    }
    let magic = find(&raw.name)?;
    if cursor <= raw.args_span.end {
        // In the line form of a Rust magic the rest of the line is Rust.
        return match magic.body() {
            BodyKind::Rust(_) => None,
            _ => Some(in_line(magic, before, raw.args_span.start, cwd)),
        };
    }
    let (_, body) = raw.body.as_ref()?;
    match magic.body() {
        BodyKind::Toml => Some(in_toml(magic, before, body.start, cwd)),
        _ => None,
    }
}

/// Help for what stands at byte `cursor`: an argument, else the magic; `None` when the cursor is in no magic.
pub fn inspect(code: &str, cursor: usize) -> Option<Bundle> {
    let raw = magic_at(code, cursor)?;
    let magic = find(&raw.name)?;
    let in_rust = matches!(magic.body(), BodyKind::Rust(_)) && cursor > raw.name_span.end;
    if in_rust {
        return None;
    }
    let part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let start = code.get(..cursor)?.rfind(|c| !part(c)).map_or(0, |i| i + 1);
    // The character before may be wider than a byte.
    let start = (start..=cursor).find(|i| code.is_char_boundary(*i))?;
    let end = code.get(cursor..)?.find(|c| !part(c)).map_or(code.len(), |i| cursor + i);
    let word = code.get(start..end)?;
    let name = word.trim_start_matches('-').replace('_', "-");
    let flag = word.starts_with("--") || raw.body.as_ref().is_some_and(|(_, body)| start >= body.start);
    match magic.args().iter().find(|arg| flag && arg.name == name) {
        Some(arg) => Some(Bundle::text(format!("{}\n{}", label(arg), about(arg)))),
        None => Some(help(magic)),
    }
}

/// The magic whose text the cursor is in, its name being typed too: a lone `%` has no letter yet.
fn magic_at(code: &str, cursor: usize) -> Option<RawMagic> {
    let (before, after) = (code.get(..cursor)?, code.get(cursor..)?);
    let within = |code: &str| {
        split(code).into_iter().find_map(|segment| match segment {
            Segment::Line { magic } | Segment::Cell { magic } => {
                (magic.name_span.start < cursor && cursor <= magic.span.end).then_some(magic)
            }
            Segment::Rust { .. } => None,
        })
    };
    if let Some(magic) = within(code) {
        return Some(magic);
    }
    let nameless = before.ends_with('%') && !after.starts_with(|c: char| c.is_alphanumeric());
    let mut magic = nameless.then(|| within(&format!("{before}x{after}"))).flatten()?;
    magic.name.clear();
    magic.name_span.end = cursor;
    Some(magic)
}

/// Those that begin with what is typed.
fn matching(candidates: impl IntoIterator<Item = String>, typed: &str, replaces: Span) -> Completions {
    let mut matches: Vec<String> = candidates.into_iter().filter(|c| c.starts_with(typed)).collect();
    matches.sort();
    Completions { matches, replaces }
}

fn in_line(magic: &dyn Magic, before: &str, args_start: usize, cwd: &Path) -> Completions {
    let typed = before.get(args_start..).unwrap_or("");
    let word_start = args_start + last_word(typed);
    let word = before.get(word_start..).unwrap_or("");
    let earlier: Vec<&str> = before.get(args_start..word_start).unwrap_or("").split_whitespace().collect();
    let flags = || magic.args().iter().filter(|arg| !arg.positional && arg.kind != Kind::Code);
    let named =
        |flag: &str| flags().find(|arg| flag.strip_prefix("--") == Some(arg.name) && arg.kind != Kind::Flag);

    if let Some((flag, value)) = word.split_once('=')
        && let Some(arg) = named(flag)
    {
        return values(arg, value, before.len(), cwd);
    }
    if let Some(arg) = earlier.last().and_then(|flag| named(flag)) {
        return values(arg, word, before.len(), cwd);
    }
    let place = magic.args().iter().find(|arg| arg.positional);
    if let Some(arg) = place.filter(|_| !word.starts_with('-')) {
        let found = values(arg, word, before.len(), cwd);
        if !found.matches.is_empty() {
            return found;
        }
    }
    let new = flags().filter(|arg| arg.repeated || !earlier.contains(&format!("--{}", arg.name).as_str()));
    matching(new.map(|arg| format!("--{}", arg.name)), word, Span::new(word_start, before.len()))
}

/// Where the last word of `text` begins, blanks in quotes or behind a backslash being part of it.
fn last_word(text: &str) -> usize {
    let (mut start, mut quote, mut escaped) = (0, None, false);
    for (at, c) in text.char_indices() {
        match (escaped, quote, c) {
            (true, _, _) => escaped = false,
            (_, _, '\\') => escaped = true,
            (_, None, '"' | '\'') => quote = Some(c),
            (_, Some(open), c) if open == c => quote = None,
            (_, None, c) if c.is_whitespace() => start = at + c.len_utf8(),
            _ => {}
        }
    }
    start
}

/// Values of an argument that begin with `typed`, which ends at byte `end` of the cell.
fn values(arg: &Arg, typed: &str, end: usize, cwd: &Path) -> Completions {
    let quote = typed.chars().next().filter(|c| matches!(c, '"' | '\''));
    let text = typed.get(quote.map_or(0, char::len_utf8)..).unwrap_or("");
    let whole = Span::new(end - text.len(), end);
    match arg.kind {
        Kind::Choice(choices) => matching(choices.iter().map(|c| (*c).to_owned()), text, whole),
        Kind::Voice => {
            // The part of a mixture that is being typed.
            let part = text.rfind('+').map_or(text, |at| text.get(at + 1..).unwrap_or(""));
            let profiles = Profiles::standard();
            let own = profiles.names().unwrap_or_default();
            let presets = profiles.models().voices().unwrap_or_default();
            let own = own.into_iter().chain(presets.into_iter().map(|voice| voice.name));
            let known = own.chain(STOCK.iter().map(|voice| voice.id.to_owned()));
            matching(known, part, Span::new(end - part.len(), end))
        }
        Kind::Model => {
            let models = AddedModels::standard().list().unwrap_or_default();
            matching(models.into_iter().map(|model| model.id), text, whole)
        }
        Kind::Lora => matching(Loras::standard().names().unwrap_or_default(), text, whole),
        Kind::File | Kind::Path => {
            let escape = |name: &str| match quote {
                Some(_) => name.to_owned(),
                None => name.replace(' ', "\\ "),
            };
            let folder = text.rfind('/').map_or(0, |i| i + 1);
            let (folder, name) = text.split_at(folder);
            let place = crate::convert::resolved(&folder.replace("\\ ", " "), cwd);
            let entries: Vec<_> =
                std::fs::read_dir(place).map(|dir| dir.flatten().take(2000).collect()).unwrap_or_default();
            let names = entries.iter().filter_map(|entry| {
                let found = entry.file_name().into_string().ok()?;
                // `metadata` follows links: a link to a folder is a folder to complete into.
                let slash = if std::fs::metadata(entry.path()).is_ok_and(|m| m.is_dir()) { "/" } else { "" };
                (name.starts_with('.') || !found.starts_with('.')).then(|| escape(&found) + slash)
            });
            let mut found = matching(names, name, Span::new(end - name.len(), end));
            found.matches.truncate(MOST_FILES);
            found
        }
        _ => Completions { matches: Vec::new(), replaces: Span::new(end, end) },
    }
}

fn in_toml(magic: &dyn Magic, before: &str, body_start: usize, cwd: &Path) -> Completions {
    let line_start = before.rfind('\n').map_or(body_start, |i| (i + 1).max(body_start));
    let line = before.get(line_start..).unwrap_or("");
    let end = before.len();
    let arg = |key: &str| magic.args().iter().find(|arg| arg.name == key.trim().replace('_', "-"));
    match line.split_once('=') {
        None => {
            let typed = line.trim_start();
            let given: Vec<&str> = before.get(body_start..).unwrap_or("").lines().collect();
            let given = |name: &str| {
                given.iter().any(|l| l.split_once('=').is_some_and(|(key, _)| key.trim() == name))
            };
            let new = magic.args().iter().filter(|arg| !given(arg.name)).map(|arg| arg.name.to_owned());
            matching(new, typed, Span::new(end - typed.len(), end))
        }
        Some((key, value)) => match arg(key) {
            Some(arg) => {
                let typed = value.trim_start();
                if typed.starts_with(['"', '\'']) {
                    return values(arg, typed, end, cwd);
                }
                // A value not begun yet gets its quotes.
                let found = values(arg, &format!("\"{typed}"), end, cwd);
                let matches = found.matches.iter().map(|m| format!("\"{m}\"")).collect();
                Completions { matches, ..found }
            }
            None => Completions { matches: Vec::new(), replaces: Span::new(end, end) },
        },
    }
}
