//! Where in a clip someone speaks: loud parts over a steady ground, found by energy alone. Music, a barking dog
//! and a passing train are loud parts too; telling them from speech is not done here.

use super::Clip;
use super::spectrum::{Stft, decibels, percentile};
use crate::Result;

/// Frames a second.
const RATE: f64 = 100.0;
const WINDOW_SECONDS: f64 = 0.032;
/// Edges of the bands in Hz, about as wide as an ear's twice over: hum disturbs one of them, hiss the upper ones,
/// and an [s] is heard as well as a vowel.
const EDGES: [f32; 9] = [100.0, 300.0, 550.0, 900.0, 1400.0, 2100.0, 3200.0, 5000.0, 8000.0];
const BANDS: usize = EDGES.len() - 1;
/// Ground is what a band falls to for this share of the time ...
const GROUND_SHARE: f32 = 0.10;
/// ... but never further than this below its loud parts: digital silence would make any breath stand out.
const DEEPEST: f32 = 50.0;
/// A clip whose loud parts stand out less than this, over all bands, holds nothing but its ground: steady noise
/// reaches 1.6 to 2.2 dB, speech in as much white noise as speech 5 dB and more.
const LEAST_CONTRAST: f32 = 3.5;
/// Shortest island taken for speech: a click is shorter, the shortest syllable is not.
const SHORTEST: f64 = 0.06;
/// Gaps up to this long are closed: stops hold their breath 0.05 to 0.15 s.
const LONGEST_GAP: f64 = 0.20;
/// Room rings and breath run beside speech; frames this near to it do not count as pauses.
const GUARD: usize = 5;
/// Fewest frames of pause noise is measured on.
const FEWEST_PAUSES: usize = 20;
/// The highest signal to noise ratio told, in dB; 16 bits hold no more.
const HIGHEST_SNR: f64 = 90.0;

/// A part of a clip, in seconds from its start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Where it begins.
    pub start: f64,
    /// Where it ends.
    pub end: f64,
}

impl Span {
    /// How long it is.
    pub fn seconds(&self) -> f64 {
        self.end - self.start
    }
}

/// What [`Clip::activity`] finds.
#[derive(Debug, Clone)]
pub struct Activity {
    spans: Vec<Span>,
    seconds: f64,
    snr: Option<f64>,
}

impl Activity {
    /// The parts with speech in them, in order, apart by more than 0.2 s; none for silence and for steady noise.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// How much speech there is, in seconds.
    pub fn speech_seconds(&self) -> f64 {
        self.spans.iter().map(Span::seconds).sum()
    }

    /// The share of the clip without speech, 0..=1.
    pub fn silence_share(&self) -> f64 {
        if self.seconds > 0.0 { (1.0 - self.speech_seconds() / self.seconds).clamp(0.0, 1.0) } else { 1.0 }
    }

    /// Power of the speech against that of the pauses, 50 Hz to 8 kHz, in dB; `None` if there is no speech. Where
    /// there are no pauses, the quietest moments stand for them.
    pub fn snr_db(&self) -> Option<f64> {
        self.snr
    }

    /// From the first speech to the last, with `margin` seconds on both sides where the clip has them; `None` if
    /// there is no speech.
    pub fn whole(&self, margin: f64) -> Option<Span> {
        let (first, last) = (self.spans.first()?, self.spans.last()?);
        Some(Span { start: (first.start - margin).max(0.0), end: (last.end + margin).min(self.seconds) })
    }
}

impl Clip {
    /// Finds the speech in the clip.
    ///
    /// # Errors
    /// If the Fourier transform fails, which it does not for lengths of its own choosing.
    pub fn activity(&self) -> Result<Activity> {
        let frames = Frames::of(self)?;
        let contrast = frames.contrast();
        let top = percentile(&contrast, 0.95).unwrap_or(0.0);
        let active = if top < LEAST_CONTRAST { vec![false; contrast.len()] } else { islands(&contrast, top) };
        let snr = frames.snr(&active);
        Ok(Activity { spans: spans(&active, self.seconds()), seconds: self.seconds(), snr })
    }
}

/// What is heard in each hundredth of a second.
struct Frames {
    /// Power in each band.
    bands: Vec<[f32; BANDS]>,
    /// Power from 50 Hz to 8 kHz.
    whole: Vec<f32>,
}

impl Frames {
    fn of(clip: &Clip) -> Result<Self> {
        let samples = |seconds: f64| (seconds * f64::from(clip.rate)).round() as usize;
        let window = samples(WINDOW_SECONDS);
        let stft = Stft::new(window, samples(1.0 / RATE), window.next_power_of_two());
        let edges = EDGES.map(|hertz| stft.bin(hertz, clip.rate));
        let (low, high) = (stft.bin(50.0, clip.rate).max(1), stft.bin(8000.0, clip.rate));
        let (mut bands, mut whole) = (Vec::new(), Vec::new());
        stft.each(&clip.samples, |_, bins| {
            let power = |from: usize, to: usize| bins[from..to].iter().map(|bin| bin.norm_sqr()).sum::<f32>();
            bands.push(std::array::from_fn(|b| power(edges[b], edges[b + 1])));
            whole.push(power(low, high));
        })?;
        Ok(Frames { bands, whole })
    }

    /// By how many dB each frame stands out of the ground, averaged over the bands that reach it.
    fn contrast(&self) -> Vec<f32> {
        let mut sum = vec![0.0; self.bands.len()];
        let mut heard = 0.0f32;
        for band in 0..BANDS {
            // 5 frames: the ground of noise is then within 2 dB of its mean.
            let power: Vec<f32> = smoothed(self.bands.iter().map(|b| b[band]), 2);
            let level: Vec<f32> = power.iter().map(|p| decibels(*p)).collect();
            let top = percentile(&level, 0.95).unwrap_or(0.0);
            let ground = percentile(&level, GROUND_SHARE).unwrap_or(0.0).max(top - DEEPEST);
            // Above what a rate holds, or a telephone lets through, there is nothing to hear.
            if top < -100.0 {
                continue;
            }
            heard += 1.0;
            sum.iter_mut().zip(&level).for_each(|(sum, level)| *sum += (level - ground).max(0.0));
        }
        sum.iter_mut().for_each(|sum| *sum /= heard.max(1.0));
        sum
    }

    fn snr(&self, active: &[bool]) -> Option<f64> {
        let mean = |of: &[f32]| of.iter().map(|p| f64::from(*p)).sum::<f64>() / of.len().max(1) as f64;
        let spoken: Vec<f32> = self.whole.iter().zip(active).filter(|(_, a)| **a).map(|(p, _)| *p).collect();
        if spoken.is_empty() {
            return None;
        }
        // The first and the last frame are half beyond the clip.
        let inner = GUARD..self.whole.len().saturating_sub(GUARD);
        let pauses: Vec<f32> =
            inner.filter(|i| !active[i - GUARD..=i + GUARD].contains(&true)).map(|i| self.whole[i]).collect();
        let noise = if pauses.len() >= FEWEST_PAUSES {
            // What stands out of the pauses is breath and chair, not noise that lies under the speech.
            let calm = percentile(&pauses, 0.5).unwrap_or(0.0) * 2.0;
            mean(&pauses.iter().copied().filter(|p| *p <= calm).collect::<Vec<_>>())
        } else {
            f64::from(percentile(&smoothed(self.whole.iter().copied(), 2), 0.02).unwrap_or(0.0))
        };
        let speech = (mean(&spoken) - noise).max(noise * 1e-2);
        Some((10.0 * (speech / noise.max(1e-12)).log10()).min(HIGHEST_SNR))
    }
}

/// Frames with speech: from where the contrast rises high to where it has fallen low, short ones left out and
/// short gaps closed.
fn islands(contrast: &[f32], top: f32) -> Vec<bool> {
    let high = (0.30 * top).max(2.5);
    let low = (0.18 * top).max(2.0);
    let mut active = vec![false; contrast.len()];
    let mut i = 0;
    while i < contrast.len() {
        if contrast[i] < low {
            i += 1;
            continue;
        }
        let end = i + contrast[i..].iter().take_while(|c| **c >= low).count();
        let strong = contrast[i..end].iter().filter(|c| **c >= high).count();
        if strong as f64 >= SHORTEST * RATE {
            active[i..end].fill(true);
        }
        i = end;
    }
    let longest = (LONGEST_GAP * RATE) as usize;
    let mut last: Option<usize> = None;
    for i in 0..active.len() {
        if active[i] {
            if let Some(last) = last.filter(|last| i - last > 1 && i - last <= longest) {
                active[last..i].fill(true);
            }
            last = Some(i);
        }
    }
    active
}

fn spans(active: &[bool], seconds: f64) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = None;
    for (i, active) in active.iter().chain([&false]).enumerate() {
        match (start, active) {
            (None, true) => start = Some(i),
            (Some(from), false) => {
                // Frame `i` reaches half a hop to both sides.
                let edge = |frame: usize| ((frame as f64 - 0.5) / RATE).clamp(0.0, seconds);
                spans.push(Span { start: edge(from), end: edge(i) });
                start = None;
            }
            _ => {}
        }
    }
    spans
}

/// Means over `reach` values to each side.
fn smoothed(values: impl Iterator<Item = f32>, reach: usize) -> Vec<f32> {
    let values: Vec<f32> = values.collect();
    (0..values.len())
        .map(|i| {
            let part = &values[i.saturating_sub(reach)..(i + reach + 1).min(values.len())];
            part.iter().sum::<f32>() / part.len() as f32
        })
        .collect()
}
