//! SentencePiece's model file (`tokenizer.model`): its fields (sentencepiece_model.proto), its normalisation and its
//! decoding. The search for the best pieces is the tokenizers crate's.

use prost::Message;
use std::collections::HashMap;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::precompiled::Precompiled;
use tokenizers::{Model, NormalizedString, Normalizer};

/// What stands for a space within pieces.
const SPACE: char = '\u{2581}';
/// The one kind of model that the releases have.
const UNIGRAM: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<PieceProto>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<TrainerProto>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<NormalizerProto>,
}

#[derive(Clone, PartialEq, Message)]
struct PieceProto {
    #[prost(string, optional, tag = "1")]
    piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    #[prost(enumeration = "Kind", optional, tag = "3")]
    kind: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

#[derive(Clone, PartialEq, Message)]
struct TrainerProto {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
    #[prost(bool, optional, tag = "35")]
    byte_fallback: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct NormalizerProto {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    escape_whitespaces: Option<bool>,
}

/// A SentencePiece unigram model.
pub(super) struct SentencePiece {
    unigram: Unigram,
    pieces: Vec<(String, Kind)>,
    charsmap: Option<Precompiled>,
    dummy_prefix: bool,
    remove_extra_spaces: bool,
}

impl SentencePiece {
    /// Reads the bytes of a `.model` file.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let proto = ModelProto::decode(bytes).map_err(|e| format!("it is no SentencePiece model: {e}"))?;
        let trainer = proto.trainer.unwrap_or_default();
        if trainer.model_type.unwrap_or(UNIGRAM) != UNIGRAM {
            return Err("it is no unigram model, the only kind that the releases have".into());
        }
        let normalizer = proto.normalizer.unwrap_or_default();
        if !normalizer.escape_whitespaces.unwrap_or(true) {
            return Err("it does not write spaces as pieces, which the releases do".into());
        }
        let charsmap = normalizer.precompiled_charsmap.filter(|map| !map.is_empty());
        let charsmap = charsmap.map(|map| Precompiled::from(&map)).transpose();
        let mut pieces = Vec::with_capacity(proto.pieces.len());
        let mut unknown = None;
        for (id, piece) in proto.pieces.iter().enumerate() {
            let kind = piece.kind.map_or(Ok(Kind::Normal), Kind::try_from);
            let kind = kind.map_err(|e| format!("piece {id} is of no known kind: {e}"))?;
            match kind {
                Kind::Unknown => unknown = Some(id),
                Kind::UserDefined => {
                    return Err(format!("piece {id} was added by hand, which only tokenizer.json can say"));
                }
                _ => (),
            }
            pieces.push((piece.piece.clone().unwrap_or_default(), kind));
        }
        // What no text may turn into is filed under a name that no text has: NUL is taken out of every text.
        let name = |(text, kind): &(String, Kind)| match kind {
            Kind::Normal | Kind::Byte => text.clone(),
            _ => format!("\0{text}"),
        };
        let scores = proto.pieces.iter().map(|piece| f64::from(piece.score.unwrap_or(0.0)));
        let vocabulary: Vec<_> = pieces.iter().map(name).zip(scores).collect();
        let names: HashMap<_, _> = vocabulary.iter().map(|(name, _)| (name.as_str(), ())).collect();
        if names.len() != vocabulary.len() {
            return Err("two of its pieces are the same".into());
        }
        let unigram = Unigram::from(vocabulary, unknown, trainer.byte_fallback.unwrap_or(false));
        Ok(SentencePiece {
            unigram: unigram.map_err(|e| e.to_string())?,
            pieces,
            charsmap: charsmap.map_err(|e| format!("its table of characters cannot be read: {e}"))?,
            dummy_prefix: normalizer.add_dummy_prefix.unwrap_or(true),
            remove_extra_spaces: normalizer.remove_extra_whitespaces.unwrap_or(true),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The ids of a text's pieces.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let mut text = text.replace('\0', "");
        if let Some(charsmap) = &self.charsmap {
            let mut normalized = NormalizedString::from(text);
            charsmap.normalize(&mut normalized).map_err(|e| e.to_string())?;
            text = normalized.get().to_owned();
        }
        if self.remove_extra_spaces {
            text = text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        }
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let prefix = if self.dummy_prefix { " " } else { "" };
        let escaped: String =
            prefix.chars().chain(text.chars()).map(|c| if c == ' ' { SPACE } else { c }).collect();
        let tokens = self.unigram.tokenize(&escaped).map_err(|e| e.to_string())?;
        Ok(tokens.into_iter().map(|token| token.id).collect())
    }

    /// The text of pieces; ids beyond the last piece are left out.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::new();
        for (text, kind) in ids.iter().filter_map(|id| self.pieces.get(*id as usize)) {
            match kind {
                Kind::Control => (),
                Kind::Unknown => bytes.extend_from_slice(" \u{2047} ".as_bytes()),
                Kind::Byte => {
                    let hex = text.trim_start_matches("<0x").trim_end_matches('>');
                    bytes.extend(u8::from_str_radix(hex, 16));
                }
                _ => bytes.extend_from_slice(text.replace(SPACE, " ").as_bytes()),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let cut = self.dummy_prefix || self.remove_extra_spaces;
        text.strip_prefix(' ').filter(|_| cut).unwrap_or(&text).to_owned()
    }
}
