//! Reads the length of an MP4 from its movie header, and its tags. Everything else about video is `spinbot-media`'s.

use std::collections::BTreeMap;

/// Seconds the movie lasts; `None` when the bytes hold no movie header.
pub(crate) fn duration(mp4: &[u8]) -> Option<f64> {
    let header = find(find(mp4, b"moov")?, b"mvhd")?;
    let number = |at: usize, len: usize| {
        header.get(at..at + len).map(|bytes| bytes.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte)))
    };
    // ISO/IEC 14496-12, 8.2.2: version 1 has 64-bit times before a 32-bit scale and a 64-bit duration.
    let (scale, length) = match header.first()? {
        1 => (number(20, 4)?, number(24, 8)?),
        _ => (number(12, 4)?, number(16, 4)?),
    };
    (scale > 0).then(|| length as f64 / scale as f64)
}

/// The texts of the tags, by the type of their box, `©nam` as `nam`, or by their own name.
pub(crate) fn tags(mp4: &[u8]) -> BTreeMap<String, String> {
    let list = || find(find(find(find(mp4, b"moov")?, b"udta")?, b"meta")?.get(4..)?, b"ilst");
    let mut rest = list().unwrap_or_default();
    let mut tags = BTreeMap::new();
    while let Some((kind, item, after)) = first(rest) {
        rest = after;
        let name = match kind {
            b"----" => find(item, b"name").and_then(|name| name.get(4..)),
            _ => kind.strip_prefix(b"\xa9"),
        };
        if let (Some(name), Some(text)) = (name, find(item, b"data").and_then(|data| data.get(8..))) {
            let lossy = |bytes| String::from_utf8_lossy(bytes).into_owned();
            tags.insert(lossy(name), lossy(text));
        }
    }
    tags
}

/// The content of the first box of that kind.
fn find<'a>(mut boxes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    loop {
        let (kind, content, rest) = first(boxes)?;
        if kind == wanted {
            return Some(content);
        }
        boxes = rest;
    }
}

/// The kind and content of the first box, and what comes after it.
fn first(boxes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let small = u64::from(u32::from_be_bytes(boxes.get(..4)?.try_into().ok()?));
    let (start, size) = match small {
        1 => (16, u64::from_be_bytes(boxes.get(8..16)?.try_into().ok()?)),
        0 => (8, boxes.len() as u64),
        size => (8, size),
    };
    let size = usize::try_from(size).ok().filter(|size| *size >= start)?;
    Some((boxes.get(4..8)?, boxes.get(start..size)?, boxes.get(size..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes(), kind.as_slice(), content].concat()
    }

    #[test]
    fn the_length_is_read_from_either_header_version_and_hostile_bytes_give_none() {
        let header = |version: u8, times: usize, scale: u32, length: &[u8]| {
            [&[version, 0, 0, 0], vec![0; times].as_slice(), &scale.to_be_bytes(), length].concat()
        };
        let movie = |header: &[u8]| {
            let moov = boxed(b"moov", &[boxed(b"free", b"x"), boxed(b"mvhd", header)].concat());
            [boxed(b"ftyp", b"isom"), moov].concat()
        };
        assert_eq!(duration(&movie(&header(0, 8, 600, &900_u32.to_be_bytes()))), Some(1.5));
        assert_eq!(duration(&movie(&header(1, 16, 48_000, &96_000_u64.to_be_bytes()))), Some(2.0));
        let good = movie(&header(0, 8, 600, &900_u32.to_be_bytes()));
        for cut in 0..good.len() {
            assert_eq!(duration(&good[..cut]), None, "cut at {cut}");
        }
        assert_eq!(duration(&movie(&header(0, 8, 0, &[0; 4]))), None);
        assert_eq!(duration(b"\0\0\0\0moov"), None);
        assert_eq!(duration(b"\0\0\0\x01free\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }
    #[test]
    fn tags_are_read_by_their_type_or_their_own_name() {
        let data = |text: &str| boxed(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], text.as_bytes()].concat());
        let named = [boxed(b"mean", b"\0\0\0\0spinbot"), boxed(b"name", b"\0\0\0\0spinbot.plan"), data("{}")];
        let list = [
            boxed(b"\xa9nam", &data("a title")),
            boxed(b"----", &named.concat()),
            boxed(b"trkn", &data("1")),
        ];
        let meta = boxed(b"meta", &[b"\0\0\0\0".to_vec(), boxed(b"ilst", &list.concat())].concat());
        let movie = boxed(b"moov", &boxed(b"udta", &meta));
        let expected = [("nam", "a title"), ("spinbot.plan", "{}")];
        assert_eq!(tags(&movie), expected.map(|(name, text)| (name.into(), text.into())).into());
        for cut in 0..movie.len() {
            assert!(tags(&movie[..cut]).is_empty(), "cut at {cut}");
        }
    }
}
