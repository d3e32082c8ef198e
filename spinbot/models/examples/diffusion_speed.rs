//! The denoising network's speed, asked for over standard input so that another program can take turns with it:
//!
//!     cargo run --release -p spinbot-models --example diffusion_speed -- CONFIG SET RANK BATCH TOKENS
//!
//! CONFIG is a `config.json` of a UNet, SET `fused` or `stock`. Each line `forward` or `train` on standard input is
//! answered by the milliseconds that a prediction, or a prediction and its gradients by adapters of the attention's
//! projections, took by the clock and by all threads' processors; `memory` by the highest resident megabytes so far.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../tests/common/recipe.rs"]
mod recipe;

use candle_core::{DType, Device};
use recipe::{recipe, weights};
use spinbot_models::OpSet;
use spinbot_models::diffusion::{Adapters, Conditioning, UNet2DCondition, UNetConfig};
use std::io::BufRead;
use std::time::Instant;

fn main() {
    // As the worker does.
    spinbot_models::keep_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, set, rank, batch, tokens] = &arguments[..] else {
        println!("CONFIG SET RANK BATCH TOKENS");
        return;
    };
    let json = std::fs::read(config).unwrap();
    let width =
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()["cross_attention_dim"].as_u64().unwrap();
    let config = UNetConfig::from_json(&json).unwrap();
    let (rank, batch, tokens): (usize, usize, usize) =
        (rank.parse().unwrap(), batch.parse().unwrap(), tokens.parse().unwrap());
    let set = if set == "stock" { OpSet::Stock } else { OpSet::Fused };
    let (size, channels) = (config.sample_size.unwrap(), config.in_channels);
    let unet = UNet2DCondition::load(config, weights(DType::F32), set).unwrap();
    let attention = [".to_q", ".to_k", ".to_v", ".to_out.0"];
    let sites: Vec<_> =
        unet.sites().iter().filter(|s| attention.iter().any(|end| s.path.ends_with(end))).cloned().collect();
    let adapters = Adapters::new_trainable(&sites, rank, rank as f64, 0, &Device::Cpu).unwrap();
    let latents = recipe("latents", (batch, channels, size, size));
    let noise = recipe("noise", (batch, channels, size, size));
    let text = Conditioning::text(recipe("hidden", (batch, tokens, width as usize)));
    let times = vec![500.0; batch];
    for line in std::io::stdin().lock().lines() {
        let (start, processors) = (Instant::now(), processor_seconds());
        match line.unwrap().as_str() {
            "memory" => {
                let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
                let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<f64>().ok());
                println!("{:.0}", peak.unwrap_or(f64::NAN) / 1024.0);
                continue;
            }
            "train" => {
                let prediction = unet.forward(&latents, &times, &text, &adapters).unwrap();
                (prediction - &noise).unwrap().sqr().unwrap().mean_all().unwrap().backward().unwrap();
            }
            _ => {
                unet.forward(&latents, &times, &text, &Adapters::none()).unwrap();
            }
        }
        let processors = processor_seconds() - processors;
        println!("{:.2} {:.2}", start.elapsed().as_secs_f64() * 1e3, processors * 1e3);
    }
}

/// What this process has used of all processors.
fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every system that benches run on, and the time is ours to write.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
