//! Jupyter's wire: five ZeroMQ sockets, signed messages, and who answers them.
//!
//! | file | holds |
//! |---|---|
//! | `contract` | the traits a kernel implements to be served |
//! | `frame`, `message`, `refusals` | frames and signatures, what came in, what was refused |
//! | `channel`, `desk` | shell, control and heartbeat; which request is answered how |
//! | `executor` | the one thread on which cells run |
//! | `output`, `coalesce`, `iopub` | what a cell shows on its way to the clients |
//! | `history`, `lifeline` | what was run; when to leave unasked |
//!
//! Nothing outside this module and `runner` knows a Jupyter message. Nothing in here knows Rust code, magics or
//! evcxr. A bad message is counted and never ends anything.

mod channel;
mod coalesce;
mod contract;
mod desk;
mod executor;
pub(crate) mod frame;
mod history;
mod iopub;
mod lifeline;
pub(crate) mod message;
mod output;
mod refusals;

pub(crate) use coalesce::Stream;
pub(crate) use contract::{
    CellError, Completeness, Completion, ExecuteOutcome, ExecuteRequest, Interrupt, Kernel, Match, Quick,
    Session,
};
pub(crate) use output::Output;
pub(crate) use refusals::Counters;

use anyhow::Context;
use jupyter_protocol::ConnectionInfo;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use zeromq::{RouterSocket, Socket, XPubSocket};

/// A connection file is a dozen short lines.
const CONNECTION_FILE_CAP: u64 = 64 * 1024;

/// How long a leaving kernel waits for its session to end.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// Serves a kernel on the sockets of its connection file until a client, a signal or the parent's death ends it.
///
/// Everything but cells is answered as soon as the sockets are bound; the session is opened beside that.
///
/// # Errors
/// When the connection file cannot be read or a socket cannot be bound.
pub(crate) async fn serve(connection_file: &Path, kernel: Kernel) -> anyhow::Result<()> {
    let connection = read_connection(connection_file)?;
    let signer = frame::Signer::new(&connection)?;
    let session: Arc<str> = uuid::Uuid::new_v4().to_string().into();
    let Kernel { open, quick, interrupt, counters } = kernel;

    let heartbeat = bind::<RouterSocket>("heartbeat", &connection.hb_url()).await?;
    let shell = bind::<RouterSocket>("shell", &connection.shell_url()).await?;
    let control = bind::<RouterSocket>("control", &connection.control_url()).await?;
    let stdin = bind::<RouterSocket>("stdin", &connection.stdin_url()).await?;
    let iopub = bind::<XPubSocket>("iopub", &connection.iopub_url()).await?;

    let iopub = iopub::Iopub::start(iopub, signer.clone(), session.clone(), counters.clone());
    let (shell, shell_replies) = channel::open("shell", shell, &signer, &session, &counters);
    let (control, control_replies) = channel::open("control", control, &signer, &session, &counters);
    let (mut stdin, _) = channel::open("stdin", stdin, &signer, &session, &counters);

    let history = Arc::new(history::History::default());
    let (jobs, queue) = std::sync::mpsc::channel();
    let executor = executor::Executor {
        open,
        iopub: iopub.clone(),
        replies: shell_replies.clone(),
        history: history.clone(),
    };
    let cells = executor.start(queue).context("starting the thread for cells")?;

    let (leave, mut left) = watch::channel(false);
    let (version_known, rust_version) = watch::channel(None);
    let desk = Arc::new(desk::Desk {
        connection,
        iopub: iopub.clone(),
        quick,
        interrupt: interrupt.clone(),
        history,
        counters: counters.clone(),
        jobs,
        leave,
        rust_version,
    });
    let tasks = [
        tokio::spawn(channel::echo(heartbeat)),
        tokio::spawn(desk.clone().serve(shell, shell_replies)),
        tokio::spawn(desk.serve(control, control_replies)),
        // No cell can ask for input; what comes here unasked is read and forgotten.
        tokio::spawn(async move { while stdin.next().await.is_some() {} }),
        tokio::spawn(lifeline::interrupt_on_sigint(interrupt.clone())),
        tokio::spawn(async move {
            version_known.send_replace(rustc_version().await);
        }),
    ];

    tokio::select! {
        _ = left.wait_for(|leaving| *leaving) => {}
        () = lifeline::told_to_end() => {}
        () = lifeline::parent_gone() => refusals::log("the process that started this kernel is gone; leaving"),
    }
    // First what may be running, so that its thread comes back; then the queue's sender, which the tasks hold.
    interrupt.shut_down();
    iopub.flush().await;
    // The sockets' own writers get a moment for the last replies.
    tokio::time::sleep(Duration::from_millis(30)).await;
    for task in tasks {
        task.abort();
    }
    if let Some(summary) = counters.summary() {
        refusals::log(&format!("in its life: {summary}"));
    }
    // Polled, not joined: a runtime that is dropped would wait for a join that never ends.
    let begin = std::time::Instant::now();
    while !cells.is_finished() {
        if begin.elapsed() > LEAVE_LIMIT {
            refusals::log("the running cell did not end; leaving without it");
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn read_connection(path: &Path) -> anyhow::Result<ConnectionInfo> {
    let doing = || format!("reading the connection file {}", path.display());
    let size = std::fs::metadata(path).with_context(doing)?.len();
    anyhow::ensure!(size <= CONNECTION_FILE_CAP, "{}: expected a small JSON file, got {size} bytes", doing());
    let text = std::fs::read_to_string(path).with_context(doing)?;
    serde_json::from_str(&text).with_context(doing)
}

async fn bind<S: Socket>(what: &str, url: &str) -> anyhow::Result<S> {
    let mut socket = S::new();
    socket.bind(url).await.with_context(|| format!("binding the {what} socket to {url}"))?;
    Ok(socket)
}

/// The version of the compiler that cells will use.
async fn rustc_version() -> Option<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        tokio::process::Command::new(compiler).arg("--version").kill_on_drop(true).output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}
