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
/// does.
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
    let samples: Vec<i16> = to_i16(&clip.samples).collect();
    shine_rs::encode_pcm_to_mp3(config, &samples)
        .map_err(|e| MediaError::encode(format!("encoding MP3 at {rate} Hz, {kbit} kbit/s"), e))
}

/// The clip for a notebook's output: its MIME type, and WAV under 3 s or MP3 of 64 kbit/s beyond, which is
/// what every browser plays at a tenth of the size.
///
/// # Errors
/// As [`mp3_bytes`].
pub fn inline_bytes(clip: &Clip) -> Result<(&'static str, Vec<u8>)> {
    if clip.seconds() < INLINE_WAV_SECONDS {
        Ok(("audio/wav", wav_bytes(clip)))
    } else {
        Ok(("audio/mpeg", mp3_bytes(clip, 64)?))
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
