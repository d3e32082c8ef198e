//! Cleaning a recording and saying how damaged it is: offset, silence around it, clipping, clips joined to one.
//! Noise has a file of its own, `denoise`; level and rate are in `shape`.

use super::Clip;
use super::activity::Span;
use crate::{MediaError, Result};

/// Corner of the filter that takes the offset out, in Hz: below every voice.
const OFFSET_HERTZ: f64 = 20.0;
/// How near two samples are on the same extreme: a step and a half of 16 bit.
const SAME: f32 = 1.5 / 32_768.0;
/// Samples in a row at an extreme that make it clipping: a sine touches its peak once or twice.
const FEWEST: usize = 3;
/// A clip that never gets this loud was not clipped; its extremes may be a few steps of a quiet converter.
const QUIETEST: f32 = 0.05;
/// Joined clips fade this long, so that no seam clicks.
const FADE_SECONDS: f64 = 0.008;

impl Clip {
    /// The clip without constant offset and rumble below 20 Hz: a first-order high-pass run forwards and
    /// backwards, which moves nothing in time.
    #[must_use]
    pub fn without_offset(&self) -> Clip {
        let keep = (-std::f64::consts::TAU * OFFSET_HERTZ / f64::from(self.rate)).exp();
        let mut samples: Vec<f64> = self.samples.iter().map(|s| f64::from(*s)).collect();
        for _ in 0..2 {
            let mut under = samples.first().copied().unwrap_or(0.0);
            for sample in &mut samples {
                under = keep * under + (1.0 - keep) * *sample;
                *sample -= under;
            }
            samples.reverse();
        }
        Clip::new(samples.into_iter().map(|s| s as f32).collect(), self.rate)
    }

    /// The share of samples that lie, three or more in a row, at the clip's highest or lowest value: 0 for what no
    /// converter has cut, 0.01 for speech that is plainly distorted. To be measured before anything else is done
    /// to a clip, since any filter, and any lossy coding, rounds the cut tops.
    pub fn clipped_share(&self) -> f64 {
        let high = self.samples.iter().copied().fold(0.0f32, f32::max);
        let low = self.samples.iter().copied().fold(0.0f32, f32::min);
        let mut clipped = 0;
        for extreme in [high, low].into_iter().filter(|extreme| extreme.abs() > QUIETEST) {
            let mut run = 0;
            for sample in self.samples.iter().copied().chain([0.0]) {
                if (sample - extreme).abs() <= SAME {
                    run += 1;
                    continue;
                }
                clipped += if run >= FEWEST { run } else { 0 };
                run = 0;
            }
        }
        clipped as f64 / self.samples.len().max(1) as f64
    }

    /// A part of the clip; what lies beyond its ends is left out.
    #[must_use]
    pub fn part(&self, span: Span) -> Clip {
        let at = |seconds: f64| {
            ((seconds.max(0.0) * f64::from(self.rate)).round() as usize).min(self.samples.len())
        };
        let (start, end) = (at(span.start), at(span.end));
        Clip::new(self.samples[start..end.max(start)].to_vec(), self.rate)
    }
}

/// The clips one after the other with `gap` seconds of silence between them, each faded in and out over 8 ms,
/// and where each lies.
///
/// # Errors
/// If their rates differ.
pub fn join(clips: &[Clip], gap: f64) -> Result<(Clip, Vec<Span>)> {
    let rate = clips.first().map_or(1, |clip| clip.rate);
    let mut joined = Clip::new(Vec::new(), rate);
    let mut spans = Vec::with_capacity(clips.len());
    for clip in clips {
        if clip.rate != rate {
            let rates = (format!("{} Hz", clip.rate), format!("{rate} Hz"));
            return Err(MediaError::shape("joining clips", rates.0, rates.1));
        }
        if !spans.is_empty() {
            joined.samples.extend(Clip::silence(gap, rate).samples);
        }
        let start = joined.seconds();
        joined.samples.extend(&faded(clip).samples);
        spans.push(Span { start, end: joined.seconds() });
    }
    Ok((joined, spans))
}

/// The clip with both ends drawn to zero along half a cosine.
fn faded(clip: &Clip) -> Clip {
    let mut faded = clip.clone();
    let length = ((FADE_SECONDS * f64::from(clip.rate)) as usize).min(clip.samples.len() / 2);
    let last = clip.samples.len().saturating_sub(1);
    for i in 0..length {
        let gain = 0.5 - 0.5 * (std::f32::consts::PI * i as f32 / length as f32).cos();
        faded.samples[i] *= gain;
        faded.samples[last - i] *= gain;
    }
    faded
}
