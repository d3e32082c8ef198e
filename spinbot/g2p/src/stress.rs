//! Moving the stress of a pronunciation. Nothing here knows words.

use crate::phoneme::is_stressable;

/// The mark in front of a vowel with primary stress.
pub(crate) const PRIMARY: char = 'ˈ';
/// The mark in front of a vowel with secondary stress.
pub(crate) const SECONDARY: char = 'ˌ';

/// What is wanted of a word's stress. The numbers are those of misaki's markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stress {
    /// -2: no marks.
    Strip,
    /// -1: primary becomes secondary, secondary goes.
    Lower,
    /// -0.5: the same, where there is a primary.
    Demote,
    /// 0: one secondary: lowered or added.
    Secondary,
    /// 0.5: a secondary, where there is none of either.
    AtLeastSecondary,
    /// 1: secondary becomes primary, none becomes secondary.
    Raise,
    /// 2: a primary, raised or added.
    Primary,
}

impl Stress {
    /// The level that misaki's markup writes as this number, if there is one.
    pub fn from_markup(text: &str) -> Option<Self> {
        Some(match text.strip_prefix('+').unwrap_or(text) {
            "-2" => Self::Strip,
            "-1" => Self::Lower,
            "-0.5" => Self::Demote,
            "0" => Self::Secondary,
            "0.5" => Self::AtLeastSecondary,
            "1" => Self::Raise,
            "2" => Self::Primary,
            _ => return None,
        })
    }
}

/// `phonemes` with their stress changed.
pub(crate) fn apply(phonemes: &str, stress: Option<Stress>) -> String {
    let primary = phonemes.contains(PRIMARY);
    let none = !primary && !phonemes.contains(SECONDARY);
    match stress {
        Some(Stress::Strip) => phonemes.replace([PRIMARY, SECONDARY], ""),
        Some(Stress::Lower) => lower(phonemes),
        Some(Stress::Demote | Stress::Secondary) if primary => lower(phonemes),
        Some(Stress::Secondary | Stress::AtLeastSecondary | Stress::Raise) if none => {
            add(phonemes, SECONDARY)
        }
        Some(Stress::Raise | Stress::Primary) if !primary && !none => {
            phonemes.replace(SECONDARY, &PRIMARY.to_string())
        }
        Some(Stress::Primary) if none => add(phonemes, PRIMARY),
        _ => phonemes.to_owned(),
    }
}

fn lower(phonemes: &str) -> String {
    phonemes.replace(SECONDARY, "").replace(PRIMARY, &SECONDARY.to_string())
}

/// With a mark in front of the first vowel; unchanged without a vowel.
fn add(phonemes: &str, mark: char) -> String {
    let Some(at) = phonemes.find(is_stressable) else { return phonemes.to_owned() };
    let (before, after) = phonemes.split_at(at);
    format!("{before}{mark}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_do_what_misaki_does() {
        use Stress::*;
        let cases = [
            ("ɹˌiəlˈIz", Strip, "ɹiəlIz"),
            ("ɹˌiəlˈIz", Lower, "ɹiəlˌIz"),
            ("ɹˌiəlˈIz", Demote, "ɹiəlˌIz"),
            ("ˌɪn", Demote, "ˌɪn"),
            ("ɪn", Secondary, "ˌɪn"),
            ("kˈæt", Secondary, "kˌæt"),
            ("ðə", AtLeastSecondary, "ðˌə"),
            ("kˈæt", AtLeastSecondary, "kˈæt"),
            ("ðə", Raise, "ðˌə"),
            ("ˌI", Raise, "ˈI"),
            ("ðə", Primary, "ðˈə"),
            ("ˌI", Primary, "ˈI"),
            ("kˌætnˈæp", Primary, "kˌætnˈæp"),
            ("ʃ", Primary, "ʃ"),
            ("", Primary, ""),
        ];
        for (phonemes, stress, want) in cases {
            assert_eq!(apply(phonemes, Some(stress)), want, "{phonemes} {stress:?}");
        }
        assert_eq!(apply("kˈæt", None), "kˈæt");
    }
}
