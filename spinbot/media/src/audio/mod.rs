//! Sound as one channel of floats: the [`Clip`] and what is measured on it. Reading lives in `read`, writing
//! in `write`, changes of rate and level in `shape`; `activity` and `music` say what a recording is worth, `clean`
//! and `denoise` better it, all by its spectrum alone; `mix` lays music under it. Nothing here knows words, speakers or networks.

mod activity;
mod boxes;
mod clean;
mod denoise;
mod mix;
mod music;
mod read;
mod shape;
pub(crate) mod spectrum;
mod write;

pub use activity::{Activity, Span};
pub use clean::join;
pub use mix::MusicLevel;
pub use read::{AudioCaps, read, read_bytes};
pub(crate) use write::{FLAC_BLOCK, flac_frames};
pub use write::{flac_bytes, inline_bytes, mp3_bytes, wav_bytes};

/// One channel of sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Samples, nominally in -1..=1; values beyond are kept here and clipped when written.
    pub samples: Vec<f32>,
    /// Samples a second, above 0.
    pub rate: u32,
}

impl Clip {
    /// A clip of these samples. A rate of 0 becomes 1, so that no duration is ever infinite.
    pub fn new(samples: Vec<f32>, rate: u32) -> Self {
        Clip { samples, rate: rate.max(1) }
    }

    /// A clip of zeros.
    pub fn silence(seconds: f64, rate: u32) -> Self {
        Clip::new(vec![0.0; (seconds.max(0.0) * f64::from(rate)).round() as usize], rate)
    }

    /// Its duration.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }

    /// The largest magnitude, 0 for an empty clip.
    pub fn peak(&self) -> f32 {
        self.samples.iter().fold(0.0, |peak, s| peak.max(s.abs()))
    }

    /// The clip with exactly `samples` samples: the end is cut off, or zeros are added.
    #[must_use]
    pub fn fitted(&self, samples: usize) -> Clip {
        let mut fitted = self.samples[..self.samples.len().min(samples)].to_vec();
        fitted.resize(samples, 0.0);
        Clip::new(fitted, self.rate)
    }

    /// Root mean square over consecutive hops of `hop_seconds`; the last hop may be shorter. Hop `i` covers
    /// the time from `i * hop_seconds`, also where a hop is not a whole number of samples.
    pub fn rms_envelope(&self, hop_seconds: f64) -> Vec<f32> {
        let hop = (hop_seconds * f64::from(self.rate)).max(1.0);
        let hops = (self.samples.len() as f64 / hop).ceil() as usize;
        let edge = |i: usize| ((i as f64 * hop).round() as usize).min(self.samples.len());
        (0..hops)
            .map(|i| {
                let part = &self.samples[edge(i)..edge(i + 1)];
                let power =
                    part.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / part.len().max(1) as f64;
                power.sqrt() as f32
            })
            .collect()
    }
}
