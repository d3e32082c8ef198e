//! `cargo xtask`: the one command surface of the project's own work.
//!
//! Only what a fresh machine must do lives here: building, setting up, running stages, summing up. What is
//! asserted lives in the tests, what is measured in `tests/python/bench_*.py`.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A command line program speaks.

mod bench;
mod check_cuda;
mod pretrain;
mod sandbox;
mod setup;
mod stages;
mod summary;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask test [--no-build] [STAGE]...   build, set up and test; without a STAGE, all of them
       cargo xtask bench NAME [OPTION]...         measure; NAME is one of kernel, render, tts, diffusion, script, voice
       cargo xtask pretrain [--install] [FOLDER]  train the embedded image model, or go on with it
       cargo xtask check-cuda                     fetch a CUDA toolkit and check that all compiles with it
       cargo xtask setup                          only build and set up

stages, in this order:";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<bool> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"test", rest)) => stages::test(rest),
        Some((&"bench", rest)) => bench::bench(rest),
        Some((&"pretrain", rest)) => pretrain::pretrain(rest),
        Some((&"check-cuda", rest)) => check_cuda::check_cuda(rest),
        Some((&"setup", [])) => setup::everything().map(|_| true),
        Some((&("help" | "--help" | "-h"), _)) => {
            println!("{}", usage());
            Ok(true)
        }
        Some((other, _)) => bail!("`{other}` is not a task\n\n{}", usage()),
        None => bail!("name a task\n\n{}", usage()),
    }
}

fn usage() -> String {
    let stages = stages::STAGES.iter().map(|stage| format!("\n  {:<8} {}", stage.name, stage.about));
    USAGE.to_owned() + &stages.collect::<String>()
}
