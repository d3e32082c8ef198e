//! CLIP's text transformer (Radford et al. 2021), with a projection (SDXL's second encoder) or without.
//!
//! Token ids go in, states come out; prompts and weights of words are not known here.

use super::config::{Activation, ClipTextConfig};
use crate::diffusion::adapters::{Adapters, Site};
use crate::diffusion::layers::{Attend, LayerNorm, Linear, Weights};
use crate::error::{ModelError, Result};
use crate::ops::OpSet;
use candle_core::Tensor;
use candle_nn::VarBuilder;

/// Which states a diffusion model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HiddenState {
    /// Layers left out at the end: clip skip (0 for none) for SD 1 and 2, 1 + clip skip for SDXL.
    pub skip: usize,
    /// Whether the final layer normalisation follows: it does for SD 1 and 2, and does not for SDXL.
    pub normalised: bool,
}

/// What a text encoder gives.
#[derive(Debug, Clone)]
pub struct TextStates {
    /// `[batch, tokens, channels]`.
    pub hidden: Tensor,
    /// `[batch, projection]` of the end's last state, from encoders with a projection.
    pub pooled: Option<Tensor>,
}

/// The encoder.
pub struct ClipText {
    config: ClipTextConfig,
    token_embedding: Tensor,
    position_embedding: Tensor,
    layers: Vec<Layer>,
    final_layer_norm: LayerNorm,
    projection: Option<Linear>,
    sites: Vec<Site>,
}

struct Layer {
    layer_norm1: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    attend: Attend,
    layer_norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
}

impl Layer {
    fn load(config: &ClipTextConfig, weights: &Weights) -> candle_core::Result<Self> {
        let (channels, inner) = (config.hidden_size, config.intermediate_size);
        let attention = weights.pp("self_attn");
        let projection = |name| Linear::load(&attention.pp(name), channels, channels, true);
        let norm = |name| LayerNorm::load(&weights.pp(name), channels, config.layer_norm_eps);
        let attend = Attend::new(config.num_attention_heads, weights.op_set());
        Ok(Layer {
            layer_norm1: norm("layer_norm1")?,
            q: projection("q_proj")?,
            k: projection("k_proj")?,
            v: projection("v_proj")?,
            out: projection("out_proj")?,
            attend: Attend { causal: true, upcast: true, ..attend },
            layer_norm2: norm("layer_norm2")?,
            fc1: Linear::load(&weights.pp("mlp.fc1"), channels, inner, true)?,
            fc2: Linear::load(&weights.pp("mlp.fc2"), inner, channels, true)?,
            activation: config.hidden_act,
        })
    }

    fn forward(&self, x: &Tensor, adapters: &Adapters) -> candle_core::Result<Tensor> {
        let y = self.layer_norm1.forward(x)?;
        let project = |linear: &Linear| linear.forward(&y, adapters);
        let y = self.attend.forward(&project(&self.q)?, &project(&self.k)?, &project(&self.v)?)?;
        let x = (x + self.out.forward(&y, adapters)?)?;
        let y = self.fc1.forward(&self.layer_norm2.forward(&x)?, adapters)?;
        &x + self.fc2.forward(&self.activation.apply(&y)?, adapters)?
    }
}

impl ClipText {
    /// Loads the encoder of that component (`text_encoder`, `text_encoder_2`). Names may begin with `text_model.`, as
    /// they always did, or not, as transformers 5 writes them; adapter sites do. There is a projection if the weights
    /// have one. In f16 and bf16, normalisation and attention scores are computed in f32.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when a tensor is missing or has another shape.
    pub fn load(config: &ClipTextConfig, component: &str, vb: VarBuilder, set: OpSet) -> Result<Self> {
        let vb = match (vb.contains_tensor("text_model.final_layer_norm.weight"), vb.prefix()) {
            (true, _) => vb,
            (false, prefix) => {
                // A renamed builder puts its own prefix before that of the one below.
                let renamed = vb.root().rename_f(|name: &str| name.replacen("text_model.", "", 1));
                if prefix.is_empty() { renamed } else { renamed.pp(prefix) }
            }
        };
        Self::build(config.clone(), &Weights::new(component, vb, set)).map_err(ModelError::weights(component))
    }

    fn build(config: ClipTextConfig, weights: &Weights) -> candle_core::Result<Self> {
        let model = weights.pp("text_model");
        let (channels, embeddings) = (config.hidden_size, model.pp("embeddings"));
        let token_embedding = embeddings.get((config.vocab_size, channels), "token_embedding.weight")?;
        let positions = (config.max_position_embeddings, channels);
        let position_embedding = embeddings.get(positions, "position_embedding.weight")?;
        let layer = |number| Layer::load(&config, &model.pp(format!("encoder.layers.{number}")));
        let layers = (0..config.num_hidden_layers).map(layer).collect::<candle_core::Result<_>>()?;
        let final_layer_norm =
            LayerNorm::load(&model.pp("final_layer_norm"), channels, config.layer_norm_eps)?;
        let projection = match weights.contains("text_projection.weight") {
            true => {
                Some(Linear::load(&weights.pp("text_projection"), channels, config.projection_dim, false)?)
            }
            false => None,
        };
        let sites = weights.sites();
        Ok(ClipText {
            config,
            token_embedding,
            position_embedding,
            layers,
            final_layer_norm,
            projection,
            sites,
        })
    }

    /// Its configuration.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Where adapters can be put: `text_encoder.text_model.encoder.layers.0.self_attn.q_proj` and so on.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Rows of the token table, `[ids, channels]`: what a trigger's embeddings begin as.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when an id has no row.
    pub fn embeddings(&self, ids: &[u32]) -> Result<Tensor> {
        Tensor::new(ids, self.token_embedding.device())
            .and_then(|ids| self.token_embedding.index_select(&ids, 0))
            .map_err(ModelError::tensor("looking up words"))
    }

    /// States of prompts of one length, at most [`ClipTextConfig::max_position_embeddings`]. Ids from `vocab_size` on
    /// are rows of `triggers`, `[n, channels]`, which get their gradient as adapters get theirs.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when lengths differ or are too long, an id has no row, or more layers are skipped than
    /// there are.
    pub fn forward(
        &self,
        ids: &[Vec<u32>],
        state: HiddenState,
        triggers: Option<&Tensor>,
        adapters: &Adapters,
    ) -> Result<TextStates> {
        self.states(ids, state, triggers, adapters).map_err(ModelError::tensor("reading a prompt"))
    }

    fn states(
        &self,
        ids: &[Vec<u32>],
        state: HiddenState,
        triggers: Option<&Tensor>,
        adapters: &Adapters,
    ) -> candle_core::Result<TextStates> {
        let Some(taken) = self.layers.len().checked_sub(state.skip) else {
            candle_core::bail!("{} layers cannot be skipped of {}", state.skip, self.layers.len());
        };
        let mut x = self.embed(ids, triggers)?;
        let mut hidden = x.clone();
        for (number, layer) in self.layers.iter().enumerate() {
            if number == taken && self.projection.is_none() {
                break;
            }
            x = layer.forward(&x, adapters)?;
            if number + 1 == taken {
                hidden = x.clone();
            }
        }
        if state.normalised {
            hidden = self.final_layer_norm.forward(&hidden)?;
        }
        let pooled = match &self.projection {
            Some(projection) => {
                let ends: Vec<Tensor> = (ids.iter().enumerate())
                    .map(|(row, ids)| x.get(row)?.narrow(0, self.end(ids), 1))
                    .collect::<candle_core::Result<_>>()?;
                Some(projection.forward(&self.final_layer_norm.forward(&Tensor::cat(&ends, 0)?)?, adapters)?)
            }
            None => None,
        };
        Ok(TextStates { hidden, pooled })
    }

    /// Where the end stands whose state is pooled.
    fn end(&self, ids: &[u32]) -> usize {
        let known = |id: &&u32| (**id as usize) < self.config.vocab_size;
        let end = match self.config.eos_token_id {
            2 => ids.iter().filter(known).max().copied().unwrap_or(2),
            end => end,
        };
        ids.iter().position(|id| *id == end).unwrap_or(0)
    }

    fn embed(&self, ids: &[Vec<u32>], triggers: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let (device, rows) = (self.token_embedding.device(), self.config.vocab_size as u32);
        let tokens = ids.first().map_or(0, Vec::len);
        if ids.iter().any(|ids| ids.len() != tokens) || tokens > self.config.max_position_embeddings {
            candle_core::bail!("prompts of {tokens} tokens, or of several lengths");
        }
        let all: Vec<u32> = ids.iter().flatten().copied().collect();
        let select = |table: &Tensor, row: &dyn Fn(u32) -> u32| {
            let ids: Vec<u32> = all.iter().map(|&id| row(id)).collect();
            table.index_select(&Tensor::new(ids, device)?, 0)
        };
        let x = match triggers.filter(|_| all.iter().any(|&id| id >= rows)) {
            None => select(&self.token_embedding, &|id| id)?,
            Some(triggers) => {
                let dtype = self.token_embedding.dtype();
                let known = select(&self.token_embedding, &|id| if id < rows { id } else { 0 })?;
                let trained = select(triggers, &|id| id.saturating_sub(rows))?.to_dtype(dtype)?;
                let mask: Vec<f32> = all.iter().map(|&id| f32::from(u8::from(id >= rows))).collect();
                let mask = Tensor::from_vec(mask, (all.len(), 1), device)?.to_dtype(dtype)?;
                (known.broadcast_mul(&(1.0 - &mask)?)? + trained.broadcast_mul(&mask)?)?
            }
        };
        let x = x.reshape((ids.len(), tokens, self.config.hidden_size))?;
        x.broadcast_add(&self.position_embedding.narrow(0, 0, tokens)?)
    }
}
