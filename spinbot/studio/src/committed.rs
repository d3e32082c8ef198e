//! Parts of long work that are done, kept in a step's folder: whole or not at all, and checked when they are read again.
//! What is in them is the step's business.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Bytes of the hash before a part.
const HASH: usize = 32;

/// A step's folder of finished parts; without one, nothing is kept and nothing found.
pub(crate) struct Committed(Option<PathBuf>);

impl Committed {
    /// Of [`crate::step::Report::kept`].
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Committed(folder)
    }

    /// Whether anything is kept.
    pub(crate) fn keeps(&self) -> bool {
        self.0.is_some()
    }

    /// The part of that name, if it was kept and nothing has happened to it since.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = std::fs::read(self.0.as_ref()?.join(name)).ok()?;
        if bytes.len() < HASH {
            return None;
        }
        let part = bytes.split_off(HASH);
        (Sha256::digest(&part)[..] == bytes[..]).then_some(part)
    }

    /// Keeps a part. That it cannot be kept costs the time to make it again, not the step: what went wrong is given back to be
    /// told.
    pub(crate) fn keep(&self, name: &str, part: &[u8]) -> Result<(), std::io::Error> {
        let Some(folder) = &self.0 else { return Ok(()) };
        let bytes = [&Sha256::digest(part)[..], part].concat();
        write_whole(folder, name, &bytes)
    }
}

fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), std::io::Error> {
    std::fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!("{name}.part"));
    let written = std::fs::File::create(&unfinished).and_then(|mut file| {
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()
    });
    let kept = written.and_then(|()| std::fs::rename(&unfinished, folder.join(name)));
    if kept.is_err() {
        // It may not even have come to be.
        let _ = std::fs::remove_file(&unfinished);
    }
    kept
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_part_is_found_again_unless_a_bit_of_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Committed::new(Some(folder.path().join("kept")));
        assert_eq!(parts.read("one"), None);
        parts.keep("one", b"frames").unwrap();
        assert_eq!(parts.read("one").unwrap(), b"frames");
        let path = folder.path().join("kept/one");
        let mut bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(parts.read("one"), None, "byte {at}");
            bytes[at] ^= 1;
        }
        std::fs::write(&path, &bytes[..20]).unwrap();
        assert_eq!(parts.read("one"), None);
        assert!(!folder.path().join("kept/one.part").exists());
        let nowhere = Committed::new(None);
        nowhere.keep("one", b"frames").unwrap();
        assert!(nowhere.read("one").is_none() && !nowhere.keeps());
    }
}
