//! The loop from noise to pictures.

use super::request::{DrawRequest, Source};
use super::{Pipeline, PipelineAdapters, rows};
use crate::diffusion::scheduler::Scheduler;
use crate::diffusion::text::TextStates;
use crate::diffusion::unet::{Conditioning, guidance_scale_embedding};
use crate::error::{ModelError, Result};
use candle_core::{DType, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// A step that is done.
pub struct Progress<'a> {
    /// Steps done, from 1.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    pipeline: &'a Pipeline,
    original: &'a Tensor,
}

impl Progress<'_> {
    /// The clean latents as this step foresees them, `[pictures, c, h, w]`.
    pub fn latents(&self) -> &Tensor {
        self.original
    }

    /// Their small pictures, a pixel for each latent, `[pictures, 3, h, w]` in -1..1; a matter of microseconds.
    ///
    /// # Errors
    /// As [`LatentPreview::fit`](super::LatentPreview::fit), the first time.
    pub fn preview(&self) -> Result<Tensor> {
        self.pipeline.preview()?.pictures(self.original)
    }

    /// Their pictures by the autoencoder, at full size and cost.
    ///
    /// # Errors
    /// As [`AutoencoderKl::decode`](crate::diffusion::vae::AutoencoderKl::decode).
    pub fn decoded(&self) -> Result<Tensor> {
        self.pipeline.vae.decode(self.original)
    }
}

/// What stays as it was when a part of a picture is redrawn.
struct Kept {
    /// `[pictures, c, h, w]`.
    original: Tensor,
    /// 1 where it is redrawn: of the latents and of the pixels.
    mask: Tensor,
    pixels: Tensor,
    picture: Tensor,
}

impl Pipeline {
    /// Draws the request's pictures, `[subjects, 3, height, width]` in -1..1, or nothing if `on_step` breaks off. The
    /// same request gives the same pictures on one kind of device, and a subject the same in any batch up to rounding.
    ///
    /// # Errors
    /// [`ModelError::Drawing`] for a request that cannot be met, [`ModelError::Prompt`] for a prompt that is too long,
    /// [`ModelError::Scheduler`] for a number of steps, [`ModelError::Tensor`] when the device fails.
    pub fn draw(
        &self,
        request: &DrawRequest,
        adapters: &PipelineAdapters,
        on_step: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Option<Tensor>> {
        request.check(self.multiple())?;
        let mut config = self.scheduler.clone();
        config.use_karras_sigmas = request.karras.or(config.use_karras_sigmas);
        let kind = request.scheduler.map_or_else(|| self.scheduler.kind(), Ok)?;
        let mut scheduler = Scheduler::new(kind, &config, request.steps)?;

        let embedded = self.unet.config().time_cond_proj_dim;
        let guided = request.guidance_scale > 1.0 && embedded.is_none();
        let mut conditioning = self.condition(request, guided, adapters)?;
        let count = request.subjects.len();
        if let Some(width) = embedded {
            let scales = vec![request.guidance_scale as f32 - 1.0; count];
            conditioning.timestep_cond = Some(
                guidance_scale_embedding(&scales, width, &self.device)
                    .map_err(ModelError::tensor("embedding the guidance scale"))?,
            );
        }

        let noise = match &request.noise {
            Some(noise) => noise.to_device(&self.device).map_err(ModelError::tensor("taking noise"))?,
            None => self.noise(request, 0)?,
        };
        let (start, mut latents, kept) = self.begin(request, &scheduler, &noise)?;
        let steps = scheduler.timesteps().len();
        for index in start..steps {
            let timestep = scheduler.timesteps()[index];
            let input = scheduler.scale_model_input(&latents, index)?;
            let prediction = match guided {
                true => {
                    let input = Tensor::cat(&[&input, &input], 0).map_err(ModelError::tensor("guiding"))?;
                    let both = self.unet.forward(
                        &input,
                        &vec![timestep; 2 * count],
                        &conditioning,
                        &adapters.unet,
                    )?;
                    guide(&both, request).map_err(ModelError::tensor("guiding"))?
                }
                false => self.unet.forward(&input, &vec![timestep; count], &conditioning, &adapters.unet)?,
            };
            let fresh = match scheduler.wants_noise(index) {
                true => Some(self.noise(request, 1 + index as u64)?),
                false => None,
            };
            let step = scheduler.step(&prediction, index, &latents, fresh.as_ref())?;
            latents = match &kept {
                Some(kept) => {
                    let original = scheduler.add_noise(&kept.original, &noise, index + 1)?;
                    blend(&kept.mask, &step.prev_sample, &original)?
                }
                None => step.prev_sample,
            };
            let progress = Progress {
                step: index + 1 - start,
                steps: steps - start,
                pipeline: self,
                original: &step.pred_original_sample,
            };
            if on_step(&progress).is_break() {
                return Ok(None);
            }
        }
        let pictures =
            self.vae.decode(&latents)?.clamp(-1.0, 1.0).map_err(ModelError::tensor("clipping pictures"))?;
        let mean = (pictures.sqr().and_then(|squares| squares.mean_all()))
            .and_then(|mean| mean.to_dtype(DType::F32)?.to_scalar::<f32>())
            .map_err(ModelError::tensor("looking at pictures"))?;
        if !mean.is_finite() {
            return Err(ModelError::Drawing {
                reason: "the pictures hold numbers that are none: the model overflows".into(),
                advice: "draw with `--precision f32` or `--precision bf16`".into(),
            });
        }
        match &kept {
            Some(kept) => blend(&kept.pixels, &pictures, &kept.picture).map(Some),
            None => Ok(Some(pictures)),
        }
    }

    /// Where the loop begins and with which latents, and what inpainting keeps.
    fn begin(
        &self,
        request: &DrawRequest,
        scheduler: &Scheduler,
        noise: &Tensor,
    ) -> Result<(usize, Tensor, Option<Kept>)> {
        let doing = "preparing latents";
        let pure = || (noise * scheduler.init_noise_sigma()).map_err(ModelError::tensor(doing));
        let Some(Source { picture, strength, mask }) = &request.source else {
            return Ok((0, pure()?, None));
        };
        let picture = (picture.to_device(&self.device))
            .and_then(|picture| picture.to_dtype(DType::F32))
            .map_err(ModelError::tensor(doing))?;
        let original = self.vae.encode(&picture)?.mean;
        let original = (original.broadcast_as(noise.shape()))
            .and_then(|original| original.contiguous())
            .map_err(ModelError::tensor(doing))?;
        let kept = match mask {
            Some(mask) => Some(self.keep(&original, &picture, mask).map_err(ModelError::tensor(doing))?),
            None => None,
        };
        let start = scheduler.start(*strength);
        let latents = match kept {
            Some(_) if *strength == 1.0 => pure()?,
            _ => scheduler.add_noise(&original, noise, start)?,
        };
        Ok((start, latents, kept))
    }

    fn keep(&self, original: &Tensor, picture: &Tensor, mask: &Tensor) -> candle_core::Result<Kept> {
        let pixels = mask.to_device(&self.device)?.to_dtype(DType::F32)?.ge(0.5)?.to_dtype(DType::F32)?;
        let (_, _, h, w) = original.dims4()?;
        let nearest = |edge: usize| {
            let places: Vec<u32> = (0..edge).map(|at| (at * self.vae.factor()) as u32).collect();
            Tensor::new(places, &self.device)
        };
        let mask = pixels.index_select(&nearest(h)?, 2)?.index_select(&nearest(w)?, 3)?;
        Ok(Kept { original: original.clone(), mask, pixels, picture: picture.clone() })
    }

    /// Conditioning for all subjects; guided, for their negative prompts first.
    fn condition(
        &self,
        request: &DrawRequest,
        guided: bool,
        adapters: &PipelineAdapters,
    ) -> Result<Conditioning> {
        let zeroed = |negative: &Option<String>| negative.is_none() && self.force_zeros_for_empty_prompt;
        let negatives = request.subjects.iter().filter(|_| guided).map(|subject| &subject.negative_prompt);
        let wanted: Vec<(&str, bool)> = negatives
            .map(|negative| (negative.as_deref().unwrap_or(""), zeroed(negative)))
            .chain(request.subjects.iter().map(|subject| (subject.prompt.as_str(), false)))
            .collect();
        let (mut unique, mut numbers): (Vec<&str>, HashMap<&str, u32>) = (Vec::new(), HashMap::new());
        let order: Vec<u32> = wanted
            .iter()
            .map(|(prompt, _)| {
                *numbers.entry(prompt).or_insert_with(|| {
                    unique.push(prompt);
                    unique.len() as u32 - 1
                })
            })
            .collect();
        let chunks = self.chunks(&unique)?;
        let TextStates { hidden, pooled } =
            self.encode_prompts(&unique, chunks, request.clip_skip, adapters)?;
        let shown: Vec<f32> = wanted.iter().map(|(_, zeroed)| f32::from(u8::from(!zeroed))).collect();
        let taken = |x: &Tensor| -> Result<Tensor> {
            let x = rows(x, &order)?;
            let mut shape = vec![1; x.rank()];
            shape[0] = shown.len();
            Tensor::from_slice(&shown, shape, &self.device)
                .and_then(|shown| x.broadcast_mul(&shown.to_dtype(x.dtype())?))
                .map_err(ModelError::tensor("taking text states"))
        };
        let states = TextStates { hidden: taken(&hidden)?, pooled: pooled.as_ref().map(taken).transpose()? };
        self.conditioning(states, request.height, request.width)
    }

    /// Normal noise of the latents' shape: number 0 begins the run, the others are its steps'. A subject's is a
    /// function of its seed, the number and the shape alone.
    fn noise(&self, request: &DrawRequest, number: u64) -> Result<Tensor> {
        let factor = self.vae.factor();
        let shape = (
            request.subjects.len(),
            self.vae.config().latent_channels,
            request.height / factor,
            request.width / factor,
        );
        let each = shape.1 * shape.2 * shape.3;
        let mut values: Vec<f32> = Vec::with_capacity(shape.0 * each);
        for subject in &request.subjects {
            let mut random = ChaCha8Rng::seed_from_u64(subject.seed);
            random.set_stream(number);
            values.extend((0..each).map(|_| -> f32 { StandardNormal.sample(&mut random) }));
        }
        Tensor::from_vec(values, shape, &self.device).map_err(ModelError::tensor("drawing noise"))
    }
}

/// `new` where the mask is 1, else `old`.
fn blend(mask: &Tensor, new: &Tensor, old: &Tensor) -> Result<Tensor> {
    let build = || new.broadcast_mul(mask)?.broadcast_add(&old.broadcast_mul(&(1.0 - mask)?)?);
    build().map_err(ModelError::tensor("keeping a part"))
}

/// Classifier-free guidance of a prediction for `[negative prompts, prompts]`.
fn guide(both: &Tensor, request: &DrawRequest) -> candle_core::Result<Tensor> {
    let count = request.subjects.len();
    let (negative, prompted) = (both.narrow(0, 0, count)?, both.narrow(0, count, count)?);
    let guided = (&negative + ((&prompted - &negative)? * request.guidance_scale)?)?;
    if request.guidance_rescale == 0.0 {
        return Ok(guided);
    }
    let deviation = |x: &Tensor| {
        let flat = x.flatten_from(1)?;
        let centred = flat.broadcast_sub(&flat.mean_keepdim(1)?)?;
        centred.sqr()?.mean_keepdim(1)?.sqrt()?.reshape((count, 1, 1, 1))
    };
    let rescaled = guided.broadcast_mul(&(deviation(&prompted)? / deviation(&guided)?)?)?;
    (rescaled * request.guidance_rescale)? + (guided * (1.0 - request.guidance_rescale))?
}
