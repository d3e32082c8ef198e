//! What the viseme listener hears, against the exact times of synthetic speech and forced alignments of real speech.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use spinbot_media::audio::{AudioCaps, read};
use spinbot_models::visemes::{Heard, Mouth, RATE, SAMPLE_RATE, Viseme, VisemeListener, timeline};
use spinbot_models::{Device, ModelError};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn listener() -> VisemeListener {
    VisemeListener::load(&Device::cpu()).unwrap()
}

fn samples(path: &str) -> Vec<f32> {
    let clip = read(&root().join(path), path, &AudioCaps::default()).unwrap();
    clip.resampled(SAMPLE_RATE).unwrap().samples
}

/// Beginning, end and symbol of everything that is said in a clip.
type Said = Vec<(char, f64, f64)>;

/// A sentence whose phonemes' times the synthesiser told; the voices were held out from training.
fn synthetic(name: &str) -> (Vec<f32>, Said) {
    let text = std::fs::read(root().join(format!("tests/fixtures/spoken/{name}.timing.json"))).unwrap();
    let timing: Value = serde_json::from_slice(&text).unwrap();
    let said = timing["phonemes"].as_array().unwrap().iter().map(|phoneme| {
        let symbol = phoneme["symbol"].as_str().unwrap().chars().next().unwrap();
        (symbol, phoneme["start"].as_f64().unwrap(), phoneme["end"].as_f64().unwrap())
    });
    (samples(&format!("tests/fixtures/spoken/{name}.flac")), said.collect())
}

/// The clips that pocketsphinx aligned (tests/reference/visemes.py).
fn real() -> Vec<(Vec<f32>, Said)> {
    let text = std::fs::read(root().join("tests/reference/visemes.json")).unwrap();
    let clips: std::collections::BTreeMap<String, Said> = serde_json::from_slice(&text).unwrap();
    clips.into_iter().map(|(path, said)| (samples(&path), said)).collect()
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let mean = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0 / n, sum.1 + pair.1 / n));
    let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(a, b)| f(a - mean.0, b - mean.1)).sum::<f64>();
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

/// The share of frames whose viseme is heard right, and how the jaw that is heard goes with the one that is meant.
fn scores(clips: &[(Vec<f32>, Said)]) -> (f64, f64) {
    let listener = listener();
    let (mut right, mut jaws) = (0, Vec::new());
    for (samples, said) in clips {
        let heard = listener.listen(samples).unwrap();
        let truth: Vec<Mouth> = timeline(said, heard.frames.len(), RATE);
        right +=
            truth.iter().zip(&heard.frames).filter(|(mouth, frame)| mouth.viseme == frame.viseme()).count();
        jaws.extend(truth.iter().zip(&heard.frames).map(|(a, b)| (f64::from(a.jaw), f64::from(b.jaw))));
    }
    (right as f64 / jaws.len() as f64, correlation(&jaws))
}

#[test]
fn synthetic_voices_it_never_heard_are_understood() {
    let (right, jaw) = scores(&[synthetic("boat"), synthetic("room")]);
    assert!(right > 0.60 && jaw > 0.80, "{right:.3} of frames, jaw {jaw:.3}");
}

#[test]
fn recorded_voices_are_understood_though_it_never_heard_any() {
    let (right, jaw) = scores(&real());
    assert!(right > 0.50 && jaw > 0.70, "{right:.3} of frames, jaw {jaw:.3}");
}

/// Whether lips are shut within so many seconds of a time.
fn shut_near(heard: &Heard, at: f64) -> bool {
    let near = |segment: &spinbot_models::visemes::Segment| {
        f64::from(segment.start) < at + 0.02 && at - 0.02 < f64::from(segment.end)
    };
    heard.segments().iter().any(|segment| segment.viseme == Viseme::Bilabial && near(segment))
}

#[test]
fn lips_are_heard_to_shut() {
    let listener = listener();
    let mut clips = real();
    clips.extend([synthetic("boat"), synthetic("room")]);
    let (mut labials, mut shut) = (0, 0);
    for (samples, said) in &clips {
        let heard = listener.listen(samples).unwrap();
        for (_, start, end) in
            said.iter().filter(|(symbol, start, end)| "pbm".contains(*symbol) && end - start > 0.04)
        {
            labials += 1;
            shut += usize::from(shut_near(&heard, (start + end) / 2.0));
        }
    }
    assert!(labials > 30 && shut as f64 > 0.7 * f64::from(labials), "{shut} of {labials}");
}

#[test]
fn silence_is_a_closed_mouth_and_segments_have_no_gaps() {
    let listener = listener();
    let heard = listener.listen(&vec![0.0; 32_000]).unwrap();
    assert!(heard.frames.iter().all(|frame| frame.viseme() == Viseme::Silence && frame.jaw < 0.1));
    assert_eq!(heard.segments().len(), 1);
    let (samples, _) = synthetic("boat");
    let heard = listener.listen(&samples).unwrap();
    let segments = heard.segments();
    assert!(segments.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].viseme != pair[1].viseme));
    for frame in &heard.frames {
        assert!((frame.shares.iter().sum::<f32>() - 1.0).abs() < 1e-4 && (0.0..=1.0).contains(&frame.jaw));
    }
    // Louder, softer, with a long pause: the same.
    for (gain, pause) in [(0.05, 0), (3.0, 0), (1.0, 160_000)] {
        let mut other: Vec<f32> = samples.iter().map(|sample| sample * gain).collect();
        other.resize(samples.len() + pause, 0.0);
        let again = listener.listen(&other).unwrap();
        let same = heard.frames.iter().zip(&again.frames).filter(|(a, b)| a.viseme() == b.viseme()).count();
        assert!(same * 100 > heard.frames.len() * 97, "{gain} {pause}: {same} of {}", heard.frames.len());
    }
}

#[test]
fn long_recordings_are_heard_as_their_parts_are() {
    let listener = listener();
    let (samples, _) = synthetic("room");
    let times = 70 * SAMPLE_RATE as usize / samples.len() + 1;
    // In whole steps of the network, of 20 ms.
    let part = &samples[..samples.len() / 320 * 320];
    let heard = listener.listen(&part.repeat(times)).unwrap();
    let (frames, middle) = (part.len() / 160, times / 2);
    let (first, later) =
        (&heard.frames[frames..2 * frames], &heard.frames[middle * frames..(middle + 1) * frames]);
    for (a, b) in first.iter().zip(later) {
        assert!(a.shares.iter().zip(&b.shares).all(|(a, b)| (a - b).abs() < 1e-3));
    }
}

#[test]
fn what_is_no_speech_is_refused_or_silent() {
    let listener = listener();
    for wrong in [vec![], vec![f32::NAN; 1600], vec![0.0, f32::INFINITY]] {
        assert!(matches!(listener.listen(&wrong), Err(ModelError::Sound { .. })));
    }
    for short in 1..4 {
        assert_eq!(listener.listen(&vec![0.1; short]).unwrap().frames.len(), 2);
    }
    assert!(matches!(VisemeListener::from_bytes(b"none", &Device::cpu()), Err(ModelError::Weights { .. })));
}
