//! The frames a running cell sends to its kernel, and how each connection introduces itself.
//!
//! One Unix stream connection per cell carries frames: a tag, a little-endian length, that many bytes. Text and
//! displays share it, so their order is the order in which the cell made them. Two more connections carry what
//! reaches file descriptors 1 and 2 without passing `write` (the cell's own child processes), unframed.

use std::io::{self, Write};

/// First byte of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Hello {
    /// Frames follow, after the worker's process id (u32, little-endian).
    Frames = b'F',
    /// Raw bytes of descriptor 1.
    RawStdout = b'1',
    /// Raw bytes of descriptor 2.
    RawStderr = b'2',
    /// The kernel itself asks: everything sent before this connection has been read.
    Sync = b'S',
}

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    /// Bytes of standard output.
    Stdout = 1,
    /// Bytes of standard error.
    Stderr = 2,
    /// A `spinbot::cell::Message` as JSON.
    Message = 3,
    /// The cell panicked and caught it at its outermost frame.
    Panicked = 4,
    /// A `?` of the cell returned early.
    Errored = 5,
    /// The process of the cell died; the payload says how.
    Died = 6,
}

impl Tag {
    pub(crate) fn from_byte(byte: u8) -> Option<Tag> {
        [Tag::Stdout, Tag::Stderr, Tag::Message, Tag::Panicked, Tag::Errored, Tag::Died]
            .into_iter()
            .find(|tag| *tag as u8 == byte)
    }
}

/// Length of tag and length.
pub(crate) const HEADER: usize = 5;

/// No frame is longer; a longer text is sent as several.
pub(crate) const MAX_PAYLOAD: usize = 1 << 30;

/// Writes one frame.
pub(crate) fn write(out: &mut impl Write, tag: Tag, payload: &[u8]) -> io::Result<()> {
    for (i, part) in payload.chunks(MAX_PAYLOAD).enumerate() {
        // Only text may be cut: a message of this size is refused by its sender.
        if i > 0 && !matches!(tag, Tag::Stdout | Tag::Stderr) {
            break;
        }
        out.write_all(&header(tag, part.len()))?;
        out.write_all(part)?;
    }
    if payload.is_empty() {
        out.write_all(&header(tag, 0))?;
    }
    Ok(())
}

fn header(tag: Tag, length: usize) -> [u8; HEADER] {
    let length = (length as u32).to_le_bytes();
    [tag as u8, length[0], length[1], length[2], length[3]]
}

/// Cuts whole frames off the front of `buffer`. `None` as a tag: not ours, the connection is of no use any more.
pub(crate) fn take(buffer: &mut Vec<u8>) -> Option<(Option<Tag>, Vec<u8>)> {
    let (&tag, length) = (buffer.first()?, buffer.get(1..HEADER)?);
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    if length > MAX_PAYLOAD {
        return Some((None, Vec::new()));
    }
    let payload = buffer.get(HEADER..HEADER + length)?.to_vec();
    buffer.drain(..HEADER + length);
    Some((Tag::from_byte(tag), payload))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut bytes = Vec::new();
        write(&mut bytes, Tag::Stdout, b"hello").unwrap();
        write(&mut bytes, Tag::Panicked, b"").unwrap();
        write(&mut bytes, Tag::Message, b"{}").unwrap();
        for cut in 1..bytes.len() {
            let (mut buffer, mut got) = (Vec::new(), Vec::new());
            for part in bytes.chunks(cut) {
                buffer.extend_from_slice(part);
                while let Some((tag, payload)) = take(&mut buffer) {
                    got.push((tag.unwrap(), payload));
                }
            }
            let expected =
                [(Tag::Stdout, b"hello".to_vec()), (Tag::Panicked, vec![]), (Tag::Message, b"{}".to_vec())];
            assert_eq!(got, expected, "cut every {cut} bytes");
        }
    }

    #[test]
    fn a_frame_longer_than_any_we_send_is_not_waited_for() {
        let mut buffer = vec![1, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(take(&mut buffer), Some((None, Vec::new())));
    }
}
