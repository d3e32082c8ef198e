//! Addresses: web sites, e-mail, handles and paths.

use super::{Expansion, Look, Reading};

/// Endings of domains that make a word an address.
const DOMAINS: [&str; 28] = [
    "com", "org", "net", "edu", "gov", "io", "dev", "ai", "app", "co", "uk", "de", "fr", "eu", "us", "ca",
    "au", "info", "tv", "me", "rs", "ly", "xyz", "ch", "nl", "jp", "in", "int",
];

/// Endings of file names, which are read in the same way.
const FILES: [&str; 29] = [
    "rs", "py", "js", "ts", "md", "txt", "json", "yaml", "yml", "toml", "csv", "pdf", "png", "jpg", "jpeg",
    "gif", "svg", "mp3", "mp4", "wav", "flac", "html", "css", "ipynb", "sh", "exe", "zip", "docx", "xlsx",
];

/// Whether a word is a web or e-mail address, or the name of a file.
pub(crate) fn is_address(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    if ["http://", "https://", "ftp://"].iter().any(|p| lower.starts_with(p) && lower.len() > p.len()) {
        return true;
    }
    if lower.starts_with("www.") && lower.len() > 4 {
        return true;
    }
    let host = match lower.split_once('@') {
        Some((user, host)) => {
            if user.is_empty() || !user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b)) {
                return false;
            }
            host
        }
        None => lower.split(['/', '?', '#']).next().unwrap_or(""),
    };
    let Some((name, domain)) = host.rsplit_once('.') else { return false };
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
    let letters = name.bytes().any(|b| b.is_ascii_alphabetic());
    // "e.g.in" and the like are no hosts: a name of two letters at least.
    plain
        && letters
        && name.len() > 1
        && (DOMAINS.contains(&domain) || FILES.contains(&domain))
        && !name.split('.').any(str::is_empty)
        && (lower.contains('@') || !word.starts_with(|c: char| c.is_uppercase()) || name.len() > 3)
}

/// Reads an address part by part.
pub(super) fn expand(look: &Look, word: &str) -> Expansion {
    let range = look.range(0);
    let lower = word.to_ascii_lowercase();
    let skip = lower.find("://").map_or(0, |i| i + 3);
    let mut parts = Vec::new();
    let mut start = skip;
    let bytes = word.as_bytes();
    while start < bytes.len() {
        let kind = |b: u8| (b.is_ascii_alphabetic() || b >= 128, b.is_ascii_digit());
        let mut end = start + 1;
        if kind(bytes[start]) != (false, false) {
            // Pieces stay short, so that no single one is longer than Kokoro takes.
            while end < bytes.len() && kind(bytes[end]) == kind(bytes[start]) && end - start < 32 {
                end += 1;
            }
        }
        while !word.is_char_boundary(end) {
            end += 1;
        }
        let piece = &word[start..end];
        let said = match piece {
            "." => Reading::words("dot"),
            "/" if end == word.len() => Vec::new(),
            "/" => Reading::words("slash"),
            "@" => Reading::words("at"),
            "-" => Reading::words("dash"),
            "_" => Reading::words("underscore"),
            ":" => Reading::words("colon"),
            "?" => Reading::words("question mark"),
            "=" => Reading::words("equals"),
            "&" => Reading::words("and"),
            "#" => Reading::words("hash"),
            "+" => Reading::words("plus"),
            "~" => Reading::words("tilde"),
            "%" => Reading::words("percent"),
            _ if bytes[start].is_ascii_digit() => Reading::all(crate::numbers::code(piece)),
            _ => name(piece),
        };
        // The scheme is not said, but belongs to what is.
        let from = if start == skip { 0 } else { start };
        parts.push((range.start + from..range.start + end, said));
        start = end;
    }
    Expansion { items: 1, parts }
}

/// A name of an address or a tag: letters one by one where it has no vowel, words where its capitals part it.
pub(super) fn name(text: &str) -> Vec<Reading> {
    if text.eq_ignore_ascii_case("www")
        || text.len() < 5 && !text.contains(['a', 'e', 'i', 'o', 'u', 'y', 'A', 'E', 'I', 'O', 'U', 'Y'])
    {
        return vec![Reading::Letters(text.chars().filter(char::is_ascii_alphabetic).collect())];
    }
    let mut words: Vec<String> = Vec::new();
    let mut small = false;
    for c in text.chars() {
        if !c.is_alphanumeric() {
            small = false;
            words.push(String::new());
            continue;
        }
        if words.is_empty() || c.is_uppercase() && small {
            words.push(String::new());
        }
        small = c.is_lowercase();
        if let Some(last) = words.last_mut() {
            last.extend(c.to_lowercase());
        }
    }
    let digits = |w: &String| w.bytes().all(|b| b.is_ascii_digit());
    words
        .into_iter()
        .filter(|w| !w.is_empty())
        .flat_map(
            |w| if digits(&w) { Reading::all(crate::numbers::code(&w)) } else { vec![Reading::Word(w)] },
        )
        .collect()
}
