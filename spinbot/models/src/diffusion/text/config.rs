//! The configuration of CLIP's text encoder under transformers' names.

use crate::error::{ModelError, Result};
use candle_core::Tensor;
use serde::Deserialize;

/// `text_encoder/config.json`; what is missing has transformers' defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClipTextConfig {
    /// Rows of the token table.
    pub vocab_size: usize,
    /// Channels of the hidden states.
    pub hidden_size: usize,
    /// Channels inside the feed-forward part.
    pub intermediate_size: usize,
    /// Channels of the pooled projection, if the weights have one.
    pub projection_dim: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Heads, which share the channels equally.
    pub num_attention_heads: usize,
    /// Tokens of a pass, start and end included.
    pub max_position_embeddings: usize,
    /// The feed-forward's activation.
    pub hidden_act: Activation,
    /// The layer normalisations' epsilon.
    pub layer_norm_eps: f64,
    /// The token whose state is pooled. 2 stands for the highest id in the prompt: files older than transformers 4.31
    /// say 2 whatever their tokenizer has.
    pub eos_token_id: u32,
}

impl Default for ClipTextConfig {
    fn default() -> Self {
        ClipTextConfig {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
        }
    }
}

impl ClipTextConfig {
    /// Reads the bytes of a `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when it is no such file, has an activation that is not built, or heads that do not
    /// divide the channels.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let refuse = |reason: String| ModelError::Weights { model: "text encoder".into(), reason };
        let config: ClipTextConfig =
            serde_json::from_slice(json).map_err(|e| refuse(format!("its config.json: {e}")))?;
        let (channels, heads) = (config.hidden_size, config.num_attention_heads);
        if heads == 0 || !channels.is_multiple_of(heads) {
            return Err(refuse(format!(
                "its config.json: {channels} channels do not divide into {heads} heads"
            )));
        }
        Ok(config)
    }
}

/// The activations that CLIP's releases use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x·sigmoid(1.702·x): OpenAI's CLIP, the encoder of SD 1.
    QuickGelu,
    /// The exact GELU: OpenCLIP, the encoders of SD 2 and SDXL's second.
    Gelu,
}

impl Activation {
    pub(super) fn apply(self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            // As SiLU, which is one operation with a backward.
            Activation::QuickGelu => (x * 1.702)?.silu()? / 1.702,
            Activation::Gelu => x.gelu_erf(),
        }
    }
}
