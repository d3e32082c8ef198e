//! What is trained: adapters and embeddings with their optimisers, and their running means.

use super::{AdamW, TrainConfig};
use crate::diffusion::adapters::{Adapters, LowRank, Site};
use crate::diffusion::pipeline::{Pipeline, PipelineAdapters};
use crate::error::{ModelError, Result};
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use std::collections::HashMap;

/// Variables that share a rate.
pub(super) struct Group {
    pub(super) optimizer: AdamW,
    rate: f64,
}

/// All of them.
pub(super) struct Variables {
    pub(super) adapters: PipelineAdapters,
    /// The layers that have adapters: of the UNet and of both text encoders.
    sites: [Vec<Site>; 3],
    /// Of each text encoder `[vectors, channels]`, where the trigger is taught.
    pub(super) triggers: Vec<Var>,
    pub(super) groups: Vec<Group>,
    /// The running means, where they are wanted.
    pub(super) averages: Option<HashMap<String, Tensor>>,
}

/// The name of a trigger's embeddings.
fn trigger_name(encoder: usize) -> String {
    format!("trigger_embedding.{encoder}")
}

impl Variables {
    /// Fresh ones, and the trigger taught to the pipeline's text encoders.
    pub(super) fn new(pipeline: &mut Pipeline, config: &TrainConfig) -> Result<Variables> {
        let device = pipeline.device().clone();
        let mut sites = [config.chosen(pipeline.unet().sites(), false), Vec::new(), Vec::new()];
        if config.text_encoder {
            for (encoder, own) in pipeline.encoders().iter().zip(&mut sites[1..]) {
                *own = config.chosen(encoder.model.sites(), true);
            }
        }
        if sites.iter().all(Vec::is_empty) {
            return Err(ModelError::Training {
                reason: format!("no layer of the model ends in {}", config.targets.join(", ")),
                advice: "choose targets such as to_q, to_k, to_v and to_out.0".into(),
            });
        }
        let fresh = |place: usize| {
            let seed = config.seed.wrapping_mul(3).wrapping_add(place as u64);
            Adapters::new_trainable(&sites[place], config.rank, config.alpha, seed, &device)
        };
        let adapters =
            PipelineAdapters { unet: fresh(0)?, text_encoder: fresh(1)?, text_encoder_2: fresh(2)? };
        let triggers = teach(pipeline, config)?;

        let text = [&adapters.text_encoder, &adapters.text_encoder_2];
        let text = text.iter().flat_map(|adapters| adapters.variables().iter().cloned()).collect();
        let embeddings = triggers.iter().enumerate().map(|(n, var)| (trigger_name(n), var.clone())).collect();
        let groups = [
            (adapters.unet.variables().to_vec(), config.lr, config.weight_decay),
            (text, config.text_lr, config.weight_decay),
            (embeddings, config.trigger_lr, 0.0),
        ];
        let group = |(variables, rate, decay)| -> Result<Group> {
            let mut optimizer = AdamW::new(variables)?;
            (optimizer.betas, optimizer.weight_decay) = (config.betas, decay);
            Ok(Group { optimizer, rate })
        };
        let groups = groups.into_iter().map(group).collect::<Result<Vec<_>>>()?;
        let mut variables = Variables { adapters, sites, triggers, groups, averages: None };
        if config.ema.is_some() {
            // A copy of the variable itself would keep the graph of all that follows.
            let copy = |(name, var): &(String, Var)| {
                Ok((name.clone(), var.as_tensor().detach().force_contiguous()?))
            };
            let copies = variables.all().map(copy).collect::<candle_core::Result<HashMap<_, _>>>();
            variables.averages = Some(copies.map_err(ModelError::tensor("copying weights"))?);
        }
        Ok(variables)
    }

    /// Every variable with its name.
    pub(super) fn all(&self) -> impl Iterator<Item = &(String, Var)> {
        self.groups.iter().flat_map(|group| group.optimizer.variables())
    }

    /// How many numbers they are.
    pub(super) fn count(&self) -> usize {
        self.all().map(|(_, var)| var.elem_count()).sum()
    }

    /// Whether the states of captions change with them.
    pub(super) fn reach_text(&self) -> bool {
        !self.triggers.is_empty() || self.sites[1..].iter().any(|sites| !sites.is_empty())
    }

    /// Drops of what adapters see, from that seed.
    pub(super) fn set_dropout(&mut self, probability: f32, seed: u64) {
        let PipelineAdapters { unet, text_encoder, text_encoder_2 } = &mut self.adapters;
        for (n, adapters) in [unet, text_encoder, text_encoder_2].into_iter().enumerate() {
            adapters.set_dropout(probability, seed.wrapping_add(n as u64));
        }
    }

    /// Adds the variables' gradients to a sum of them.
    pub(super) fn add(&self, sum: &mut GradStore, part: &GradStore) -> candle_core::Result<()> {
        for (_, variable) in self.all() {
            if let Some(gradient) = part.get(variable) {
                let gradient = gradient.detach();
                let total = match sum.get(variable) {
                    Some(sum) => (sum + gradient)?,
                    None => gradient,
                };
                sum.insert(variable, total);
            }
        }
        Ok(())
    }

    /// The gradients' norm over all variables.
    pub(super) fn norm(&self, gradients: &GradStore) -> candle_core::Result<f64> {
        let squares = self.all().filter_map(|(_, variable)| gradients.get(variable));
        let squares = squares.map(|g| {
            let square = g.detach().to_dtype(DType::F32)?.sqr()?.sum_all()?;
            Ok(f64::from(square.to_scalar::<f32>()?))
        });
        Ok(squares.sum::<candle_core::Result<f64>>()?.sqrt())
    }

    /// Multiplies all gradients.
    pub(super) fn scale(&self, gradients: &mut GradStore, factor: f64) -> candle_core::Result<()> {
        for (_, variable) in self.all() {
            if let Some(gradient) = gradients.get(variable) {
                let scaled = (gradient.detach() * factor)?;
                gradients.insert(variable, scaled);
            }
        }
        Ok(())
    }

    /// Moves all variables, at their own rates times `rate`, and the means after them.
    pub(super) fn step(&mut self, gradients: &GradStore, rate: f64, ema: Option<f64>) -> Result<()> {
        for group in self.groups.iter_mut() {
            group.optimizer.step(gradients, group.rate * rate)?;
        }
        let steps = f64::from(self.groups[0].optimizer.steps());
        let (Some(decay), Some(mut averages)) = (ema, self.averages.take()) else { return Ok(()) };
        // The first means would be of the untrained weights mostly.
        let decay = decay.min((1.0 + steps) / (10.0 + steps));
        let mut follow = || -> candle_core::Result<()> {
            for (name, variable) in self.all() {
                if let Some(mean) = averages.get_mut(name) {
                    *mean = ((&*mean * decay)? + (variable.as_tensor().detach() * (1.0 - decay))?)?;
                }
            }
            Ok(())
        };
        follow().map_err(ModelError::tensor("averaging weights"))?;
        self.averages = Some(averages);
        Ok(())
    }

    /// What was learned: the means where there are some, without a graph.
    pub(super) fn learned(&self) -> (PipelineAdapters, Vec<Tensor>) {
        let values: HashMap<&str, Tensor> = (self.all())
            .map(|(name, var)| {
                let mean = self.averages.as_ref().and_then(|averages| averages.get(name));
                (name.as_str(), mean.cloned().unwrap_or_else(|| var.as_tensor().detach()))
            })
            .collect();
        let own = &self.adapters;
        let parts = [&own.unet, &own.text_encoder, &own.text_encoder_2];
        let build = |place: usize| {
            let mut adapters = Adapters::none();
            for site in &self.sites[place] {
                let value = |end: &str| values.get(format!("{}.{end}", site.path).as_str()).cloned();
                let scale = parts[place].at(site.index).first().map_or(1.0, |pair| pair.scale);
                if let (Some(down), Some(up)) = (value("lora_A"), value("lora_B")) {
                    adapters.push(site, LowRank { down, up, scale });
                }
            }
            adapters
        };
        let adapters = PipelineAdapters { unet: build(0), text_encoder: build(1), text_encoder_2: build(2) };
        let triggers = (0..self.triggers.len()).filter_map(|n| values.get(trigger_name(n).as_str()).cloned());
        (adapters, triggers.collect())
    }
}

/// Adds the trigger to the text encoders, its embeddings at the mean of its class's words.
fn teach(pipeline: &mut Pipeline, config: &TrainConfig) -> Result<Vec<Var>> {
    if config.trigger_vectors == 0 {
        return Ok(Vec::new());
    }
    let words = config.class.trim();
    let words = ["a ", "an ", "the "].iter().find_map(|article| words.strip_prefix(article)).unwrap_or(words);
    let mut triggers = Vec::new();
    for encoder in pipeline.encoders_mut() {
        if encoder.triggers.is_some() {
            return Err(ModelError::Training {
                reason: "the model has learned words already".into(),
                advice: "train the model as it was loaded".into(),
            });
        }
        encoder.tokenizer.add_trigger(&config.trigger, config.trigger_vectors as u32);
        let known = encoder.model.embeddings(&encoder.tokenizer.ids(words)?)?;
        let begin = || -> candle_core::Result<Var> {
            let mean = known.to_dtype(DType::F32)?.mean_keepdim(0)?;
            Var::from_tensor(&mean.repeat((config.trigger_vectors, 1))?)
        };
        let var = begin().map_err(ModelError::tensor("teaching a word"))?;
        encoder.triggers = Some(var.as_tensor().clone());
        triggers.push(var);
    }
    Ok(triggers)
}
