//! Numbers and what is counted: money, percentages, units, ranges, fractions, ordinals, decades, telephone numbers.

use std::ops::Range;

use super::{Expansion, Look, Reading, unit};
use crate::Accent;
use crate::numbers::{Number, cardinal, digits, ordinal, year};

/// Sign, one, many, a hundredth, hundredths.
const CURRENCIES: [(&str, [&str; 4]); 11] = [
    ("US$", ["dollar", "dollars", "cent", "cents"]),
    ("A$", ["dollar", "dollars", "cent", "cents"]),
    ("C$", ["dollar", "dollars", "cent", "cents"]),
    ("$", ["dollar", "dollars", "cent", "cents"]),
    ("£", ["pound", "pounds", "penny", "pence"]),
    ("€", ["euro", "euros", "cent", "cents"]),
    ("¥", ["yen", "yen", "sen", "sen"]),
    ("₹", ["rupee", "rupees", "paisa", "paise"]),
    ("₩", ["won", "won", "jeon", "jeon"]),
    ("₽", ["ruble", "rubles", "kopeck", "kopecks"]),
    ("₿", ["bitcoin", "bitcoins", "satoshi", "satoshis"]),
];

const MAGNITUDES: [&str; 5] = ["hundred", "thousand", "million", "billion", "trillion"];

/// The magnitude that letters after an amount of money stand for.
fn magnitude(letters: &str) -> Option<&'static str> {
    Some(match letters {
        "k" | "K" => "thousand",
        "m" | "M" | "mn" | "mm" | "MM" => "million",
        "b" | "B" | "bn" | "Bn" => "billion",
        "t" | "T" | "tn" | "trn" => "trillion",
        _ => return None,
    })
}

/// The number at the beginning of a text, and the rest.
fn leading(text: &str) -> Option<(Number, &str)> {
    let bytes = text.as_bytes();
    let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
    let mut end = 0;
    while digit(end) || bytes.get(end).is_some_and(|b| matches!(b, b'.' | b',')) && digit(end + 1) {
        end += 1;
    }
    Some((Number::read(&text[..end])?, &text[end..]))
}

pub(super) fn expand(look: &Look, word: &str) -> Option<Expansion> {
    if let Some(telephone) = telephone(look, word) {
        return Some(telephone);
    }
    let signs = [
        ("-", "minus"),
        ("+", "plus"),
        ("~", "about"),
        ("±", "plus or minus"),
        ("<", "less than"),
        (">", "more than"),
    ];
    let (sign, rest) = signs
        .iter()
        .find_map(|(s, said)| word.strip_prefix(s).map(|rest| (Reading::words(said), rest)))
        .unwrap_or((Vec::new(), word));
    let expansion = money(look, rest)
        .or_else(|| glyph(look, rest))
        .or_else(|| version(look, rest))
        .or_else(|| range(look, rest))
        .or_else(|| fraction(look, rest))
        .or_else(|| number(look, rest));
    let mut expansion = expansion.or_else(|| numbered(look, word))?;
    if let Some((_, first)) = expansion.parts.first_mut() {
        first.splice(0..0, sign);
    }
    Some(expansion)
}

/// "#1".
fn numbered(look: &Look, word: &str) -> Option<Expansion> {
    let number = Number::read(word.strip_prefix('#')?)?;
    let said = [vec!["number".to_owned()], number.words()].concat();
    Some(look.one(1, Reading::all(said)))
}

fn currency(text: &str) -> Option<([&'static str; 4], &str)> {
    CURRENCIES.iter().find_map(|(sign, names)| text.strip_prefix(sign).map(|rest| (*names, rest)))
}

/// "$12.50", "€1bn", "£3 million", "$10-20", "5€", "50p", "99¢".
fn money(look: &Look, word: &str) -> Option<Expansion> {
    let Some((names, rest)) = currency(word) else {
        let (number, rest) = leading(word)?;
        let hundredths = match rest {
            "¢" => Some(["cent", "cents"]),
            "p" if look.accent == Accent::Uk => Some(["penny", "pence"]),
            _ => None,
        };
        if let Some([one, many]) = hundredths {
            let name = if number.is_one() { one } else { many };
            return Some(look.one(1, Reading::all([number.words(), vec![name.to_owned()]].concat())));
        }
        let (names, after) = currency(rest)?;
        return after.is_empty().then(|| look.one(1, Reading::all(amount(&number, names))));
    };
    let (number, rest) = leading(rest)?;
    let mut said = Vec::new();
    let (mut number, mut rest) = (number, rest);
    if let Some(second) = rest.strip_prefix(['-', '–']) {
        let second = currency(second).map_or(second, |(_, after)| after);
        let (to, after) = leading(second)?;
        said.extend([number.words(), vec!["to".to_owned()]].concat());
        (number, rest) = (to, after);
    }
    let next = look.word(1).filter(|w| MAGNITUDES.contains(w));
    let (scale, items) = match (magnitude(rest), next) {
        (Some(scale), _) => (Some(scale), 1),
        (None, Some(next)) if rest.is_empty() => (Some(next), 2),
        _ => (None, 1),
    };
    if scale.is_none() && !rest.is_empty() {
        return None;
    }
    match scale {
        Some(scale) => {
            said.extend(number.words());
            said.extend([scale.to_owned(), names[1].to_owned()]);
        }
        None if said.is_empty() => said = amount(&number, names),
        None => {
            said.extend(number.words());
            said.push(names[1].to_owned());
        }
    }
    Some(look.one(items, Reading::all(said)))
}

/// "twelve dollars and fifty cents".
fn amount(number: &Number, names: [&str; 4]) -> Vec<String> {
    let name = |one: bool, at: usize| names[if one { at } else { at + 1 }].to_owned();
    if number.fraction.len() != 2 {
        let name = name(number.is_one(), 0);
        return [number.words(), vec![name]].concat();
    }
    let whole = Number { fraction: String::new(), ..number.clone() };
    let small = number.fraction.parse::<u64>().unwrap_or(0);
    let pounds = [whole.words(), vec![name(whole.is_one(), 0)]].concat();
    let pence = [cardinal(small), vec![name(small == 1, 2)]].concat();
    match (whole.value(), small) {
        (_, 0) => pounds,
        (Some(0), _) => pence,
        _ => [pounds, vec!["and".to_owned()], pence].concat(),
    }
}

/// A number with what follows it: a unit, an ending, nothing.
fn number(look: &Look, word: &str) -> Option<Expansion> {
    let word = word.strip_prefix('\'').unwrap_or(word);
    let (number, rest) = leading(word)?;
    if let Some(said) = ending(&number, rest) {
        return Some(look.one(1, Reading::all(said)));
    }
    if let Some(inches) = rest.strip_prefix('\'').and_then(|i| Number::read(i.trim_end_matches('"'))) {
        let small = inches.value().is_some_and(|i| i < 12) && inches.fraction.is_empty();
        let said = [number.words(), vec!["foot".to_owned()], inches.words()].concat();
        return small.then(|| look.one(1, Reading::all(said)));
    }
    if rest == "+" {
        return Some(look.one(1, Reading::all([number.words(), vec!["plus".to_owned()]].concat())));
    }
    measured(look, &number.words_alone(), number.words(), rest, number.is_one())
}

/// `words` with the unit that touches them (`rest`) or stands behind; `alone` if there is none.
fn measured(look: &Look, alone: &[String], words: Vec<String>, rest: &str, one: bool) -> Option<Expansion> {
    let british = |name: &str| match look.accent {
        Accent::Us => name.to_owned(),
        Accent::Uk => name.replace("meter", "metre").replace("liter", "litre"),
    };
    if rest.is_empty() {
        let behind = look.word(1).and_then(|w| unit::name(w, false, one));
        let Some(name) = behind else {
            return Some(look.one(1, Reading::all(alone.to_vec())));
        };
        // "5 lb. of": the full stop of the unit.
        let stop = look.mark_after(1) == Some(".")
            && look
                .items
                .get(look.at + 3)
                .is_some_and(|i| look.text[i.range.clone()].starts_with(char::is_lowercase));
        let parts =
            vec![(look.range(0), Reading::all(words)), (look.range(1), Reading::words(&british(name)))];
        return Some(Expansion { items: if stop { 3 } else { 2 }, parts });
    }
    // "5-km": the hyphen of a compound.
    let (symbol, one) = match rest.strip_prefix('-') {
        Some(symbol) => (symbol, true),
        None => (rest, one),
    };
    let name = unit::name(symbol, true, one)?;
    Some(look.one(1, Reading::all([words, name_words(&british(name))].concat())))
}

fn name_words(name: &str) -> Vec<String> {
    name.split(' ').map(str::to_owned).collect()
}

/// Digits with an ending within a word: the "1990s" of "mid-1990s".
pub(crate) fn counted(word: &str) -> Option<Vec<String>> {
    let (number, rest) = leading(word)?;
    ending(&number, rest)
}

/// "1st", "1990s", "90's".
fn ending(number: &Number, rest: &str) -> Option<Vec<String>> {
    let value = number.value().filter(|_| number.fraction.is_empty())?;
    match rest {
        "st" | "nd" | "rd" | "th" | "ST" | "ND" | "RD" | "TH" => Some(ordinal(value)),
        "s" | "'s" if value % 10 == 0 && value > 10 => {
            let mut said = if number.is_four_digits() { year(value) } else { cardinal(value) };
            if let Some(last) = said.last_mut() {
                *last = match last.strip_suffix('y') {
                    Some(stem) => format!("{stem}ies"),
                    None => format!("{last}s"),
                };
            }
            Some(said)
        }
        _ => None,
    }
}

/// "10-20", "1914–18", "5-10%", "3–5 km".
fn range(look: &Look, word: &str) -> Option<Expansion> {
    let (from, rest) = leading(word)?;
    let (to, rest) = leading(rest.strip_prefix(['-', '–'])?)?;
    if from.whole.starts_with('0') && from.whole.len() > 1 {
        return None;
    }
    let join = |a: Vec<String>, b: Vec<String>| [a, vec!["to".to_owned()], b].concat();
    let alone = join(from.words_alone(), to.words_alone());
    measured(look, &alone, join(from.words(), to.words()), rest, false)
}

/// "1/2", "3/4"; "24/7" and "9/11" are names.
fn fraction(look: &Look, word: &str) -> Option<Expansion> {
    let (above, below) = word.split_once('/')?;
    let part =
        |t: &str| Number::read(t).filter(|n| n.fraction.is_empty() && !n.grouped && t.len() <= 3)?.value();
    let (above, below) = (part(above)?, part(below)?);
    let said = match (above, below) {
        (24, 7) | (9, 11) => [cardinal(above), cardinal(below)].concat(),
        (_, 0 | 1) => [cardinal(above), vec!["over".to_owned()], cardinal(below)].concat(),
        _ => ratio(above, below),
    };
    Some(look.one(1, Reading::all(said)))
}

fn ratio(above: u64, below: u64) -> Vec<String> {
    let mut said = cardinal(above);
    match (above, below) {
        (1, 2) => said.push("half".to_owned()),
        (_, 2) => said.push("halves".to_owned()),
        (1, 4) => said.push("quarter".to_owned()),
        (_, 4) => said.push("quarters".to_owned()),
        _ => {
            said.extend(ordinal(below));
            if above != 1
                && let Some(last) = said.last_mut()
            {
                last.push('s');
            }
        }
    }
    said
}

/// "½", "2½".
fn glyph(look: &Look, word: &str) -> Option<Expansion> {
    let glyph = word.chars().next_back()?;
    let (above, below) = match glyph {
        '½' => (1, 2),
        '⅓' => (1, 3),
        '⅔' => (2, 3),
        '¼' => (1, 4),
        '¾' => (3, 4),
        '⅕' => (1, 5),
        '⅛' => (1, 8),
        '⅜' => (3, 8),
        '⅝' => (5, 8),
        '⅞' => (7, 8),
        _ => return None,
    };
    let before = &word[..word.len() - glyph.len_utf8()];
    if before.is_empty() {
        return Some(look.one(1, Reading::all(ratio(above, below))));
    }
    let whole = Number::read(before)?;
    let mut part = ratio(above, below);
    if above == 1 {
        part[0] = "a".to_owned();
    }
    Some(look.one(1, Reading::all([whole.words(), vec!["and".to_owned()], part].concat())))
}

/// "3.11.7", "v2.0", "192.168.0.1".
fn version(look: &Look, word: &str) -> Option<Expansion> {
    let bare = word.strip_prefix(['v', 'V']).filter(|b| b.starts_with(|c: char| c.is_ascii_digit()));
    let fields: Vec<&str> = bare.unwrap_or(word).split('.').collect();
    let plain = fields.iter().all(|f| (1..=6).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit()));
    if !plain || bare.is_none() && fields.len() < 3 {
        return None;
    }
    let point = if fields.len() == 4 { "dot" } else { "point" };
    let mut said: Vec<String> = bare.map(|_| "version".to_owned()).into_iter().collect();
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            said.push(point.to_owned());
        }
        let number =
            field.parse().ok().filter(|_| field.len() < 3 && (!field.starts_with('0') || field.len() == 1));
        said.extend(number.map_or_else(|| digits(field), cardinal));
    }
    Some(look.one(1, Reading::all(said)))
}

/// "555-1234", "1-800-555-0199", "+44 20 7946 0958", "(555) 123-4567".
fn telephone(look: &Look, word: &str) -> Option<Expansion> {
    let group = |t: &str| (1..=10).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
    let say = |t: &str| Reading::all(digits(t));
    let local = |word: &str| {
        let lengths: Vec<usize> = word.split(['-', '.']).map(str::len).collect();
        let shape = matches!(lengths[..], [3, 4] | [3, 3, 4] | [1, 3, 3, 4]);
        shape && word.split(['-', '.']).all(group) && !(word.contains('.') && lengths.len() < 3)
    };
    if local(word) {
        let mut said = Vec::new();
        for part in word.split(['-', '.']) {
            said.extend(say(part));
            said.push(Reading::Rest);
        }
        said.pop();
        return Some(look.one(1, said));
    }
    let item = |ahead: usize| look.items.get(look.at + ahead).map(|i| &look.text[i.range.clone()]);
    if word.len() == 3 && group(word) && item(1) == Some(")") && item(2).is_some_and(local) {
        return Some(look.one(1, say(word)));
    }
    let country = word.strip_prefix('+').filter(|c| group(c) && c.len() <= 3)?;
    let mut parts: Vec<(Range<usize>, Vec<Reading>)> =
        vec![(look.range(0), [Reading::words("plus"), say(country)].concat())];
    while let Some(next) = look.word(parts.len()).filter(|w| group(w) && parts.len() < 8) {
        parts.push((look.range(parts.len()), [say(next), vec![Reading::Rest]].concat()));
    }
    if parts.len() < 3 {
        return None;
    }
    if let Some((_, last)) = parts.last_mut() {
        last.pop();
    }
    Some(Expansion { items: parts.len(), parts })
}
