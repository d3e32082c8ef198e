//! Content keys: same key, same result, nothing to run.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use spinbot::Digest;
use std::collections::BTreeMap;

/// Everything a step's result depends on.
#[derive(Debug)]
pub(crate) struct StepIdentity<'a> {
    pub kind: &'a str,
    pub version: u32,
    pub params: &'a Value,
    /// Digests of the inputs by name.
    pub inputs: &'a BTreeMap<String, Digest>,
    /// Hashes of the models it loads, by id.
    pub models: &'a BTreeMap<String, String>,
    pub seed: u64,
    pub device: &'a str,
}

impl StepIdentity<'_> {
    /// SHA-256 of the identity as canonical JSON, in hex.
    pub(crate) fn key(&self) -> String {
        // The device's class stands for its name: `auto` and `cpu` are one where there is no GPU.
        let mut params = self.params.clone();
        if let Some(fields) = params.as_object_mut() {
            fields.remove("device");
        }
        let identity = json!({
            "kind": self.kind,
            "version": self.version,
            "params": params,
            "inputs": self.inputs,
            "models": self.models,
            "seed": self.seed,
            "device": self.device,
        });
        hex(&Sha256::digest(sorted(&identity).to_string().as_bytes()))
    }
}

/// The same JSON with object keys sorted: the order in which a client wrote its parameters is no part of their meaning.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let fields: BTreeMap<_, _> = map.iter().collect();
            Value::Object(fields.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        leaf => leaf.clone(),
    }
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_follows_meaning_and_not_the_order_of_writing() {
        let inputs = BTreeMap::from([("speech".to_owned(), Digest("ab".repeat(32)))]);
        let models = BTreeMap::new();
        let base = json!({"fps": 25, "deep": {"a": [1, 2], "b": "x"}});
        let identity = |params: &Value, seed: u64, version: u32, inputs: &BTreeMap<String, Digest>| {
            StepIdentity { kind: "drive", version, params, inputs, models: &models, seed, device: "cpu" }
                .key()
        };
        let key = identity(&base, 0, 1, &inputs);
        assert_eq!(key.len(), 64);
        assert_eq!(key, identity(&json!({"deep": {"b": "x", "a": [1, 2]}, "fps": 25}), 0, 1, &inputs));
        let other_inputs = BTreeMap::from([("speech".to_owned(), Digest("cd".repeat(32)))]);
        for (what, other) in [
            ("params", identity(&json!({"fps": 24, "deep": {"a": [1, 2], "b": "x"}}), 0, 1, &inputs)),
            (
                "order of a list",
                identity(&json!({"fps": 25, "deep": {"a": [2, 1], "b": "x"}}), 0, 1, &inputs),
            ),
            ("seed", identity(&base, 1, 1, &inputs)),
            ("version", identity(&base, 0, 2, &inputs)),
            ("inputs", identity(&base, 0, 1, &other_inputs)),
        ] {
            assert_ne!(key, other, "another {what} must give another key");
        }
    }
}
