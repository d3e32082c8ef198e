//! `spinbot::train_lora()`: the builder of a plan that teaches a model what some pictures show.
//!
//! What it leaves is in [`crate::training`], where LoRAs are kept in [`crate::loras`], which model learns in [`crate::base_model`], and which files are
//! pictures in [`crate::pictures`].

use crate::loras::Loras;
use crate::models::AddedModels;
use crate::pictures::{Captions, Crop, MOST_PICTURES, caption_beside, pictures};
use crate::plan::{Input, Plan, Step};
use crate::steps::{LoraTargets, Precision, ReadPictures, TrainLora as TrainStep};
use crate::training::TrainedLora;
use crate::{Engine, Fault, Result, base_model};
use std::path::PathBuf;

/// The trigger word where the name cannot be one: in CLIP's vocabulary, and nearly never in captions.
pub const RARE_WORD: &str = "ohwx";
/// Letters of a name that is its own trigger word.
const WORD_LENGTHS: std::ops::RangeInclusive<usize> = 3..=12;
/// Longest trigger word.
const LONGEST_TRIGGER: usize = 32;

/// A LoRA about to be trained; ends in [`TrainLora::run`].
#[derive(Debug, Clone)]
pub struct TrainLora {
    pictures: Vec<PathBuf>,
    name: String,
    trigger: Option<String>,
    base: Option<String>,
    resolution: Option<u32>,
    crop: Crop,
    captions: Captions,
    flip: bool,
    seed: u64,
    settings: TrainStep,
    loras: Loras,
    models: AddedModels,
}

/// Teaches a model what pictures show: `spinbot::train_lora("photos/").name("nova").steps(300).run()?`. A folder means
/// the pictures in it, with the captions beside them (`nova.txt` beside `nova.png`); `*` and `?` in a path stand for what
/// they do in a shell.
pub fn train_lora(pictures: impl Into<PathBuf>) -> TrainLora {
    TrainLora {
        pictures: vec![pictures.into()],
        name: String::new(),
        trigger: None,
        base: None,
        resolution: None,
        crop: Crop::default(),
        captions: Captions::default(),
        flip: false,
        seed: 0,
        settings: TrainStep::default(),
        loras: Loras::standard(),
        models: AddedModels::standard(),
    }
}

impl TrainLora {
    /// More pictures: a file, a folder or a pattern.
    #[must_use]
    pub fn and(mut self, pictures: impl Into<PathBuf>) -> Self {
        self.pictures.push(pictures.into());
        self
    }

    /// What the LoRA is called: `%draw --lora NAME`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The word that calls up what was learned; the name when not given and it is a plain word, else [`RARE_WORD`].
    #[must_use]
    pub fn trigger(mut self, word: impl Into<String>) -> Self {
        self.trigger = Some(word.into());
        self
    }

    /// Which model learns it, by the id it was added under (`spinbot models add`); the one that is built in when not given.
    #[must_use]
    pub fn base(mut self, model: impl Into<String>) -> Self {
        self.base = Some(model.into());
        self
    }

    /// Side in pixels of the square whose area the pictures have; the model's own when not given.
    #[must_use]
    pub fn resolution(mut self, pixels: u32) -> Self {
        self.resolution = Some(pixels);
        self
    }

    /// How much of each picture is learned from; a square around the face when not given.
    #[must_use]
    pub fn crop(mut self, crop: Crop) -> Self {
        self.crop = crop;
        self
    }

    /// Where captions come from; files beside the pictures, and what is seen where there are none, when not given.
    #[must_use]
    pub fn captions(mut self, captions: Captions) -> Self {
        self.captions = captions;
        self
    }

    /// Learn from the mirror images too: twice the pictures of what looks the same from both sides.
    #[must_use]
    pub fn flip(mut self) -> Self {
        self.flip = true;
        self
    }

    /// Steps of training.
    #[must_use]
    pub fn steps(mut self, steps: u32) -> Self {
        self.settings.steps = steps;
        self
    }

    /// Rank of the adapters: how much they can hold.
    #[must_use]
    pub fn rank(mut self, rank: u32) -> Self {
        self.settings.rank = rank;
        self
    }

    /// What the adapters count by, times the rank; as the rank when not given.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.settings.alpha = Some(alpha);
        self
    }

    /// The learning rate; what suits the model when not given.
    #[must_use]
    pub fn lr(mut self, rate: f64) -> Self {
        self.settings.lr = Some(rate);
        self
    }

    /// Pictures of a step; what suits the model when not given.
    #[must_use]
    pub fn batch(mut self, pictures: u32) -> Self {
        self.settings.batch = Some(pictures);
        self
    }

    /// Which layers learn; what suits the model when not given.
    #[must_use]
    pub fn targets(mut self, targets: LoraTargets) -> Self {
        self.settings.targets = Some(targets);
        self
    }

    /// Whether the text encoder learns too.
    #[must_use]
    pub fn text_encoder(mut self, learns: bool) -> Self {
        self.settings.text_encoder = learns;
        self
    }

    /// Share of the pictures of a step that the model draws itself before it is taught, 0..=0.9, so that it keeps what
    /// else it knows.
    #[must_use]
    pub fn prior(mut self, share: f64) -> Self {
        self.settings.prior_share = share;
        self
    }

    /// A prompt that is drawn before, while and after it learns, with `{}` for the trigger word; several by calling it
    /// again.
    #[must_use]
    pub fn preview(mut self, prompt: impl Into<String>) -> Self {
        self.settings.prompts.push(prompt.into());
        self
    }

    /// Steps of training that may be lost when it is stopped from outside.
    #[must_use]
    pub fn save_every(mut self, steps: u32) -> Self {
        self.settings.save_every = steps;
        self
    }

    /// Where it is computed: `auto` (the fastest there is, when not given), `cpu`, `cuda`, `cuda:N`, `metal`.
    #[must_use]
    pub fn device(mut self, name: impl Into<String>) -> Self {
        self.settings.device = name.into();
        self
    }

    /// In what the network computes; what suits the device when not given: f32 on the CPU and for the embedded model, else
    /// bf16.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.settings.precision = Some(precision);
        self
    }

    /// Every setting there is; [`TrainLora::steps`] and the others change single ones.
    #[must_use]
    pub fn settings(mut self, settings: TrainStep) -> Self {
        self.settings = settings;
        self
    }

    /// Seed of everything random in it.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Where the LoRA is kept; among the user's own when not given.
    #[must_use]
    pub fn loras(mut self, loras: Loras) -> Self {
        self.loras = loras;
        self
    }

    /// Where models are looked for; among the user's own when not given.
    #[must_use]
    pub fn models(mut self, models: AddedModels) -> Self {
        self.models = models;
        self
    }

    /// The plan: `read_pictures` -> `train_lora`.
    ///
    /// # Errors
    /// When no picture is found, there is no such model, or the name or the trigger word cannot be.
    pub fn plan(&self) -> Result<Plan> {
        if self.name.is_empty() {
            return Err(Fault::new("the LoRA has no name").help("name it, as in `--as nova`").about("as"));
        }
        if self.loras.path(&self.name).is_none() {
            return Err(Fault::new(format!("`{}` cannot name a LoRA", self.name))
                .help("use letters, digits, `-` and `_`")
                .about("as"));
        }
        let trigger = self.trigger_word()?;
        let model = base_model(self.base.as_deref(), &self.models)?;
        let mut files: Vec<PathBuf> = Vec::new();
        for path in &self.pictures {
            let new: Vec<_> = pictures(path)?.into_iter().filter(|file| !files.contains(file)).collect();
            files.extend(new);
        }
        if files.len() > MOST_PICTURES {
            let message = format!("{} pictures are too many, the most is {MOST_PICTURES}", files.len());
            return Err(Fault::new(message).help("a dozen good ones are enough").about("pictures"));
        }
        let title = match files.as_slice() {
            [one] => {
                format!("learn {} from {}", self.name, one.file_name().unwrap_or_default().to_string_lossy())
            }
            files => format!("learn {} from {} pictures", self.name, files.len()),
        };
        // The engine takes no empty file; one among others is left out, and said.
        let holds = |file: &PathBuf| !std::fs::metadata(file).is_ok_and(|found| found.len() == 0);
        let (files, empty): (Vec<_>, Vec<_>) = match files.iter().any(holds) {
            true => files.into_iter().partition(holds),
            false => (files, Vec::new()),
        };
        let read = ReadPictures {
            resolution: self.resolution,
            crop: self.crop,
            captions: self.captions.clone(),
            trigger,
            flip: self.flip,
            hold_out: true,
            empty: empty.iter().map(|file| file.display().to_string()).collect(),
        };
        let with_captions = self.captions == Captions::Files;
        let read = (1..)
            .zip(files)
            .fold(Step::new(&read), |step, (n, file)| {
                let caption = caption_beside(&file).filter(|_| with_captions);
                let step = step.with(&format!("picture{n}"), Input::File(file));
                caption
                    .into_iter()
                    .fold(step, |step, text| step.with(&format!("caption{n}"), Input::File(text)))
            })
            .with("model", model.input())
            .seeded(self.seed)
            .weighing(3.0);
        let settings = TrainStep { name: self.name.clone(), ..self.settings.clone() };
        let train = Step::new(&settings)
            .with("pictures", read.output("pictures"))
            .with("model", model.input())
            .seeded(self.seed)
            .weighing(97.0);
        let result = (train.id.clone(), "lora".to_owned());
        Ok(Plan { title, steps: vec![read, train], result })
    }

    /// The trigger word: as given, else the name where it is a word, else [`RARE_WORD`].
    fn trigger_word(&self) -> Result<String> {
        let Some(word) = &self.trigger else {
            let is_word = self.name.bytes().all(|b| b.is_ascii_alphabetic());
            let word = (is_word && WORD_LENGTHS.contains(&self.name.len())).then(|| self.name.to_lowercase());
            return Ok(word.unwrap_or_else(|| RARE_WORD.to_owned()));
        };
        // Brackets, colons and commas mean something in a prompt.
        let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        match !word.is_empty() && word.chars().all(plain) && word.chars().count() <= LONGEST_TRIGGER {
            true => Ok(word.clone()),
            false => Err(Fault::new(format!("`{word}` cannot be a trigger word"))
                .help("choose one word of letters and digits that means nothing else, as `ohwx`")
                .about("trigger")),
        }
    }

    /// Runs it on the engine, showing the curve and the previews as they grow, and keeps the LoRA.
    ///
    /// # Errors
    /// What is missing or wrong in the pictures, or why the engine could not do it.
    pub fn run(&self) -> Result<TrainedLora> {
        let mut job = Engine::connect()?.submit(self.plan()?)?;
        let view = job.show()?;
        TrainedLora::keep(&view, &self.name, &self.loras)
    }
}

#[cfg(test)]
#[path = "train_lora_tests.rs"]
mod tests;
