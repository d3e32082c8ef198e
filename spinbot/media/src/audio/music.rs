//! How much a clip sounds like music: tones that stay, and beats that return. Both are plain measures of the
//! spectrum; what a network would know of instruments and songs is not here.
//!
//! Measured (0 to 1, first 20 s of each): 24 clips of three LibriSpeech readers 0.00; a pop song, a march, house
//! and two loops from games 0.98 to 1.00; synthetic chords, melody, drums, band and vibrato singing 1.00;
//! a voice with chords, melody or a band 10 dB under it 0.78 to 1.00, 20 dB under it 0.34 to 0.60. Drums under a
//! voice are heard at equal power (0.36) and no longer at 10 dB. White noise 0.00, a pure tone 0.32, very short thuds
//! and swishes up to 0.39.

use super::Clip;
use super::spectrum::{Stft, decibels};
use crate::Result;

/// Analysis of tones: long windows, as in Seyerlehner et al. (2007), whose "continuous frequency activation" this
/// follows: in speech no frequency stays a peak for long, in music notes do.
const TONE_WINDOW: f64 = 0.093;
const TONE_HOP: f64 = 0.023;
/// Frames a tone's share is counted over, 2.3 s.
const BLOCK: usize = 100;
/// Tones are looked for from here to here, in Hz.
const TONES: (f32, f32) = (150.0, 5000.0);
/// A peak stands this many dB over the mean of its surroundings ...
const PEAK: f32 = 6.0;
/// ... that reach this far to both sides, in Hz ...
const AROUND: f32 = 225.0;
/// ... and no further below the loudest of its block: hum under a voice is no music.
const DEEPEST: f32 = 40.0;
/// The tones that count, and how far apart in Hz they must lie.
const STRONGEST: usize = 5;
const APART: f32 = 40.0;
/// Shares of time a tone stays: readers reach 0.14 to 0.24, music 0.51 to 0.70.
const STAYING: (f64, f64) = (0.25, 0.55);

/// Analysis of beats.
const BEAT_WINDOW: f64 = 0.032;
const BEAT_HOP: f64 = 0.01;
const BEAT_EDGES: [f32; 9] = [150.0, 300.0, 550.0, 900.0, 1400.0, 2100.0, 3200.0, 5000.0, 8000.0];
/// Lags of the autocorrelation of onsets, in hops: 50 to 300 beats a minute.
const LAGS: std::ops::Range<usize> = 20..120;
/// Shorter clips, in hops, have too few beats: three syllables at even distance would do.
const FEWEST_HOPS: usize = 500;
/// Correlations of onsets: readers reach 0.09 to 0.28, drums 0.9 and more.
const RETURNING: (f64, f64) = (0.40, 0.80);

impl Clip {
    /// How much the clip sounds like music, 0..=1: 0 for speech, above 0.7 for music and for speech over music,
    /// between for music far below a voice.
    ///
    /// # Errors
    /// As [`Clip::activity`].
    pub fn music_score(&self) -> Result<f64> {
        let near = |value: f64, (low, high): (f64, f64)| ((value - low) / (high - low)).clamp(0.0, 1.0);
        Ok(near(self.staying()?, STAYING).max(near(self.returning()?, RETURNING)))
    }

    /// For how much of the time the strongest tones stay where they are, averaged over blocks of 2.3 s.
    fn staying(&self) -> Result<f64> {
        let samples = |seconds: f64| (seconds * f64::from(self.rate)) as usize;
        let window = samples(TONE_WINDOW);
        let stft = Stft::new(window, samples(TONE_HOP), window.next_power_of_two());
        let mut levels: Vec<Vec<f32>> = Vec::new();
        stft.each(&self.samples, |_, bins| {
            levels.push(bins.iter().map(|bin| decibels(bin.norm_sqr())).collect());
        })?;
        let bin = |hertz: f32| stft.bin(hertz.min(0.45 * self.rate as f32), self.rate);
        let tones = bin(TONES.0)..bin(TONES.1);
        let (around, apart) = (bin(AROUND), bin(APART).max(2));
        let blocks: Vec<f32> = (0..levels.len())
            .step_by(BLOCK / 2)
            .filter(|start| *start == 0 || start + BLOCK / 2 < levels.len())
            .map(|start| {
                let frames = &levels[start..(start + BLOCK).min(levels.len())];
                strongest(peaks(frames, tones.clone(), around), around, apart)
            })
            .collect();
        Ok(f64::from(blocks.iter().sum::<f32>()) / blocks.len().max(1) as f64)
    }

    /// How alike the clip's onsets are to themselves a beat later, at the best beat.
    fn returning(&self) -> Result<f64> {
        let samples = |seconds: f64| (seconds * f64::from(self.rate)) as usize;
        let window = samples(BEAT_WINDOW);
        let stft = Stft::new(window, samples(BEAT_HOP), window.next_power_of_two());
        if stft.frames(self.samples.len()) < FEWEST_HOPS {
            return Ok(0.0);
        }
        let edges = BEAT_EDGES.map(|hertz| stft.bin(hertz, self.rate));
        let mut levels: Vec<[f32; BEAT_EDGES.len() - 1]> = Vec::new();
        stft.each(&self.samples, |_, bins| {
            levels.push(std::array::from_fn(|band| {
                let power: f32 = bins[edges[band]..edges[band + 1]].iter().map(|bin| bin.norm_sqr()).sum();
                decibels(power + 1e-9)
            }));
        })?;
        // By how much each band has risen in three hops.
        let rises = levels.windows(4).map(|w| {
            w[3].iter()
                .zip(&w[0])
                .map(|(now, before)| f64::from((now - before).clamp(0.0, 20.0)))
                .sum::<f64>()
        });
        let rises: Vec<f64> = rises.collect();
        let mean = rises.iter().sum::<f64>() / rises.len() as f64;
        let rises: Vec<f64> = rises.iter().map(|rise| rise - mean).collect();
        let product = |lag: usize| {
            rises.iter().zip(&rises[lag..]).map(|(a, b)| a * b).sum::<f64>() / (rises.len() - lag) as f64
        };
        let power = product(0).max(1e-6);
        Ok(LAGS.map(|lag| product(lag) / power).fold(0.0, f64::max))
    }
}

/// For each bin up to the last tone's, the share of frames in which it is a peak.
fn peaks(frames: &[Vec<f32>], tones: std::ops::Range<usize>, around: usize) -> Vec<f32> {
    let top = frames.iter().flat_map(|f| &f[tones.clone()]).copied().fold(f32::NEG_INFINITY, f32::max);
    let mut shares = vec![0.0; tones.end];
    let mut sums = Vec::new();
    for frame in frames {
        sums.clear();
        sums.push(0.0f32);
        sums.extend(frame.iter().scan(0.0, |sum, level| {
            *sum += level;
            Some(*sum)
        }));
        for bin in tones.clone() {
            let (from, to) = (bin.saturating_sub(around), (bin + around + 1).min(frame.len()));
            let mean = (sums[to] - sums[from]) / (to - from) as f32;
            if frame[bin] > mean + PEAK && frame[bin] > top - DEEPEST {
                shares[bin] += 1.0 / frames.len() as f32;
            }
        }
    }
    shares
}

/// Mean prominence of the strongest bins, over their surroundings.
fn strongest(shares: Vec<f32>, around: usize, apart: usize) -> f32 {
    let mut prominence: Vec<f32> = (0..shares.len())
        .map(|bin| {
            let near = &shares[bin.saturating_sub(around)..(bin + around + 1).min(shares.len())];
            shares[bin] - near.iter().sum::<f32>() / near.len() as f32
        })
        .collect();
    let mut sum = 0.0;
    for _ in 0..STRONGEST {
        let best = prominence.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((at, best)) = best else { break };
        sum += best.max(0.0) / STRONGEST as f32;
        let end = (at + apart + 1).min(prominence.len());
        prominence[at.saturating_sub(apart)..end].fill(0.0);
    }
    sum
}
