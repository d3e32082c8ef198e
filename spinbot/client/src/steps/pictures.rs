//! The steps of pictures: what is learned from, learned, drawn, and what it is worth.

use super::StepParams;
use crate::pictures::{Captions, Crop};
use crate::{Fault, Result};
use serde::{Deserialize, Serialize};

/// Teaches a model what some pictures show: adapters (LoRA) beside its layers, and, where asked, a word of its own.
///
/// Inputs `pictures` of `read_pictures` and `model`. Outputs `lora` (safetensors, diffusers' names, kohya's `ss_*`
/// metadata), `report` (JSON, [`crate::training::TrainReport`]), `grid` (PNG: a row for each preview prompt, before and
/// after), `identity` (JSON, [`crate::scores::Identity`]: of whom the pictures are). Metrics by step: `loss` (smoothed),
/// `validation`; of the previews with the trigger word `identity` and `adherence`, and `identity_without` of those that
/// lack it. Previews, each in the place of the one before: `curve`
/// (PNG plot of both), `grid` (PNG, a column for each time of looking).
///
/// What is trained is kept every [`save_every`](Self::save_every) steps and when it is stopped: the same step, run again,
/// goes on there, and ends bit for bit as if it had never stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainLora {
    /// What the LoRA says it is called.
    pub name: String,
    /// Optimiser steps, 1..=100,000.
    pub steps: u32,
    /// Rank of the adapters, 1..=256.
    pub rank: u32,
    /// What they count by, times the rank, above 0; as the rank when it is nothing.
    pub alpha: Option<f64>,
    /// Which layers get adapters; all for the embedded model and attention for others when it is nothing.
    pub targets: Option<LoraTargets>,
    /// Adapters in the text encoder too.
    pub text_encoder: bool,
    /// Embeddings that the trigger word is taught, 0..=8. They are in the file, but programs other than SpinBot and
    /// A1111 ignore them. 1 for the embedded model and 0 for others when it is nothing.
    pub trigger_vectors: Option<u32>,
    /// What the trigger word is one of (`person`): where its embeddings begin, and what stands in its place in the
    /// prompts of the prior.
    pub class: String,
    /// The rate at the end of the warm-up, above 0; 3e-3 for the embedded model, 1e-4 for others when it is nothing.
    pub lr: Option<f64>,
    /// That of the text encoder; a quarter of `lr` when it is nothing.
    pub text_lr: Option<f64>,
    /// Steps in which the rate rises.
    pub warm_up: u32,
    /// What the rate does then.
    pub schedule: LrSchedule,
    /// Pictures of a step, 1..=64; 8 for the embedded model, 1 for others when it is nothing.
    pub batch: Option<u32>,
    /// Batches of a step, 1..=64: their gradients are averaged.
    pub accumulate: u32,
    /// The gradient's largest norm; no bound when it is nothing.
    pub clip_norm: Option<f64>,
    /// Gamma of min-SNR weighting; all noise levels count alike when it is nothing.
    pub min_snr_gamma: Option<f64>,
    /// How much of the noise is the same for a whole channel, 0..=1.
    pub noise_offset: f64,
    /// Share of captions that are left out, 0..=1; where the model has pictures of its own (`prior_share`), of theirs only.
    pub caption_dropout: f64,
    /// Share of what adapters see that is dropped, 0..=0.9.
    pub dropout: f64,
    /// Share of the pictures of a batch that the model drew itself before it was taught, 0..=0.9: they keep it from
    /// forgetting what else it knows.
    pub prior_share: f64,
    /// How many of those there are, 1..=200.
    pub prior_pictures: u32,
    /// Decay of the running mean of weights that is taken in their place; none when it is nothing.
    pub ema: Option<f64>,
    /// Prompts of the previews and the grid, `{}` for the trigger word, at most 8; made of the captions when there are
    /// none.
    pub prompts: Vec<String>,
    /// Steps between previews; 0 for before and after only.
    pub preview_every: u32,
    /// Steps between measurements on pictures that are held out, or, where none are, on those that are learned; 0 for
    /// the end only.
    pub validate_every: u32,
    /// Steps of training that may be lost, at least 1.
    pub save_every: u32,
    /// Where it is computed: `auto`, `cpu`, `cuda`, `cuda:N` or `metal`.
    pub device: String,
    /// In what the network computes; what suits the device when it is nothing.
    pub precision: Option<Precision>,
    /// Run the network twice instead of keeping what it computed: a quarter to a half of the memory.
    pub gradient_checkpointing: bool,
}

impl Default for TrainLora {
    /// What makes a character of six pictures recognisable with the embedded model in about a minute on two cores.
    fn default() -> Self {
        TrainLora {
            name: "lora".into(),
            steps: 250,
            rank: 8,
            alpha: None,
            targets: None,
            text_encoder: true,
            trigger_vectors: None,
            class: "person".into(),
            lr: None,
            text_lr: None,
            warm_up: 10,
            schedule: LrSchedule::Cosine,
            batch: None,
            accumulate: 1,
            clip_norm: Some(1.0),
            min_snr_gamma: None,
            noise_offset: 0.0,
            caption_dropout: 0.1,
            dropout: 0.0,
            prior_share: 0.4,
            prior_pictures: 16,
            ema: None,
            prompts: Vec::new(),
            preview_every: 100,
            validate_every: 50,
            save_every: 50,
            device: AUTO.into(),
            precision: None,
            gradient_checkpointing: false,
        }
    }
}

/// Which layers of the UNet get adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraTargets {
    /// The four projections of every attention.
    #[default]
    Attention,
    /// Those and all other linear layers of the transformers.
    AttentionMlp,
    /// Those and the convolutions of the residual blocks.
    All,
}

impl LoraTargets {
    /// By name.
    pub const NAMES: &'static [&'static str] = &["attention", "attention+mlp", "all"];
}

impl std::str::FromStr for LoraTargets {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "attention" => Ok(LoraTargets::Attention),
            "attention+mlp" => Ok(LoraTargets::AttentionMlp),
            "all" => Ok(LoraTargets::All),
            other => {
                Err(Fault::not_among(format!("`{other}` names no layers"), LoraTargets::NAMES, "targets"))
            }
        }
    }
}

/// What the learning rate does after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedule {
    /// It stays.
    Constant,
    /// It falls to nothing along half a cosine.
    Cosine,
}

impl LrSchedule {
    /// By name.
    pub const NAMES: &'static [&'static str] = &["cosine", "constant"];
}

impl std::str::FromStr for LrSchedule {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cosine" => Ok(LrSchedule::Cosine),
            "constant" => Ok(LrSchedule::Constant),
            other => Err(Fault::not_among(
                format!("`{other}` is no course of a learning rate"),
                LrSchedule::NAMES,
                "schedule",
            )),
        }
    }
}

/// The device that is the fastest one there is.
pub const AUTO: &str = "auto";

/// In what a network computes; adapters and optimiser are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single.
    F32,
    /// The upper half of it: for devices that have it.
    Bf16,
    /// Half: for devices that have it.
    F16,
}

impl Precision {
    /// By name.
    pub const NAMES: &'static [&'static str] = &["f32", "bf16", "f16"];
}

impl std::str::FromStr for Precision {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Precision::F32),
            "bf16" => Ok(Precision::Bf16),
            "f16" => Ok(Precision::F16),
            other => Err(Fault::not_among(
                format!("`{other}` is nothing a network computes in"),
                Precision::NAMES,
                "precision",
            )),
        }
    }
}

impl StepParams for TrainLora {
    const KIND: &'static str = "train_lora";
    const VERSION: u32 = 2;
    const INPUTS: &'static [&'static str] = &["pictures", "model"];
    const OUTPUTS: &'static [&'static str] = &["lora", "report", "grid", "identity"];
}

/// Reads pictures to learn from: oriented by EXIF, each cropped and scaled to its aspect bucket, with its caption.
/// What cannot be read is left out as long as something is left.
///
/// Inputs `picture1`, ...; `caption1`, ... (text), each of the picture of its number; `model`, which is to learn them,
/// where the resolution is to be its own. Outputs `pictures` (safetensors: `picture.0`, ... U8 `[height, width, 3]`, RGB;
/// under `spinbot.pictures` in its metadata what `report` says), `sheet` (PNG contact sheet with the captions), `report`
/// (JSON, [`crate::pictures::PicturesRead`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadPictures {
    /// Side in pixels of the square whose area each picture has, 64..=2048; the model's own when it is nothing.
    pub resolution: Option<u32>,
    /// How much of each picture is taken.
    pub crop: Crop,
    /// Where captions come from.
    pub captions: Captions,
    /// The word that stands for what is learned: in place of `{}` in a caption, else before one that has it not.
    pub trigger: String,
    /// Learn from the mirror images too.
    pub flip: bool,
    /// Keep one picture back to measure on where there are five or more, and one more for every twenty, up to four.
    pub hold_out: bool,
    /// Files that hold nothing: named with what else was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty: Vec<String>,
}

impl StepParams for ReadPictures {
    const KIND: &'static str = "read_pictures";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["picture+", "caption*", "model?"];
    const OUTPUTS: &'static [&'static str] = &["pictures", "sheet", "report"];
}

/// Draws one picture, so that each seed of several is kept alone.
///
/// Inputs `model` (a diffusers folder or a single file of Stable Diffusion's kind), `lora1`, ... (files), `image` to begin
/// from, `mask` of it (light is redrawn). The step's seed is the picture's. Output `picture` (PNG, with what it was made
/// of in its text chunks `spinbot.plan`, as JSON, and `parameters`, as the webui writes it). Previews: `seed N`, a small
/// picture of what is foreseen, then of the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// What it shows, in the webui's syntax: `(word:1.3)`, `[word]`, `BREAK`; the input `stage` (text), where there is one, is
    /// put after it.
    pub prompt: String,
    /// What it must not show.
    pub negative: Option<String>,
    /// Steps of the sampling method, 1..=200.
    pub steps: u32,
    /// Weight of the prompt against the negative one, 1..=30; 1 is without guidance.
    pub cfg: f64,
    /// How far guided predictions are brought back to the deviation of unguided ones, 0..=1.
    pub rescale: f64,
    /// The sampling method, one of [`crate::draw::Sampler`]; the model's own when it is nothing.
    pub sampler: Option<crate::draw::Sampler>,
    /// Width and height in pixels; the size the model was trained on, or that of `image`, when it is nothing.
    pub size: Option<(u32, u32)>,
    /// How much of `image` may change, 0..=1.
    pub strength: f64,
    /// The weight of each LoRA, in their order.
    pub weights: Vec<f64>,
    /// Layers of the text encoder left out at the end, 0..=11.
    pub clip_skip: u32,
    /// Where it is computed: `auto`, `cpu`, `cuda`, `cuda:N` or `metal`.
    pub device: String,
    /// In what the networks compute; what suits the device when it is nothing.
    pub precision: Option<Precision>,
}

impl StepParams for Draw {
    const KIND: &'static str = "draw";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["model", "lora*", "image?", "mask?", "stage?"];
    const OUTPUTS: &'static [&'static str] = &["picture"];
}

/// Lays pictures out as a grid with a label over each.
///
/// Inputs `picture1`, ... Output `grid` (JPEG, less than 1.4 MB).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArrangePictures {
    /// What stands over the whole.
    pub title: String,
    /// What stands over each picture.
    pub labels: Vec<String>,
}

impl StepParams for ArrangePictures {
    const KIND: &'static str = "arrange_pictures";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["picture+"];
    const OUTPUTS: &'static [&'static str] = &["grid"];
}

/// Scores pictures that were drawn: whether they are of whom they should be, show what was asked, and differ.
///
/// Inputs `picture1`, ..., and `identity` of [`TrainLora`] of whom they should be. Output `report` (JSON,
/// [`crate::scores::Scores`]). Metrics, each once: `identity`, `adherence`, `diversity`, as far as they can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScorePictures {
    /// What they were to show.
    pub prompt: String,
}

impl StepParams for ScorePictures {
    const KIND: &'static str = "score_pictures";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["picture+", "identity?"];
    const OUTPUTS: &'static [&'static str] = &["report"];
}

/// Writes a LoRA under other names.
///
/// Inputs `lora`, and the `model` it was made for, whose layers give the names. Output `lora` (safetensors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConvertLora {
    /// Whose names.
    pub format: crate::loras::LoraFormat,
}

impl StepParams for ConvertLora {
    const KIND: &'static str = "convert_lora";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["lora", "model"];
    const OUTPUTS: &'static [&'static str] = &["lora"];
}
