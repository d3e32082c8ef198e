//! DNSMOS and the second speaker encoder, held against the numbers of `tests/reference/listen.py`.
#![allow(clippy::unwrap_used)]

mod common;

use serde_json::Value;
use spinbot_models::listen::{Dnsmos, VoiceJudge};
use spinbot_models::{Device, Store};
use std::path::{Path, PathBuf};

const CLIPS: [&str; 3] = ["hello.flac", "voices/1688-142285-0002.flac", "voices/1688-142285-0003.flac"];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn clip(name: &str) -> Vec<f32> {
    if name == "all of them twice" {
        return CLIPS.map(clip).concat().repeat(2);
    }
    let path = repository("tests/fixtures").join(name);
    spinbot_media::audio::read(&path, name, &Default::default()).unwrap().samples
}

fn reference() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(repository("tests/reference/listen.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap().as_object().unwrap().clone()
}

fn judge() -> VoiceJudge {
    let store = Store::open(common::cache_dir()).unwrap();
    VoiceJudge::load(&store, &Device::cpu()).expect(common::FETCH)
}

#[test]
fn quality_is_what_speechmos_says() {
    let dnsmos = Dnsmos::load(&Device::cpu()).unwrap();
    for (name, expected) in reference() {
        let scores = dnsmos.score(&clip(&name)).unwrap();
        for (kind, score) in
            [("ovrl", scores.ovrl), ("sig", scores.sig), ("bak", scores.bak), ("p808", scores.p808)]
        {
            let expected = expected["dnsmos"][format!("{kind}_mos")].as_f64().unwrap() as f32;
            assert!((score - expected).abs() < 1e-4, "{name}: {kind} is {score}, speechmos says {expected}");
        }
    }
}

#[test]
fn noise_lowers_the_background_score_first() {
    let dnsmos = Dnsmos::load(&Device::cpu()).unwrap();
    let clean = clip(CLIPS[2]);
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let noisy: Vec<f32> = clean.iter().map(|x| x + 0.02 * noise()).collect();
    let (before, after) = (dnsmos.score(&clean).unwrap(), dnsmos.score(&noisy).unwrap());
    assert!(after.ovrl < before.ovrl - 0.3, "{before:?} {after:?}");
    assert!(before.bak - after.bak > before.sig - after.sig, "{before:?} {after:?}");
    assert!(dnsmos.score(&[]).is_err());
}

#[test]
fn the_second_encoder_hears_the_references_voice_and_tells_readers_apart() {
    let judge = judge();
    for (name, expected) in reference() {
        let voice = judge.embed(&clip(&name)).unwrap();
        let expected = expected["judge"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32);
        let off = voice.0.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-5, "{name}: off by {off:e}");
    }
    let hear = |name: &str| judge.embed(&clip(name)).unwrap();
    let (one, again, other) = (hear(CLIPS[1]), hear(CLIPS[2]), hear(CLIPS[0]));
    let (same, different) = (one.similarity(&again), one.similarity(&other));
    assert!(same > 0.75 && different < 0.5, "same {same}, different {different}");
    assert!(judge.embed(&[0.1; 300]).unwrap().0.iter().all(|x| x.is_finite()));
    assert!(judge.embed(&[]).is_err());
}
