//! From a prompt to the token ids and weights that CLIP's text encoders read. The networks are not known here.

use super::prompt;
use crate::error::{ModelError, Result};
use serde_json::{Value, json};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tokenizers::Tokenizer;

/// The largest tokenizer file believed; OpenAI's `tokenizer.json` has 3.6 MB.
const MAX_FILE: u64 = 32 << 20;
/// More chunks than these are a mistake, and each costs a pass of the encoder and time in every attention.
const MAX_CHUNKS: usize = 16;
/// How many tokens a comma may lie before a chunk's end for the chunk to end there instead.
const COMMA_REACH: usize = 20;
/// How CLIP divides text into the words that it then merges byte pairs in.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// The tokens of one pass of a text encoder, start, end and padding included.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) ids: Vec<u32>,
    /// 1 for the start, the end and the padding.
    pub(crate) weights: Vec<f32>,
}

/// A word that stands for trained embeddings instead of the vocabulary's tokens.
#[derive(Debug, Clone)]
struct Trigger {
    word: String,
    ids: Range<u32>,
}

/// CLIP's byte-pair tokenizer as a diffusers folder holds it.
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
    start: u32,
    end: u32,
    padding: u32,
    /// Tokens of a pass, with start and end.
    length: usize,
    triggers: Vec<Trigger>,
    /// The first id that is no row of the encoder's table.
    next_trigger: u32,
}

impl ClipTokenizer {
    /// Opens `tokenizer.json`, or `vocab.json` with `merges.txt`, of a folder. Lower-casing is the file's or, for the
    /// second pair, CLIP's. `length` and `vocabulary` are the text encoder's `max_position_embeddings` and
    /// `vocab_size`; start, end and padding are what `tokenizer_config.json` or `special_tokens_map.json` name.
    ///
    /// # Errors
    /// [`ModelError::Io`] when a file cannot be read, [`ModelError::Format`] when it is none, has over 32 MB, or holds
    /// ids that the encoder has no row for.
    pub fn open(folder: &Path, length: usize, vocabulary: usize) -> Result<Self> {
        let whole = folder.join("tokenizer.json");
        let path = if whole.is_file() { whole } else { folder.join("vocab.json") };
        let bytes = read(&path)?;
        let refuse = |reason: String| refused(&path, reason);
        let bytes = if path.ends_with("vocab.json") {
            let vocab = serde_json::from_slice(&bytes).map_err(|e| refuse(e.to_string()))?;
            let merges = String::from_utf8(read(&folder.join("merges.txt"))?)
                .map_err(|_| refused(&folder.join("merges.txt"), "it is not UTF-8".into()))?;
            clip_tokenizer(vocab, &merges).to_string().into_bytes()
        } else {
            bytes
        };
        let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(|e| refuse(e.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| refuse(e.to_string()))?;

        let named = special_tokens(folder);
        let id = |role: &str, default: &str| {
            let token = named(role).unwrap_or_else(|| default.to_owned());
            tokenizer
                .token_to_id(&token)
                .ok_or_else(|| refuse(format!("`{token}`, its {role}, is no token of it")))
        };
        let (start, end) = (id("bos_token", "<|startoftext|>")?, id("eos_token", "<|endoftext|>")?);
        let padding = id("pad_token", "<|endoftext|>")?;
        let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        let next_trigger = u32::try_from(vocabulary).unwrap_or(u32::MAX);
        if highest >= next_trigger {
            return Err(refuse(format!("it has a token {highest}, the text encoder knows {vocabulary}")));
        }
        if length < 3 {
            return Err(refuse(format!("a text encoder of {length} tokens has no room for a word")));
        }
        Ok(ClipTokenizer { tokenizer, start, end, padding, length, triggers: Vec::new(), next_trigger })
    }

    /// Tokens of a pass, with start and end: 77 for OpenAI's, 48 for the embedded model's.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Lets a word, in any case and not inside others, stand for that many trained embeddings, and gives their ids:
    /// they follow the encoder's table and one another, and index the embeddings handed to the encoder. A word that
    /// was added before keeps its ids.
    pub fn add_trigger(&mut self, word: &str, vectors: u32) -> Range<u32> {
        let word = word.trim().to_lowercase();
        if let Some(known) = self.triggers.iter().find(|trigger| trigger.word == word) {
            return known.ids.clone();
        }
        let ids = self.next_trigger..self.next_trigger.saturating_add(vectors);
        self.next_trigger = ids.end;
        if !word.is_empty() {
            self.triggers.push(Trigger { word, ids: ids.clone() });
        }
        ids
    }

    /// The ids of a text, without start and end and however many they are. Weights are not looked for.
    ///
    /// # Errors
    /// [`ModelError::Prompt`] when the tokenizer refuses the text.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let text = text.to_lowercase();
        let (mut ids, mut rest) = (Vec::new(), text.as_str());
        while let Some((place, trigger)) = self.first_trigger(rest) {
            ids.extend(self.plain(&rest[..place])?);
            ids.extend(trigger.ids.clone());
            rest = &rest[place + trigger.word.len()..];
        }
        ids.extend(self.plain(rest)?);
        Ok(ids)
    }

    fn plain(&self, text: &str) -> Result<Vec<u32>> {
        let refuse = |e: tokenizers::Error| ModelError::Prompt {
            reason: format!("the tokenizer refuses it: {e}"),
            advice: "write it in plain words".into(),
        };
        Ok(self.tokenizer.encode_fast(text, false).map_err(refuse)?.get_ids().to_vec())
    }

    fn first_trigger(&self, text: &str) -> Option<(usize, &Trigger)> {
        let alone = |place: usize, word: &str| {
            !text[..place].ends_with(char::is_alphanumeric)
                && !text[place + word.len()..].starts_with(char::is_alphanumeric)
        };
        let found = self.triggers.iter().filter_map(|trigger| {
            let mut places = text.match_indices(&trigger.word).map(|(place, _)| place);
            Some((places.find(|&place| alone(place, &trigger.word))?, trigger))
        });
        found.min_by_key(|(place, trigger)| (*place, std::cmp::Reverse(trigger.word.len())))
    }

    /// How many tokens a weighted prompt has, start and end left out.
    ///
    /// # Errors
    /// [`ModelError::Prompt`] when the tokenizer refuses it.
    pub fn count(&self, prompt: &str) -> Result<usize> {
        let sections = prompt::parse(prompt);
        let spans = sections.iter().flatten();
        spans.map(|span| Ok(self.ids(&span.text)?.len())).sum()
    }

    /// The chunks of a weighted prompt (see [`prompt::parse`]): at least one, each as long as a pass. A chunk ends at
    /// `BREAK`, and where it is full: at its last comma if that is near, so that phrases stay whole.
    ///
    /// # Errors
    /// [`ModelError::Prompt`] when it has more than 16 chunks.
    pub(crate) fn chunks(&self, prompt: &str) -> Result<Vec<Chunk>> {
        let room = self.length - 2;
        let comma = self.plain(",")?;
        let mut chunks = Vec::new();
        for section in prompt::parse(prompt) {
            let mut tokens: Vec<(u32, f32)> = Vec::new();
            for span in section {
                tokens.extend(self.ids(&span.text)?.into_iter().map(|id| (id, span.weight)));
            }
            let mut rest = tokens.as_slice();
            while rest.len() > room {
                let near = &rest[room.saturating_sub(COMMA_REACH)..room];
                let behind = near.iter().rev().position(|(id, _)| comma == [*id]).unwrap_or(0);
                let cut = room - behind;
                chunks.push(self.framed(&rest[..cut]));
                rest = &rest[cut..];
            }
            chunks.push(self.framed(rest));
            if chunks.len() > MAX_CHUNKS {
                return Err(ModelError::Prompt {
                    reason: format!(
                        "it has {} tokens, the most are about {}",
                        self.count(prompt)?,
                        MAX_CHUNKS * room
                    ),
                    advice: "describe the picture in fewer words: what comes late hardly counts".into(),
                });
            }
        }
        Ok(chunks)
    }

    /// The chunk of an empty prompt.
    pub(crate) fn empty(&self) -> Chunk {
        self.framed(&[])
    }

    fn framed(&self, tokens: &[(u32, f32)]) -> Chunk {
        let padding = (self.padding, 1.0);
        let all = std::iter::once((self.start, 1.0)).chain(tokens.iter().copied()).chain([(self.end, 1.0)]);
        let (ids, weights) = all.chain(std::iter::repeat(padding)).take(self.length).unzip();
        Chunk { ids, weights }
    }
}

fn refused(path: &Path, reason: String) -> ModelError {
    ModelError::Format {
        path: path.to_owned(),
        reason,
        convert: "use the `tokenizer` folder that belongs to these weights".into(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let length = path.metadata().map_err(ModelError::io("reading", path))?.len();
    if length > MAX_FILE {
        return Err(refused(path, format!("it has {length} bytes, {MAX_FILE} at most")));
    }
    std::fs::read(path).map_err(ModelError::io("reading", path))
}

/// What a folder calls its `bos_token`, `eos_token` and `pad_token`. A file that is missing or damaged names none.
fn special_tokens(folder: &Path) -> impl Fn(&str) -> Option<String> {
    let listed = |name: &str| {
        let path: PathBuf = folder.join(name);
        read(&path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
    };
    let files: Vec<Value> =
        ["tokenizer_config.json", "special_tokens_map.json"].into_iter().filter_map(listed).collect();
    move |role| {
        let token = files.iter().find_map(|file| file.get(role))?;
        token.as_str().or_else(|| token.get("content")?.as_str()).map(str::to_owned)
    }
}

/// The `tokenizer.json` that `vocab.json` and `merges.txt` are short for.
fn clip_tokenizer(vocab: Value, merges: &str) -> Value {
    let merges: Vec<&str> =
        merges.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty()).collect();
    json!({
        "version": "1.0",
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "NFC" },
            { "type": "Replace", "pattern": { "Regex": r"\s+" }, "content": " " },
            { "type": "Lowercase" },
        ]},
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": WORDS }, "behavior": "Removed", "invert": true },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        ]},
        "model": {
            "type": "BPE",
            "unk_token": "<|endoftext|>",
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": false,
            "vocab": vocab,
            "merges": merges,
        },
    })
}
