//! The thread that runs cells, one after another, and answers for them.

use crate::wire::channel::Replies;
use crate::wire::contract::{CellError, ExecuteOutcome, ExecuteRequest, OpenSession, Session};
use crate::wire::history::History;
use crate::wire::iopub::Iopub;
use crate::wire::message::Message;
use crate::wire::output::Output;
use serde::Deserialize;
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};

/// The parser of a large cell recurses deeply; address space costs nothing until it is touched.
const STACK: usize = 256 << 20;

/// The content of an `execute_request`.
#[derive(Debug, Deserialize)]
pub(super) struct ExecuteContent {
    code: String,
    #[serde(default)]
    silent: bool,
    #[serde(default = "yes")]
    store_history: bool,
    #[serde(default = "yes")]
    stop_on_error: bool,
}

fn yes() -> bool {
    true
}

/// A request in the queue.
pub(super) struct Job {
    pub(super) message: Message,
    pub(super) content: ExecuteContent,
}

/// What the thread works with.
pub(super) struct Executor {
    pub(super) open: OpenSession,
    pub(super) iopub: Iopub,
    pub(super) replies: Replies,
    pub(super) history: Arc<History>,
}

impl Executor {
    /// Starts the thread; it ends, dropping the session, when the sender of `jobs` is dropped.
    pub(super) fn start(self, jobs: mpsc::Receiver<Job>) -> std::io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new().name("cells".to_owned()).stack_size(STACK).spawn(move || self.run(&jobs))
    }

    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        let mut session = self.open_session();
        let mut count = 0;
        while let Ok(job) = jobs.recv() {
            if let Ok(session) = &mut session {
                session.begin();
            }
            self.iopub.status("busy", &job.message.raw_header);
            let (failed, reply) = self.execute(&job, &mut session, &mut count);
            // What the client queued before it could know of the error was meant to follow a success. Taken out
            // before the reply: what comes after it was sent knowing.
            let dropped: Vec<Job> = match failed && job.content.stop_on_error && !job.content.silent {
                true => jobs.try_iter().collect(),
                false => Vec::new(),
            };
            self.answer(&job.message, reply);
            for dropped in dropped {
                self.iopub.status("busy", &dropped.message.raw_header);
                self.answer(&dropped.message, aborted(count));
            }
        }
    }

    fn open_session(&mut self) -> Result<Box<dyn Session>, CellError> {
        match catch_unwind(AssertUnwindSafe(&mut self.open)) {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(e)) => Err(plain_error("KernelStart", &format!("{e:#}"))),
            Err(panic) => Err(plain_error("KernelPanic", &panic_text(&*panic))),
        }
    }

    /// Runs one cell; returns whether it failed, and the reply.
    fn execute(
        &mut self,
        job: &Job,
        session: &mut Result<Box<dyn Session>, CellError>,
        count: &mut u64,
    ) -> (bool, Value) {
        let content = &job.content;
        let stored = content.store_history && !content.silent;
        if stored {
            *count += 1;
            self.history.add(*count, &content.code);
        }
        let parent = &job.message.raw_header;
        if !content.silent {
            let input = json!({"code": content.code, "execution_count": *count});
            self.iopub.announce("execute_input", parent, input);
        }
        if session.is_err() {
            *session = self.open_session();
        }
        let out = Output::new(self.iopub.clone(), parent.clone(), content.silent);
        let request = ExecuteRequest {
            code: content.code.clone(),
            silent: content.silent,
            store_history: stored,
            execution_count: *count,
            stop_on_error: content.stop_on_error,
            cell_id: job.message.metadata["cellId"].as_str().map(str::to_owned),
        };
        let outcome = match session {
            Ok(session) => {
                catch_unwind(AssertUnwindSafe(|| session.execute(&request, &out))).unwrap_or_else(|panic| {
                    let text = panic_text(&*panic);
                    ExecuteOutcome::Error(plain_error(
                        "KernelPanic",
                        &format!("the kernel itself failed: {text}"),
                    ))
                })
            }
            Err(why) => ExecuteOutcome::Error(why.clone()),
        };
        match outcome {
            ExecuteOutcome::Ok { next_cell } => {
                let next = |text| json!({"source": "set_next_input", "text": text, "replace": false});
                let payload: Vec<Value> = next_cell.into_iter().map(next).collect();
                let reply = json!({"status": "ok", "execution_count": *count, "payload": payload, "user_expressions": {}});
                (false, reply)
            }
            ExecuteOutcome::Error(error) => {
                out.error(&error);
                let reply = json!({
                    "status": "error", "execution_count": *count, "ename": error.ename, "evalue": error.evalue,
                    "traceback": error.traceback, "payload": [], "user_expressions": {},
                });
                (true, reply)
            }
        }
    }

    fn answer(&self, request: &Message, reply: Value) {
        self.replies.send(request, "execute_reply", reply);
        self.iopub.status("idle", &request.raw_header);
    }
}

fn aborted(count: u64) -> Value {
    json!({"status": "aborted", "execution_count": count, "payload": [], "user_expressions": {}})
}

fn plain_error(ename: &str, evalue: &str) -> CellError {
    let traceback = vec![format!("{ename}: {evalue}")];
    CellError { ename: ename.to_owned(), evalue: evalue.to_owned(), traceback }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
