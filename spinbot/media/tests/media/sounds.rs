//! Sound files and what is done to a clip.

use crate::{fixture, pitch, tone};
use spinbot_media::MediaError;
use spinbot_media::audio::{self, AudioCaps, Clip};

fn read(bytes: Vec<u8>) -> spinbot_media::Result<Clip> {
    audio::read_bytes(bytes, "voice", &AudioCaps::default())
}

/// A WAV file of any format tag, channels and width; `frames` are its data bytes.
fn wav(tag: u16, channels: u16, rate: u32, bits: u16, frames: &[u8]) -> Vec<u8> {
    let block = channels * bits / 8;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + frames.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    bytes.extend([tag, channels].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend([rate, rate * u32::from(block)].into_iter().flat_map(u32::to_le_bytes));
    bytes.extend([block, bits].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend(b"data");
    bytes.extend((frames.len() as u32).to_le_bytes());
    bytes.extend(frames);
    bytes
}

#[test]
fn every_format_gives_the_tone_back() {
    let sent = tone(440.0, 2.0, 24_000);
    let cases: Vec<(&str, Vec<u8>, f64)> = vec![
        ("wav", audio::wav_bytes(&sent), 0.0),
        ("flac", audio::flac_bytes(&sent).unwrap(), 0.0),
        ("shine mp3", audio::mp3_bytes(&sent, 64).unwrap(), 0.1),
        ("lame mp3", std::fs::read(fixture("tone.mp3")).unwrap(), 0.1),
        ("vorbis", std::fs::read(fixture("tone.ogg")).unwrap(), 0.01),
        ("aac", std::fs::read(fixture("tone.m4a")).unwrap(), 0.1),
        ("alac", std::fs::read(fixture("tone_alac.m4a")).unwrap(), 0.0),
    ];
    for (name, bytes, slack) in cases {
        let clip = read(bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(clip.rate, 24_000, "{name}");
        assert!((clip.seconds() - 2.0).abs() <= slack, "{name}: {} s", clip.seconds());
        assert!((pitch(&clip) - 440.0).abs() < 10.0, "{name}: {} Hz", pitch(&clip));
        assert!(clip.peak() > 0.05 && clip.peak() < 0.7, "{name}: peak {}", clip.peak());
    }
    // Films give their sound: 48 kHz stereo AAC here.
    let clip = audio::read(&fixture("film.mp4"), "film.mp4", &AudioCaps::default()).unwrap();
    assert_eq!(clip.rate, 48_000);
    assert!((pitch(&clip) - 440.0).abs() < 20.0 && (clip.seconds() - 1.0).abs() < 0.1);
}

#[test]
fn lossless_files_keep_every_bit() {
    let sent: Vec<i16> = (0..20_000).map(|i| ((i * i * 31 + i * 17) % 65_536 - 32_768) as i16).collect();
    let clip = Clip::new(sent.iter().map(|s| f32::from(*s) / 32_768.0).collect(), 16_000);
    for bytes in [audio::wav_bytes(&clip), audio::flac_bytes(&clip).unwrap()] {
        assert_eq!(read(bytes).unwrap(), clip);
    }
}

#[test]
fn channels_are_averaged_and_widths_converted() {
    let frames = 8_000;
    let stereo: Vec<u8> = (0..frames).flat_map(|_| [16_384i16, 0]).flat_map(i16::to_le_bytes).collect();
    let six: Vec<u8> = (0..frames)
        .flat_map(|_| [0x60_00_00i32, 0, 0, 0, 0, 0])
        .flat_map(|s| s.to_le_bytes()[..3].to_vec())
        .collect();
    let float: Vec<u8> =
        (0..frames).flat_map(|i| if i % 7 == 0 { f32::NAN } else { 0.25 }.to_le_bytes()).collect();
    let eight: Vec<u8> = vec![160; frames];
    for (name, bytes, expected) in [
        ("stereo 16 bit", wav(1, 2, 22_050, 16, &stereo), 0.25),
        ("six channels 24 bit", wav(1, 6, 48_000, 24, &six), 0.125),
        ("float with NaN", wav(3, 1, 44_100, 32, &float), 0.25),
        ("8 bit", wav(1, 1, 8_000, 8, &eight), 0.25),
    ] {
        let clip = read(bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(clip.samples.len(), frames, "{name}");
        assert!((clip.samples[1] - expected).abs() < 1e-4, "{name}: {}", clip.samples[1]);
        assert!(clip.samples.iter().all(|s| s.is_finite()), "{name}");
    }
    assert_eq!(read(wav(3, 1, 44_100, 32, &float)).unwrap().samples[0], 0.0, "NaN becomes silence");
}

#[test]
fn a_recording_cut_short_is_read_as_far_as_it_goes() {
    let sent = tone(440.0, 2.0, 24_000);
    for (name, bytes) in [
        ("wav", audio::wav_bytes(&sent)),
        ("flac", audio::flac_bytes(&sent).unwrap()),
        ("mp3", audio::mp3_bytes(&sent, 64).unwrap()),
        ("vorbis", std::fs::read(fixture("tone.ogg")).unwrap()),
    ] {
        // Vorbis begins with more than half a short file of tables.
        let most = bytes[..bytes.len() * 8 / 10].to_vec();
        let clip = read(most).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!((0.3..1.9).contains(&clip.seconds()), "{name}: {} s", clip.seconds());
        assert!((pitch(&clip) - 440.0).abs() < 15.0, "{name}: {} Hz", pitch(&clip));
    }
}

#[test]
fn what_is_too_long_too_short_or_at_an_odd_rate_is_refused_with_its_figure() {
    let caps = AudioCaps { max_seconds: 1.0, ..AudioCaps::default() };
    for (bytes, caps, expected) in [
        (
            audio::wav_bytes(&tone(440.0, 2.0, 16_000)),
            caps,
            "v: the duration is 2 s, more than the 1 s allowed",
        ),
        (audio::mp3_bytes(&tone(440.0, 2.0, 16_000), 64).unwrap(), caps, "more than the 1 s allowed"),
        (
            wav(1, 1, 4_000, 16, &[0; 8_000]),
            AudioCaps::default(),
            "v: the sampling rate is 4000 Hz, less than the 8000 Hz needed",
        ),
        (
            wav(1, 1, 384_000, 16, &[0; 8_000]),
            AudioCaps::default(),
            "v: the sampling rate is 384000 Hz, more than the 192000 Hz allowed",
        ),
        (wav(1, 12, 48_000, 16, &[0; 24_000]), AudioCaps::default(), "v: "),
        (
            wav(1, 1, 16_000, 16, &[0; 320]),
            AudioCaps::default(),
            "v: the duration is 0.01 s, less than the 0.10 s needed",
        ),
    ] {
        let error = audio::read_bytes(bytes, "v", &caps).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.help().is_some(), "{error}");
    }
}

#[test]
fn a_wav_that_claims_more_than_it_holds_is_read_as_far_as_it_goes() {
    for claim in [8_000u32 * 2 * 3600, u32::MAX] {
        let mut bytes = wav(1, 1, 8_000, 16, &[7; 16_000]);
        bytes[4..8].copy_from_slice(&claim.saturating_add(36).to_le_bytes());
        bytes[40..44].copy_from_slice(&claim.to_le_bytes());
        let clip = read(bytes).unwrap();
        assert!((clip.seconds() - 1.0).abs() < 0.2, "{} s", clip.seconds());
    }
}

#[test]
fn opus_and_silent_films_are_told_apart_from_broken_files() {
    let opus = audio::read(&fixture("tone_opus.ogg"), "a.ogg", &AudioCaps::default()).unwrap_err();
    assert!(opus.to_string().starts_with("a.ogg: holds Opus sound"), "{opus}");
    let mut encoder = spinbot_media::video::Encoder::new(Default::default()).unwrap();
    encoder.push(&crate::moving_square(0, 512, 512)).unwrap();
    let silent = spinbot_media::mp4::write(&encoder.finish().unwrap(), None, &Default::default()).unwrap();
    let error = read(silent).unwrap_err();
    assert_eq!(error.to_string(), "voice: holds an MP4 file without sound, not sound");
    assert!(matches!(error, MediaError::WrongKind { .. }));
}

#[test]
fn resampling_moves_nothing_in_time() {
    // Pulses of a raised cosine at known times must stay where they are, at any pair of rates.
    let pulse_at = |clip_rate: u32, times: &[f64]| {
        let mut samples = vec![0.0f32; clip_rate as usize];
        for (i, sample) in samples.iter_mut().enumerate() {
            let t = i as f64 / f64::from(clip_rate);
            for time in times {
                let x = (t - time) / 0.002;
                if x.abs() < 1.0 {
                    *sample += (0.5 + 0.5 * (std::f64::consts::PI * x).cos()) as f32;
                }
            }
        }
        Clip::new(samples, clip_rate)
    };
    let times = [0.01, 0.3333, 0.71, 0.985];
    for (from, to) in [
        (24_000, 16_000),
        (16_000, 24_000),
        (44_100, 16_000),
        (48_000, 44_100),
        (22_050, 24_000),
        (16_001, 23_999),
        (8_000, 48_000),
        (192_000, 16_000),
    ] {
        let got = pulse_at(from, &times).resampled(to).unwrap();
        let expected = pulse_at(to, &times);
        assert_eq!(got.samples.len(), expected.samples.len(), "{from} -> {to}");
        let worst = got.samples.iter().zip(&expected.samples).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.02, "{from} -> {to}: off by {worst}");
    }
    let short = Clip::new(vec![0.5; 3], 16_000);
    assert_eq!(short.resampled(48_000).unwrap().samples.len(), 9);
    assert_eq!(Clip::new(vec![], 16_000).resampled(8_000).unwrap(), Clip::new(vec![], 8_000));
    assert!(short.resampled(0).is_err());
}

#[test]
fn resampling_down_removes_what_the_lower_rate_cannot_hold() {
    let high = tone(10_000.0, 0.5, 48_000).resampled(16_000).unwrap();
    assert!(high.samples[800..7200].iter().all(|s| s.abs() < 0.001), "{}", high.peak());
}

#[test]
fn loudness_is_that_of_the_standard_and_is_reached() {
    // EBU Tech 3341: a 1 kHz sine at -23 dBFS in one channel of stereo reads -23 LUFS with both; mono reads 3.01 less.
    let sine = |dbfs: f64| {
        let amplitude = 10f64.powf(dbfs / 20.0) / 0.5;
        let clip = tone(1000.0, 3.0, 48_000);
        Clip::new(clip.samples.iter().map(|s| s * amplitude as f32).collect(), 48_000)
    };
    assert!((sine(-20.0).loudness().unwrap() - -23.01).abs() < 0.1, "{:?}", sine(-20.0).loudness());
    assert!((sine(-40.0).loudness().unwrap() - -43.01).abs() < 0.1);
    assert_eq!(Clip::silence(2.0, 24_000).loudness().unwrap(), f64::NEG_INFINITY);
    // Shorter than one gating block.
    let short = Clip::new(sine(-20.0).samples[..9_600].to_vec(), 48_000);
    assert!((short.loudness().unwrap() - -23.01).abs() < 0.3, "{:?}", short.loudness());

    let normal = sine(-40.0).normalized(-18.0, -1.0).unwrap();
    assert!((normal.loudness().unwrap() - -18.0).abs() < 0.05);
    // A click 24 dB over the rest is held at the ceiling and does not keep the rest quiet.
    let mut clicky = sine(-40.0);
    clicky.samples[70_000] = 0.9;
    let normal = clicky.normalized(-18.0, -1.0).unwrap();
    assert!(normal.peak() <= 10f32.powf(-1.0 / 20.0) + 1e-6, "{}", normal.peak());
    assert!((normal.loudness().unwrap() - -18.0).abs() < 0.3, "{:?}", normal.loudness());
    assert!(normal.samples[70_000] > 0.8);
    assert_eq!(Clip::silence(1.0, 24_000).normalized(-18.0, -1.0).unwrap(), Clip::silence(1.0, 24_000));
}

#[test]
fn an_envelope_keeps_to_its_clock() {
    let mut samples = vec![0.0f32; 48_000];
    samples[24_000..].fill(0.5);
    let clip = Clip::new(samples, 24_000);
    let envelope = clip.rms_envelope(0.04);
    assert_eq!(envelope.len(), 50);
    assert_eq!((envelope[24], envelope[25]), (0.0, 0.5));
    // 22050 / 30 is no whole number of samples: 60 hops still cover exactly two seconds.
    assert_eq!(Clip::silence(2.0, 22_050).rms_envelope(1.0 / 30.0).len(), 60);
    assert!(Clip::silence(0.0, 8_000).rms_envelope(0.04).is_empty());
}

#[test]
fn a_notebook_gets_wav_when_short_and_mp3_when_long() {
    let (kind, bytes) = audio::inline_bytes(&tone(440.0, 2.9, 24_000)).unwrap();
    assert_eq!((kind, &bytes[..4]), ("audio/wav", b"RIFF".as_slice()));
    for rate in [8_000, 16_000, 24_000, 44_100, 47_000, 96_000] {
        let (kind, bytes) = audio::inline_bytes(&tone(440.0, 4.0, rate)).unwrap();
        assert_eq!(kind, "audio/mpeg", "{rate}");
        assert!(bytes.len() < 40_000, "{rate}: {} bytes for 4 s of 64 kbit/s", bytes.len());
        let back = read(bytes).unwrap();
        assert!(
            (back.seconds() - 4.0).abs() < 0.2 && (pitch(&back) - 440.0).abs() < 10.0,
            "{rate}: {} s, {} Hz",
            back.seconds(),
            pitch(&back)
        );
    }
}
