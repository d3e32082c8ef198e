//! How far the phonemes are misaki's own, with spaCy's tags: 319 sentences, both accents.
//! `tests/reference/g2p.py` made `reference.tsv` from `tests/reference/g2p_sentences.txt`.

#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout)]

use spinbot_g2p::{Accent, Options, phonemize};

/// What misaki says for a word it does not know.
const UNKNOWN: char = '❓';

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let best = (before + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            before = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}

/// Agreement over all sentences that misaki knows every word of, and the same over the others.
fn agreement(accent: Accent) -> (f64, f64) {
    let mut totals = [(0, 0); 2];
    let mut worst = Vec::new();
    for line in include_str!("reference.tsv").lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [text, us, uk] = fields[..] else { panic!("{line}") };
        let want = if accent == Accent::Us { us } else { uk };
        let speech = phonemize(text, &Options { accent, ..Options::default() }).unwrap();
        let got = speech.sentences.iter().map(|s| s.phonemes.as_str()).collect::<Vec<_>>().join(" ");
        let errors = distance(&got, want);
        let length = want.chars().count();
        let total = &mut totals[usize::from(want.contains(UNKNOWN))];
        *total = (total.0 + errors, total.1 + length);
        worst.push((errors * 1000 / length, text, got, want));
    }
    worst.sort_by_key(|w| std::cmp::Reverse(w.0));
    for (permille, text, got, want) in worst.iter().take(25).filter(|w| w.0 > 0) {
        println!("{permille} permille: {text}\n  ours   {got}\n  misaki {want}");
    }
    let exact = worst.iter().filter(|w| w.0 == 0).count();
    let share = |(errors, length): (usize, usize)| 1.0 - errors as f64 / length.max(1) as f64;
    let (known, unknown) = (share(totals[0]), share(totals[1]));
    println!(
        "{accent:?}: {:.2} % of phonemes agree ({exact} of {} sentences wholly); {:.2} % where misaki lacks a word",
        100.0 * known,
        worst.len(),
        100.0 * unknown
    );
    (known, unknown)
}

#[test]
fn american_is_misakis() {
    assert!(agreement(Accent::Us).0 >= 0.97);
}

#[test]
fn british_is_misakis() {
    assert!(agreement(Accent::Uk).0 >= 0.97);
}
