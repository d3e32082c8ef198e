//! The speaker encoder of "Generalized End-to-End Loss for Speaker Verification" (Wan et al. 2018), as Resemblyzer
//! 0.1.4 trained and runs it: 40 mel powers, three LSTM layers of 256, a linear layer, a unit vector.
//!
//! Two ways in: [`SpeakerEncoder::embed`] for what was recorded and [`SpeakerEncoder::embed_tensor`] for what is
//! being made, whose gradient reaches the samples.

use super::lstm::{LayerWeights, Lstm};
use super::resample::Resampler;
use super::spectrogram::{MelSpectrogram, RATE, Shape, hann};
use super::voiceprint::{Voiceprint, mean_voiceprint};
use super::weights::Weights;
use super::{check_samples, sound};
use crate::device::Device;
use crate::embedded;
use crate::error::{ModelError, Result};
use candle_core::{D, Tensor};
use std::ops::Range;

const ID: &str = "speaker-encoder";
const MELS: usize = 40;
const HIDDEN: usize = 256;
const WINDOW: usize = 400;
const HOP: usize = 160;
/// Frames of a partial utterance: 1.6 s.
const PARTIAL: usize = 160;
/// Frames from one partial to the next: 1.3 a second.
const STEP: usize = 77;
/// The last partial counts when at least this share of it is sound.
const COVERAGE: f64 = 0.75;
/// Partials computed together; bounds the memory a long recording takes.
const TOGETHER: usize = 32;
/// How loud speech is heard (root mean square, relative to full scale): -30 dB, to which Resemblyzer raises what is
/// quieter.
const LEVEL: f64 = 0.031_622_776_601_683_79;

/// Hears who speaks: the same person's utterances lie close to each other, whatever they say.
pub struct SpeakerEncoder {
    lstm: Lstm,
    /// [hidden, out] and [out].
    weight: Tensor,
    bias: Tensor,
    mel: MelSpectrogram,
    resampler: Resampler,
    device: candle_core::Device,
}

impl SpeakerEncoder {
    /// From the weights built into the program.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device refuses the weights.
    pub fn load(device: &Device) -> Result<Self> {
        let file = embedded::bytes(ID).ok_or_else(|| ModelError::NotFetched { id: ID.into() })?;
        let w = Weights::read(ID, file)?;
        let device = &device.0;
        let layer =
            |nth| LayerWeights::pytorch(&w, "lstm", nth, if nth == 0 { MELS } else { HIDDEN }, HIDDEN);
        let layers = (0..3).map(layer).collect::<Result<_>>()?;
        let loading = || ModelError::tensor("loading weights");
        let weight = Tensor::from_vec(w.get("linear.weight", &[256, HIDDEN])?, (256, HIDDEN), device);
        Ok(SpeakerEncoder {
            lstm: Lstm::new(layers, HIDDEN, device)?,
            weight: weight.and_then(|w| w.t()?.contiguous()).map_err(loading())?,
            bias: Tensor::from_vec(w.get("linear.bias", &[256])?, 256, device).map_err(loading())?,
            mel: MelSpectrogram::new(
                &Shape { fft: WINDOW, window: &hann(WINDOW), hop: HOP, mels: MELS },
                device,
            )?,
            resampler: Resampler::new(device)?,
            device: device.clone(),
        })
    }

    /// The voice of a whole utterance: the mean of its partials, at unit length. Exactly what Resemblyzer's
    /// `embed_utterance` does; like there, volume and silences are the caller's ([`level`],
    /// [`super::Activity::speech_only`]).
    ///
    /// # Errors
    /// [`ModelError::Sound`] when there are no samples, too many or some are not numbers.
    pub fn embed(&self, samples: &[f32]) -> Result<Voiceprint> {
        let partials = self.embed_partials(samples)?;
        Ok(mean_voiceprint(partials.iter().map(|(_, print)| print)))
    }

    /// The voice of each 1.6 s, every 0.77 s, with the samples it was heard in (the last may end after the
    /// recording, the rest of it is silence).
    ///
    /// # Errors
    /// As [`SpeakerEncoder::embed`].
    pub fn embed_partials(&self, samples: &[f32]) -> Result<Vec<(Range<usize>, Voiceprint)>> {
        check_samples(samples)?;
        let starts = partial_starts(samples.len());
        let mut found = Vec::with_capacity(starts.len());
        for group in starts.chunks(TOGETHER) {
            let prints = self.group(samples, group).map_err(ModelError::tensor("hearing a voice"))?;
            let place = |&start: &usize| start * HOP..(start + PARTIAL) * HOP;
            found.extend(
                group.iter().map(place).zip(prints.into_iter().map(|print| Voiceprint::unit(&print))),
            );
        }
        Ok(found)
    }

    /// Mean of several utterances' voices, Resemblyzer's `embed_speaker`.
    ///
    /// # Errors
    /// As [`SpeakerEncoder::embed`], and when there are none.
    pub fn embed_speaker(&self, utterances: &[&[f32]]) -> Result<Voiceprint> {
        if utterances.is_empty() {
            return Err(sound("there is no utterance to hear", "give at least one clip"));
        }
        let prints = utterances.iter().map(|one| self.embed(one)).collect::<Result<Vec<_>>>()?;
        Ok(mean_voiceprint(&prints))
    }

    /// Partials that begin at those frames, in order.
    fn group(&self, samples: &[f32], starts: &[usize]) -> candle_core::Result<Vec<Vec<f32>>> {
        let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else { return Ok(Vec::new()) };
        // Frame t is centred on sample 160 t; before and after the recording is silence.
        let half = WINDOW / 2;
        let from = first * HOP;
        let length = (last - first + PARTIAL - 1) * HOP + WINDOW;
        let place = |n: usize| (from + n).checked_sub(half).and_then(|n| samples.get(n)).copied();
        let padded: Vec<f32> = (0..length).map(|n| place(n).unwrap_or(0.0)).collect();
        let mel = self.mel.forward(&Tensor::from_vec(padded, length, &self.device)?)?;
        let partials = starts.iter().map(|start| mel.narrow(0, start - first, PARTIAL));
        self.network(&Tensor::stack(&partials.collect::<candle_core::Result<Vec<_>>>()?, 0)?)?.to_vec2()
    }

    /// [batch, frames, mels] -> unit vectors [batch, 256].
    fn network(&self, mels: &Tensor) -> candle_core::Result<Tensor> {
        let hidden = self.lstm.last_hidden(mels)?;
        unit(&hidden.matmul(&self.weight)?.broadcast_add(&self.bias)?.relu()?)
    }

    /// The voice of samples being made, [n] f32 at 24 kHz -> [256] of unit length, with a gradient to the samples.
    ///
    /// They are filtered to 16 kHz and brought to -30 dB as by [`level`], and the partials are those of [`SpeakerEncoder::embed`] but for the last, which
    /// ends with the sound instead of being padded.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the input is not one row of f32 numbers on this encoder's device.
    pub fn embed_tensor(&self, samples: &Tensor) -> Result<Tensor> {
        self.differentiable(samples).map_err(ModelError::tensor("hearing a voice"))
    }

    fn differentiable(&self, samples: &Tensor) -> candle_core::Result<Tensor> {
        let heard = self.resampler.forward(samples)?;
        let loud = (heard.sqr()?.mean_all()? + 1e-12)?.sqrt()?;
        let levelled = (heard.broadcast_div(&loud)? * LEVEL)?;
        let half = WINDOW / 2;
        let mel = self.mel.forward(&levelled.pad_with_zeros(0, half, half)?)?;
        let frames = mel.dim(0)?;
        let partials = match frames.checked_sub(PARTIAL) {
            None => mel.pad_with_zeros(0, 0, PARTIAL - frames)?.unsqueeze(0)?,
            Some(last) => {
                let mut starts: Vec<usize> = (0..=last).step_by(STEP).collect();
                if !last.is_multiple_of(STEP) {
                    starts.push(last);
                }
                let partials = starts.iter().map(|&start| mel.narrow(0, start, PARTIAL));
                Tensor::stack(&partials.collect::<candle_core::Result<Vec<_>>>()?, 0)?
            }
        };
        unit(&self.network(&partials)?.mean(0)?)
    }
}

/// Along the last dimension to length one. A voice of nothing but zeros (the ReLU may give it for silence) stays
/// zero.
fn unit(x: &Tensor) -> candle_core::Result<Tensor> {
    x.broadcast_div(&(x.sqr()?.sum_keepdim(D::Minus1)? + 1e-24)?.sqrt()?)
}

/// Brings a recording to -30 dB and returns the gain. Resemblyzer raises quiet recordings to it and leaves loud ones;
/// but the encoder's spectrum is not logarithmic, and to it a voice turned up is another voice: the same speech at -20
/// and at -16 dB lost 0.04 of its likeness to its speaker.
pub fn level(samples: &mut [f32]) -> f32 {
    let power =
        samples.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / samples.len().max(1) as f64;
    let gain = match power > 0.0 {
        true => (LEVEL / power.sqrt()) as f32,
        false => 1.0,
    };
    samples.iter_mut().for_each(|x| *x *= gain);
    gain
}

/// First frames of the partials of that many samples: Resemblyzer's `compute_partial_slices`.
fn partial_starts(samples: usize) -> Vec<usize> {
    let frames = (samples + 1).div_ceil(HOP);
    let steps = (frames + STEP + 1).saturating_sub(PARTIAL).max(1);
    let mut starts: Vec<usize> = (0..steps).step_by(STEP).collect();
    let covered = |start: usize| (samples as f64 - (start * HOP) as f64) / (PARTIAL * HOP) as f64;
    if starts.len() > 1 && starts.last().is_some_and(|&last| covered(last) < COVERAGE) {
        starts.pop();
    }
    starts
}

const _: () = assert!(RATE == 16_000 && HOP == RATE / 100, "frames are 10 ms apart");
