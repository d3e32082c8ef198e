//! Choosing tokens: greedily or at random at a temperature, until the text ends or its length is used up.

use super::decoder::{Decoder, Sound};
use super::{END, NO_SPEECH, NO_TIMESTAMPS, START, VOCABULARY};
use crate::error::Result;
use crate::listen::weights::Weights;
use flate2::{Compression, write::ZlibEncoder};
use safetensors::tensor::Dtype;
use std::io::Write;

/// Tokens that are never written.
pub(super) struct Banned {
    always: Vec<usize>,
    /// Besides those, as the first token.
    first: Vec<usize>,
}

/// One attempt at a piece.
pub(super) struct Attempt {
    pub(super) tokens: Vec<u32>,
    pub(super) avg_logprob: f32,
    pub(super) no_speech_prob: f32,
}

impl Banned {
    pub(super) fn read(w: &Weights) -> Result<Self> {
        let list = |name| {
            let bytes = w.bytes_of_any_length(name, Dtype::U32)?.as_chunks::<4>().0;
            let tokens = bytes.iter().map(|&bytes| u32::from_le_bytes(bytes) as usize);
            Ok::<_, crate::ModelError>(tokens.filter(|&token| token < VOCABULARY).collect::<Vec<_>>())
        };
        let mut always = list("suppress")?;
        // Timestamps are not asked for; what stands before them begins texts and tells tasks apart.
        always.extend(
            [START as usize, NO_SPEECH as usize].into_iter().chain(NO_TIMESTAMPS as usize..VOCABULARY),
        );
        Ok(Banned { always, first: list("suppress_begin")? })
    }

    #[cfg(test)]
    pub(super) fn contains(&self, token: u32) -> bool {
        self.always.contains(&(token as usize))
    }
}

/// Writes down a sound with at most so many tokens.
pub(super) fn attempt(
    decoder: &Decoder,
    sound: &Sound,
    banned: &Banned,
    temperature: f32,
    most: usize,
) -> Attempt {
    let mut text = decoder.text(sound);
    let state = text.push(START);
    let no_speech_prob = log_softmax(&mut text.logits(&state))[NO_SPEECH as usize].exp();
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ u64::from(temperature.to_bits()));
    let (mut tokens, mut sum) = (Vec::new(), 0.0);
    let mut last = NO_TIMESTAMPS;
    while tokens.len() < most {
        let state = text.push(last);
        let mut logits = text.logits(&state);
        let first = if tokens.is_empty() { &banned.first[..] } else { &[] };
        banned.always.iter().chain(first).for_each(|&token| logits[token] = f32::NEG_INFINITY);
        let chosen = match temperature > 0.0 {
            true => {
                let mut scaled: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
                random.choose(log_softmax(&mut scaled))
            }
            false => most_probable(&logits),
        };
        sum += log_softmax(&mut logits)[chosen];
        last = chosen as u32;
        if last == END {
            break;
        }
        tokens.push(last);
    }
    Attempt { avg_logprob: sum / (tokens.len() + 1) as f32, tokens, no_speech_prob }
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
pub(super) fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail; if it did, the text would count as incompressible.
    let packed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    packed.map_or(0.0, |packed| text.len() as f32 / packed.len().max(1) as f32)
}
