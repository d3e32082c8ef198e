//! The phoneme characters that Kokoro reads, and how the mouth makes each. Mouth shapes are built on this elsewhere.
//!
//! Kokoro's alphabet is IPA, one character a sound, with capitals for what is two: `A` as in *day*, `I` *my*, `O` *go*
//! (American), `Q` *go* (British), `W` *now*, `Y` *boy*; `ʤ` *joy*, `ʧ` *chew*; `T` is the American tap in *water*,
//! `ᵊ` the faint vowel of *button*, `ᵻ` that of *boxes*. `ˈ` and `ˌ` stand in front of a stressed vowel, `ː` lengthens.

/// Every character of Kokoro-82M v1.0's vocabulary, in the order of their ids; others are dropped by the model.
pub const VOCABULARY: &str = concat!(
    ";:,.!?—…\"()“” \u{303}ʣʥʦʨᵝ\u{ab67}AIOQSTWYᵊabcdefhijklmnopqrstuvwxyzɑɐɒæβɔɕçɖðʤəɚɛɜɟɡɥɨɪʝɯɰŋɳɲɴøɸθœɹɾɻʁɽʂʃʈʧʊʋʌɣɤχʎʒʔ",
    "ˈˌːʰʲ↓→↗↘ᵻ"
);

/// Whether Kokoro knows the character.
pub fn is_phoneme(c: char) -> bool {
    VOCABULARY.contains(c)
}

/// Vowels that carry stress in misaki's rules (the faint ones do not).
pub(crate) fn is_stressable(c: char) -> bool {
    "AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻ".contains(c)
}

/// What a phoneme character does to the mouth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Class {
    /// A vowel, gliding from one shape to another; both are equal where it does not glide.
    Vowel {
        /// Where it begins.
        from: VowelShape,
        /// Where it ends.
        to: VowelShape,
    },
    /// A consonant.
    Consonant {
        /// Where the air is narrowed.
        place: Place,
        /// How.
        manner: Manner,
        /// Whether the voice sounds.
        voiced: bool,
        /// How far the lips are pushed forward, 0 to 1; between, the neighbouring vowels decide.
        rounding: f32,
    },
    /// A stress mark: belongs to the vowel after it and takes no shape.
    Stress,
    /// `ː` and the small modifiers: the sound before goes on.
    Modifier,
    /// Space and punctuation: the mouth may rest.
    Pause,
}

/// Position of lips and tongue in a vowel, as in the IPA's chart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VowelShape {
    /// How open the jaw is: 0 as in *see*, 1 as in *spa*.
    pub open: f32,
    /// How far back the tongue is: 0 *see*, 1 *too*. Front vowels spread the lips.
    pub back: f32,
    /// How round the lips are: 0 *see*, 1 *too*.
    pub rounding: f32,
}

/// Where a consonant is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Lips closed: p b m.
    Bilabial,
    /// Lower lip to upper teeth: f v.
    Labiodental,
    /// Tongue between the teeth: θ ð.
    Dental,
    /// Tongue tip behind the teeth: t d s z n l.
    Alveolar,
    /// Further back, lips forward: ʃ ʒ ʧ ʤ ɹ.
    PostAlveolar,
    /// Tongue blade to the hard palate: j.
    Palatal,
    /// Tongue back to the soft palate: k ɡ ŋ.
    Velar,
    /// The same with round lips: w.
    LabialVelar,
    /// Far back in the mouth; not in English.
    Uvular,
    /// In the throat; the mouth already has its next shape: h ʔ.
    Glottal,
}

/// How a consonant is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Manner {
    /// Closed, then let go.
    Stop,
    /// Closed, the nose open.
    Nasal,
    /// Closed, then hissing.
    Affricate,
    /// Hissing through a gap.
    Fricative,
    /// One quick touch.
    Tap,
    /// Hardly narrowed.
    Approximant,
    /// Past the sides of the tongue.
    Lateral,
}

/// The class of a phoneme character; `None` for one that is not in [`VOCABULARY`].
///
/// ```
/// use spinbot_g2p::{class, Class, Place};
/// assert!(matches!(class('m'), Some(Class::Consonant { place: Place::Bilabial, .. })));
/// assert!(matches!(class('W'), Some(Class::Vowel { from, to }) if from.open > to.open && to.rounding > from.rounding));
/// ```
pub fn class(c: char) -> Option<Class> {
    use Manner::*;
    use Place::*;
    let vowel = |open, back, rounding| {
        let shape = VowelShape { open, back, rounding };
        Class::Vowel { from: shape, to: shape }
    };
    let glide = |a: (f32, f32, f32), b: (f32, f32, f32)| Class::Vowel {
        from: VowelShape { open: a.0, back: a.1, rounding: a.2 },
        to: VowelShape { open: b.0, back: b.1, rounding: b.2 },
    };
    let consonant = |place, manner, voiced, rounding| Class::Consonant { place, manner, voiced, rounding };
    const NEAR_I: (f32, f32, f32) = (0.15, 0.1, 0.0);
    const NEAR_U: (f32, f32, f32) = (0.2, 0.9, 0.9);
    Some(match c {
        ' ' | ';' | ':' | ',' | '.' | '!' | '?' | '—' | '…' | '"' | '(' | ')' | '“' | '”' | '↓' | '→'
        | '↗' | '↘' => Class::Pause,
        'ˈ' | 'ˌ' => Class::Stress,
        'ː' | 'ʰ' | 'ʲ' | '\u{303}' | 'ᵝ' | '\u{ab67}' => Class::Modifier,

        // Diphthongs.
        'A' => glide((0.45, 0.1, 0.0), NEAR_I),
        'I' => glide((0.9, 0.4, 0.0), NEAR_I),
        'Y' => glide((0.55, 0.9, 0.7), NEAR_I),
        'O' => glide((0.45, 0.9, 0.6), NEAR_U),
        'Q' => glide((0.45, 0.5, 0.2), NEAR_U),
        'W' => glide((0.9, 0.45, 0.0), NEAR_U),
        // Close vowels.
        'i' => vowel(0.0, 0.0, 0.0),
        'y' => vowel(0.0, 0.0, 1.0),
        'ɨ' | 'ᵻ' => vowel(0.15, 0.4, 0.0),
        'ɯ' => vowel(0.0, 1.0, 0.0),
        'u' => vowel(0.05, 1.0, 1.0),
        'ɪ' => vowel(0.2, 0.15, 0.0),
        'ʊ' => vowel(0.2, 0.85, 0.7),
        // Middle vowels.
        'e' => vowel(0.35, 0.0, 0.0),
        'ø' => vowel(0.35, 0.0, 0.8),
        'ɤ' => vowel(0.35, 1.0, 0.0),
        'o' => vowel(0.4, 1.0, 0.8),
        'ə' => vowel(0.4, 0.5, 0.1),
        'ᵊ' => vowel(0.25, 0.5, 0.1),
        'ɚ' => vowel(0.4, 0.5, 0.3),
        'ɛ' => vowel(0.55, 0.1, 0.0),
        'œ' => vowel(0.6, 0.1, 0.7),
        'ɜ' => vowel(0.5, 0.5, 0.3),
        'ʌ' => vowel(0.65, 0.7, 0.0),
        'ɔ' => vowel(0.6, 1.0, 0.6),
        // Open vowels.
        'æ' => vowel(0.8, 0.1, 0.0),
        'ɐ' => vowel(0.6, 0.5, 0.0),
        'a' => vowel(0.9, 0.3, 0.0),
        'ɑ' => vowel(1.0, 0.9, 0.0),
        'ɒ' => vowel(0.9, 1.0, 0.4),

        // Lips.
        'p' => consonant(Bilabial, Stop, false, 0.0),
        'b' => consonant(Bilabial, Stop, true, 0.0),
        'm' => consonant(Bilabial, Nasal, true, 0.0),
        'ɸ' => consonant(Bilabial, Fricative, false, 0.0),
        'β' => consonant(Bilabial, Fricative, true, 0.0),
        'f' => consonant(Labiodental, Fricative, false, 0.0),
        'v' => consonant(Labiodental, Fricative, true, 0.0),
        'ʋ' => consonant(Labiodental, Approximant, true, 0.0),
        'w' => consonant(LabialVelar, Approximant, true, 1.0),
        // Tip of the tongue.
        'θ' => consonant(Dental, Fricative, false, 0.0),
        'ð' => consonant(Dental, Fricative, true, 0.0),
        't' => consonant(Alveolar, Stop, false, 0.0),
        'd' => consonant(Alveolar, Stop, true, 0.0),
        'n' => consonant(Alveolar, Nasal, true, 0.0),
        's' => consonant(Alveolar, Fricative, false, 0.0),
        'z' => consonant(Alveolar, Fricative, true, 0.0),
        'l' => consonant(Alveolar, Lateral, true, 0.0),
        'T' | 'ɾ' | 'ɽ' | 'r' => consonant(Alveolar, Tap, true, 0.0),
        'ʦ' => consonant(Alveolar, Affricate, false, 0.0),
        'ʣ' => consonant(Alveolar, Affricate, true, 0.0),
        // Behind it.
        'ʃ' | 'ɕ' | 'S' => consonant(PostAlveolar, Fricative, false, 0.6),
        'ʂ' => consonant(PostAlveolar, Fricative, false, 0.3),
        'ʒ' => consonant(PostAlveolar, Fricative, true, 0.6),
        'ʧ' | 'ʨ' => consonant(PostAlveolar, Affricate, false, 0.6),
        'ʤ' | 'ʥ' => consonant(PostAlveolar, Affricate, true, 0.6),
        'ɹ' | 'ɻ' => consonant(PostAlveolar, Approximant, true, 0.5),
        'ʈ' => consonant(PostAlveolar, Stop, false, 0.0),
        'ɖ' => consonant(PostAlveolar, Stop, true, 0.0),
        'ɳ' => consonant(PostAlveolar, Nasal, true, 0.0),
        // The palate and further back.
        'j' => consonant(Palatal, Approximant, true, 0.0),
        'ɥ' => consonant(Palatal, Approximant, true, 0.9),
        'c' => consonant(Palatal, Stop, false, 0.0),
        'ɟ' => consonant(Palatal, Stop, true, 0.0),
        'ɲ' => consonant(Palatal, Nasal, true, 0.0),
        'ç' => consonant(Palatal, Fricative, false, 0.0),
        'ʝ' => consonant(Palatal, Fricative, true, 0.0),
        'ʎ' => consonant(Palatal, Lateral, true, 0.0),
        'k' => consonant(Velar, Stop, false, 0.0),
        'ɡ' => consonant(Velar, Stop, true, 0.0),
        'ŋ' => consonant(Velar, Nasal, true, 0.0),
        'x' => consonant(Velar, Fricative, false, 0.0),
        'ɣ' => consonant(Velar, Fricative, true, 0.0),
        'ɰ' => consonant(Velar, Approximant, true, 0.0),
        'q' => consonant(Uvular, Stop, false, 0.0),
        'χ' => consonant(Uvular, Fricative, false, 0.0),
        'ʁ' => consonant(Uvular, Fricative, true, 0.0),
        'ɴ' => consonant(Uvular, Nasal, true, 0.0),
        'h' => consonant(Glottal, Fricative, false, 0.0),
        'ʔ' => consonant(Glottal, Stop, false, 0.0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_the_vocabulary_has_a_class_and_no_other_has() {
        for c in VOCABULARY.chars() {
            assert!(class(c).is_some(), "{c:?} {:x}", u32::from(c));
            assert_eq!(VOCABULARY.matches(c).count(), 1, "{c}");
        }
        for c in ('\0'..='\u{2fff}').filter(|&c| !is_phoneme(c)) {
            assert_eq!(class(c), None, "{c:?}");
        }
    }

    #[test]
    fn shapes_lie_between_nought_and_one() {
        for class in VOCABULARY.chars().filter_map(class) {
            if let Class::Vowel { from, to } = class {
                for s in [from, to] {
                    assert!([s.open, s.back, s.rounding].iter().all(|v| (0.0..=1.0).contains(v)), "{s:?}");
                }
            }
        }
    }

    #[test]
    fn stressable_characters_are_vowels() {
        for c in VOCABULARY.chars().filter(|&c| is_stressable(c)) {
            assert!(matches!(class(c), Some(Class::Vowel { .. })), "{c}");
        }
    }
}
