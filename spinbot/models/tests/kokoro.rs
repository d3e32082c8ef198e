//! Kokoro's prosody, held against onnxruntime's numbers from `tests/reference/kokoro.py`.
#![allow(clippy::unwrap_used)]

mod common;

use serde::Deserialize;
use spinbot_models::kokoro::Voice;
use spinbot_models::kokoro::voice::{STOCK, StockVoices, stock};
use spinbot_models::kokoro::{Kokoro, Prosody, vocab};
use spinbot_models::{Device, ModelError, Store};
use std::path::Path;
use std::sync::OnceLock;

#[derive(Deserialize)]
struct Case {
    phonemes: String,
    voice: String,
    speed: f32,
    durations: Vec<usize>,
    f0_norm: f32,
    energy_norm: f32,
    f0_last: f32,
    energy_last: f32,
    states: Option<String>,
}

fn reference(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference").join(file)).unwrap()
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&reference("kokoro.json")).unwrap()
}

fn store() -> Store {
    Store::open(common::cache_dir()).unwrap()
}

/// The network, loaded once for all tests.
fn kokoro() -> &'static Kokoro {
    static KOKORO: OnceLock<Kokoro> = OnceLock::new();
    KOKORO.get_or_init(|| Kokoro::load(&store(), &Device::cpu()).expect(common::FETCH))
}

fn voices() -> &'static StockVoices {
    static VOICES: OnceLock<StockVoices> = OnceLock::new();
    VOICES.get_or_init(|| StockVoices::open(&store()).expect(common::FETCH))
}

fn say(phonemes: &str, voice: &str, speed: f32) -> Prosody {
    let tokens = vocab::encode(phonemes);
    assert_eq!(tokens.unknown, []);
    let pack = voices().pack(voice).unwrap();
    kokoro().prosody(&tokens.ids, pack.style(tokens.places.len()), speed).unwrap()
}

fn norm(values: &[f32]) -> f32 {
    values.iter().map(|value| value * value).sum::<f32>().sqrt()
}

/// |a - b| / |b|, over all values together.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>()) / norm(b)
}

#[test]
fn durations_are_onnxruntimes_to_the_frame_in_every_voice_and_at_every_speed() {
    let cases = cases();
    assert!(STOCK.iter().all(|voice| cases.iter().any(|case| case.voice == voice.name)));
    for case in &cases {
        let said = say(&case.phonemes, &case.voice, case.speed);
        let of = format!("{} at {}: {}", case.voice, case.speed, case.phonemes);
        assert_eq!(said.durations, case.durations, "{of}");
        assert_eq!((said.f0.len(), said.energy.len()), (2 * said.frames(), 2 * said.frames()));
        for (got, expected, scale) in [
            (norm(&said.f0), case.f0_norm, case.f0_norm),
            (norm(&said.energy), case.energy_norm, case.energy_norm),
            // The last values but two of both see the end's padding. F0 is in Hz, of which voices have a hundred.
            (said.f0[said.f0.len() - 3], case.f0_last, 100.0),
            (said.energy[said.energy.len() - 3], case.energy_last, 1.0),
        ] {
            assert!((got - expected).abs() < 1e-4 * scale, "{of}: {got}, expected {expected}");
        }
    }
}

#[test]
fn f0_energy_and_what_the_decoder_is_told_equal_onnxruntimes() {
    let tensors = reference("kokoro.safetensors");
    let tensors = candle_core::safetensors::load_buffer(&tensors, &candle_core::Device::Cpu).unwrap();
    let mut held = 0;
    for case in cases() {
        let Some(states) = case.states else { continue };
        let said = say(&case.phonemes, &case.voice, case.speed);
        assert_eq!(said.asr.dims(), [said.frames(), 512]);
        let asr: Vec<f32> = said.asr.flatten_all().unwrap().to_vec1().unwrap();
        let asr: Vec<_> = asr.into_iter().step_by(53).collect();
        for (name, got) in [("F0", &said.f0), ("N", &said.energy), ("asr", &asr)] {
            let expected = tensors[&format!("{states}{name}")].to_vec1::<f32>().unwrap();
            let apart = apart(got, &expected);
            assert!(apart < 1e-5, "{states}{name} is {apart:e} apart");
        }
        held += 1;
    }
    assert_eq!(held, 2);
}

#[test]
fn a_blend_speaks_between_its_voices() {
    let voices = voices();
    let tokens = vocab::encode("ɡlˈu ðə ʃˈit tə ðə dˈɑɹk blˈu bˈækɡɹWnd.");
    let part = |name: &str| {
        let known = stock(name).unwrap();
        let pack = voices.pack(name).unwrap();
        let base = name.to_owned();
        let accent = known.accent;
        let voice = Voice { pack, accent, base, pitch: None, speaker: None, adapters: Default::default() };
        (voice, 0.5)
    };
    let pitch = |names: &[&str]| {
        let parts: Vec<_> = names.iter().map(|name| part(name)).collect();
        let voice = Voice::blend(&parts, |_| None).unwrap();
        let style = voice.pack.style(tokens.places.len());
        let said = kokoro().prosody(&tokens.ids, style, 1.0).unwrap();
        let voiced: Vec<_> = said.f0.into_iter().filter(|f0| *f0 > 50.0).collect();
        voiced.iter().sum::<f32>() / voiced.len() as f32
    };
    let (woman, man) = (pitch(&["af_heart"]), pitch(&["am_onyx"]));
    let between = pitch(&["af_heart", "am_onyx"]);
    assert!(man < between && between < woman, "{man} {between} {woman}");
}

#[test]
fn what_cannot_be_spoken_is_refused_with_a_reason() {
    let style = [0.0; 256];
    let mut broken = style;
    broken[200] = f32::NAN;
    let longest = vec![50; 510];
    let padded = |ids: &[u32]| [&[0], ids, &[0]].concat();
    for (tokens, style, speed, reason) in [
        (padded(&[]), style, 1.0, "0 of them were given, 1 to 510 can be"),
        (vec![], style, 1.0, "0 of them"),
        (padded(&[50; 511]), style, 1.0, "511 of them"),
        (padded(&[178]), style, 1.0, "178 is no token"),
        (padded(&[50]), broken, 1.0, "not made of numbers"),
        (padded(&[50]), style, 0.0, "the speed is 0"),
        (padded(&[50]), style, f32::NAN, "the speed is NaN"),
        (padded(&[50]), style, 4.5, "not 0.25 to 4"),
    ] {
        let error = kokoro().prosody(&tokens, &style, speed).unwrap_err();
        assert!(
            matches!(error, ModelError::Phonemes { .. }) && error.to_string().contains(reason),
            "{error}"
        );
    }
    assert!(kokoro().prosody(&padded(&longest), &style, 1.0).is_ok());
    let error = voices().pack("af_hart").unwrap_err();
    assert!(error.help().unwrap().contains("af_heart"), "{error}");
}
