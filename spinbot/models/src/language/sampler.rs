//! Which token comes next: the likeliest few, drawn from by a seed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How an answer is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits: 0 takes the likeliest always, 1 what the model learned.
    pub temperature: f32,
    /// Only so many of the likeliest tokens count; 0 for all.
    pub top_k: usize,
    /// Of these the fewest that hold this share of the probability (Holtzman et al. 2020).
    pub top_p: f32,
    /// What the logits of tokens among the last 64 are divided by where positive (Keskar et al. 2019); 1 for nothing.
    pub repetition: f32,
    /// Decides every draw.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { temperature: 0.7, top_k: 40, top_p: 0.95, repetition: 1.1, seed: 0 }
    }
}

/// How many of the last tokens are made less likely.
const RECENT: usize = 64;

/// Draws tokens.
pub(super) struct Sampler {
    sampling: Sampling,
    random: ChaCha8Rng,
    written: Vec<u32>,
}

impl Sampler {
    pub(super) fn new(sampling: Sampling) -> Self {
        let random = ChaCha8Rng::seed_from_u64(sampling.seed);
        Sampler { sampling, random, written: Vec::new() }
    }

    /// One of the tokens that `allowed` takes; nothing where it takes none.
    pub(super) fn draw(&mut self, logits: &mut [f32], allowed: impl Fn(u32) -> bool) -> Option<u32> {
        let Sampling { temperature, top_k, top_p, repetition, .. } = self.sampling;
        let recent = self.written.len().saturating_sub(RECENT);
        let mut seen: Vec<u32> = self.written[recent..].to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = if *logit > 0.0 { *logit / repetition } else { *logit * repetition };
            }
        }
        let tokens = (0..).zip(logits.iter().copied());
        let mut likely: Vec<(u32, f32)> =
            tokens.filter(|(token, logit)| logit.is_finite() && allowed(*token)).collect();
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let most = if temperature <= 0.0 { 1 } else { top_k };
        if most > 0 && most < likely.len() {
            likely.select_nth_unstable_by(most - 1, order);
            likely.truncate(most);
        }
        likely.sort_unstable_by(order);
        let (best, rest) = likely.split_first()?;
        let chosen = match rest.is_empty() {
            true => best.0,
            false => {
                let weights: Vec<f32> =
                    likely.iter().map(|(_, logit)| ((logit - best.1) / temperature).exp()).collect();
                let all: f32 = weights.iter().sum();
                let mut kept = 0;
                let mut share = 0.0;
                while kept < weights.len() && share < top_p * all {
                    share += weights[kept];
                    kept += 1;
                }
                let mut left = self.random.random_range(0.0..share.max(f32::MIN_POSITIVE));
                let drawn = weights[..kept].iter().position(|weight| {
                    left -= weight;
                    left < 0.0
                });
                // Rounding may leave a rest behind the last.
                likely[drawn.unwrap_or(kept.max(1) - 1)].0
            }
        };
        self.written.push(chosen);
        Some(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_probabilities_the_limits_and_the_seed() {
        let logits = [2.0_f32, 1.0, 0.0, f32::NAN, -1.0];
        let drawn = |sampling: &Sampling, allowed: fn(u32) -> bool| -> Vec<usize> {
            let mut counts = vec![0; 5];
            for seed in 0..2000 {
                let mut sampler = Sampler::new(Sampling { seed, ..sampling.clone() });
                counts[sampler.draw(&mut logits.clone(), allowed).unwrap() as usize] += 1;
            }
            counts
        };
        let plain = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, repetition: 1.0, seed: 0 };
        let counts = drawn(&plain, |_| true);
        let all: f32 = [2.0_f32, 1.0, 0.0, -1.0].iter().map(|l| l.exp()).sum();
        for (count, logit) in counts.iter().zip(logits) {
            let expected = if logit.is_nan() { 0.0 } else { logit.exp() / all * 2000.0 };
            assert!((*count as f32 - expected).abs() < 80.0, "{counts:?}");
        }
        assert_eq!(drawn(&Sampling { temperature: 0.0, ..plain.clone() }, |_| true)[0], 2000);
        assert_eq!(drawn(&plain, |token| token == 2)[2], 2000);
        let two = drawn(&Sampling { top_k: 2, ..plain.clone() }, |token| token != 0);
        assert!(two[1] > 0 && two[2] > 0 && two[4] == 0, "{two:?}");
        let nucleus = drawn(&Sampling { top_p: 0.7, ..plain.clone() }, |_| true);
        assert!(nucleus[1] > 0 && nucleus[2] == 0, "{nucleus:?}");
        assert_eq!(Sampler::new(plain.clone()).draw(&mut logits.clone(), |_| false), None);
        let mut sampler = Sampler::new(Sampling { temperature: 0.0, repetition: 3.0, ..plain });
        let twice =
            [sampler.draw(&mut logits.clone(), |_| true), sampler.draw(&mut logits.clone(), |_| true)];
        assert_eq!(twice, [Some(0), Some(1)], "what was written becomes less likely");
    }
}
