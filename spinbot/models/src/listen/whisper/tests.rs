//! The network's inside: the encoder held against CTranslate2 (`tests/reference/whisper.py`), the decoder's memory
//! against doing without, and how far a fallback may go.
#![allow(clippy::unwrap_used)]

use super::decode::{Attempt, attempt};
use super::*;
use std::path::{Path, PathBuf};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn clip(name: &str) -> Vec<f32> {
    let path = repository("tests/fixtures").join(name);
    spinbot_media::audio::read(&path, name, &Default::default()).unwrap().samples
}

fn transcriber() -> Transcriber {
    let from_env = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = from_env("SPINBOT_CACHE").unwrap_or_else(|| {
        let home = || from_env("HOME").unwrap_or_else(|| "/".into());
        from_env("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")).join("spinbot")
    });
    let store = Store::open(cache).unwrap();
    Transcriber::load(&store, &Device::cpu())
        .expect("weights are missing: run `cargo xtask test`, which fetches them")
}

#[test]
fn the_encoders_states_are_ctranslate2s() {
    let transcriber = transcriber();
    let text = std::fs::read_to_string(repository("tests/reference/whisper.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&text).unwrap();
    for name in ["hello.flac", "voices/1688-142285-0002.flac", "voices/1688-142285-0003.flac"] {
        let mel = transcriber.features(&clip(name)).unwrap();
        let states = transcriber.encoder.forward(&mel);
        for (what, width, got, every) in [("mel", MELS, &mel, (37, 7)), ("states", WIDTH, &states, (53, 17))]
        {
            let rows = got.chunks_exact(width).step_by(every.0);
            let got = rows.flat_map(|row| row.iter().step_by(every.1)).copied();
            let expected = reference[name][what].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
            assert_eq!(got.clone().count(), expected.len());
            let apart = got.zip(expected).map(|(a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
            // The tanh form of GELU moves the states by more than 0.01.
            assert!(apart < 1e-4, "{name}: {what} {apart:e} apart");
        }
    }
}

#[test]
fn a_step_that_remembers_equals_a_text_begun_anew() {
    let transcriber = transcriber();
    let sound = transcriber.heard(&clip("hello.flac")).unwrap();
    let tokens = [START, NO_TIMESTAMPS, 921, 318, 257, 1332, 13];
    let mut remembering = transcriber.decoder.text(&sound);
    for n in 0..tokens.len() {
        let step = remembering.push(tokens[n]);
        let whole = transcriber.decoder.whole_text(&sound, &tokens[..=n]);
        let apart = step.iter().zip(whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let most = step.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        assert!(apart < 2e-5 * most, "{apart:e} apart of {most} after {} tokens", n + 1);
    }
}

#[test]
fn a_fallback_ends_within_its_tokens_and_temperatures() {
    let transcriber = transcriber();
    assert_eq!(TEMPERATURES.len(), 3);
    assert_eq!([0, RATE, 10 * RATE, SPAN].map(most_tokens), [16, 26, 116, 224]);
    // White noise on a carrier: no speech, and louder than silence.
    let mut state = 1_u32;
    let noise: Vec<f32> = (0..4 * RATE)
        .map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            noise * 0.3 * (n as f32 * 0.002).sin()
        })
        .collect();
    let sound = transcriber.heard(&noise).unwrap();
    for temperature in [0.4, 1e3] {
        let once = attempt(&transcriber.decoder, &sound, &transcriber.banned, temperature, 5);
        let again = attempt(&transcriber.decoder, &sound, &transcriber.banned, temperature, 5);
        assert!(once.tokens.len() <= 5 && once.avg_logprob <= 0.0);
        assert_eq!(once.tokens, again.tokens, "chance is fixed");
    }
    // At such a temperature any token may come, but never one that is banned.
    let Attempt { tokens, .. } = attempt(&transcriber.decoder, &sound, &transcriber.banned, 1e6, 60);
    assert_eq!(tokens.len(), 60);
    assert!(tokens.iter().all(|&token| token < END && !transcriber.banned.contains(token)));
}
