//! Sound as bytes: WAV, FLAC and MP3. Everything is written as 16 bit, mono.

use super::Clip;
use crate::{MediaError, Result};
use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, Stream};
use flacenc::error::Verify;

/// Samples in a FLAC frame.
pub(crate) const FLAC_BLOCK: usize = 4096;
/// Longest clip shown in a notebook as WAV.
const INLINE_WAV_SECONDS: f64 = 3.0;
/// Rates MP3 knows, ascending.
const MP3_RATES: [u32; 9] = [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/// A clip's samples as 16-bit integers, clipped at full scale; a NaN becomes 0. `to_i16` and the division by
/// 32768 of every decoder are inverse to each other.
fn to_i16(samples: &[f32]) -> impl Iterator<Item = i16> {
    samples.iter().map(|s| (s * 32768.0).round().clamp(-32768.0, 32767.0) as i16)
}

/// The clip as a WAV file of 16-bit samples.
pub fn wav_bytes(clip: &Clip) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: clip.rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = std::io::Cursor::new(Vec::with_capacity(44 + clip.samples.len() * 2));
    let written = hound::WavWriter::new(&mut bytes, spec).and_then(|mut writer| {
        to_i16(&clip.samples).try_for_each(|sample| writer.write_sample(sample))?;
        writer.finalize()
    });
    // Memory takes what a file may refuse, and 16-bit samples are what the header says.
    debug_assert!(written.is_ok());
    bytes.into_inner()
}

/// The clip as an MP3 of `kbit` kbit/s (64 suits speech). A rate MP3 does not know is raised to the next it
/// does. A first frame tells decoders how much to leave out at both ends, so that exactly the clip comes back.
///
/// # Errors
/// If the encoder refuses the pair of rate and bit rate.
pub fn mp3_bytes(clip: &Clip, kbit: u32) -> Result<Vec<u8>> {
    let rate = MP3_RATES.into_iter().find(|rate| *rate >= clip.rate).unwrap_or(48_000);
    let clip = clip.resampled(rate)?;
    let config = shine_rs::Mp3EncoderConfig::new()
        .sample_rate(rate)
        .bitrate(kbit)
        .channels(1)
        .stereo_mode(shine_rs::StereoMode::Mono);
    let frame = if rate < 32_000 { 576 } else { 1152 };
    // The encoder writes whole frames and does not empty its filters: without zeros behind it the end is lost.
    let frames = (clip.samples.len() + MP3_DELAY).div_ceil(frame);
    let quieter: Vec<f32> = clip.samples.iter().map(|s| s * SHINE_GAIN.recip()).collect();
    let samples: Vec<i16> = to_i16(&Clip::new(quieter, rate).fitted(frames * frame).samples).collect();
    let sound = shine_rs::encode_pcm_to_mp3(config, &samples)
        .map_err(|e| MediaError::encode(format!("encoding MP3 at {rate} Hz, {kbit} kbit/s"), e))?;
    let padding = frames * frame - MP3_DELAY - clip.samples.len();
    let mut bytes = info_frame(&sound, frames, padding, frame * kbit as usize * 125 / rate as usize);
    bytes.extend(sound);
    Ok(bytes)
}

/// Samples by which a decoder's output is late: 528 of shine's filters and 529 of the decoder's.
const MP3_DELAY: usize = 1057;
/// What the decoder's filters hold back, as the tag below counts it.
const DECODER_DELAY: usize = 529;
/// shine writes everything louder by 1 dB, 2^(1/6) (measured 1.120 to 1.124 at four rates, two
/// levels and with two decoders), which would drive speech that peaks at -1 dBFS into clipping.
const SHINE_GAIN: f32 = 1.122_46;

/// A frame of silence with an `Info` tag (Xing's, with LAME's extension): the number of frames and bytes, and how
/// many samples to leave out at both ends. `sound` are the frames it stands before, `size` its length in bytes;
/// empty where a tag does not fit.
fn info_frame(sound: &[u8], frames: usize, padding: usize, size: usize) -> Vec<u8> {
    let Some(header) = sound.first_chunk::<4>() else { return Vec::new() };
    // Mono side information: 17 bytes in MPEG-1, 9 in the lower rates' MPEG-2.
    let at = 4 + if header[1] & 0x08 != 0 { 17 } else { 9 };
    let mut tag = b"Info\0\0\0\x0b".to_vec();
    tag.extend((frames as u32).to_be_bytes());
    tag.extend(((sound.len() + size) as u32).to_be_bytes());
    tag.extend([0; 4]); // quality
    // Decoders take the delays only from an encoder whose name they know; this name needs no checksum.
    tag.extend(b"Lavfshine");
    tag.extend([0; 12]); // revision, low-pass, gains, flags, bit rate
    let delay = MP3_DELAY - DECODER_DELAY;
    tag.extend(&(((delay << 12) | ((padding + DECODER_DELAY) & 0xfff)) as u32).to_be_bytes()[1..]);
    tag.extend([0; 12]); // more gains, length, checksums
    if at + tag.len() > size {
        return Vec::new();
    }
    let mut bytes = vec![0; size];
    bytes[..4].copy_from_slice(header);
    // Of the length just given: no padding slot.
    bytes[2] &= !0x02;
    bytes[at..at + tag.len()].copy_from_slice(&tag);
    bytes
}

/// The clip for a notebook's output: its MIME type, and WAV under 3 s or MP3 of 64 kbit/s and 48 kHz beyond, which
/// is what every browser plays at a tenth of the size. (Some decoders lose frames of the lower rates' MPEG-2.)
///
/// # Errors
/// As [`mp3_bytes`].
pub fn inline_bytes(clip: &Clip) -> Result<(&'static str, Vec<u8>)> {
    if clip.seconds() < INLINE_WAV_SECONDS {
        Ok(("audio/wav", wav_bytes(clip)))
    } else {
        Ok(("audio/mpeg", mp3_bytes(&clip.resampled(48_000)?, 64)?))
    }
}

/// The clip as a FLAC file.
///
/// # Errors
/// If the clip is empty or the encoder refuses its rate (1 to 96000 Hz).
pub fn flac_bytes(clip: &Clip) -> Result<Vec<u8>> {
    let (stream_info, frames) = flac_frames(clip)?;
    // One metadata block, the last: its type 0 and its length in 24 bits.
    let mut bytes = b"fLaC\x80\0\0".to_vec();
    bytes.push(stream_info.len() as u8);
    bytes.extend(stream_info);
    bytes.extend(frames.concat());
    Ok(bytes)
}

/// FLAC for a container: the 34 bytes of STREAMINFO and the frames, each of [`FLAC_BLOCK`] samples but the
/// last.
pub(crate) fn flac_frames(clip: &Clip) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let stream = flac_stream(clip)?;
    let frames =
        (0..stream.frame_count()).filter_map(|i| stream.frame(i)).map(bits).collect::<Result<_>>()?;
    let mut stream_info = bits(stream.stream_info())?;
    // flacenc counts the short last block into the smallest, which RFC 9639 (8.2) leaves out; readers then take
    // the stream for one of varying blocks and fail.
    let block = (FLAC_BLOCK as u16).to_be_bytes();
    stream_info[..4].copy_from_slice(&[block, block].concat());
    Ok((stream_info, frames))
}

fn flac_stream(clip: &Clip) -> Result<Stream> {
    let doing = || format!("encoding FLAC at {} Hz", clip.rate);
    if clip.samples.is_empty() {
        return Err(MediaError::encode(doing(), "there are no samples"));
    }
    let config = flacenc::config::Encoder::default()
        .into_verified()
        .map_err(|(_, e)| MediaError::encode(doing(), e))?;
    let samples: Vec<i32> = to_i16(&clip.samples).map(i32::from).collect();
    let source = flacenc::source::MemSource::from_samples(&samples, 1, 16, clip.rate as usize);
    flacenc::encode_with_fixed_block_size(&config, source, FLAC_BLOCK)
        .map_err(|e| MediaError::encode(doing(), e))
}

fn bits(part: &impl BitRepr) -> Result<Vec<u8>> {
    let mut sink = ByteSink::new();
    part.write(&mut sink).map_err(|e| MediaError::encode("writing FLAC", e))?;
    Ok(sink.as_slice().to_vec())
}
