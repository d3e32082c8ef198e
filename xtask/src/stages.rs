//! The stages of `cargo xtask test`: what each runs, in what order, and what it needs beforehand.

use crate::sandbox::Sandbox;
use crate::setup::{self, Places, say};
use crate::summary::{Line, Tally, table};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// One stage: a name to ask for it by, and what it runs.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Arguments of `cargo test`, if it has a Rust part.
    cargo: Option<&'static [&'static str]>,
    /// Files under tests/python.
    python: &'static [&'static str],
    /// Needs models that are fetched.
    models: bool,
    /// Needs Chromium and Firefox.
    browsers: bool,
}

/// Cheap ones first; the tutorials come before the browsers, which look at what they made.
pub(crate) const STAGES: &[Stage] = &[
    Stage {
        name: "rust",
        about: "the Rust tests of every crate",
        cargo: Some(&["--exclude", "spinbot-tests"]),
        python: &[],
        models: true,
        browsers: false,
    },
    Stage {
        name: "wire",
        about: "raw frames against the real kernel, and a session through jupyter_client",
        // By target and not by package: a package alone would resolve features anew and rebuild what it needs.
        cargo: Some(&["--test", "wire"]),
        python: &["test_session.py"],
        models: false,
        browsers: false,
    },
    Stage {
        name: "jkt",
        about: "Jupyter's own conformance cases (jupyter_kernel_test)",
        cargo: None,
        python: &["test_jkt.py"],
        models: false,
        browsers: false,
    },
    Stage {
        name: "render",
        about: "%render through engine and worker: bad inputs, killed workers, two kernels; variants and %capabilities",
        cargo: None,
        python: &["test_render.py", "test_variants.py"],
        models: false,
        browsers: false,
    },
    Stage {
        name: "tour",
        about: "the tour notebook through `spinbot run`, and notebooks that go wrong",
        cargo: None,
        python: &["test_tour.py"],
        models: false,
        browsers: false,
    },
    Stage {
        name: "voice",
        about: "%speak, %listen, %clone_voice and what they refuse; the voice notebook through `spinbot run`",
        cargo: None,
        python: &["test_voice.py"],
        models: true,
        browsers: false,
    },
    Stage {
        name: "script",
        about: "%script: SmolLM2's words, a server that speaks Ollama's API, and what becomes of one that does not",
        cargo: None,
        python: &["test_script.py"],
        models: true,
        browsers: false,
    },
    Stage {
        name: "pictures",
        about: "%draw, %train_lora, %loras and what they refuse, with a model of random weights",
        cargo: None,
        python: &["test_pictures.py", "test_train_lora.py"],
        models: false,
        browsers: false,
    },
    Stage {
        name: "browser",
        about: "the tutorials' sound and video played in headless Chromium and Firefox",
        cargo: None,
        python: &["test_browser.py"],
        models: true,
        browsers: true,
    },
    Stage {
        name: "lab",
        about: "the tutorials in a real JupyterLab: untrusted, trusted, the tour run live",
        cargo: None,
        python: &["test_lab.py"],
        models: true,
        browsers: true,
    },
];

/// `cargo xtask test [--no-build] [STAGE]...`; whether all passed.
pub(crate) fn test(words: &[&str]) -> Result<bool> {
    let no_build = words.contains(&"--no-build");
    let names: Vec<_> = words.iter().copied().filter(|word| *word != "--no-build").collect();
    if let Some(unknown) = names.iter().find(|name| !STAGES.iter().any(|stage| stage.name == **name)) {
        let known: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        bail!("there is no stage `{unknown}`; the stages are {}", known.join(", "));
    }
    let chosen: Vec<_> =
        STAGES.iter().filter(|stage| names.is_empty() || names.contains(&stage.name)).collect();

    let places = Places::find()?;
    if !no_build {
        setup::build(&places)?;
    }
    if chosen.iter().any(|stage| !stage.python.is_empty()) {
        setup::python(&places)?;
        setup::kernelspec(&places)?;
    }
    if chosen.iter().any(|stage| stage.models) {
        setup::models(&places)?;
    }
    if chosen.iter().any(|stage| stage.browsers) {
        setup::browsers()?;
    }
    let sandbox = Sandbox::new(&places)?;
    let mut lines = Vec::new();
    for stage in chosen {
        say(&format!("{}: {}", stage.name, stage.about));
        lines.push(stage.run(&places, &sandbox)?);
    }
    println!("{}", table(&lines));
    Ok(lines.iter().all(|line| line.ok))
}

impl Stage {
    fn run(&self, places: &Places, sandbox: &Sandbox) -> Result<Line> {
        let started = Instant::now();
        let mut tally = Tally::default();
        let mut ok = true;
        let mut commands = Vec::new();
        if let Some(arguments) = self.cargo {
            let mut command = places.cargo("test");
            command.args(arguments);
            commands.push(command);
        }
        if !self.python.is_empty() {
            commands.push(pytest(places, self.python));
        }
        for mut command in commands {
            ok &= counted(sandbox.enter(&mut command).env("SPINBOT_BIN", &places.spinbot), &mut tally)?;
        }
        // A stage in which nothing ran has proven nothing.
        ok &= tally.passed > 0 && tally.failed == 0;
        Ok(Line { stage: self.name, tally, ok, took: started.elapsed() })
    }
}

fn pytest(places: &Places, files: &[&str]) -> Command {
    let mut command = Command::new(places.python());
    let folder = places.root.join("tests/python");
    command
        .args([
            "-m",
            "pytest",
            "--color=no",
            "--verbosity=1",
            "--tb=short",
            "--timeout=1800",
            "-p",
            "no:cacheprovider",
        ])
        .args(files.iter().map(|file| folder.join(file)))
        .current_dir(&folder)
        // Only kernels of the environment, and none of the user's settings.
        .env("JUPYTER_NO_CONFIG", "1")
        .env("JUPYTER_PREFER_ENV_PATH", "1")
        .env("JUPYTER_PLATFORM_DIRS", "0")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a command, passing its output on and counting what it says; whether it ended well.
fn counted(command: &mut Command, tally: &mut Tally) -> Result<bool> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("`{program}` cannot be started"))?;
    let output = child.stdout.take().context("the output was asked for")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.read(&line);
    }
    Ok(child.wait()?.success())
}
