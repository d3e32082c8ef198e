//! What a training of adapters leaves: its report, and the LoRA as it is kept. How one is planned is in
//! [`crate::train_lora`](mod@crate::train_lora).

use crate::bundle::{Bundle, Image, Show};
use crate::event::ArtifactRef;
use crate::loras::Loras;
use crate::pictures::PicturesRead;
use crate::scores::IdentityBy;
use crate::steps::LoraTargets;
use crate::{Fault, JobView, Lora, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The output `report` of [`TrainLora`](crate::steps::TrainLora).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// The word that calls up what was learned.
    pub trigger: String,
    /// Optimiser steps.
    pub steps: u32,
    /// The step at which it went on after a stop; 0 where it never stopped.
    pub resumed_at: u32,
    /// The loss of each step, as it is.
    pub losses: Vec<f64>,
    /// Step and loss on pictures that are held out, or, where none are, on those that were learned, with the same noise
    /// each time.
    pub validation: Vec<(u32, f64)>,
    /// Whether those were held out.
    pub held_out: bool,
    /// What the previews were worth, in the order of their steps.
    pub looks: Vec<LookScores>,
    /// What identity was told by; nothing where the pictures have nothing to go by.
    pub identity_by: Option<IdentityBy>,
    /// The identity that the pictures have that were learned from.
    pub own_identity: Option<f64>,
    /// Which layers got adapters, as it was chosen or given.
    pub targets: LoraTargets,
    /// The learning rate, as it was chosen or given.
    pub lr: f64,
    /// Pictures of a step, as they were chosen or given.
    pub batch: u32,
    /// Seconds of the steps themselves, over all runs.
    pub seconds: f64,
    /// Pictures learned from.
    pub pictures: usize,
    /// Numbers that were trained.
    pub parameters: usize,
    /// What the memory was foreseen to be, in bytes.
    pub memory_estimate: u64,
    /// What whoever trains should know, as sentences.
    pub notes: Vec<String>,
}

/// What the previews of one step were worth.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LookScores {
    /// After how many steps they were drawn.
    pub step: u32,
    /// Mean identity of those with the trigger word, 0..=1.
    pub identity: Option<f64>,
    /// Mean identity of those without it: what of the figure comes unasked.
    pub without: Option<f64>,
    /// Share of what the prompts with the trigger word asked that is shown, 0..=1.
    pub adherence: Option<f64>,
}

/// A LoRA that was trained, and how it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedLora {
    name: String,
    /// Where it is kept.
    path: PathBuf,
    job: String,
    lora: ArtifactRef,
    report: ArtifactRef,
    grid: ArtifactRef,
    sheet: ArtifactRef,
    pictures: ArtifactRef,
    /// The trigger word.
    trigger: String,
    seconds: f64,
}

impl TrainedLora {
    /// Keeps what a finished job of [`TrainLora::plan`](crate::TrainLora::plan) left under a name, in place of an older one.
    ///
    /// # Errors
    /// The job's own fault when it failed, that it was cancelled, or that the file cannot be written.
    pub fn keep(view: &JobView, name: &str, loras: &Loras) -> Result<Self> {
        let artifact = |step: &str, output: &str| view.artifact(step, output).cloned();
        let (lora, pictures) = (view.result()?.clone(), artifact("read_pictures", "report")?);
        let kept = loras.save(&lora, view.artifact("train_lora", "identity")?, name)?;
        Ok(TrainedLora {
            name: name.to_owned(),
            path: kept.path().to_owned(),
            job: view.job.clone(),
            trigger: pictures.json::<PicturesRead>()?.trigger,
            lora,
            report: artifact("train_lora", "report")?,
            grid: artifact("train_lora", "grid")?,
            sheet: artifact("read_pictures", "sheet")?,
            pictures,
            seconds: view.seconds(),
        })
    }

    /// What a magic left, from [`TrainedLora::to_json`].
    ///
    /// # Errors
    /// When the text is of something else.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Fault::new(format!("this is no LoRA that was trained: {e}")))
    }

    /// As text, to hand it from one process to another.
    ///
    /// # Errors
    /// When its path is not Unicode.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Fault::new(format!("what was trained cannot be written as JSON: {e}")))
    }

    /// What it is called, for `%draw --lora NAME` and `spinbot::draw(..).lora(NAME, 1.0)`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The word that calls up what was learned.
    pub fn trigger(&self) -> &str {
        &self.trigger
    }

    /// The file as it is kept, and what it says of itself.
    ///
    /// # Errors
    /// When it is gone.
    pub fn lora(&self) -> Result<Lora> {
        Lora::load(&self.path.to_string_lossy())
    }

    /// The job that made it.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Wall seconds the job took; what was there already took none.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// How the training went: losses, settings, notes.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn report(&self) -> Result<TrainReport> {
        self.report.json()
    }

    /// The loss of each step.
    ///
    /// # Errors
    /// As [`TrainedLora::report`].
    pub fn losses(&self) -> Result<Vec<f64>> {
        Ok(self.report()?.losses)
    }

    /// The pictures it was learned from, their captions, and what was left out.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn pictures(&self) -> Result<PicturesRead> {
        self.pictures.json()
    }

    /// Before and after on the preview prompts: a PNG.
    pub fn grid(&self) -> &ArtifactRef {
        &self.grid
    }

    /// What it was learned from, with the captions: a PNG.
    pub fn sheet(&self) -> &ArtifactRef {
        &self.sheet
    }

    /// A prompt to begin with.
    pub fn prompt(&self) -> String {
        format!("{} on a stage, red curtain", self.trigger)
    }

    /// In a line: `say "nova"; 250 steps on 5 pictures, loss on what was held out 0.142 to 0.081, identity 0.31 to 0.84`.
    ///
    /// # Errors
    /// As [`TrainedLora::report`].
    pub fn summary(&self) -> Result<String> {
        let report = self.report()?;
        let pictures = match report.pictures {
            1 => "1 picture".to_owned(),
            n => format!("{n} pictures"),
        };
        let measured = if report.held_out { "on what was held out" } else { "on what was learned" };
        let course = match report.validation.as_slice() {
            [(_, first), .., (_, last)] => format!(", loss {measured} {first:.3} to {last:.3}"),
            _ => String::new(),
        };
        let looks = report.looks.iter().filter_map(|look| look.identity);
        let alike = match (looks.clone().next(), looks.last()) {
            (Some(first), Some(last)) => format!(", identity {first:.2} to {last:.2}"),
            _ => String::new(),
        };
        Ok(format!("say \"{}\"; {} steps on {pictures}{course}{alike}", self.trigger, report.steps))
    }
}

impl Show for TrainedLora {
    fn bundle(&self) -> Bundle {
        let summary = self.summary().unwrap_or_else(|fault| fault.message);
        let text = format!("{}: {summary}", self.name);
        match Image::file(&self.grid.path) {
            Ok(grid) => grid.bundle().with("text/plain", text),
            Err(_) => Bundle::text(text),
        }
    }
}
