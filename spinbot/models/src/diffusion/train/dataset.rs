//! What is learned from: latents and captions in memory, in batches of one size each.

use super::config::TrainConfig;
use super::random::{Purpose, random};
use crate::diffusion::pipeline::{Pipeline, Rgb8, from_rgb8};
use crate::error::{ModelError, Result};
use candle_core::Tensor;
use rand::Rng;
use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A picture to learn from. Its edges are multiples of [`Pipeline::multiple`]; a mirror image is a picture of its own.
#[derive(Debug, Clone)]
pub struct Example {
    /// The picture.
    pub picture: Rgb8,
    /// What it shows, the trigger among it.
    pub caption: String,
    /// Whether it is kept to measure on.
    pub held_out: bool,
}

/// A picture's latents, `[1, c, h, w]`, and its caption.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) latents: Tensor,
    pub(super) caption: String,
}

/// Pictures of one size.
#[derive(Debug, Clone, Default)]
pub(super) struct Bucket {
    pub(super) learned: Vec<Item>,
    /// The model's own.
    pub(super) prior: Vec<Item>,
}

/// The pictures by size of their latents, and those that are measured on.
#[derive(Debug, Clone)]
pub(super) struct Dataset {
    pub(super) buckets: BTreeMap<(usize, usize), Bucket>,
    pub(super) measured: Vec<Item>,
    pub(super) held_out: bool,
    /// SHA-256 of pictures and captions, hex.
    pub(super) fingerprint: String,
}

impl Dataset {
    /// Encodes pictures; the means of their distributions are what is learned from.
    pub(super) fn encode(pipeline: &Pipeline, examples: &[Example]) -> Result<Dataset> {
        if examples.iter().all(|example| example.held_out) {
            return Err(ModelError::Training {
                reason: "there is no picture to learn from".into(),
                advice: "give one picture at least that is not held out".into(),
            });
        }
        let device = crate::Device(pipeline.device().clone());
        let mut hash = Sha256::new();
        let (mut buckets, mut held): (BTreeMap<_, Bucket>, _) = (BTreeMap::new(), Vec::new());
        for Example { picture, caption, held_out } in examples {
            hash.update(format!("{} {} {held_out} {caption}\n", picture.width, picture.height));
            hash.update(&picture.pixels);
            let latents = pipeline.vae().encode(&from_rgb8(picture, &device)?)?.mean;
            let item = Item { latents: latents.detach(), caption: caption.clone() };
            let (_, _, h, w) = item.latents.dims4().map_err(ModelError::tensor("encoding a picture"))?;
            match held_out {
                true => held.push(item),
                false => buckets.entry((h, w)).or_default().learned.push(item),
            }
        }
        let held_out = !held.is_empty();
        let learned = || buckets.values().flat_map(|bucket| &bucket.learned);
        // A few of them say enough, and each costs as much as a step.
        let measured = if held_out { held } else { learned().take(4).cloned().collect() };
        let fingerprint = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Dataset { buckets, measured, held_out, fingerprint })
    }

    /// Every caption that can come.
    pub(super) fn captions(&self) -> impl Iterator<Item = &str> {
        let items = self.buckets.values().flat_map(|bucket| bucket.learned.iter().chain(&bucket.prior));
        items.chain(&self.measured).map(|item| item.caption.as_str()).chain([""])
    }

    /// How many pictures are learned from.
    pub(super) fn learned(&self) -> usize {
        self.buckets.values().map(|bucket| bucket.learned.len()).sum()
    }

    /// The items of that batch, counted from the beginning of training. In an epoch each picture has its turn, those of
    /// a bucket that does not fill its last batch some a second one.
    pub(super) fn batch(&self, config: &TrainConfig, number: u64) -> Vec<Item> {
        let batches = |bucket: &Bucket| bucket.learned.len().div_ceil(config.batch);
        let epoch: u64 = self.buckets.values().map(|bucket| batches(bucket) as u64).sum();
        let mut order = random(config.seed, Purpose::Order, number / epoch);
        let mut turns = Vec::new();
        for bucket in self.buckets.values() {
            let mut items: Vec<&Item> = Vec::new();
            while items.len() < batches(bucket) * config.batch {
                let mut all: Vec<&Item> = bucket.learned.iter().collect();
                all.shuffle(&mut order);
                items.extend(all);
            }
            let whole = items.chunks_exact(config.batch).take(batches(bucket));
            turns.extend(whole.map(|items| (bucket, items.to_vec())));
        }
        turns.shuffle(&mut order);
        let (bucket, items) = turns.swap_remove((number % epoch) as usize);
        let mut chance = random(config.seed, Purpose::Prior, number);
        let mut left_out = random(config.seed, Purpose::Captions, number);
        let prior_only = !bucket.prior.is_empty() && config.prior_share > 0.0;
        let choose = |(place, item): (usize, &Item)| {
            // The first is always one of the subject's: a step without any would only forget.
            let prior = prior_only && chance.random::<f64>() < config.prior_share && place > 0;
            let mut item = match prior {
                true => bucket.prior[chance.random_range(0..bucket.prior.len())].clone(),
                false => item.clone(),
            };
            let droppable = prior || !prior_only;
            if left_out.random::<f64>() < config.caption_dropout && droppable {
                item.caption.clear();
            }
            item
        };
        items.into_iter().enumerate().map(choose).collect()
    }
}
