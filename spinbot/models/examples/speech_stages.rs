//! Times speech by stage, from text to samples, and steps of gradient descent through the decoder.
//!
//! ```text
//! RAYON_NUM_THREADS=1 speech_stages speak VOICE TEXT TIMES [PEER]
//! RAYON_NUM_THREADS=1 speech_stages learn VOICE TEXT TIMES
//! ```
//!
//! The weights are those of `$SPINBOT_CACHE`. Prints JSON: the least wall time and the least processor time, in
//! seconds, of so many runs. `speak` also tells the tokens and the style of every sentence, so that
//! another program can say the same; a safetensors file PEER with that program's `audio.N` and the excitation's
//! spectra `har.N` of sentence N is compared with ours. `tests/python/bench_tts.py` runs it beside onnxruntime.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use candle_core::{Device as Place, Tensor, Var};
use serde_json::{Value, json};
use spinbot_g2p::{Options, phonemize};
use spinbot_models::kokoro::voice::{STYLE, StockVoices, VoicePack};
use spinbot_models::kokoro::{Adapters, Decoder, Features, Kokoro, Noise, SAMPLE_RATE, vocab};
use spinbot_models::{Device, Store};
use std::time::Instant;

/// Frames of a training crop, and the rank of adapters, as in cloning.
const CROP: usize = 68;
const RANK: usize = 4;
/// Numbers of a style that the decoder takes.
const SOUND: usize = 128;

/// Wall time and the processor time of all threads.
#[derive(Clone, Copy)]
struct Clock(Instant, f64);

fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

impl Clock {
    fn start() -> Clock {
        Clock(Instant::now(), processor_seconds())
    }

    /// Since it was started or last read.
    fn lap(&mut self) -> [f64; 2] {
        let lap = [self.0.elapsed().as_secs_f64(), processor_seconds() - self.1];
        *self = Clock::start();
        lap
    }
}

/// The least times of stages, in the order they came first.
#[derive(Default)]
struct Stages(Vec<(&'static str, [f64; 2])>);

impl Stages {
    fn note(&mut self, name: &'static str, took: [f64; 2]) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, best)) => best.iter_mut().zip(took).for_each(|(best, took)| *best = best.min(took)),
            None => self.0.push((name, took)),
        }
    }
}

/// The most memory the process has held, in MB.
fn peak_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(f64::NAN) / 1000.0
}

/// The networks and a voice.
struct Speaker {
    kokoro: Kokoro,
    decoder: Decoder,
    voice: VoicePack,
}

impl Speaker {
    fn features(&self, tokens: &[u32]) -> (Features, &[f32; STYLE]) {
        let style = self.voice.style(tokens.len() - 2);
        (Features::from(self.kokoro.prosody(tokens, style, 1.0).unwrap()), style)
    }
}

fn sound(style: &[f32; STYLE]) -> [f32; SOUND] {
    std::array::from_fn(|n| style[n])
}

fn sentences(text: &str) -> Vec<Vec<u32>> {
    let speech = phonemize(text, &Options::default()).unwrap();
    speech.sentences.iter().map(|sentence| vocab::encode(&sentence.phonemes).ids).collect()
}

fn speak(speaker: &Speaker, text: &str, times: usize, peer: Option<&str>) -> Value {
    let mut reading = Stages::default();
    for _ in 0..times {
        let mut clock = Clock::start();
        sentences(text);
        reading.note("g2p", clock.lap());
    }
    let peer = peer.map(|file| candle_core::safetensors::load(file, &Place::Cpu).unwrap());
    let (mut signal, mut noise) = (0.0, 0.0);
    let mut told = Vec::new();
    for (nth, tokens) in sentences(text).iter().enumerate() {
        let mut stages = Stages::default();
        let mut samples = 0;
        for _ in 0..times {
            let mut clock = Clock::start();
            let (features, style) = speaker.features(tokens);
            stages.note("front half", clock.lap());
            let mut note = |name, _: &Tensor| stages.note(name, clock.lap());
            let audio =
                speaker.decoder.audio_observed(&features, &sound(style), None, Noise::Seed(1), &mut note);
            samples = audio.unwrap().len();
        }
        let (features, style) = speaker.features(tokens);
        if let Some(peer) = &peer {
            let values =
                |name: &str| peer[&format!("{name}.{nth}")].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let (har, theirs) = (values("har"), values("audio"));
            let ours = speaker.decoder.audio(&features, &sound(style), None, Noise::Spectrum(&har)).unwrap();
            assert_eq!(ours.len(), theirs.len(), "sentence {nth} is held for other times");
            // At the ends exports divide by the windows of the interior.
            for (a, b) in ours.iter().zip(&theirs).take(ours.len() - 50).skip(50) {
                signal += f64::from(*b).powi(2);
                noise += f64::from(a - b).powi(2);
            }
        }
        told.push(json!({
            "tokens": tokens,
            "style": style.as_slice(),
            "seconds": samples as f64 / f64::from(SAMPLE_RATE),
            "stages": stages.0,
        }));
    }
    json!({
        "threads": rayon::current_num_threads(),
        "g2p": reading.0[0].1,
        "sentences": told,
        "decibels": peer.map(|_| 10.0 * (signal / noise).log10()),
        "megabytes": peak_megabytes(),
    })
}

fn learn(speaker: &Speaker, text: &str, times: usize) -> Value {
    let (features, style) = speaker.features(&sentences(text)[0]);
    let style = Var::from_slice(&style[..SOUND], SOUND, &Place::Cpu).unwrap();
    let crop = 0..features.asr.dim(0).unwrap().min(CROP);
    let step = |adapters: Option<&Adapters>| {
        let mut stages = Stages::default();
        for _ in 0..times {
            let mut clock = Clock::start();
            let audio = speaker
                .decoder
                .audio_tensor(&features, &style, adapters, Noise::Seed(1), crop.clone())
                .unwrap();
            let loss = audio.sqr().unwrap().sum_all().unwrap();
            stages.note("forward", clock.lap());
            let gradients = loss.backward().unwrap();
            stages.note("backward", clock.lap());
            assert!(gradients.get(&style).is_some());
        }
        json!(stages.0)
    };
    let adapters = Adapters::new(&speaker.decoder, RANK, 1).unwrap();
    json!({"style": step(None), "adapters": step(Some(&adapters)), "megabytes": peak_megabytes()})
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [what @ ("speak" | "learn"), voice, text, times, peer @ ..] = &arguments[..] else {
        println!("usage: speech_stages speak|learn VOICE TEXT TIMES [PEER]");
        return;
    };
    let store = Store::open(std::env::var_os("SPINBOT_CACHE").unwrap().into()).unwrap();
    let speaker = Speaker {
        kokoro: Kokoro::load(&store, &Device::cpu()).unwrap(),
        decoder: Decoder::open(&store, &Device::cpu()).unwrap(),
        voice: StockVoices::open(&store).unwrap().pack(voice).unwrap(),
    };
    let times = times.parse().unwrap();
    let result = match *what {
        "speak" => speak(&speaker, text, times, peer.first().copied()),
        _ => learn(&speaker, text, times),
    };
    println!("{result}");
}
