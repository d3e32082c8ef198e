//! `spinbot::draw()`: the builder of a plan that draws pictures from a text. What it leaves is in [`crate::drawn`].

use crate::base_model::{BaseModel, base_model_for};
use crate::drawn::{Drawn, DrawnPicture};
use crate::loras::{Lora, Loras};
use crate::models::AddedModels;
use crate::plan::{Input, Plan, Step};
use crate::steps::{self, AUTO, ArrangePictures, Precision, ScorePictures};
use crate::{Engine, Fault, JobView, Result};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Pictures of one plan.
pub const MOST_PICTURES: usize = 64;
/// LoRAs at once.
pub const MOST_LORAS: usize = 16;
/// What a LoRA may count by.
pub const LORA_WEIGHTS: RangeInclusive<f64> = -4.0..=4.0;
/// Steps when not given.
pub const DEFAULT_STEPS: u32 = 20;
/// Guidance when not given.
pub const DEFAULT_CFG: f64 = 5.0;
/// How much of a picture to begin from may change when not given.
pub const DEFAULT_STRENGTH: f64 = 0.6;

/// Sampling methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Denoising diffusion implicit models.
    Ddim,
    /// Euler's method.
    Euler,
    /// Euler's method with fresh noise in each step.
    EulerA,
    /// DPM-Solver++, second order, multistep.
    Dpm2m,
    /// The same on the noise levels of Karras et al.
    Dpm2mKarras,
    /// For latent consistency models, in 1 to 8 steps.
    Lcm,
}

impl Sampler {
    /// All of them, as they are typed.
    pub const NAMES: &'static [&'static str] =
        &["ddim", "euler", "euler-a", "dpm-2m", "dpm-2m-karras", "lcm"];
    const ALL: [Sampler; 6] =
        [Sampler::Ddim, Sampler::Euler, Sampler::EulerA, Sampler::Dpm2m, Sampler::Dpm2mKarras, Sampler::Lcm];
}

impl std::str::FromStr for Sampler {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        let found = Sampler::NAMES.iter().position(|known| *known == name);
        found.and_then(|at| Sampler::ALL.get(at).copied()).ok_or_else(|| {
            Fault::not_among(format!("`{name}` is no sampling method"), Sampler::NAMES, "scheduler")
        })
    }
}

/// Pictures about to be drawn; ends in [`Draw::run`].
#[derive(Debug, Clone)]
pub struct Draw {
    params: steps::Draw,
    loras: Vec<(String, f64)>,
    seeds: Vec<u64>,
    from: Option<PathBuf>,
    mask: Option<PathBuf>,
    strength: Option<f64>,
    base: Option<String>,
    store: Loras,
    models: AddedModels,
}

/// Draws pictures of a text: `spinbot::draw("nova on a stage").lora("nova", 0.8).seeds(4).run()?`.
pub fn draw(prompt: impl Into<String>) -> Draw {
    Draw {
        params: steps::Draw {
            prompt: prompt.into(),
            negative: None,
            steps: DEFAULT_STEPS,
            cfg: DEFAULT_CFG,
            rescale: 0.0,
            sampler: None,
            size: None,
            strength: DEFAULT_STRENGTH,
            weights: Vec::new(),
            clip_skip: 0,
            device: AUTO.into(),
            precision: None,
        },
        loras: Vec::new(),
        seeds: vec![0],
        from: None,
        mask: None,
        strength: None,
        base: None,
        store: Loras::standard(),
        models: AddedModels::standard(),
    }
}

impl Draw {
    /// Adds a LoRA, by its name or file, counted by a weight: 1 as it was trained.
    #[must_use]
    pub fn lora(mut self, name_or_path: impl Into<String>, weight: f64) -> Self {
        self.loras.push((name_or_path.into(), weight));
        self
    }

    /// That many pictures, of seeds from the first one given on, else from 0.
    #[must_use]
    pub fn seeds(mut self, count: usize) -> Self {
        let first = self.seeds.first().copied().unwrap_or(0);
        // One too many is enough to be refused.
        self.seeds = (0..count.min(MOST_PICTURES + 1) as u64).map(|n| first.wrapping_add(n)).collect();
        self
    }

    /// A picture for each of these seeds.
    #[must_use]
    pub fn seed_list(mut self, seeds: impl IntoIterator<Item = u64>) -> Self {
        self.seeds = seeds.into_iter().collect();
        self
    }

    /// Steps of the sampling method, 1..=200: more are slower and, up to a point, cleaner.
    #[must_use]
    pub fn steps(mut self, steps: u32) -> Self {
        self.params.steps = steps;
        self
    }

    /// How strictly the prompt is followed, 1..=30; 1 is twice as fast and pays no heed to the negative prompt.
    #[must_use]
    pub fn cfg(mut self, scale: f64) -> Self {
        self.params.cfg = scale;
        self
    }

    /// How far guided predictions are brought back to the deviation of unguided ones, 0..=1: 0.7 for models whose noise
    /// ends at zero signal.
    #[must_use]
    pub fn rescale(mut self, amount: f64) -> Self {
        self.params.rescale = amount;
        self
    }

    /// What the pictures must not show.
    #[must_use]
    pub fn negative(mut self, prompt: impl Into<String>) -> Self {
        self.params.negative = Some(prompt.into());
        self
    }

    /// Width and height in pixels; else those the model was trained on, or of the picture to begin from.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.params.size = Some((width, height));
        self
    }

    /// A picture to begin from.
    #[must_use]
    pub fn from(mut self, image: impl Into<PathBuf>) -> Self {
        self.from = Some(image.into());
        self
    }

    /// How much of the picture to begin from may change, 0..=1.
    #[must_use]
    pub fn strength(mut self, strength: f64) -> Self {
        self.strength = Some(strength);
        self
    }

    /// Where the picture to begin from may change: a picture of its size, light where it is redrawn.
    #[must_use]
    pub fn mask(mut self, image: impl Into<PathBuf>) -> Self {
        self.mask = Some(image.into());
        self
    }

    /// Which model draws, by its id (`spinbot models add`); when not given the one its LoRAs were made for, else the one
    /// that is built in.
    #[must_use]
    pub fn base(mut self, id: impl Into<String>) -> Self {
        self.base = Some(id.into());
        self
    }

    /// The sampling method; the model's own when not given.
    #[must_use]
    pub fn scheduler(mut self, sampler: Sampler) -> Self {
        self.params.sampler = Some(sampler);
        self
    }

    /// Layers of the text encoder left out at its end, as some models want.
    #[must_use]
    pub fn clip_skip(mut self, layers: u32) -> Self {
        self.params.clip_skip = layers;
        self
    }

    /// Where it is computed: `auto` (the fastest there is, when not given), `cpu`, `cuda`, `cuda:N`, `metal`.
    #[must_use]
    pub fn device(mut self, name: impl Into<String>) -> Self {
        self.params.device = name.into();
        self
    }

    /// In what the networks compute; what suits the device when not given: f32 on the CPU and for the embedded model,
    /// else f16.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.params.precision = Some(precision);
        self
    }

    /// Where LoRAs are looked for; the user's own when not given.
    #[must_use]
    pub fn loras(mut self, store: Loras) -> Self {
        self.store = store;
        self
    }

    /// Where models are looked for; the user's own when not given.
    #[must_use]
    pub fn models(mut self, models: AddedModels) -> Self {
        self.models = models;
        self
    }

    /// The seeds of the pictures, in their order.
    pub fn all_seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// The model that draws: of several LoRAs the first decides that says which it was made for and that one is known.
    ///
    /// # Errors
    /// There is no such LoRA or model.
    pub fn model(&self) -> Result<BaseModel> {
        self.model_for(&self.found()?)
    }

    fn model_for(&self, loras: &[Lora]) -> Result<BaseModel> {
        base_model_for(self.base.as_deref(), loras, &self.models)
    }

    /// The LoRAs' files.
    fn found(&self) -> Result<Vec<Lora>> {
        let find = |(number, (name, _)): (usize, &(String, f64))| {
            self.store.find(name).map_err(|fault| fault.about(format!("lora{}", number + 1)))
        };
        self.loras.iter().enumerate().map(find).collect()
    }

    /// The plan: a `draw` for each seed, for several `arrange_pictures`, and `score_pictures`.
    ///
    /// # Errors
    /// There is nothing to draw, no such LoRA or model, or an option that the others leave no sense for.
    pub fn plan(&self) -> Result<Plan> {
        self.check()?;
        let mut params = self.params.clone();
        params.strength = self.strength.unwrap_or(DEFAULT_STRENGTH);
        params.weights = self.loras.iter().map(|(_, weight)| *weight).collect();
        let loras = self.found()?;
        let mut step = Step::new(&params).with("model", self.model_for(&loras)?.input()).weighing(10.0);
        for (number, lora) in loras.iter().enumerate() {
            step = step.with(&format!("lora{}", number + 1), Input::File(lora.path().to_owned()));
        }
        for (name, path) in [("image", &self.from), ("mask", &self.mask)] {
            if let Some(path) = path {
                step = step.with(name, Input::File(path.clone()));
            }
        }
        let mut plan = Plan {
            title: format!("draw {}", quoted(&self.params.prompt)),
            steps: Vec::new(),
            result: ("draw1".into(), "picture".into()),
        };
        for (number, seed) in self.seeds.iter().enumerate() {
            let mut step = step.clone().seeded(*seed);
            step.id = step_id(number);
            plan.steps.push(step);
        }
        if self.seeds.len() > 1 {
            let arrange = ArrangePictures {
                title: String::new(),
                labels: self.seeds.iter().map(|seed| format!("seed {seed}")).collect(),
            };
            let arrange =
                plan.steps.iter().enumerate().fold(Step::new(&arrange), |arrange, (number, step)| {
                    arrange.with(&format!("picture{}", number + 1), step.output("picture"))
                });
            plan.result = (arrange.id.clone(), "grid".into());
            plan.steps.push(arrange);
        }
        let score = Step::new(&ScorePictures { prompt: self.params.prompt.clone() }).weighing(0.2);
        let drawn = plan.steps.iter().take(self.seeds.len()).enumerate();
        let score = drawn.fold(score, |score, (number, step)| {
            score.with(&format!("picture{}", number + 1), step.output("picture"))
        });
        // Of several LoRAs the first that knows of whom it is.
        let identity = loras.iter().find_map(Lora::identity);
        let score = identity.into_iter().fold(score, |score, file| score.with("identity", Input::File(file)));
        plan.steps.push(score);
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        let fault = |message: &str, help: &str, about: &str| Err(Fault::new(message).help(help).about(about));
        if self.params.prompt.trim().is_empty() {
            return fault("there is nothing to draw: the prompt is empty", "say what it shows", "prompt");
        }
        let (count, most) = (self.seeds.len(), MOST_PICTURES);
        if count == 0 || count > most {
            return fault(&format!("{count} pictures at once"), &format!("draw 1 to {most}"), "seeds");
        }
        if self.seeds.iter().enumerate().any(|(at, seed)| self.seeds[..at].contains(seed)) {
            return fault("a seed is given twice", "it draws the same picture: leave it out", "seed");
        }
        if self.loras.len() > MOST_LORAS {
            let message = format!("{} LoRAs at once, the most is {MOST_LORAS}", self.loras.len());
            return fault(&message, "leave some out", "lora");
        }
        if let Some(at) = self.loras.iter().position(|(_, weight)| !LORA_WEIGHTS.contains(weight)) {
            let (name, weight) = &self.loras[at];
            let message = format!("the LoRA `{name}` counts by {weight}, need -4 to 4");
            return fault(&message, "1 is as it was trained, 0.8 a little less", &format!("lora{}", at + 1));
        }
        match (&self.from, &self.mask, self.strength) {
            (None, Some(_), _) => {
                fault("a mask needs the picture it is of", "name the picture with --from", "mask")
            }
            (None, None, Some(_)) => {
                fault("a strength is of a picture to begin from", "name it with --from", "strength")
            }
            _ => Ok(()),
        }
    }

    /// Runs it on the engine and returns the pictures.
    ///
    /// # Errors
    /// What is wrong with what was asked, or why the engine could not do it.
    pub fn run(&self) -> Result<Drawn> {
        let mut job = Engine::connect()?.submit(self.plan()?)?;
        self.drawn(&job.show()?)
    }

    /// What a finished job of [`Draw::plan`] left.
    ///
    /// # Errors
    /// The job's own fault when it failed, or that it was cancelled.
    pub fn drawn(&self, view: &JobView) -> Result<Drawn> {
        view.result()?;
        let picture = |(number, seed): (usize, &u64)| {
            let file = view.artifact(&step_id(number), "picture")?.clone();
            Ok(DrawnPicture { seed: *seed, file })
        };
        Ok(Drawn {
            job: view.job.clone(),
            prompt: self.params.prompt.clone(),
            model: self.model()?.id,
            pictures: self.seeds.iter().enumerate().map(picture).collect::<Result<_>>()?,
            grid: view.artifact("arrange_pictures", "grid").ok().cloned(),
            scores: view.artifact("score_pictures", "report")?.json()?,
            seconds: view.seconds(),
        })
    }
}

/// The step that draws the picture of that number, from 0.
fn step_id(number: usize) -> String {
    format!("draw{}", number + 1)
}

/// The first words of a prompt, on one line, in quotes.
fn quoted(prompt: &str) -> String {
    let line = prompt.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(60) {
        Some((cut, _)) => format!("\"{}…\"", line[..cut].trim_end()),
        None => format!("\"{line}\""),
    }
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
