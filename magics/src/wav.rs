//! Reads the beginning of a WAV file as steps write them (PCM, mono, 16 bit), to draw it. Everything else about sound
//! is `spinbot-media`'s.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Room for the chunks before the samples.
const HEADER: u64 = 4096;

/// Mono samples in -1..1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Samples {
    /// Samples a second.
    pub(crate) rate: u32,
    pub(crate) samples: Vec<f32>,
}

/// The first `seconds` of a file; nothing when it is no such WAV.
pub(crate) fn beginning(path: &Path, seconds: f64) -> Option<Samples> {
    // No WAV of ours has more than 48,000 samples a second.
    let most = HEADER + (seconds * 96_000.0) as u64;
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    let mut found = read(&bytes)?;
    found.samples.truncate((seconds * f64::from(found.rate)) as usize);
    Some(found)
}

fn read(bytes: &[u8]) -> Option<Samples> {
    if bytes.get(..4)? != b"RIFF" || bytes.get(8..12)? != b"WAVE" {
        return None;
    }
    let number = |at: usize, len: usize| {
        bytes.get(at..at + len).map(|b| b.iter().rev().fold(0_u32, |n, byte| n << 8 | u32::from(*byte)))
    };
    let (mut at, mut rate) = (12, None);
    loop {
        let size = number(at + 4, 4)? as usize;
        match bytes.get(at..at + 4)? {
            // PCM, one channel, 16 bits.
            b"fmt " if (number(at + 8, 2)?, number(at + 10, 2)?, number(at + 22, 2)?) == (1, 1, 16) => {
                rate = number(at + 12, 4).filter(|rate| (1..=48_000).contains(rate));
            }
            b"data" => {
                let rate = rate?;
                // The file may have been cut short; what is there is drawn.
                let content = bytes.get(at + 8..)?;
                let content = content.get(..size).unwrap_or(content);
                let samples = content
                    .chunks_exact(2)
                    .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
                    .collect();
                return Some(Samples { rate, samples });
            }
            _ => {}
        }
        // Chunks are padded to even lengths.
        at = at.checked_add(8)?.checked_add(size)?.checked_add(size % 2)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wav_is_read_whatever_stands_before_its_samples() {
        let plain = {
            let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
            bytes.extend(48_000_u32.to_le_bytes());
            bytes.extend(96_000_u32.to_le_bytes());
            bytes.extend([2, 0, 16, 0]);
            bytes.extend(b"LIST\x03\0\0\0abc\0data\x06\0\0\0");
            bytes.extend([0, 0, 0, 0x40, 0, 0x80]);
            bytes
        };
        let expected = Samples { rate: 48_000, samples: vec![0.0, 0.5, -1.0] };
        assert_eq!(read(&plain), Some(expected.clone()));
        // Its end is missing.
        assert_eq!(read(&plain[..plain.len() - 1]).unwrap().samples, [0.0, 0.5]);
        for cut in 0..plain.len() - 6 {
            assert_eq!(read(&plain[..cut]), None, "cut at {cut}");
        }
        let mut stereo = plain.clone();
        stereo[22] = 2;
        assert_eq!(read(&stereo), None);
        let mut endless = plain.clone();
        endless[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read(&endless), None);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        std::fs::write(&path, &plain).unwrap();
        assert_eq!(beginning(&path, 1.0), Some(expected));
        assert_eq!(beginning(&path, 1.1 / 48_000.0).unwrap().samples, [0.0]);
        assert_eq!(beginning(&folder.path().join("b.wav"), 1.0), None);
    }
}
