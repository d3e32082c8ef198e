//! The excitation of the voice: nine harmonics of the pitch and noise, mixed to one signal (NSF; Wang et al. 2019).
//!
//! No gradient flows through it, so it is computed in plain loops, on the CPU.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Harmonics, the fundamental among them.
pub(super) const HARMONICS: usize = 9;
/// Samples per second.
const RATE: f64 = 24_000.0;
/// Samples per value of the pitch.
pub(super) const HOP: usize = 300;
/// Amplitude of a harmonic.
const AMPLITUDE: f64 = 0.1;
/// Pitch below which a step is unvoiced, in Hz.
const VOICED: f32 = 10.0;
/// Spread of the noise beside the harmonics.
const NOISE_VOICED: f64 = 0.003;
/// Spread of the noise in their place.
const NOISE_UNVOICED: f64 = AMPLITUDE / 3.0;

/// Mixes the harmonics to one signal.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) weights: [f32; HARMONICS],
    pub(super) bias: f32,
}

impl Source {
    /// The signal to that pitch in Hz, [`HOP`] samples to each value; with noise from that seed, or none.
    pub(super) fn excite(&self, f0: &[f32], seed: Option<u64>) -> Vec<f32> {
        let mut signal = vec![f64::from(self.bias); f0.len() * HOP];
        for (harmonic, weight) in (1_u8..).zip(self.weights) {
            add_harmonic(&mut signal, f0, f64::from(harmonic), f64::from(weight) * AMPLITUDE);
        }
        if let Some(seed) = seed {
            // One noise per harmonic goes through the mix: their sum has the spread of the weights' norm.
            let norm = self.weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt();
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            for (samples, f0) in signal.chunks_exact_mut(HOP).zip(f0) {
                let spread = norm * if *f0 > VOICED { NOISE_VOICED } else { NOISE_UNVOICED };
                for sample in samples {
                    let normal: f64 = StandardNormal.sample(&mut random);
                    *sample += spread * normal;
                }
            }
        }
        signal.into_iter().map(|sample| sample.tanh() as f32).collect()
    }
}

/// Adds a harmonic where the pitch is voiced. Its phase, in turns, is the running sum of the steps' frequencies,
/// reached in the middle of each step and linear between; held before the first middle and after the last. Only
/// its fraction is kept, in f64: the sum itself reaches tens of thousands of radians.
fn add_harmonic(signal: &mut [f64], f0: &[f32], harmonic: f64, weight: f64) {
    // The reference takes the frequency modulo 1 turn per sample before it sums.
    let turns: Vec<f64> =
        f0.iter().map(|f0| (f64::from(*f0) * harmonic / RATE).rem_euclid(1.0) * HOP as f64).collect();
    let mut reached = 0.0_f64;
    let phases: Vec<f64> = turns
        .iter()
        .map(|turns| {
            reached = (reached + turns).fract();
            reached
        })
        .collect();
    for (step, (samples, f0)) in signal.chunks_exact_mut(HOP).zip(f0).enumerate() {
        if *f0 <= VOICED {
            continue;
        }
        for (n, sample) in samples.iter_mut().enumerate() {
            let place = (n as f64 + 0.5) / HOP as f64 - 0.5;
            let phase = if place < 0.0 {
                phases[step] + if step > 0 { place * turns[step] } else { 0.0 }
            } else {
                phases[step] + turns.get(step + 1).map_or(0.0, |turns| place * turns)
            };
            *sample += weight * (phase.fract() * std::f64::consts::TAU).sin();
        }
    }
}
