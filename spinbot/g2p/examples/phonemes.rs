//! Prints the phonemes of its arguments, or with `--time` how long starting and reading take.
//!
//! `cargo run --release -p spinbot-g2p --example phonemes -- "Hello, world!"`

#![allow(clippy::print_stdout)]

use std::time::Instant;

use spinbot_g2p::{Accent, G2pError, Options, phonemize};

fn main() -> Result<(), G2pError> {
    let text = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    if text == "--time" {
        return time();
    }
    for sentence in phonemize(&text, &Options::default())?.sentences {
        println!("{}", sentence.phonemes);
        for word in sentence.words {
            let phonemes: String =
                sentence.phonemes.chars().skip(word.phonemes.start).take(word.phonemes.len()).collect();
            println!("  {:?}\t{}\t{phonemes}", word.origin, word.text);
        }
        println!("  {} s", sentence.pause_after);
    }
    Ok(())
}

fn time() -> Result<(), G2pError> {
    let sentence = "The committee approved the new budget on Tuesday, after 3 hours of debate. ";
    let text = sentence.repeat(1000);
    for accent in [Accent::Us, Accent::Uk] {
        let options = Options { accent, ..Options::default() };
        let start = Instant::now();
        phonemize("Hello, blorptastic world!", &options)?;
        let first = start.elapsed();
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let start = Instant::now();
            phonemize(&text, &options)?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        let words = 1000.0 * sentence.split_whitespace().count() as f64;
        println!("{accent:?}: first {first:.1?}, then {:.0} words a second", words / best);
    }
    Ok(())
}
