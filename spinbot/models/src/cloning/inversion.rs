//! Gradient style inversion: the style whose speech the speaker encoder takes for the speaker's.
//!
//! The loss of a step is 1 - cos(voice of a random crop, the speaker's voice) plus a pull towards the stock
//! voices: the offset is measured in standard deviations of theirs, so that directions in which real voices
//! differ are cheap and others are not. Durations, melody (at the speaker's pitch) and energy stay the stock
//! voice's.

use super::adam::Adam;
use super::{SOUND, StepReport};
use crate::error::{ModelError, Result};
use crate::kokoro::voice::{STOCK, STYLE, StockVoices, VoicePack};
use crate::kokoro::{Decoder, Features, Kokoro, Noise, Pitch};
use crate::listen::{SpeakerEncoder, Voiceprint};
use candle_core::{DType, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Frames at a sentence's ends that hold no voice.
const MARGIN: usize = 6;
/// Adam's moments.
const BETAS: (f64, f64) = (0.8, 0.95);
/// What is left of the rate at the end.
const LAST_RATE: f64 = 0.005;
/// The length of text whose styles the spread is measured on, in phonemes.
const TYPICAL: usize = 61;

/// What the first stage takes.
pub struct Inversion<'a> {
    /// The front half: durations, melody, energy.
    pub kokoro: &'a Kokoro,
    /// The back half.
    pub decoder: &'a Decoder,
    /// Hears who speaks.
    pub encoder: &'a SpeakerEncoder,
    /// The stock voice it starts from.
    pub base: &'a VoicePack,
    /// The speaker's voice.
    pub target: &'a Voiceprint,
    /// The speaker's pitch.
    pub pitch: Option<Pitch>,
    /// What is said while searching, as token ids with pads; several sentences of some seconds each.
    pub sentences: &'a [Vec<u32>],
    /// The stock voices' spread, from [`style_spread`].
    pub spread: &'a [f32; SOUND],
    /// Steps, 1 or more; 40 to 60 find nearly all there is.
    pub steps: usize,
    /// Frames of 25 ms in a crop; 68 are 1.7 s, a window of the encoder.
    pub crop: usize,
    /// Adam's rate at the start, in standard deviations of the stock voices.
    pub rate: f64,
    /// How strongly the offset is pulled back: the weight of its mean square.
    pub pull: f64,
    /// Decides crops and noise.
    pub seed: u64,
}

/// How much the stock voices' styles differ in each of the numbers of their sound.
///
/// # Errors
/// What [`StockVoices::pack`] returns.
pub fn style_spread(voices: &StockVoices) -> Result<[f32; SOUND]> {
    let packs = STOCK.iter().map(|voice| voices.pack(voice.name)).collect::<Result<Vec<_>>>()?;
    let count = packs.len() as f32;
    Ok(std::array::from_fn(|n| {
        let value = |pack: &VoicePack| pack.style(TYPICAL)[n];
        let mean = packs.iter().map(value).sum::<f32>() / count;
        (packs.iter().map(|pack| (value(pack) - mean).powi(2)).sum::<f32>() / count).sqrt()
    }))
}

/// Searches; the offset to add to the base's sound (see [`super::moved`]). `on_step` hears of each step and ends
/// the search by returning false: the offset found until then is the result.
///
/// # Errors
/// [`ModelError::Phonemes`] when there are no sentences; what the networks return.
pub fn invert(inversion: &Inversion, on_step: &mut dyn FnMut(StepReport) -> bool) -> Result<[f32; SOUND]> {
    if inversion.sentences.is_empty() {
        return Err(ModelError::Phonemes { reason: "there are no sentences to search with".into() });
    }
    let sentences = inversion.sentences.iter().map(|tokens| prepared(inversion, tokens));
    let sentences = sentences.collect::<Result<Vec<_>>>()?;
    let offset = search(inversion, &sentences, on_step)?;
    let values: Vec<f32> = offset.to_vec1().map_err(ModelError::tensor("reading the style found"))?;
    Ok(std::array::from_fn(|n| values.get(n).copied().unwrap_or(0.0)))
}

/// A sentence in the base's melody at the speaker's pitch, with the base's sound.
struct Sentence {
    features: Features,
    frames: usize,
    style: [f32; STYLE],
}

fn prepared(inversion: &Inversion, tokens: &[u32]) -> Result<Sentence> {
    let style = *inversion.base.style(tokens.len().saturating_sub(2));
    let prosody = inversion.kokoro.prosody(tokens, &style, 1.0)?;
    let frames = prosody.frames();
    let mut features = Features::from(prosody);
    if let Some(pitch) = inversion.pitch {
        pitch.lay_over(&mut features.f0);
    }
    Ok(Sentence { features, frames, style })
}

fn search(
    inversion: &Inversion,
    sentences: &[Sentence],
    on_step: &mut dyn FnMut(StepReport) -> bool,
) -> Result<Tensor> {
    let doing = || ModelError::tensor("searching for the voice");
    let device = inversion.decoder.device();
    let mut random = ChaCha8Rng::seed_from_u64(inversion.seed);
    let target = Tensor::new(&inversion.target.0, device).map_err(doing())?;
    let spread = Tensor::new(inversion.spread, device).map_err(doing())?;
    let found = Var::zeros(SOUND, DType::F32, device).map_err(doing())?;
    let mut adam = Adam::new(vec![found.clone()], BETAS).map_err(doing())?;
    for step in 0..inversion.steps {
        let sentence = &sentences[step % sentences.len()];
        let crop = inversion.crop.min(sentence.frames);
        let last = sentence.frames - crop;
        let margin = MARGIN.min(last / 2);
        let start = random.random_range(margin..=last - margin);
        let base = Tensor::new(&sentence.style[..SOUND], device).map_err(doing())?;
        let style = (base + (found.as_tensor() * &spread).map_err(doing())?).map_err(doing())?;
        let noise = Noise::Seed(random.random());
        let sound =
            inversion.decoder.audio_tensor(&sentence.features, &style, None, noise, start..start + crop)?;
        let voice = inversion.encoder.embed_tensor(&sound)?;
        let descend = || -> candle_core::Result<(f32, f32, Tensor)> {
            let similarity = (voice * &target)?.sum_all()?;
            let far = found.as_tensor().sqr()?.mean_all()?;
            let loss = ((1.0 - &similarity)? + (far * inversion.pull)?)?;
            Ok((similarity.to_scalar()?, loss.to_scalar()?, loss))
        };
        let (similarity, value, loss) = descend().map_err(doing())?;
        if !value.is_finite() {
            return Err(ModelError::Sound {
                reason: format!(
                    "the search for the voice broke off at step {}: the loss is {value}",
                    step + 1
                ),
                advice: "give cleaner clips".into(),
            });
        }
        let gradients = loss.backward().map_err(doing())?;
        let rate = inversion.rate * (1.0 - step as f64 / inversion.steps as f64) + LAST_RATE;
        adam.step(&gradients, rate).map_err(doing())?;
        let report = StepReport { done: step + 1, total: inversion.steps, similarity, loss: value };
        if !on_step(report) {
            break;
        }
    }
    (found.as_tensor().detach() * spread).map_err(doing())
}
