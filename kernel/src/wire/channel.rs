//! The shell and control channels: reading requests, sending replies.

use crate::wire::frame::Signer;
use crate::wire::message::{Message, Outgoing};
use crate::wire::refusals::Counters;
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::mpsc;
use zeromq::{RouterRecvHalf, RouterSendHalf, RouterSocket, SocketRecv, SocketSend, ZmqError, ZmqMessage};

/// Where replies to one channel's requests go. Usable from any thread; never blocks.
#[derive(Clone)]
pub(super) struct Replies {
    outbox: mpsc::UnboundedSender<Vec<Bytes>>,
    signer: Signer,
    session: Arc<str>,
}

impl Replies {
    /// Replies to the request's sender.
    pub(super) fn send(&self, request: &Message, kind: &'static str, content: Value) {
        let reply = Outgoing::new(kind, request.raw_header.clone(), content);
        // The writer is gone only when the kernel leaves.
        let _ = self.outbox.send(self.signer.encode(&request.identities, &self.session, &reply));
    }
}

/// The reading half of a channel.
pub(super) struct Requests {
    name: &'static str,
    socket: RouterRecvHalf,
    signer: Signer,
    counters: Arc<Counters>,
}

impl Requests {
    /// The next message whose signature holds; others are counted. None when the socket is gone.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            let frames = match self.socket.recv().await {
                Ok(frames) => frames.into_vec(),
                Err(ZmqError::NoMessage) => return None,
                Err(_) => {
                    tokio::task::yield_now().await;
                    continue;
                }
            };
            match self.signer.decode(&frames) {
                Ok(message) => return Some(message),
                Err(refusal) => self.counters.refuse(self.name, &refusal),
            }
        }
    }
}

/// Takes a bound socket apart and starts its writer.
pub(super) fn open(
    name: &'static str,
    socket: RouterSocket,
    signer: &Signer,
    session: &Arc<str>,
    counters: &Arc<Counters>,
) -> (Requests, Replies) {
    let (sender, receiver) = socket.split();
    let (outbox, inbox) = mpsc::unbounded_channel();
    tokio::spawn(write(sender, inbox));
    let requests = Requests { name, socket: receiver, signer: signer.clone(), counters: counters.clone() };
    (requests, Replies { outbox, signer: signer.clone(), session: session.clone() })
}

async fn write(mut socket: RouterSendHalf, mut inbox: mpsc::UnboundedReceiver<Vec<Bytes>>) {
    while let Some(frames) = inbox.recv().await {
        if let Ok(frames) = ZmqMessage::try_from(frames) {
            // A client that has left needs no reply.
            let _ = socket.send(frames).await;
        }
    }
}

/// Sends every message back as it came: the heartbeat. A router, so that one client that asks twice or leaves
/// in between does not stop it for the others, as a strict request-reply socket would.
pub(super) async fn echo(socket: RouterSocket) {
    let (mut sender, mut receiver) = socket.split();
    loop {
        match receiver.recv().await {
            Ok(frames) => drop(sender.send(frames).await),
            Err(ZmqError::NoMessage) => break,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
