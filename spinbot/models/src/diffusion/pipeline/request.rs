//! What is to be drawn, and whether it can be.

use crate::diffusion::scheduler::SchedulerKind;
use crate::error::{ModelError, Result};
use candle_core::Tensor;

/// The longest edge that is believed, in pixels.
const MAX_EDGE: usize = 8192;

/// One picture of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What it shows, in the webui's syntax: `(word:1.3)`, `[word]`, `BREAK`.
    pub prompt: String,
    /// What it must not show.
    pub negative_prompt: Option<String>,
    /// Where its noise comes from; it gives the same picture in any batch.
    pub seed: u64,
}

impl Subject {
    /// That prompt with that seed and no negative prompt.
    pub fn new(prompt: impl Into<String>, seed: u64) -> Self {
        Subject { prompt: prompt.into(), negative_prompt: None, seed }
    }
}

/// A picture to begin from.
#[derive(Debug, Clone)]
pub struct Source {
    /// `[1, 3, height, width]`, or one for each subject, in -1..1.
    pub picture: Tensor,
    /// How much of it may change: 0 keeps it, 1 keeps nothing but what the mask protects.
    pub strength: f64,
    /// Where it may change, of the picture's batch and size but one channel: from 0.5 on is redrawn, the rest stays as
    /// it is to the pixel.
    pub mask: Option<Tensor>,
}

/// Pictures of one size, drawn in one batch.
#[derive(Debug, Clone)]
pub struct DrawRequest {
    /// The pictures.
    pub subjects: Vec<Subject>,
    /// In pixels, a multiple of [`Pipeline::multiple`](super::Pipeline::multiple).
    pub height: usize,
    /// In pixels, as the height.
    pub width: usize,
    /// Steps of the sampling method.
    pub steps: usize,
    /// The sampling method, else the model's own.
    pub scheduler: Option<SchedulerKind>,
    /// Noise levels after Karras et al., else as the model's configuration says.
    pub karras: Option<bool>,
    /// Weight of the prompt against the negative one (Ho and Salimans 2022); up to 1 there is no guidance and a step
    /// costs half.
    pub guidance_scale: f64,
    /// How far guided predictions are brought back to the deviation of unguided ones, 0 to 1 (Lin et al. 2023,
    /// section 3.4): 0.7 for models whose noise ends at zero signal, else 0.
    pub guidance_rescale: f64,
    /// Layers of the text encoder left out at the end, beyond what the model itself leaves out.
    pub clip_skip: usize,
    /// A picture to begin from.
    pub source: Option<Source>,
    /// The initial noise, `[subjects, channels, h, w]`, instead of the seeds'.
    pub noise: Option<Tensor>,
}

impl DrawRequest {
    /// 25 steps of the model's own method with a guidance of 7.5, from noise.
    pub fn new(subjects: Vec<Subject>, height: usize, width: usize) -> Self {
        DrawRequest {
            subjects,
            height,
            width,
            steps: 25,
            scheduler: None,
            karras: None,
            guidance_scale: 7.5,
            guidance_rescale: 0.0,
            clip_skip: 0,
            source: None,
            noise: None,
        }
    }

    /// Whether it makes sense for a model whose edges are multiples of that. Steps are the scheduler's to judge.
    pub(super) fn check(&self, multiple: usize) -> Result<()> {
        let refuse =
            |reason: String, advice: &str| Err(ModelError::Drawing { reason, advice: advice.to_owned() });
        let DrawRequest { height, width, .. } = *self;
        if self.subjects.is_empty() {
            return refuse("there is no prompt".into(), "give one prompt at least");
        }
        let fits = |edge: usize| edge > 0 && edge <= MAX_EDGE && edge.is_multiple_of(multiple);
        if !fits(height) || !fits(width) {
            let near = |edge: usize| {
                let edge = edge.clamp(multiple, MAX_EDGE) + multiple / 2;
                (edge - edge % multiple).min(MAX_EDGE - MAX_EDGE % multiple)
            };
            return refuse(
                format!("{width}x{height} is no size that this model draws"),
                &format!(
                    "edges are multiples of {multiple} up to {MAX_EDGE}: try {}x{}",
                    near(width),
                    near(height)
                ),
            );
        }
        if !self.guidance_scale.is_finite() || !(0.0..=1.0).contains(&self.guidance_rescale) {
            return refuse(
                format!("guidance {} rescaled by {}", self.guidance_scale, self.guidance_rescale),
                "a guidance scale is a number, usually 3 to 12, and its rescale 0 to 1",
            );
        }
        let Some(source) = &self.source else { return Ok(()) };
        if !(0.0..=1.0).contains(&source.strength) {
            return refuse(format!("a strength of {}", source.strength), "a strength is 0 to 1");
        }
        let batch = source.picture.dims().first().copied().unwrap_or(0);
        let shape = |channels| vec![batch, channels, height, width];
        let masked = source.mask.as_ref().is_none_or(|mask| mask.dims() == shape(1));
        if source.picture.dims() != shape(3) || !(batch == 1 || batch == self.subjects.len()) || !masked {
            return refuse(
                format!(
                    "the picture to begin from is {:?} and its mask {:?}, which is not {} of {width}x{height}",
                    source.picture.dims(),
                    source.mask.as_ref().map(Tensor::dims),
                    self.subjects.len()
                ),
                "resize the picture and its mask to the size that is drawn",
            );
        }
        Ok(())
    }
}
