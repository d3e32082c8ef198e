//! "Did you mean": the nearest of some known words, for the help line of an error.

/// The known word nearest to `typed`, if it is near enough to be a slip of the fingers.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (typed.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (distance(typed, word), word))
        .filter(|(distance, word)| *distance <= allowed || (typed.len() > 1 && word.starts_with(typed)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Edits between two words: insert, delete, replace, or swap two neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    // Longer than any name: not a slip, and not worth a quadratic table.
    if a.len() > 64 {
        return usize::MAX;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_the_word_meant() {
        let known = ["portrait", "preset", "speech", "seed"];
        for (typed, expected) in [
            ("portait", Some("portrait")),
            ("protrait", Some("portrait")),
            ("pre", Some("preset")),
            ("sede", Some("seed")),
            ("speach", Some("speech")),
            ("topic", None),
            ("", None),
            (&"x".repeat(5000), None),
        ] {
            assert_eq!(nearest(typed, known), expected, "for {typed:?}");
        }
    }
}
