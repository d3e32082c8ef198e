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

/// Where the eyes look: at the viewer, whatever the head does, and now and then for a moment beside.
pub(crate) struct Gaze {
    liveliness: f32,
    /// When each fixation begins, in seconds, and where it looks, -1..=1.
    fixations: Vec<(f32, [f32; 2])>,
}

/// How long eyes take from one place to another, in seconds (Carpenter 1988: 20 to 60 ms for small saccades).
const SACCADE: f32 = 0.05;
/// How much of the head's turn and nod the eyes take back to stay on the viewer.
const HELD: f32 = 0.55;

impl Gaze {
    /// `speech` holds 0 (pause) to 1, `rate` values a second: eyes wander more in pauses.
    pub(crate) fn new(speech: &[f32], rate: usize, liveliness: f32, dice: &mut Dice) -> Self {
        let end = speech.len() as f32 / rate as f32;
        let mut fixations = vec![(0.0, [0.0; 2])];
        let mut next = dice.between(0.9, 2.4);
        while next < end {
            let pause = speech[((next * rate as f32) as usize).min(speech.len() - 1)] < 0.3;
            let away = dice.between(0.0, 1.0) < if pause { 0.75 } else { 0.45 };
            let far = if pause { 0.55 } else { 0.28 };
            let place = [dice.between(-far, far), dice.between(-0.6 * far, 0.5 * far)];
            fixations.push((next, if away { place } else { [0.0; 2] }));
            next += if away { dice.between(0.35, 0.9) } else { dice.between(0.9, 2.8) };
        }
        Gaze { liveliness, fixations }
    }

    /// At `at` seconds, with the head as `frame` has it.
    pub(crate) fn at(&self, at: f32, frame: &MotionFrame) -> [f32; 2] {
        let last = self.fixations.partition_point(|(start, _)| *start <= at).saturating_sub(1);
        let (start, to) = self.fixations[last];
        let from = self.fixations[last.saturating_sub(1)].1;
        let there = smoothstep(0.0, SACCADE, at - start);
        let head = [frame.turn, frame.nod];
        std::array::from_fn(|k| {
            let looked = self.liveliness * (from[k] + (to[k] - from[k]) * there);
            (looked - HELD * head[k]).clamp(-1.0, 1.0)
        })
    }
}

/// Breathing: in within pauses where there are any, slowly out while speaking.
pub(crate) struct Breath {
    liveliness: f32,
    /// When each breath is drawn in, in seconds.
    starts: Vec<f32>,
}

/// How long a breath takes to be drawn, in seconds (Winkworth et al. 1995: about half a second in speech).
const INHALING: f32 = 0.6;

impl Breath {
    /// `speech` as for [`Gaze::new`].
    pub(crate) fn new(speech: &[f32], rate: usize, liveliness: f32, dice: &mut Dice) -> Self {
        let end = speech.len() as f32 / rate as f32;
        let quiet = |at: f32| speech[((at * rate as f32) as usize).min(speech.len() - 1)] < 0.3;
        let mut starts = vec![-dice.between(0.3, 2.0)];
        while let Some(last) = starts.last().copied().filter(|last| *last < end) {
            // The first pause from 2.5 s on; without one, at 5 s.
            let near =
                (0..25).map(|n| last + 2.5 + 0.1 * n as f32).find(|at| *at > 0.0 && *at < end && quiet(*at));
            starts.push(near.unwrap_or(last + 5.0) + dice.between(0.0, 0.2));
        }
        Breath { liveliness, starts }
    }

    /// How far the chest is up at `at` seconds, 0..=1.
    pub(crate) fn at(&self, at: f32) -> f32 {
        let n = self.starts.partition_point(|start| *start <= at);
        let Some(start) = n.checked_sub(1).map(|n| self.starts[n]) else { return 0.0 };
        let out = self.starts.get(n).map_or(4.0, |next| next - start - INHALING).max(0.5);
        let passed = at - start;
        let up = smoothstep(0.0, INHALING, passed) * (1.0 - smoothstep(0.0, out, passed - INHALING));
        self.liveliness * up.clamp(0.0, 1.0)
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

    #[test]
    fn eyes_stay_on_the_viewer_but_for_glances_and_hold_still_between_them() {
        let mut speech = vec![1.0; 6000];
        speech[2000..2400].fill(0.0);
        let gaze = Gaze::new(&speech, 100, 1.0, &mut Dice::new(7));
        let ahead = MotionFrame::default();
        let seen: Vec<[f32; 2]> = (0..1500).map(|i| gaze.at(i as f32 / 25.0, &ahead)).collect();
        let at_viewer = seen.iter().filter(|[x, y]| x.hypot(*y) < 0.05).count();
        assert!((600..1450).contains(&at_viewer), "{at_viewer} of 1500 frames");
        let moving = seen.windows(2).filter(|w| w[0] != w[1]).count();
        assert!((8..150).contains(&moving), "{moving} frames of saccades");
        let turned = MotionFrame { turn: 0.8, ..ahead };
        assert!(gaze.at(0.1, &turned)[0] < -0.3, "the head turns, the eyes stay");
        assert_eq!(Gaze::new(&speech, 100, 0.0, &mut Dice::new(7)).at(9.0, &ahead), [0.0; 2]);
    }

    #[test]
    fn breaths_are_drawn_in_pauses_and_let_out_slowly() {
        let mut speech = vec![1.0; 3000];
        for pause in (300..3000).step_by(400) {
            speech[pause..pause + 40].fill(0.0);
        }
        let breath = Breath::new(&speech, 100, 1.0, &mut Dice::new(3));
        let chest: Vec<f32> = (0..750).map(|i| breath.at(i as f32 / 25.0)).collect();
        assert!(chest.iter().all(|c| (0.0..=1.0).contains(c)) && chest.iter().any(|c| *c > 0.9));
        assert!(chest.windows(2).all(|w| (w[1] - w[0]).abs() < 0.15), "no jumps");
        let rising = chest.windows(2).filter(|w| w[1] > w[0]).count();
        let falling = chest.windows(2).filter(|w| w[1] < w[0]).count();
        assert!(3 * rising < 2 * falling, "{rising} frames in, {falling} out");
        let in_pauses =
            breath.starts[1..].iter().filter(|t| **t < 29.0 && speech[(**t * 100.0) as usize] < 0.3).count();
        assert!(in_pauses * 2 > breath.starts.len() - 2, "{in_pauses} of {:?}", breath.starts);
    }
}
