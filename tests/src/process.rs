//! A kernel process with its connection file, and sockets to it.

use crate::{Message, Request};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use zeromq::{DealerSocket, ReqSocket, Socket, SocketRecv, SocketSend, SubSocket, ZmqMessage};

/// Longest wait for an answer that needs no compiler. Generous: it tells a hang from a slow machine, no more.
const PATIENCE: Duration = Duration::from_secs(60);

/// The `spinbot` binary under test: `$SPINBOT_BIN`, or the release build of this workspace.
///
/// # Errors
/// When it is not there: `cargo xtask test` builds it first.
pub fn spinbot_binary() -> Result<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/spinbot");
    let path = std::env::var_os("SPINBOT_BIN").map_or(built, PathBuf::from);
    ensure!(path.is_file(), "{} is missing: build it with `cargo build --release`", path.display());
    Ok(path)
}

/// Runs `spinbot` with arguments to its end; returns its exit code (none: a signal) and what it wrote to stderr.
///
/// # Errors
/// When the binary is not there or does not end.
pub async fn spinbot(args: &[&str]) -> Result<(Option<i32>, String)> {
    let mut command = tokio::process::Command::new(spinbot_binary()?);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output());
    let output = output.await.with_context(|| format!("`spinbot {}` does not end", args.join(" ")))??;
    Ok((output.status.code(), String::from_utf8(output.stderr)?))
}

/// A running kernel. Dropped, it is killed and its connection file removed.
#[derive(Debug)]
pub struct Kernel {
    child: Child,
    connection: Value,
    /// Holds the connection file for the kernel's life.
    _folder: tempfile::TempDir,
}

impl Kernel {
    /// Starts a kernel that signs with `key` (empty: not at all).
    ///
    /// # Errors
    /// When the binary is missing or does not start.
    pub fn start(key: &str) -> Result<Self> {
        let connection = connection(key)?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("kernel.json");
        std::fs::write(&file, connection.to_string())?;
        let child =
            Command::new(spinbot_binary()?).args(["kernel", "-f"]).arg(&file).stdin(Stdio::null()).spawn()?;
        Ok(Kernel { child, connection, _folder: folder })
    }

    /// The kernel's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens the `shell` or `control` channel.
    ///
    /// # Errors
    /// When the kernel does not come to listen.
    pub async fn dealer(&self, channel: &str) -> Result<Dealer> {
        let mut socket = DealerSocket::new();
        socket.connect(&self.listening(channel).await?).await?;
        Ok(Dealer { socket, key: self.key() })
    }

    /// Opens `iopub`, subscribed to everything.
    ///
    /// # Errors
    /// When the kernel does not come to listen.
    pub async fn iopub(&self) -> Result<Iopub> {
        let mut socket = SubSocket::new();
        socket.connect(&self.listening("iopub").await?).await?;
        socket.subscribe("").await?;
        Ok(Iopub { socket, key: self.key(), pending: VecDeque::new() })
    }

    /// Sends bytes to the heartbeat and returns what comes back.
    ///
    /// # Errors
    /// When nothing comes back.
    pub async fn heartbeat(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut socket = ReqSocket::new();
        socket.connect(&self.listening("hb").await?).await?;
        socket.send(ZmqMessage::from(bytes.to_vec())).await?;
        let echo =
            tokio::time::timeout(PATIENCE, socket.recv()).await.context("the heart does not beat")??;
        Ok(echo.into_vec().concat())
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the kernel is still alive after {PATIENCE:?}")
    }

    fn key(&self) -> String {
        self.connection["key"].as_str().unwrap_or_default().to_owned()
    }

    /// The endpoint of a channel, once something accepts connections on it.
    async fn listening(&self, channel: &str) -> Result<String> {
        let port = self.connection[format!("{channel}_port")].as_u64().context("no such channel")?;
        let end = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await.is_err() {
            ensure!(Instant::now() < end, "the kernel does not listen on {channel}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(format!("tcp://127.0.0.1:{port}"))
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // Both fail only when it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client's end of `shell` or `control`.
pub struct Dealer {
    socket: DealerSocket,
    key: String,
}

impl Dealer {
    /// Sends frames as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_frames(&mut self, frames: Vec<Vec<u8>>) -> Result<()> {
        let mut frames = frames.into_iter();
        let mut message = ZmqMessage::from(frames.next().context("no frames to send")?);
        frames.for_each(|frame| message.push_back(frame.into()));
        Ok(self.socket.send(message).await?)
    }

    /// Sends a request and waits for its own reply; other replies on the way are returned as an error.
    ///
    /// # Errors
    /// When no reply comes, or the next one is to something else.
    pub async fn ask(&mut self, request: &Request) -> Result<Message> {
        self.send_frames(request.frames(&self.key)?).await?;
        let message = tokio::time::timeout(PATIENCE, self.socket.recv()).await.context("no reply")??;
        let frames: Vec<_> = message.into_vec().into_iter().map(|frame| frame.to_vec()).collect();
        let reply = Message::parse(&frames, &self.key)?;
        ensure!(reply.parent == request.id, "a reply to something else came: {reply:?}");
        Ok(reply)
    }

    /// Asks `kernel_info` and returns its content.
    ///
    /// # Errors
    /// When it is not answered.
    pub async fn kernel_info(&mut self) -> Result<Value> {
        let reply = self.ask(&Request::new("kernel_info_request", &json!({}))).await?;
        ensure!(reply.msg_type == "kernel_info_reply", "kernel_info answered with {}", reply.msg_type);
        Ok(reply.content)
    }
}

/// A subscriber to everything the kernel publishes.
pub struct Iopub {
    socket: SubSocket,
    key: String,
    pending: VecDeque<Message>,
}

impl Iopub {
    /// All messages with this parent up to its `idle`; those of other parents are kept for later.
    ///
    /// # Errors
    /// When `idle` does not come.
    pub async fn until_idle(&mut self, parent: &str) -> Result<Vec<Message>> {
        let mut mine = Vec::new();
        let mut others = VecDeque::new();
        loop {
            let message = match self.pending.pop_front() {
                Some(message) => message,
                None => self.receive().await?,
            };
            if message.parent != parent {
                others.push_back(message);
                continue;
            }
            let idle = message.msg_type == "status" && message.content["execution_state"] == "idle";
            mine.push(message);
            if idle {
                others.append(&mut self.pending);
                self.pending = others;
                return Ok(mine);
            }
        }
    }

    async fn receive(&mut self) -> Result<Message> {
        let message =
            tokio::time::timeout(PATIENCE, self.socket.recv()).await.context("iopub is silent")??;
        let frames: Vec<_> = message.into_vec().into_iter().map(|frame| frame.to_vec()).collect();
        Message::parse(&frames, &self.key)
    }
}

/// A connection file's content, with ports that nobody listens on.
fn connection(key: &str) -> Result<Value> {
    let mut value =
        json!({"transport": "tcp", "ip": "127.0.0.1", "signature_scheme": "hmac-sha256", "key": key});
    for channel in ["shell", "control", "iopub", "stdin", "hb"] {
        value[format!("{channel}_port")] = json!(free_port()?);
    }
    Ok(value)
}

/// A port that nobody listens on, given to nobody else in this process. It lies below those that the system gives to
/// whoever names none: between here and the kernel that binds it, one of these might go to another test.
fn free_port() -> Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    for _ in 0..COUNT {
        let number = std::process::id().wrapping_mul(97).wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + number % COUNT)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}
