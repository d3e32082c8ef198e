//! Where somebody speaks, by level alone: what the speaker encoder needs to leave silences out, and where a long
//! recording is cut. How clean a clip is (noise, clipping) is measured by `spinbot-media`.

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
        Activity { active }
    }

    /// The samples without silences longer than a quarter of a second, which are left out whole. These must be the
    /// samples the activity was found in.
    pub fn speech_only(&self, samples: &[f32]) -> Vec<f32> {
        let mut kept = self.active.clone();
        drop_runs(&mut kept, false, GAP);
        let frames = samples.chunks(HOP).zip(kept);
        frames.filter(|(_, kept)| *kept).flat_map(|(frame, _)| frame).copied().collect()
    }
}

/// What speaker encoders are to hear of 16 kHz samples: they are brought to the encoders' volume ([`super::level`]) in
/// place, and returned without their pauses; nothing where nobody speaks.
pub fn levelled_speech(samples: &mut [f32]) -> Vec<f32> {
    super::level(samples);
    Activity::of(samples).speech_only(samples)
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
    fn silences_are_left_out_and_speech_is_kept() {
        for (tone, noise) in [(-20.0, -50.0), (-35.0, -60.0), (-20.0, -40.0)] {
            let samples = bursts(6, tone, noise);
            let kept = Activity::of(&samples).speech_only(&samples);
            let seconds = kept.len() as f64 / RATE as f64;
            assert!((seconds - 3.0).abs() < 0.3, "{seconds} s kept");
            // Its power is the tone's and not the half of it that tone and noise have together.
            let db = level(&kept);
            assert!((db - tone).abs() < 1.0, "{db} dB kept of {tone}");
        }
        assert!(Activity::of(&[0.0; RATE]).speech_only(&[0.0; RATE]).is_empty());
        assert!(Activity::of(&[]).speech_only(&[]).is_empty());
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
