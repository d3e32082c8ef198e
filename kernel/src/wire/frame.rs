//! The frames of a Jupyter message: cutting them apart, checking their signature, putting them together.
//!
//! Frames come from whoever reaches the port, so nothing here trusts them: every fault is a [`Refusal`], none a
//! panic, and JSON is read only after the signature holds. What a message means is not known here.

use crate::wire::message::{Header, Message, Outgoing};
use bytes::Bytes;
use jupyter_protocol::ConnectionInfo;
use ring::hmac;
use serde_json::Value;

/// What stands between the routing identities and the message.
const DELIMITER: &[u8] = b"<IDS|MSG>";

/// Parts after the delimiter that every message has: signature, header, parent, metadata, content.
const PARTS: usize = 5;

/// Why a message was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("reading a message: no <IDS|MSG> among its {frames} frames")]
    NoDelimiter { frames: usize },
    #[error("reading a message: expected signature, header, parent, metadata and content, got {parts} parts")]
    TooShort { parts: usize },
    #[error("checking a message: its signature is not made with this kernel's key")]
    Forged,
    #[error("reading a message: its {part} is no {expected}: {reason}")]
    Malformed { part: &'static str, expected: &'static str, reason: String },
}

/// Signs what goes out and checks what comes in, with the key of the connection file.
#[derive(Clone)]
pub(crate) struct Signer {
    /// None when the connection file's key is empty: Jupyter's way to switch signing off.
    key: Option<hmac::Key>,
}

/// A connection file asks for a signature this kernel cannot make.
#[derive(Debug, thiserror::Error)]
#[error("reading the connection file: expected the signature scheme hmac-sha256, got {0:?}")]
pub(crate) struct UnknownScheme(String);

impl Signer {
    /// The signer a connection file describes.
    pub(crate) fn new(connection: &ConnectionInfo) -> Result<Self, UnknownScheme> {
        if connection.key.is_empty() {
            return Ok(Signer { key: None });
        }
        match connection.signature_scheme.as_str() {
            "hmac-sha256" => {
                Ok(Signer { key: Some(hmac::Key::new(hmac::HMAC_SHA256, connection.key.as_bytes())) })
            }
            other => Err(UnknownScheme(other.to_owned())),
        }
    }

    /// The hex signature of header, parent, metadata and content; buffers are not signed.
    fn sign(&self, parts: &[Bytes]) -> Bytes {
        let Some(key) = &self.key else { return Bytes::new() };
        let mut context = hmac::Context::with_key(key);
        for part in parts {
            context.update(part);
        }
        Bytes::from(to_hex(context.sign().as_ref()))
    }

    fn holds(&self, signature: &[u8], parts: &[Bytes]) -> bool {
        let Some(key) = &self.key else { return true };
        // `verify` compares in constant time and wants the text in one piece; requests are small.
        from_hex(signature).is_some_and(|tag| hmac::verify(key, &parts.concat(), &tag).is_ok())
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When frames are missing, the signature is wrong, or header, metadata or content are not JSON objects.
    pub(crate) fn decode(&self, frames: &[Bytes]) -> Result<Message, Refusal> {
        let at = frames
            .iter()
            .position(|frame| frame.as_ref() == DELIMITER)
            .ok_or(Refusal::NoDelimiter { frames: frames.len() })?;
        let parts = &frames[at + 1..];
        if parts.len() < PARTS {
            return Err(Refusal::TooShort { parts: parts.len() });
        }
        let signed = &parts[1..PARTS];
        if !self.holds(&parts[0], signed) {
            return Err(Refusal::Forged);
        }
        let raw_header = object("header", &signed[0])?;
        let header = Header::deserialize_from(&raw_header).map_err(|reason| Refusal::Malformed {
            part: "header",
            expected: "message header",
            reason: reason.to_string(),
        })?;
        Ok(Message {
            identities: frames[..at].to_vec(),
            header,
            raw_header: raw_header.into(),
            parent_header: object("parent header", &signed[1])?,
            metadata: object("metadata", &signed[2])?,
            content: object("content", &signed[3])?,
        })
    }

    /// Puts a message together: `prefix` holds the routing identities, or the topic on iopub.
    pub(crate) fn encode(&self, prefix: &[Bytes], session: &str, message: &Outgoing) -> Vec<Bytes> {
        self.encode_with_id(prefix, session, message).1
    }

    /// The same, with the new message's id, by which its replies name it.
    pub(crate) fn encode_with_id(
        &self,
        prefix: &[Bytes],
        session: &str,
        message: &Outgoing,
    ) -> (String, Vec<Bytes>) {
        let id = uuid::Uuid::new_v4().to_string();
        let header = Header::fresh(message.kind, session, &id);
        let parts = [
            json_bytes(&header),
            json_bytes(&message.parent),
            json_bytes(&message.metadata),
            json_bytes(&message.content),
        ];
        let mut frames = Vec::with_capacity(prefix.len() + 2 + parts.len());
        frames.extend_from_slice(prefix);
        frames.push(Bytes::from_static(DELIMITER));
        frames.push(self.sign(&parts));
        frames.extend(parts);
        (id, frames)
    }
}

fn json_bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn object(part: &'static str, bytes: &[u8]) -> Result<Value, Refusal> {
    let refusal = |reason: String| Refusal::Malformed { part, expected: "JSON object", reason };
    match serde_json::from_slice(bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(other) => {
            Err(refusal(format!("it begins with {:?}", other.to_string().chars().next().unwrap_or(' '))))
        }
        Err(e) => Err(refusal(e.to_string())),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    text.len().is_multiple_of(2).then_some(())?;
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn signer(key: &str) -> Signer {
        let connection = json!({"ip": "127.0.0.1", "transport": "tcp", "shell_port": 1, "iopub_port": 2, "stdin_port": 3,
            "control_port": 4, "hb_port": 5, "key": key, "signature_scheme": "hmac-sha256", "kernel_name": "spinbot"});
        Signer::new(&serde_json::from_value(connection).unwrap()).unwrap()
    }

    fn request() -> Outgoing {
        Outgoing::new("execute_request", json!({"msg_id": "parent"}), json!({"code": "1 + 1"}))
    }

    fn sign_again(signer: &Signer, frames: &mut [Bytes]) {
        let at = frames.iter().position(|f| f.as_ref() == DELIMITER).unwrap();
        frames[at + 1] = signer.sign(&frames[at + 2..at + 6]);
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        for (key, prefix) in
            [("secret", vec![]), ("", vec![]), ("secret", vec![Bytes::from_static(b"me"), Bytes::new()])]
        {
            let signer = signer(key);
            let mut frames = signer.encode(&prefix, "session", &request());
            frames.push(Bytes::from_static(&[0xFF, 0x00])); // a binary buffer after the content is no fault
            let message = signer.decode(&frames).unwrap();
            assert_eq!(message.identities, prefix);
            assert_eq!(message.header.kind, "execute_request");
            assert_eq!(message.raw_header["session"], "session");
            assert_eq!(message.parent_header, json!({"msg_id": "parent"}));
            assert_eq!(message.content, json!({"code": "1 + 1"}));
        }
    }

    #[test]
    fn the_signature_is_the_one_jupyter_computes() {
        // python3: hmac.new(b"key", b'{"a":1}{}{}{"b":2}', "sha256").hexdigest()
        let parts = ["{\"a\":1}", "{}", "{}", "{\"b\":2}"].map(Bytes::from_static_str);
        assert_eq!(signer("key").sign(&parts), SIGNED_BY_PYTHON);
    }
    const SIGNED_BY_PYTHON: &str = "0206f42f4ae2a48f6054ab91271f90c100f7022f55fb1f23de6377624d533752";

    trait FromStaticStr {
        fn from_static_str(text: &'static str) -> Bytes;
    }
    impl FromStaticStr for Bytes {
        fn from_static_str(text: &'static str) -> Bytes {
            Bytes::from_static(text.as_bytes())
        }
    }

    #[test]
    fn a_message_changed_anywhere_is_forged() {
        let signer = signer("secret");
        let good = signer.encode(&[], "session", &request());
        for part in 1..=5 {
            let mut frames = good.clone();
            let mut bytes = frames[part].to_vec();
            bytes[0] ^= 1;
            frames[part] = Bytes::from(bytes);
            assert_eq!(signer.decode(&frames).unwrap_err(), Refusal::Forged, "part {part}");
        }
        for signature in ["", "00", "zz", "a", &"0".repeat(64), &"é".repeat(32)] {
            let mut frames = good.clone();
            frames[1] = Bytes::from(signature.to_owned());
            assert_eq!(signer.decode(&frames).unwrap_err(), Refusal::Forged, "signature {signature:?}");
        }
    }

    #[test]
    fn a_message_cut_short_anywhere_is_refused() {
        let signer = signer("secret");
        let prefix = [Bytes::from_static(b"client")];
        let good = signer.encode(&prefix, "session", &request());
        for length in 0..good.len() {
            let expected = match length {
                0 | 1 => Refusal::NoDelimiter { frames: length },
                _ => Refusal::TooShort { parts: length - 2 },
            };
            assert_eq!(signer.decode(&good[..length]).unwrap_err(), expected, "{length} frames");
        }
    }

    #[test]
    fn signed_nonsense_is_refused_with_the_part_named() {
        let signer = signer("secret");
        let good = signer.encode(&[], "session", &request());
        let nonsense: [&[u8]; 7] = [b"", b"{", b"[]", b"null", b"\"text\"", b"{\"a\":\xFF}", &[b'['; 5000]];
        for (index, name) in [(2, "header"), (3, "parent header"), (4, "metadata"), (5, "content")] {
            for bytes in nonsense {
                let mut frames = good.clone();
                frames[index] = Bytes::copy_from_slice(bytes);
                sign_again(&signer, &mut frames);
                let refusal = signer.decode(&frames).unwrap_err();
                assert!(
                    matches!(refusal, Refusal::Malformed { part, .. } if part == name),
                    "{name}: {refusal}"
                );
            }
        }
        for header in [json!({}), json!({"msg_type": 1}), json!({"msg_id": "1"})] {
            let mut frames = good.clone();
            frames[2] = json_bytes(&header);
            sign_again(&signer, &mut frames);
            assert!(signer.decode(&frames).is_err(), "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(frames in prop::collection::vec(
            prop_oneof![
                Just(DELIMITER.to_vec()),
                Just(b"{}".to_vec()),
                Just(b"{\"msg_id\":\"1\",\"msg_type\":\"x\"}".to_vec()),
                prop::collection::vec(any::<u8>(), 0..80),
            ], 0..10)) {
            let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
            prop_assert!(signer("secret").decode(&frames).is_err());
            // Without a key the same frames may be a message; they only must not panic.
            let _ = signer("").decode(&frames);
        }
    }
}
