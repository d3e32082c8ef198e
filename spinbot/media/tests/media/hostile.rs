//! Files that lie, break off or are something else. Each gets one sentence and a way out, quickly.

use crate::{fixture, moving_square, tone};
use spinbot_media::audio::{self, AudioCaps};
use spinbot_media::picture::{self, Caps};
use spinbot_media::{MediaError, mp4, video};

/// A PNG of this size by its header, with nothing in it.
fn empty_png(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    let chunk = |body: &[u8]| {
        let mut crc = !0u32;
        for byte in body {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        [&(body.len() as u32 - 4).to_be_bytes(), body, &(!crc).to_be_bytes()].concat()
    };
    [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(&header), &chunk(b"IDAT"), &chunk(b"IEND")].concat()
}

#[test]
fn pictures_that_are_none_get_a_sentence() {
    let jpeg = picture::jpeg_bytes(&moving_square(0, 128, 96), 80).unwrap();
    let png = picture::png_bytes(&moving_square(0, 128, 96)).unwrap();
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("empty", vec![], "p: the file is empty", "again"),
        ("text", b"this is not a picture\n".to_vec(), "p: holds text, not a picture", "PNG, JPEG or WebP"),
        (
            "web page",
            b"<!DOCTYPE html><html>".to_vec(),
            "p: holds a web page, not a picture",
            "the file itself",
        ),
        (
            "lfs",
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            "p: holds a Git LFS pointer",
            "git lfs pull",
        ),
        ("heic", b"\0\0\0\x18ftypheic\0\0\0\0".to_vec(), "p: holds a HEIC picture", "Most Compatible"),
        ("gif", b"GIF89a\x01\0\x01\0".to_vec(), "p: holds a GIF picture", "save it as PNG"),
        (
            "sound",
            audio::wav_bytes(&tone(440.0, 0.2, 8_000)),
            "p: holds WAV sound, not a picture",
            "PNG, JPEG or WebP",
        ),
        ("noise", vec![0x80, 0x01, 0xc3, 0x00, 0x9f], "p: holds bytes of no kind known here", "PNG"),
        (
            "1x1",
            empty_png(1, 1),
            "p: the picture is 1x1 px, less than the 64 px on each side needed",
            "larger",
        ),
        (
            "30000x30000",
            empty_png(30_000, 30_000),
            "p: the picture is 30000x30000 px, more than the 12000 px on a side allowed",
            "smaller",
        ),
        (
            "9000x9000",
            empty_png(9_000, 9_000),
            "p: the picture is 9000x9000 px, more than the 50 megapixels allowed",
            "smaller",
        ),
        ("no pixels", empty_png(64, 64), "p: decoding the picture failed", "damaged"),
        ("zero wide", empty_png(0, 64), "p: ", ""),
        ("only magic", b"\x89PNG\r\n\x1a\n".to_vec(), "p: reading the picture's header failed", "damaged"),
        ("jpeg header cut", jpeg[..30].to_vec(), "p: reading the picture's header failed", "damaged"),
        ("png cut", png[..png.len() / 2].to_vec(), "p: decoding the picture failed", "damaged"),
        (
            "webp header only",
            b"RIFF\x10\0\0\0WEBPVP8 \0\0\0\0".to_vec(),
            "p: reading the picture's header failed",
            "damaged",
        ),
    ];
    for (name, bytes, message, help) in cases {
        let error = picture::read_bytes(&bytes, "p", &Caps::default()).map(|p| p.dimensions()).unwrap_err();
        assert!(error.to_string().starts_with(message), "{name}: {error}");
        assert!(!error.to_string().contains('\n'), "{name}: one line");
        assert!(error.help().unwrap().contains(help), "{name}: {:?}", error.help());
    }
}

#[test]
fn sounds_that_are_none_get_a_sentence() {
    let wav = audio::wav_bytes(&tone(440.0, 1.0, 16_000));
    let mut cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("empty", vec![], "s: the file is empty", "again"),
        ("text", b"hello there".to_vec(), "s: holds text, not sound", "WAV, FLAC, MP3"),
        ("picture", empty_png(64, 64), "s: holds a PNG picture, not sound", "WAV"),
        ("matroska", b"\x1a\x45\xdf\xa3\0\0\0\0".to_vec(), "s: holds a Matroska or WebM video", "WAV"),
        ("wav header only", wav[..44].to_vec(), "s: ", ""),
        ("wav header cut", wav[..20].to_vec(), "s: reading its header failed", "damaged"),
        ("flac magic", b"fLaC\0\0\0\x22".to_vec(), "s: reading its header failed", "damaged"),
        ("ogg magic", b"OggS\0\x02".to_vec(), "s: reading its header failed", "damaged"),
        (
            "mp4 without index",
            b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x10mdat\0\0\0\0\0\0\0\0".to_vec(),
            "s: reading its header failed",
            "damaged",
        ),
        ("id3 of no sound", [b"ID3\x03\0\0\0\0\0\0".as_slice(), &[0; 4000]].concat(), "s: ", ""),
    ];
    let mut claims = std::fs::read(fixture("tone.m4a")).unwrap();
    let stts = claims.windows(4).position(|w| w == b"stts").unwrap();
    claims[stts + 8..stts + 12].fill(0xff);
    cases.push((
        "32 GB of timings",
        claims,
        "s: reading its header failed: box \"stts\" is cut short",
        "damaged",
    ));
    let mut packets = std::fs::read(fixture("tone_alac.m4a")).unwrap();
    let place = packets.windows(12).position(|w| w == b"alac\0\0\0\0\0\0\x10\0").unwrap() + 8;
    packets[place] = 0x7f;
    cases.push((
        "8 GB a packet",
        packets,
        "s: reading its header failed: it claims 2130710528 frames a packet",
        "damaged",
    ));
    for (name, bytes, message, help) in cases {
        let error = audio::read_bytes(bytes, "s", &AudioCaps::default()).map(|c| c.seconds()).unwrap_err();
        assert!(error.to_string().starts_with(message), "{name}: {error}");
        assert!(!error.to_string().contains('\n'), "{name}: one line");
        assert!(error.help().unwrap().contains(help), "{name}: {:?}", error.help());
    }
}

#[test]
fn files_that_cannot_be_opened_name_what_the_user_called_them() {
    let missing = picture::read(&fixture("nobody.jpg"), "me.jpg", &Caps::default()).unwrap_err();
    assert_eq!(missing.to_string(), "me.jpg: there is no such file");
    let folder = audio::read(&fixture(""), "voices", &AudioCaps::default()).unwrap_err();
    assert!(matches!(folder, MediaError::Unreadable { .. }), "{folder}");
    let caps = AudioCaps { max_bytes: 1000, ..AudioCaps::default() };
    let large = audio::read(&fixture("tone.ogg"), "tone.ogg", &caps).unwrap_err();
    assert!(large.to_string().contains("more than the 0.0 MB allowed"), "{large}");
    if cfg!(unix) {
        let endless =
            audio::read(std::path::Path::new("/dev/zero"), "zeros", &AudioCaps::default()).unwrap_err();
        assert!(matches!(endless, MediaError::Unreadable { .. }), "{endless}");
    }
}

/// Small, repeatable, and good enough to choose bytes to damage.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    /// A copy with a few bytes changed and perhaps its end cut off.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        for _ in 0..1 + self.roll(8) {
            // Headers matter most.
            let reach = if self.roll(3) > 0 { damaged.len().min(200) } else { damaged.len() };
            let place = self.roll(reach);
            damaged[place] = [0, 1, 0x7f, 0x80, 0xff, self.roll(256) as u8][self.roll(6)];
        }
        if self.roll(4) == 0 {
            damaged.truncate(1 + self.roll(bytes.len()));
        }
        damaged
    }
}

#[test]
fn damaged_files_never_bring_the_reader_down() {
    let mut encoder =
        video::Encoder::new(video::VideoSettings { width: 64, height: 64, ..Default::default() }).unwrap();
    for i in 0..6 {
        encoder.push(&moving_square(i, 64, 64)).unwrap();
    }
    let film = mp4::write(&encoder.finish().unwrap(), Some(&tone(440.0, 0.24, 24_000)), &Default::default())
        .unwrap();
    let sounds = [
        audio::wav_bytes(&tone(440.0, 0.3, 16_000)),
        audio::flac_bytes(&tone(440.0, 0.3, 16_000)).unwrap(),
        audio::mp3_bytes(&tone(440.0, 0.3, 16_000), 64).unwrap(),
        film.clone(),
    ]
    .into_iter()
    .chain(
        ["tone.ogg", "tone.m4a", "tone_alac.m4a", "tone.mp3", "film.mp4"]
            .map(|name| std::fs::read(fixture(name)).unwrap()),
    );
    let mut dice = Dice(2);
    let caps = AudioCaps { max_seconds: 20.0, ..AudioCaps::default() };
    let mut outcomes = [0, 0];
    for bytes in sounds {
        for _ in 0..150 {
            let read = audio::read_bytes(dice.damage(&bytes), "s", &caps);
            outcomes[usize::from(read.is_ok())] += 1;
            if let Ok(clip) = read {
                assert!(
                    clip.seconds() <= caps.max_seconds + 1.0 && clip.samples.iter().all(|s| s.is_finite())
                );
            }
        }
    }
    assert!(outcomes.iter().all(|n| *n > 50), "both readable and unreadable damage was tried: {outcomes:?}");
    let pictures = [
        picture::jpeg_bytes(&moving_square(0, 96, 64), 80).unwrap(),
        picture::png_bytes(&moving_square(0, 96, 64)).unwrap(),
        std::fs::read(fixture("chart.webp")).unwrap(),
    ];
    for bytes in pictures {
        for _ in 0..300 {
            if let Ok(picture) = picture::read_bytes(&dice.damage(&bytes), "p", &Caps::default()) {
                assert!(
                    u64::from(picture.width()) * u64::from(picture.height()) <= Caps::default().max_pixels
                );
            }
        }
    }
    for _ in 0..2000 {
        drop(mp4::read_tags(&dice.damage(&film)));
        if let Ok(track) = mp4::read_video(&dice.damage(&film)) {
            assert!(track.frames.iter().map(|f| f.0.len()).sum::<usize>() <= film.len());
        }
    }
}
