//! Which words of a transcript are said in which part of the speech, by what speech recognition heard there.

/// The words of `given`, shared out over the parts in which recognition `heard` their like: one text for each part,
/// in order. Recognition may be wrong about words; it is right about where speech is.
pub(super) fn share_out(given: &str, heard: &[String]) -> Vec<String> {
    let given: Vec<&str> = given.split_whitespace().collect();
    let heard: Vec<(usize, &str)> = heard
        .iter()
        .enumerate()
        .flat_map(|(part, text)| text.split_whitespace().map(move |word| (part, word)))
        .collect();
    let parts = heard.iter().map(|(part, _)| part + 1).max().unwrap_or(0);
    let plain = |word: &str| -> String {
        word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let (ours, theirs): (Vec<String>, Vec<String>) =
        (given.iter().map(|w| plain(w)).collect(), heard.iter().map(|(_, w)| plain(w)).collect());
    // Levenshtein's table (1966), each word left out, put in or taken for another at the same cost.
    let columns = theirs.len() + 1;
    let mut cost = vec![0_u32; (ours.len() + 1) * columns];
    for i in 0..=ours.len() {
        for j in 0..columns {
            cost[i * columns + j] = match (i, j) {
                (0, j) => j as u32,
                (i, 0) => i as u32,
                _ => {
                    let same = u32::from(ours[i - 1] != theirs[j - 1]);
                    let other = cost[(i - 1) * columns + j - 1] + same;
                    other.min(cost[(i - 1) * columns + j] + 1).min(cost[i * columns + j - 1] + 1)
                }
            };
        }
    }
    let mut part_of: Vec<Option<usize>> = vec![None; ours.len()];
    let (mut i, mut j) = (ours.len(), theirs.len());
    while i > 0 && j > 0 {
        let here = cost[i * columns + j];
        if here == cost[(i - 1) * columns + j - 1] + u32::from(ours[i - 1] != theirs[j - 1]) {
            part_of[i - 1] = Some(heard[j - 1].0);
            (i, j) = (i - 1, j - 1);
        } else if here == cost[(i - 1) * columns + j] + 1 {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    // A word recognition missed is said where the one before it is; those before all others with the first found.
    let mut texts = vec![Vec::new(); parts.max(1)];
    let mut at = part_of.iter().flatten().next().copied().unwrap_or(0);
    for (word, part) in given.iter().zip(part_of) {
        at = part.unwrap_or(at);
        texts[at].push(*word);
    }
    texts.into_iter().map(|words| words.join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_words_go_where_they_were_heard() {
        let heard = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        for (given, parts, expected) in [
            ("He was here. She left.", &["he was here", "she left"][..], &["He was here.", "She left."][..]),
            ("The Knights of Ni", &["the nights", "of knee"], &["The Knights", "of Ni"]),
            ("one two three four", &["one two", "", "four"], &["one two three", "", "four"]),
            ("uh well one two", &["one", "two"], &["uh well one", "two"]),
            ("one two", &["one um", "ah two three"], &["one", "two"]),
            ("nothing alike", &[""], &["nothing alike"]),
            ("", &["one"], &[""]),
        ] {
            assert_eq!(share_out(given, &heard(parts)), expected, "{given}");
        }
    }
}
