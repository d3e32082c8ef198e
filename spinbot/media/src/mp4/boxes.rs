//! Boxes of an MP4 that describe codings and tags. The tree of tracks and the places of samples are in
//! `write`. shiguredo_mp4 has no types for `colr`, `pasp` and `udta`: those are made here as its unknown boxes.

use super::Tags;
use crate::video::VideoTrack;
use crate::{MediaError, Result};
use shiguredo_mp4::boxes::{
    AudioSampleEntryFields, Avc1Box, AvccBox, DflaBox, FlacBox, FlacMetadataBlock, SampleEntry, UnknownBox,
    VisualSampleEntryFields,
};
use shiguredo_mp4::{BoxSize, BoxType, Encode, FixedPointNumber, Uint};

/// A box of this type and content.
pub(super) fn plain(kind: &[u8; 4], payload: Vec<u8>) -> UnknownBox {
    let box_type = BoxType::Normal(*kind);
    UnknownBox { box_type, box_size: BoxSize::with_payload_size(box_type, payload.len() as u64), payload }
}

/// Bytes of a box, for putting it into another.
pub(super) fn encode(part: &impl Encode) -> Result<Vec<u8>> {
    part.encode_to_vec().map_err(|e| MediaError::encode("writing an MP4", e))
}

/// `avc1`: size, parameter sets and colour of the pictures.
pub(super) fn video_entry(track: &VideoTrack) -> Result<SampleEntry> {
    let [_, profile, compatibility, level, ..] = track.sps[..] else {
        return Err(MediaError::shape(
            "writing an MP4",
            "a video without parameter sets",
            "a finished video",
        ));
    };
    // ISO/IEC 14496-15, 5.3.3.1.2: these fields are absent for Baseline, Main and Extended. 4:2:0, 8 bit.
    let extended = !matches!(profile, 66 | 77 | 88);
    let avcc_box = AvccBox {
        avc_profile_indication: profile,
        profile_compatibility: compatibility,
        avc_level_indication: level,
        length_size_minus_one: Uint::new(3),
        sps_list: vec![track.sps.clone()],
        pps_list: vec![track.pps.clone()],
        chroma_format: extended.then(|| Uint::new(1)),
        bit_depth_luma_minus8: extended.then(|| Uint::new(0)),
        bit_depth_chroma_minus8: extended.then(|| Uint::new(0)),
        sps_ext_list: Vec::new(),
    };
    let visual = VisualSampleEntryFields {
        data_reference_index: VisualSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
        width: dimension(track.width)?,
        height: dimension(track.height)?,
        horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
        vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
        frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
        compressorname: [0; 32],
        depth: VisualSampleEntryFields::DEFAULT_DEPTH,
    };
    // Primaries, transfer and matrix of BT.709 are number 1 each (ISO/IEC 23091-2); 0: limited range.
    let mut colour = b"nclx".to_vec();
    colour.extend([0, 1, 0, 1, 0, 1, 0]);
    let square = [1u32, 1].into_iter().flat_map(u32::to_be_bytes).collect();
    let unknown_boxes = vec![plain(b"colr", colour), plain(b"pasp", square)];
    Ok(SampleEntry::Avc1(Avc1Box { visual, avcc_box, unknown_boxes }))
}

fn dimension(pixels: u32) -> Result<u16> {
    u16::try_from(pixels)
        .map_err(|_| MediaError::shape("writing an MP4", format!("{pixels} px"), "at most 65535 px"))
}

/// `fLaC`: rate and stream description of the sound, one channel of 16 bit.
pub(super) fn sound_entry(rate: u32, stream_info: Vec<u8>) -> Result<SampleEntry> {
    let samplerate = u16::try_from(rate).map_err(|_| {
        MediaError::shape("writing an MP4", format!("sound at {rate} Hz"), "at most 65535 Hz")
    })?;
    let audio = AudioSampleEntryFields {
        data_reference_index: AudioSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
        channelcount: 1,
        samplesize: AudioSampleEntryFields::DEFAULT_SAMPLESIZE,
        samplerate: FixedPointNumber::new(samplerate, 0),
    };
    let block = FlacMetadataBlock {
        last_metadata_block_flag: Uint::new(1),
        block_type: FlacMetadataBlock::BLOCK_TYPE_STREAMINFO,
        block_data: stream_info,
    };
    let dfla_box = DflaBox { metadata_blocks: vec![block] };
    Ok(SampleEntry::Flac(FlacBox { audio, dfla_box, unknown_boxes: Vec::new() }))
}

/// The tags that have a type of their own, as iTunes began it.
pub(super) const TITLE: &[u8; 4] = b"\xa9nam";
pub(super) const COMMENT: &[u8; 4] = b"\xa9cmt";
pub(super) const SOFTWARE: &[u8; 4] = b"\xa9too";
/// A tag with a name.
pub(super) const NAMED: &[u8; 4] = b"----";
/// Whose names those are.
const DOMAIN: &[u8] = b"spinbot";

/// `udta` with the tags where players look for them (`meta`/`ilst`, as iTunes began it); `None` without tags.
pub(super) fn user_data(tags: &Tags) -> Result<Option<UnknownBox>> {
    // Type 1 is UTF-8; then a locale of 0.
    let data = |text: &str| encode(&plain(b"data", [&[0, 0, 0, 1, 0, 0, 0, 0], text.as_bytes()].concat()));
    let texts = [(TITLE, &tags.title), (COMMENT, &tags.comment), (SOFTWARE, &tags.software)];
    let mut list = Vec::new();
    for (kind, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        list.extend(encode(&plain(kind, data(text)?))?);
    }
    for (name, text) in tags.named.iter().filter(|(_, text)| !text.is_empty()) {
        // Version and flags come first.
        let word = |kind, word: &[u8]| encode(&plain(kind, [&[0; 4], word].concat()));
        let parts = [word(b"mean", DOMAIN)?, word(b"name", name.as_bytes())?, data(text)?];
        list.extend(encode(&plain(NAMED, parts.concat()))?);
    }
    if list.is_empty() {
        return Ok(None);
    }
    // Version and flags, a reserved word, the handler, its vendor in words kept 0 elsewhere, an empty name.
    let mut handler = vec![0; 8];
    handler.extend(b"mdirappl");
    handler.extend([0; 9]);
    let mut meta = vec![0; 4];
    meta.extend(encode(&plain(b"hdlr", handler))?);
    meta.extend(encode(&plain(b"ilst", list))?);
    Ok(Some(plain(b"udta", encode(&plain(b"meta", meta))?)))
}
