//! From a path as typed to files: the file itself, the fitting ones in a folder, or those a pattern matches.
//!
//! What is in the files is looked at by the steps that read them.

use crate::{Fault, Result};
use std::path::{Path, PathBuf};

/// Entries of a folder that are looked at.
const MOST_ENTRIES: usize = 10_000;

/// Which files of a folder are meant, and how they are called in what is told of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sought {
    /// What one of them is: `recording`.
    pub(crate) noun: &'static str,
    /// Extensions they have, in small letters.
    pub(crate) extensions: &'static [&'static str],
    /// The argument at fault when there are none.
    pub(crate) argument: &'static str,
}

impl Sought {
    /// The files a path stands for, sorted.
    ///
    /// # Errors
    /// When there are none, or the folder cannot be read.
    pub(crate) fn in_path(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let told =
            |message: String| Fault::new(format!("{}: {message}", path.display())).about(self.argument);
        if path.is_dir() {
            let found = entries(path, |name| self.fits(name)).map_err(|e| told(e.to_string()))?;
            let files: Vec<PathBuf> = found.into_iter().filter(|path| path.is_file()).collect();
            if files.is_empty() {
                return Err(told(format!("there is no {} in this folder", self.noun)).help(format!(
                    "{}s end in {}",
                    self.noun,
                    self.extensions.join(", ")
                )));
            }
            return Ok(files);
        }
        let is_pattern = |part: &str| part.contains(['*', '?']);
        if path.exists() || !path.to_str().is_some_and(is_pattern) {
            // The engine says what is wrong with a file that is not there.
            return Ok(vec![path.to_owned()]);
        }
        let mut found = vec![PathBuf::new()];
        for part in path.components() {
            let part = part.as_os_str();
            let Some(pattern) = part.to_str().filter(|part| is_pattern(part)) else {
                found.iter_mut().for_each(|path| path.push(part));
                continue;
            };
            let mut next = Vec::new();
            for folder in found {
                let read = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
                // What is not a folder, or not ours to read, matches nothing.
                let found = entries(read, |name| matches(pattern, name)).unwrap_or_default();
                // As a person would write them: `a.wav`, not `./a.wav`.
                next.extend(found.iter().filter_map(|path| path.file_name()).map(|name| folder.join(name)));
                if next.len() > MOST_ENTRIES {
                    return Err(told("this matches too much".into()).help("name a folder"));
                }
            }
            found = next;
        }
        found.retain(|path| path.is_file());
        match found.is_empty() {
            true => {
                Err(told("this matches no file".into()).help("`*` and `?` stand for characters of a name"))
            }
            false => Ok(found),
        }
    }

    fn fits(&self, name: &str) -> bool {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        extension.is_some_and(|extension| self.extensions.contains(&extension.as_str()))
    }
}

/// The entries of a folder with such names, sorted; hidden ones are never among them.
fn entries(folder: &Path, wanted: impl Fn(&str) -> bool) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)?.take(MOST_ENTRIES) {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| !name.starts_with('.') && wanted(name)) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a shell pattern of `*` and `?` matches the whole name, in time of the product of their lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // `reached[i]`: the pattern so far matches the first `i` characters.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for p in pattern {
        let mut next = vec![false; name.len() + 1];
        for i in 0..=name.len() {
            next[i] = match p {
                '*' => reached[i] || (i > 0 && next[i - 1]),
                _ => i > 0 && reached[i - 1] && (p == '?' || p == name[i - 1]),
            };
        }
        reached = next;
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_like_a_shells() {
        for (pattern, name, expected) in [
            ("*.wav", "me.wav", true),
            ("*.wav", "me.wave", false),
            ("?e*", "me", true),
            ("?", "", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("é?", "éa", true),
            (&"*a".repeat(40), &"a".repeat(39), false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }
}
