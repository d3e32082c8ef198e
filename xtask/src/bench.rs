//! `cargo xtask bench NAME`: figures for people, never a test's verdict.

use crate::sandbox::Sandbox;
use crate::setup::{self, Places, say};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Every benchmark and the script that measures it.
const BENCHES: &[(&str, &str)] = &[("kernel", "bench_kernel.py"), ("render", "bench_render.py")];

/// Fetches and builds the peer the kernel is measured beside; some 15 minutes of one core.
const WITH_PEER: &str = "--with-evcxr-jupyter";

pub(crate) fn bench(words: &[&str]) -> Result<bool> {
    let known: Vec<_> = BENCHES.iter().map(|(name, _)| *name).collect();
    let Some((name, options)) = words.split_first() else {
        bail!("name a benchmark: {}", known.join(" or "));
    };
    let Some((_, script)) = BENCHES.iter().find(|(known, _)| known == name) else {
        bail!("there is no benchmark `{name}`; there are {}", known.join(" and "));
    };
    let places = Places::find()?;
    if !options.contains(&"--no-build") {
        setup::build(&places)?;
    }
    setup::python(&places)?;
    setup::kernelspec(&places)?;
    setup::models(&places)?;
    let peer = peer(&places, options.contains(&WITH_PEER))?;

    let sandbox = Sandbox::new(&places)?;
    let folder = places.root.join("tests/python");
    let mut command = Command::new(places.python());
    command.arg(folder.join(script)).current_dir(&places.root);
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
