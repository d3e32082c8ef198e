//! Pitch: YIN's difference function (de Cheveigné and Kawahara 2002) with several candidates a frame and the
//! smoothest way through them (Viterbi).

use super::spectrogram::RATE;

/// Samples from one frame to the next: 10 ms.
const HOP: usize = RATE / 100;
/// Hertz that a voice may have.
const LOWEST: usize = 60;
const HIGHEST: usize = 500;
/// Periods in samples that are looked at.
const LONGEST: usize = RATE / LOWEST;
const SHORTEST: usize = RATE / HIGHEST;
/// Samples that are compared with those a period later.
const WINDOW: usize = 480;
/// Candidates a frame.
const CANDIDATES: usize = 6;
/// What a frame without a voice costs, in units of YIN's aperiodicity (0 periodic, 1 not at all).
const UNVOICED: f32 = 0.25;
/// What it costs to begin or end a voice, and to move by an octave.
const SWITCH: f32 = 0.15;
const OCTAVE: f32 = 1.2;
/// A longer period fits as well as the true one; this much a doubling is preferred against.
const LONG: f32 = 0.03;
/// Frames quieter than this (root mean square) have no voice.
const QUIET: f32 = 1e-4;

/// The pitch of each 10 ms in hertz, 0 where there is no voice. Frame `n` is centred on sample `160 n + 373`.
pub fn pitch(samples: &[f32]) -> Vec<f32> {
    let span = WINDOW + LONGEST;
    let frames = samples.len().checked_sub(span).map_or(0, |rest| rest / HOP + 1);
    let candidates: Vec<Vec<(f32, f32)>> =
        (0..frames).map(|n| candidates(&samples[n * HOP..n * HOP + span])).collect();
    smoothest(&candidates)
}

/// The pitch of each 12.5 ms, as Kokoro has it, of a track from [`pitch`]: `count` values, the first of the first
/// 12.5 ms; 0 before and after the track.
pub fn kokoro_grid(track: &[f32], count: usize) -> Vec<f32> {
    let centre = (WINDOW + LONGEST) / 2;
    let at = |n: usize| {
        // In samples: the middle of a step of Kokoro's, then the nearest frame of the track.
        let sample = n * RATE / 80 + RATE / 160;
        let frame = (sample + HOP / 2).checked_sub(centre)? / HOP;
        track.get(frame).copied()
    };
    (0..count).map(|n| at(n).unwrap_or(0.0)).collect()
}

/// Mean and spread of a voice's pitch on the logarithmic scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PitchRange {
    /// Mean of the natural logarithm of hertz.
    pub mean_log: f32,
    /// Standard deviation of that logarithm.
    pub sd_log: f32,
    /// Share of all frames that have a voice.
    pub voiced: f32,
}

impl PitchRange {
    /// Of a pitch track; frames further than an octave from the median are left out as mistakes. `None` with fewer
    /// than 10 voiced frames.
    pub fn of(track: &[f32]) -> Option<Self> {
        let mut logs: Vec<f32> = track.iter().filter(|f0| **f0 > 0.0).map(|f0| f0.ln()).collect();
        let voiced = logs.len();
        if voiced < 10 {
            return None;
        }
        logs.sort_unstable_by(f32::total_cmp);
        let median = logs[logs.len() / 2];
        logs.retain(|log| (log - median).abs() < 0.7);
        let count = logs.len() as f32;
        let mean_log = logs.iter().sum::<f32>() / count;
        let variance = logs.iter().map(|log| (log - mean_log).powi(2)).sum::<f32>() / count;
        Some(PitchRange { mean_log, sd_log: variance.sqrt(), voiced: voiced as f32 / track.len() as f32 })
    }
}

/// (period in samples, cost) of the best dips of YIN's normalised difference.
fn candidates(frame: &[f32]) -> Vec<(f32, f32)> {
    let power = frame[..WINDOW].iter().map(|x| x * x).sum::<f32>() / WINDOW as f32;
    if power < QUIET * QUIET {
        return Vec::new();
    }
    let mut difference = [0.0_f32; LONGEST + 1];
    for (lag, difference) in difference.iter_mut().enumerate().skip(1) {
        // The two windows stay centred, so that the frame's middle is heard whatever the period.
        let first = (LONGEST - lag) / 2;
        let (a, b) = (&frame[first..first + WINDOW], &frame[first + lag..first + lag + WINDOW]);
        // Eight sums side by side: one alone would wait for itself.
        let mut sums = [0.0_f32; 8];
        for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
            for n in 0..8 {
                let d = a[n] - b[n];
                sums[n] += d * d;
            }
        }
        *difference = sums.iter().sum();
    }
    let mut sum = 0.0;
    let mut normal = [1.0_f32; LONGEST + 1];
    for lag in 1..=LONGEST {
        sum += difference[lag];
        normal[lag] = difference[lag] * lag as f32 / sum.max(f32::MIN_POSITIVE);
    }
    let mut found: Vec<(f32, f32)> = (SHORTEST..LONGEST)
        .filter(|&lag| normal[lag] < normal[lag - 1] && normal[lag] <= normal[lag + 1] && normal[lag] < 0.8)
        .map(|lag| {
            let [before, here, after] = [normal[lag - 1], normal[lag], normal[lag + 1]];
            let bend = before - 2.0 * here + after;
            let shift = if bend > 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 };
            let depth = here - 0.25 * (before - after) * shift;
            (lag as f32 + shift, depth + LONG * (lag as f32 / SHORTEST as f32).log2())
        })
        .collect();
    found.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
    found.truncate(CANDIDATES);
    found
}

/// The cheapest way through the candidates; the state after the last candidate is "no voice".
fn smoothest(frames: &[Vec<(f32, f32)>]) -> Vec<f32> {
    let move_cost = |from: Option<&(f32, f32)>, to: Option<&(f32, f32)>| match (from, to) {
        (Some(from), Some(to)) => OCTAVE * (from.0 / to.0).log2().abs(),
        (None, None) => 0.0,
        _ => SWITCH,
    };
    let mut costs = vec![0.0_f32];
    let mut ways: Vec<Vec<usize>> = Vec::with_capacity(frames.len());
    let mut before: &[(f32, f32)] = &[];
    for frame in frames {
        let mut next = Vec::with_capacity(frame.len() + 1);
        let mut way = Vec::with_capacity(frame.len() + 1);
        for state in 0..=frame.len() {
            let to = frame.get(state);
            let (from, cost) = costs
                .iter()
                .enumerate()
                .map(|(from, cost)| (from, cost + move_cost(before.get(from), to)))
                .fold((0, f32::INFINITY), |best, way| if way.1 < best.1 { way } else { best });
            next.push(cost + to.map_or(UNVOICED + LONG * 2.0, |candidate| candidate.1));
            way.push(from);
        }
        (costs, before) = (next, frame);
        ways.push(way);
    }
    let best = |best: (usize, f32), (n, &cost): (usize, &f32)| if cost < best.1 { (n, cost) } else { best };
    let mut state = costs.iter().enumerate().fold((0, f32::INFINITY), best).0;
    let mut track = vec![0.0; frames.len()];
    for (n, (frame, way)) in frames.iter().zip(&ways).enumerate().rev() {
        track[n] = frame.get(state).map_or(0.0, |candidate| RATE as f32 / candidate.0);
        state = way[state];
    }
    track
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Something like a voice whose pitch follows that function of seconds.
    fn hum(seconds: f64, hertz: impl Fn(f64) -> f64) -> Vec<f32> {
        let mut phase = 0.0_f64;
        (0..(seconds * RATE as f64) as usize)
            .map(|n| {
                phase += std::f64::consts::TAU * hertz(n as f64 / RATE as f64) / RATE as f64;
                // The third harmonic is the strongest, as in a vowel.
                let strengths = [0.5, 0.6, 1.0, 0.4, 0.3, 0.2];
                let wave = strengths.iter().enumerate().map(|(k, s)| s * (phase * (k + 1) as f64).sin());
                0.1 * wave.sum::<f64>() as f32
            })
            .collect()
    }

    #[test]
    fn a_gliding_pitch_is_followed_and_silence_and_noise_have_none() {
        for (low, high) in [(75.0, 120.0), (110.0, 220.0), (200.0, 420.0)] {
            let at = |t: f64| low + (high - low) * t / 2.0;
            let track = pitch(&hum(2.0, at));
            for (n, f0) in track.iter().enumerate() {
                let expected = at((n * HOP + (WINDOW + LONGEST) / 2) as f64 / RATE as f64);
                let off = (f64::from(*f0) / expected - 1.0).abs();
                assert!(off < 0.01, "frame {n}: {f0} instead of {expected}");
            }
            let range = PitchRange::of(&track).unwrap();
            let middle = ((low + high) / 2.0).ln();
            assert!((f64::from(range.mean_log) - middle).abs() < 0.05 && range.voiced > 0.99);
        }
        let mut state = 1_u32;
        let noise: Vec<f32> = (0..RATE)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        assert!(pitch(&noise).iter().filter(|f0| **f0 > 0.0).count() < 5);
        assert!(pitch(&[0.0; RATE]).iter().all(|f0| *f0 == 0.0));
        assert!(pitch(&[0.5; 10]).is_empty() && PitchRange::of(&[]).is_none());
    }
}
