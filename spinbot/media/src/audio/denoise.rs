//! Steady noise taken out of a recording: a Wiener filter in each band of the short-time spectrum, told how much
//! noise to expect by the clip's own pauses. Noise that changes, other voices and rooms stay.

use super::Clip;
use super::activity::Activity;
use super::spectrum::{Stft, percentile};
use crate::Result;

const WINDOW_SECONDS: f64 = 0.032;
/// Windows overlap by three quarters.
const OVERLAP: usize = 4;
/// How much of the last frame's estimate is kept (Ephraim and Malah, 1984). It is this that keeps the rest of the
/// noise a hiss, where a gain decided frame by frame leaves chirping ("musical noise"; Cappe, 1994).
const MEMORY: f32 = 0.98;
/// Least signal to noise ratio believed in a bin, -25 dB (as in Cappe).
const LEAST_PRIOR: f32 = 0.003_16;
/// What the signal to noise ratio is to become, in dB; more is not tried, since every filter eats at soft sounds. A
/// clip that has it is left alone.
const ENOUGH: f64 = 32.0;
/// No band is turned down by more than this, in dB: a little noise is more natural than none.
const MOST: f64 = 18.0;
/// Frames next to speech do not count as pauses: ringing and breath.
const GUARD_SECONDS: f64 = 0.06;
/// Least of pauses, in seconds, to learn the noise from.
const LEAST_PAUSES: f64 = 0.25;
/// Without pauses the noise is what each bin falls to for this share of the time, smoothed over 0.1 s; of steady
/// noise that tenth lies 2.1 dB below the mean.
const QUIET_SHARE: f32 = 0.10;
const QUIET_BIAS: f32 = 1.62;

impl Clip {
    /// The clip with steady noise turned down by as much as brings the signal to noise ratio to 32 dB, at most by
    /// 18 dB, nothing moved in time. `activity` is of this clip; if it holds no speech nothing is done.
    ///
    /// # Errors
    /// As [`Clip::activity`].
    pub fn denoised(&self, activity: &Activity) -> Result<Clip> {
        let down = activity.snr_db().map_or(0.0, |snr| (ENOUGH - snr).clamp(0.0, MOST));
        if down == 0.0 {
            return Ok(self.clone());
        }
        let least = 10f64.powf(-down / 20.0) as f32;
        let window =
            ((WINDOW_SECONDS * f64::from(self.rate)) as usize).next_multiple_of(OVERLAP).max(OVERLAP);
        let hop = window / OVERLAP;
        let stft = Stft::new(window, hop, window);
        let noise = noise(&stft.power(&self.samples)?, hop as f64 / f64::from(self.rate), activity);
        // The last frame's clean power over the noise, in each bin.
        let mut before = vec![0.0f32; stft.bins()];
        let samples = stft.rework(&self.samples, |_, bins| {
            for ((bin, noise), before) in bins.iter_mut().zip(&noise).zip(&mut before) {
                let posterior = bin.norm_sqr() / noise.max(1e-14);
                let prior = (MEMORY * *before + (1.0 - MEMORY) * (posterior - 1.0).max(0.0)).max(LEAST_PRIOR);
                let wiener = prior / (1.0 + prior);
                *before = wiener * wiener * posterior;
                *bin *= wiener.max(least);
            }
        })?;
        Ok(Clip::new(samples, self.rate))
    }
}

/// Mean power of the noise in each bin.
fn noise(power: &[Vec<f32>], hop_seconds: f64, activity: &Activity) -> Vec<f32> {
    let pause = |frame: usize| {
        let at = frame as f64 * hop_seconds;
        let near = |span: &super::Span| at > span.start - GUARD_SECONDS && at < span.end + GUARD_SECONDS;
        !activity.spans().iter().any(near)
    };
    // The first and the last few frames reach beyond the clip.
    let inner = OVERLAP / 2..power.len().saturating_sub(OVERLAP);
    let pauses: Vec<usize> = inner.filter(|frame| pause(*frame)).collect();
    let bins = power.first().map_or(0, Vec::len);
    if pauses.len() as f64 * hop_seconds >= LEAST_PAUSES {
        return (0..bins)
            .map(|bin| pauses.iter().map(|frame| power[*frame][bin]).sum::<f32>() / pauses.len() as f32)
            .collect();
    }
    let run = ((0.1 / hop_seconds).round() as usize).max(1);
    (0..bins)
        .map(|bin| {
            let means: Vec<f32> = power
                .windows(run.min(power.len()))
                .map(|frames| frames.iter().map(|f| f[bin]).sum::<f32>() / frames.len() as f32)
                .collect();
            percentile(&means, QUIET_SHARE).unwrap_or(0.0) * QUIET_BIAS
        })
        .collect()
}
