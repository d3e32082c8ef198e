//! Times Kokoro's decoder by stage, and a step of gradient descent through it.
//!
//! ```text
//! RAYON_NUM_THREADS=1 kokoro_decoder WEIGHTS FEATURES [TIMES]
//! ```
//!
//! Both are safetensors files: Kokoro's weights, and `asr` `[T, 512]`, `f0` `[2·T]`, `energy` `[2·T]` and `style`
//! `[128]`; `har`, the excitation's spectra, and `peer`, the audio another program made of all that, may be there too
//! to be compared. Prints the least wall time and the least processor time of so many runs, in seconds, as JSON;
//! `tests/python/bench_kokoro_decoder.py` sets them beside onnxruntime's.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use candle_core::{DType, Device as Place, Tensor, Var};
use safetensors::tensor::Metadata;
use serde_json::json;
use spinbot_models::kokoro::{Adapters, Decoder, FRAME, Features, Noise};
use spinbot_models::{Device, ModelError};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// Frames of a training crop.
const CROP: usize = 68;

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

    fn read(&self) -> [f64; 2] {
        [self.0.elapsed().as_secs_f64(), processor_seconds() - self.1]
    }
}

fn least(best: &mut [f64; 2], measured: [f64; 2]) {
    best.iter_mut().zip(measured).for_each(|(best, measured)| *best = best.min(measured));
}

/// The most memory the process has held, in MB.
fn peak_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(f64::NAN) / 1000.0
}

/// Reads one tensor at a time, so that the file never is in memory beside them.
fn tensors(path: &str) -> impl Fn(&str, &[usize]) -> Result<Tensor, ModelError> {
    let file = File::open(path).unwrap();
    let mut prefix = [0; 8];
    file.read_exact_at(&mut prefix, 0).unwrap();
    let header = u64::from_le_bytes(prefix);
    let mut head = vec![0; header as usize];
    file.read_exact_at(&mut head, 8).unwrap();
    let metadata: Metadata = serde_json::from_slice(&head).unwrap();
    move |name, shape| {
        let (from, to) = metadata.info(name).unwrap().data_offsets;
        let mut bytes = vec![0; to - from];
        file.read_exact_at(&mut bytes, 8 + header + from as u64).unwrap();
        Tensor::from_raw_buffer(&bytes, DType::F32, shape, &Place::Cpu)
            .map_err(|source| ModelError::Tensor { doing: "loading", source })
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [weights, features, times @ ..] = &arguments[..] else {
        println!("usage: kokoro_decoder WEIGHTS FEATURES [TIMES]");
        return;
    };
    let times: usize = times.first().map_or(5, |times| times.parse().unwrap());
    let given = candle_core::safetensors::load(features, &Place::Cpu).unwrap();
    let values = |name: &str| given[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let style: [f32; 128] = values("style").try_into().unwrap();
    let features = Features { asr: given["asr"].clone(), f0: values("f0"), energy: values("energy") };
    let frames = features.asr.dim(0).unwrap();
    let decoder = Decoder::load(tensors(weights), &Device::cpu()).unwrap();
    let loaded = peak_megabytes();

    let mut total = [f64::MAX; 2];
    let mut stages: Vec<(&str, [f64; 2])> = Vec::new();
    for _ in 0..times {
        let (whole, mut lap, mut place) = (Clock::start(), Clock::start(), 0);
        let mut note = |name, _: &Tensor| {
            if place == stages.len() {
                stages.push((name, [f64::MAX; 2]));
            }
            least(&mut stages[place].1, lap.read());
            (lap, place) = (Clock::start(), place + 1);
        };
        decoder.audio_observed(&features, &style, None, Noise::Seed(1), &mut note).unwrap();
        least(&mut total, whole.read());
    }
    let peak = peak_megabytes();
    let decibels = given.contains_key("peer").then(|| {
        let (har, peer) = (values("har"), values("peer"));
        let audio = decoder.audio(&features, &style, None, Noise::Spectrum(&har)).unwrap();
        // At the ends exports divide by the windows of the interior.
        let inside = 50..audio.len() - 50;
        let pairs = || audio[inside.clone()].iter().zip(&peer[inside.clone()]);
        let noise: f64 = pairs().map(|(a, b)| f64::from(a - b).powi(2)).sum();
        10.0 * (pairs().map(|(_, b)| f64::from(*b).powi(2)).sum::<f64>() / noise).log10()
    });

    let style = Var::from_slice(&style, 128, &Place::Cpu).unwrap();
    let crop = 0..frames.min(CROP);
    let step = |adapters: Option<&Adapters>| {
        let (mut forward, mut both) = ([f64::MAX; 2], [f64::MAX; 2]);
        for _ in 0..times {
            let clock = Clock::start();
            let audio =
                decoder.audio_tensor(&features, &style, adapters, Noise::Seed(1), crop.clone()).unwrap();
            let loss = audio.sqr().unwrap().sum_all().unwrap();
            least(&mut forward, clock.read());
            let grads = loss.backward().unwrap();
            least(&mut both, clock.read());
            assert!(grads.get(&style).is_some());
        }
        json!({"forward": forward, "both": both})
    };
    let adapters = Adapters::new(&decoder, 4, 1).unwrap();
    let result = json!({
        "seconds": (frames * FRAME) as f64 / 24_000.0,
        "threads": rayon::current_num_threads(),
        "decibels": decibels,
        "total": total,
        "stages": stages,
        "style_step": step(None),
        "adapter_step": step(Some(&adapters)),
        "megabytes": {"loaded": loaded, "inference": peak, "training": peak_megabytes()},
    });
    println!("{result}");
}
