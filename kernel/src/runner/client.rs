//! A client of a real kernel: starts it as a child process and talks to it over the wire.
//!
//! Sockets are files in a folder only we can enter: no port to race for, nobody else to listen.

use crate::wire::frame::Signer;
use crate::wire::message::{Message, Outgoing};
use anyhow::{Context, bail};
use jupyter_protocol::{ConnectionInfo, Transport};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use zeromq::{DealerSendHalf, DealerSocket, Socket, SocketRecv, SocketSend, SubSocket, ZmqError, ZmqMessage};

/// How long a kernel may take to bind its sockets and describe itself.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long a kernel may take to leave when told to.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// The longest path of a folder that leaves room for a socket's name: the system allows 107 bytes in all.
const SOCKET_FOLDER_MAX: usize = 80;

/// A message of the kernel, by the channel on which it came.
#[derive(Debug)]
pub(super) enum Heard {
    Shell(Message),
    Control,
    Iopub(Message),
}

/// A kernel we started.
pub(super) struct Client {
    signer: Signer,
    session: String,
    shell: DealerSendHalf,
    control: DealerSendHalf,
    heard: mpsc::UnboundedReceiver<Heard>,
    child: Child,
    /// Holds the connection file and the sockets; kept for its drop, which removes them.
    _folder: TempDir,
}

impl Client {
    /// Starts `kernel` with `-f FILE` in the folder `at`, and waits until it describes itself. Returns that too.
    pub(super) async fn start(kernel: &[OsString], at: &Path) -> anyhow::Result<(Client, Value)> {
        let folder = private_folder()?;
        let key = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let connection = ConnectionInfo {
            ip: folder.path().join("k").display().to_string(),
            transport: Transport::IPC,
            shell_port: 1,
            iopub_port: 2,
            stdin_port: 3,
            control_port: 4,
            hb_port: 5,
            key,
            signature_scheme: "hmac-sha256".to_owned(),
            kernel_name: Some("spinbot".to_owned()),
        };
        let file = folder.path().join("kernel.json");
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut out| out.write_all(serde_json::to_string(&connection)?.as_bytes()))
            .with_context(|| format!("writing the connection file {}", file.display()))?;

        let (program, arguments) = kernel.split_first().context("starting the kernel: no command given")?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg("-f")
            .arg(&file)
            .current_dir(at)
            .env("JPY_PARENT_PID", std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Ctrl-C in the terminal is ours to pass on, as a message.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting the kernel {}", Path::new(program).display()))?;

        let limit = Instant::now() + START_LIMIT;
        for port in 1..=5u16 {
            let socket = folder.path().join(format!("k-{port}"));
            while !socket.exists() {
                if let Some(status) = child.try_wait()? {
                    bail!("the kernel ended while it started ({status}); its own message is above");
                }
                if Instant::now() > limit {
                    bail!("the kernel did not open its sockets within {} seconds", START_LIMIT.as_secs());
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }

        let (sender, heard) = mpsc::unbounded_channel();
        let signer = Signer::new(&connection)?;
        let mut iopub = SubSocket::new();
        iopub.connect(&connection.iopub_url()).await.context("connecting to the kernel's outputs")?;
        iopub.subscribe("").await.context("subscribing to the kernel's outputs")?;
        tokio::spawn(listen(iopub, signer.clone(), sender.clone(), Heard::Iopub));
        let (shell, reader) = dealer(&connection.shell_url()).await?;
        tokio::spawn(listen(reader, signer.clone(), sender.clone(), Heard::Shell));
        let (control, reader) = dealer(&connection.control_url()).await?;
        tokio::spawn(listen(reader, signer.clone(), sender, |_| Heard::Control));

        let session = uuid::Uuid::new_v4().to_string();
        let mut client = Client { signer, session, shell, control, heard, child, _folder: folder };
        let info = tokio::time::timeout_at(limit.into(), client.introduce()).await.unwrap_or_else(|_| {
            bail!("the kernel did not answer within {} seconds", START_LIMIT.as_secs());
        })?;
        Ok((client, info))
    }

    /// Waits until the kernel has taken our subscription, so that no output is missed, and described itself.
    async fn introduce(&mut self) -> anyhow::Result<Value> {
        let id = self.request("kernel_info_request", json!({})).await?;
        let (mut info, mut welcome) = (None, false);
        loop {
            match self.next().await? {
                Heard::Shell(message) if answers(&message, &id) => info = Some(message.content),
                // Any message on iopub proves the subscription; the kernel welcomes with one.
                Heard::Iopub(_) => welcome = true,
                _ => {}
            }
            if welcome && let Some(info) = info.take() {
                return Ok(info);
            }
        }
    }

    /// Asks on the shell channel; returns the request's id, which replies and outputs name as their parent's.
    pub(super) async fn request(&mut self, kind: &'static str, content: Value) -> anyhow::Result<String> {
        let (id, frames) = self.frames(kind, content)?;
        self.shell.send(frames).await.with_context(|| format!("sending {kind} to the kernel"))?;
        Ok(id)
    }

    /// Asks the kernel to stop the running cell.
    pub(super) async fn interrupt(&mut self) -> anyhow::Result<()> {
        let (_, frames) = self.frames("interrupt_request", json!({}))?;
        self.control.send(frames).await.context("interrupting the kernel")
    }

    /// The next message; an error once the kernel is gone. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> anyhow::Result<Heard> {
        tokio::select! {
            biased;
            heard = self.heard.recv() => heard.context("the kernel closed its sockets"),
            status = self.child.wait() => {
                // What it said last may still be on its way.
                match tokio::time::timeout(Duration::from_millis(100), self.heard.recv()).await {
                    Ok(Some(heard)) => Ok(heard),
                    _ => bail!("the kernel died ({})", end(status)),
                }
            }
        }
    }

    /// Ends the kernel: asked first, killed if it does not go.
    pub(super) async fn stop(mut self) {
        let asked = match self.frames("shutdown_request", json!({"restart": false})) {
            Ok((_, frames)) => self.control.send(frames).await.is_ok(),
            Err(_) => false,
        };
        if !asked || tokio::time::timeout(LEAVE_LIMIT, self.child.wait()).await.is_err() {
            // Already gone is what is wanted.
            let _ = self.child.kill().await;
        }
    }

    /// Ends the kernel at once.
    pub(super) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    fn frames(&self, kind: &'static str, content: Value) -> anyhow::Result<(String, ZmqMessage)> {
        let request = Outgoing::new(kind, Value::Object(Map::new()), content);
        let (id, frames) = self.signer.encode_with_id(&[], &self.session, &request);
        Ok((id, ZmqMessage::try_from(frames).map_err(|e| anyhow::anyhow!("sending {kind}: {e}"))?))
    }
}

/// Whether a message belongs to the request with this id.
pub(super) fn answers(message: &Message, id: &str) -> bool {
    message.parent_header["msg_id"] == id
}

async fn dealer(url: &str) -> anyhow::Result<(DealerSendHalf, zeromq::DealerRecvHalf)> {
    let mut socket = DealerSocket::new();
    socket.connect(url).await.with_context(|| format!("connecting to the kernel at {url}"))?;
    Ok(socket.split())
}

async fn listen<S: SocketRecv>(
    mut socket: S,
    signer: Signer,
    heard: mpsc::UnboundedSender<Heard>,
    wrap: impl Fn(Message) -> Heard,
) {
    loop {
        match socket.recv().await {
            // Our own kernel signs with our key; anything else is not for us.
            Ok(frames) => {
                if let Ok(message) = signer.decode(&frames.into_vec())
                    && heard.send(wrap(message)).is_err()
                {
                    return;
                }
            }
            Err(ZmqError::NoMessage) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn private_folder() -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("spinbot-run-").permissions(PermissionsExt::from_mode(0o700));
    let usual = std::env::temp_dir();
    let base = if usual.as_os_str().len() > SOCKET_FOLDER_MAX - 20 { Path::new("/tmp") } else { &usual };
    builder
        .tempdir_in(base)
        .with_context(|| format!("making a folder for the kernel's sockets in {}", base.display()))
}

fn end(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|e| e.to_string(), |status| status.to_string())
}
