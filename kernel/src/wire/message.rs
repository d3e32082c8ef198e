//! Messages as the kernel holds them: a typed header and content that is still JSON.
//!
//! This is the rim: contents become types where they are handled (`requests`, `contract`).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The version of Jupyter's protocol spoken here; 5.5 would promise subshells.
pub(crate) const PROTOCOL_VERSION: &str = "5.4";

/// The header that replies and outputs carry as their parent, word for word as it came.
pub(crate) type Parent = Arc<Value>;

/// What is read of a header. The rest, which clients leave out now and then, is only sent back.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Header {
    #[serde(rename = "msg_type")]
    pub(crate) kind: String,
}

impl Header {
    pub(super) fn deserialize_from(value: &Value) -> serde_json::Result<Header> {
        Header::deserialize(value)
    }

    /// The header of a message made now.
    pub(super) fn fresh(kind: &str, session: &str, id: &str) -> Value {
        json!({
            "msg_id": id,
            "username": "kernel",
            "session": session,
            "date": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            "msg_type": kind,
            "version": PROTOCOL_VERSION,
        })
    }
}

/// A message that came in and whose signature held.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The route back to the sender.
    pub(crate) identities: Vec<Bytes>,
    pub(crate) header: Header,
    /// The header as it came, to be sent back as the parent.
    pub(crate) raw_header: Parent,
    pub(crate) parent_header: Value,
    pub(crate) metadata: Value,
    pub(crate) content: Value,
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outgoing {
    pub(crate) kind: &'static str,
    pub(crate) parent: Parent,
    pub(crate) metadata: Value,
    pub(crate) content: Value,
}

impl Outgoing {
    pub(crate) fn new(kind: &'static str, parent: impl Into<Parent>, content: Value) -> Self {
        Outgoing { kind, parent: parent.into(), metadata: Value::Object(serde_json::Map::new()), content }
    }
}
