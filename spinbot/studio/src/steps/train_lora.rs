//! `train_lora`: adapters that know what some pictures show.

use crate::loaded;
use crate::scoring::{self, Judge};
use crate::step::{
    Inputs, Report, Run, StepError, StepOutput, check_device, device, in_range, input, media_fault,
    model_fault,
};
use crate::training::{Looks, examples, identity, look_scores};
use spinbot::Fault;
use spinbot::pictures::PicturesRead;
use spinbot::scores::Identity;
use spinbot::steps::{LoraTargets, LrSchedule, TrainLora};
use spinbot::training::{LookScores, TrainReport};
use spinbot_media::plot::Curves;
use spinbot_media::{RgbImage, picture};
use spinbot_models::diffusion::checkpoint::{Checkpoint, Family};
use spinbot_models::diffusion::lora_file::{LoraFormat, LoraMetadata};
use spinbot_models::diffusion::pipeline::{self, DrawRequest, Pipeline, Rgb8, Subject};
use spinbot_models::diffusion::train::{Schedule, TrainConfig, Trainer, targets};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// The state of a training that was stopped, in the folder that is kept.
const STATE: &str = "training.safetensors";
/// Steps of a preview's pictures.
const PREVIEW_STEPS: usize = 20;
/// Seed of a preview's pictures: the same at every step, so that only the training differs.
const PREVIEW_SEED: u64 = 3;

impl Run for TrainLora {
    const MODELS: &'static [&'static str] = scoring::MODELS;

    fn check(&self) -> Result<(), Fault> {
        in_range("steps", self.steps, 1, 100_000)?;
        in_range("rank", self.rank, 1, 256)?;
        in_range("trigger_vectors", self.trigger_vectors.unwrap_or(0), 0, 8)?;
        in_range("batch", self.batch.unwrap_or(1), 1, 64)?;
        in_range("accumulate", self.accumulate, 1, 64)?;
        in_range("save_every", self.save_every, 1, 100_000)?;
        in_range("prior_pictures", self.prior_pictures, 1, 200)?;
        in_range("noise_offset", self.noise_offset, 0.0, 1.0)?;
        in_range("caption_dropout", self.caption_dropout, 0.0, 1.0)?;
        in_range("dropout", self.dropout, 0.0, 0.9)?;
        in_range("prior_share", self.prior_share, 0.0, 0.9)?;
        for (name, value, most) in [
            ("alpha", self.alpha, 1e4),
            ("lr", self.lr, 1.0),
            ("text_lr", self.text_lr, 1.0),
            ("clip_norm", self.clip_norm, 1e6),
            ("min_snr_gamma", self.min_snr_gamma, 1e4),
        ] {
            in_range(name, value.unwrap_or(most), f64::MIN_POSITIVE, most)?;
        }
        check_device(&self.device)?;
        in_range("ema", self.ema.unwrap_or(0.0), 0.0, 0.99999)?;
        if self.prompts.len() > 8 {
            let fault =
                Fault::new(format!("{} preview prompts were given, the most is 8", self.prompts.len()));
            return Err(fault.about("prompts"));
        }
        if self.class.trim().is_empty() {
            return Err(Fault::new("the class is empty")
                .help("say in a word what it is: person")
                .about("class"));
        }
        Ok(())
    }

    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        let (examples, read) = examples(input(inputs, "pictures")?)?;
        let model = input(inputs, "model")?;
        let checkpoint = Checkpoint::open(&model.path, None).map_err(|e| model_fault(e).about("model"))?;
        let family = checkpoint.family();
        let (device, precision) = device(&self.device, self.precision, family, pipeline::Precision::Bf16)?;
        loaded::forget_painter();
        let pipeline =
            Pipeline::open(&model.path, precision, &device).map_err(|e| model_fault(e).about("model"))?;
        let config = config(self, family, precision, &read.trigger, seed);
        let prompts = match self.prompts.is_empty() {
            true => None,
            false => Some(self.prompts.iter().map(|prompt| prompt.replace("{}", &read.trigger)).collect()),
        };
        let size = examples.first().map_or((0, 0), |one| (one.picture.height, one.picture.width));
        let trainer = Trainer::new(pipeline, &examples, config).map_err(model_fault)?;
        let prompts = prompts.unwrap_or_else(|| own_prompts(&trainer, &examples));
        let judge = loaded::judge()?;
        let identity = identity(&judge, &examples, &read)?;
        let kept = report.kept();
        let mut training = Training {
            params: self,
            judge: &judge,
            identity,
            scores: BTreeMap::new(),
            read: &read,
            trainer,
            kept,
            looks: Looks::new(prompts, None, 0),
            size,
            resumed: 0,
            notes: Vec::new(),
            smoothed: Vec::new(),
        };
        training.begin(report)?;
        training.go(report)?;
        training.finish(&model.label, family)
    }
}

/// The layers that are meant, or suit the model.
fn targets_for(params: &TrainLora, family: Option<Family>) -> LoraTargets {
    params.targets.unwrap_or(if family.is_none() { LoraTargets::All } else { LoraTargets::Attention })
}

/// What the parameters mean for a model of that family.
fn config(
    params: &TrainLora,
    family: Option<Family>,
    precision: pipeline::Precision,
    trigger: &str,
    seed: u64,
) -> TrainConfig {
    // What a small model takes in a minute would break a large one, which learns the same from less.
    let small = family.is_none();
    let chosen = targets_for(params, family);
    let mut ends = targets::ATTENTION.to_vec();
    if chosen != LoraTargets::Attention {
        ends.extend(targets::MLP);
    }
    if chosen == LoraTargets::All {
        ends.extend(targets::CONVOLUTIONS);
    }
    let lr = params.lr.unwrap_or(if small { 3e-3 } else { 1e-4 });
    TrainConfig {
        rank: params.rank as usize,
        alpha: params.alpha.unwrap_or(params.rank.into()),
        targets: ends.into_iter().map(str::to_owned).collect(),
        text_encoder: params.text_encoder,
        trigger_vectors: params.trigger_vectors.unwrap_or(u32::from(small)) as usize,
        class: params.class.clone(),
        lr,
        text_lr: params.text_lr.unwrap_or(lr / 4.0),
        trigger_lr: if small { 5e-3 } else { 5e-4 },
        warm_up: params.warm_up as usize,
        schedule: match params.schedule {
            LrSchedule::Constant => Schedule::Constant,
            LrSchedule::Cosine => Schedule::Cosine,
        },
        // A run of a few hundred steps is over before a mean over a thousand has begun.
        betas: (0.9, if params.steps < 1000 { 0.99 } else { 0.999 }),
        batch: params.batch.unwrap_or(if small { 8 } else { 1 }) as usize,
        accumulate: params.accumulate as usize,
        clip_norm: params.clip_norm,
        min_snr_gamma: params.min_snr_gamma,
        noise_offset: params.noise_offset,
        caption_dropout: params.caption_dropout,
        dropout: params.dropout as f32,
        prior_share: params.prior_share,
        prior_pictures: params.prior_pictures as usize,
        guidance: if small { 3.0 } else { 7.5 },
        ema: params.ema,
        gradient_checkpointing: params.gradient_checkpointing,
        loss_scale: if precision == pipeline::Precision::F16 { 256.0 } else { 1.0 },
        seed,
        ..TrainConfig::new(params.steps as usize, trigger)
    }
}

/// Three captions, and the first without the trigger: what is learned, and what else should stay as it is.
fn own_prompts(trainer: &Trainer, examples: &[spinbot_models::diffusion::train::Example]) -> Vec<String> {
    let mut prompts: Vec<String> = Vec::new();
    for example in examples.iter().filter(|example| !example.held_out) {
        if prompts.len() < 3 && !prompts.contains(&example.caption) {
            prompts.push(example.caption.clone());
        }
    }
    let without = prompts.first().map(|caption| trainer.of_class(caption));
    prompts.extend(without.filter(|prompt| !prompts.contains(prompt)));
    prompts
}

struct Training<'a> {
    params: &'a TrainLora,
    read: &'a PicturesRead,
    judge: &'a Judge,
    /// Of whom the pictures are.
    identity: Identity,
    /// What the previews are worth, by step.
    scores: BTreeMap<u32, LookScores>,
    trainer: Trainer,
    kept: Option<PathBuf>,
    looks: Looks,
    /// Height and width of the previews' pictures.
    size: (usize, usize),
    resumed: u32,
    notes: Vec<String>,
    /// The loss as it is shown, by step.
    smoothed: Vec<(f64, f64)>,
}

impl Training<'_> {
    fn done(&self) -> u32 {
        self.trainer.steps_done() as u32
    }

    fn state(&self) -> Option<PathBuf> {
        self.kept.as_deref().map(|folder| folder.join(STATE))
    }

    /// Goes on where an earlier run stopped, or lets the model draw what it knew before.
    fn begin(&mut self, report: &mut dyn Report) -> Result<(), StepError> {
        let memory = self.trainer.memory().total();
        report.log(&format!(
            "training {} numbers, about {:.1} GB of memory",
            self.trainer.parameters(),
            memory as f64 / 1e9
        ));
        if let Some(state) = self.state().filter(|state| state.is_file()) {
            match self.trainer.restore(&state) {
                Ok(()) => {
                    self.resumed = self.done();
                    report.log(&format!("going on at step {}", self.resumed));
                }
                Err(error) => {
                    self.note(report, format!("what was kept cannot be used, so it begins anew: {error}"))
                }
            }
        }
        self.looks = Looks::new(self.looks.prompts().to_vec(), self.kept.as_deref(), self.done());
        for step in 0..self.trainer.steps_done() {
            self.smooth(step);
        }
        report.progress(self.done().into(), self.params.steps.into(), "steps");
        if self.trainer.wants_prior() {
            let drawn = self.trainer.draw_prior(&mut |_, _| match report.cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            });
            if !drawn.map_err(model_fault)? {
                return Err(StepError::Cancelled);
            }
        }
        Ok(())
    }

    /// All steps that are left, with what is due between them.
    fn go(&mut self, report: &mut dyn Report) -> Result<(), StepError> {
        let due = |every: u32, step: u32| every > 0 && step.is_multiple_of(every);
        loop {
            let (step, last) = (self.done(), self.trainer.finished());
            if due(self.params.validate_every, step) || last {
                self.validate(report)?;
            }
            if step == 0 || last || due(self.params.preview_every, step) {
                self.look(report);
            }
            if report.cancelled() {
                self.save(report);
                return Err(StepError::Cancelled);
            }
            if last {
                return Ok(());
            }
            self.trainer.step().map_err(model_fault)?;
            let shown = self.smooth(step as usize);
            report.metric("loss", f64::from(step + 1), shown);
            report.progress(f64::from(step + 1), self.params.steps.into(), "steps");
            if due(self.params.save_every, step + 1) {
                self.save(report);
            }
            if due(10, step + 1) || step + 1 == self.params.steps {
                self.plot(report);
            }
        }
    }

    /// Adds that step's loss to the curve that is shown.
    fn smooth(&mut self, step: usize) -> f64 {
        let loss = f64::from(self.trainer.losses().get(step).copied().unwrap_or(f32::NAN));
        let shown = self.smoothed.last().map_or(loss, |(_, before)| 0.95 * before + 0.05 * loss);
        self.smoothed.push(((step + 1) as f64, shown));
        shown
    }

    fn validate(&mut self, report: &mut dyn Report) -> Result<(), StepError> {
        if self.trainer.validation().last().is_some_and(|(step, _)| *step == self.trainer.steps_done()) {
            return Ok(());
        }
        let loss = self.trainer.validate().map_err(model_fault)?;
        report.metric("validation", self.done().into(), loss.into());
        Ok(())
    }

    /// A picture of each preview prompt, one after the other: together they would take the memory of a batch of them.
    fn drawn_prompts(&mut self, report: &dyn Report) -> Result<Option<Vec<Rgb8>>, Fault> {
        let mut pictures = Vec::new();
        for prompt in self.looks.prompts() {
            let subject = Subject::new(prompt.clone(), PREVIEW_SEED);
            let mut request = DrawRequest::new(vec![subject], self.size.0, self.size.1);
            (request.steps, request.guidance_scale) = (PREVIEW_STEPS, self.trainer.config().guidance);
            let drawn = self.trainer.draw(&request, &mut || match report.cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            });
            match drawn.map_err(model_fault)? {
                Some(drawn) => pictures.extend(drawn),
                None => return Ok(None),
            }
        }
        Ok(Some(pictures))
    }

    /// Draws the preview prompts. What fails is told and left out.
    fn look(&mut self, report: &mut dyn Report) {
        let step = self.done();
        if !self.looks.has(step) && !self.looks.prompts().is_empty() {
            let drawn = self.drawn_prompts(report);
            let added = match drawn {
                Ok(Some(pictures)) => self.looks.add(step, pictures, self.kept.as_deref()),
                Ok(None) => return,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = added {
                self.note(report, format!("the preview at step {step} failed: {fault}"));
                return;
            }
        }
        self.score(report);
        match self.looks.grid(&self.params.name) {
            Ok(png) => report.preview("grid", "image/png", &png),
            Err(fault) => self.note(report, format!("the grid at step {step} failed: {fault}")),
        }
    }

    /// Scores what was drawn and is not scored yet, by an earlier run too. What fails is told and left out.
    fn score(&mut self, report: &mut dyn Report) {
        let mut failed = None;
        for (step, images) in self.looks.columns() {
            let Entry::Vacant(place) = self.scores.entry(step) else { continue };
            let prompts = (self.looks.prompts(), self.read.trigger.as_str());
            match look_scores(self.judge, (step, images), prompts, &self.identity) {
                Ok(scores) => {
                    let LookScores { identity, without, adherence, .. } = place.insert(scores);
                    let named =
                        [("identity", *identity), ("identity_without", *without), ("adherence", *adherence)];
                    for (name, value) in named.into_iter().filter_map(|(name, value)| Some((name, value?))) {
                        report.metric(name, step.into(), value);
                    }
                }
                Err(fault) => {
                    failed = Some(format!("the preview at step {step} could not be scored: {fault}"))
                }
            }
        }
        if let Some(line) = failed {
            self.note(report, line);
        }
    }

    fn plot(&mut self, report: &mut dyn Report) {
        let measured = self.trainer.validation().iter();
        let measured = measured.map(|(step, loss)| (*step as f64, f64::from(*loss))).collect();
        let curves = Curves::new("").labels("step", "loss").series("loss", self.smoothed.clone());
        match curves.series("validation", measured).png() {
            Ok(png) => report.preview("curve", "image/png", &png),
            Err(error) => self.note(report, format!("the plot failed: {error}")),
        }
    }

    /// Keeps the state. A disk that is full costs what is not kept, and no more.
    fn save(&mut self, report: &mut dyn Report) {
        let Some(state) = self.state() else { return };
        if let Err(error) = self.trainer.save(&state) {
            let step = self.done();
            self.note(report, format!("step {step} could not be kept, and training goes on: {error}"));
        }
    }

    fn note(&mut self, report: &mut dyn Report, line: String) {
        report.log(&line);
        self.notes.push(line);
    }

    fn finish(mut self, model: &str, family: Option<Family>) -> Result<Vec<StepOutput>, StepError> {
        let base = family.and_then(|family| match family {
            Family::Sd1 => Some("sd_v1"),
            Family::Sd2 => Some("sd_v2"),
            Family::Sdxl => Some("sdxl_base_v1-0"),
            Family::SdxlRefiner => None,
        });
        let metadata = LoraMetadata {
            output_name: Some(self.params.name.clone()),
            base_model_version: base.map(str::to_owned),
            base_model_name: Some(model.to_owned()),
            resolution: Some((self.size.1, self.size.0)),
            ..LoraMetadata::default()
        };
        let lora = self.trainer.lora(LoraFormat::Diffusers, metadata).map_err(model_fault)?;
        let grid = self.looks.ends(&self.params.name).or_else(|fault| {
            self.notes.push(format!("the grid failed: {fault}"));
            // What was learned is worth more than how it is shown.
            picture::png_bytes(&RgbImage::new(1, 1)).map_err(|error| media_fault(error, "prompts"))
        })?;
        let Training { params, trainer, resumed, notes, read, identity, scores, .. } = self;
        let config = trainer.config();
        let report = TrainReport {
            trigger: read.trigger.clone(),
            steps: trainer.steps_done() as u32,
            resumed_at: resumed,
            losses: trainer.losses().iter().map(|loss| (*loss).into()).collect(),
            validation: trainer
                .validation()
                .iter()
                .map(|(step, loss)| (*step as u32, (*loss).into()))
                .collect(),
            held_out: trainer.holds_out(),
            looks: scores.into_values().collect(),
            identity_by: Some(identity.by),
            own_identity: scoring::own(&identity),
            targets: targets_for(params, family),
            lr: config.lr,
            batch: config.batch as u32,
            seconds: trainer.seconds(),
            pictures: read.learned(),
            parameters: trainer.parameters(),
            memory_estimate: trainer.memory().total(),
            notes,
        };
        let unwritten = |e| Fault::new(format!("the report could not be written: {e}"));
        let report = serde_json::to_vec(&report).map_err(unwritten)?;
        let identity = serde_json::to_vec(&identity).map_err(unwritten)?;
        Ok(vec![
            StepOutput { name: "lora", media_type: "application/octet-stream", bytes: lora },
            StepOutput { name: "report", media_type: "application/json", bytes: report },
            StepOutput { name: "grid", media_type: "image/png", bytes: grid },
            StepOutput { name: "identity", media_type: "application/json", bytes: identity },
        ])
    }
}
