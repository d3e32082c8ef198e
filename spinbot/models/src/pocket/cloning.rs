//! From a recording to a voice prompt, and whether these weights can do it at all.
//!
//! Both releases hold the same tensors under the same names, so that either loads. In the open one every tensor of
//! Mimi's encoder and of its transformer is zero: it would answer any recording with the same prompt.

use super::SAMPLE_RATE;
use super::config::PocketTraits;
use super::error::PocketError;
use super::file::Tensors;
use super::layers::Linear;
use super::mimi::Encoder;
use crate::error::{ModelError, Result};
use candle_core::{Device, Tensor};

/// What only cloning needs.
const PREFIXES: [&str; 4] =
    ["mimi.encoder.", "mimi.encoder_transformer.", "mimi.downsample.", "flow_lm.speaker_proj_weight"];
const PROJECTION: &str = PREFIXES[3];
/// Seconds of a recording. Kyutai's own tool cuts at 30.
const SECONDS: std::ops::RangeInclusive<f64> = 1.0..=60.0;
/// Below this peak a recording is silence.
const SILENCE: f32 = 1e-4;
/// Seconds of silence that a prompt ends in, of the fade before it, and of the frames that find where speech ends.
const PAUSE: f64 = 0.08;
const FADE: f64 = 0.02;
const FRAME: f64 = 0.02;
/// Decibels under the loudest frame at which a frame is silence.
const FLOOR: f32 = 35.0;

pub(super) struct Cloner {
    encoder: Encoder,
    projection: Linear,
}

impl Cloner {
    /// Loads the encoder, or says why these weights have none that works.
    pub(super) fn load(
        w: &Tensors<'_>,
        traits: &PocketTraits,
        frame: usize,
        width: usize,
    ) -> Result<std::result::Result<Cloner, String>> {
        for prefix in PREFIXES {
            if !w.names().any(|name| name.starts_with(prefix)) {
                // The rest of the encoder, if there is one, is of no use.
                PREFIXES.iter().for_each(|prefix| w.pass_over(prefix));
                return Ok(Err(format!("the file holds no `{}`", prefix.trim_end_matches('.'))));
            }
        }
        let (mut matrices, mut zeros) = (0, Vec::new());
        let needed: Vec<_> = w.names().filter(|name| PREFIXES.iter().any(|p| name.starts_with(p))).collect();
        for name in needed {
            // A bias of zeros can be meant; a matrix of zeros passes nothing on.
            let matrix = w.shape(name).is_some_and(|shape| shape.len() >= 2);
            let peak = w.any(name)?.flatten_all().and_then(|x| x.abs()?.max(0)?.to_scalar::<f32>());
            let peak = peak.map_err(ModelError::tensor("loading weights"))?;
            if matrix {
                matrices += 1;
                if peak == 0.0 {
                    zeros.push(name);
                }
            }
        }
        if let Some(first) = zeros.first() {
            return Ok(Err(format!(
                "{} of the {matrices} matrices that turn a recording into a voice are all zero (`{first}` is the \
                 first), as in the open release, which was published without cloning",
                zeros.len()
            )));
        }
        let encoder = Encoder::load(w, traits, frame)?;
        let projection = Linear::without_bias(w, PROJECTION, [encoder.width, width])?;
        Ok(Ok(Cloner { encoder, projection }))
    }

    /// A recording at 24 kHz to the vectors [n, width] that the language model is prompted with.
    pub(super) fn prompt(&self, samples: &[f32], device: &Device) -> Result<Tensor> {
        let ended = end_on_pause(samples);
        self.encoder
            .encode(&ended, device)
            .and_then(|latents| self.projection.forward(&latents))
            .map_err(ModelError::tensor("encoding a recording"))
    }
}

/// Refuses what no voice can be made from.
pub(super) fn check(samples: &[f32]) -> Result<()> {
    let refuse = |reason: String| Err(PocketError::Recording { reason }.into());
    let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
    if !SECONDS.contains(&seconds) {
        return refuse(format!(
            "it lasts {seconds:.1} s, expected {} to {} s",
            SECONDS.start(),
            SECONDS.end()
        ));
    }
    if samples.iter().any(|x| !x.is_finite()) {
        return refuse("it holds values that are no numbers".into());
    }
    if samples.iter().all(|x| x.abs() < SILENCE) {
        return refuse("it is silent".into());
    }
    Ok(())
}

/// Ends a recording on a short pause, as the prompts in training did: the silence at its end is cut, what is before is
/// faded out, and 80 ms of zeros follow. A prompt that stops within a word makes every part begin with its rest.
fn end_on_pause(samples: &[f32]) -> Vec<f32> {
    let length = |seconds: f64| (seconds * f64::from(SAMPLE_RATE)) as usize;
    let frame = length(FRAME);
    let levels: Vec<f32> = samples
        .chunks_exact(frame)
        .map(|x| 20.0 * ((x.iter().map(|v| v * v).sum::<f32>() / frame as f32).sqrt() + 1e-12).log10())
        .collect();
    let loudest = levels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let Some(last) = levels.iter().rposition(|level| *level > loudest - FLOOR) else {
        return samples.to_vec();
    };
    let mut ended = samples[..(last + 1) * frame].to_vec();
    let fade = length(FADE).min(ended.len());
    let from = ended.len() - fade;
    for (n, x) in ended[from..].iter_mut().enumerate() {
        *x *= 1.0 - n as f32 / (fade - 1) as f32;
    }
    ended.resize(ended.len() + length(PAUSE), 0.0);
    ended
}
