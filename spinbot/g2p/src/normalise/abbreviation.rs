//! Abbreviations, titles and roman numerals.

use super::{Expansion, Look, Reading, date};
use crate::numbers::{cardinal, ordinal, roman};

/// Short forms that end in a full stop and what they stand for. A name in capitals follows a title.
const WITH_DOT: &[(&str, &str)] = &[
    ("Mr.", "Mr."),
    ("Mrs.", "Mrs."),
    ("Ms.", "Ms."),
    ("Prof.", "professor"),
    ("Rev.", "reverend"),
    ("Hon.", "honorable"),
    ("Gen.", "general"),
    ("Col.", "colonel"),
    ("Maj.", "major"),
    ("Capt.", "captain"),
    ("Cmdr.", "commander"),
    ("Lt.", "lieutenant"),
    ("Sgt.", "sergeant"),
    ("Cpl.", "corporal"),
    ("Gov.", "governor"),
    ("Sen.", "senator"),
    ("Rep.", "representative"),
    ("Pres.", "president"),
    ("Supt.", "superintendent"),
    ("Sr.", "senior"),
    ("Jr.", "junior"),
    ("Ave.", "avenue"),
    ("Blvd.", "boulevard"),
    ("Rd.", "road"),
    ("Mt.", "mount"),
    ("Ft.", "fort"),
    ("Hwy.", "highway"),
    ("Rm.", "room"),
    ("Apt.", "apartment"),
    ("vs.", "versus"),
    ("etc.", "etc."),
    ("e.g.", "for example"),
    ("i.e.", "that is"),
    ("approx.", "approximately"),
    ("dept.", "department"),
    ("Dept.", "department"),
    ("est.", "established"),
    ("Inc.", "incorporated"),
    ("Ltd.", "limited"),
    ("Corp.", "corporation"),
    ("Co.", "company"),
    ("Bros.", "brothers"),
    ("assoc.", "association"),
    ("Univ.", "university"),
    ("cf.", "compare"),
    ("viz.", "namely"),
    ("al.", "al"),
    ("Mon.", "Monday"),
    ("Tue.", "Tuesday"),
    ("Tues.", "Tuesday"),
    ("Wed.", "Wednesday"),
    ("Thu.", "Thursday"),
    ("Thurs.", "Thursday"),
    ("Fri.", "Friday"),
    ("Sat.", "Saturday"),
    ("Ph.D.", "PhD"),
];

/// The same without a full stop, where nothing else can be meant.
const WITHOUT_DOT: &[(&str, &str)] = &[
    ("Mr", "Mr."),
    ("Mrs", "Mrs."),
    ("vs", "versus"),
    ("Vs", "versus"),
    ("e.g", "for example"),
    ("eg", "for example"),
    ("i.e", "that is"),
    ("etc", "etc."),
    ("approx", "approximately"),
    ("Blvd", "boulevard"),
    ("Ltd", "limited"),
    ("Prof", "professor"),
    ("Jr", "junior"),
    ("Sr", "senior"),
];

/// Short forms in front of a number.
const BEFORE_NUMBER: &[(&str, &str)] = &[
    ("No.", "number"),
    ("no.", "number"),
    ("Nos.", "numbers"),
    ("Vol.", "volume"),
    ("vol.", "volume"),
    ("p.", "page"),
    ("pp.", "pages"),
    ("ch.", "chapter"),
    ("Ch.", "chapter"),
    ("Fig.", "figure"),
    ("fig.", "figure"),
    ("Sec.", "section"),
    ("sec.", "section"),
    ("Art.", "article"),
    ("Eq.", "equation"),
    ("ca.", "circa"),
    ("c.", "circa"),
    ("№", "number"),
];

/// Words before a roman numeral that counts.
const COUNTED: [&str; 24] = [
    "chapter", "part", "act", "scene", "volume", "book", "section", "war", "appendix", "phase", "type",
    "bowl", "stage", "class", "level", "article", "title", "figure", "table", "vol", "episode", "mark",
    "saturn", "apollo",
];
/// Names of monarchs and popes, before a roman numeral that ranks.
const RANKED: [&str; 38] = [
    "Henry",
    "Louis",
    "George",
    "Elizabeth",
    "Charles",
    "Edward",
    "Richard",
    "William",
    "James",
    "Philip",
    "Napoleon",
    "Paul",
    "Benedict",
    "Pius",
    "Leo",
    "Gregory",
    "Francis",
    "Catherine",
    "Peter",
    "Nicholas",
    "Alexander",
    "Frederick",
    "Ramses",
    "Rameses",
    "Mary",
    "John",
    "Ivan",
    "Ferdinand",
    "Wilhelm",
    "Friedrich",
    "Innocent",
    "Urban",
    "Clement",
    "Christian",
    "Gustav",
    "Carl",
    "Robert",
    "Haakon",
];

/// Short forms that may well end a sentence: a capital after them begins the next.
const MAY_END: [&str; 9] = ["etc.", "a.m.", "p.m.", "Inc.", "Ltd.", "Co.", "Corp.", "Jr.", "Sr."];

/// Whether the full stop at the end of a word belongs to it and ends no sentence. `after` is the text behind it.
pub(crate) fn keeps_dot(word: &str, after: &str) -> bool {
    match after.trim_start().chars().next() {
        None => false,
        Some(c) if c.is_uppercase() && MAY_END.contains(&word) => false,
        Some(c) => is_short(word) || c.is_ascii_digit() && BEFORE_NUMBER.iter().any(|(s, _)| *s == word),
    }
}

/// Whether a word with a full stop is short for something.
fn is_short(word: &str) -> bool {
    let listed = WITH_DOT.iter().any(|(short, _)| *short == word);
    if listed || matches!(word, "Dr." | "St.") || date::is_dotted_month(word) {
        return true;
    }
    // U.S., a.m., J.
    let mut letters = word.strip_suffix('.').unwrap_or(word).split('.');
    let initials = letters.all(|l| l.len() == 1 && l.bytes().all(|b| b.is_ascii_alphabetic()));
    initials && (word.len() > 2 || word.starts_with(|c: char| c.is_ascii_uppercase() && c != 'I'))
}

pub(super) fn expand(look: &Look, word: &str) -> Option<Expansion> {
    let find = |list: &'static [(&str, &str)]| list.iter().find(|(s, _)| *s == word).map(|(_, said)| *said);
    // At the end of a sentence its full stop has become a mark.
    let dotted = format!("{word}.");
    let ending = look.mark_after(0) == Some(".") && !word.ends_with('.');
    let with_dot = find(WITH_DOT).or_else(|| {
        let found = WITH_DOT.iter().find(|(s, _)| *s == dotted).map(|(_, said)| *said);
        found.filter(|_| ending)
    });
    let next = look.word(1);
    let capital = |w: Option<&str>| w.is_some_and(|w| w.starts_with(char::is_uppercase));
    let said = match word {
        "St." | "St" if capital(next) && !capital(look.before()) => Some("saint"),
        "St." | "St" if capital(look.before()) => Some("street"),
        "St." => Some(if capital(next) { "saint" } else { "street" }),
        "Dr." | "Dr" if capital(look.before()) && !capital(next) => Some("drive"),
        "Dr." | "Dr" => Some("doctor"),
        _ => with_dot.or_else(|| find(WITHOUT_DOT)).or_else(|| {
            let number =
                next.is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()) || roman(n).is_some());
            find(BEFORE_NUMBER).filter(|_| number)
        }),
    };
    if let Some(said) = said {
        return Some(look.one(1, Reading::words(said)));
    }
    if let Some(name) = date::month(word).filter(|_| word.ends_with('.')) {
        return Some(look.one(1, Reading::words(name)));
    }
    numeral(look, word)
}

/// "Henry VIII", "World War II", "Chapter IV".
fn numeral(look: &Look, word: &str) -> Option<Expansion> {
    let (bare, owner) = match word.strip_suffix("'s") {
        Some(bare) => (bare, true),
        None => (word, false),
    };
    let value = roman(bare)?;
    let before = look.before()?;
    let mut said = if RANKED.contains(&before) && value < 30 {
        // After a name "I" may well be the speaker.
        if bare == "I" && look.word(1).is_some_and(|w| w.starts_with(char::is_lowercase)) {
            return None;
        }
        [vec!["the".to_owned()], ordinal(value)].concat()
    } else if COUNTED.contains(&before.to_lowercase().as_str()) && before.starts_with(char::is_uppercase) {
        cardinal(value)
    } else {
        return None;
    };
    if owner && let Some(last) = said.last_mut() {
        last.push_str("'s");
    }
    Some(look.one(1, Reading::all(said)))
}
