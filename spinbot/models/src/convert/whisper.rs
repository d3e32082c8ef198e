//! A Whisper model in CTranslate2's format -> safetensors of the same f16 values under the names of Hugging Face's
//! checkpoints, with the vocabulary and the lists of suppressed tokens beside them.
//!
//! CTranslate2's file, as its specification of version 6 writes it: a version, a name, a revision and a count, then
//! for each variable its name (u16 length, zero-terminated), rank, dimensions, type and bytes, little-endian.

use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;
use std::collections::HashMap;

/// CTranslate2's number for f16.
const FLOAT16: u8 = 4;

/// The part of its `config.json` that decoding needs.
#[derive(Deserialize)]
struct Config {
    suppress_ids: Vec<u32>,
    suppress_ids_begin: Vec<u32>,
}

struct Variable<'a> {
    shape: Vec<usize>,
    kind: u8,
    data: &'a [u8],
}

/// `model.bin`, `vocabulary.txt` and `config.json`.
pub(super) fn convert(model: &[u8], vocabulary: &[u8], config: &[u8]) -> Result<Vec<u8>, String> {
    let config: Config = serde_json::from_slice(config).map_err(|e| format!("config.json: {e}"))?;
    let variables = variables(model)?;
    let mut tensors: Vec<(String, Dtype, Vec<usize>, &[u8])> = Vec::new();
    for (name, variable) in &variables {
        if variable.kind != FLOAT16 || variable.shape.is_empty() {
            continue;
        }
        let parts = names(name).ok_or_else(|| format!("the variable `{name}` is not known"))?;
        let mut shape = variable.shape.clone();
        if parts.len() > 1 {
            if shape[0] % parts.len() != 0 {
                return Err(format!("`{name}` has shape {shape:?}, which does not split"));
            }
            shape[0] /= parts.len();
        }
        let bytes = variable.data.len() / parts.len();
        for (part, data) in parts.into_iter().zip(variable.data.chunks_exact(bytes.max(1))) {
            // The key's projection has no bias; CTranslate2 stores zeros for it.
            if part.ends_with("k_proj.bias") {
                continue;
            }
            tensors.push((part, Dtype::F16, shape.clone(), data));
        }
    }
    let list = |ids: &[u32]| ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>();
    let (suppress, begin) = (list(&config.suppress_ids), list(&config.suppress_ids_begin));
    tensors.push(("vocabulary".into(), Dtype::U8, vec![vocabulary.len()], vocabulary));
    tensors.push(("suppress".into(), Dtype::U32, vec![config.suppress_ids.len()], &suppress));
    tensors.push(("suppress_begin".into(), Dtype::U32, vec![config.suppress_ids_begin.len()], &begin));
    let views = tensors
        .into_iter()
        .map(|(name, dtype, shape, data)| Ok((name, TensorView::new(dtype, shape, data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| e.to_string())?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

/// What a variable is called in Hugging Face's checkpoints; several names for projections stored as one.
fn names(variable: &str) -> Option<Vec<String>> {
    let one = |name: String| Some(vec![name]);
    let (side, rest) = variable.split_once('/')?;
    let of = |what: &str| format!("model.{side}.{what}");
    match rest {
        "embeddings/weight" => return one(of("embed_tokens.weight")),
        "position_encodings/encodings" => return one(of("embed_positions.weight")),
        _ => {}
    }
    let (rest, kind) = rest.rsplit_once('/')?;
    let kind = match kind {
        "gamma" => "weight",
        "beta" => "bias",
        other => other,
    };
    let Some((layer, rest)) = rest.strip_prefix("layer_").and_then(|rest| rest.split_once('/')) else {
        return match rest {
            "layer_norm" | "conv1" | "conv2" => one(of(&format!("{rest}.{kind}"))),
            // The top norm's own path has no layer number.
            _ => None,
        };
    };
    let of = |what: &str| of(&format!("layers.{layer}.{what}.{kind}"));
    let several = |module: &str, parts: &[&str]| {
        Some(parts.iter().map(|part| of(&format!("{module}.{part}"))).collect())
    };
    match rest {
        "self_attention/layer_norm" => one(of("self_attn_layer_norm")),
        "self_attention/linear_0" => several("self_attn", &["q_proj", "k_proj", "v_proj"]),
        "self_attention/linear_1" => several("self_attn", &["out_proj"]),
        "attention/layer_norm" => one(of("encoder_attn_layer_norm")),
        "attention/linear_0" => several("encoder_attn", &["q_proj"]),
        "attention/linear_1" => several("encoder_attn", &["k_proj", "v_proj"]),
        "attention/linear_2" => several("encoder_attn", &["out_proj"]),
        "ffn/layer_norm" => one(of("final_layer_norm")),
        "ffn/linear_0" => one(of("fc1")),
        "ffn/linear_1" => one(of("fc2")),
        _ => None,
    }
}

/// Every variable of the file by its name.
fn variables(file: &[u8]) -> Result<HashMap<&str, Variable<'_>>, String> {
    let mut rest = Reader(file);
    let version = rest.u32()?;
    let name = rest.text()?;
    if version != 6 || name != "WhisperSpec" {
        return Err(format!(
            "a CTranslate2 file of version {version} for `{name}`, expected 6 and WhisperSpec"
        ));
    }
    let _revision = rest.u32()?;
    let count = rest.u32()?;
    let mut all = HashMap::new();
    for _ in 0..count {
        let name = rest.text()?;
        let rank = rest.take(1)?[0];
        let shape = (0..rank).map(|_| Ok(rest.u32()? as usize)).collect::<Result<Vec<_>, String>>()?;
        let kind = rest.take(1)?[0];
        let bytes = rest.u32()? as usize;
        let data = rest.take(bytes)?;
        let values = shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim));
        if kind == FLOAT16 && values.and_then(|n| n.checked_mul(2)) != Some(bytes) {
            return Err(format!("`{name}` has {bytes} bytes for shape {shape:?}"));
        }
        all.insert(name, Variable { shape, kind, data });
    }
    Ok(all)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("the CTranslate2 file is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A zero-terminated text after its length.
    fn text(&mut self) -> Result<&'a str, String> {
        let length = self.take(2)?;
        let bytes = self.take(u16::from_le_bytes([length[0], length[1]]).into())?;
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        str::from_utf8(bytes).map_err(|_| "a name in the CTranslate2 file is not UTF-8".into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u16 + 1).to_le_bytes()[..], text.as_bytes(), &[0]].concat()
    }

    fn variable(name: &str, shape: &[u32], values: &[u16]) -> Vec<u8> {
        let mut bytes = text(name);
        bytes.push(shape.len() as u8);
        bytes.extend(shape.iter().flat_map(|dim| dim.to_le_bytes()));
        bytes.push(FLOAT16);
        bytes.extend((values.len() as u32 * 2).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    fn file(variables: &[Vec<u8>]) -> Vec<u8> {
        let head = [&6_u32.to_le_bytes()[..], &text("WhisperSpec"), &3_u32.to_le_bytes()].concat();
        [head, (variables.len() as u32).to_le_bytes().to_vec(), variables.concat()].concat()
    }

    #[test]
    fn projections_stored_as_one_are_parted_and_the_keys_zero_bias_is_dropped() {
        let model = file(&[
            variable("decoder/layer_2/self_attention/linear_0/weight", &[3, 2], &[1, 2, 3, 4, 5, 6]),
            variable("decoder/layer_2/attention/linear_1/bias", &[4], &[0, 0, 7, 8]),
            variable("encoder/layer_norm/gamma", &[1], &[9]),
        ]);
        let made =
            convert(&model, b"!\n\"\n", br#"{"suppress_ids": [1], "suppress_ids_begin": [2, 3]}"#).unwrap();
        let made = safetensors::SafeTensors::deserialize(&made).unwrap();
        let bytes = |name: &str| made.tensor(name).unwrap().data().to_vec();
        let of = |kind: &str| bytes(&format!("model.decoder.layers.2.{kind}"));
        assert_eq!(of("self_attn.q_proj.weight"), [1, 0, 2, 0]);
        assert_eq!(of("self_attn.k_proj.weight"), [3, 0, 4, 0]);
        assert_eq!(of("self_attn.v_proj.weight"), [5, 0, 6, 0]);
        assert_eq!(of("encoder_attn.v_proj.bias"), [7, 0, 8, 0]);
        assert!(made.tensor("model.decoder.layers.2.encoder_attn.k_proj.bias").is_err());
        assert_eq!(bytes("model.encoder.layer_norm.weight"), [9, 0]);
        assert_eq!((bytes("vocabulary"), bytes("suppress_begin").len()), (b"!\n\"\n".to_vec(), 8));
    }

    #[test]
    fn a_damaged_or_foreign_file_is_refused_with_a_reason() {
        let config = br#"{"suppress_ids": [], "suppress_ids_begin": []}"#;
        let good = file(&[variable("encoder/conv1/bias", &[2], &[1, 2])]);
        for end in 0..good.len() {
            assert!(convert(&good[..end], b"", config).is_err(), "cut at {end}");
        }
        let refused = |model: Vec<u8>| convert(&model, b"", config).unwrap_err();
        assert!(refused(file(&[variable("encoder/other", &[1], &[1])])).contains("not known"));
        assert!(
            refused(file(&[variable("encoder/conv1/bias", &[3], &[1])])).contains("2 bytes for shape [3]")
        );
        assert!(refused(file(&[variable("encoder/conv1/bias", &[u32::MAX; 9], &[1])])).contains("shape"));
        assert!(convert(&good, b"", b"{}").unwrap_err().contains("config.json"));
    }
}
