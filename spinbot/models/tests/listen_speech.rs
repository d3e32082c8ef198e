//! What is said, how high it is said and by how many, held against the numbers of `tests/reference/whisper.py`.
#![allow(clippy::unwrap_used)]

mod common;

use serde_json::Value;
use spinbot_models::listen::{
    Activity, Confidence, Listener, PitchRange, SpeakerEncoder, Transcriber, normal_words, pitch, word_errors,
};
use spinbot_models::{Device, Store};
use std::path::{Path, PathBuf};

const CLIPS: [&str; 3] = ["hello.flac", "voices/1688-142285-0002.flac", "voices/1688-142285-0003.flac"];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn clip(name: &str) -> Vec<f32> {
    let path = repository("tests/fixtures").join(name);
    spinbot_media::audio::read(&path, name, &Default::default()).unwrap().samples
}

fn reference(name: &str) -> Value {
    let text = std::fs::read_to_string(repository("tests/reference/whisper.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[name].clone()
}

fn transcriber() -> Transcriber {
    let store = Store::open(common::cache_dir()).unwrap();
    Transcriber::load(&store, &Device::cpu()).expect(common::FETCH)
}

#[test]
fn clips_are_written_down_as_by_faster_whisper() {
    let transcriber = transcriber();
    for name in CLIPS {
        let expected = reference(name);
        let heard = transcriber.transcribe(&clip(name)).unwrap();
        assert_eq!(heard.text(), expected["text"].as_str().unwrap(), "{name}");
        assert_eq!((heard.segments.len(), heard.segments[0].temperature), (1, 0.0));
        let logprob = expected["avg_logprob"].as_f64().unwrap() as f32;
        assert!((heard.avg_logprob().unwrap() - logprob).abs() < 0.002, "{name}: {heard:?}, {logprob}");
        let silence = expected["no_speech_prob"].as_f64().unwrap() as f32;
        assert!((heard.segments[0].no_speech_prob - silence).abs() < 0.0005, "{name}: {heard:?}, {silence}");
        assert_eq!(heard.confidence(), Confidence::Clear);
    }
}

#[test]
fn a_recording_longer_than_a_window_is_written_down_whole() {
    let transcriber = transcriber();
    let pause = vec![0.0; 12_000];
    let parts: Vec<Vec<f32>> = CLIPS.into_iter().cycle().take(9).map(clip).collect();
    let long = parts.join(pause.as_slice());
    assert!(long.len() > 30 * 16_000, "{}", long.len());
    let heard = transcriber.transcribe(&long).unwrap();
    assert!(heard.segments.len() >= 2);
    let said: Vec<String> = CLIPS
        .into_iter()
        .cycle()
        .take(9)
        .map(|name| reference(name)["text"].as_str().unwrap().into())
        .collect();
    let errors = word_errors(&said.join(" "), &heard.text());
    assert!(errors.rate() < 0.1, "{errors:?}: {}", heard.text());
}

#[test]
fn silence_says_nothing() {
    let transcriber = transcriber();
    let heard = transcriber.transcribe(&[0.0; 48_000]).unwrap();
    // tiny.en is sure to hear "you" in silence, and as sure that nobody speaks.
    assert_eq!(heard.confidence(), Confidence::Nothing, "{heard:?}");
    assert!(transcriber.transcribe(&[]).is_err());
}

#[test]
fn pitch_agrees_with_world() {
    for name in CLIPS {
        let expected = reference(name);
        let track = pitch(&clip(name));
        let range = PitchRange::of(&track).unwrap();
        let mean = expected["mean_log_f0"].as_f64().unwrap() as f32;
        let spread = expected["sd_log_f0"].as_f64().unwrap() as f32;
        assert!((range.mean_log - mean).abs() < 0.08, "{name}: {range:?}, WORLD {mean} {spread}");
        assert!((range.sd_log - spread).abs() < 0.08, "{name}: {range:?}, WORLD {mean} {spread}");
        // Frame by frame where both hear a voice: WORLD's frame n lies at sample 160 n.
        let world: Vec<f32> =
            expected["f0"].as_array().unwrap().iter().map(|f0| f0.as_f64().unwrap() as f32).collect();
        let both: Vec<f32> = track
            .iter()
            .enumerate()
            .filter_map(|(n, &f0)| Some((f0, *world.get((160 * n + 373 + 80) / 160)?)))
            .filter(|(ours, world)| *ours > 0.0 && *world > 0.0)
            .map(|(ours, world)| (ours / world).ln().abs())
            .collect();
        let near = both.iter().filter(|off| **off < 0.05).count() as f32 / both.len() as f32;
        assert!(both.len() > 30 && near > 0.85, "{name}: {near} of {} within 5 %", both.len());
    }
}

#[test]
fn two_readers_are_two_and_one_is_one() {
    let encoder = SpeakerEncoder::load(&Device::cpu()).unwrap();
    let hear = |samples: &[f32]| {
        let speech = Activity::of(samples).speech_only(samples);
        encoder.two_voices(&speech).unwrap()
    };
    let [other, short, long] = CLIPS.map(clip);
    let one = hear(&[short.clone(), long.clone()].concat());
    assert!(!one.several() && one.similarity > 0.77, "{one:?}");
    let two = hear(&[long, other.repeat(2)].concat());
    assert!(two.several() && two.similarity < 0.72, "{two:?}");
    assert!(!hear(&short[..16_000]).several(), "a second is too little to tell");
}

#[test]
fn a_listener_loads_what_is_asked_for_and_says_how_to_get_the_rest() {
    let empty = tempfile::tempdir().unwrap();
    let listener = Listener::new(Store::open(empty.path().into()).unwrap(), Device::cpu());
    assert!(std::ptr::eq(listener.encoder().unwrap(), listener.encoder().unwrap()));
    assert!(listener.dnsmos().is_ok());
    let error = listener.transcriber().err().unwrap();
    let help = error.help().unwrap();
    assert!(
        help.starts_with("fetch it with `") && help.contains("`spinbot models pull whisper-tiny.en`"),
        "{help}"
    );
    assert!(listener.judge().is_err());
    assert_eq!(normal_words("It's 2."), ["it's", "two"]);
}
