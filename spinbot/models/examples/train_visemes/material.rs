//! Clips as the network hears them, spoilt in the ways recordings are. All of it happens to mel powers: what noise, echoes
//! and filters do to a sound is a sum, a decay and a factor there, and costs next to nothing.

use crate::speech::Utterance;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use spinbot_media::audio::{AudioCaps, read};
use spinbot_models::visemes::{Ear, MELS, Mouth, RATE, SAMPLE_RATE, STACK, Viseme, timeline};
use std::path::Path;

/// A clip's samples and what is said in it.
pub struct Clip {
    pub samples: Vec<f32>,
    pub utterance: Utterance,
}

/// The clips of a folder whose names begin so, in the order of their names.
pub fn clips(folder: &Path, beginning: &str) -> Vec<Clip> {
    let mut places: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    places.retain(|place| {
        let name = place.file_name().unwrap().to_string_lossy();
        name.starts_with(beginning) && name.ends_with(".json")
    });
    places.sort();
    let clip = |place: &std::path::PathBuf| {
        let utterance = serde_json::from_slice(&std::fs::read(place).unwrap()).unwrap();
        let sound = read(&place.with_extension("wav"), "clip", &AudioCaps::default()).unwrap();
        assert_eq!(sound.rate, SAMPLE_RATE);
        Clip { samples: sound.samples, utterance }
    };
    places.iter().map(clip).collect()
}

/// Mel powers of a clip and the mouth in each frame.
pub struct Heard {
    pub powers: Vec<f32>,
    pub mouths: Vec<Mouth>,
}

/// Played `factor` times as fast, so that it is as much higher.
pub fn heard(ear: &Ear, clip: &Clip, factor: f64) -> Heard {
    let at = |place: isize| {
        usize::try_from(place).ok().and_then(|place| clip.samples.get(place)).copied().unwrap_or(0.0)
    };
    let count = (clip.samples.len() as f64 / factor) as usize;
    let samples: Vec<f32> = (0..count)
        .map(|n| {
            let place = n as f64 * factor;
            let (from, t) = (place.floor() as isize, place.fract() as f32);
            // Catmull and Rom's cubic through four samples.
            let [a, b, c, d] = [at(from - 1), at(from), at(from + 1), at(from + 2)];
            b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
        })
        .collect();
    let powers = ear.powers(&samples, &candle_core::Device::Cpu).unwrap();
    let phonemes: Vec<(char, f64, f64)> = clip
        .utterance
        .phonemes
        .iter()
        .map(|&(symbol, start, end)| (symbol, start / factor, end / factor))
        .collect();
    let mouths = timeline(&phonemes, powers.len() / MELS, RATE);
    Heard { powers, mouths }
}

/// All learned clips at some speed each, and noises.
pub struct Material {
    heard: Vec<Heard>,
    /// Mel powers of ten seconds of white noise.
    noise: Vec<f32>,
}

/// Frames of a crop: three seconds.
pub const CROP: usize = 300;

/// The share of crops in which nothing is said.
const SILENT: f64 = 0.03;

/// One crop: features `[CROP * MELS]` and the mouths.
pub struct Crop {
    pub features: Vec<f32>,
    pub mouths: Vec<Mouth>,
}

fn mean(powers: &[f32]) -> f32 {
    powers.iter().sum::<f32>() / powers.len().max(1) as f32
}

/// A curve over the bands, in powers of ten: some cosines of at most that size each, and a slope.
fn curve(size: f32, slope: f32, random: &mut ChaCha8Rng) -> [f32; MELS] {
    let waves: [f32; 5] = std::array::from_fn(|_| random.random_range(-size..size));
    let slope = random.random_range(-slope..slope);
    std::array::from_fn(|band| {
        let along = (band as f32 + 0.5) / MELS as f32;
        let wave = |(size, n): (&f32, i32)| size * (std::f32::consts::PI * along * n as f32).cos();
        waves.iter().zip(1..).map(wave).sum::<f32>() + slope * (0.5 - along)
    })
}

/// Noise of any colour, of unit loudness: from a hiss to a hum.
fn coloured(white: &[f32], random: &mut ChaCha8Rng) -> Vec<f32> {
    let factors = curve(0.4, 4.0, random).map(|power| 10.0_f32.powf(power));
    let mut powers = white.to_vec();
    for frame in powers.chunks_mut(MELS) {
        frame.iter_mut().zip(factors).for_each(|(power, factor)| *power *= factor);
    }
    let level = mean(&powers);
    powers.iter_mut().for_each(|power| *power /= level);
    powers
}

impl Material {
    /// Of one round: every clip at another speed.
    pub fn new(clips: &[Clip], seed: u64) -> Material {
        let ear = Ear::new(&candle_core::Device::Cpu).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let white: Vec<f32> = (0..10 * SAMPLE_RATE).map(|_| StandardNormal.sample(&mut random)).collect();
        let noise = ear.powers(&white, &candle_core::Device::Cpu).unwrap();
        let factor = |random: &mut ChaCha8Rng| {
            if random.random_bool(0.2) { 1.0 } else { random.random_range(0.86..1.16) }
        };
        let heard = clips.iter().map(|clip| heard(&ear, clip, factor(&mut random))).collect();
        Material { heard, noise }
    }

    /// A stretch of a clip, silence where it ends.
    fn stretch(&self, random: &mut ChaCha8Rng) -> (Vec<f32>, Vec<Mouth>) {
        let lengths = |heard: &Heard| heard.mouths.len() as f64;
        let heard = self.heard.choose_weighted(random, lengths).unwrap();
        let from = random.random_range(0..heard.mouths.len().saturating_sub(CROP).max(1));
        let to = (from + CROP).min(heard.mouths.len());
        let mut powers = heard.powers[from * MELS..to * MELS].to_vec();
        let mut mouths = heard.mouths[from..to].to_vec();
        powers.resize(CROP * MELS, 0.0);
        mouths.resize(CROP, Mouth { viseme: Viseme::Silence, jaw: 0.0 });
        (powers, mouths)
    }

    /// A crop for learning.
    pub fn crop(&self, random: &mut ChaCha8Rng) -> Crop {
        let (mut powers, mut mouths) = self.stretch(random);
        let mut level = mean(&powers).max(1e-6);
        if random.random_bool(SILENT) {
            // Nobody speaks, be there noise or nothing.
            powers.fill(0.0);
            mouths.fill(Mouth { viseme: Viseme::Silence, jaw: 0.0 });
            level *= if random.random_bool(0.5) { 1.0 } else { 1e-6 };
        }
        if random.random_bool(0.4) {
            echo(&mut powers, random);
        }
        if random.random_bool(0.9) {
            let ratio = 10.0_f32.powf(-random.random_range(0.3..4.5));
            let added = match random.random_bool(0.25) {
                true => self.babble(random),
                false => {
                    let from = random.random_range(0..self.noise.len() / MELS - CROP);
                    coloured(&self.noise[from * MELS..(from + CROP) * MELS], random)
                }
            };
            powers.iter_mut().zip(added).for_each(|(power, noise)| *power += noise * level * ratio);
        }
        colour(&mut powers, random);
        // Louder or softer recordings are as loud to the network; silences that nothing is louder than are not.
        let gain = 10.0_f32.powf(random.random_range(-2.0..1.0));
        powers.iter_mut().for_each(|power| *power *= gain);
        let mut features = spinbot_models::visemes::scaled(&powers);
        mask(&mut features, random);
        Crop { features, mouths }
    }

    /// Several people at once, of unit loudness.
    fn babble(&self, random: &mut ChaCha8Rng) -> Vec<f32> {
        let mut sum = vec![0.0; CROP * MELS];
        for _ in 0..5 {
            let (powers, _) = self.stretch(random);
            let level = mean(&powers).max(1e-6);
            sum.iter_mut().zip(powers).for_each(|(sum, power)| *sum += power / level / 5.0);
        }
        sum
    }
}

/// A room: what was heard dies away exponentially, the high bands sooner.
fn echo(powers: &mut [f32], random: &mut ChaCha8Rng) {
    let seconds = random.random_range(0.15..0.7_f32);
    let share = 10.0_f32.powf(random.random_range(-2.2..-0.7));
    let mut tail = [0.0_f32; MELS];
    for frame in powers.chunks_mut(MELS) {
        for (band, (power, tail)) in frame.iter_mut().zip(&mut tail).enumerate() {
            // 60 dB in so many seconds.
            let seconds = seconds * (1.0 - 0.5 * band as f32 / MELS as f32);
            let heard = *power;
            *power += share * *tail;
            *tail = (*tail + heard) * 10.0_f32.powf(-6.0 / (seconds * RATE as f32));
        }
    }
}

/// A microphone: a smooth curve over the bands, and sometimes an end of the band that it does not hear.
fn colour(powers: &mut [f32], random: &mut ChaCha8Rng) {
    let curve = curve(0.35, 1.5, random);
    let (mut low, mut high) = (0, MELS);
    if random.random_bool(0.15) {
        // A telephone's 300 to 3400 Hz; band 4 is at 300 Hz.
        (low, high) = (random.random_range(2..5), random.random_range(40..46));
    } else if random.random_bool(0.3) {
        high = random.random_range(46..MELS);
    }
    let factors: [f32; MELS] = std::array::from_fn(|band| {
        let heard = if (low..high).contains(&band) { 1.0 } else { 1e-4 };
        heard * 10.0_f32.powf(curve[band])
    });
    for frame in powers.chunks_mut(MELS) {
        frame.iter_mut().zip(factors).for_each(|(power, factor)| *power *= factor);
    }
}

/// Stretches of bands and of time that are not heard (Park et al. 2019, SpecAugment).
fn mask(features: &mut [f32], random: &mut ChaCha8Rng) {
    for _ in 0..2 {
        let bands = random.random_range(0..10);
        let from = random.random_range(0..MELS - bands);
        for frame in features.chunks_mut(MELS) {
            frame[from..from + bands].fill(0.0);
        }
    }
    let frames = random.random_range(0..12);
    let from = random.random_range(0..CROP - frames);
    features[from * MELS..(from + frames) * MELS].fill(0.0);
}

/// Steps of a crop.
pub const STEPS: usize = CROP / STACK;
