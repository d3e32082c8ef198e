//! The fifteen visemes, and which phoneme looks like which.

/// What a mouth looks like while something is said: silence and the fourteen visemes of MPEG-4 (ISO/IEC 14496-2, annex
/// C), in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Viseme {
    /// Nothing is said.
    Silence,
    /// p, b, m: lips shut.
    Bilabial,
    /// f, v: lower lip at the upper teeth.
    Labiodental,
    /// th: tongue between the teeth.
    Dental,
    /// t, d.
    Alveolar,
    /// k, g, ng, h.
    Velar,
    /// sh, ch, j.
    Postalveolar,
    /// s, z.
    Sibilant,
    /// n, l.
    Nasal,
    /// r.
    Rhotic,
    /// Open vowels: father, cat, cut.
    Open,
    /// Mid front vowels and neutral ones: bed, the, bird.
    Mid,
    /// Close front vowels: bit, beat, yes.
    Close,
    /// Open and mid rounded vowels: law, lot, boat.
    OpenRound,
    /// Close rounded vowels: boot, book, we.
    CloseRound,
}

impl Viseme {
    /// All of them, in the order of the network's outputs.
    pub const ALL: [Viseme; 15] = [
        Viseme::Silence,
        Viseme::Bilabial,
        Viseme::Labiodental,
        Viseme::Dental,
        Viseme::Alveolar,
        Viseme::Velar,
        Viseme::Postalveolar,
        Viseme::Sibilant,
        Viseme::Nasal,
        Viseme::Rhotic,
        Viseme::Open,
        Viseme::Mid,
        Viseme::Close,
        Viseme::OpenRound,
        Viseme::CloseRound,
    ];

    /// A phoneme that looks like it, in Kokoro's alphabet; a space for silence.
    pub fn symbol(self) -> char {
        match self {
            Viseme::Silence => ' ',
            Viseme::Bilabial => 'm',
            Viseme::Labiodental => 'f',
            Viseme::Dental => 'ð',
            Viseme::Alveolar => 't',
            Viseme::Velar => 'k',
            Viseme::Postalveolar => 'ʃ',
            Viseme::Sibilant => 's',
            Viseme::Nasal => 'l',
            Viseme::Rhotic => 'ɹ',
            Viseme::Open => 'ɑ',
            Viseme::Mid => 'ɛ',
            Viseme::Close => 'ɪ',
            Viseme::OpenRound => 'ɔ',
            Viseme::CloseRound => 'u',
        }
    }

    /// Whether it is a vowel's.
    pub fn is_vowel(self) -> bool {
        matches!(self, Viseme::Open | Viseme::Mid | Viseme::Close | Viseme::OpenRound | Viseme::CloseRound)
    }
}

/// What a phoneme looks like and how far the jaw is down for it: 0 shut, 1 as far as in "father".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mouth {
    /// What it looks like.
    pub viseme: Viseme,
    /// How open it is.
    pub jaw: f32,
}

/// The mouth of a symbol of Kokoro's alphabet over its time: from this mouth to that, which follows after the given share.
/// Nothing for marks, which belong to the phoneme before them.
pub fn mouths(symbol: char) -> Option<(Mouth, Mouth, f32)> {
    use Viseme::*;
    let at = |viseme, jaw| Mouth { viseme, jaw };
    let one = |viseme, jaw| Some((at(viseme, jaw), at(viseme, jaw), 0.5));
    let close = at(Close, 0.38);
    match symbol {
        'A' => Some((at(Mid, 0.66), close, 0.55)),
        'I' => Some((at(Open, 1.0), close, 0.60)),
        'W' => Some((at(Open, 1.0), at(CloseRound, 0.32), 0.55)),
        'Y' => Some((at(OpenRound, 0.62), close, 0.55)),
        'O' => Some((at(OpenRound, 0.62), at(CloseRound, 0.25), 0.50)),
        'Q' => Some((at(Mid, 0.42), at(CloseRound, 0.25), 0.50)),
        'ɑ' | 'a' | 'ɐ' => one(Open, 1.0),
        'æ' => one(Open, 0.92),
        'ʌ' | 'ɤ' => one(Open, 0.72),
        'ɒ' | 'ɔ' | 'œ' => one(OpenRound, 0.80),
        'o' | 'ø' => one(OpenRound, 0.62),
        'ɛ' | 'e' => one(Mid, 0.66),
        'ɜ' | 'ɚ' => one(Mid, 0.42),
        'ə' | 'ᵊ' => one(Mid, 0.36),
        'ɪ' => one(Close, 0.38),
        'ᵻ' | 'ɨ' | 'ɯ' => one(Close, 0.27),
        'i' => one(Close, 0.30),
        'j' | 'ç' | 'ʝ' | 'ɲ' | 'c' | 'ɟ' => one(Close, 0.22),
        'ʊ' => one(CloseRound, 0.32),
        'u' | 'y' => one(CloseRound, 0.25),
        'w' | 'ɥ' => one(CloseRound, 0.16),
        'p' | 'b' | 'm' => one(Bilabial, 0.0),
        'f' | 'v' | 'ʋ' | 'ꭧ' | 'ɸ' | 'β' => one(Labiodental, 0.13),
        'θ' | 'ð' => one(Dental, 0.20),
        't' | 'd' | 'ʈ' | 'ɖ' | 'T' | 'ɾ' | 'ɽ' | 'ʦ' | 'ʣ' | 'r' => one(Alveolar, 0.20),
        'n' | 'ɳ' => one(Nasal, 0.20),
        'l' | 'ʎ' => one(Nasal, 0.30),
        's' | 'z' => one(Sibilant, 0.14),
        'ʧ' | 'ʨ' | 'ʤ' | 'ʥ' | 'ʃ' | 'ʒ' | 'ʂ' | 'ɕ' | 'S' => one(Postalveolar, 0.16),
        'ɹ' | 'ɻ' => one(Rhotic, 0.24),
        'k' | 'ɡ' | 'g' | 'ŋ' | 'x' | 'ɣ' | 'ɰ' | 'q' | 'χ' | 'ʁ' | 'ɴ' => one(Velar, 0.28),
        'h' | 'ʔ' => one(Velar, 0.36),
        'ː' | 'ʰ' | 'ʲ' | 'ᵝ' | '\u{303}' | 'ˈ' | 'ˌ' => None,
        letter if letter.is_alphabetic() => one(Mid, 0.36),
        _ => one(Silence, 0.0),
    }
}

/// Silences up to here, in seconds, are joints between words and belong to the sounds beside them.
const JOINT: f64 = 0.1;

/// The mouth in each of so many frames of which `rate` are a second, by phonemes with their beginnings and ends in
/// seconds, in order. Stress marks must be gone: their time is that of the phoneme after them.
pub fn timeline(phonemes: &[(char, f64, f64)], frames: usize, rate: usize) -> Vec<Mouth> {
    let mut parts: Vec<(Mouth, f64, f64)> = Vec::new();
    for &(symbol, start, end) in phonemes {
        let Some((from, to, share)) = mouths(symbol) else {
            if let Some(before) = parts.last_mut().filter(|part| start - part.2 < 1e-3) {
                before.2 = end;
            }
            continue;
        };
        if from.viseme == Viseme::Silence || end <= start {
            continue;
        }
        let turn = start + f64::from(share) * (end - start);
        parts.extend([(from, start, turn), (to, turn, end)]);
    }
    for n in 1..parts.len() {
        let gap = parts[n].1 - parts[n - 1].2;
        if gap > 0.0 && gap <= JOINT {
            let middle = parts[n - 1].2 + gap / 2.0;
            (parts[n - 1].2, parts[n].1) = (middle, middle);
        }
    }
    let silence = Mouth { viseme: Viseme::Silence, jaw: 0.0 };
    (0..frames)
        .map(|frame| {
            let at = frame as f64 / rate as f64;
            let next = parts.partition_point(|part| part.2 <= at);
            parts.get(next).filter(|part| part.1 <= at).map_or(silence, |part| part.0)
        })
        .collect()
}
