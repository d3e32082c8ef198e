//! What a text becomes, case by case.
use crate::*;
use proptest::prelude::*;

fn us(text: &str) -> String {
    said(text, &Options::default())
}

fn said(text: &str, options: &Options) -> String {
    let speech = phonemize(text, options).unwrap();
    speech.sentences.iter().map(|s| s.phonemes.as_str()).collect::<Vec<_>>().join(" | ")
}

#[test]
fn show() {
    for t in [
        "Hello, world!",
        "It costs $12.50 on March 3, 2024 at 10:30 a.m. in St. Louis.",
        "I used to read the record.",
    ] {
        println!("{t} -> {}", us(t));
    }
    for s in phonemize("He said \"hello\" — to me. [pause 1] *Really* 5 km/h?", &Options::default())
        .unwrap()
        .sentences
    {
        println!("{s:?}");
    }
}
