//! Sound files of users: WAV, AIFF, FLAC, MP3, Ogg Vorbis, and AAC, ALAC or FLAC in M4A and MP4 (symphonia).
//! What a file claims is checked against the caps before decoding, and what comes out while decoding.

use super::{Clip, boxes};
use crate::source::{self, Content};
use crate::{MediaError, Result};
use std::io::{Cursor, ErrorKind};
use std::path::Path;
use symphonia::core::audio::{SampleBuffer, SignalSpec};
use symphonia::core::codecs::{CODEC_TYPE_ALAC, CODEC_TYPE_NULL, CODEC_TYPE_OPUS, DecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, Track};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::{Limit, MetadataOptions};
use symphonia::core::probe::Hint;

/// What is accepted from a sound file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioCaps {
    /// Bytes of the file.
    pub max_bytes: u64,
    /// Shortest duration.
    pub min_seconds: f64,
    /// Longest duration.
    pub max_seconds: f64,
    /// Lowest sampling rate.
    pub min_rate: u32,
    /// Highest sampling rate.
    pub max_rate: u32,
    /// Most channels.
    pub max_channels: u16,
}

impl Default for AudioCaps {
    /// 400 MB, 0.1 to 600 s, 8 to 192 kHz, 8 channels.
    fn default() -> Self {
        AudioCaps {
            max_bytes: 400_000_000,
            min_seconds: 0.1,
            max_seconds: 600.0,
            min_rate: 8_000,
            max_rate: 192_000,
            max_channels: 8,
        }
    }
}

/// Reads a sound file, or the sound of an MP4, as one channel: several are averaged. A file that breaks off
/// is read as far as it goes.
///
/// `label` is what the user called the file, for messages.
///
/// # Errors
/// If it is missing, empty, no sound, beyond the caps, or holds nothing that can be decoded.
pub fn read(path: &Path, label: &str, caps: &AudioCaps) -> Result<Clip> {
    read_bytes(source::load(path, label, caps.max_bytes)?, label, caps)
}

/// As [`read`], from bytes in memory.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(bytes: Vec<u8>, label: &str, caps: &AudioCaps) -> Result<Clip> {
    source::check_size(label, bytes.len() as u64, caps.max_bytes)?;
    let content = Content::of(&bytes);
    if !matches!(content, Content::Sound(_) | Content::Mp4) {
        return Err(source::wrong_kind(label, content, "sound"));
    }
    if content == Content::Mp4 {
        boxes::check(&bytes).map_err(|e| MediaError::broken(label, "reading its header", e))?;
    }
    // Decoders of a dozen formats meet bytes made to break them; a panic in one is that file's fault alone.
    // Nothing outlives it: the reader and its buffers are made and dropped inside.
    std::panic::catch_unwind(|| read_content(bytes, content, label, caps))
        .unwrap_or_else(|_| Err(MediaError::broken(label, "decoding its sound", "the decoder gave up")))
}

fn read_content(bytes: Vec<u8>, content: Content, label: &str, caps: &AudioCaps) -> Result<Clip> {
    let length = bytes.len() as u64;
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let formats = FormatOptions { enable_gapless: true, ..Default::default() };
    // Cover pictures and tags are not wanted: a small limit keeps a hostile tag from being loaded.
    let metadata = MetadataOptions {
        limit_metadata_bytes: Limit::Maximum(1 << 20),
        limit_visual_bytes: Limit::Maximum(0),
    };
    let mut format = symphonia::default::get_probe()
        .format(&Hint::new(), stream, &formats, &metadata)
        .map_err(|e| MediaError::broken(label, "reading its header", sentence(&e)))?
        .format;
    let track = choose_track(format.tracks(), label, content)?;
    check_claims(&track, length, label, caps)?;
    decode(format.as_mut(), &track, label, caps)
}

/// The first track with sound this build can decode.
fn choose_track(tracks: &[Track], label: &str, content: Content) -> Result<Track> {
    let codecs = symphonia::default::get_codecs();
    let decodable = |track: &&Track| codecs.get_codec(track.codec_params.codec).is_some();
    if let Some(track) = tracks.iter().find(decodable) {
        return Ok(track.clone());
    }
    let (got, help) = if tracks.iter().any(|t| t.codec_params.codec == CODEC_TYPE_OPUS) {
        ("Opus sound, which cannot be decoded here".to_owned(), "convert it to WAV, FLAC, MP3 or M4A")
    } else if tracks.iter().all(|t| t.codec_params.codec == CODEC_TYPE_NULL) {
        (format!("{} without sound", content.name()), "give a file with a sound track")
    } else {
        ("sound in a coding not known here".to_owned(), "convert it to WAV, FLAC, MP3 or M4A")
    };
    Err(MediaError::WrongKind { label: label.to_owned(), got, expected: "sound", help: help.to_owned() })
}

/// Most frames in a packet of ALAC.
const MAX_ALAC_FRAMES: u32 = 65_536;
/// Packets in a row that may bring no sound: other tracks, or damage. A minute of film has 3600 pictures.
const MAX_IDLE_PACKETS: u32 = 20_000;
/// Frames of sound a byte of a file may stand for; more is not believed. MP3 at its lowest has 50.
const FRAMES_A_BYTE: u64 = 100;

/// Refuses by what the header says, before anything is decoded. Headers may be silent or wrong (a WAV written
/// into a pipe claims 4 GB); the decoded sound is checked as well.
fn check_claims(track: &Track, length: u64, label: &str, caps: &AudioCaps) -> Result<()> {
    let params = &track.codec_params;
    let channels = params.channels.map(|c| c.count());
    check_spec(params.sample_rate, channels, label, caps)?;
    // ALAC's description begins with the frames of a packet, for which its decoder makes room and clears it again
    // each time; encoders write 4096.
    let alac = params.extra_data.as_deref().filter(|_| params.codec == CODEC_TYPE_ALAC);
    let packet = alac.and_then(|data| data.first_chunk::<4>()).map(|frames| u32::from_be_bytes(*frames));
    if let Some(frames) = packet
        && frames > MAX_ALAC_FRAMES
    {
        let detail = format!("it claims {frames} frames a packet");
        return Err(MediaError::broken(label, "reading its header", detail));
    }
    if let (Some(rate), Some(frames)) = (params.sample_rate, params.n_frames) {
        let believable = match params.bits_per_coded_sample {
            // PCM: each frame lies there in full.
            Some(bits) if bits >= 8 => length,
            _ => length.saturating_mul(FRAMES_A_BYTE),
        };
        if frames <= believable {
            return check_longest(frames as f64 / f64::from(rate.max(1)), label, caps);
        }
    }
    Ok(())
}

fn check_spec(rate: Option<u32>, channels: Option<usize>, label: &str, caps: &AudioCaps) -> Result<()> {
    let label = || label.to_owned();
    let hertz = |rate: u32| format!("{rate} Hz");
    match rate {
        Some(rate) if rate < caps.min_rate => Err(MediaError::TooLittle {
            label: label(),
            what: "the sampling rate",
            got: hertz(rate),
            limit: hertz(caps.min_rate),
        }),
        Some(rate) if rate > caps.max_rate => Err(MediaError::TooMuch {
            label: label(),
            what: "the sampling rate",
            got: hertz(rate),
            limit: hertz(caps.max_rate),
        }),
        _ => match channels {
            Some(channels) if channels > usize::from(caps.max_channels) => Err(MediaError::TooMuch {
                label: label(),
                what: "the number of channels",
                got: channels.to_string(),
                limit: caps.max_channels.to_string(),
            }),
            _ => Ok(()),
        },
    }
}

fn check_longest(seconds: f64, label: &str, caps: &AudioCaps) -> Result<()> {
    if seconds <= caps.max_seconds {
        return Ok(());
    }
    Err(MediaError::TooMuch {
        label: label.to_owned(),
        what: "the duration",
        got: format!("{seconds:.0} s"),
        limit: format!("{:.0} s", caps.max_seconds),
    })
}

fn decode(format: &mut dyn FormatReader, track: &Track, label: &str, caps: &AudioCaps) -> Result<Clip> {
    let mut decoder = symphonia::default::get_codecs()
        .make(&track.codec_params, &DecoderOptions::default())
        .map_err(|e| MediaError::broken(label, "opening its sound", sentence(&e)))?;
    let mut clip: Option<Clip> = None;
    let mut buffer: Option<(SignalSpec, SampleBuffer<f32>)> = None;
    let mut complaint = "it holds no sound".to_owned();
    // Tables of a hostile file may list the same bytes billions of times.
    let mut idle = 0;
    while idle < MAX_IDLE_PACKETS {
        idle += 1;
        let packet = match format.next_packet() {
            Ok(packet) => packet,
            Err(Error::IoError(e)) if e.kind() == ErrorKind::UnexpectedEof => break,
            Err(e) => {
                complaint = sentence(&e);
                break;
            }
        };
        if packet.track_id() != track.id {
            continue;
        }
        let decoded = match decoder.decode(&packet) {
            Ok(decoded) => decoded,
            // One bad packet is a click; the rest is still worth having.
            Err(e @ (Error::DecodeError(_) | Error::IoError(_))) => {
                complaint = sentence(&e);
                continue;
            }
            Err(e) => {
                complaint = sentence(&e);
                break;
            }
        };
        let spec = *decoded.spec();
        check_spec(Some(spec.rate), Some(spec.channels.count()), label, caps)?;
        let clip = clip.get_or_insert_with(|| Clip::new(Vec::new(), spec.rate));
        if clip.rate != spec.rate {
            // A chained stream of another rate: what came before is one whole recording.
            break;
        }
        let fits = buffer
            .as_ref()
            .is_some_and(|(s, b)| *s == spec && b.capacity() >= decoded.capacity() * spec.channels.count());
        if !fits {
            buffer = Some((spec, SampleBuffer::new(decoded.capacity() as u64, spec)));
        }
        if let Some((_, buffer)) = &mut buffer {
            buffer.copy_interleaved_ref(decoded);
            let before = clip.samples.len();
            append_mono(&mut clip.samples, buffer.samples(), spec.channels.count());
            if clip.samples.len() > before {
                idle = 0;
            }
        }
        check_longest(clip.seconds(), label, caps)?;
    }
    match clip {
        Some(clip) if clip.seconds() >= caps.min_seconds => Ok(clip),
        Some(clip) if !clip.samples.is_empty() => Err(MediaError::TooLittle {
            label: label.to_owned(),
            what: "the duration",
            got: format!("{:.2} s", clip.seconds()),
            limit: format!("{:.2} s", caps.min_seconds),
        }),
        _ => Err(MediaError::broken(label, "decoding its sound", complaint)),
    }
}

/// Averages the channels; float files may hold NaN and infinities, which become 0.
fn append_mono(samples: &mut Vec<f32>, interleaved: &[f32], channels: usize) {
    let scale = 1.0 / channels.max(1) as f32;
    samples.extend(interleaved.chunks_exact(channels.max(1)).map(|frame| {
        let mean = frame.iter().sum::<f32>() * scale;
        if mean.is_finite() { mean } else { 0.0 }
    }));
}

/// symphonia's errors without their prefixes.
fn sentence(error: &Error) -> String {
    match error {
        Error::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => "it breaks off too early".to_owned(),
        Error::IoError(e) => e.to_string(),
        Error::DecodeError(detail) | Error::LimitError(detail) => (*detail).to_owned(),
        Error::Unsupported(detail) => format!("not supported: {detail}"),
        other => other.to_string(),
    }
}
