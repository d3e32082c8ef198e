//! Numbers as words: "1,234" to one thousand two hundred thirty four. No text is looked for here.

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const SCALES: [&str; 6] = ["", "thousand", "million", "billion", "trillion", "quadrillion"];
/// Longer numbers are read digit by digit.
const LONGEST: usize = 18;

type Words = Vec<String>;

fn below_hundred(n: u64, out: &mut Words) {
    if n < 20 {
        out.push(SMALL[n as usize].to_owned());
    } else {
        out.push(TENS[n as usize / 10].to_owned());
        if !n.is_multiple_of(10) {
            out.push(SMALL[n as usize % 10].to_owned());
        }
    }
}

fn below_thousand(n: u64, out: &mut Words) {
    if n >= 100 {
        out.push(SMALL[n as usize / 100].to_owned());
        out.push("hundred".to_owned());
    }
    if !n.is_multiple_of(100) || n == 0 {
        below_hundred(n % 100, out);
    }
}

/// "twelve thousand three hundred": without "and", as misaki reads in both accents.
pub(crate) fn cardinal(n: u64) -> Words {
    let mut out = Words::new();
    if n == 0 {
        return vec!["zero".to_owned()];
    }
    for scale in (0..=6).rev() {
        let part = n / 1000u64.pow(scale) % 1000;
        if part > 0 {
            below_thousand(part, &mut out);
            match SCALES.get(scale as usize) {
                Some(&"") => {}
                Some(name) => out.push((*name).to_owned()),
                None => out.push("quintillion".to_owned()),
            }
        }
    }
    out
}

/// "twelve thousand three hundredth".
pub(crate) fn ordinal(n: u64) -> Words {
    let mut out = cardinal(n);
    if let Some(last) = out.last_mut() {
        *last = match last.as_str() {
            "one" => "first".to_owned(),
            "two" => "second".to_owned(),
            "three" => "third".to_owned(),
            "five" => "fifth".to_owned(),
            "eight" => "eighth".to_owned(),
            "nine" => "ninth".to_owned(),
            "twelve" => "twelfth".to_owned(),
            w => match w.strip_suffix('y') {
                Some(stem) => format!("{stem}ieth"),
                None => format!("{w}th"),
            },
        };
    }
    out
}

/// "nineteen oh six", "two thousand five", "twenty twenty four": how four digits are read.
pub(crate) fn year(n: u64) -> Words {
    let (high, low) = (n / 100, n % 100);
    if high == 0 || high >= 100 || high % 10 == 0 && low < 10 {
        return cardinal(n);
    }
    let mut out = Words::new();
    below_hundred(high, &mut out);
    match low {
        0 => out.push("hundred".to_owned()),
        1..10 => out.extend(["oh".to_owned(), SMALL[low as usize].to_owned()]),
        _ => below_hundred(low, &mut out),
    }
    out
}

/// One by one.
pub(crate) fn digits(text: &str) -> Words {
    text.bytes().filter(u8::is_ascii_digit).map(|b| SMALL[usize::from(b - b'0')].to_owned()).collect()
}

/// Digits within a name, as in "A380" or "COVID-19": "three eighty", "nineteen".
pub(crate) fn code(text: &str) -> Words {
    let bytes = text.as_bytes();
    let value = |t: &str| t.parse::<u64>().map(cardinal).unwrap_or_default();
    match bytes {
        _ if bytes.len() > 3 || bytes.first() == Some(&b'0') => digits(text),
        [_, b'0', b'0'] => value(text),
        [a, b'0', b] => {
            let mut out = digits(&char::from(*a).to_string());
            out.push("oh".to_owned());
            out.extend(digits(&char::from(*b).to_string()));
            out
        }
        [_, _, _] => [value(&text[..1]), value(&text[1..])].concat(),
        _ => value(text),
    }
}

/// A number as written, with commas between thousands and a decimal point: `None` if it is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    /// Digits before the point, without commas.
    pub whole: String,
    /// Digits after the point.
    pub fraction: String,
    /// Whether it has commas.
    pub grouped: bool,
}

impl Number {
    /// Reads all of `text`.
    pub fn read(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (text, ""),
        };
        let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        let grouped = whole.contains(',');
        if !all_digits(fraction) || whole.is_empty() && fraction.is_empty() {
            return None;
        }
        if grouped {
            let mut groups = whole.split(',');
            let first = groups.next()?;
            let shape = (1..=3).contains(&first.len()) && all_digits(first);
            // Lakhs are grouped by two.
            if !shape || !groups.all(|g| matches!(g.len(), 2 | 3) && all_digits(g)) {
                return None;
            }
        } else if !all_digits(whole) {
            return None;
        }
        Some(Self { whole: whole.replace(',', ""), fraction: fraction.to_owned(), grouped })
    }

    /// The number before the point, if it is not too long.
    pub fn value(&self) -> Option<u64> {
        if self.whole.is_empty() {
            return Some(0);
        }
        self.whole.parse().ok().filter(|_| self.whole.len() <= LONGEST)
    }

    /// Whether it is exactly one.
    pub fn is_one(&self) -> bool {
        self.fraction.is_empty() && self.value() == Some(1)
    }

    /// Whether it may be a year: four bare digits.
    pub fn is_four_digits(&self) -> bool {
        self.whole.len() == 4 && self.fraction.is_empty() && !self.grouped && !self.whole.starts_with('0')
    }

    /// As a quantity.
    pub fn words(&self) -> Words {
        let zeros = self.whole.len() > 1 && self.whole.starts_with('0');
        let mut out = match self.value() {
            Some(_) if self.whole.is_empty() => Words::new(),
            Some(value) if !zeros => cardinal(value),
            _ => digits(&self.whole),
        };
        if !self.fraction.is_empty() {
            out.push("point".to_owned());
            out.extend(digits(&self.fraction));
        }
        out
    }

    /// As it is read where nothing says what it counts: four digits like a year.
    pub fn words_alone(&self) -> Words {
        match self.value() {
            Some(value) if self.is_four_digits() => year(value),
            _ => self.words(),
        }
    }
}

/// The value of a roman numeral in its one canonical form, up to 3999.
pub(crate) fn roman(text: &str) -> Option<u64> {
    const PARTS: [(&str, u64); 13] = [
        ("M", 1000),
        ("CM", 900),
        ("D", 500),
        ("CD", 400),
        ("C", 100),
        ("XC", 90),
        ("L", 50),
        ("XL", 40),
        ("X", 10),
        ("IX", 9),
        ("V", 5),
        ("IV", 4),
        ("I", 1),
    ];
    let (mut rest, mut value) = (text, 0);
    for (part, worth) in PARTS {
        let mut times = 0;
        while let Some(after) = rest.strip_prefix(part) {
            times += 1;
            if times > 3 || times > 1 && (part.len() == 2 || part.contains(['V', 'L', 'D'])) {
                return None;
            }
            value += worth;
            rest = after;
        }
    }
    (rest.is_empty() && value > 0).then_some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_read() {
        let cases: &[(Words, &str)] = &[
            (cardinal(0), "zero"),
            (cardinal(21), "twenty one"),
            (cardinal(100), "one hundred"),
            (cardinal(1_000_000), "one million"),
            (cardinal(12_345), "twelve thousand three hundred forty five"),
            (
                cardinal(u64::MAX),
                "eighteen quintillion four hundred forty six quadrillion seven hundred forty four trillion seventy three billion seven hundred nine million five hundred fifty one thousand six hundred fifteen",
            ),
            (ordinal(1), "first"),
            (ordinal(12), "twelfth"),
            (ordinal(20), "twentieth"),
            (ordinal(43), "forty third"),
            (ordinal(100), "one hundredth"),
            (year(1999), "nineteen ninety nine"),
            (year(1906), "nineteen oh six"),
            (year(2005), "two thousand five"),
            (year(2024), "twenty twenty four"),
            (year(1500), "fifteen hundred"),
            (year(2000), "two thousand"),
            (code("19"), "nineteen"),
            (code("380"), "three eighty"),
            (code("747"), "seven forty seven"),
            (code("101"), "one oh one"),
            (code("500"), "five hundred"),
            (code("007"), "zero zero seven"),
            (code("8080"), "eight zero eight zero"),
        ];
        for (words, want) in cases {
            assert_eq!(words.join(" "), *want);
        }
    }

    #[test]
    fn written_numbers_are_understood() {
        let cases = [
            ("3.14", "three point one four"),
            (".5", "point five"),
            ("1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
            ("007", "zero zero seven"),
            ("0.05", "zero point zero five"),
            (
                "12345678901234567890",
                "one two three four five six seven eight nine zero one two three four five six seven eight nine zero",
            ),
            ("1984", "nineteen eighty four"),
        ];
        for (text, want) in cases {
            assert_eq!(Number::read(text).unwrap().words_alone().join(" "), want, "{text}");
        }
        for text in ["", ".", "1.", "1,2,3", "a", "1e5", "1,,000", "1.2.3", "٣"] {
            assert_eq!(Number::read(text), None, "{text}");
        }
    }

    #[test]
    fn roman_numerals_are_canonical() {
        for (text, value) in [("I", 1), ("IV", 4), ("XIV", 14), ("MCMXCIX", 1999), ("VIII", 8)] {
            assert_eq!(roman(text), Some(value));
        }
        for text in ["", "IIII", "VV", "IC", "ABC", "IXX", "iv"] {
            assert_eq!(roman(text), None, "{text}");
        }
    }
}
