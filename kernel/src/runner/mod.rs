//! `spinbot run`: a notebook executed without a browser, through a real kernel over the real wire.
//!
//! | file | holds |
//! |---|---|
//! | `notebook` | the file, kept as it is but for what a run changes |
//! | `parameters` | `-p name=value` into a cell |
//! | `client` | the kernel as a child process and its sockets |
//! | `outputs` | messages folded into a notebook's outputs |
//! | `progress` | what the terminal shows |
//! | `html`, `ansi` | the executed notebook as one page |
//!
//! No cell is understood here: what runs it is the kernel, as under JupyterLab.

mod ansi;
mod client;
mod html;
mod notebook;
mod outputs;
mod parameters;
mod progress;

pub(crate) use notebook::write_whole;
pub(crate) use parameters::Parameter;

use crate::runner::client::{Client, Heard, answers};
use crate::runner::notebook::{Notebook, is_code, joined};
use crate::runner::outputs::Outputs;
use crate::runner::progress::{End, Progress};
use anyhow::Context;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a cell may take to stop after Ctrl-C before its kernel is killed.
const INTERRUPT_LIMIT: Duration = Duration::from_secs(10);

/// How long the last outputs may take to arrive after the reply.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// How often the terminal's line is redrawn.
const TICK: Duration = Duration::from_millis(100);

/// What to run and where to put it.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) notebook: PathBuf,
    pub(crate) parameters: Vec<Parameter>,
    /// `NAME.executed.ipynb` beside the notebook if not given.
    pub(crate) output: Option<PathBuf>,
    /// Also write the output as a page, beside it with the ending `.html`.
    pub(crate) html: bool,
}

/// What came of a run. The output is written whether or not all cells went well.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) output: PathBuf,
    pub(crate) html: Option<PathBuf>,
    pub(crate) stopped: Option<Stopped>,
}

/// Why a run stopped before its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// A cell's error: its number among the code cells, and the error as the cell shows it.
    Cell { number: usize, message: String },
    /// The kernel is gone.
    Kernel { number: usize, message: String },
    /// Ctrl-C.
    Interrupted { number: usize },
}

impl Report {
    /// 0 if every cell ran, 130 after Ctrl-C as shells have it, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.stopped {
            None => 0,
            Some(Stopped::Interrupted { .. }) => 130,
            Some(_) => 1,
        }
    }

    /// What to tell on stderr.
    pub(crate) fn summary(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        match &self.stopped {
            None => {}
            Some(Stopped::Cell { number, message }) => lines.push(format!("{message}\ncell {number} failed")),
            Some(Stopped::Kernel { number, message }) => lines.push(format!("in cell {number}: {message}")),
            Some(Stopped::Interrupted { number }) => lines.push(format!("interrupted in cell {number}")),
        }
        lines.extend(
            [Some(&self.output), self.html.as_ref()]
                .into_iter()
                .flatten()
                .map(|p| format!("wrote {}", p.display())),
        );
        lines.join("\n")
    }
}

/// Runs a notebook with the kernel command `kernel` (to which `-f FILE` is added), in the notebook's own folder.
///
/// # Errors
/// When the notebook cannot be read, the kernel does not start, or the output cannot be written. A failing cell is
/// no error here but a [`Report`].
pub(crate) async fn run(options: &Options, kernel: &[OsString]) -> anyhow::Result<Report> {
    let mut notebook = Notebook::read(&options.notebook)?;
    let output = options.output.clone().unwrap_or_else(|| options.notebook.with_extension("executed.ipynb"));
    let path = std::path::absolute(&options.notebook)?;
    let folder = path.parent().context("the notebook's path has no folder")?;
    parameters::inject(&mut notebook, &options.parameters);
    notebook.clear_outputs();

    let (mut client, info) = Client::start(kernel, folder).await?;
    notebook.set_kernel(&info["language_info"]);
    let (stopped, gone) = run_cells(&mut notebook, &mut client).await;
    match gone {
        true => client.kill().await,
        false => client.stop().await,
    }
    notebook.write(&output)?;
    let html = options.html.then(|| output.with_extension("html"));
    if let Some(page) = &html {
        let title = options.notebook.file_stem().unwrap_or_default().to_string_lossy();
        write_whole(page, html::page(&notebook, &title).as_bytes())
            .with_context(|| format!("writing {}", page.display()))?;
    }
    Ok(Report { output, html, stopped })
}

/// Runs all code cells up to the first that fails; says whether the kernel must be killed.
async fn run_cells(notebook: &mut Notebook, client: &mut Client) -> (Option<Stopped>, bool) {
    let cells: Vec<(usize, String)> = notebook
        .cells()
        .iter()
        .enumerate()
        .filter(|(_, cell)| is_code(cell))
        .map(|(at, cell)| (at, joined(&cell["source"])))
        .filter(|(_, source)| !source.trim().is_empty())
        .collect();
    let mut outputs = Outputs::new(notebook.cells().len());
    let mut progress = Progress::new(cells.len());
    let mut stopped = None;
    let mut gone = false;
    // One listener for the whole run: a press between two looks is kept. Without it Ctrl-C ends us as usual.
    let mut presses = signal(SignalKind::interrupt()).ok();
    for (number, (at, source)) in (1..).zip(&cells) {
        progress.begin(number, source);
        let mut cell = CellRun {
            client,
            outputs: &mut outputs,
            progress: &mut progress,
            presses: presses.as_mut(),
            at: *at,
            interrupted: false,
        };
        let ended = cell.run(source).await;
        let interrupted = cell.interrupted;
        if let Ok(reply) = &ended {
            notebook.cells_mut()[*at]["execution_count"] = reply["execution_count"].clone();
        }
        stopped = match &ended {
            _ if interrupted => Some(Stopped::Interrupted { number }),
            Ok(reply) if reply["status"] == "ok" => None,
            Ok(reply) => Some(Stopped::Cell { number, message: error_text(reply) }),
            Err(e) => Some(Stopped::Kernel { number, message: format!("{e:#}") }),
        };
        gone = ended.is_err();
        progress.end(if stopped.is_none() { End::Ok } else { End::Failed });
        if stopped.is_some() {
            break;
        }
    }
    // Only now: a later cell may have replaced what an earlier one showed.
    for (at, _) in &cells {
        notebook.cells_mut()[*at]["outputs"] = outputs.of(*at);
    }
    if let Some(Stopped::Kernel { number, message }) = &stopped
        && let Some(shown) =
            cells.get(number - 1).and_then(|(at, _)| notebook.cells_mut()[*at]["outputs"].as_array_mut())
    {
        shown.push(
            json!({"output_type": "error", "ename": "KernelDied", "evalue": message, "traceback": [message]}),
        );
    }
    (stopped, gone)
}

struct CellRun<'a> {
    client: &'a mut Client,
    outputs: &'a mut Outputs,
    progress: &'a mut Progress,
    /// Ctrl-C in the terminal.
    presses: Option<&'a mut Signal>,
    /// The cell's place in the notebook.
    at: usize,
    interrupted: bool,
}

impl CellRun<'_> {
    /// Runs one cell to its end; returns the content of its reply. An error means that the kernel is lost.
    async fn run(&mut self, source: &str) -> anyhow::Result<Value> {
        let content = json!({
            "code": source, "silent": false, "store_history": true, "user_expressions": {}, "allow_stdin": false,
            "stop_on_error": true,
        });
        let id = self.client.request("execute_request", content).await?;
        let (mut reply, mut idle) = (None, false);
        let mut tick = tokio::time::interval(TICK);
        // Set once waiting has an end: after Ctrl-C, or when only the last outputs are missing.
        let mut limit: Option<tokio::time::Instant> = None;
        while reply.is_none() || !idle {
            tokio::select! {
                heard = self.client.next() => match heard? {
                    Heard::Shell(message) if answers(&message, &id) => {
                        reply = Some(message.content);
                        limit = Some(tokio::time::Instant::now() + SETTLE_LIMIT);
                    }
                    Heard::Iopub(message) if answers(&message, &id) => {
                        let kind = message.header.kind.as_str();
                        idle |= kind == "status" && message.content["execution_state"] == "idle";
                        self.outputs.take(self.at, kind, &message.content);
                    }
                    _ => {}
                },
                _ = tick.tick() => self.progress.tick(),
                () = pressed(&mut self.presses) => {
                    anyhow::ensure!(!self.interrupted, "stopped by a second Ctrl-C");
                    self.interrupted = true;
                    self.progress.say("stopping the cell; Ctrl-C again to kill its kernel");
                    self.client.interrupt().await?;
                    limit = Some(tokio::time::Instant::now() + INTERRUPT_LIMIT);
                }
                () = until(limit) => match reply {
                    Some(reply) => return Ok(reply),
                    None => anyhow::bail!("the cell did not stop within {} seconds", INTERRUPT_LIMIT.as_secs()),
                },
            }
        }
        Ok(reply.unwrap_or_default())
    }
}

async fn pressed(presses: &mut Option<&mut Signal>) {
    if let Some(presses) = presses
        && presses.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

async fn until(limit: Option<tokio::time::Instant>) {
    match limit {
        Some(limit) => tokio::time::sleep_until(limit).await,
        None => std::future::pending().await,
    }
}

/// An error as its cell shows it, for the terminal.
fn error_text(reply: &Value) -> String {
    if reply["status"] == "aborted" {
        return "the kernel did not run the cell".to_owned();
    }
    let lines: Vec<&str> =
        reply["traceback"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if lines.is_empty() {
        let part = |name: &str| reply[name].as_str().unwrap_or_default().to_owned();
        return format!("{}: {}", part("ename"), part("evalue"));
    }
    lines.join("\n")
}
