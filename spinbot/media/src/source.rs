//! Bytes from a user before anything is decoded: how many there are, and what they are by their content.
//! No format is parsed here beyond its first bytes; names and extensions are never trusted.

use crate::{MediaError, Result};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Reads a whole file of at most `max_bytes`.
///
/// # Errors
/// If it is missing, unreadable, empty, not a regular file, or larger than allowed.
pub(crate) fn load(path: &Path, label: &str, max_bytes: u64) -> Result<Vec<u8>> {
    let unreadable = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => MediaError::Missing { label: label.to_owned() },
        _ => MediaError::Unreadable { label: label.to_owned(), source },
    };
    // A FIFO or a device would block or never end: only regular files have a length to check, and opening a
    // FIFO already blocks, so the check comes first.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(std::io::Error::other("it is not a regular file")));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    check_size(label, length, max_bytes)?;
    let mut bytes = Vec::with_capacity(length as usize);
    // The file may grow while it is read.
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    check_size(label, bytes.len() as u64, max_bytes)?;
    Ok(bytes)
}

/// Refuses nothing at all, and more than `max_bytes`.
pub(crate) fn check_size(label: &str, length: u64, max_bytes: u64) -> Result<()> {
    if length == 0 {
        return Err(MediaError::Empty { label: label.to_owned() });
    }
    if length > max_bytes {
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        return Err(MediaError::TooMuch {
            label: label.to_owned(),
            what: "the file",
            got: megabytes(length),
            limit: megabytes(max_bytes),
        });
    }
    Ok(())
}

/// What bytes are, by their first few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Png,
    Jpeg,
    WebP,
    Sound(&'static str),
    Mp4,
    Heic,
    OtherPicture(&'static str),
    Other(&'static str),
}

impl Content {
    /// Looks at the first bytes.
    pub(crate) fn of(bytes: &[u8]) -> Content {
        use Content::*;
        let starts: [(&[u8], Content); 21] = [
            (b"\x89PNG\r\n\x1a\n", Png),
            (b"\xff\xd8\xff", Jpeg),
            (b"fLaC", Sound("FLAC sound")),
            (b"OggS", Sound("Ogg sound")),
            (b"ID3", Sound("MP3 sound")),
            (b"caff", Other("Core Audio sound")),
            (b"\x1a\x45\xdf\xa3", Other("a Matroska or WebM video")),
            (b"GIF8", OtherPicture("a GIF picture")),
            (b"BM", OtherPicture("a BMP picture")),
            (b"II*\0", OtherPicture("a TIFF or raw picture")),
            (b"MM\0*", OtherPicture("a TIFF or raw picture")),
            (b"%PDF", Other("a PDF document")),
            (b"PK\x03\x04", Other("a ZIP archive")),
            (b"\x1f\x8b", Other("a gzip archive")),
            (b"\x7fELF", Other("a program")),
            (b"GGUF", Other("model weights")),
            (b"version https://git-lfs", Other("a Git LFS pointer instead of the file itself")),
            (b"<!DOCTYPE html", Other("a web page")),
            (b"<!doctype html", Other("a web page")),
            (b"<html", Other("a web page")),
            (b"<svg", OtherPicture("an SVG drawing")),
        ];
        if let Some((_, content)) = starts.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return *content;
        }
        match (bytes.get(..4), bytes.get(4..8), bytes.get(8..12)) {
            (Some(b"RIFF"), _, Some(b"WAVE")) => return Sound("WAV sound"),
            (Some(b"RF64"), _, Some(b"WAVE")) => return Other("RF64 sound"),
            (Some(b"RIFF"), _, Some(b"WEBP")) => return WebP,
            (Some(b"RIFF"), _, Some(b"AVI ")) => return Other("an AVI video"),
            (Some(b"FORM"), _, Some(b"AIFF" | b"AIFC")) => return Sound("AIFF sound"),
            (_, Some(b"ftyp"), Some(b"heic" | b"heix" | b"mif1" | b"heif" | b"msf1")) => return Heic,
            (_, Some(b"ftyp"), Some(b"avif" | b"avis")) => return OtherPicture("an AVIF picture"),
            (_, Some(b"ftyp" | b"moov" | b"mdat"), _) => return Mp4,
            _ => {}
        }
        // An MPEG audio frame without an ID3 tag: 11 sync bits, a known version and layer, no reserved rate.
        if let [0xff, b1, b2, ..] = *bytes
            && b1 & 0xe0 == 0xe0
            && b1 & 0x18 != 0x08
            && b1 & 0x06 != 0
            && b2 & 0xf0 != 0xf0
            && b2 & 0x0c != 0x0c
        {
            return Sound("MP3 sound");
        }
        if is_text(&bytes[..bytes.len().min(512)]) {
            Other("text")
        } else {
            Other("bytes of no kind known here")
        }
    }

    /// As an object of "holds ...".
    pub(crate) fn name(self) -> &'static str {
        match self {
            Content::Png => "a PNG picture",
            Content::Jpeg => "a JPEG picture",
            Content::WebP => "a WebP picture",
            Content::Mp4 => "an MP4 file",
            Content::Heic => "a HEIC picture",
            Content::Sound(name) | Content::OtherPicture(name) | Content::Other(name) => name,
        }
    }
}

/// Whether the start of a file reads as text: UTF-8 up to a possibly cut last character, and no control bytes.
fn is_text(start: &[u8]) -> bool {
    let valid = match std::str::from_utf8(start) {
        Ok(_) => start.len(),
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return false,
    };
    valid > 0 && start[..valid].iter().all(|b| *b >= 0x20 || matches!(b, b'\n' | b'\r' | b'\t' | 0x0c))
}

/// The error for bytes of the wrong kind, with the way out that fits what they are.
pub(crate) fn wrong_kind(label: &str, content: Content, expected: &'static str) -> MediaError {
    let picture = expected == "a picture";
    let help = match content {
        Content::Heic => {
            "convert it to JPEG; iPhones write JPEG with Settings > Camera > Formats > Most Compatible"
        }
        Content::Other("a Git LFS pointer instead of the file itself") => "run `git lfs pull` in that folder",
        Content::Other("a web page") => "the download saved a page, not the file: download the file itself",
        Content::OtherPicture(_) if picture => "save it as PNG, JPEG or WebP",
        _ if picture => "give a PNG, JPEG or WebP picture",
        _ => "give WAV, FLAC, MP3, Ogg Vorbis, M4A or MP4",
    };
    MediaError::WrongKind {
        label: label.to_owned(),
        got: content.name().to_owned(),
        expected,
        help: help.to_owned(),
    }
}
