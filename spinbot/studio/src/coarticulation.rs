//! When the mouth gets where its phonemes want it: visemes blended over time.
//!
//! Dominance functions (Cohen and Massaro 1993, "Modeling coarticulation in synthetic visual speech", after Löfqvist
//! 1990): every segment pulls each channel towards its target with a weight that falls off exponentially before and
//! after it, and the mouth is where the weighted pulls balance. Lips reach further ahead than the jaw, so rounding
//! spreads over the consonants before a vowel, while vowels hold the jaw. Two things are no balance: lips that close
//! for p, b and m are closed for as long as the sound is, and a long silence is a closed mouth.

use crate::ease::smoothstep;
use crate::hearing::{RATE, smooth};
use crate::motion::MotionFrame;
use crate::viseme::{Gesture, Viseme, gesture};
use spinbot::timing::TimedPhoneme;
use spinbot_models::visemes;

/// Time constants of the dominance, in seconds: ahead of a segment and after it.
const JAW_REACH: [f32; 2] = [0.042, 0.038];
const LIP_REACH: [f32; 2] = [0.085, 0.048];
/// Pulls from further away are nothing: nine time constants.
const REACH: f32 = 0.75;
/// How long lips take to shut for a closure and to open after it, in seconds (Löfqvist and Gracco 1997 measured
/// 60-100 ms for the whole movement, of which the last half is seen).
const CLOSING: f32 = 0.050;
const OPENING: f32 = 0.035;
/// How far within the sound the lips are wholly shut, in seconds: between two frames they are on their way.
const WITHIN: f32 = 0.010;
/// Silences up to here, in seconds, are joints between words; from the second on the mouth goes to rest.
const JOINT: [f32; 2] = [0.10, 0.28];
/// Shortest segment there can be, in seconds: times that are not of speech must not cost more than speech.
pub(crate) const SHORTEST: f64 = 0.002;
/// What share of the jaw that was heard the softest and the loudest vowels of recorded speech have: what is heard is a mean
/// over what might have been said, and therefore too tame.
const HEARD_JAW: [f32; 2] = [0.6, 1.4];
/// How far a frame may lie from the middle of a short closure to show it, in seconds: well within the 45 ms by
/// which sound may lead unnoticed (ITU-R BT.1359).
const SHOWN_WITHIN: f32 = 0.021;

/// One stretch of the mouth with one target.
struct Segment {
    start: f32,
    end: f32,
    viseme: Viseme,
    stress: u8,
}

/// The phonemes of a clip as stretches of the mouth, in order, none overlapping another.
pub(crate) struct Score {
    seconds: f32,
    segments: Vec<Segment>,
}

impl Score {
    /// Of `phonemes` in a clip of `seconds`. What is unordered is ordered; what is no time, lies outside of the clip
    /// or overlaps what came before is cut away.
    pub(crate) fn new(phonemes: &[TimedPhoneme], seconds: f64) -> Self {
        let mut timed: Vec<&TimedPhoneme> =
            phonemes.iter().filter(|p| p.start.is_finite() && p.end.is_finite() && p.start < p.end).collect();
        timed.sort_by(|a, b| a.start.total_cmp(&b.start));
        let mut segments: Vec<Segment> = Vec::new();
        let mut free = 0.0;
        for phoneme in timed {
            let (start, end) = (phoneme.start.max(free), phoneme.end.min(seconds));
            if end - start < SHORTEST {
                continue;
            }
            free = end;
            let (start, end) = (start as f32, end as f32);
            let mut push = |start, end, viseme| {
                segments.push(Segment { start, end, viseme, stress: phoneme.stress.min(2) });
            };
            match gesture(phoneme.symbol) {
                Gesture::Single(viseme) => push(start, end, viseme),
                Gesture::Glide(from, to, share) => {
                    let turn = start + share * (end - start);
                    push(start, turn, from);
                    push(turn, end, to);
                }
                Gesture::Mark => {
                    if let Some(before) = segments.last_mut().filter(|s| start - s.end < 1e-3) {
                        before.end = end;
                    }
                }
                Gesture::Pause => {}
            }
        }
        Score { seconds: seconds as f32, segments }
    }

    /// Of what was heard in a clip of `seconds`: visemes in order, which follow one another without gaps. Vowels have the
    /// jaw that was heard, less where they are soft: how open a vowel was is the least certain of what is heard, and
    /// open ones are loud. `loud` is as of [`crate::hearing::Hearing`].
    pub(crate) fn heard(visemes: &[visemes::Segment], loud: &[f32], seconds: f64) -> Self {
        let seconds = seconds as f32;
        let segments = visemes.iter().filter_map(|heard| {
            let Gesture::Single(viseme) = gesture(heard.viseme.symbol()) else { return None };
            let (start, end) = (heard.start, heard.end.min(seconds));
            let viseme = match heard.viseme.is_vowel() {
                true => {
                    let within = within(loud, start, end);
                    let level = within.iter().sum::<f32>() / within.len().max(1) as f32;
                    let [soft, strong] = HEARD_JAW;
                    viseme.with_jaw(heard.jaw * (soft + (strong - soft) * level))
                }
                false => viseme,
            };
            (end - start >= SHORTEST as f32).then_some(Segment { start, end, viseme, stress: 1 })
        });
        Score { seconds, segments: segments.collect() }
    }

    /// The silences: before, between and after the segments.
    fn gaps(&self) -> impl Iterator<Item = (f32, f32)> {
        let starts = std::iter::once(0.0).chain(self.segments.iter().map(|s| s.end));
        let ends = self.segments.iter().map(|s| s.start).chain([self.seconds]);
        starts.zip(ends).filter(|(start, end)| end > start)
    }

    /// Number of moments, [`RATE`] a second.
    fn moments(&self) -> usize {
        (self.seconds * RATE as f32).ceil() as usize + 1
    }

    /// 1 where there is speech, 0 in every silence longer than a joint between words; [`RATE`] values a second.
    pub(crate) fn speech(&self) -> Vec<f32> {
        let mut speech = vec![1.0; self.moments()];
        for (start, end) in self.gaps().filter(|(start, end)| end - start > JOINT[0]) {
            let last = speech.len();
            let at = |t: f32| ((t * RATE as f32).round() as usize).min(last);
            speech[at(start)..at(end)].fill(0.0);
        }
        speech
    }

    /// Time and strength of the syllables that head and brows go with: stressed vowels, the strongest first, 0.45 s
    /// apart. `loud` has [`RATE`] values a second.
    pub(crate) fn accents(&self, loud: &[f32]) -> Vec<(f32, f32)> {
        let mut stressed: Vec<(f32, f32)> = self
            .segments
            .iter()
            .filter(|s| s.viseme.vowel && s.stress > 0)
            .map(|s| {
                let within = within(loud, s.start, s.end);
                let peak = within.iter().copied().fold(0.0, f32::max);
                ((s.start + s.end) / 2.0, (0.45 + 0.55 * peak) * if s.stress > 1 { 1.0 } else { 0.7 })
            })
            .collect();
        stressed.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut kept: std::collections::BTreeMap<i64, (f32, f32)> = Default::default();
        for accent in stressed {
            let millis = (accent.0 * 1000.0) as i64;
            if kept.range(millis - 450..=millis + 450).next().is_none() {
                kept.insert(millis, accent);
            }
        }
        kept.into_values().collect()
    }

    /// The lips' closures, in seconds: p, b and m.
    pub(crate) fn closures(&self) -> impl Iterator<Item = (f32, f32)> {
        self.segments.iter().filter(|s| s.viseme.seal).map(|s| (s.start, s.end))
    }

    /// The mouth, [`RATE`] values a second, to be shown in frames whose exposures have their middles at `exposures`,
    /// which rise. `loud` and `speech` are what is heard, as of [`crate::hearing::Hearing`].
    pub(crate) fn mouth(&self, loud: &[f32], speech: &[f32], exposures: &[f32]) -> Vec<MotionFrame> {
        let count = self.moments();
        let level = smooth(&resized(loud, count), 0.05);
        let voice = voice(&resized(speech, count));
        let pulls = self.pulls();
        let mut first = 0;
        let mut raw: Vec<[f32; 5]> = Vec::with_capacity(count);
        for (i, level) in level.iter().enumerate() {
            let t = i as f32 / RATE as f32;
            while first < pulls.len() && pulls[first].core[1] < t - REACH {
                first += 1;
            }
            let mut sum = Balance::default();
            for pull in pulls[first..].iter().take_while(|p| p.core[0] < t + REACH) {
                sum.add(pull, t, *level);
            }
            raw.push(sum.channels());
        }
        let channel = |k: usize, seconds| smooth(&raw.iter().map(|c| c[k]).collect::<Vec<_>>(), seconds);
        let (jaw, width, round) = (channel(0, 0.016), channel(1, 0.022), channel(2, 0.022));
        let (upper, tuck) = (channel(3, 0.020), channel(4, 0.012));
        let seal = self.seal(count, exposures);
        let mood = smooth(&self.speech().iter().map(|s| 1.0 - s).collect::<Vec<_>>(), 0.25);
        (0..count)
            .map(|i| MotionFrame {
                jaw: (jaw[i] * voice[i]).clamp(0.0, 1.0),
                width: width[i].clamp(-1.0, 1.0),
                round: round[i].clamp(0.0, 1.0),
                upper: upper[i].clamp(0.0, 1.0),
                tuck: tuck[i].clamp(0.0, 1.0),
                seal: seal[i],
                smile: (0.25 + 0.35 * mood[i] + 0.15 * width[i].max(0.0) - 0.25 * round[i]).clamp(0.0, 1.0),
                ..MotionFrame::default()
            })
            .collect()
    }

    /// Everything that pulls at the mouth, in order of time: segments and rests.
    fn pulls(&self) -> Vec<Pull> {
        let mut pulls: Vec<Pull> = self.segments.iter().map(Pull::of).collect();
        for (start, end) in self.gaps() {
            let rest = smoothstep(JOINT[0], JOINT[1], end - start);
            if rest > 0.0 {
                // A mouth opens a little before its first sound and shuts a little after its last.
                let (from, to) = (start + 0.05, end - 0.09);
                let core = if from < to { [from, to] } else { [(from + to) / 2.0; 2] };
                pulls.push(Pull { core, targets: [0.0; 5], holds: [1.6 * rest; 3], vowel: false });
            }
        }
        pulls.sort_by(|a, b| a.core[0].total_cmp(&b.core[0]));
        pulls
    }

    /// How tightly the lips are shut at every moment.
    fn seal(&self, count: usize, exposures: &[f32]) -> Vec<f32> {
        let mut seal = vec![0.0_f32; count];
        let index = |t: f32| ((t * RATE as f32).round().max(0.0) as usize).min(count - 1);
        for (start, end) in self.closures() {
            for (i, slot) in
                seal.iter_mut().enumerate().take(index(end + OPENING) + 1).skip(index(start - CLOSING))
            {
                let t = i as f32 / RATE as f32;
                let before = 1.0 - smoothstep(0.0, CLOSING, start + WITHIN - t);
                let after = 1.0 - smoothstep(0.0, OPENING, t + WITHIN - end);
                *slot = slot.max(before.min(after));
            }
            // Every frame in it shows it; one shorter than a frame is shown by the nearest.
            let from = exposures.partition_point(|at| *at < start);
            let to = exposures.partition_point(|at| *at <= end);
            for at in &exposures[from..to] {
                seal[index(*at)] = 1.0;
            }
            if from == to {
                let middle = (start + end) / 2.0;
                let beside = &exposures[from.saturating_sub(1)..(from + 1).min(exposures.len())];
                let nearest =
                    beside.iter().min_by(|a, b| (*a - middle).abs().total_cmp(&(*b - middle).abs()));
                if let Some(at) = nearest.filter(|at| (**at - middle).abs() <= SHOWN_WITHIN) {
                    seal[index(*at)] = 1.0;
                }
            }
        }
        seal
    }
}

/// One segment's or rest's pull: targets of jaw, width, round, upper, tuck; holds of jaw, lips, tuck.
struct Pull {
    core: [f32; 2],
    targets: [f32; 5],
    holds: [f32; 3],
    vowel: bool,
}

impl Pull {
    fn of(segment: &Segment) -> Self {
        let Segment { start, end, viseme: v, stress } = segment;
        let quarter = 0.25 * (end - start);
        let (opener, firmer) = match (v.vowel, stress) {
            (false, _) => (1.0, 1.0),
            (true, 0) => (0.84, 0.9),
            (true, 1) => (1.0, 1.0),
            (true, _) => (1.10, 1.2),
        };
        Pull {
            core: [start + quarter, end - quarter],
            targets: [v.jaw * opener, v.width, v.round, v.upper, v.tuck],
            holds: [v.jaw_hold * firmer, v.lip_hold * firmer, if v.tuck > 0.0 { 4.0 } else { v.jaw_hold }],
            vowel: v.vowel,
        }
    }

    /// The dominance at `t` with these reaches ahead and after.
    fn dominance(&self, t: f32, [ahead, after]: [f32; 2]) -> f32 {
        let [from, to] = self.core;
        if t < from { (-(from - t) / ahead).exp() } else { (-((t - to).max(0.0)) / after).exp() }
    }
}

/// Weighted sums of targets.
#[derive(Default)]
struct Balance {
    sums: [f32; 5],
    weights: [f32; 3],
}

impl Balance {
    /// Which of the three holds a channel has.
    const HOLD: [usize; 5] = [0, 1, 1, 0, 2];

    /// Adds a pull at `t`, where the voice is `level` loud.
    fn add(&mut self, pull: &Pull, t: f32, level: f32) {
        let (jaw, lips) = (pull.dominance(t, JAW_REACH), pull.dominance(t, LIP_REACH));
        let weights = [pull.holds[0] * jaw, pull.holds[1] * lips, pull.holds[2] * jaw];
        // Loud speech is opener; Schulman 1989: shouted vowels lower the jaw, consonants keep their place.
        let gain = if pull.vowel { 0.84 + 0.26 * level } else { 1.0 };
        for (k, hold) in Self::HOLD.into_iter().enumerate() {
            let target = if k == 0 { pull.targets[0] * gain } else { pull.targets[k] };
            self.sums[k] += weights[hold] * target;
        }
        for (sum, w) in self.weights.iter_mut().zip(weights) {
            *sum += w;
        }
    }

    fn channels(&self) -> [f32; 5] {
        // Far from everything the mouth rests.
        std::array::from_fn(|k| self.sums[k] / (self.weights[Self::HOLD[k]] + 1e-4))
    }
}

/// 1 where there is voice within 90 ms, falling to 0 in what is silent for longer: the last vowel of a sentence has
/// time long after its sound.
fn voice(speech: &[f32]) -> Vec<f32> {
    let reach = 9 * RATE / 100;
    let near = |i: usize| {
        let around = &speech[i.saturating_sub(reach)..(i + reach + 1).min(speech.len())];
        around.iter().copied().fold(0.0, f32::max)
    };
    smooth(&(0..speech.len()).map(near).collect::<Vec<_>>(), 0.04)
}

/// The values from `start` to `end` seconds; at least one unless there are none.
fn within(values: &[f32], start: f32, end: f32) -> &[f32] {
    let at = |t: f32| ((t * RATE as f32).round() as usize).min(values.len().saturating_sub(1));
    values.get(at(start)..=at(end)).unwrap_or_default()
}

/// `count` values: the last one repeated, or the end cut off.
fn resized(values: &[f32], count: usize) -> Vec<f32> {
    let last = values.last().copied().unwrap_or(0.0);
    values.iter().copied().chain(std::iter::repeat(last)).take(count).collect()
}
