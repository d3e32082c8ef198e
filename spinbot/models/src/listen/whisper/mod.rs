//! Speech to text: Whisper tiny.en (Radford et al. 2022), decoded greedily, at rising temperatures where that fails,
//! in pieces of at most 30 s that are cut where it is quiet.
//!
//! The network runs on the CPU whatever the device: ten seconds of sound take it a fraction of a second there. Here
//! is what happens to a recording; the network's parts and the choice of tokens have their own files.

mod decode;
mod decoder;
mod encoder;
mod features;
mod kernels;
mod layers;
#[cfg(test)]
mod tests;

use super::activity::quiet_cuts;
use super::spectrogram::RATE;
use super::transcript::{DOUBTFUL, REPETITIVE, SILENT, Segment, Transcript};
use super::vocabulary::Vocabulary;
use super::weights::Weights;
use super::{check_samples, sound};
use crate::device::Device;
use crate::error::{ModelError, Result};
use crate::store::Store;
use decode::{Banned, attempt, compression_ratio};
use decoder::{Decoder, Sound};
use encoder::{Encoder, POSITIONS};
use features::{HOP, LogMel};
use safetensors::tensor::Dtype;
use std::ops::Range;

const ID: &str = "whisper-tiny.en";
/// Samples heard at a time.
const SPAN: usize = 30 * RATE;
const MELS: usize = 80;
const WIDTH: usize = 384;
const HEADS: usize = 6;
const HEAD: usize = WIDTH / HEADS;
/// 1 / sqrt(HEAD).
const QUERY_SCALE: f32 = 0.125;
const VOCABULARY: usize = 51_864;
/// Tokens with a meaning of their own.
const END: u32 = 50_256;
const START: u32 = 50_257;
const NO_SPEECH: u32 = 50_361;
const NO_TIMESTAMPS: u32 = 50_362;
/// Tried in turn until the text is neither doubtful nor repetitive: half of the six that OpenAI's `transcribe` tries.
/// The first step is small, for the speaker who does say a thing twice; at 0.8 and 1 what is no English becomes
/// words at random, less probable than what went before.
const TEMPERATURES: [f32; 3] = [0.0, 0.2, 0.6];

/// Writes down what is said in English.
pub struct Transcriber {
    mel: LogMel,
    encoder: Encoder,
    decoder: Decoder,
    vocabulary: Vocabulary,
    banned: Banned,
}

impl Transcriber {
    /// From the store's weights of `whisper-tiny.en`.
    ///
    /// # Errors
    /// [`ModelError::NotFetched`] until `spinbot models pull whisper-tiny.en`; [`ModelError::Hash`] when the file
    /// was changed; [`ModelError::Tensor`] when the device refuses the spectrogram's tables.
    pub fn load(store: &Store, device: &Device) -> Result<Self> {
        let file = store.weights(ID)?;
        let w = Weights::read(ID, &file)?;
        Ok(Transcriber {
            mel: LogMel::new(&device.0)?,
            encoder: Encoder::read(&w)?,
            decoder: Decoder::read(&w)?,
            vocabulary: Vocabulary::read(w.bytes_of_any_length("vocabulary", Dtype::U8)?),
            banned: Banned::read(&w)?,
        })
    }

    /// What is said in a recording of any length.
    ///
    /// # Errors
    /// [`ModelError::Sound`] when there are no samples, too many or some are not numbers.
    pub fn transcribe(&self, samples: &[f32]) -> Result<Transcript> {
        check_samples(samples)?;
        let pieces = quiet_cuts(samples, SPAN);
        let segments = pieces.into_iter().map(|piece| self.segment(samples, piece)).collect::<Result<_>>()?;
        Ok(Transcript { segments })
    }

    fn segment(&self, samples: &[f32], piece: Range<usize>) -> Result<Segment> {
        let heard = self.heard(&samples[piece.clone()])?;
        let most = most_tokens(piece.len());
        let mut best: Option<Segment> = None;
        for temperature in TEMPERATURES {
            let attempt = attempt(&self.decoder, &heard, &self.banned, temperature, most);
            let text = self.vocabulary.text(&attempt.tokens);
            let segment = Segment {
                start: piece.start,
                end: piece.end,
                compression_ratio: compression_ratio(&text),
                text,
                avg_logprob: attempt.avg_logprob,
                no_speech_prob: attempt.no_speech_prob,
                temperature,
                tokens: attempt.tokens.len(),
            };
            let silent = segment.no_speech_prob > SILENT && segment.avg_logprob < DOUBTFUL;
            let done = silent || (segment.avg_logprob >= DOUBTFUL && segment.compression_ratio <= REPETITIVE);
            // When none is good, the surest that does not repeat itself stands.
            let rank = |one: &Segment| (one.compression_ratio <= REPETITIVE, one.avg_logprob);
            if done || best.as_ref().is_none_or(|best| rank(&segment) > rank(best)) {
                best = Some(segment);
            }
            if done {
                break;
            }
        }
        let mut segment =
            best.ok_or_else(|| sound("no temperature to decode at", "load the transcriber again"))?;
        if segment.no_speech_prob > SILENT && segment.avg_logprob < DOUBTFUL {
            segment.text.clear();
            segment.tokens = 0;
        }
        Ok(segment)
    }

    /// At most 30 s as the decoder hears them.
    fn heard(&self, samples: &[f32]) -> Result<Sound> {
        Ok(self.decoder.listen(&self.encoder.forward(&self.features(samples)?)))
    }

    /// Frames [2 * POSITIONS, MELS] of at most 30 s.
    ///
    /// Frames of zeros fill them up to 30 s, as in faster-whisper, and none of them can be left out: the network
    /// learned to end a text by the long nothing after it. Of 60 clips (LibriSpeech, 29 of Kokoro's voices, noise,
    /// chords, a synthesiser in five languages) 18 to 26 get another text when a
    /// second to four of zeros are kept, and most clips repeat themselves when none are.
    fn features(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let mut mel = self.mel.of(samples).map_err(ModelError::tensor("writing down speech"))?;
        mel.truncate(samples.len() / HOP * MELS);
        mel.resize(2 * POSITIONS * MELS, 0.0);
        Ok(mel)
    }
}

/// Tokens that so many samples of speech need at most: 10 a second, twice what fast speech has, and some for the
/// punctuation of short ones; never more than half of what the decoder has places for, as in OpenAI's.
fn most_tokens(samples: usize) -> usize {
    (16 + samples * 10 / RATE).min(decoder::PLACES / 2)
}
