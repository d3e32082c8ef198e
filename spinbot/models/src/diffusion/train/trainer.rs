//! The loop's body: a batch, its loss, a step.

use super::config::TrainConfig;
use super::dataset::{Dataset, Example};
use super::random::{Purpose, normal, random, timesteps};
use super::variables::Variables;
use super::{loss, memory::MemoryEstimate};
use crate::diffusion::lora_file::{self, LoraFormat, LoraMetadata, TriggerEmbedding};
use crate::diffusion::pipeline::{Pipeline, PipelineAdapters, rows};
use crate::diffusion::scheduler::NoiseSchedule;
use crate::diffusion::text::TextStates;
use crate::diffusion::unet::Conditioning;
use crate::error::{ModelError, Result};
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};
use rand::Rng;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

/// What a batch's pictures are said to show.
#[derive(Debug, Clone)]
pub enum Text {
    /// In words.
    Captions(Vec<String>),
    /// In states.
    Given(Conditioning),
}

/// Pictures of one size with their noise.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Clean latents, `[b, c, h, w]`.
    pub latents: Tensor,
    /// Noise of their shape.
    pub noise: Tensor,
    /// One a picture.
    pub timesteps: Vec<usize>,
    /// One a picture.
    pub text: Text,
}

/// A model that is taught.
pub struct Trainer {
    pub(super) pipeline: Pipeline,
    pub(super) config: TrainConfig,
    pub(super) noise: NoiseSchedule,
    pub(super) dataset: Dataset,
    pub(super) variables: Variables,
    /// States of captions by caption, where training does not change them.
    texts: HashMap<String, TextStates>,
    /// Passes of the text encoders for the longest caption.
    chunks: usize,
    pub(super) losses: Vec<f32>,
    pub(super) validation: Vec<(usize, f32)>,
    pub(super) seconds: f64,
}

impl Trainer {
    /// Encodes the pictures and makes what is to be trained.
    ///
    /// # Errors
    /// [`ModelError::Training`] when the configuration or the pictures cannot be trained with, [`ModelError::Drawing`]
    /// for a picture of a size that the model does not take, [`ModelError::Prompt`] for a caption that is too long.
    pub fn new(mut pipeline: Pipeline, examples: &[Example], config: TrainConfig) -> Result<Trainer> {
        config.check()?;
        let dataset = Dataset::encode(&pipeline, examples)?;
        let noise = NoiseSchedule::new(pipeline.scheduler())?;
        let variables = Variables::new(&mut pipeline, &config)?;
        let mut trainer = Trainer {
            pipeline,
            config,
            noise,
            dataset,
            variables,
            texts: HashMap::new(),
            chunks: 1,
            losses: Vec::new(),
            validation: Vec::new(),
            seconds: 0.0,
        };
        trainer.chunks = trainer.longest()?;
        trainer.keep_texts()?;
        Ok(trainer)
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.losses.len()
    }

    /// Whether all steps are done.
    pub fn finished(&self) -> bool {
        self.steps_done() >= self.config.steps
    }

    /// The loss of each step.
    pub fn losses(&self) -> &[f32] {
        &self.losses
    }

    /// Step and loss of each [`Trainer::validate`].
    pub fn validation(&self) -> &[(usize, f32)] {
        &self.validation
    }

    /// Whether [`Trainer::validate`] measures on pictures that are held out.
    pub fn holds_out(&self) -> bool {
        self.dataset.held_out
    }

    /// Seconds of all steps, those before a restart too.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// How many numbers are trained.
    pub fn parameters(&self) -> usize {
        self.variables.count()
    }

    /// The model.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// How it is taught.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// What is trained, by name; for tests and for who knows what he does.
    pub fn variables(&self) -> impl Iterator<Item = &(String, candle_core::Var)> {
        self.variables.all()
    }

    /// What training takes at most, in bytes.
    pub fn memory(&self) -> MemoryEstimate {
        let largest = self.dataset.buckets.keys().max_by_key(|(h, w)| h * w).copied().unwrap_or((0, 0));
        MemoryEstimate::of(&self.pipeline, &self.config, self.parameters(), largest)
    }

    /// Passes of the text encoders for the longest caption, those of the model's own pictures among them: the class may
    /// be longer than the trigger.
    fn longest(&self) -> Result<usize> {
        let captions: Vec<&str> = self.dataset.captions().collect();
        let of_class: Vec<String> = captions.iter().map(|caption| self.of_class(caption)).collect();
        let all: Vec<&str> = captions.into_iter().chain(of_class.iter().map(String::as_str)).collect();
        self.pipeline.chunks(&all)
    }

    /// Computes captions' states once, where training does not change them.
    pub(super) fn keep_texts(&mut self) -> Result<()> {
        if self.variables.reach_text() {
            return Ok(());
        }
        let captions: BTreeSet<&str> = self.dataset.captions().collect();
        for caption in captions {
            if !self.texts.contains_key(caption) {
                let states =
                    self.pipeline.encode_prompts(&[caption], self.chunks, 0, &PipelineAdapters::default());
                self.texts.insert(caption.to_owned(), states?);
            }
        }
        Ok(())
    }

    /// The batch of that number, counted from the beginning of training.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device fails.
    pub fn batch(&self, number: u64) -> Result<Batch> {
        let items = self.dataset.batch(&self.config, number);
        let place = |purpose| random(self.config.seed, purpose, number);
        let latents: Vec<&Tensor> = items.iter().map(|item| &item.latents).collect();
        let latents = Tensor::cat(&latents, 0).map_err(ModelError::tensor("joining latents"))?;
        let mut noise = normal(place(Purpose::Noise), latents.dims(), latents.device())?;
        if self.config.noise_offset != 0.0 {
            let (b, c, _, _) = latents.dims4().map_err(ModelError::tensor("joining latents"))?;
            let offset = normal(place(Purpose::Offset), &[b, c, 1, 1], latents.device())?;
            noise = (offset * self.config.noise_offset)
                .and_then(|offset| noise.broadcast_add(&offset))
                .map_err(ModelError::tensor("drawing noise"))?;
        }
        let schedule = self.noise.alphas_cumprod().len();
        let timesteps = timesteps(place(Purpose::Timesteps), items.len(), schedule);
        let text = Text::Captions(items.into_iter().map(|item| item.caption).collect());
        Ok(Batch { latents, noise, timesteps, text })
    }

    /// One step on the batches that are due; gives its loss.
    ///
    /// # Errors
    /// As [`Trainer::learn`].
    pub fn step(&mut self) -> Result<f32> {
        let (count, done) = (self.config.accumulate as u64, self.steps_done() as u64);
        let batches = (done * count..(done + 1) * count).map(|number| self.batch(number));
        self.learn(&batches.collect::<Result<Vec<_>>>()?)
    }

    /// One step on those batches; gives its loss.
    ///
    /// # Errors
    /// [`ModelError::Training`] when the loss or a gradient is no number any more: nothing has moved then.
    /// [`ModelError::Tensor`] when the device fails.
    pub fn learn(&mut self, batches: &[Batch]) -> Result<f32> {
        let started = Instant::now();
        let step = self.steps_done();
        let doing = "looking at gradients";
        // Where half precision overflows, the same batches once more with a smaller scale: no state, so that a training
        // that goes on ends as one that was never stopped.
        let mut scale = self.config.loss_scale;
        let (value, mut gradients, norm) = loop {
            let (value, gradients) = self.accumulated(batches, scale)?;
            let norm = self.variables.norm(&gradients).map_err(ModelError::tensor(doing))? / scale;
            if norm.is_finite() || !value.is_finite() || scale <= 1.0 {
                break (value, gradients, norm);
            }
            scale = (scale / 8.0).max(1.0);
        };
        if !value.is_finite() || !norm.is_finite() {
            let what = if value.is_finite() { "a gradient" } else { "the loss" };
            return Err(ModelError::Training {
                reason: format!("{what} is no number any more at step {}", step + 1),
                advice: "lower the learning rate, or compute in f32; what was learned until the last checkpoint is kept"
                    .into(),
            });
        }
        let clip = self.config.clip_norm.map_or(1.0, |most| (most / (norm + 1e-6)).min(1.0));
        let factor = clip / scale;
        if factor != 1.0 {
            self.variables.scale(&mut gradients, factor).map_err(ModelError::tensor(doing))?;
        }
        self.variables.step(&gradients, self.config.rate(step), self.config.ema)?;
        self.losses.push(value);
        self.seconds += started.elapsed().as_secs_f64();
        Ok(value)
    }

    /// The mean loss of some batches, and the mean of their gradients times `scale`.
    fn accumulated(&mut self, batches: &[Batch], scale: f64) -> Result<(f32, GradStore)> {
        let (step, count) = (self.steps_done(), batches.len().max(1));
        let (mut sum, mut total) = (GradStore::default(), 0.0);
        for (n, batch) in batches.iter().enumerate() {
            if self.config.dropout > 0.0 {
                let place = (step * count + n) as u64;
                let seed = random(self.config.seed, Purpose::Dropout, place).random();
                self.variables.set_dropout(self.config.dropout, seed);
            }
            let (value, gradients) = self.gradients(batch, scale / count as f64)?;
            total += value;
            // Not the store itself: it holds what belongs to frozen weights too, and the graph.
            self.variables.add(&mut sum, &gradients).map_err(ModelError::tensor("adding gradients"))?;
        }
        Ok((total / count as f32, sum))
    }

    /// A batch's loss, and its gradients times `scale`.
    fn gradients(&self, batch: &Batch, scale: f64) -> Result<(f32, GradStore)> {
        let Batch { latents, noise, timesteps, text } = batch;
        let weights = loss::weights(&self.config, &self.noise, timesteps)?;
        let noisy = self.noise.add_noise(latents, noise, timesteps)?;
        let target = self.noise.target(latents, noise, timesteps)?;
        let conditioning = self.condition(text, latents, &self.variables.adapters)?;
        let times: Vec<f32> = timesteps.iter().map(|t| *t as f32).collect();
        let (unet, adapters) = (self.pipeline.unet(), &self.variables.adapters.unet);
        let doing = "computing gradients";
        let scalar = |loss: &Tensor| loss.to_scalar::<f32>().map_err(ModelError::tensor(doing));
        if !self.config.gradient_checkpointing {
            let prediction = unet.forward(&noisy, &times, &conditioning, adapters)?;
            let loss = loss::weighted(&prediction, &target, &weights).map_err(ModelError::tensor(doing))?;
            let gradients =
                (&loss * scale).and_then(|loss| loss.backward()).map_err(ModelError::tensor(doing))?;
            return Ok((scalar(&loss)?, gradients));
        }
        let mut value = None;
        let mut parts =
            unet.backward_checkpointed(&noisy, &times, &conditioning, adapters, |prediction| {
                let loss = loss::weighted(prediction, &target, &weights)?;
                value = Some(loss.detach());
                loss * scale
            })?;
        if self.variables.reach_text() {
            let through_text = || -> candle_core::Result<GradStore> {
                let mut whole =
                    (&conditioning.hidden * parts.hidden.detach())?.sum_all()?.to_dtype(DType::F32)?;
                if let (Some(added), Some(pooled)) = (&conditioning.added, &parts.pooled) {
                    let part = (&added.text_embeds * pooled.detach())?.sum_all()?;
                    whole = (whole + part.to_dtype(DType::F32)?)?;
                }
                whole.backward()
            };
            let text = through_text().map_err(ModelError::tensor(doing))?;
            self.variables.add(&mut parts.gradients, &text).map_err(ModelError::tensor(doing))?;
        }
        let value = value.map_or(Ok(f32::NAN), |value| scalar(&value))?;
        Ok((value, parts.gradients))
    }

    /// What the UNet is told of a batch.
    pub(super) fn condition(
        &self,
        text: &Text,
        latents: &Tensor,
        adapters: &PipelineAdapters,
    ) -> Result<Conditioning> {
        let captions = match text {
            Text::Given(conditioning) => return Ok(conditioning.clone()),
            Text::Captions(captions) => captions,
        };
        let distinct: Vec<&str> =
            captions.iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect();
        let row = |caption: &String| distinct.iter().position(|one| one == caption).unwrap_or(0) as u32;
        let places: Vec<u32> = captions.iter().map(row).collect();
        let states = match self.variables.reach_text() {
            true => self.pipeline.encode_prompts(&distinct, self.chunks, 0, adapters)?,
            false => self.kept(&distinct)?,
        };
        let hidden = rows(&states.hidden, &places)?;
        let pooled = states.pooled.as_ref().map(|pooled| rows(pooled, &places)).transpose()?;
        let (_, _, h, w) = latents.dims4().map_err(ModelError::tensor("reading latents"))?;
        let factor = self.pipeline.vae().factor();
        self.pipeline.conditioning(TextStates { hidden, pooled }, h * factor, w * factor)
    }

    fn kept(&self, captions: &[&str]) -> Result<TextStates> {
        let known: Vec<&TextStates> =
            captions.iter().filter_map(|caption| self.texts.get(*caption)).collect();
        let join = || -> candle_core::Result<TextStates> {
            let hidden: Vec<&Tensor> = known.iter().map(|states| &states.hidden).collect();
            let pooled: Vec<&Tensor> = known.iter().filter_map(|states| states.pooled.as_ref()).collect();
            let pooled = if pooled.is_empty() { None } else { Some(Tensor::cat(&pooled, 0)?) };
            Ok(TextStates { hidden: Tensor::cat(&hidden, 0)?, pooled })
        };
        join().map_err(ModelError::tensor("taking text states"))
    }

    /// The file of what was learned, as f16, with the trigger's embeddings. What the training itself knows is added to
    /// the metadata.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device fails.
    pub fn lora(&self, format: LoraFormat, metadata: LoraMetadata) -> Result<Vec<u8>> {
        let (adapters, vectors) = self.variables.learned();
        let mut components = vec![(self.pipeline.unet().sites(), &adapters.unet)];
        let text = [&adapters.text_encoder, &adapters.text_encoder_2];
        components.extend(self.pipeline.encoders().iter().map(|encoder| encoder.model.sites()).zip(text));
        let trigger = TriggerEmbedding { word: self.config.trigger.to_lowercase(), vectors };
        let taught = (!trigger.vectors.is_empty()).then_some(&trigger);
        let mut metadata = LoraMetadata {
            network_dim: Some(self.config.rank),
            network_alpha: Some(self.config.alpha),
            learning_rate: Some(self.config.lr),
            steps: Some(self.steps_done()),
            num_train_images: Some(self.dataset.learned()),
            seed: Some(self.config.seed),
            trigger: Some(self.config.trigger.clone()).filter(|trigger| !trigger.is_empty()),
            ..metadata
        };
        let tags = metadata.tag_frequency.entry("pictures".into()).or_default();
        for item in self.dataset.buckets.values().flat_map(|bucket| &bucket.learned) {
            for tag in item.caption.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
                *tags.entry(tag.to_owned()).or_default() += 1;
            }
        }
        lora_file::bytes(format, &components, taught, &metadata, DType::F16)
    }
}
