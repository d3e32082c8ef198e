//! What a render leaves: a video, and all that is known of it.

use crate::event::ArtifactRef;
use crate::provenance::{Metadata, PLAN_TAG};
use crate::script::ScriptReport;
use crate::steps::{AddCards, StepParams, WriteScript};
use crate::timing::SpeechTiming;
use crate::{Fault, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A finished video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Take {
    job: String,
    video: ArtifactRef,
    first_frame: Option<ArtifactRef>,
    #[serde(default)]
    timing: Option<ArtifactRef>,
    #[serde(default)]
    subtitles: Option<ArtifactRef>,
    #[serde(default)]
    script: Option<ArtifactRef>,
    seconds: f64,
}

impl Take {
    /// The take a finished render left.
    ///
    /// # Errors
    /// The job's own fault when it failed, or that it was cancelled.
    pub fn of(view: &crate::JobView) -> Result<Self> {
        let video = view.result()?.clone();
        Ok(Take::of_steps(view, &str::to_owned, video))
    }

    /// Of a video in a job and the steps before it; `named` tells what a step is called there.
    pub(crate) fn of_steps(
        view: &crate::JobView,
        named: &dyn Fn(&str) -> String,
        video: ArtifactRef,
    ) -> Self {
        let optional = |step: &str, output: &str| view.artifact(&named(step), output).ok().cloned();
        // What is told of the speech, later by the intro where there is one.
        let told = |output: &str| {
            let spoken = optional("speak", output)?;
            Some(optional(AddCards::KIND, output).unwrap_or(spoken))
        };
        Take {
            job: view.job.clone(),
            video,
            first_frame: optional("animate", "first_frame"),
            timing: told("timing"),
            subtitles: told("subtitles"),
            script: optional(WriteScript::KIND, "report"),
            seconds: view.seconds(),
        }
    }

    /// The take a magic left, from [`Take::to_json`].
    ///
    /// # Errors
    /// When the text is not a take's.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Fault::new(format!("this is no take: {e}")))
    }

    /// The take as text, to hand it from one process to another.
    ///
    /// # Errors
    /// When its path is not Unicode.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Fault::new(format!("the take cannot be written as JSON: {e}")))
    }

    /// How long the video is, in seconds, as the MP4 says.
    ///
    /// # Errors
    /// When the file is gone or says nothing.
    pub fn duration(&self) -> Result<f64> {
        let path = self.path();
        crate::mp4::duration(&self.bytes()?)
            .ok_or_else(|| Fault::new(format!("{}: no MP4 movie", path.display())))
    }

    /// What the MP4 says of itself: its title, that it is synthetic, and the steps it was made by.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn metadata(&self) -> Result<Metadata> {
        let mut tags = crate::mp4::tags(&self.bytes()?);
        let mut tag = |name: &str| tags.remove(name).unwrap_or_default();
        Ok(Metadata {
            title: tag("nam"),
            notice: tag("cmt"),
            software: tag("too"),
            provenance: serde_json::from_str(&tag(PLAN_TAG)).ok(),
        })
    }

    /// Where the MP4 lies.
    pub fn path(&self) -> &Path {
        &self.video.path
    }

    /// The MP4's bytes.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        self.video.bytes()
    }

    /// Copies the MP4 to `path`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.bytes()?).map_err(|e| Fault::new(format!("{}: {e}", path.display())))
    }

    /// When each word and phoneme is said; nothing where it says a recording.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn timing(&self) -> Result<Option<SpeechTiming>> {
        self.timing.as_ref().map(ArtifactRef::json).transpose()
    }

    /// The words as WebVTT; nothing where it says a recording.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn subtitles(&self) -> Result<Option<String>> {
        self.subtitles.as_ref().map(ArtifactRef::text).transpose()
    }

    /// The script it says; nothing where a text or a recording was given.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn script(&self) -> Result<Option<ScriptReport>> {
        self.script.as_ref().map(ArtifactRef::json).transpose()
    }

    /// The job that made it.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Wall seconds the job took.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The video as an artifact of the store.
    pub fn artifact(&self) -> &ArtifactRef {
        &self.video
    }

    /// The poster, where the job left one.
    pub fn poster(&self) -> Option<&ArtifactRef> {
        self.first_frame.as_ref()
    }
}
