//! How far training is: the loss on the same pictures at the same noise, and pictures drawn of what was learned so far.

use super::dataset::Item;
use super::random::{Purpose, normal, random};
use super::trainer::{Batch, Text};
use super::{Trainer, loss};
use crate::diffusion::pipeline::{DrawRequest, PipelineAdapters, Rgb8, to_rgb8};
use crate::error::{ModelError, Result};
use std::ops::ControlFlow;

/// Noise levels at which a picture is measured.
const LEVELS: usize = 4;

impl Trainer {
    /// The loss on the pictures that are measured, at the same noise each time; it is noted with the steps done.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device fails.
    pub fn validate(&mut self) -> Result<f32> {
        let mut total = 0.0;
        let measured = self.dataset.measured.clone();
        for (n, item) in measured.iter().enumerate() {
            let batch = self.measuring(item, n as u64)?;
            total += self.with_learned(|trainer, adapters| trainer.measure(&batch, adapters))?;
        }
        let value = total / measured.len().max(1) as f32;
        let step = self.steps_done();
        if self.validation.last().is_none_or(|(last, _)| *last < step) {
            self.validation.push((step, value));
        }
        Ok(value)
    }

    /// One picture at several noise levels.
    fn measuring(&self, item: &Item, number: u64) -> Result<Batch> {
        let shape: Vec<usize> = [LEVELS].iter().chain(&item.latents.dims()[1..]).copied().collect();
        let noise =
            normal(random(self.config.seed, Purpose::Validation, number), &shape, item.latents.device())?;
        let latents =
            item.latents.repeat((LEVELS, 1, 1, 1)).map_err(ModelError::tensor("joining latents"))?;
        let schedule = self.noise.alphas_cumprod().len();
        let timesteps = (0..LEVELS).map(|n| (2 * n + 1) * schedule / (2 * LEVELS)).collect();
        Ok(Batch { latents, noise, timesteps, text: Text::Captions(vec![item.caption.clone(); LEVELS]) })
    }

    fn measure(&self, batch: &Batch, adapters: &PipelineAdapters) -> Result<f32> {
        let Batch { latents, noise, timesteps, text } = batch;
        let noisy = self.noise.add_noise(latents, noise, timesteps)?;
        let target = self.noise.target(latents, noise, timesteps)?;
        let conditioning = self.condition(text, latents, adapters)?;
        let times: Vec<f32> = timesteps.iter().map(|t| *t as f32).collect();
        let prediction = self.pipeline.unet().forward(&noisy, &times, &conditioning, &adapters.unet)?;
        let loss = loss::weighted(&prediction, &target, &vec![1.0; timesteps.len()]);
        loss.and_then(|loss| loss.to_scalar()).map_err(ModelError::tensor("measuring"))
    }

    /// Runs something with what was learned in place of what is being trained.
    fn with_learned<T>(&mut self, run: impl FnOnce(&Trainer, &PipelineAdapters) -> Result<T>) -> Result<T> {
        let (adapters, triggers) = self.variables.learned();
        for (encoder, vectors) in self.pipeline.encoders_mut().iter_mut().zip(triggers) {
            encoder.triggers = Some(vectors);
        }
        let result = run(self, &adapters);
        for (encoder, var) in self.pipeline.encoders_mut().iter_mut().zip(&self.variables.triggers) {
            encoder.triggers = Some(var.as_tensor().clone());
        }
        result
    }

    /// Draws the request's pictures with what was learned so far, or nothing if `on_step` breaks off.
    ///
    /// # Errors
    /// As [`Pipeline::draw`].
    pub fn draw(
        &mut self,
        request: &DrawRequest,
        on_step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Option<Vec<Rgb8>>> {
        self.with_learned(|trainer, adapters| {
            let drawn = trainer.pipeline.draw(request, adapters, &mut |_| on_step())?;
            drawn.as_ref().map(to_rgb8).transpose()
        })
    }
}
