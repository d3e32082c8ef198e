//! A training's state in one file, there whole or not at all.

use super::dataset::Item;
use super::trainer::Trainer;
use crate::error::{ModelError, Result};
use crate::store::write_whole;
use crate::tensor_file::TensorFile;
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Where the record lies in the file's metadata.
const RECORD: &str = "spinbot.training";
/// Raised when another state is kept or the same seed gives other numbers.
const VERSION: u32 = 1;

/// What the tensors do not say. Noise, order and dropout follow from the configuration's seed and the step.
#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    /// The configuration, as text: it must be the very same.
    config: String,
    /// The pictures'.
    fingerprint: String,
    step: usize,
    seconds: f64,
    /// Captions of the model's own pictures, by the size of their latents.
    prior: Vec<((usize, usize), Vec<String>)>,
}

impl Trainer {
    /// Writes the whole state; what lay there before is there until the new one is.
    ///
    /// # Errors
    /// [`ModelError::Io`] when it cannot be written; what lay there before is unharmed then.
    pub fn save(&self, path: &Path) -> Result<()> {
        let doing = "keeping a training's state";
        let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
        for group in &self.variables.groups {
            let state = group.optimizer.state()?.into_iter().filter(|(name, _)| name != "step");
            tensors.extend(state.map(|(name, tensor)| (format!("optimizer.{name}"), tensor)));
        }
        for (name, variable) in self.variables.all() {
            tensors.insert(format!("weights.{name}"), variable.as_tensor().clone());
        }
        for (name, mean) in self.variables.averages.iter().flatten() {
            tensors.insert(format!("ema.{name}"), mean.clone());
        }
        let own = self.dataset.buckets.iter().filter(|(_, bucket)| !bucket.prior.is_empty());
        for ((h, w), bucket) in own.clone() {
            let latents: Vec<&Tensor> = bucket.prior.iter().map(|item| &item.latents).collect();
            let latents = Tensor::cat(&latents, 0).map_err(ModelError::tensor(doing))?;
            tensors.insert(format!("prior.{h}x{w}"), latents);
        }
        let vector = |values: Vec<f32>| Tensor::new(values, &Device::Cpu).map_err(ModelError::tensor(doing));
        if !self.losses.is_empty() {
            tensors.insert("losses".into(), vector(self.losses.clone())?);
        }
        if !self.validation.is_empty() {
            let steps = self.validation.iter().map(|(step, _)| *step as f32).collect();
            tensors.insert("validation.steps".into(), vector(steps)?);
            let losses = self.validation.iter().map(|(_, loss)| *loss).collect();
            tensors.insert("validation.losses".into(), vector(losses)?);
        }
        let captions = |items: &[Item]| items.iter().map(|item| item.caption.clone()).collect();
        let record = Record {
            version: VERSION,
            config: self.config_text()?,
            fingerprint: self.dataset.fingerprint.clone(),
            step: self.steps_done(),
            seconds: self.seconds,
            prior: own.map(|(size, bucket)| (*size, captions(&bucket.prior))).collect(),
        };
        let record = serde_json::to_string(&record).map_err(|e| refuse(e.to_string()))?;
        let metadata = HashMap::from([(RECORD.to_owned(), record)]);
        let on_cpu = tensors.iter().map(|(name, tensor)| {
            let tensor = tensor.detach().to_device(&Device::Cpu)?.contiguous()?;
            Ok((name.as_str(), tensor))
        });
        let on_cpu = on_cpu.collect::<candle_core::Result<Vec<_>>>().map_err(ModelError::tensor(doing))?;
        let views = on_cpu.iter().map(|(name, tensor)| (*name, tensor));
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| refuse(e.to_string()))?;
        write_whole(path, &bytes)
    }

    /// Goes on from what [`Trainer::save`] wrote: every step from here is what it would have been.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when it is damaged, or of another configuration, other pictures or another version;
    /// nothing has changed then.
    pub fn restore(&mut self, path: &Path) -> Result<()> {
        let doing = "reading a training's state";
        let file = TensorFile::open("training state", path)?;
        let record = file.metadata().get(RECORD).ok_or_else(|| refuse("it is none".into()))?;
        let record: Record = serde_json::from_str(record).map_err(|e| refuse(e.to_string()))?;
        if record.version != VERSION || record.config != self.config_text()? {
            return Err(refuse("it was made by another version or with other parameters".into()));
        }
        if record.fingerprint != self.dataset.fingerprint {
            return Err(refuse("it was made of other pictures".into()));
        }
        let device = self.pipeline.device().clone();
        let stored =
            |name: String, like: &Tensor| -> Result<Tensor> { file.tensor(&name, like.dims(), &device) };

        let mut weights = Vec::new();
        let mut averages = HashMap::new();
        for (name, variable) in self.variables.all() {
            weights.push(stored(format!("weights.{name}"), variable)?);
            if self.variables.averages.is_some() {
                averages.insert(name.clone(), stored(format!("ema.{name}"), variable)?);
            }
        }
        let mut states = Vec::new();
        for group in &self.variables.groups {
            let steps = Tensor::new(record.step as u32, &Device::Cpu).map_err(ModelError::tensor(doing))?;
            let mut state = HashMap::from([("step".to_owned(), steps)]);
            for (name, variable) in group.optimizer.variables() {
                for moment in ["exp_avg", "exp_avg_sq"] {
                    let name = format!("{name}.{moment}");
                    let tensor = stored(format!("optimizer.{name}"), variable)?;
                    state.insert(name, tensor);
                }
            }
            states.push(state);
        }
        let vector = |name: &str| -> Result<Vec<f32>> {
            match file.shape(name).map(<[usize]>::to_vec) {
                Some(shape) => file.values(name, &shape),
                None => Ok(Vec::new()),
            }
        };
        let losses = vector("losses")?;
        if losses.len() != record.step {
            return Err(refuse(format!("it has {} losses of {} steps", losses.len(), record.step)));
        }
        let steps = vector("validation.steps")?.into_iter().map(|step| step as usize);
        let validation = steps.zip(vector("validation.losses")?).collect();
        let mut prior = Vec::new();
        for ((h, w), captions) in record.prior {
            let latents = file.stored(&format!("prior.{h}x{w}"))?.to_dtype(DType::F32);
            let latents =
                latents.and_then(|latents| latents.to_device(&device)).map_err(ModelError::tensor(doing))?;
            let channels = self.pipeline.vae().config().latent_channels;
            if latents.dims() != [captions.len(), channels, h, w] {
                return Err(refuse(format!("its own pictures are {:?}", latents.dims())));
            }
            let items = captions.into_iter().enumerate().map(|(n, caption)| {
                let latents = latents.narrow(0, n, 1)?.contiguous()?;
                Ok(Item { latents, caption })
            });
            let items = items.collect::<candle_core::Result<Vec<_>>>().map_err(ModelError::tensor(doing))?;
            prior.push(((h, w), items));
        }

        for (group, state) in self.variables.groups.iter_mut().zip(&states) {
            group.optimizer.restore(state)?;
        }
        for ((_, variable), weight) in self.variables.all().zip(&weights) {
            variable.set(weight).map_err(ModelError::tensor(doing))?;
        }
        if self.variables.averages.is_some() {
            self.variables.averages = Some(averages);
        }
        for (size, items) in prior {
            self.dataset.buckets.entry(size).or_default().prior = items;
        }
        (self.losses, self.validation, self.seconds) = (losses, validation, record.seconds);
        self.keep_texts()
    }

    fn config_text(&self) -> Result<String> {
        serde_json::to_string(&self.config).map_err(|e| refuse(e.to_string()))
    }
}

fn refuse(reason: String) -> ModelError {
    ModelError::Weights { model: "training state".into(), reason }
}
