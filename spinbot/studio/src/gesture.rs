//! What a face does besides speaking: blinks, and a head that is never quite still. Decided by a seed, timed by
//! the pauses and stresses of the speech.

use crate::ease::smoothstep;
use crate::motion::MotionFrame;

/// SplitMix64 (Steele et al. 2014): small, and the same on every machine.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed ^ 0x5069_6e62_6f74_0001)
    }

    /// Uniform in `low..high`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        low + (high - low) * ((z >> 40) as f32 / (1u64 << 24) as f32)
    }
}

/// When blinks start, in seconds: 2 to 5 s apart, drawn to a pause where one is within half a second.
/// `speech` holds 0 (pause) to 1, `rate` values a second.
pub(crate) fn blinks(speech: &[f32], rate: usize, dice: &mut Dice) -> Vec<f32> {
    let end = speech.len() as f32 / rate as f32;
    let mut starts = Vec::new();
    let mut next = dice.between(0.6, 2.2);
    while next < end - 0.2 {
        let near = |offset: i32| next + offset as f32 * 0.05;
        let quietest = (-10..=10)
            .map(near)
            .filter(|t| *t > 0.2 && *t < end - 0.3)
            .map(|t| (t, speech[((t * rate as f32) as usize).min(speech.len() - 1)]))
            .filter(|(_, level)| *level < 0.3)
            .min_by(|a, b| (a.0 - next).abs().total_cmp(&(b.0 - next).abs()));
        let at = quietest.map_or(next, |(t, _)| t);
        starts.push(at);
        next = at + dice.between(2.0, 5.0);
    }
    starts
}

/// How shut the lids are `seconds` after a blink's start: down in 0.08 s, shut for 0.04 s, up in 0.16 s.
pub(crate) fn blink(seconds: f32) -> f32 {
    smoothstep(0.0, 0.08, seconds) - smoothstep(0.12, 0.28, seconds)
}

/// A smooth wander around 0, mostly within -1..=1: slow sines of unrelated periods.
pub(crate) struct Wander([(f32, f32, f32); 4]);

impl Wander {
    /// One whose slowest sine has about `hz`.
    pub(crate) fn new(hz: f32, dice: &mut Dice) -> Self {
        Wander([(1.0, 0.5), (1.73, 0.3), (2.61, 0.2), (4.3, 0.1)].map(|(times, size)| {
            (hz * times * dice.between(0.85, 1.15), size, dice.between(0.0, std::f32::consts::TAU))
        }))
    }

    pub(crate) fn at(&self, seconds: f32) -> f32 {
        self.0
            .iter()
            .map(|(hz, size, phase)| size * (std::f32::consts::TAU * hz * seconds + phase).sin())
            .sum()
    }
}

/// Stresses: times and strengths of the loudest moments, at least 0.5 s apart. `loud` holds 0..=1.
pub(crate) fn stresses(loud: &[f32], rate: usize) -> Vec<(f32, f32)> {
    let reach = rate / 2;
    (0..loud.len())
        .filter(|&i| {
            let around = &loud[i.saturating_sub(reach)..(i + reach + 1).min(loud.len())];
            loud[i] > 0.55 && around.iter().all(|l| *l <= loud[i])
        })
        .map(|i| (i as f32 / rate as f32, loud[i]))
        .collect()
}

/// How the head and brows go with the speech.
pub(crate) struct HeadGesture {
    liveliness: f32,
    turn: Wander,
    nod: Wander,
    tilt: Wander,
    shift: [Wander; 2],
    /// Time and strength of each stress, with how much of it brows and head show.
    accents: Vec<(f32, f32, f32)>,
}

impl HeadGesture {
    /// `accents` are times in seconds and strengths, 0..=1.
    pub(crate) fn new(accents: &[(f32, f32)], liveliness: f32, dice: &mut Dice) -> Self {
        let mut wander = |hz| Wander::new(hz, dice);
        let (turn, nod, tilt) = (wander(0.11), wander(0.16), wander(0.10));
        let shift = [wander(0.09), wander(0.14)];
        let accents = accents
            .iter()
            .map(|&(at, strength)| (at, strength * dice.between(0.0, 1.0), strength * dice.between(0.3, 1.0)))
            .collect();
        HeadGesture { liveliness, turn, nod, tilt, shift, accents }
    }

    /// Brows and head at `at` seconds.
    pub(crate) fn pose(&self, frame: &mut MotionFrame, at: f32) {
        let bump = |centre: f32, seconds: f32| (-0.5 * ((at - centre) / seconds).powi(2)).exp();
        let (mut brow, mut nod) = (0.0_f32, 0.0_f32);
        for &(time, raise, dip) in &self.accents {
            brow = brow.max(raise * bump(time, 0.16));
            nod = nod.max(dip * bump(time + 0.04, 0.13));
        }
        let l = self.liveliness;
        frame.brow = l * (0.9 * brow).clamp(-1.0, 1.0);
        frame.turn = l * (0.75 * self.turn.at(at)).clamp(-1.0, 1.0);
        frame.nod = l * (0.4 * self.nod.at(at) + 0.45 * nod).clamp(-1.0, 1.0);
        frame.tilt = l * 0.028 * self.tilt.at(at);
        frame.shift = [l * 0.05 * self.shift[0].at(at), l * (0.025 * self.shift[1].at(at) + 0.03 * nod)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blinks_keep_their_distance_and_choose_the_pauses() {
        let mut speech = vec![1.0; 6000];
        for pause in (150..6000).step_by(200) {
            speech[pause..pause + 30].fill(0.0);
        }
        let mut dice = Dice::new(7);
        let starts = blinks(&speech, 100, &mut dice);
        assert!((10..30).contains(&starts.len()), "{starts:?}");
        assert!(starts.windows(2).all(|w| w[1] - w[0] > 1.4 && w[1] - w[0] < 5.6), "{starts:?}");
        let in_pauses = starts.iter().filter(|t| speech[(**t * 100.0) as usize] < 0.3).count();
        assert!(in_pauses * 3 > starts.len(), "{in_pauses} of {}", starts.len());
        assert_eq!(starts, blinks(&speech, 100, &mut Dice::new(7)));
        assert_ne!(starts, blinks(&speech, 100, &mut Dice::new(8)));
    }
}
