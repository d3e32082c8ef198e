//! Lines of bounded length off a stream: what comes from outside may not decide how much is held in memory.

use std::io::{self, BufRead};

/// What one look at the stream gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A whole line, without its newline.
    Whole(Vec<u8>),
    /// A line longer than allowed; it was read past and dropped.
    TooLong,
    /// The stream ended. An unfinished last line is no line.
    End,
}

/// Reads the next line of at most `most` bytes.
pub(crate) fn read_line(reader: &mut impl BufRead, most: usize) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let chunk = match reader.fill_buf() {
            Ok([]) => return Ok(Line::End),
            Ok(chunk) => chunk,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let newline = chunk.iter().position(|&b| b == b'\n');
        let part = newline.map_or(chunk, |at| &chunk[..at]);
        too_long |= line.len() + part.len() > most;
        if !too_long {
            line.extend_from_slice(part);
        }
        let used = newline.map_or(chunk.len(), |at| at + 1);
        reader.consume(used);
        if newline.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Whole(line) });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_dropped_and_the_next_one_read() {
        let text = b"short\n0123456789abc\n\nlast\nunfinished";
        let mut reader = io::BufReader::with_capacity(4, &text[..]);
        let mut next = || read_line(&mut reader, 10).unwrap();
        assert_eq!(next(), Line::Whole(b"short".to_vec()));
        assert_eq!(next(), Line::TooLong);
        assert_eq!(next(), Line::Whole(Vec::new()));
        assert_eq!(next(), Line::Whole(b"last".to_vec()));
        assert_eq!(next(), Line::End);
    }
}
