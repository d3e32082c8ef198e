//! Word errors: how far a transcript is from the text it should be, both brought to one spelling first.

/// The cheapest way from what was meant to what was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WordErrors {
    /// Words heard as others.
    pub substitutions: usize,
    /// Words not heard.
    pub deletions: usize,
    /// Words heard that were not said.
    pub insertions: usize,
    /// Words of the reference.
    pub words: usize,
}

impl WordErrors {
    /// Errors a word of the reference, the word error rate; may exceed 1. Of an empty reference, the number of
    /// words inserted.
    pub fn rate(&self) -> f64 {
        (self.substitutions + self.deletions + self.insertions) as f64 / self.words.max(1) as f64
    }
}

/// Compares word by word after [`normal_words`].
pub fn word_errors(reference: &str, hypothesis: &str) -> WordErrors {
    let (reference, hypothesis) = (normal_words(reference), normal_words(hypothesis));
    // Each place holds the errors of the cheapest way to the words before it; ties prefer substitutions.
    let inserted = |n| WordErrors { insertions: n, ..WordErrors::default() };
    let mut row: Vec<WordErrors> = (0..=hypothesis.len()).map(inserted).collect();
    let cost = |errors: &WordErrors| errors.substitutions + errors.deletions + errors.insertions;
    for said in &reference {
        let mut diagonal = row[0];
        row[0].deletions += 1;
        for (n, heard) in hypothesis.iter().enumerate() {
            let (above, left) = (row[n + 1], row[n]);
            let mut substituted = diagonal;
            substituted.substitutions += usize::from(said != heard);
            let deleted = WordErrors { deletions: above.deletions + 1, ..above };
            let inserted = WordErrors { insertions: left.insertions + 1, ..left };
            let ways = [substituted, deleted, inserted];
            row[n + 1] = ways.into_iter().min_by_key(cost).unwrap_or(substituted);
            diagonal = above;
        }
    }
    let errors = row.last().copied().unwrap_or_default();
    WordErrors { words: reference.len(), ..errors }
}

/// The words of a text in one spelling: small letters, no punctuation but the apostrophe inside a word, numbers,
/// ordinals, percentages and sums of money written out, common abbreviations spelled.
pub fn normal_words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace(['\u{2019}', '\u{2018}', '`'], "'").replace('&', " and ");
    let mut words = Vec::new();
    for token in
        text.split(|c: char| c.is_whitespace() || "-\u{2010}\u{2011}\u{2013}\u{2014}/\u{2026}".contains(c))
    {
        push_token(token, &mut words);
    }
    words
}

fn push_token(token: &str, words: &mut Vec<String>) {
    let currency = token.chars().find_map(|c| match c {
        '$' => Some("dollars"),
        '£' => Some("pounds"),
        '€' => Some("euros"),
        _ => None,
    });
    let percent = token.contains('%').then_some("percent");
    // Commas within digits group them; a point within digits is said.
    let letters: Vec<char> = token.chars().collect();
    let digit = |n: Option<usize>| n.and_then(|n| letters.get(n)).is_some_and(char::is_ascii_digit);
    let alphanumeric = |n: Option<usize>| n.and_then(|n| letters.get(n)).is_some_and(|c| c.is_alphanumeric());
    let mut kept = String::new();
    for (n, &letter) in letters.iter().enumerate() {
        let (before, after) = (n.checked_sub(1), Some(n + 1));
        match letter {
            ',' if digit(before) && digit(after) => {}
            '.' if digit(before) && digit(after) => kept.push('.'),
            '\'' if alphanumeric(before) && alphanumeric(after) => kept.push('\''),
            _ if letter.is_alphanumeric() => kept.push(letter),
            // Letters between points are an abbreviation's.
            '.' if alphanumeric(before) && alphanumeric(after) => {}
            _ => kept.push(' '),
        }
    }
    for word in kept.split_whitespace() {
        push_word(word, words);
    }
    words.extend([percent, currency].into_iter().flatten().map(str::to_owned));
}

fn push_word(word: &str, words: &mut Vec<String>) {
    let spelled = match word {
        "mr" => "mister",
        "mrs" => "missus",
        "dr" => "doctor",
        "st" => "saint",
        "etc" => "et cetera",
        "vs" => "versus",
        "okay" => "ok",
        _ => word,
    };
    let digits = word.trim_end_matches(|c: char| !c.is_ascii_digit());
    let ending = &word[digits.len()..];
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let number = whole.parse::<u64>().ok().filter(|&n| n < 1_000_000_000_000);
    match (number, fraction, ending) {
        (Some(number), None, "st" | "nd" | "rd" | "th") => {
            let from = words.len();
            push_number(number, words);
            if let Some(last) = words[from..].last_mut() {
                *last = ordinal(last);
            }
        }
        (Some(number), fraction, "") => {
            push_number(number, words);
            if let Some(fraction) = fraction {
                words.push("point".into());
                let digit = |c: char| c.to_digit(10).map(|d| SMALL[d as usize].to_owned());
                words.extend(fraction.chars().filter_map(digit));
            }
        }
        _ => words.extend(spelled.split(' ').map(str::to_owned)),
    }
}

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

/// The number's words without "and".
fn push_number(number: u64, words: &mut Vec<String>) {
    for (unit, name) in
        [(1_000_000_000, "billion"), (1_000_000, "million"), (1000, "thousand"), (100, "hundred")]
    {
        if number >= unit {
            push_number(number / unit, words);
            words.push(name.into());
            if !number.is_multiple_of(unit) {
                push_number(number % unit, words);
            }
            return;
        }
    }
    let number = number as usize;
    match SMALL.get(number) {
        Some(small) => words.push((*small).into()),
        None => {
            words.push(TENS[number / 10].into());
            if !number.is_multiple_of(10) {
                words.push(SMALL[number % 10].into());
            }
        }
    }
}

fn ordinal(word: &str) -> String {
    match word {
        "one" => "first".into(),
        "two" => "second".into(),
        "three" => "third".into(),
        "five" => "fifth".into(),
        "eight" => "eighth".into(),
        "nine" => "ninth".into(),
        "twelve" => "twelfth".into(),
        _ => match word.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{word}th"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_one_sentence_have_the_same_words() {
        for (a, b) in [
            ("Mr. Smith's 2nd dog—it's fine!", "mister smith's second dog it's fine"),
            (
                "He paid $1,250 on the 21st.",
                "he paid one thousand two hundred fifty dollars on the twenty first",
            ),
            ("About 3.14, or 40%", "about three point one four or forty percent"),
            ("The U.S.A. & the \u{2018}rest\u{2019}", "the usa and the rest"),
            ("105 of 1000000", "one hundred five of one million"),
            ("The 30th, 12th and 101st", "the thirtieth twelfth and one hundred first"),
        ] {
            assert_eq!(normal_words(a), normal_words(b), "{a}");
        }
        assert!(normal_words(" ... ' - ").is_empty());
    }

    #[test]
    fn errors_are_counted_by_kind() {
        let errors = word_errors("the cat sat on the big red mat", "The cat sits on the red mat, today.");
        assert_eq!(errors, WordErrors { substitutions: 1, deletions: 1, insertions: 1, words: 8 });
        assert_eq!(errors.rate(), 0.375);
        assert_eq!(word_errors("One. Two!", "one two").rate(), 0.0);
        assert_eq!(word_errors("a b c", "").deletions, 3);
        assert_eq!(word_errors("", "a b").rate(), 2.0);
        assert_eq!(word_errors("", ""), WordErrors::default());
    }
}
