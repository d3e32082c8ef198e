//! How high a speaker speaks and how much the melody moves: taken from a recording, given to a synthesis.

use crate::listen::PitchRange;
use serde::{Deserialize, Serialize};

/// F0 below this is no voice, in Hz; Kokoro writes up to 10 where there is none.
const VOICED: f32 = 50.0;
/// Voiced values a mean is believed of.
const FEWEST: usize = 5;
/// How much a melody may be flattened or stretched.
const STRETCH: (f32, f32) = (0.6, 1.3);

/// Mean and standard deviation of the natural logarithm of F0 in Hz.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pitch {
    /// Mean of ln Hz: 4.8 is 121 Hz.
    pub mean: f32,
    /// Standard deviation of ln Hz: 0.2 is 3.5 semitones.
    pub spread: f32,
}

impl From<PitchRange> for Pitch {
    fn from(range: PitchRange) -> Self {
        Pitch { mean: range.mean_log, spread: range.sd_log }
    }
}

impl Pitch {
    /// Of F0 values in Hz; nothing when hardly any is voiced.
    pub fn of(f0: &[f32]) -> Option<Pitch> {
        let voiced: Vec<f32> = f0.iter().filter(|hertz| **hertz > VOICED).map(|hertz| hertz.ln()).collect();
        if voiced.len() < FEWEST {
            return None;
        }
        let count = voiced.len() as f32;
        let mean = voiced.iter().sum::<f32>() / count;
        let spread = (voiced.iter().map(|l| (l - mean).powi(2)).sum::<f32>() / count).sqrt();
        Some(Pitch { mean, spread })
    }

    /// Moves a melody to this pitch: its own mean becomes ours and its spread goes towards ours, by 0.6 to 1.3
    /// at most. Unvoiced values stay.
    pub fn lay_over(&self, f0: &mut [f32]) {
        let Some(own) = Pitch::of(f0) else { return };
        let stretch = (self.spread / own.spread.max(1e-3)).clamp(STRETCH.0, STRETCH.1);
        for hertz in f0.iter_mut().filter(|hertz| **hertz > VOICED) {
            *hertz = ((hertz.ln() - own.mean) * stretch + self.mean).exp();
        }
    }

    /// The mean in Hz.
    pub fn hertz(&self) -> f32 {
        self.mean.exp()
    }

    /// The spread in semitones.
    pub fn semitones(&self) -> f32 {
        self.spread * 12.0 / std::f32::consts::LN_2
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_melody_keeps_its_shape_at_another_height() {
        let high: Vec<f32> = (0..100).map(|n| 220.0 + 30.0 * (n as f32 / 9.0).sin()).collect();
        let low: Vec<f32> = (0..100).map(|n| 110.0 + 15.0 * (n as f32 / 5.0).cos()).collect();
        let target = Pitch::of(&low).unwrap();
        let mut moved = high.clone();
        moved[40] = 3.0;
        target.lay_over(&mut moved);
        let got = Pitch::of(&moved).unwrap();
        assert!((got.mean - target.mean).abs() < 1e-3, "{got:?} for {target:?}");
        assert!((got.spread - target.spread).abs() < 0.02, "{got:?} for {target:?}");
        assert_eq!(moved[40], 3.0, "silence stays silent");
        let rises = |f0: &[f32], n: usize| f0[n + 1] > f0[n];
        assert!((50..98).all(|n| rises(&moved, n) == rises(&high, n)));
        assert!((110.0..112.0).contains(&target.hertz()) && target.semitones() > 1.0);
    }

    #[test]
    fn what_has_no_voice_is_left_alone() {
        assert_eq!(Pitch::of(&[0.0, 9.0, 120.0]), None);
        let mut silence = vec![2.0; 50];
        Pitch { mean: 5.0, spread: 0.2 }.lay_over(&mut silence);
        assert_eq!(silence, vec![2.0; 50]);
    }
}
