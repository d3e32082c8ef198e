//! Wav2Lip's speed with some weights:
//!
//!     cargo run --release -p spinbot-models --example wav2lip_speed -- FILE.safetensors FRAMES
//!
//! Prints how long loading and looking at a face took, how many pictures a second were drawn, sixteen at a time, and the
//! highest resident megabytes. `RAYON_NUM_THREADS=1` measures one thread.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use spinbot_models::wav2lip::{SIDE, Wav2Lip};
use std::time::Instant;

fn main() {
    spinbot_models::keep_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, frames] = &arguments[..] else {
        println!("FILE.safetensors FRAMES");
        return;
    };
    let frames: usize = frames.parse().unwrap();
    let start = Instant::now();
    let network = Wav2Lip::load(file.as_ref()).unwrap();
    println!("loaded in {:.2} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let picture: Vec<u8> = (0..3 * SIDE * SIDE).map(|i| (i * 7919 % 251) as u8).collect();
    let face = network.see(&picture).unwrap();
    println!("saw a face in {:.3} s", start.elapsed().as_secs_f64());
    let sound: Vec<f32> = (0..640 * frames).map(|i| 0.2 * (i as f32 * 0.05).sin()).collect();
    let heard = network.hear(&sound).unwrap();
    network.speak(&face, &heard, 0..16, 25).unwrap();
    let start = Instant::now();
    for first in (0..frames).step_by(16) {
        network.speak(&face, &heard, first..frames.min(first + 16), 25).unwrap();
    }
    println!("{:.1} pictures a second", frames as f64 / start.elapsed().as_secs_f64());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("{} resident at most", peak.trim());
}
