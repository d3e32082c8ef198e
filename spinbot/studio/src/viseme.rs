//! What the lips and jaw want to do for each phoneme: the one table from Kokoro's alphabet to the mouth. When they
//! get there is in `coarticulation`.
//!
//! The alphabet is misaki's for English (A I O Q W Y are diphthongs, T is the flap, ʧ and ʤ affricates) with the
//! other IPA of Kokoro's vocabulary, which a user's own pronunciations may hold. Groups follow the viseme classes of
//! MPEG-4 (ISO/IEC 14496-2, annex on face animation); openness of vowels follows their height, rounding their IPA.

/// Where one channel group should go, and how much it insists against its neighbours (Löfqvist 1990; Cohen and
/// Massaro 1993: the amplitude of a segment's dominance).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Viseme {
    /// Targets as of [`crate::MotionFrame`].
    pub(crate) jaw: f32,
    pub(crate) width: f32,
    pub(crate) round: f32,
    pub(crate) upper: f32,
    pub(crate) tuck: f32,
    /// Lips shut from the segment's beginning to its end, whatever surrounds it.
    pub(crate) seal: bool,
    /// A vowel: opens further under stress and when loud.
    pub(crate) vowel: bool,
    /// How much the jaw insists, 0 (goes with its neighbours) to about 2.
    pub(crate) jaw_hold: f32,
    /// How much width and rounding insist.
    pub(crate) lip_hold: f32,
}

impl Viseme {
    /// The same with another jaw, of 0..=1.
    pub(crate) fn with_jaw(self, jaw: f32) -> Self {
        Viseme { jaw: jaw.clamp(0.0, 1.0), ..self }
    }
}

/// What a symbol asks of the mouth: one or two visemes, the first for the given share of its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Gesture {
    /// The mouth is there throughout.
    Single(Viseme),
    /// It glides, as in a diphthong or an affricate: from the first, which has this share of the time.
    Glide(Viseme, Viseme, f32),
    /// Nothing is said: a space or punctuation.
    Pause,
    /// A mark that lengthens or colours the phoneme before it.
    Mark,
}

/// A vowel of this jaw, width and rounding; `hold` of both jaw and lips.
const fn vowel(jaw: f32, width: f32, round: f32, hold: f32) -> Viseme {
    let upper = 0.10 + 0.12 * jaw;
    Viseme { jaw, width, round, upper, tuck: 0.0, seal: false, vowel: true, jaw_hold: hold, lip_hold: hold }
}

/// A consonant of this jaw, width, rounding and raised upper lip.
const fn consonant(jaw: f32, width: f32, round: f32, upper: f32, jaw_hold: f32, lip_hold: f32) -> Viseme {
    Viseme { jaw, width, round, upper, tuck: 0.0, seal: false, vowel: false, jaw_hold, lip_hold }
}

// Vowels, from open to close, spread before rounded.
const OPEN: Viseme = vowel(1.0, 0.05, 0.0, 1.2);
const OPEN_FRONT: Viseme = vowel(0.92, 0.32, 0.0, 1.2);
const OPEN_ROUND: Viseme = vowel(0.80, -0.20, 0.40, 1.2);
const MID_BACK: Viseme = vowel(0.72, 0.0, 0.05, 1.0);
const MID_FRONT: Viseme = vowel(0.66, 0.38, 0.0, 1.0);
const MID_ROUND: Viseme = vowel(0.62, -0.35, 0.62, 1.2);
const MID_CENTRAL: Viseme = vowel(0.42, -0.12, 0.24, 0.9);
const SCHWA: Viseme = vowel(0.36, 0.0, 0.0, 0.5);
const NEAR_CLOSE: Viseme = vowel(0.38, 0.42, 0.0, 0.9);
const CLOSE_FRONT: Viseme = vowel(0.30, 0.66, 0.0, 1.1);
const CLOSE_CENTRAL: Viseme = vowel(0.27, 0.20, 0.0, 0.6);
const NEAR_CLOSE_ROUND: Viseme = vowel(0.32, -0.30, 0.60, 1.0);
const CLOSE_ROUND: Viseme = vowel(0.25, -0.40, 0.88, 1.4);

// Consonants, from the lips backwards.
const BILABIAL: Viseme = Viseme { seal: true, ..consonant(0.12, 0.0, 0.0, 0.0, 0.5, 0.25) };
const LABIODENTAL: Viseme = Viseme { tuck: 1.0, ..consonant(0.13, 0.08, 0.0, 0.24, 2.2, 0.5) };
const LABIAL_GLIDE: Viseme = consonant(0.16, -0.50, 1.0, 0.0, 1.6, 2.2);
const DENTAL: Viseme = consonant(0.20, 0.10, 0.0, 0.14, 1.1, 0.3);
const ALVEOLAR: Viseme = consonant(0.20, 0.10, 0.0, 0.10, 0.7, 0.15);
const LATERAL: Viseme = consonant(0.30, 0.08, 0.0, 0.08, 0.6, 0.2);
const SIBILANT: Viseme = consonant(0.14, 0.32, 0.0, 0.20, 1.7, 0.6);
const POSTALVEOLAR: Viseme = consonant(0.16, -0.28, 0.52, 0.18, 1.7, 1.3);
const RHOTIC: Viseme = consonant(0.24, -0.22, 0.46, 0.08, 0.8, 1.0);
const PALATAL: Viseme = consonant(0.22, 0.52, 0.0, 0.10, 0.9, 0.7);
const VELAR: Viseme = consonant(0.28, 0.05, 0.0, 0.06, 0.35, 0.1);
const GLOTTAL: Viseme = consonant(0.36, 0.0, 0.0, 0.06, 0.12, 0.05);

/// What a symbol of Kokoro's alphabet asks of the mouth. Letters it does not have ask for a slightly open mouth,
/// anything else for a pause.
pub(crate) fn gesture(symbol: char) -> Gesture {
    use Gesture::{Glide, Mark, Pause, Single};
    match symbol {
        'A' => Glide(MID_FRONT, NEAR_CLOSE, 0.55),
        'I' => Glide(OPEN, NEAR_CLOSE, 0.60),
        'W' => Glide(OPEN, NEAR_CLOSE_ROUND, 0.55),
        'Y' => Glide(MID_ROUND, NEAR_CLOSE, 0.55),
        'O' => Glide(MID_ROUND, CLOSE_ROUND, 0.50),
        'Q' => Glide(MID_CENTRAL, CLOSE_ROUND, 0.50),
        'ʧ' | 'ʨ' => Glide(Viseme { lip_hold: 0.9, round: 0.40, ..ALVEOLAR }, POSTALVEOLAR, 0.4),
        'ʤ' | 'ʥ' => Glide(Viseme { lip_hold: 0.9, round: 0.40, ..ALVEOLAR }, POSTALVEOLAR, 0.4),
        'ʦ' | 'ʣ' => Glide(ALVEOLAR, SIBILANT, 0.4),
        'ɑ' | 'a' | 'ɐ' => Single(OPEN),
        'æ' => Single(OPEN_FRONT),
        'ɒ' | 'ɔ' | 'œ' => Single(OPEN_ROUND),
        'ʌ' | 'ɤ' => Single(MID_BACK),
        'ɛ' | 'e' => Single(MID_FRONT),
        'o' | 'ø' => Single(MID_ROUND),
        'ɜ' | 'ɚ' => Single(MID_CENTRAL),
        'ə' => Single(SCHWA),
        'ᵊ' => Single(Viseme { jaw_hold: 0.25, lip_hold: 0.2, ..SCHWA }),
        'ɪ' => Single(NEAR_CLOSE),
        'ᵻ' | 'ɨ' | 'ɯ' => Single(CLOSE_CENTRAL),
        'i' => Single(CLOSE_FRONT),
        'ʊ' => Single(NEAR_CLOSE_ROUND),
        'u' | 'y' => Single(CLOSE_ROUND),
        'p' | 'b' | 'm' => Single(BILABIAL),
        'f' | 'v' | 'ʋ' | 'ꭧ' => Single(LABIODENTAL),
        'ɸ' | 'β' => Single(Viseme { tuck: 0.0, round: 0.2, ..LABIODENTAL }),
        'w' | 'ɥ' => Single(LABIAL_GLIDE),
        'θ' | 'ð' => Single(DENTAL),
        't' | 'd' | 'n' | 'ʈ' | 'ɖ' | 'ɳ' | 'r' => Single(ALVEOLAR),
        'T' | 'ɾ' | 'ɽ' => Single(Viseme { jaw_hold: 0.4, ..ALVEOLAR }),
        'l' | 'ʎ' => Single(LATERAL),
        's' | 'z' => Single(SIBILANT),
        'ʃ' | 'ʒ' | 'ʂ' | 'ɕ' | 'S' => Single(POSTALVEOLAR),
        'ɹ' | 'ɻ' => Single(RHOTIC),
        'j' | 'ç' | 'ʝ' | 'ɲ' | 'c' | 'ɟ' => Single(PALATAL),
        'k' | 'ɡ' | 'g' | 'ŋ' | 'x' | 'ɣ' | 'ɰ' | 'q' | 'χ' | 'ʁ' | 'ɴ' => Single(VELAR),
        'h' | 'ʔ' => Single(GLOTTAL),
        'ː' | 'ʰ' | 'ʲ' | 'ᵝ' | '\u{303}' | 'ˈ' | 'ˌ' => Mark,
        letter if letter.is_alphabetic() => Single(SCHWA),
        _ => Pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every symbol of Kokoro's vocabulary that is said, and those that are not.
    const SAID: &str =
        "ʣʥʦʨꭧAIOQSTWYᵊabcdefhijklmnopqrstuvwxyzɑɐɒæβɔɕçɖðʤəɚɛɜɟɡɥɨɪʝɯɰŋɳɲɴøɸθœɹɾɻʁɽʂʃʈʧʊʋʌɣɤχʎʒʔᵻ";
    const MARKS: &str = "ˈˌːʰʲᵝ\u{303}";
    const PAUSES: &str = ";:,.!?—…\"()“” ↓→↗↘";

    #[test]
    fn every_symbol_of_the_alphabet_has_its_mouth() {
        for symbol in SAID.chars() {
            let visemes = match gesture(symbol) {
                Gesture::Single(viseme) => vec![viseme],
                Gesture::Glide(from, to, share) => {
                    assert!(from != to && (0.2..0.8).contains(&share), "{symbol}");
                    vec![from, to]
                }
                other => panic!("{symbol}: {other:?}"),
            };
            for v in visemes {
                // Only ə is where a letter of no alphabet goes.
                assert!(symbol == 'ə' || v != SCHWA, "{symbol} has no row");
                let shares = [v.jaw, v.round, v.upper, v.tuck];
                assert!(shares.iter().all(|x| (0.0..=1.0).contains(x)), "{symbol}: {v:?}");
                assert!((-1.0..=1.0).contains(&v.width) && v.jaw_hold > 0.0 && v.lip_hold > 0.0, "{symbol}");
                assert_eq!(v.seal, "pbm".contains(symbol), "{symbol}");
                assert_eq!(v.tuck > 0.0, "fvʋꭧ".contains(symbol), "{symbol}");
            }
        }
        assert!(MARKS.chars().all(|symbol| gesture(symbol) == Gesture::Mark));
        assert!(PAUSES.chars().all(|symbol| gesture(symbol) == Gesture::Pause));
        assert_eq!(gesture('ж'), Gesture::Single(SCHWA));
    }

    /// What a network learned to hear is drawn as what it learned it from.
    #[test]
    fn what_is_heard_has_the_jaw_that_is_drawn() {
        for symbol in SAID.chars().filter(|symbol| !"pbm".contains(*symbol)) {
            let (from, to, share) = spinbot_models::visemes::mouths(symbol).unwrap();
            match gesture(symbol) {
                Gesture::Single(v) => assert_eq!((v.jaw, v.jaw), (from.jaw, to.jaw), "{symbol}"),
                // Of an affricate only one viseme is heard.
                Gesture::Glide(a, b, turn) if a.vowel => {
                    assert_eq!((a.jaw, b.jaw, turn), (from.jaw, to.jaw, share), "{symbol}");
                }
                _ => {}
            }
        }
        assert!(MARKS.chars().all(|symbol| spinbot_models::visemes::mouths(symbol).is_none()));
        for viseme in spinbot_models::visemes::Viseme::ALL {
            let (heard, _, _) = spinbot_models::visemes::mouths(viseme.symbol()).unwrap();
            assert_eq!(heard.viseme, viseme, "its own symbol is another's");
        }
    }

    #[test]
    fn open_vowels_are_opener_and_round_ones_rounder() {
        let jaw = |symbol| match gesture(symbol) {
            Gesture::Single(v) | Gesture::Glide(v, ..) => v.jaw,
            _ => f32::NAN,
        };
        for (open, close) in
            [('ɑ', 'ɛ'), ('æ', 'ɪ'), ('ɔ', 'u'), ('ɛ', 'i'), ('ʌ', 'ə'), ('i', 's'), ('ə', 'm')]
        {
            assert!(jaw(open) > jaw(close) + 0.05, "{open} {close}");
        }
    }
}
