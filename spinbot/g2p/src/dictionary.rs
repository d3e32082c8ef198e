//! The embedded pronunciation dictionaries: finding an entry by its exact key. `recipe/dictionaries.py` packs them.
//!
//! What a word sounds like in its sentence (capitals, endings, stress) is `lexicon`'s business.

use std::io::Read;
use std::sync::OnceLock;

use crate::Accent;

/// Entries between two places a search may land on.
const STRIDE: usize = 16;
/// The readings a key may have beside the default one, as numbered in the file.
const TAGS: [&str; 9] = ["None", "NOUN", "VERB", "ADJ", "ADV", "VBD", "VBN", "VBP", "DT"];
/// Ends a reading.
const END: u8 = 255;
/// A reading that is spelled by its letters.
const SPELLED: u8 = 254;
/// More than the larger file unpacks to.
const MAX_UNPACKED: u64 = 16 << 20;

/// Words and their pronunciations in one accent.
pub(crate) struct Dictionary {
    alphabet: Vec<char>,
    shared: Vec<u8>,
    suffixes: Vec<u8>,
    kinds: Vec<u8>,
    prons: Vec<u8>,
    /// For every `STRIDE`-th entry: its whole key, and where it begins in `suffixes` and `prons`.
    marks: Vec<(Vec<u8>, usize, usize)>,
}

/// What a dictionary says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Checked by hand, not made by rules.
    pub gold: bool,
    /// The reading where no other applies; `None`: by its letters.
    pub default: Option<String>,
    /// Readings for a tag: a Penn tag, a parent class, or `None` for before a pause.
    pub others: Vec<(&'static str, Option<String>)>,
}

impl Dictionary {
    /// The dictionary of an accent, unpacked once (about 20 ms) and kept.
    pub fn of(accent: Accent) -> &'static Self {
        static US: OnceLock<Dictionary> = OnceLock::new();
        static UK: OnceLock<Dictionary> = OnceLock::new();
        match accent {
            Accent::Us => US.get_or_init(|| Self::unpack(include_bytes!("../data/us.dict"))),
            Accent::Uk => UK.get_or_init(|| Self::unpack(include_bytes!("../data/gb.dict"))),
        }
    }

    fn unpack(packed: &[u8]) -> Self {
        let mut bytes = Vec::new();
        let read = flate2::read::ZlibDecoder::new(packed).take(MAX_UNPACKED).read_to_end(&mut bytes);
        assert!(read.is_ok(), "the embedded dictionary is whole: a test reads every entry");
        let mut rest = bytes.as_slice();
        let mut column = || {
            let (length, tail) = rest.split_at(4);
            let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
            let (column, tail) = tail.split_at(length);
            rest = tail;
            column.to_vec()
        };
        let alphabet = String::from_utf8_lossy(&column()).chars().collect();
        let mut dictionary = Self {
            alphabet,
            shared: column(),
            suffixes: column(),
            kinds: column(),
            prons: column(),
            marks: Vec::new(),
        };
        let mut cursor = Cursor::default();
        let mut marks = Vec::with_capacity(dictionary.shared.len() / STRIDE + 1);
        while cursor.entry < dictionary.shared.len() {
            let (suffix, pron) = (cursor.suffix, cursor.pron);
            cursor.step(&dictionary);
            if (cursor.entry - 1).is_multiple_of(STRIDE) {
                marks.push((cursor.key.clone(), suffix, pron));
            }
        }
        dictionary.marks = marks;
        dictionary
    }

    /// The entry of exactly this key.
    pub fn get(&self, key: &str) -> Option<Entry> {
        let key = key.as_bytes();
        let block = self.marks.partition_point(|(mark, ..)| mark.as_slice() <= key).checked_sub(1)?;
        let (mark, suffix, pron) = &self.marks[block];
        let mut cursor =
            Cursor { entry: block * STRIDE, suffix: *suffix, pron: *pron, key: mark.clone(), at: 0 };
        for _ in 0..STRIDE.min(self.shared.len() - cursor.entry) {
            cursor.step(self);
            match cursor.key.as_slice().cmp(key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Some(self.entry(cursor.entry - 1, cursor.at)),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    fn entry(&self, number: usize, mut at: usize) -> Entry {
        let kind = self.kinds[number];
        let default = self.reading(&mut at);
        let others = (0..kind >> 1)
            .map(|_| {
                let tag = TAGS[usize::from(self.prons[at]).min(TAGS.len() - 1)];
                at += 1;
                (tag, self.reading(&mut at))
            })
            .collect();
        Entry { gold: kind & 1 == 0, default, others }
    }

    fn reading(&self, at: &mut usize) -> Option<String> {
        let codes = &self.prons[*at..];
        let codes = &codes[..codes.iter().position(|&c| c == END).unwrap_or(codes.len())];
        *at += codes.len() + 1;
        if codes == [SPELLED] {
            return None;
        }
        Some(codes.iter().filter_map(|&c| self.alphabet.get(usize::from(c))).collect())
    }

    /// All keys, in order.
    #[cfg(test)]
    pub fn keys(&self) -> Vec<String> {
        let mut cursor = Cursor::default();
        (0..self.shared.len())
            .map(|_| {
                cursor.step(self);
                String::from_utf8_lossy(&cursor.key).into_owned()
            })
            .collect()
    }
}

/// A walk over the entries.
#[derive(Default)]
struct Cursor {
    entry: usize,
    suffix: usize,
    pron: usize,
    /// Key of the entry last stepped over.
    key: Vec<u8>,
    /// Where its readings begin.
    at: usize,
}

impl Cursor {
    fn step(&mut self, dictionary: &Dictionary) {
        let rest = &dictionary.suffixes[self.suffix..];
        let rest = &rest[..rest.iter().position(|&b| b == 0).unwrap_or(rest.len())];
        self.key.truncate(usize::from(dictionary.shared[self.entry]));
        self.key.extend_from_slice(rest);
        self.suffix += rest.len() + 1;
        self.at = self.pron;
        // Tags are below END, so that ends can be counted without looking at them.
        for _ in 0..=dictionary.kinds[self.entry] >> 1 {
            let codes = &dictionary.prons[self.pron..];
            self.pron += codes.iter().position(|&c| c == END).map_or(codes.len(), |n| n + 1);
        }
        self.entry += 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_key_is_found_again() {
        for accent in [Accent::Us, Accent::Uk] {
            let dictionary = Dictionary::of(accent);
            let keys = dictionary.keys();
            assert!(keys.len() > 180_000 && keys.is_sorted());
            for key in keys {
                let entry = dictionary.get(&key).unwrap_or_else(|| panic!("{key} is lost"));
                let readings = entry.others.iter().map(|(_, r)| r).chain([&entry.default]);
                assert!(readings.flatten().all(|r| !r.is_empty()), "{key}");
            }
            for key in ["", " ", "zzzzz", "\u{10ffff}", "tablet\0"] {
                assert_eq!(dictionary.get(key), None, "{key:?}");
            }
        }
    }

    #[test]
    fn readings_are_misakis() {
        let read = Dictionary::of(Accent::Us).get("read").unwrap();
        assert!(read.gold);
        assert_eq!(read.default.as_deref(), Some("ɹˈid"));
        assert!(read.others.contains(&("VBD", Some("ɹˈɛd".into()))));
        assert_eq!(Dictionary::of(Accent::Uk).get("bath").unwrap().default.as_deref(), Some("bˈɑːθ"));
        let spelled = Dictionary::of(Accent::Us).get("ACT").unwrap();
        assert!(spelled.others.contains(&("NOUN", None)));
        assert!(!Dictionary::of(Accent::Us).get("aaronic").unwrap().gold);
    }
}
