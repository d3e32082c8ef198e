//! Music under speech: looped to its length, faded, and turned down while words are said.

use super::{Clip, Span};
use crate::{MediaError, Result};
use std::f32::consts::FRAC_PI_2;

/// Where the music ends and begins again, in seconds: both are heard, one fading out, the other in.
const CROSSFADE: f64 = 1.0;
const FADE_IN: f64 = 0.6;
const FADE_OUT: f64 = 1.5;
/// The music is down this long before a word begins and after it has ended, in seconds.
const BEFORE: f64 = 0.05;
const AFTER: f64 = 0.25;
/// How long it takes to go down, and to come up again.
const ATTACK: f64 = 0.2;
const RELEASE: f64 = 0.7;
/// How often its level is looked at, in seconds.
const HOP: f64 = 0.01;

/// How loud music is under speech.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MusicLevel {
    /// Decibels (of integrated loudness) below the speech, while words are said.
    pub below: f64,
    /// Decibels it is louder in pauses.
    pub ducking: f64,
}

impl Clip {
    /// The speech with music under it, of its own length and rate, at `lufs` with no sample above `peak_dbfs`. The music
    /// is repeated where it is shorter, and fades in and out.
    ///
    /// # Errors
    /// If the music is silent, or either cannot be measured or brought to one rate.
    pub fn with_music(&self, music: &Clip, level: MusicLevel, (lufs, peak_dbfs): (f64, f64)) -> Result<Clip> {
        let bed = self.bed(music, level)?;
        let mixed = self.samples.iter().zip(&bed).map(|(speech, music)| speech + music).collect();
        Clip::new(mixed, self.rate).normalized(lufs, peak_dbfs)
    }

    /// The music alone, as it lies under this speech.
    fn bed(&self, music: &Clip, level: MusicLevel) -> Result<Vec<f32>> {
        let music = music.resampled(self.rate)?;
        let (own, speech) = (music.loudness()?, self.loudness()?);
        if !own.is_finite() {
            return Err(MediaError::shape("mixing", "silent music", "music that can be heard"));
        }
        // Under silence it is as loud as under speech of -16 LUFS.
        let speech = if speech.is_finite() { speech } else { -16.0 };
        let activity = self.activity()?;
        let pauses = speech - level.below + level.ducking - own;
        let hops = (self.seconds() / HOP) as usize + 2;
        let gains: Vec<f32> = (0..hops)
            .map(|hop| {
                let decibels = pauses - level.ducking * ducked(activity.spans(), hop as f64 * HOP);
                10_f64.powf(decibels / 20.0) as f32
            })
            .collect();
        let mut bed = looped(&music.samples, self.samples.len(), (CROSSFADE * f64::from(self.rate)) as usize);
        let hop = HOP * f64::from(self.rate);
        let length = bed.len();
        let fade = |seconds: f64| (seconds * f64::from(self.rate)).min(length as f64 / 4.0).max(1.0);
        let (fade_in, fade_out) = (fade(FADE_IN), fade(FADE_OUT));
        for (i, sample) in bed.iter_mut().enumerate() {
            let (at, part) = ((i as f64 / hop) as usize, (i as f64 / hop).fract() as f32);
            let gain = gains[at] + (gains[at + 1] - gains[at]) * part;
            let edge = (i as f64 / fade_in).min((length - i) as f64 / fade_out).min(1.0);
            *sample *= gain * edge as f32;
        }
        Ok(bed)
    }
}

/// How far the music is down at a time: 0 in pauses, 1 while words are said.
fn ducked(spans: &[Span], at: f64) -> f64 {
    // Only the span before and the span after reach here.
    let next = spans.partition_point(|span| span.end <= at);
    let near = |i: usize| spans.get(i).map_or(0.0, |span| reach(span, at));
    near(next).max(next.checked_sub(1).map_or(0.0, near))
}

fn reach(span: &Span, at: f64) -> f64 {
    let early = (span.start - BEFORE - at) / ATTACK;
    let late = (at - span.end - AFTER) / RELEASE;
    let up = (1.0 - early.max(late)).clamp(0.0, 1.0);
    up * up * (3.0 - 2.0 * up)
}

/// The sound repeated to `length` samples, each end crossfaded into the next beginning at equal power.
fn looped(sound: &[f32], length: usize, crossfade: usize) -> Vec<f32> {
    let crossfade = crossfade.min(sound.len() / 4);
    let mut out = vec![0.0; length];
    let step = (sound.len() - crossfade).max(1);
    for (round, start) in (0..length).step_by(step).enumerate() {
        for (i, sample) in sound.iter().enumerate().take(length - start) {
            let (from_start, to_end) = (i + 1, sound.len() - i);
            let share = match () {
                () if round > 0 && from_start <= crossfade => from_start,
                () if to_end <= crossfade => to_end,
                () => crossfade,
            };
            let angle = FRAC_PI_2 * share as f32 / crossfade.max(1) as f32;
            out[start + i] += sample * if crossfade == 0 { 1.0 } else { angle.sin() };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(samples: usize, level: f32) -> Vec<f32> {
        let mut state = 1_u32;
        (0..samples)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                level * (state as f32 / u32::MAX as f32 * 2.0 - 1.0)
            })
            .collect()
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn music_goes_down_before_a_word_and_comes_up_in_pauses() {
        let spans = [Span { start: 1.0, end: 2.0 }, Span { start: 2.4, end: 3.0 }];
        for (at, low, high) in [
            (0.5, 0.0, 0.0),
            (0.85, 0.2, 0.8),
            (0.96, 1.0, 1.0),
            (1.5, 1.0, 1.0),
            (2.3, 0.9, 1.0),
            (3.2, 1.0, 1.0),
            (3.6, 0.2, 0.8),
            (4.0, 0.0, 0.0),
        ] {
            let down = ducked(&spans, at);
            assert!((low - 1e-9..=high + 1e-9).contains(&down), "at {at}: {down}");
        }
    }

    #[test]
    fn a_loop_is_as_loud_at_its_seams_as_between_them() {
        let rate = 8_000;
        let out = looped(&noise(3 * rate, 0.5), 10 * rate, rate);
        assert_eq!(out.len(), 10 * rate);
        let levels: Vec<f32> = out.chunks(rate / 2).map(rms).collect();
        let middle = rms(&out);
        assert!(levels.iter().all(|level| (0.8..1.25).contains(&(level / middle))), "{levels:?}");
        for (sound, length) in [(1, 5), (3, 0), (7, 7), (100, 10)] {
            assert_eq!(looped(&noise(sound, 0.5), length, 50).len(), length);
        }
    }
}
