//! The iopub socket. One task owns it: it publishes, and it welcomes those who subscribe (JEP 65).

use crate::wire::coalesce::{Coalescer, Publication};
use crate::wire::frame::Signer;
use crate::wire::message::{Outgoing, Parent};
use crate::wire::refusals::Counters;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use zeromq::{SocketRecv, SocketSend, XPubSocket, ZmqMessage};

/// Bytes waiting for the socket before whoever prints is made to wait.
const IN_FLIGHT: usize = 64 << 20;

/// How long a printing cell waits for a client that does not read, before its output is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the socket may take for one message. A client that stopped reading keeps its buffer; others go on.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// The same, while the message before it was not taken either: the kernel stays usable beside a client that hangs.
const STALLED_LIMIT: Duration = Duration::from_millis(50);

enum Order {
    Publish(Publication, usize),
    /// Send everything before this, then tell.
    Flush(oneshot::Sender<()>),
}

/// The way to the iopub task.
#[derive(Clone)]
pub(crate) struct Iopub {
    orders: mpsc::UnboundedSender<Order>,
    /// Bytes published and not yet handed to the socket.
    in_flight: Arc<AtomicUsize>,
    counters: Arc<Counters>,
}

impl Iopub {
    /// Starts the task that owns the socket; it ends when the last handle is gone.
    pub(super) fn start(
        socket: XPubSocket,
        signer: Signer,
        session: Arc<str>,
        counters: Arc<Counters>,
    ) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let in_flight = Arc::new(AtomicUsize::new(0));
        let press = Press {
            socket,
            signer,
            session,
            in_flight: in_flight.clone(),
            counters: counters.clone(),
            stalled: false,
        };
        tokio::spawn(press.run(inbox));
        Iopub { orders, in_flight, counters }
    }

    /// Publishes. Blocks only while far too much is waiting already, and then not for ever.
    pub(super) fn publish(&self, publication: Publication) {
        let size = weight(&publication);
        if self.in_flight.load(Ordering::Relaxed) > IN_FLIGHT {
            let begin = Instant::now();
            while self.in_flight.load(Ordering::Relaxed) > IN_FLIGHT {
                if begin.elapsed() > PATIENCE {
                    let what = format_args!(
                        "iopub: {IN_FLIGHT} bytes of output wait for {PATIENCE:?}; dropping more"
                    );
                    return self.counters.dropped.add(&what);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.in_flight.fetch_add(size, Ordering::Relaxed);
        // The task is gone only when the kernel leaves; then nobody reads this.
        let _ = self.orders.send(Order::Publish(publication, size));
    }

    /// Publishes a message that is not a cell's output: states, replies to all. Never blocks.
    pub(super) fn announce(&self, kind: &'static str, parent: &Parent, content: Value) {
        let message = Outgoing::new(kind, parent.clone(), content);
        let _ = self.orders.send(Order::Publish(Publication::Message(message), 0));
    }

    /// Tells everybody whether this request is being worked on.
    pub(super) fn status(&self, state: &'static str, parent: &Parent) {
        self.announce("status", parent, json!({"execution_state": state}));
    }

    /// Waits until everything published so far went to the socket.
    pub(super) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).is_ok() {
            let _ = wait.await;
        }
    }
}

fn weight(publication: &Publication) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(of).sum(),
            Value::Object(items) => items.values().map(of).sum(),
            _ => 8,
        }
    }
    // A message costs something beside its text.
    256 + match publication {
        Publication::Text { text, .. } => text.len(),
        Publication::Update { content, .. } => of(content),
        Publication::Message(message) => of(&message.content),
    }
}

/// The task's own state.
struct Press {
    socket: XPubSocket,
    signer: Signer,
    session: Arc<str>,
    in_flight: Arc<AtomicUsize>,
    counters: Arc<Counters>,
    /// The last message was not taken in time.
    stalled: bool,
}

impl Press {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        let mut coalescer = Coalescer::default();
        loop {
            let due = coalescer.due();
            let timer = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                event = self.socket.recv() => match event {
                    Ok(frames) => self.welcome(&frames).await,
                    // A client left or spoke nonsense; the socket has dropped it.
                    Err(_) => tokio::task::yield_now().await,
                },
                () = timer => {
                    if let Some(message) = coalescer.flush(Instant::now()) {
                        self.send(&message).await;
                    }
                }
                order = inbox.recv() => match order {
                    Some(Order::Publish(publication, size)) => {
                        for message in coalescer.push(publication, Instant::now()) {
                            self.send(&message).await;
                        }
                        self.in_flight.fetch_sub(size, Ordering::Relaxed);
                    }
                    Some(Order::Flush(done)) => {
                        if let Some(message) = coalescer.flush(Instant::now()) {
                            self.send(&message).await;
                        }
                        let _ = done.send(());
                    }
                    None => break,
                },
            }
        }
    }

    async fn send(&mut self, message: &Outgoing) {
        let topic = Bytes::from(format!("kernel.{}.{}", self.session, message.kind));
        self.send_on(topic, message).await;
    }

    async fn send_on(&mut self, topic: Bytes, message: &Outgoing) {
        let frames = self.signer.encode(&[topic], &self.session, message);
        let Ok(frames) = ZmqMessage::try_from(frames) else { return };
        let limit = if self.stalled { STALLED_LIMIT } else { SEND_LIMIT };
        self.stalled = tokio::time::timeout(limit, self.socket.send(frames)).await.is_err();
        if self.stalled {
            self.counters.dropped.add(&"iopub: a client does not read what it subscribed to");
        }
    }

    /// Answers a subscription, so that the client knows from when on it hears everything.
    async fn welcome(&mut self, frames: &ZmqMessage) {
        let Some([1, topic @ ..]) = frames.get(0).map(|frame| frame.as_ref()) else { return };
        let content = json!({"subscription": String::from_utf8_lossy(topic)});
        let message = Outgoing::new("iopub_welcome", Value::Object(Map::new()), content);
        self.send_on(Bytes::copy_from_slice(topic), &message).await;
    }
}
