//! Changes of rate and level, all of zero delay: sample `t` seconds in stays `t` seconds in, because lips
//! follow these clips.

use super::Clip;
use crate::{MediaError, Result};
use ebur128::{EbuR128, Mode};
use rubato::{FftFixedInOut, Resampler};
use std::collections::VecDeque;

/// Half the reach of the limiter: it turns the level down this long before a peak.
const LOOK_SECONDS: f64 = 0.005;

impl Clip {
    /// The same sound at another rate, by multiplication in the frequency domain with a Blackman-Harris
    /// anti-aliasing filter (rubato). It has `round(samples * rate / self.rate)` samples, without delay.
    ///
    /// # Errors
    /// If `rate` is 0 or the resampler refuses the pair.
    pub fn resampled(&self, rate: u32) -> Result<Clip> {
        if rate == self.rate || self.samples.is_empty() && rate > 0 {
            return Ok(Clip::new(self.samples.clone(), rate));
        }
        if rate == 0 {
            return Err(MediaError::shape("resampling", "0 Hz", "a rate above 0"));
        }
        let doing = || format!("resampling from {} to {rate} Hz", self.rate);
        // rubato's delay is half a transform of the output. An even number of the smallest blocks makes that
        // a whole number of samples, so that cutting it off leaves no fraction behind.
        let smallest = (self.rate / gcd(self.rate, rate)) as usize;
        let blocks = 1024_usize.div_ceil(smallest).next_multiple_of(2);
        let mut resampler =
            FftFixedInOut::<f32>::new(self.rate as usize, rate as usize, smallest * blocks, 1)
                .map_err(|e| MediaError::encode(doing(), e))?;
        let (step, delay) = (resampler.input_frames_next(), resampler.output_delay());
        let wanted =
            (self.samples.len() as u64 * u64::from(rate) + u64::from(self.rate) / 2) / u64::from(self.rate);
        let wanted = wanted as usize;
        let mut output = Vec::with_capacity(wanted + delay + resampler.output_frames_max());
        let mut block = vec![0.0; step];
        let mut chunks = self.samples.chunks(step);
        while output.len() < wanted + delay {
            let chunk = chunks.next().unwrap_or_default();
            block[..chunk.len()].copy_from_slice(chunk);
            block[chunk.len()..].fill(0.0);
            let made = resampler.process(&[&block], None).map_err(|e| MediaError::encode(doing(), e))?;
            output.extend_from_slice(&made[0]);
        }
        output.drain(..delay);
        output.truncate(wanted);
        Ok(Clip::new(output, rate))
    }

    /// Integrated loudness in LUFS (EBU R 128); negative infinity for silence. A clip under 0.4 s, one gating
    /// block, is measured as if repeated.
    ///
    /// # Errors
    /// If the meter refuses the rate.
    pub fn loudness(&self) -> Result<f64> {
        let failed =
            |e: ebur128::Error| MediaError::encode(format!("measuring loudness at {} Hz", self.rate), e);
        let mut meter = EbuR128::new(1, self.rate, Mode::I).map_err(failed)?;
        if self.samples.is_empty() {
            return Ok(f64::NEG_INFINITY);
        }
        let block = (0.4 * f64::from(self.rate)).ceil() as usize;
        for _ in 0..block.div_ceil(self.samples.len()) {
            meter.add_frames_f32(&self.samples).map_err(failed)?;
        }
        meter.loudness_global().map_err(failed)
    }

    /// The clip brought to `lufs` with no sample above `peak_dbfs`. Peaks that would rise above it are turned
    /// down smoothly over 5 ms to each side, so a few loud plosives do not keep the whole clip quiet; what that
    /// costs in loudness is made up for, up to 6 dB. Silence is returned as it is.
    ///
    /// # Errors
    /// If the loudness cannot be measured.
    pub fn normalized(&self, lufs: f64, peak_dbfs: f64) -> Result<Clip> {
        let loudness = self.loudness()?;
        if !loudness.is_finite() {
            return Ok(self.clone());
        }
        let ceiling = 10f64.powf(peak_dbfs / 20.0) as f32;
        let mut gain = lufs - loudness;
        let most = gain + 6.0;
        for _ in 0..3 {
            let brought = self.amplified(gain, ceiling);
            let missing = lufs - brought.loudness()?;
            if missing < 0.1 || gain >= most {
                return Ok(brought);
            }
            gain = (gain + missing).min(most);
        }
        Ok(self.amplified(gain, ceiling))
    }

    /// The clip `decibels` louder, limited to `ceiling`.
    fn amplified(&self, decibels: f64, ceiling: f32) -> Clip {
        let factor = 10f64.powf(decibels / 20.0) as f32;
        let mut samples: Vec<f32> = self.samples.iter().map(|s| s * factor).collect();
        limit(&mut samples, ceiling, (LOOK_SECONDS * f64::from(self.rate)) as usize);
        Clip::new(samples, self.rate)
    }
}

/// Turns peaks above `ceiling` down. The gain at a sample is the mean, over `reach` samples to each side, of
/// the smallest gain needed within `reach` of each: every term of that mean is at most what the sample itself
/// needs, so the ceiling holds exactly while the gain changes slowly.
fn limit(samples: &mut [f32], ceiling: f32, reach: usize) {
    let needed: Vec<f32> = samples.iter().map(|s| (ceiling / s.abs().max(ceiling)).min(1.0)).collect();
    if needed.iter().all(|g| *g >= 1.0) {
        return;
    }
    let smallest = sliding_minimum(&needed, reach);
    let mut sums = Vec::with_capacity(smallest.len() + 1);
    sums.push(0.0f64);
    for (i, gain) in smallest.iter().enumerate() {
        sums.push(sums[i] + f64::from(*gain));
    }
    for (i, sample) in samples.iter_mut().enumerate() {
        let (from, to) = (i.saturating_sub(reach), (i + reach + 1).min(smallest.len()));
        let gain = (sums[to] - sums[from]) / (to - from) as f64;
        *sample = (*sample * gain as f32).clamp(-ceiling, ceiling);
    }
}

/// The minimum over `reach` values to each side, in one pass.
fn sliding_minimum(values: &[f32], reach: usize) -> Vec<f32> {
    let mut candidates: VecDeque<usize> = VecDeque::new();
    let mut next = 0;
    (0..values.len())
        .map(|i| {
            while next < (i + reach + 1).min(values.len()) {
                while candidates.back().is_some_and(|last| values[*last] >= values[next]) {
                    candidates.pop_back();
                }
                candidates.push_back(next);
                next += 1;
            }
            while candidates.front().is_some_and(|first| first + reach < i) {
                candidates.pop_front();
            }
            candidates.front().map_or(1.0, |first| values[*first])
        })
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sliding_minimum_looks_both_ways() {
        let cases: [(&[f32], usize, &[f32]); 3] = [
            (&[3.0, 1.0, 2.0, 5.0, 4.0], 1, &[1.0, 1.0, 1.0, 2.0, 4.0]),
            (&[3.0, 1.0, 2.0, 5.0, 4.0], 0, &[3.0, 1.0, 2.0, 5.0, 4.0]),
            (&[3.0, 2.0], 9, &[2.0, 2.0]),
        ];
        for (values, reach, expected) in cases {
            assert_eq!(sliding_minimum(values, reach), expected);
        }
    }
}
