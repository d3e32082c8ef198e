//! What is known of a release beside its tensors' shapes: everything else is read from those.

use super::error::PocketError;
use super::file::{Tensors, refuse};
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// Under this key of its metadata a file of no release says its traits itself, as JSON.
const TRAITS: &str = "spinbot.pocket.traits";
/// The largest of such traits.
const MOST: usize = 4096;

/// What a head without time conditions makes of its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OneStep {
    /// The output is the latent (a drifting model).
    Drifting,
    /// The noise plus the output is the latent (pointwise distillation).
    Pointwise,
}

/// The traits that no shape tells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PocketTraits {
    /// Width of one head of the language model's attention.
    pub head: usize,
    /// Width of one head in Mimi's encoder.
    pub encoder_head: usize,
    /// Width of one head in Mimi's decoder.
    pub decoder_head: usize,
    /// Positions that attention sees in Mimi's encoder, itself included.
    pub encoder_context: usize,
    /// Positions that attention sees in Mimi's decoder, itself included.
    pub decoder_context: usize,
    /// What a head without time conditions computes. Heads with time conditions do not ask.
    pub one_step: OneStep,
    /// Speech ends once the end's logit is above this.
    pub eos_threshold: f32,
    /// Whether its training texts had no dashes, so that a comma stands for each.
    pub dashes_as_commas: bool,
}

/// The releases of 100 million parameters and more, and the teachers of 24 layers.
const LARGE: PocketTraits = PocketTraits {
    head: 64,
    encoder_head: 64,
    decoder_head: 64,
    encoder_context: 250,
    decoder_context: 250,
    one_step: OneStep::Drifting,
    eos_threshold: -4.0,
    dashes_as_commas: false,
};
/// The releases of 7 and 18 million parameters.
const SMALL: PocketTraits = PocketTraits {
    decoder_head: 32,
    decoder_context: 50,
    eos_threshold: -1.0,
    dashes_as_commas: true,
    ..LARGE
};
/// The release of 2 million parameters.
const TINY: PocketTraits = PocketTraits { one_step: OneStep::Pointwise, ..SMALL };

impl PocketTraits {
    /// The traits that the file says itself, or those of the release that has these widths (configurations of the PyPI
    /// package pocket-tts 4.0.1).
    pub(super) fn recognise(file: &Tensors<'_>) -> Result<PocketTraits> {
        if let Some(json) = file.metadata(TRAITS) {
            let traits: PocketTraits = serde_json::from_str(json)
                .map_err(|e| refuse(format!("its `{TRAITS}` cannot be read: {e}")))?;
            let PocketTraits { head, encoder_head, decoder_head, encoder_context, decoder_context, .. } =
                traits;
            let sizes = [head, encoder_head, decoder_head, encoder_context, decoder_context];
            return match sizes.iter().all(|size| (1..=MOST).contains(size)) {
                true => Ok(traits),
                false => Err(refuse(format!("its `{TRAITS}` go beyond 1 to {MOST}"))),
            };
        }
        let [_, model] = file.dims::<2>("flow_lm.transformer.layers.0.self_attn.in_proj.weight")?;
        let [_, decoder] =
            file.dims::<2>("mimi.decoder_transformer.transformer.layers.0.self_attn.in_proj.weight")?;
        match (model, decoder) {
            (1024, 512) => Ok(LARGE),
            (512 | 224, 128) => Ok(SMALL),
            (112, 128) => Ok(TINY),
            _ => {
                let widths = format!("its language model is {model} wide, its decoder {decoder}");
                Err(PocketError::UnknownRelease { widths }.into())
            }
        }
    }
}
