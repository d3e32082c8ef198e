//! How long listening takes, in milliseconds and as a share of the sound's length, the least of many runs.
//! `cargo bench -p spinbot-models --profile release --bench listen`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use candle_core::Var;
use spinbot_models::listen::{Dnsmos, SpeakerEncoder, Transcriber, VoiceJudge};
use spinbot_models::{Device, Store};
use std::time::Instant;

/// Prints the least time of some runs.
fn time(what: &str, runs: usize, seconds: f64, mut run: impl FnMut()) {
    let least = (0..runs)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    println!("{what:<44} {:9.1} ms  {:.4} of real time", least * 1e3, least / seconds);
}

/// Something like a voice: harmonics of a gliding pitch, swelling.
fn hum(seconds: f64, rate: f64) -> Vec<f32> {
    let mut phase = 0.0;
    (0..(seconds * rate) as usize)
        .map(|n| {
            let t = n as f64 / rate;
            phase += std::f64::consts::TAU * (120.0 + 30.0 * (2.0 * t).sin()) / rate;
            let wave: f64 = (1..20).map(|k| (phase * f64::from(k)).sin() / f64::from(k)).sum();
            (0.1 * wave * (0.6 + 0.4 * (9.0 * t).sin())) as f32
        })
        .collect()
}

fn main() {
    let device = Device::cpu();
    let encoder = SpeakerEncoder::load(&device).unwrap();
    let crop = Var::new(hum(1.7, 24_000.0).as_slice(), &candle_core::Device::Cpu).unwrap();
    time("GE2E, 1.7 s at 24 kHz, forward", 30, 1.7, || {
        encoder.embed_tensor(&crop.detach()).unwrap();
    });
    time("GE2E, 1.7 s at 24 kHz, forward and backward", 30, 1.7, || {
        encoder.embed_tensor(&crop).unwrap().sum_all().unwrap().backward().unwrap();
    });
    let minute = hum(60.0, 16_000.0);
    time("GE2E, 60 s", 5, 60.0, || {
        encoder.embed(&minute).unwrap();
    });
    let ten = &minute[..160_000];
    let dnsmos = Dnsmos::load(&device).unwrap();
    time("DNSMOS, 10 s", 5, 10.0, || {
        dnsmos.score(ten).unwrap();
    });
    // Weights that are not built in, as `cargo xtask test` and `spinbot models pull` leave them.
    let store = Store::open(std::env::var("SPINBOT_CACHE").unwrap_or_default().into()).unwrap();
    match VoiceJudge::load(&store, &device) {
        Ok(judge) => time("d-vector, 10 s", 5, 10.0, || {
            judge.embed(ten).unwrap();
        }),
        Err(error) => println!("d-vector: {error}; set SPINBOT_CACHE"),
    }
    let spoken = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/voices/1688-142285-0003.flac");
    let clip = spinbot_media::audio::read(spoken.as_ref(), "the clip", &Default::default()).unwrap();
    match Transcriber::load(&store, &device) {
        Ok(transcriber) => time("Whisper, a sentence of 5 s", 5, clip.seconds(), || {
            transcriber.transcribe(&clip.samples).unwrap();
        }),
        Err(error) => println!("Whisper: {error}; set SPINBOT_CACHE"),
    }
}
