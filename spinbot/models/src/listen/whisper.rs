//! Speech to text: Whisper tiny.en (Radford et al. 2022) through candle-transformers, decoded greedily, at rising
//! temperatures where that fails, in pieces of at most 30 s that are cut where it is quiet.

use super::activity::quiet_cuts;
use super::spectrogram::{MelSpectrogram, RATE, Shape, hann};
use super::transcript::{DOUBTFUL, REPETITIVE, SILENT, Segment, Transcript};
use super::vocabulary::Vocabulary;
use super::weights::Weights;
use super::{check_samples, sound};
use crate::device::Device;
use crate::error::{ModelError, Result};
use crate::store::Store;
use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::whisper::{Config, model::Whisper};
use flate2::{Compression, write::ZlibEncoder};
use safetensors::tensor::Dtype;
use std::io::Write;
use std::sync::Mutex;

const ID: &str = "whisper-tiny.en";
/// Samples heard at a time.
const SPAN: usize = 30 * RATE;
const WINDOW: usize = 400;
const HOP: usize = 160;
const MELS: usize = 80;
const VOCABULARY: usize = 51_864;
/// Tokens with a meaning of their own.
const END: u32 = 50_256;
const START: u32 = 50_257;
const NO_SPEECH: u32 = 50_361;
const NO_TIMESTAMPS: u32 = 50_362;
/// Most tokens of a piece, half of what the decoder has places for.
const LONGEST: usize = 224;
/// Tried in turn until the text is neither doubtful nor repetitive, as OpenAI's `transcribe` does.
const TEMPERATURES: [f32; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// Writes down what is said in English.
pub struct Transcriber {
    /// Its decoder keeps the encoded sound between steps.
    model: Mutex<Whisper>,
    mel: MelSpectrogram,
    vocabulary: Vocabulary,
    /// Never written, and not as the first token.
    suppress: Vec<u32>,
    suppress_begin: Vec<u32>,
    device: candle_core::Device,
}

/// One attempt at a piece.
struct Attempt {
    tokens: Vec<u32>,
    avg_logprob: f32,
    no_speech_prob: f32,
}

impl Transcriber {
    /// From the store's weights of `whisper-tiny.en`.
    ///
    /// # Errors
    /// [`ModelError::NotFetched`] until `spinbot models pull whisper-tiny.en`; [`ModelError::Hash`] when the file
    /// was changed; [`ModelError::Tensor`] when the device refuses the weights.
    pub fn load(store: &Store, device: &Device) -> Result<Self> {
        let file = store.weights(ID)?.into_owned();
        let w = Weights::read(ID, &file)?;
        let vocabulary = Vocabulary::read(w.bytes_of_any_length("vocabulary", Dtype::U8)?);
        let list = |name| {
            let bytes = w.bytes_of_any_length(name, Dtype::U32)?.as_chunks::<4>().0;
            Ok::<_, ModelError>(bytes.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect())
        };
        let (suppress, suppress_begin) = (list("suppress")?, list("suppress_begin")?);
        let device = &device.0;
        let config = Config {
            num_mel_bins: MELS,
            max_source_positions: 1500,
            d_model: 384,
            encoder_attention_heads: 6,
            encoder_layers: 4,
            vocab_size: VOCABULARY,
            max_target_positions: 448,
            decoder_attention_heads: 6,
            decoder_layers: 4,
            suppress_tokens: Vec::new(),
        };
        let model = VarBuilder::from_buffered_safetensors(file, DType::F32, device)
            .and_then(|weights| Whisper::load(&weights, config))
            .map_err(|e| ModelError::Weights { model: ID.into(), reason: e.to_string() })?;
        Ok(Transcriber {
            model: Mutex::new(model),
            mel: MelSpectrogram::new(
                &Shape { fft: WINDOW, window: &hann(WINDOW), hop: HOP, mels: MELS },
                device,
            )?,
            vocabulary,
            suppress,
            suppress_begin,
            device: device.clone(),
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

    fn segment(&self, samples: &[f32], piece: std::ops::Range<usize>) -> Result<Segment> {
        let mut model = self.model.lock().map_err(|_| {
            sound("an earlier transcription on this network broke off", "load the transcriber again")
        })?;
        let failed = || ModelError::tensor("writing down speech");
        let features = self.features(&samples[piece.clone()]).map_err(failed())?;
        model.reset_kv_cache();
        let heard = model.encoder.forward(&features, true).map_err(failed())?;
        let mut best: Option<Segment> = None;
        for temperature in TEMPERATURES {
            let attempt = self.attempt(&mut model, &heard, temperature).map_err(failed())?;
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

    /// [1, 80, 3000], OpenAI's log-mel of 30 s.
    fn features(&self, samples: &[f32]) -> candle_core::Result<Tensor> {
        let half = WINDOW / 2;
        let at = |n: usize| samples.get(n).copied().unwrap_or(0.0);
        // Reflected at both ends of the 30 s, as PyTorch's STFT does.
        let left = (1..=half).rev().map(at);
        let right = (SPAN - 1 - half..SPAN - 1).rev().map(at);
        let padded: Vec<f32> = left.chain((0..SPAN).map(at)).chain(right).collect();
        let mel = self.mel.forward(&Tensor::from_vec(padded, SPAN + 2 * half, &self.device)?)?;
        let log = (mel.narrow(0, 0, SPAN / HOP)?.maximum(1e-10)?.log()? * (1.0 / 10.0_f64.ln()))?;
        let loudest = f64::from(log.max_all()?.to_scalar::<f32>()?);
        ((log.maximum(loudest - 8.0)? + 4.0)? / 4.0)?.t()?.contiguous()?.unsqueeze(0)
    }

    fn attempt(&self, model: &mut Whisper, heard: &Tensor, temperature: f32) -> candle_core::Result<Attempt> {
        let mut tokens = vec![START, NO_TIMESTAMPS];
        let prompt = tokens.len();
        let (mut sum, mut no_speech_prob) = (0.0, 0.0);
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ u64::from(temperature.to_bits()));
        while tokens.len() < prompt + LONGEST {
            let first = tokens.len() == prompt;
            let input = Tensor::new(tokens.as_slice(), &self.device)?.unsqueeze(0)?;
            let states = model.decoder.forward(&input, heard, first)?;
            let logits = |at: usize| {
                model.decoder.final_linear(&states.narrow(1, at, 1)?)?.flatten_all()?.to_vec1::<f32>()
            };
            if first {
                no_speech_prob = log_softmax(&mut logits(0)?)[NO_SPEECH as usize].exp();
            }
            let mut logits = logits(tokens.len() - 1)?;
            let banned = self.suppress.iter().chain(if first { &self.suppress_begin[..] } else { &[] });
            let banned = banned.copied().chain([START, NO_SPEECH, NO_TIMESTAMPS]);
            for token in banned.chain(NO_TIMESTAMPS..VOCABULARY as u32) {
                if let Some(logit) = logits.get_mut(token as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
            let chosen = match temperature > 0.0 {
                true => {
                    let mut scaled: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
                    random.choose(log_softmax(&mut scaled))
                }
                false => most_probable(&logits),
            };
            sum += log_softmax(&mut logits)[chosen];
            if chosen as u32 == END {
                break;
            }
            tokens.push(chosen as u32);
        }
        let tokens = tokens.split_off(prompt);
        Ok(Attempt { avg_logprob: sum / (tokens.len() + 1) as f32, tokens, no_speech_prob })
    }
}

fn most_probable(logits: &[f32]) -> usize {
    let best =
        |best: (usize, f32), (n, &logit): (usize, &f32)| if logit > best.1 { (n, logit) } else { best };
    logits.iter().enumerate().fold((0, f32::NEG_INFINITY), best).0
}

/// Turns logits into log-probabilities, in place.
fn log_softmax(logits: &mut [f32]) -> &[f32] {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from((logit - most).exp())).sum();
    let shift = most + sum.ln() as f32;
    logits.iter_mut().for_each(|logit| *logit -= shift);
    logits
}

/// A fixed sequence of random numbers (xorshift64*): the same recording always gives the same text.
struct Random(u64);

impl Random {
    fn choose(&mut self, log_probabilities: &[f32]) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mut left = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64;
        for (n, &p) in log_probabilities.iter().enumerate() {
            left -= f64::from(p.exp());
            if left < 0.0 {
                return n;
            }
        }
        // The probabilities' sum may fall short of one by rounding.
        most_probable(log_probabilities)
    }
}

/// How many times smaller zlib makes a text.
fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail; if it did, the text would count as incompressible.
    let packed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    packed.map_or(0.0, |packed| text.len() as f32 / packed.len().max(1) as f32)
}
