//! `spinbot`: one binary, which is the Jupyter kernel, the engine and its worker, and the command line for both.
//!
//! Only what must come before any thread is decided here; the commands are in `cli`.

mod capabilities;
mod cli;
mod evaluator;
mod install;
mod runner;
mod session;
mod wire;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = cli::Spinbot::parse().command;
    match &command {
        cli::Command::Runtime if std::env::var_os(evaluator::runtime::CHANNEL_VARIABLE).is_some() => {
            evaluator::runtime::main()
        }
        // SAFETY: nothing has started a thread yet.
        cli::Command::Kernel { .. } => unsafe { evaluator::prepare_environment() },
        _ => {}
    }
    #[allow(clippy::print_stderr, reason = "the end of a command line program that failed")]
    match cli::run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("spinbot: {error:#}");
            ExitCode::FAILURE
        }
    }
}
