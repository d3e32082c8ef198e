//! The speaker encoder, held against the numbers of `tests/reference/ge2e.py`.
#![allow(clippy::unwrap_used)]

use candle_core::{Tensor, Var};
use serde_json::Value;
use spinbot_models::Device;
use spinbot_models::listen::{SpeakerEncoder, Voiceprint, level};
use std::path::{Path, PathBuf};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn clip(name: &str) -> Vec<f32> {
    let path = repository("tests/fixtures").join(name);
    let clip = spinbot_media::audio::read(&path, name, &Default::default()).unwrap();
    assert_eq!(clip.rate, 16_000);
    clip.samples
}

fn reference() -> Value {
    let text = std::fs::read_to_string(repository("tests/reference/ge2e.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn encoder() -> SpeakerEncoder {
    SpeakerEncoder::load(&Device::cpu()).unwrap()
}

#[test]
fn whole_utterances_have_the_references_voice() {
    let encoder = encoder();
    for (name, expected) in reference()["embeddings"].as_object().unwrap() {
        let samples = clip(name);
        let partials = encoder.embed_partials(&samples).unwrap();
        assert_eq!(partials.len() as u64, expected["partials"].as_u64().unwrap());
        let voice = encoder.embed(&samples).unwrap();
        let off = apart(&voice.0, &numbers(&expected["voice"]));
        assert!(off < 1e-6, "{name}: off by {off:e}");
    }
}

#[test]
fn the_gradient_to_the_samples_is_pytorchs() {
    let encoder = encoder();
    let reference = reference();
    let target = numbers(&reference["embeddings"]["hello.flac"]["voice"]);
    let target = Tensor::new(target.as_slice(), &candle_core::Device::Cpu).unwrap();
    let samples = clip("voices/1688-142285-0003.flac");
    for case in reference["differentiable"].as_array().unwrap() {
        let (count, volume) = (case["samples"].as_u64().unwrap(), case["volume"].as_f64().unwrap());
        let crop: Vec<f32> = samples[4000..4000 + count as usize].iter().map(|x| x * volume as f32).collect();
        let crop = Var::new(crop.as_slice(), &candle_core::Device::Cpu).unwrap();
        let voice = encoder.embed_tensor(&crop).unwrap();
        let off = apart(&voice.to_vec1::<f32>().unwrap(), &numbers(&case["voice"]));
        assert!(off < 1e-5, "{count}: the voice is off by {off:e}");
        let loss = (1.0 - (&voice * &target).unwrap().sum_all().unwrap()).unwrap();
        let grads = loss.backward().unwrap();
        let grad = grads.get(&crop).unwrap().to_vec1::<f32>().unwrap();
        let norm = grad.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let expected = numbers(&case["grad"]);
        let thinned: Vec<f32> = grad.iter().step_by(97).copied().collect();
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let relative = apart(&thinned, &expected) / largest;
        let of_norm = norm / case["grad_norm"].as_f64().unwrap() - 1.0;
        assert!(relative < 1e-4, "{count}: the gradient is off by {relative:e}");
        assert!(of_norm.abs() < 1e-4, "{count}: the gradient's norm is off by {of_norm:e}");
    }
}

#[test]
fn the_same_reader_is_closer_than_another_and_volume_does_not_matter() {
    let encoder = encoder();
    let hear = |name: &str| encoder.embed(&clip(name)).unwrap();
    let (one, again) = (hear("voices/1688-142285-0002.flac"), hear("voices/1688-142285-0003.flac"));
    let other = hear("hello.flac");
    assert!(one.similarity(&again) > 0.8, "{}", one.similarity(&again));
    assert!(one.similarity(&other) < 0.7, "{}", one.similarity(&other));

    // Loud speech is another voice to the network until it is levelled.
    let heard = |volume: f32| {
        let mut samples: Vec<f32> = clip("hello.flac").iter().map(|x| x * volume).collect();
        let unlevelled = encoder.embed(&samples).unwrap();
        let gain = level(&mut samples);
        (gain, unlevelled, encoder.embed(&samples).unwrap())
    };
    let (whole, ..) = heard(1.0);
    let (_, unlevelled, levelled) = heard(whole);
    for volume in [0.01, 4.0] {
        let (gain, raw, voice) = heard(volume * whole);
        assert!((gain * volume - 1.0).abs() < 1e-3, "{gain}");
        assert!(voice.similarity(&levelled) > 0.99999);
        assert!(raw.similarity(&unlevelled) < 0.99, "{}", raw.similarity(&unlevelled));
    }
}

#[test]
fn what_cannot_be_heard_is_refused_and_silence_has_no_voice_to_divide_by() {
    let encoder = encoder();
    for (samples, reason) in
        [(vec![], "empty"), (vec![0.0, f32::NAN], "not numbers"), (vec![0.0; 16_000 * 10_801], "minutes")]
    {
        let error = encoder.embed(&samples).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(error.help().is_some());
    }
    assert!(encoder.embed_speaker(&[]).is_err());
    let Voiceprint(silence) = encoder.embed(&[0.0; 4000]).unwrap();
    assert!(silence.iter().all(|x| x.is_finite()));
    let crop = Var::zeros(9000, candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let voice = encoder.embed_tensor(&crop).unwrap();
    let grads = voice.sum_all().unwrap().backward().unwrap();
    let grad = grads.get(&crop).unwrap().to_vec1::<f32>().unwrap();
    assert!(grad.iter().all(|x| x.is_finite()));
}

#[test]
fn long_recordings_are_heard_piece_by_piece_without_a_difference() {
    let encoder = encoder();
    let once = clip("voices/1688-142285-0003.flac");
    // A whole number of steps, so that the same partials come again.
    let once = &once[..77 * 160 * (once.len() / (77 * 160))];
    let long = once.repeat(12);
    let partials = encoder.embed_partials(&long).unwrap();
    assert!(partials.len() > 64, "{}", partials.len());
    let per = once.len() / (77 * 160);
    for (n, (place, voice)) in partials.iter().enumerate().skip(per + 1).take(60) {
        assert_eq!(place.start, n * 77 * 160);
        assert!(apart(&voice.0, &partials[n - per].1.0) < 1e-6, "partial {n}");
    }
}
