//! The desk where requests arrive: each is answered at once, handed to a thread that may take its time, or put in
//! the queue of cells.

use crate::wire::channel::{Replies, Requests};
use crate::wire::contract::{Completeness, Completion, Interrupt, Match, Quick};
use crate::wire::executor::{ExecuteContent, Job};
use crate::wire::history::History;
use crate::wire::iopub::Iopub;
use crate::wire::message::{Message, PROTOCOL_VERSION};
use crate::wire::refusals::Counters;
use jupyter_protocol::ConnectionInfo;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::watch;

/// How long the kernel's description waits for the compiler to say its version.
const RUSTC_PATIENCE: Duration = Duration::from_millis(300);

/// What answering needs.
pub(super) struct Desk {
    pub(super) connection: ConnectionInfo,
    pub(super) iopub: Iopub,
    pub(super) quick: Arc<dyn Quick>,
    pub(super) interrupt: Arc<dyn Interrupt>,
    pub(super) history: Arc<History>,
    pub(super) counters: Arc<Counters>,
    pub(super) jobs: mpsc::Sender<Job>,
    /// True once a client asked the kernel to leave.
    pub(super) leave: watch::Sender<bool>,
    /// The compiler's version, once known.
    pub(super) rust_version: watch::Receiver<Option<String>>,
}

#[derive(Debug, Deserialize)]
struct CodeAtCursor {
    code: String,
    /// In characters, not bytes.
    #[serde(default)]
    cursor_pos: usize,
    #[serde(default)]
    detail_level: u8,
}

#[derive(Debug, Deserialize)]
struct CodeOnly {
    code: String,
}

/// From a request's content to its reply's.
type Answer = fn(&dyn Quick, &Value) -> serde_json::Result<Value>;

impl Desk {
    /// Answers one channel's requests until its socket is gone.
    pub(super) async fn serve(self: Arc<Self>, mut requests: Requests, replies: Replies) {
        while let Some(message) = requests.next().await {
            match message.header.kind.as_str() {
                "execute_request" => self.enqueue(message, &replies),
                "is_complete_request" | "complete_request" | "inspect_request" => {
                    let (desk, replies) = (self.clone(), replies.clone());
                    tokio::spawn(async move { desk.answer_quickly(message, &replies).await });
                }
                _ => {
                    self.iopub.status("busy", &message.raw_header);
                    self.answer(&message, &replies).await;
                    self.iopub.status("idle", &message.raw_header);
                    if message.header.kind == "shutdown_request" {
                        self.leave.send_replace(true);
                    }
                }
            }
        }
    }

    fn enqueue(&self, message: Message, replies: &Replies) {
        match ExecuteContent::deserialize(&message.content) {
            // The other end is gone only when the kernel leaves.
            Ok(content) => drop(self.jobs.send(Job { message, content })),
            Err(e) => {
                self.iopub.status("busy", &message.raw_header);
                self.refuse(&message, replies, "execute_reply", &e);
                self.iopub.status("idle", &message.raw_header);
            }
        }
    }

    async fn answer(&self, message: &Message, replies: &Replies) {
        let (kind, content) = match message.header.kind.as_str() {
            "kernel_info_request" => ("kernel_info_reply", self.kernel_info().await),
            "comm_info_request" => ("comm_info_reply", json!({"status": "ok", "comms": {}})),
            "connect_request" => ("connect_reply", self.ports()),
            "history_request" => match self.history.reply(&message.content) {
                Ok(reply) => ("history_reply", reply),
                Err(e) => return self.refuse(message, replies, "history_reply", &e),
            },
            "interrupt_request" => {
                self.interrupt.interrupt();
                ("interrupt_reply", json!({"status": "ok"}))
            }
            "shutdown_request" => {
                let content = json!({"status": "ok", "restart": message.content["restart"] == json!(true)});
                // Other clients of this kernel learn of it too.
                self.iopub.announce("shutdown_reply", &message.raw_header, content.clone());
                ("shutdown_reply", content)
            }
            "comm_open" => {
                // No comm target exists here; the protocol's answer is to close what was opened.
                let content = json!({"comm_id": message.content["comm_id"], "data": {}});
                return self.iopub.announce("comm_close", &message.raw_header, content);
            }
            // Of comms that were closed when they were opened.
            "comm_msg" | "comm_close" => return,
            other => {
                return self.counters.unknown.add(&format_args!("unknown message {other:?}"));
            }
        };
        replies.send(message, kind, content);
    }

    /// Answers what may take a moment and must not wait for a running cell.
    async fn answer_quickly(&self, message: Message, replies: &Replies) {
        self.iopub.status("busy", &message.raw_header);
        let quick = self.quick.clone();
        let content = message.content.clone();
        let (kind, answer): (_, Answer) = match message.header.kind.as_str() {
            "is_complete_request" => ("is_complete_reply", is_complete),
            "complete_request" => ("complete_reply", complete),
            _ => ("inspect_reply", inspect),
        };
        match tokio::task::spawn_blocking(move || answer(&*quick, &content)).await {
            Ok(Ok(reply)) => replies.send(&message, kind, reply),
            Ok(Err(e)) => self.refuse(&message, replies, kind, &e),
            Err(panic) => replies.send(&message, kind, error("KernelPanic", &panic.to_string())),
        }
        self.iopub.status("idle", &message.raw_header);
    }

    /// A request with a good signature whose content makes no sense: its sender waits for a reply.
    fn refuse(&self, message: &Message, replies: &Replies, kind: &'static str, e: &serde_json::Error) {
        self.counters.unknown.add(&format_args!("{}: {e}", message.header.kind));
        replies.send(message, kind, error("BadRequest", &e.to_string()));
    }

    fn ports(&self) -> Value {
        let c = &self.connection;
        json!({"status": "ok", "shell_port": c.shell_port, "iopub_port": c.iopub_port, "stdin_port": c.stdin_port,
            "hb_port": c.hb_port, "control_port": c.control_port})
    }

    async fn kernel_info(&self) -> Value {
        let mut version = self.rust_version.clone();
        let known = tokio::time::timeout(RUSTC_PATIENCE, version.wait_for(Option::is_some)).await;
        let version = match known {
            Ok(Ok(version)) => version.clone().unwrap_or_default(),
            // The oldest compiler that builds this kernel, until the one installed has answered.
            _ => env!("CARGO_PKG_RUST_VERSION").to_owned(),
        };
        let own = env!("CARGO_PKG_VERSION");
        json!({
            "status": "ok",
            "protocol_version": PROTOCOL_VERSION,
            "implementation": "spinbot",
            "implementation_version": own,
            "language_info": {
                "name": "rust", "version": version, "mimetype": "text/rust", "file_extension": ".rs",
                "pygments_lexer": "rust", "codemirror_mode": "rust",
            },
            "banner": format!("SpinBot {own} (Rust {version}). %lsmagic lists what it can do."),
            "help_links": [
                {"text": "The Rust book", "url": "https://doc.rust-lang.org/book/"},
                {"text": "The Rust standard library", "url": "https://doc.rust-lang.org/std/"},
            ],
            "debugger": false,
            "supported_features": [],
        })
    }
}

fn error(ename: &str, evalue: &str) -> Value {
    json!({"status": "error", "ename": ename, "evalue": evalue, "traceback": [format!("{ename}: {evalue}")]})
}

fn is_complete(quick: &dyn Quick, content: &Value) -> serde_json::Result<Value> {
    let request = CodeOnly::deserialize(content)?;
    Ok(match quick.is_complete(&request.code) {
        Completeness::Complete => json!({"status": "complete"}),
        Completeness::Incomplete { indent } => json!({"status": "incomplete", "indent": indent}),
        Completeness::Invalid => json!({"status": "invalid"}),
    })
}

fn complete(quick: &dyn Quick, content: &Value) -> serde_json::Result<Value> {
    let CodeAtCursor { code, cursor_pos, .. } = CodeAtCursor::deserialize(content)?;
    let Completion { matches, start, end } = quick.complete(&code, to_bytes(&code, cursor_pos));
    let (start, end) = (to_chars(&code, start), to_chars(&code, end));
    let texts: Vec<&str> = matches.iter().map(|m| m.text.as_str()).collect();
    let detail = |m: &Match| json!({"start": start, "end": end, "text": m.text, "type": m.kind, "signature": m.signature});
    let details: Vec<Value> = matches.iter().map(detail).collect();
    Ok(json!({
        "status": "ok", "matches": texts, "cursor_start": start, "cursor_end": end,
        // JupyterLab reads kinds and signatures under IPython's name for them.
        "metadata": {"_jupyter_types_experimental": details},
    }))
}

fn inspect(quick: &dyn Quick, content: &Value) -> serde_json::Result<Value> {
    let CodeAtCursor { code, cursor_pos, detail_level } = CodeAtCursor::deserialize(content)?;
    let found = quick.inspect(&code, to_bytes(&code, cursor_pos), detail_level);
    let bundle = found.as_ref().map_or_else(Default::default, Clone::clone);
    Ok(json!({"status": "ok", "found": found.is_some(), "data": bundle.data, "metadata": bundle.metadata}))
}

/// Jupyter counts characters (code points), Rust bytes.
fn to_bytes(code: &str, chars: usize) -> usize {
    code.char_indices().nth(chars).map_or(code.len(), |(at, _)| at)
}

fn to_chars(code: &str, bytes: usize) -> usize {
    code.char_indices().take_while(|(at, _)| *at < bytes).count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use spinbot::bundle::Bundle;

    /// Completes the word before the cursor with an `x`.
    struct Letters;
    impl Quick for Letters {
        fn is_complete(&self, _: &str) -> Completeness {
            Completeness::Incomplete { indent: "    ".to_owned() }
        }
        fn complete(&self, code: &str, cursor: usize) -> Completion {
            let start = code[..cursor].rfind(' ').map_or(0, |at| at + 1);
            let text = format!("{}x", &code[start..cursor]);
            let matches = vec![Match { text, kind: "letter".to_owned(), signature: String::new() }];
            Completion { matches, start, end: cursor }
        }
        fn inspect(&self, code: &str, cursor: usize, _: u8) -> Option<Bundle> {
            (cursor > 0).then(|| Bundle::text(&code[..cursor]))
        }
    }

    #[test]
    fn cursors_count_characters_outside_and_bytes_inside() {
        for (code, cursor, found, start, end) in [
            ("ab", 2, "abx", 0, 2),
            ("é ab", 4, "abx", 2, 4),
            ("🦀 é", 3, "éx", 2, 3),
            ("ab", 99, "abx", 0, 2),
            ("", 0, "x", 0, 0),
        ] {
            let reply = complete(&Letters, &json!({"code": code, "cursor_pos": cursor})).unwrap();
            assert_eq!(reply["matches"], json!([found]), "{code}");
            assert_eq!(
                (&reply["cursor_start"], &reply["cursor_end"]),
                (&json!(start), &json!(end)),
                "{code}"
            );
        }
        let seen = inspect(&Letters, &json!({"code": "🦀🦀", "cursor_pos": 1})).unwrap();
        assert_eq!(seen["data"]["text/plain"], "🦀");
        let nothing = inspect(&Letters, &json!({"code": "a", "cursor_pos": 0})).unwrap();
        assert_eq!((&nothing["found"], &nothing["data"]), (&json!(false), &json!({})));
        assert!(complete(&Letters, &json!({"cursor_pos": 1})).is_err());
    }
}
