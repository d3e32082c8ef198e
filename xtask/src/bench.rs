//! `cargo xtask bench NAME`: figures for people, never a test's verdict.

use crate::sandbox::Sandbox;
use crate::setup::{self, Places, say};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// A benchmark.
struct Bench {
    name: &'static str,
    /// What measures it, in `tests/python`.
    script: &'static str,
    /// Whether it needs the packages of `tests/requirements-bench.txt`: peers and judges.
    peers: bool,
    /// The example of `spinbot-models` it runs.
    example: Option<&'static str>,
}

const BENCHES: &[Bench] = &[
    Bench { name: "kernel", script: "bench_kernel.py", peers: false, example: None },
    Bench { name: "render", script: "bench_render.py", peers: false, example: None },
    Bench { name: "topic", script: "bench_topic.py", peers: false, example: None },
    Bench { name: "tts", script: "bench_tts.py", peers: true, example: Some("speech_stages") },
    Bench { name: "diffusion", script: "bench_diffusion.py", peers: true, example: Some("diffusion_speed") },
    Bench { name: "script", script: "bench_script.py", peers: true, example: Some("language_speed") },
    Bench { name: "voice", script: "bench_voice.py", peers: true, example: None },
];

/// Fetches and builds the peer the kernel is measured beside; some 15 minutes of one core.
const WITH_PEER: &str = "--with-evcxr-jupyter";

pub(crate) fn bench(words: &[&str]) -> Result<bool> {
    let known = BENCHES.iter().map(|bench| bench.name).collect::<Vec<_>>().join(", ");
    let Some((name, options)) = words.split_first() else {
        bail!("name a benchmark: {known}");
    };
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == *name) else {
        bail!("there is no benchmark `{name}`; there are {known}");
    };
    let mut places = Places::find()?;
    let build = !options.contains(&"--no-build");
    if build {
        setup::build(&places)?;
    }
    if bench.peers {
        places.venv = places.target.join("venv-bench");
        setup::bench_python(&places)?;
    } else {
        setup::python(&places)?;
    }
    setup::kernelspec(&places)?;
    setup::models(&places)?;
    let peer = peer(&places, options.contains(&WITH_PEER))?;

    let sandbox = Sandbox::new(&places)?;
    let folder = places.root.join("tests/python");
    let mut command = Command::new(places.python());
    command.arg(folder.join(bench.script)).current_dir(&places.root);
    if let Some(example) = bench.example {
        if build {
            setup::build_example(&places, "spinbot-models", example)?;
        }
        command.arg("--program").arg(places.target.join("release/examples").join(example));
    }
    command.args(options.iter().filter(|option| ![WITH_PEER, "--no-build"].contains(option)));
    command
        .env("SPINBOT_BIN", &places.spinbot)
        .env("JUPYTER_NO_CONFIG", "1")
        .env("JUPYTER_PREFER_ENV_PATH", "1");
    if let Some(peer) = peer {
        command.env("EVCXR_JUPYTER", peer);
    }
    Ok(sandbox.enter(&mut command).status()?.success())
}

/// The `evcxr_jupyter` binary, if it was built before or is asked for.
fn peer(places: &Places, wanted: bool) -> Result<Option<PathBuf>> {
    let root = places.target.join("bench");
    let binary = root.join("bin/evcxr_jupyter");
    if !binary.is_file() && wanted {
        say("building evcxr_jupyter, the peer (some 15 minutes of one core)");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        setup::run(cargo.args(["install", "--locked", "evcxr_jupyter", "--root"]).arg(&root))?;
    }
    Ok(binary.is_file().then_some(binary))
}
