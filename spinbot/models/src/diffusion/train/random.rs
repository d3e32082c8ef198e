//! Random numbers by seed, purpose and place: nothing is carried from step to step.

use crate::error::{ModelError, Result};
use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// What numbers are for: each purpose has a sequence of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Order = 1,
    Prior,
    Captions,
    Timesteps,
    Noise,
    Offset,
    Validation,
    Dropout,
}

/// The numbers of a purpose at a place, below 2^48.
pub(super) fn random(seed: u64, purpose: Purpose, place: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(((purpose as u64) << 48) | place);
    random
}

/// Normal noise of that shape.
pub(super) fn normal(mut random: ChaCha8Rng, shape: &[usize], device: &Device) -> Result<Tensor> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| StandardNormal.sample(&mut random)).collect();
    Tensor::from_vec(values, shape, device).map_err(ModelError::tensor("drawing noise"))
}

/// A timestep for each of `count` samples: each in another of as many equal parts of the schedule, in any order, so
/// that every batch sees the noisy and the clean end and each sample any timestep alike.
pub(super) fn timesteps(mut random: ChaCha8Rng, count: usize, schedule: usize) -> Vec<usize> {
    let mut parts: Vec<usize> = (0..count).collect();
    parts.shuffle(&mut random);
    let within = |part: usize, share: f64| ((part as f64 + share) * schedule as f64 / count as f64) as usize;
    parts.into_iter().map(|part| within(part, random.random()).min(schedule - 1)).collect()
}
