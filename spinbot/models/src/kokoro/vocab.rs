//! Kokoro's alphabet: which phonemes it knows and their ids.
//!
//! The table is that of hexgrad/Kokoro-82M's config (Apache-2.0): IPA as misaki and espeak-ng write it, one
//! character a phoneme, with capitals for English diphthongs (A I O W Y for eɪ aɪ oʊ aʊ ɔɪ, Q for əʊ), stress and
//! length marks, intonation arrows and the punctuation that steers prosody.

/// How many ids there are, most of them taken; 0 is the pad.
pub const SIZE: u32 = 178;

/// The phonemes and their ids.
#[rustfmt::skip]
const IDS: &[(char, u32)] = &[
    (';', 1), (':', 2), (',', 3), ('.', 4), ('!', 5), ('?', 6), ('—', 9), ('…', 10), ('"', 11),
    ('(', 12), (')', 13), ('“', 14), ('”', 15), (' ', 16), ('\u{303}', 17), ('ʣ', 18), ('ʥ', 19),
    ('ʦ', 20), ('ʨ', 21), ('ᵝ', 22), ('ꭧ', 23), ('A', 24), ('I', 25), ('O', 31), ('Q', 33), ('S', 35),
    ('T', 36), ('W', 39), ('Y', 41), ('ᵊ', 42), ('a', 43), ('b', 44), ('c', 45), ('d', 46), ('e', 47),
    ('f', 48), ('h', 50), ('i', 51), ('j', 52), ('k', 53), ('l', 54), ('m', 55), ('n', 56), ('o', 57),
    ('p', 58), ('q', 59), ('r', 60), ('s', 61), ('t', 62), ('u', 63), ('v', 64), ('w', 65), ('x', 66),
    ('y', 67), ('z', 68), ('ɑ', 69), ('ɐ', 70), ('ɒ', 71), ('æ', 72), ('β', 75), ('ɔ', 76), ('ɕ', 77),
    ('ç', 78), ('ɖ', 80), ('ð', 81), ('ʤ', 82), ('ə', 83), ('ɚ', 85), ('ɛ', 86), ('ɜ', 87), ('ɟ', 90),
    ('ɡ', 92), ('ɥ', 99), ('ɨ', 101), ('ɪ', 102), ('ʝ', 103), ('ɯ', 110), ('ɰ', 111), ('ŋ', 112),
    ('ɳ', 113), ('ɲ', 114), ('ɴ', 115), ('ø', 116), ('ɸ', 118), ('θ', 119), ('œ', 120), ('ɹ', 123),
    ('ɾ', 125), ('ɻ', 126), ('ʁ', 128), ('ɽ', 129), ('ʂ', 130), ('ʃ', 131), ('ʈ', 132), ('ʧ', 133),
    ('ʊ', 135), ('ʋ', 136), ('ʌ', 138), ('ɣ', 139), ('ɤ', 140), ('χ', 142), ('ʎ', 143), ('ʒ', 147),
    ('ʔ', 148), ('ˈ', 156), ('ˌ', 157), ('ː', 158), ('ʰ', 162), ('ʲ', 164), ('↓', 169), ('→', 171),
    ('↗', 172), ('↘', 173), ('ᵻ', 177),
];

/// Some phonemes as token ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    /// The ids, with a pad before and after.
    pub ids: Vec<u32>,
    /// For every id between the pads, which character of the phonemes it is for, counted from 0.
    pub places: Vec<usize>,
    /// Characters that the network does not know and that were left out, in the order they came.
    pub unknown: Vec<char>,
}

/// The id of a phoneme.
pub fn id(phoneme: char) -> Option<u32> {
    IDS.iter().find(|(known, _)| *known == phoneme).map(|(_, id)| *id)
}

/// Phonemes as token ids. What the network does not know is left out and told.
///
/// ```
/// let tokens = spinbot_models::kokoro::vocab::encode("hɪ5!");
/// assert_eq!(tokens.ids, [0, 50, 102, 5, 0]);
/// assert_eq!((tokens.places, tokens.unknown), (vec![0, 1, 3], vec!['5']));
/// ```
pub fn encode(phonemes: &str) -> Tokens {
    let mut tokens = Tokens { ids: vec![0], ..Tokens::default() };
    for (place, phoneme) in phonemes.chars().enumerate() {
        match id(phoneme) {
            Some(id) => {
                tokens.ids.push(id);
                tokens.places.push(place);
            }
            None => tokens.unknown.push(phoneme),
        }
    }
    tokens.ids.push(0);
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phoneme_and_every_id_is_there_once() {
        let mut ids: Vec<_> = IDS.iter().map(|(_, id)| *id).collect();
        let mut phonemes: Vec<_> = IDS.iter().map(|(phoneme, _)| *phoneme).collect();
        assert!(ids.iter().all(|id| (1..SIZE).contains(id)));
        ids.sort_unstable();
        phonemes.sort_unstable();
        ids.dedup();
        phonemes.dedup();
        assert_eq!((ids.len(), phonemes.len()), (IDS.len(), IDS.len()));
    }

    #[test]
    fn english_phonemes_and_punctuation_are_all_known() {
        let english = "AIOQWYbdfhijklmnpstuvwzæðŋɑɒɔəɚɛɜɡɪɹɾʃʊʌʒʔʤʧθᵊᵻˈˌː ;:,.!?—…\"()“”";
        assert_eq!(encode(english).unknown, [], "{english}");
        assert_eq!(encode("").ids, [0, 0]);
    }
}
