//! What can be told of a recording without a network: where somebody speaks, how far speech stands out from the
//! rest, how much of it is clipped.

use super::spectrogram::RATE;
use std::ops::Range;

/// Samples from one frame to the next: 10 ms.
const HOP: usize = RATE / 100;
/// Samples of a frame: 30 ms.
const FRAME: usize = 3 * HOP;
/// What is quieter than this, in dB of full scale, is silence whatever stands around it.
const SILENCE: f32 = -65.0;
/// Frames of quiet that a sentence may hold: 0.25 s.
const GAP: usize = 25;
/// Frames of sound that are at least a word's: 60 ms.
const WORD: usize = 6;

/// Where somebody speaks, 10 ms at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// Level of each frame in dB of full scale, never under -120.
    levels: Vec<f32>,
    /// Which frames stand out.
    active: Vec<bool>,
}

impl Activity {
    /// Of 16 kHz samples. A frame is active when it is a third of the way from the recording's quietest tenth to its
    /// loudest twentieth, and 6 dB at least.
    pub fn of(samples: &[f32]) -> Self {
        let levels: Vec<f32> = (0..samples.len().div_ceil(HOP))
            .map(|n| level(&samples[n * HOP..samples.len().min(n * HOP + FRAME)]))
            .collect();
        let mut sorted = levels.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let at = |share: f32| sorted.get((sorted.len() as f32 * share) as usize).copied().unwrap_or(-120.0);
        let (floor, top) = (at(0.1).max(-90.0), at(0.95));
        let threshold = (floor + (0.33 * (top - floor)).max(6.0)).max(SILENCE);
        let mut active: Vec<bool> = levels.iter().map(|&level| level > threshold).collect();
        // A recording that never pauses has its quietest tenth within speech: 12 dB of range are no pause.
        if top - floor < 12.0 && top > SILENCE {
            active.fill(true);
        }
        drop_runs(&mut active, true, WORD);
        Activity { levels, active }
    }

    /// Seconds of speech.
    pub fn speech_seconds(&self) -> f64 {
        self.active.iter().filter(|&&active| active).count() as f64 / 100.0
    }

    /// Share of the recording that is speech, 0 to 1.
    pub fn speech_share(&self) -> f64 {
        self.speech_seconds() * 100.0 / self.active.len().max(1) as f64
    }

    /// From the first to the last sample of speech; empty when there is none.
    pub fn extent(&self) -> Range<usize> {
        let first = self.active.iter().position(|&active| active);
        let last = self.active.iter().rposition(|&active| active);
        first.zip(last).map_or(0..0, |(first, last)| first * HOP..(last + 3) * HOP)
    }

    /// The samples without silences longer than a quarter of a second, which are left out whole. These must be the
    /// samples the activity was found in.
    pub fn speech_only(&self, samples: &[f32]) -> Vec<f32> {
        let mut kept = self.active.clone();
        drop_runs(&mut kept, false, GAP);
        let frames = samples.chunks(HOP).zip(kept);
        frames.filter(|(_, kept)| *kept).flat_map(|(frame, _)| frame).copied().collect()
    }

    /// How far speech stands out from the pauses, in dB. `None` when there are not 0.2 s of each, or the pauses are
    /// digital silence.
    pub fn snr_db(&self) -> Option<f64> {
        let mean_power = |of: bool| {
            let levels = self.levels.iter().zip(&self.active).filter(|(_, active)| **active == of);
            let powers: Vec<f64> = levels.map(|(level, _)| 10.0_f64.powf(f64::from(*level) / 10.0)).collect();
            (powers.len() >= 20).then(|| powers.iter().sum::<f64>() / powers.len() as f64)
        };
        let (speech, pause) = (mean_power(true)?, mean_power(false)?);
        (pause > 1e-11).then(|| 10.0 * ((speech - pause).max(pause * 1e-3) / pause).log10())
    }
}

/// Share of the samples that lie in runs of four and more at the recording's very peak, 0 to 1: clipped sound has
/// flat tops, other sound passes its peak once.
pub fn clipped_share(samples: &[f32]) -> f64 {
    let peak = samples.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    if peak < 0.05 {
        return 0.0;
    }
    let at_peak = |x: &f32| if x.abs() >= 0.999 * peak { x.signum() } else { 0.0 };
    let runs = samples.chunk_by(|a, b| at_peak(a) == at_peak(b));
    let clipped: usize = runs.filter(|run| run.len() >= 4 && at_peak(&run[0]) != 0.0).map(<[f32]>::len).sum();
    clipped as f64 / samples.len() as f64
}

/// Cuts a recording into pieces of at most `longest` samples, each where it is quietest in the last third before.
pub(crate) fn quiet_cuts(samples: &[f32], longest: usize) -> Vec<Range<usize>> {
    const QUIET: usize = RATE / 5;
    let mut pieces = Vec::new();
    let mut from = 0;
    while samples.len() - from > longest {
        let places = (from + longest * 2 / 3..from + longest - QUIET).step_by(HOP);
        let power = |&at: &usize| samples[at..at + QUIET].iter().map(|x| x * x).sum::<f32>();
        let quietest = places.min_by(|a, b| power(a).total_cmp(&power(b)));
        let cut = quietest.map_or(from + longest, |at| at + QUIET / 2);
        pieces.push(from..cut);
        from = cut;
    }
    pieces.push(from..samples.len());
    pieces
}

fn level(frame: &[f32]) -> f32 {
    let power = frame.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / frame.len().max(1) as f64;
    (10.0 * (power + 1e-12).log10()) as f32
}

/// Turns over runs of that value that are shorter than so many frames. Runs of `false` at the ends stay.
fn drop_runs(frames: &mut [bool], value: bool, shorter: usize) {
    let mut from = 0;
    while from < frames.len() {
        let run = frames[from..].iter().take_while(|&&frame| frame == frames[from]).count();
        let at_end = !value && (from == 0 || from + run == frames.len());
        if frames[from] == value && run < shorter && !at_end {
            frames[from..from + run].fill(!value);
        }
        from += run;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Bursts of a tone of so many dB, half a second on, half a second off, over noise.
    fn bursts(seconds: usize, tone_db: f32, noise_db: f32) -> Vec<f32> {
        let (mut state, scale) = (1_u32, |db: f32| 10.0_f32.powf(db / 20.0));
        (0..seconds * RATE)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * 3.0_f32.sqrt();
                let tone = (n as f32 * 0.08).sin() * 2.0_f32.sqrt();
                let on = n % RATE < RATE / 2;
                noise * scale(noise_db) + if on { tone * scale(tone_db) } else { 0.0 }
            })
            .collect()
    }

    #[test]
    fn speech_and_its_distance_from_the_noise_are_measured() {
        for (tone, noise) in [(-20.0, -50.0), (-35.0, -60.0), (-20.0, -40.0)] {
            let samples = bursts(6, tone, noise);
            let activity = Activity::of(&samples);
            assert!((activity.speech_share() - 0.5).abs() < 0.05, "{}", activity.speech_share());
            let snr = activity.snr_db().unwrap();
            assert!((snr - f64::from(tone - noise)).abs() < 3.0, "{snr} for {}", tone - noise);
            let kept = activity.speech_only(&samples).len() as f64 / RATE as f64;
            assert!((kept - 3.0).abs() < 0.3, "{kept} s kept");
            assert_eq!(activity.extent().start, 0);
        }
        let silence = Activity::of(&[0.0; RATE]);
        assert_eq!((silence.speech_seconds(), silence.extent(), silence.snr_db()), (0.0, 0..0, None));
        assert_eq!(Activity::of(&[]).speech_share(), 0.0);
    }

    #[test]
    fn only_flat_tops_are_clipped() {
        let sine = |gain: f32| -> Vec<f32> { (0..RATE).map(|n| (n as f32 * 0.15).sin() * gain).collect() };
        assert_eq!(clipped_share(&sine(0.9)), 0.0);
        let clipped: Vec<f32> = sine(2.0).iter().map(|x| x.clamp(-0.8, 0.8)).collect();
        let share = clipped_share(&clipped);
        assert!(share > 0.6 && share < 0.8, "{share}");
        assert_eq!(clipped_share(&[0.0; 100]), 0.0);
    }

    #[test]
    fn long_recordings_are_cut_in_their_pauses_without_a_gap() {
        let samples = bursts(100, -20.0, -60.0);
        let pieces = quiet_cuts(&samples, 30 * RATE);
        assert!(pieces.len() >= 4);
        let mut at = 0;
        for piece in &pieces {
            assert_eq!(piece.start, at);
            assert!(piece.len() <= 30 * RATE);
            at = piece.end;
            assert!(at == samples.len() || at % RATE > RATE / 2, "cut at {} within a burst", at % RATE);
        }
        assert_eq!(at, samples.len());
        assert!(quiet_cuts(&samples[..10], 30 * RATE).iter().eq([&(0..10)]));
    }
}
