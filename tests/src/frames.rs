//! Jupyter messages as frames: `ids..., <IDS|MSG>, hmac, header, parent, metadata, content, buffers...`.

use anyhow::{Context, Result, bail, ensure};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// Separates routing ids from the message.
pub const DELIMITER: &[u8] = b"<IDS|MSG>";

/// A request about to be sent; its parts may be spoilt before it is turned into frames.
#[derive(Debug, Clone)]
pub struct Request {
    /// `msg_id` of its header, to be looked for in the reply's parent.
    pub id: String,
    /// Header, parent header, metadata, content: as bytes, not necessarily JSON.
    pub parts: [Vec<u8>; 4],
}

impl Request {
    /// A well-formed request of the given type.
    pub fn new(msg_type: &str, content: &Value) -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        let header = json!({
            "msg_id": id, "session": "wire-test", "username": "wire", "date": "2026-01-01T00:00:00.000000Z",
            "msg_type": msg_type, "version": "5.4",
        });
        let parts = [header, json!({}), json!({}), content.clone()].map(|part| part.to_string().into_bytes());
        Request { id, parts }
    }

    /// Replaces the header by other bytes.
    #[must_use]
    pub fn with_header(mut self, header: impl Into<Vec<u8>>) -> Self {
        self.parts[0] = header.into();
        self
    }

    /// Replaces the content by other bytes.
    #[must_use]
    pub fn with_content(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.parts[3] = content.into();
        self
    }

    /// The frames, signed with `key`; an empty key gives the empty signature.
    ///
    /// # Errors
    /// When the key cannot be used for HMAC.
    pub fn frames(&self, key: &str) -> Result<Vec<Vec<u8>>> {
        let mut frames = vec![DELIMITER.to_vec(), signature(key, &self.parts)?.into_bytes()];
        frames.extend(self.parts.iter().cloned());
        Ok(frames)
    }
}

/// A message received.
#[derive(Debug, Clone)]
pub struct Message {
    /// `msg_type` of the header.
    pub msg_type: String,
    /// `msg_id` of the parent header; empty when there is none.
    pub parent: String,
    /// The content.
    pub content: Value,
}

impl Message {
    /// Takes frames apart and checks the signature.
    ///
    /// # Errors
    /// When a frame is missing, is not JSON, or the signature is not the one `key` gives.
    pub fn parse(frames: &[Vec<u8>], key: &str) -> Result<Self> {
        let start =
            frames.iter().position(|frame| frame == DELIMITER).context("a message without delimiter")?;
        let Some([sign, header, parent, metadata, content]) = frames.get(start + 1..start + 6) else {
            bail!("a message of {} frames, need 5 after the delimiter", frames.len());
        };
        let parts = [header, parent, metadata, content].map(Clone::clone);
        let expected = signature(key, &parts)?;
        ensure!(sign == expected.as_bytes(), "the kernel signed a message wrongly");
        let [header, parent, _, content] = parts.map(|part| serde_json::from_slice::<Value>(&part));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Message {
            msg_type: text(&header?["msg_type"]),
            parent: text(&parent?["msg_id"]),
            content: content?,
        })
    }
}

fn signature(key: &str, parts: &[Vec<u8>; 4]) -> Result<String> {
    if key.is_empty() {
        return Ok(String::new());
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}
