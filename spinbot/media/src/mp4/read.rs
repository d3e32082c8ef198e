//! Reads an MP4 of this crate again: its coded pictures, to be put into a new file, its speech and its tags. For films
//! of users only the sound is read, in [`crate::audio::read`].

use super::{Tags, boxes};
use crate::audio::{self, AudioCaps, Clip};
use crate::video::VideoTrack;
use crate::{MediaError, Result};
use shiguredo_mp4::aux::SampleTableAccessor;
use shiguredo_mp4::boxes::{Avc1Box, MoovBox, SampleEntry, StszBox, TrakBox};
use shiguredo_mp4::{BoxHeader, BoxType, Decode};

const LABEL: &str = "the video";
/// Most frames read; three hours at 25 a second.
const MAX_FRAMES: usize = 270_000;

/// The coded pictures of an MP4, untouched.
///
/// # Errors
/// If the bytes are no MP4, hold no H.264 of constant frame rate, or point outside themselves.
pub fn read_video(file: &[u8]) -> Result<VideoTrack> {
    let moov = find_index(file)?;
    let found =
        moov.trak_boxes.iter().find_map(|trak| match &trak.mdia_box.minf_box.stbl_box.stsd_box.entries[..] {
            [SampleEntry::Avc1(entry)] => Some((trak, entry)),
            _ => None,
        });
    let (trak, entry) = found.ok_or_else(|| broken("it has no H.264 pictures"))?;
    track(file, trak, entry)
}

/// The speech of an MP4, at its own rate.
///
/// # Errors
/// If the bytes are no MP4 or hold no sound that can be decoded.
pub fn read_speech(file: &[u8]) -> Result<Clip> {
    let caps = AudioCaps { min_seconds: 0.0, max_seconds: 10_800.0, ..AudioCaps::default() };
    audio::read_bytes(file.to_vec(), LABEL, &caps)
}

/// What an MP4 says about itself; empty where it says nothing.
///
/// # Errors
/// If the bytes are no MP4.
pub fn read_tags(file: &[u8]) -> Result<Tags> {
    let moov = find_index(file)?;
    let user_data = moov.unknown_boxes.iter().find(|part| part.box_type == BoxType::Normal(*b"udta"));
    // `meta` has version and flags before its boxes.
    let meta = user_data.and_then(|found| inner(&found.payload, b"meta")).and_then(|meta| meta.get(4..));
    let list = meta.and_then(|meta| inner(meta, b"ilst")).unwrap_or_default();
    let mut tags = Tags::default();
    for (kind, item) in parts(list) {
        let Some(text) = inner(item, b"data").and_then(|data| data.get(8..)) else { continue };
        let text = String::from_utf8_lossy(text).into_owned();
        match &kind {
            boxes::TITLE => tags.title = text,
            boxes::COMMENT => tags.comment = text,
            boxes::SOFTWARE => tags.software = text,
            boxes::NAMED => {
                let name = inner(item, b"name").and_then(|name| name.get(4..)).unwrap_or_default();
                tags.named.push((String::from_utf8_lossy(name).into_owned(), text));
            }
            _ => {}
        }
    }
    Ok(tags)
}

/// The boxes in a box's content, up to the first that is cut short.
fn parts(mut rest: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (size, after) = rest.split_first_chunk::<4>()?;
        let (kind, _) = after.split_first_chunk::<4>()?;
        let (part, next) = rest.split_at_checked(u32::from_be_bytes(*size) as usize)?;
        rest = next;
        Some((*kind, part.get(8..)?))
    })
}

/// The content of the first box of that kind.
fn inner<'a>(content: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    parts(content).find(|(found, _)| found == kind).map(|(_, part)| part)
}

fn broken(detail: impl std::fmt::Display) -> MediaError {
    MediaError::broken(LABEL, "reading the MP4's index", detail)
}

/// Looks through the outermost boxes for the index without copying the data.
fn find_index(file: &[u8]) -> Result<MoovBox> {
    let mut rest = file;
    while !rest.is_empty() {
        let (header, payload) = BoxHeader::decode_header_and_payload(rest).map_err(broken)?;
        let length = header.external_size() + payload.len();
        if header.box_type == MoovBox::TYPE {
            return MoovBox::decode(&rest[..length]).map(|(moov, _)| moov).map_err(broken);
        }
        if rest.len() == file.len() && header.box_type != BoxType::Normal(*b"ftyp") {
            break;
        }
        rest = &rest[length..];
    }
    Err(broken("this is no MP4, or one cut short"))
}

fn track(file: &[u8], trak: &TrakBox, entry: &Avc1Box) -> Result<VideoTrack> {
    let media = &trak.mdia_box;
    let table = &media.minf_box.stbl_box;
    let (Some(sps), Some(pps)) = (entry.avcc_box.sps_list.first(), entry.avcc_box.pps_list.first()) else {
        return Err(broken("its pictures have no parameter sets"));
    };
    if entry.avcc_box.length_size_minus_one.get() != 3 || table.ctts_box.is_some() {
        return Err(broken("its pictures are coded in another way than ours"));
    }
    let timescale = media.mdhd_box.timescale.get();
    let fps = match &table.stts_box.entries[..] {
        [steady] if steady.sample_delta > 0 && timescale.is_multiple_of(steady.sample_delta) => {
            timescale / steady.sample_delta
        }
        _ => return Err(broken("its frame rate is not constant and whole")),
    };
    // Sizes listed one by one were counted against the file when they were read; a single size for all was not.
    if let StszBox::Fixed { sample_count, .. } = table.stsz_box
        && sample_count as usize > MAX_FRAMES
    {
        return Err(broken(format!("it claims {sample_count} frames")));
    }
    let samples = SampleTableAccessor::new(table).map_err(broken)?;
    let mut frames = Vec::new();
    let mut total = 0;
    for sample in samples.samples() {
        let from = usize::try_from(sample.data_offset()).unwrap_or(usize::MAX);
        let bytes = file.get(from..from.saturating_add(sample.data_size() as usize));
        let bytes = bytes.ok_or_else(|| broken("a frame lies outside the file"))?;
        // Frames of a hostile file may overlap; those of a sound one together fit inside it.
        total += bytes.len();
        if frames.len() == MAX_FRAMES || total > file.len() {
            return Err(broken("it claims more frames than it can hold"));
        }
        frames.push((bytes.to_vec(), sample.is_sync_sample()));
    }
    let (width, height) = (u32::from(entry.visual.width), u32::from(entry.visual.height));
    Ok(VideoTrack { width, height, fps, sps: sps.clone(), pps: pps.clone(), frames })
}
