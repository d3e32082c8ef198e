//! Makes `spinbot/models/weights/stock-voices.safetensors`: how every stock voice sounds to both speaker encoders,
//! how high it speaks and how well it is understood, from the sentences clones are scored on. Needs the models `kokoro`,
//! `voice-judge`, `dnsmos` and `whisper-tiny.en`; takes some minutes.
//!
//! cargo run --release -p spinbot-studio --example stock_voices -- spinbot/models/weights/stock-voices.safetensors

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name the file to write")?;
    let bytes = spinbot_studio::measure_stock_voices(&mut |line| println!("{line}"))?;
    std::fs::write(&path, bytes)?;
    println!("wrote {path}");
    Ok(())
}
