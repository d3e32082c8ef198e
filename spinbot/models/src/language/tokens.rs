//! Text to tokens and back, as a GGUF file describes it: byte pairs in GPT-2's way, or SentencePiece's as Llama 2 has them.

use super::gguf::GgufFile;
use crate::error::{ModelError, Result};
use serde_json::{Value, json};
use std::collections::HashMap;
use tokenizers::Tokenizer;

/// How GPT-2 divides text into the words that it then merges byte pairs in.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// How Llama 3 does.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// How Qwen 2 does.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Single digits apart.
const DIGITS: &str = r"\p{N}";

/// `tokenizer.ggml.token_type`.
const CONTROL: usize = 3;
const USER_DEFINED: usize = 4;
const BYTE: usize = 6;

/// A model's vocabulary.
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    /// The bytes of each token; empty for those that stand for no text.
    pieces: Vec<Vec<u8>>,
    /// Texts of the tokens that stand for no text.
    control: Vec<String>,
    /// What begins every text.
    first: Option<u32>,
    /// What ends the model's answer.
    ends: Vec<u32>,
}

impl Tokens {
    pub(super) fn load(file: &GgufFile) -> Result<Self> {
        let texts = file.texts("tokenizer.ggml.tokens")?;
        let types = match file.has("tokenizer.ggml.token_type") {
            true => file.counts("tokenizer.ggml.token_type")?,
            false => vec![1; texts.len()],
        };
        if types.len() != texts.len() {
            return Err(file.wrong(format!("{} tokens have {} types", texts.len(), types.len())));
        }
        let kind = file.text("tokenizer.ggml.model")?;
        let (description, piece): (Value, fn(&str) -> Vec<u8>) = match kind {
            "gpt2" => (byte_pairs(file, &texts)?, bytes_of_gpt2),
            "llama" => (sentence_pieces(file, &texts)?, |text| text.replace('▁', " ").into_bytes()),
            other => {
                return Err(ModelError::Language {
                    reason: format!("its tokenizer is of the kind `{other}`, which is not read here"),
                    advice: "let Ollama compute it: `--llm ollama:NAME`".into(),
                });
            }
        };
        let special: Vec<Value> = (texts.iter().zip(&types).enumerate())
            .filter(|(_, (_, kind))| matches!(**kind, CONTROL | USER_DEFINED))
            .map(|(id, (text, kind))| {
                json!({
                    "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": *kind == CONTROL,
                })
            })
            .collect();
        let mut description = description;
        description["added_tokens"] = special.into();
        let tokenizer = Tokenizer::from_bytes(description.to_string().as_bytes())
            .map_err(|e| file.wrong(format!("its tokenizer: {e}")))?;
        let pieces = (texts.iter().zip(&types))
            .map(|(text, kind)| match *kind {
                CONTROL => Vec::new(),
                USER_DEFINED => text.as_bytes().to_vec(),
                BYTE => byte_token(text).into_iter().collect(),
                _ => piece(text),
            })
            .collect();
        // One letter alone is not worth guarding, and taking a space out would never end.
        let control = (texts.iter().zip(&types)).filter(|(text, kind)| **kind == CONTROL && text.len() > 1);
        let control = control.map(|(text, _)| (*text).to_owned()).collect();
        let id = |key: &str| match file.has(key) {
            true => file.count(key, texts.len() - 1).map(|id| u32::try_from(id).ok()),
            false => Ok(None),
        };
        let begins = file.flag("tokenizer.ggml.add_bos_token").unwrap_or(kind == "llama");
        let first = if begins { id("tokenizer.ggml.bos_token_id")? } else { None };
        let mut ends: Vec<u32> = Vec::new();
        ends.extend(id("tokenizer.ggml.eos_token_id")?);
        ends.extend(id("tokenizer.ggml.eot_token_id")?);
        // Chat models end a turn with these; files do not always say so.
        for turn in ["<|im_end|>", "<|eot_id|>", "<|end|>", "<|endoftext|>"] {
            let found = texts.iter().zip(&types).position(|(text, kind)| *text == turn && *kind == CONTROL);
            ends.extend(found.and_then(|id| u32::try_from(id).ok()));
        }
        ends.sort_unstable();
        ends.dedup();
        Ok(Tokens { tokenizer, pieces, control, first, ends })
    }

    /// The tokens of a whole prompt, control tokens in it included.
    pub(super) fn of_prompt(&self, prompt: &str) -> Result<Vec<u32>> {
        let encoded = self.tokenizer.encode(prompt, false).map_err(|e| ModelError::Language {
            reason: format!("the prompt has no tokens: {e}"),
            advice: "use plain text".into(),
        })?;
        let ids = encoded.get_ids();
        // A template may have written the first token already.
        let first = self.first.filter(|first| ids.first() != Some(first));
        Ok(first.into_iter().chain(ids.iter().copied()).collect())
    }

    /// A text in which nothing can be taken for a control token.
    pub(super) fn harmless(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // Taking one out may put another together.
        while let Some(found) = self.control.iter().find(|token| text.contains(token.as_str())) {
            text = text.replace(found.as_str(), " ");
        }
        text
    }

    /// The bytes of a token; none of one that stands for no text.
    pub(super) fn piece(&self, id: u32) -> &[u8] {
        self.pieces.get(id as usize).map_or(&[], Vec::as_slice)
    }

    pub(super) fn pieces(&self) -> &[Vec<u8>] {
        &self.pieces
    }

    /// The text of a control token.
    pub(super) fn control_text(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.first
    }

    pub(super) fn ends(&self) -> &[u32] {
        &self.ends
    }
}

/// Byte pairs as Hugging Face's tokenizers describe them.
fn byte_pairs(file: &GgufFile, texts: &[&str]) -> Result<Value> {
    let merges = file.texts("tokenizer.ggml.merges")?;
    let vocab: serde_json::Map<String, Value> =
        texts.iter().enumerate().map(|(id, text)| ((*text).to_owned(), json!(id))).collect();
    let named = file.text("tokenizer.ggml.pre").unwrap_or("default");
    let words: &[&str] = match named {
        "default" | "gpt-2" | "gpt2" | "mpt" | "olmo" => &[GPT2],
        "smollm" | "codeshell" | "refact" | "command-r" | "starcoder" => &[DIGITS, GPT2],
        "llama-bpe" | "llama3" | "llama-v3" | "dbrx" | "smaug-bpe" => &[LLAMA3],
        "qwen2" | "deepseek-r1-qwen" | "stablelm2" => &[QWEN2],
        other => {
            return Err(ModelError::Language {
                reason: format!("its tokenizer divides words in the way `{other}`, which is not known here"),
                advice: "let Ollama compute it: `--llm ollama:NAME`".into(),
            });
        }
    };
    let split = |pattern: &str| {
        // GPT-2's keeps what it matches and what lies between; digits likewise.
        json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
    };
    let mut steps: Vec<Value> = words.iter().map(|pattern| split(pattern)).collect();
    steps.push(
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}),
    );
    Ok(json!({
        "version": "1.0",
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": named.starts_with("llama")},
    }))
}

/// Byte pairs of SentencePiece: which are merged first follows from the scores of what they make.
fn sentence_pieces(file: &GgufFile, texts: &[&str]) -> Result<Value> {
    let scores = file.numbers("tokenizer.ggml.scores")?;
    if scores.len() != texts.len() {
        return Err(file.wrong(format!("{} tokens have {} scores", texts.len(), scores.len())));
    }
    let ids: HashMap<&str, usize> = texts.iter().enumerate().map(|(id, text)| (*text, id)).collect();
    let mut merges: Vec<(f32, usize, usize, String)> = Vec::new();
    for (text, score) in texts.iter().zip(&scores) {
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if let (Some(l), Some(r)) = (ids.get(left), ids.get(right)) {
                merges.push((*score, *l, *r, format!("{left} {right}")));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let merges: Vec<String> = merges.into_iter().map(|(_, _, _, pair)| pair).collect();
    let vocab: serde_json::Map<String, Value> =
        ids.iter().map(|(text, id)| ((*text).to_owned(), json!(id))).collect();
    let unknown = match file.has("tokenizer.ggml.unknown_token_id") {
        true => texts.get(file.count("tokenizer.ggml.unknown_token_id", texts.len() - 1)?).copied(),
        false => None,
    };
    let mut normalizers = vec![json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})];
    if file.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true) {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
    }
    Ok(json!({
        "version": "1.0",
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "model": {
            "type": "BPE", "vocab": vocab, "merges": merges, "unk_token": unknown, "fuse_unk": true,
            "byte_fallback": true,
        },
    }))
}

/// The bytes that GPT-2's printable alphabet stands for.
fn bytes_of_gpt2(text: &str) -> Vec<u8> {
    let byte = |c: char| -> Option<u8> {
        let code = u32::from(c);
        match code {
            0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => u8::try_from(code).ok(),
            // Those that print nothing follow from 256 on, in order: 0 to 32, 127 to 160, 173.
            0x100..=0x120 => u8::try_from(code - 0x100).ok(),
            0x121..=0x142 => u8::try_from(code - 0x121 + 0x7F).ok(),
            0x143 => Some(0xAD),
            _ => None,
        }
    };
    match text.chars().map(byte).collect::<Option<Vec<u8>>>() {
        Some(bytes) => bytes,
        // Not in the alphabet: a token of plain text.
        None => text.as_bytes().to_vec(),
    }
}

/// The byte of `<0x0A>`.
fn byte_token(text: &str) -> Option<u8> {
    u8::from_str_radix(text.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_stand_ins_are_turned_into_their_bytes() {
        assert_eq!(bytes_of_gpt2("Ġhello"), b" hello");
        assert_eq!(bytes_of_gpt2("Ċ"), b"\n");
        assert_eq!(bytes_of_gpt2("Ã©"), "é".as_bytes());
        // All 256, each once.
        let alphabet = (0x21..=0x7E).chain(0xA1..=0xAC).chain(0xAE..=0xFF).chain(0x100..=0x143);
        let mut bytes: Vec<u8> =
            alphabet.filter_map(char::from_u32).flat_map(|c| bytes_of_gpt2(&c.to_string())).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(byte_token("<0x0A>"), Some(10));
        assert_eq!(byte_token("<0x0A"), None);
    }
}
