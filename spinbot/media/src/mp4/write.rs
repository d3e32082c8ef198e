//! Writes an MP4: where each sample lies and how long it lasts, in shiguredo_mp4's box types.

use super::{Tags, boxes};
use crate::audio::{Clip, FLAC_BLOCK, flac_frames};
use crate::video::VideoTrack;
use crate::{MediaError, Result};
use shiguredo_mp4::boxes::{
    Brand, DinfBox, FtypBox, HdlrBox, MdhdBox, MdiaBox, MediaHeader, MinfBox, MoovBox, MvhdBox, SampleEntry,
    SmhdBox, StblBox, StcoBox, StscBox, StscEntry, StsdBox, StssBox, StszBox, SttsBox, TkhdBox, TrakBox,
    VmhdBox,
};
use shiguredo_mp4::{Either, FixedPointNumber, LanguageCode, Mp4FileTime};
use std::num::NonZeroU32;

/// Ticks of a frame. Any number does; this one is what players see most.
const FRAME_TICKS: u32 = 512;
/// Above this rate the sound is resampled: a 16-bit field holds the rate, and a voice has nothing there.
const MAX_RATE: u32 = 48_000;
/// Pictures and sound alternate in pieces of this length, so that a player needs no second read far away.
const INTERLEAVE_SECONDS: f64 = 0.5;

/// One track: what its samples are, and their bytes.
struct Samples<'a> {
    entry: SampleEntry,
    media_header: MediaHeader,
    handler: [u8; 4],
    /// Ticks a second.
    timescale: NonZeroU32,
    /// Each sample's length in ticks.
    ticks: Vec<u32>,
    bytes: Vec<&'a [u8]>,
    /// Numbers, from 1, of the samples decoding can begin with; `None` if it can with any.
    seekable: Option<Vec<NonZeroU32>>,
}

/// A run of samples lying together: which track, which samples, where.
struct Chunk {
    track: usize,
    from: usize,
    to: usize,
    /// Bytes after the start of the data.
    offset: usize,
}

/// Writes a file of `video` with `speech`, which is cut off or padded with silence to the pictures' length,
/// `round(frames * rate / fps)` samples.
///
/// # Errors
/// If the video has no frames or parameter sets, the sound cannot be coded, or the file would reach 4 GB.
pub fn write(video: &VideoTrack, speech: Option<&Clip>, tags: &Tags) -> Result<Vec<u8>> {
    let speech =
        speech.map(|clip| if clip.rate > MAX_RATE { clip.resampled(MAX_RATE) } else { Ok(clip.clone()) });
    let speech = speech.transpose()?.map(|clip| {
        let (frames, rate, fps) =
            (video.frames.len() as u64, u64::from(clip.rate), u64::from(video.fps.max(1)));
        clip.fitted(((frames * rate + fps / 2) / fps) as usize)
    });
    let coded = speech.as_ref().map(flac_frames).transpose()?;
    let mut tracks = vec![picture_samples(video)?];
    if let (Some(clip), Some((stream_info, packets))) = (&speech, &coded) {
        tracks.push(sound_samples(clip, stream_info, packets)?);
    }
    let (chunks, data_bytes) = interleave(&tracks);
    let brand = |name: &[u8; 4]| Brand::new(*name);
    let ftyp = FtypBox {
        major_brand: brand(b"isom"),
        minor_version: 0x200,
        compatible_brands: [b"isom", b"iso2", b"avc1", b"mp41"].map(brand).to_vec(),
    };
    let mut file = boxes::encode(&ftyp)?;
    // The index comes first and holds places after itself; its size does not depend on their values.
    let index_bytes = boxes::encode(&index(video, &tracks, &chunks, tags, 0)?)?.len();
    let data_start = file.len() + index_bytes + 8;
    if data_start as u64 + data_bytes as u64 > u64::from(u32::MAX) {
        return Err(MediaError::shape("writing an MP4", format!("{data_bytes} bytes"), "less than 4 GB"));
    }
    file.extend(boxes::encode(&index(video, &tracks, &chunks, tags, data_start)?)?);
    file.reserve_exact(8 + data_bytes);
    file.extend((data_bytes as u32 + 8).to_be_bytes());
    file.extend(b"mdat");
    for chunk in &chunks {
        for sample in &tracks[chunk.track].bytes[chunk.from..chunk.to] {
            file.extend_from_slice(sample);
        }
    }
    Ok(file)
}

fn picture_samples(video: &VideoTrack) -> Result<Samples<'_>> {
    let Some(timescale) = NonZeroU32::new(video.fps.saturating_mul(FRAME_TICKS)) else {
        return Err(MediaError::shape("writing an MP4", "0 frames a second", "1 or more"));
    };
    if video.frames.is_empty() {
        return Err(MediaError::shape("writing an MP4", "a video without frames", "at least one"));
    }
    let numbered = (1..).map_while(NonZeroU32::new).zip(&video.frames);
    Ok(Samples {
        entry: boxes::video_entry(video)?,
        media_header: MediaHeader::Vmhd(VmhdBox {
            graphicsmode: VmhdBox::DEFAULT_GRAPHICSMODE,
            opcolor: VmhdBox::DEFAULT_OPCOLOR,
        }),
        handler: HdlrBox::HANDLER_TYPE_VIDE,
        timescale,
        ticks: vec![FRAME_TICKS; video.frames.len()],
        bytes: video.frames.iter().map(|(bytes, _)| bytes.as_slice()).collect(),
        seekable: Some(numbered.filter(|(_, frame)| frame.1).map(|(number, _)| number).collect()),
    })
}

fn sound_samples<'a>(clip: &Clip, stream_info: &[u8], packets: &'a [Vec<u8>]) -> Result<Samples<'a>> {
    let block = |i: usize| (clip.samples.len() - i * FLAC_BLOCK).min(FLAC_BLOCK) as u32;
    Ok(Samples {
        entry: boxes::sound_entry(clip.rate, stream_info.to_vec())?,
        media_header: MediaHeader::Smhd(SmhdBox { balance: SmhdBox::DEFAULT_BALANCE }),
        handler: HdlrBox::HANDLER_TYPE_SOUN,
        timescale: NonZeroU32::new(clip.rate).unwrap_or(NonZeroU32::MIN),
        ticks: (0..packets.len()).map(block).collect(),
        bytes: packets.iter().map(Vec::as_slice).collect(),
        seekable: None,
    })
}

/// Cuts the tracks into chunks of half a second that take turns, and counts their bytes.
fn interleave(tracks: &[Samples]) -> (Vec<Chunk>, usize) {
    let mut chunks = Vec::new();
    let mut next = vec![0; tracks.len()];
    let mut elapsed = vec![0u64; tracks.len()];
    let mut offset = 0;
    let mut until = INTERLEAVE_SECONDS;
    while tracks.iter().zip(&next).any(|(track, next)| *next < track.bytes.len()) {
        for (i, track) in tracks.iter().enumerate() {
            let from = next[i];
            let start = offset;
            while next[i] < track.bytes.len()
                && (elapsed[i] as f64) < until * f64::from(track.timescale.get())
            {
                elapsed[i] += u64::from(track.ticks[next[i]]);
                offset += track.bytes[next[i]].len();
                next[i] += 1;
            }
            if next[i] > from {
                chunks.push(Chunk { track: i, from, to: next[i], offset: start });
            }
        }
        until += INTERLEAVE_SECONDS;
    }
    (chunks, offset)
}

/// The index of the file, for data that begins `data_start` bytes into it.
fn index(
    video: &VideoTrack,
    tracks: &[Samples],
    chunks: &[Chunk],
    tags: &Tags,
    data_start: usize,
) -> Result<MoovBox> {
    // Times of the whole are in the pictures' ticks, of which they are a whole number.
    let timescale = tracks[0].timescale;
    let trak_boxes = (0..tracks.len())
        .map(|i| {
            track_box(video, &tracks[i], i, timescale, chunks.iter().filter(|c| c.track == i), data_start)
        })
        .collect::<Result<Vec<_>>>()?;
    let duration = trak_boxes.iter().map(|trak| trak.tkhd_box.duration).max().unwrap_or(0);
    let mvhd_box = MvhdBox {
        creation_time: Mp4FileTime::default(),
        modification_time: Mp4FileTime::default(),
        timescale,
        duration,
        rate: MvhdBox::DEFAULT_RATE,
        volume: MvhdBox::DEFAULT_VOLUME,
        matrix: MvhdBox::DEFAULT_MATRIX,
        next_track_id: tracks.len() as u32 + 1,
    };
    let unknown_boxes = boxes::user_data(tags)?.into_iter().collect();
    Ok(MoovBox { mvhd_box, trak_boxes, mvex_box: None, unknown_boxes })
}

fn track_box<'c>(
    video: &VideoTrack,
    samples: &Samples,
    number: usize,
    movie_timescale: NonZeroU32,
    chunks: impl Iterator<Item = &'c Chunk>,
    data_start: usize,
) -> Result<TrakBox> {
    // No times of writing anywhere: the same inputs give the same bytes, and so the same artifact.
    let never = Mp4FileTime::default();
    let picture = samples.handler == HdlrBox::HANDLER_TYPE_VIDE;
    let media_ticks: u64 = samples.ticks.iter().copied().map(u64::from).sum();
    let scale = u64::from(samples.timescale.get());
    let movie_ticks = (media_ticks * u64::from(movie_timescale.get()) + scale / 2) / scale;
    let side = |pixels: u32| {
        FixedPointNumber::new(if picture { i16::try_from(pixels).unwrap_or(i16::MAX) } else { 0 }, 0)
    };
    let tkhd_box = TkhdBox {
        flag_track_enabled: true,
        flag_track_in_movie: true,
        flag_track_in_preview: false,
        flag_track_size_is_aspect_ratio: false,
        creation_time: never,
        modification_time: never,
        track_id: number as u32 + 1,
        duration: movie_ticks,
        layer: TkhdBox::DEFAULT_LAYER,
        alternate_group: TkhdBox::DEFAULT_ALTERNATE_GROUP,
        volume: if picture { TkhdBox::DEFAULT_VIDEO_VOLUME } else { TkhdBox::DEFAULT_AUDIO_VOLUME },
        matrix: TkhdBox::DEFAULT_MATRIX,
        width: side(video.width),
        height: side(video.height),
    };
    let mdhd_box = MdhdBox {
        creation_time: never,
        modification_time: never,
        timescale: samples.timescale,
        duration: media_ticks,
        language: LanguageCode::UNDEFINED,
    };
    let name = if picture { b"picture\0" } else { b"speech\0\0" };
    let hdlr_box = HdlrBox { handler_type: samples.handler, name: name.to_vec() };
    let minf_box = MinfBox {
        media_header: Some(samples.media_header.clone()),
        dinf_box: DinfBox::LOCAL_FILE,
        stbl_box: sample_table(samples, chunks, data_start)?,
        unknown_boxes: Vec::new(),
    };
    let mdia_box = MdiaBox { mdhd_box, hdlr_box, minf_box, unknown_boxes: Vec::new() };
    Ok(TrakBox { tkhd_box, edts_box: None, mdia_box, unknown_boxes: Vec::new() })
}

fn sample_table<'c>(
    samples: &Samples,
    chunks: impl Iterator<Item = &'c Chunk>,
    data_start: usize,
) -> Result<StblBox> {
    let mut runs: Vec<StscEntry> = Vec::new();
    let mut chunk_offsets = Vec::new();
    for (number, chunk) in (1..).map_while(NonZeroU32::new).zip(chunks) {
        let sample_per_chunk = (chunk.to - chunk.from) as u32;
        if runs.last().is_none_or(|run| run.sample_per_chunk != sample_per_chunk) {
            let sample_description_index = NonZeroU32::MIN;
            runs.push(StscEntry { first_chunk: number, sample_per_chunk, sample_description_index });
        }
        chunk_offsets.push((data_start + chunk.offset) as u32);
    }
    Ok(StblBox {
        stsd_box: StsdBox { entries: vec![samples.entry.clone()] },
        stts_box: SttsBox::from_sample_deltas(samples.ticks.iter().copied())
            .map_err(|e| MediaError::encode("writing an MP4", e))?,
        ctts_box: None,
        cslg_box: None,
        stsc_box: StscBox { entries: runs },
        stsz_box: StszBox::Variable {
            entry_sizes: samples.bytes.iter().map(|bytes| bytes.len() as u32).collect(),
        },
        stco_or_co64_box: Either::A(StcoBox { chunk_offsets }),
        stss_box: samples.seekable.clone().map(|sample_numbers| StssBox { sample_numbers }),
        sdtp_box: None,
        unknown_boxes: Vec::new(),
    })
}
