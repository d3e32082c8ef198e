//! SHA-256 of weights: what pins a download and what a step's content key holds.

use crate::error::{ModelError, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// SHA-256 of some bytes, as 64 lower-case hex digits.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file, read in pieces, as 64 lower-case hex digits.
pub(crate) fn of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(ModelError::io("opening", path))?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(ModelError::io("reading", path))? {
            0 => return Ok(hex(&digest.finalize())),
            n => digest.update(&piece[..n]),
        }
    }
}

/// Whether `got` is the pinned hash of `what`.
pub(crate) fn check(what: impl Into<String>, expected: &str, got: String) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(ModelError::Hash { what: what.into(), expected: expected.to_owned(), got })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_and_its_bytes_hash_to_the_published_value() {
        // FIPS 180-2's example.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        assert_eq!(of_bytes(b"abc"), abc);
        assert_eq!(of_file(file.path()).unwrap(), abc);
        assert!(check("abc", abc, of_bytes(b"abd")).unwrap_err().to_string().contains("expected ba7816bf"));
    }
}
