//! A language model's speed, asked for over standard input so that another program can take turns with it:
//!
//!     cargo run --release -p spinbot-models --example language_speed -- FILE.gguf TOKENS
//!
//! Each line on standard input is a prompt; it is answered by TOKENS tokens of a JSON string, and by a line with the tokens
//! read, the seconds that took, the tokens written, the seconds that took, and the highest resident megabytes so far.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use spinbot_models::Device;
use spinbot_models::language::{LanguageModel, Message, Next, Request, Role, Sampling};
use std::io::BufRead;

fn main() {
    spinbot_models::keep_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, tokens] = &arguments[..] else {
        println!("FILE.gguf TOKENS");
        return;
    };
    let mut model = LanguageModel::open(file.as_ref(), &Device::cpu()).unwrap();
    for line in std::io::stdin().lock().lines() {
        let messages = vec![Message { role: Role::User, content: line.unwrap() }];
        // A string that may not end: as many tokens as are asked for, each allowed by the form as in a script.
        let schema = Some(serde_json::json!({"type": "string", "minLength": 1_000_000}));
        let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
        let request = Request { messages, schema, sampling, most_tokens: tokens.parse().unwrap() };
        let answer = model.answer(&request, &mut |_| Next::Go).unwrap().unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<f64>().ok());
        println!(
            "{} {:.4} {} {:.4} {:.0}",
            answer.read,
            answer.reading_seconds,
            answer.tokens,
            answer.seconds,
            peak.unwrap_or(f64::NAN) / 1024.0
        );
    }
}
