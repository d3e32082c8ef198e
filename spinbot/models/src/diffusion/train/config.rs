//! How a model is taught.

use crate::diffusion::adapters::{Site, SiteKind};
use crate::error::{ModelError, Result};
use serde::{Deserialize, Serialize};

/// Ends of the paths of layers, by what they are: for [`TrainConfig::targets`].
pub mod targets {
    /// The projections of attention.
    pub const ATTENTION: &[&str] = &["to_q", "to_k", "to_v", "to_out.0"];
    /// The other linear layers of transformers.
    pub const MLP: &[&str] = &["proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"];
    /// The convolutions of residual blocks.
    pub const CONVOLUTIONS: &[&str] = &["conv1", "conv2"];
    /// The projections of the text encoders' attention.
    pub(crate) const TEXT: &[&str] = &["q_proj", "k_proj", "v_proj", "out_proj"];
}

/// What the learning rate does after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls to nothing along half a cosine.
    Cosine,
}

/// All that decides how a model is taught, but for the model and the pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Optimiser steps.
    pub steps: usize,
    /// Rank of the adapters.
    pub rank: usize,
    /// They count by alpha / rank.
    pub alpha: f64,
    /// Ends of the paths of the UNet's layers that get adapters.
    pub targets: Vec<String>,
    /// Whether the text encoders' attention gets adapters too.
    pub text_encoder: bool,
    /// The word that stands for what is learned.
    pub trigger: String,
    /// Embeddings that it is taught; 0 leaves it to the tokens that it has.
    pub trigger_vectors: usize,
    /// What it is one of: where its embeddings begin, and what the model's own pictures show.
    pub class: String,
    /// Rate of the UNet's adapters at the end of the warm-up.
    pub lr: f64,
    /// That of the text encoders'.
    pub text_lr: f64,
    /// That of the trigger's embeddings.
    pub trigger_lr: f64,
    /// Steps in which the rates rise.
    pub warm_up: usize,
    /// What they do then.
    pub schedule: Schedule,
    /// Decay of AdamW's first and second moment.
    pub betas: (f64, f64),
    /// AdamW's weight decay; embeddings have none.
    pub weight_decay: f64,
    /// Pictures of a batch.
    pub batch: usize,
    /// Batches of a step.
    pub accumulate: usize,
    /// The gradients' largest norm, over all that is trained.
    pub clip_norm: Option<f64>,
    /// Gamma of min-SNR weighting (Hang et al. 2023).
    pub min_snr_gamma: Option<f64>,
    /// Deviation of noise that is the same for a whole channel.
    pub noise_offset: f64,
    /// Share of captions that are left out; with pictures of the model's own only of theirs, since an empty caption on
    /// a picture of the subject draws everything to it.
    pub caption_dropout: f64,
    /// Share of what adapters see that is dropped.
    pub dropout: f32,
    /// Chance of each picture of a batch to be one of the model's own.
    pub prior_share: f64,
    /// How many of those there are.
    pub prior_pictures: usize,
    /// With how much guidance they are drawn.
    pub guidance: f64,
    /// Decay of the running mean that is given in place of the weights.
    pub ema: Option<f64>,
    /// Whether the UNet runs twice instead of keeping what it computed.
    pub gradient_checkpointing: bool,
    /// What the loss is multiplied by on its way back: above 1 for f16, whose small gradients vanish else.
    pub loss_scale: f64,
    /// Seed of everything random.
    pub seed: u64,
}

impl TrainConfig {
    /// Attention at rank 8 for so many steps, as one would teach Stable Diffusion.
    pub fn new(steps: usize, trigger: impl Into<String>) -> Self {
        TrainConfig {
            steps,
            rank: 8,
            alpha: 8.0,
            targets: targets::ATTENTION.iter().map(|end| (*end).to_owned()).collect(),
            text_encoder: false,
            trigger: trigger.into(),
            trigger_vectors: 0,
            class: "person".into(),
            lr: 1e-4,
            text_lr: 2.5e-5,
            trigger_lr: 5e-3,
            warm_up: 10,
            schedule: Schedule::Cosine,
            betas: (0.9, 0.999),
            weight_decay: 0.01,
            batch: 1,
            accumulate: 1,
            clip_norm: Some(1.0),
            min_snr_gamma: None,
            noise_offset: 0.0,
            caption_dropout: 0.0,
            dropout: 0.0,
            prior_share: 0.0,
            prior_pictures: 0,
            guidance: 7.5,
            ema: None,
            gradient_checkpointing: false,
            loss_scale: 1.0,
            seed: 0,
        }
    }

    /// Whether every number is in its range.
    pub(super) fn check(&self) -> Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let share = |value: f64| (0.0..1.0).contains(&value);
        let wrong = [
            ("steps", self.steps > 0),
            ("rank", self.rank > 0),
            ("alpha", positive(self.alpha)),
            ("batch", self.batch > 0),
            ("accumulate", self.accumulate > 0),
            ("a rate", [self.lr, self.text_lr, self.trigger_lr].into_iter().all(positive)),
            ("a decay", [self.betas.0, self.betas.1, self.ema.unwrap_or(0.0)].into_iter().all(share)),
            ("weight decay", self.weight_decay.is_finite() && self.weight_decay >= 0.0),
            ("the norm to clip at", self.clip_norm.is_none_or(positive)),
            ("gamma", self.min_snr_gamma.is_none_or(positive)),
            ("the noise offset", self.noise_offset.is_finite()),
            ("caption dropout", (0.0..=1.0).contains(&self.caption_dropout)),
            ("dropout", share(self.dropout.into())),
            ("the prior's share", share(self.prior_share)),
            ("guidance", self.guidance.is_finite()),
            ("the loss scale", positive(self.loss_scale)),
        ];
        match wrong.iter().find(|(_, fine)| !fine) {
            Some((what, _)) => Err(ModelError::Training {
                reason: format!("{what} is out of its range"),
                advice: "see what `TrainConfig` says of it".into(),
            }),
            None => Ok(()),
        }
    }

    /// What all rates are multiplied by at a step, from 0: diffusers' `get_constant_schedule_with_warmup` and
    /// `get_cosine_schedule_with_warmup`, but that the first step of a warm-up moves too.
    pub(super) fn rate(&self, step: usize) -> f64 {
        if step < self.warm_up {
            return (step + 1) as f64 / self.warm_up as f64;
        }
        match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Cosine => {
                let rest = self.steps.saturating_sub(self.warm_up).max(1);
                let gone = (step - self.warm_up) as f64 / rest as f64;
                0.5 * (1.0 + (std::f64::consts::PI * gone.min(1.0)).cos())
            }
        }
    }

    /// The layers among those that get adapters.
    pub(super) fn chosen(&self, sites: &[Site], text: bool) -> Vec<Site> {
        let own: Vec<&str> = self.targets.iter().map(String::as_str).collect();
        let ends = if text { targets::TEXT } else { own.as_slice() };
        let named = |site: &&Site| {
            ends.iter().any(|end| site.path.strip_suffix(end).is_some_and(|rest| rest.ends_with('.')))
        };
        // A convolution's adapter must be smaller than what it stands beside.
        let worth = |site: &&Site| match site.kind {
            SiteKind::Linear => true,
            SiteKind::Conv { .. } => self.rank <= site.inputs.max(site.outputs),
        };
        sites.iter().filter(named).filter(worth).cloned().collect()
    }
}
