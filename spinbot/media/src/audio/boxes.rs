//! A look over the boxes of a user's MP4 before symphonia reads it. Its reader (0.5) allocates what a table's
//! count claims, up to 32 GB for four damaged bytes, and subtracts header sizes unchecked. Only shapes are
//! checked here: each box lies inside its parent and each table holds what it counts. No sound is read.

/// Containers nest six deep in files of this world.
const MAX_DEPTH: u32 = 16;

/// Checks every box symphonia will look into; the error says which one lies.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    check_list(file, 0)
}

/// Boxes one after the other.
fn check_list(mut list: &[u8], depth: u32) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("boxes are nested too deeply".to_owned());
    }
    // QuickTime ends some lists with a zero word: less than a header is no box.
    while list.len() >= 8 {
        let Some((kind, header, size)) = head(list, depth == 0) else {
            return Err("a box is smaller than its header".to_owned());
        };
        let name = String::from_utf8_lossy(kind).into_owned();
        let available = list.len() as u64;
        if size > available {
            // The data of a file cut short may be missing its end; descriptions may not.
            let data = depth == 0 && matches!(kind, b"mdat" | b"free" | b"skip" | b"wide");
            return if data { Ok(()) } else { Err(format!("box {name:?} reaches beyond its parent")) };
        }
        let (whole, rest) = list.split_at(size as usize);
        check_box(kind, &whole[header..], depth)
            .map_err(|inner| inner.unwrap_or(format!("box {name:?} is cut short")))?;
        list = rest;
    }
    Ok(())
}

/// Kind, header length and whole length of the box a list of at least 8 bytes begins with; `None` if it is
/// shorter than its own header. A length of 0 means to the end of the file, and is for outermost boxes only.
fn head(list: &[u8], outermost: bool) -> Option<(&[u8; 4], usize, u64)> {
    let (short, rest) = list.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let (header, size) = match u32::from_be_bytes(*short) {
        0 if outermost => (8, list.len() as u64),
        1 => (16, u64::from_be_bytes(*rest.first_chunk::<8>()?)),
        size => (8, u64::from(size)),
    };
    (size >= header as u64).then_some((kind, header, size))
}

/// `Err(None)` if the box itself is too short, `Err(Some)` for one inside it.
fn check_box(kind: &[u8; 4], payload: &[u8], depth: u32) -> Result<(), Option<String>> {
    let nested = |skip: usize| match payload.get(skip..) {
        Some(list) => check_list(list, depth + 1).map_err(Some),
        None => Err(None),
    };
    let table = |count_at: usize, entry: u64| {
        let count = payload.get(count_at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(None)?;
        let held = (payload.len() - count_at - 4) as u64;
        if u64::from(u32::from_be_bytes(*count)) * entry > held { Err(None) } else { Ok(()) }
    };
    let least = |bytes: usize| if payload.len() < bytes { Err(None) } else { Ok(()) };
    match kind {
        b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" | b"edts" | b"udta" | b"mvex" | b"moof" | b"traf"
        | b"ilst" | b"wave" => nested(0),
        // QuickTime's has no version and flags before its list.
        b"meta" => nested(if payload.get(4..8) == Some(b"hdlr") { 0 } else { 4 }),
        b"stsd" => nested(8),
        // The fields of a sound description, longer in two versions of QuickTime.
        b"mp4a" | b"alac" | b"fLaC" | b"Opus" | b"lpcm" | b".mp3" if payload.len() >= 28 && depth >= 6 => {
            nested(match payload[8..10] {
                [0, 1] => 44,
                [0, 2] => 64,
                _ => 28,
            })
        }
        b"hdlr" => least(24),
        b"stts" | b"ctts" | b"co64" => table(4, 8),
        b"stco" | b"stss" => table(4, 4),
        b"stsc" => table(4, 12),
        b"elst" => table(4, if payload.first() == Some(&1) { 20 } else { 12 }),
        b"stsz" if payload.get(4..8) == Some(&[0; 4]) => table(8, 4),
        b"stsz" => least(12),
        b"data" => least(8),
        b"esds" | b"dfLa" | b"dOps" => least(8),
        // Tags hold one `data` box, or anything.
        [0xa9, ..] | b"aART" | b"covr" | b"trkn" | b"disk" | b"gnre" | b"tmpo" | b"----" if depth > 3 => {
            nested(0)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
        [&(payload.len() as u32 + 8).to_be_bytes(), kind.as_slice(), payload].concat()
    }

    #[test]
    fn tables_that_claim_more_than_they_hold_are_found() {
        let stts = |count: u32| [[0; 4].as_slice(), &count.to_be_bytes(), &[0; 16]].concat();
        let cases: [(&str, Vec<u8>, Option<&str>); 9] = [
            ("sound", boxed(b"moov", &boxed(b"trak", &boxed(b"stts", &stts(2)))), None),
            ("counts too many", boxed(b"moov", &boxed(b"stts", &stts(3))), Some("box \"stts\" is cut short")),
            (
                "counts all it can",
                boxed(b"moov", &boxed(b"stts", &stts(u32::MAX))),
                Some("box \"stts\" is cut short"),
            ),
            (
                "no room for a count",
                boxed(b"moov", &boxed(b"stco", &[0; 5])),
                Some("box \"stco\" is cut short"),
            ),
            (
                "beyond its parent",
                boxed(b"moov", b"\0\0\x10\0trak\0\0\0\0"),
                Some("box \"trak\" reaches beyond its parent"),
            ),
            (
                "smaller than a header",
                boxed(b"moov", b"\0\0\0\x04trak\0\0\0\0"),
                Some("a box is smaller than its header"),
            ),
            ("endless inside", boxed(b"moov", b"\0\0\0\0hdlr"), Some("a box is smaller than its header")),
            ("data cut short", [boxed(b"moov", &[]), b"\0\x10\0\0mdat\0\0".to_vec()].concat(), None),
            (
                "large size",
                b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
                Some("box \"moov\" reaches beyond its parent"),
            ),
        ];
        for (name, file, expected) in cases {
            assert_eq!(check(&file).err().as_deref(), expected, "{name}");
        }
        let deep = (0..100).fold(Vec::new(), |inside, _| boxed(b"trak", &inside));
        assert_eq!(check(&deep).unwrap_err(), "boxes are nested too deeply");
    }
}
