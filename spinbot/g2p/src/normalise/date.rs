//! Dates and times of day.

use super::{Expansion, Look, Reading};
use crate::Accent;
use crate::numbers::{cardinal, ordinal, year};

const MONTHS: [(&str, &str); 12] = [
    ("January", "Jan"),
    ("February", "Feb"),
    ("March", "Mar"),
    ("April", "Apr"),
    ("May", "May"),
    ("June", "Jun"),
    ("July", "Jul"),
    ("August", "Aug"),
    ("September", "Sep"),
    ("October", "Oct"),
    ("November", "Nov"),
    ("December", "Dec"),
];

/// The month a word names, short (with a full stop or without) or whole.
pub(super) fn month(word: &str) -> Option<&'static str> {
    let whole = MONTHS.iter().find(|(name, _)| word == *name).map(|(name, _)| *name);
    whole.or_else(|| short_month(word.strip_suffix('.').unwrap_or(word)))
}

/// The month that three letters stand for, or "Sept".
fn short_month(word: &str) -> Option<&'static str> {
    let short = if word == "Sept" { "Sep" } else { word };
    MONTHS.iter().find(|(name, s)| short == *s && name != s).map(|(name, _)| *name)
}

/// Whether a word is the short name of a month with its full stop.
pub(super) fn is_dotted_month(word: &str) -> bool {
    word.strip_suffix('.').is_some_and(|w| short_month(w).is_some())
}

fn number(text: &str, longest: usize) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= longest && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A day of the month, bare or as "3rd".
fn day(text: &str) -> Option<u64> {
    let bare = ["st", "nd", "rd", "th"].iter().find_map(|s| text.strip_suffix(s)).unwrap_or(text);
    number(bare, 2).filter(|d| (1..=31).contains(d))
}

pub(super) fn expand(look: &Look, word: &str) -> Option<Expansion> {
    clock(look, word)
        .or_else(|| numeric(look, word))
        .or_else(|| month_day(look, word))
        .or_else(|| day_month(look, word))
}

/// "March 3", "Mar. 3rd".
fn month_day(look: &Look, word: &str) -> Option<Expansion> {
    let name = month(word)?;
    let day = day(look.word(1)?)?;
    let parts = vec![(look.range(0), Reading::words(name)), (look.range(1), Reading::all(ordinal(day)))];
    Some(Expansion { items: 2, parts })
}

/// "3 March", "the 3rd of March" needs no help.
fn day_month(look: &Look, word: &str) -> Option<Expansion> {
    let day = day(word)?;
    let name = month(look.word(1)?)?;
    let mut said = Reading::all(ordinal(day));
    if !look.before().is_some_and(|w| w.eq_ignore_ascii_case("the")) && look.accent == Accent::Uk {
        said.insert(0, Reading::Word("the".to_owned()));
    }
    said.push(Reading::Word("of".to_owned()));
    Some(Expansion { items: 2, parts: vec![(look.range(0), said), (look.range(1), Reading::words(name))] })
}

/// 2024-03-05, 3/5/2024 (the month first in American, the day first in British).
fn numeric(look: &Look, word: &str) -> Option<Expansion> {
    let separator = if word.contains('/') { '/' } else { '-' };
    let fields: Vec<&str> = word.split(separator).collect();
    let [a, b, c] = fields[..] else { return None };
    let (month, day, of) = if a.len() == 4 && separator == '-' {
        (number(b, 2)?, number(c, 2)?, number(a, 4)?)
    } else {
        if separator == '-' || !matches!(c.len(), 2 | 4) {
            return None;
        }
        let (first, second, of) = (number(a, 2)?, number(b, 2)?, number(c, 4)?);
        let month_first = match look.accent {
            Accent::Us => first <= 12,
            Accent::Uk => second > 12,
        };
        if month_first { (first, second, of) } else { (second, first, of) }
    };
    if !(1..=31).contains(&day) {
        return None;
    }
    let (name, _) = MONTHS.get(month.checked_sub(1)? as usize)?;
    let mut said = Reading::words(name);
    said.extend(Reading::all(ordinal(day)));
    said.push(Reading::Rest);
    said.extend(Reading::all(year(of)));
    Some(look.one(1, said))
}

/// The letters of "am", "p.m." and the like.
fn meridiem(word: &str) -> Option<&'static str> {
    match word {
        "am" | "AM" | "a.m." | "a.m" | "A.M." | "A.M" => Some("AM"),
        "pm" | "PM" | "p.m." | "p.m" | "P.M." | "P.M" => Some("PM"),
        _ => None,
    }
}

/// 10:30, 5pm, 17:45:10, 9 a.m., 10am-5pm; 16:9 is a ratio.
fn clock(look: &Look, word: &str) -> Option<Expansion> {
    if let Some((from, to)) = word.split_once(['-', '–']) {
        let mut said = time(from, false)?;
        said.push(Reading::Word("to".to_owned()));
        said.extend(time(to, false)?);
        return Some(look.one(1, said));
    }
    if let Some(half) = look.word(1).and_then(meridiem)
        && let Some(said) = time(word, true)
    {
        let half = vec![Reading::Letters(half.to_owned())];
        return Some(Expansion { items: 2, parts: vec![(look.range(0), said), (look.range(1), half)] });
    }
    Some(look.one(1, time(word, false)?))
}

/// A time of day in one word; `apart`: "am" or "pm" follows it.
fn time(word: &str, apart: bool) -> Option<Vec<Reading>> {
    let end = word.bytes().position(|b| !b.is_ascii_digit() && b != b':').unwrap_or(word.len());
    let (digits, suffix) = word.split_at(end);
    let touching = meridiem(suffix);
    if touching.is_none() && !suffix.is_empty() || touching.is_some() && apart {
        return None;
    }
    let half = touching.is_some() || apart;
    let fields: Vec<&str> = digits.split(':').collect();
    let hour = number(fields[0], 2)?;
    let said = match fields[1..] {
        [] if half && (1..=12).contains(&hour) => cardinal(hour),
        [m] if m.len() == 1 && !half => {
            [cardinal(hour), vec!["to".to_owned()], cardinal(number(m, 1)?)].concat()
        }
        [m] if m.len() == 2 => hour_minute(hour, number(m, 2)?, half)?,
        [m, s] if m.len() == 2 && s.len() == 2 => {
            let seconds = cardinal(number(s, 2).filter(|s| *s < 60)?);
            let mut said = [cardinal(hour), minute(number(m, 2)?)?, vec!["and".to_owned()], seconds].concat();
            said.push("seconds".to_owned());
            said
        }
        _ => return None,
    };
    let mut said = Reading::all(said);
    said.extend(touching.map(|half| Reading::Letters(half.to_owned())));
    Some(said)
}

fn minute(minute: u64) -> Option<Vec<String>> {
    match minute {
        0..10 => Some([vec!["oh".to_owned()], cardinal(minute)].concat()),
        10..60 => Some(cardinal(minute)),
        _ => None,
    }
}

fn hour_minute(hour: u64, minutes: u64, half: bool) -> Option<Vec<String>> {
    if hour > 24 {
        return None;
    }
    let words = |text: &str| vec![text.to_owned()];
    Some(match (hour, minutes) {
        (0, 0) => words("midnight"),
        (1..=12, 0) if half => cardinal(hour),
        (1..=12, 0) => [cardinal(hour), words("o'clock")].concat(),
        (_, 0) => [cardinal(hour), words("hundred")].concat(),
        _ => [cardinal(hour), minute(minutes)?].concat(),
    })
}
