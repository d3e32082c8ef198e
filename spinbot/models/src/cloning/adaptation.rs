//! Adapters in the decoder that learn a speaker from recordings whose words are known.
//!
//! A [`Lesson`] is a recording with what the decoder would have to be told to say it just so: the phonemes held
//! as long as the speaker held them, the speaker's own F0 and energy. What is left between the decoder's sound
//! and the recording is the voice, and that is what the adapters learn: by spectra at three resolutions, and by
//! the speaker encoder, so that they do not learn the room instead.

use super::adam::Adam;
use super::alignment::{HOP, UNIT, durations, energy, mel_frames};
use super::loss::SpectralLoss;
use super::{SOUND, StepReport};
use crate::error::{ModelError, Result};
use crate::kokoro::voice::{STYLE, VoicePack};
use crate::kokoro::{Adapters, Decoder, Features, Kokoro, Noise};
use crate::listen::{SpeakerEncoder, Voiceprint};
use candle_core::{Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Adam's moments.
const BETAS: (f64, f64) = (0.8, 0.97);
/// Rates at the start: of the style, in standard deviations of the stock voices, and of the adapters.
const STYLE_RATE: f64 = 0.04;
const ADAPTER_RATE: f64 = 1.5e-3;
/// What the speaker encoder counts beside the spectra.
const VOICE: f64 = 0.5;
/// How strongly the style stays where the first stage left it.
const STAY: f64 = 0.01;
/// The share of a recording's frames whose energy sets its gain.
const LOUD: f32 = 0.8;

/// A recording the adapters learn from.
#[derive(Debug)]
pub struct Lesson {
    features: Features,
    /// \[600 T\], as loud as the decoder speaks.
    samples: Tensor,
    /// Phonemes in it, which choose the style.
    phonemes: usize,
    frames: usize,
    /// Units of 25 ms each token was held by the speaker.
    durations: Vec<usize>,
}

impl Lesson {
    /// Its length in seconds.
    pub fn seconds(&self) -> f64 {
        self.frames as f64 * 0.025
    }

    /// Units of 25 ms each token was held by the speaker, pads included.
    pub fn durations(&self) -> &[usize] {
        &self.durations
    }
}

/// Makes a lesson of a recording (24 kHz, one sentence or two, at most half a minute, trimmed) and its words as
/// `tokens` (with pads). `f0` is the recording's, in Hz every 12.5 ms, 0 where unvoiced; missing values are 0.
///
/// # Errors
/// [`ModelError::Sound`] when the recording is shorter than its phonemes could be; what the networks return.
pub fn lesson(
    kokoro: &Kokoro,
    decoder: &Decoder,
    base: &VoicePack,
    tokens: &[u32],
    samples: &[f32],
    f0: &[f32],
) -> Result<Lesson> {
    let units = samples.len() / UNIT;
    if units < tokens.len() {
        return Err(ModelError::Sound {
            reason: format!("{} phonemes do not fit in {:.1} s", tokens.len(), units as f64 * 0.025),
            advice: "check that the transcript is what is said in the clip".into(),
        });
    }
    let phonemes = tokens.len().saturating_sub(2);
    let style = base.style(phonemes);
    let prosody = kokoro.prosody(tokens, style, 1.0)?;
    let ours = prosody.durations.clone();
    let features = Features::from(prosody);
    let mut sound = [0.0; SOUND];
    sound.copy_from_slice(&style[..SOUND]);
    let synthetic = mel_frames(&decoder.audio(&features, &sound, None, Noise::Off)?);

    let mut samples = samples[..units * UNIT].to_vec();
    let said = energy(&synthetic);
    // Energies grow with twice the logarithm of the amplitude.
    let louder = (percentile(&said, LOUD) - percentile(&energy(&mel_frames(&samples)), LOUD)) / 2.0;
    samples.iter_mut().for_each(|sample| *sample *= louder.exp());
    let real = mel_frames(&samples);
    let held = durations(&synthetic, &ours, &real, units);

    // What the network predicts lies a little above what is measured on its own sound.
    let count = said.len().min(features.energy.len()).max(1);
    let above = features.energy.iter().zip(&said).map(|(predicted, said)| predicted - said).sum::<f32>();
    let above = above / count as f32;
    let own_energy = energy(&real).into_iter().take(2 * units).map(|e| e + above).collect();
    let mut own_f0 = f0.to_vec();
    own_f0.resize(2 * units, 0.0);

    let gather = || -> candle_core::Result<(Tensor, Tensor)> {
        // Every frame of a token is told the same of it: the first stands for all.
        let firsts = ours.iter().scan(0, |at, held| {
            *at += held;
            Some(*at - held)
        });
        let firsts: Vec<usize> = firsts.collect();
        let frames = held.iter().zip(&firsts).flat_map(|(n, first)| std::iter::repeat_n(*first as u32, *n));
        let frames = Tensor::from_iter(frames, features.asr.device())?;
        Ok((features.asr.index_select(&frames, 0)?, Tensor::new(samples.as_slice(), decoder.device())?))
    };
    let (asr, samples) = gather().map_err(ModelError::tensor("preparing a recording"))?;
    debug_assert_eq!(samples.elem_count(), 2 * HOP * units);
    Ok(Lesson {
        features: Features { asr, f0: own_f0, energy: own_energy },
        samples,
        phonemes,
        frames: units,
        durations: held,
    })
}

/// What the second stage takes.
pub struct Adaptation<'a> {
    /// The decoder the adapters are for.
    pub decoder: &'a Decoder,
    /// Hears who speaks.
    pub encoder: &'a SpeakerEncoder,
    /// The stock voice all this starts from.
    pub base: &'a VoicePack,
    /// What the first stage added to its sound; zeros when there was none.
    pub offset: &'a [f32; SOUND],
    /// The stock voices' spread, from [`super::style_spread`].
    pub spread: &'a [f32; SOUND],
    /// The speaker's voice.
    pub target: &'a Voiceprint,
    /// What is learned from.
    pub lessons: &'a [Lesson],
    /// Rank of the adapters; 4 are 539,000 numbers.
    pub rank: usize,
    /// Steps, 1 or more.
    pub steps: usize,
    /// Frames of 25 ms in a crop.
    pub crop: usize,
    /// Decides crops, noise and the adapters' start.
    pub seed: u64,
}

/// Learns; the offset of the style's sound as it is now, and the adapters. `on_step` hears of each step and ends
/// the learning by returning false.
///
/// # Errors
/// [`ModelError::Sound`] when there are no lessons or the loss is no number any more; what the networks return.
pub fn adapt(
    adaptation: &Adaptation,
    on_step: &mut dyn FnMut(StepReport) -> bool,
) -> Result<([f32; SOUND], Adapters)> {
    let lessons = adaptation.lessons;
    if lessons.is_empty() {
        return Err(ModelError::Sound {
            reason: "there is no recording to learn from".into(),
            advice: "give clips with their transcript".into(),
        });
    }
    let doing = || ModelError::tensor("learning the voice");
    let device = adaptation.decoder.device();
    let mut random = ChaCha8Rng::seed_from_u64(adaptation.seed);
    let adapters = Adapters::new(adaptation.decoder, adaptation.rank, adaptation.seed)?;
    let spectra = SpectralLoss::new(device).map_err(doing())?;
    let spread = Tensor::new(adaptation.spread, device).map_err(doing())?;
    let target = Tensor::new(&adaptation.target.0, device).map_err(doing())?;
    let start: Vec<f32> =
        adaptation.offset.iter().zip(adaptation.spread).map(|(o, s)| o / s.max(1e-6)).collect();
    let start = Tensor::new(start.as_slice(), device).map_err(doing())?;
    let place = Var::from_tensor(&start).map_err(doing())?;
    let mut style_adam = Adam::new(vec![place.clone()], BETAS).map_err(doing())?;
    let mut adapter_adam = Adam::new(adapters.variables().to_vec(), BETAS).map_err(doing())?;
    let all: usize = lessons.iter().map(|lesson| lesson.frames).sum();

    for step in 0..adaptation.steps {
        // Long recordings teach more: a frame is drawn, and the lesson it lies in taken.
        let mut drawn = random.random_range(0..all);
        let lesson = lessons.iter().find(|lesson| {
            let here = drawn < lesson.frames;
            drawn = drawn.saturating_sub(if here { 0 } else { lesson.frames });
            here
        });
        let lesson = lesson.unwrap_or(&lessons[0]);
        let crop = adaptation.crop.min(lesson.frames);
        let from = random.random_range(0..=lesson.frames - crop);
        let base: &[f32; STYLE] = adaptation.base.style(lesson.phonemes);
        let style = Tensor::new(&base[..SOUND], device)
            .and_then(|base| base + (place.as_tensor() * &spread)?)
            .map_err(doing())?;
        let noise = Noise::Seed(random.random());
        let sound = adaptation.decoder.audio_tensor(
            &lesson.features,
            &style,
            Some(&adapters),
            noise,
            from..from + crop,
        )?;
        let voice = adaptation.encoder.embed_tensor(&sound)?;
        let descend = || -> candle_core::Result<(f32, f32, Tensor)> {
            let recorded = lesson.samples.narrow(0, from * UNIT, crop * UNIT)?;
            // The ends of a crop know nothing of what was beyond them.
            let inner = |sound: &Tensor| match crop > 4 {
                true => sound.narrow(0, UNIT, (crop - 2) * UNIT),
                false => Ok(sound.clone()),
            };
            let similarity = (voice * &target)?.sum_all()?;
            let apart = spectra.between(&inner(&sound)?, &inner(&recorded)?)?;
            let strayed = (place.as_tensor() - &start)?.sqr()?.mean_all()?;
            let loss = ((apart + ((1.0 - &similarity)? * VOICE)?)? + (strayed * STAY)?)?;
            Ok((similarity.to_scalar()?, loss.to_scalar()?, loss))
        };
        let (similarity, value, loss) = descend().map_err(doing())?;
        if !value.is_finite() {
            return Err(ModelError::Sound {
                reason: format!("learning the voice broke off at step {}: the loss is {value}", step + 1),
                advice: "give cleaner clips".into(),
            });
        }
        let gradients = loss.backward().map_err(doing())?;
        let share = 0.1 + 0.9 * (1.0 - step as f64 / adaptation.steps as f64);
        style_adam.step(&gradients, STYLE_RATE * share).map_err(doing())?;
        adapter_adam.step(&gradients, ADAPTER_RATE * share).map_err(doing())?;
        let report = StepReport { done: step + 1, total: adaptation.steps, similarity, loss: value };
        if !on_step(report) {
            break;
        }
    }
    let offset = (place.as_tensor().detach() * spread).and_then(|offset| offset.to_vec1::<f32>());
    let offset = offset.map_err(doing())?;
    Ok((std::array::from_fn(|n| offset.get(n).copied().unwrap_or(0.0)), adapters))
}

/// The value below which that share of the values lie; 0 of none.
fn percentile(values: &[f32], share: f32) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = (share * sorted.len().saturating_sub(1) as f32).round() as usize;
    sorted.get(at).copied().unwrap_or(0.0)
}
