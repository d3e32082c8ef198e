//! `spinbot::render()`: the builder of a talking-portrait plan, and the take it leaves.

use crate::event::ArtifactRef;
use crate::plan::{Input, Plan, Step};
use crate::steps::{Animate, Drive, Encode, ReadPortrait, ReadSpeech};
use crate::{Engine, Fault, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Longest title of a plan, in characters: what `encode` takes.
const MAX_TITLE: usize = 500;

/// Presets of `--preset`: how large and how fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// 256 px, small file.
    Draft,
    /// 512 px.
    #[default]
    Standard,
    /// 768 px, fine quantizer.
    Fine,
}

impl Preset {
    /// By name: `draft`, `standard`, `fine`.
    pub const NAMES: &'static [&'static str] = &["draft", "standard", "fine"];

    /// Longest side in pixels and H.264 quantizer.
    pub fn size_and_quantizer(self) -> (u32, u8) {
        match self {
            Preset::Draft => (256, 30),
            Preset::Standard => (512, 24),
            Preset::Fine => (768, 20),
        }
    }
}

impl std::str::FromStr for Preset {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "draft" => Ok(Preset::Draft),
            "standard" => Ok(Preset::Standard),
            "fine" => Ok(Preset::Fine),
            other => Err(Fault::new(format!("`{other}` is not a preset"))
                .help(format!("use one of {}", Preset::NAMES.join(", ")))
                .about("preset")),
        }
    }
}

/// A talking portrait in the making; ends in [`Render::run`].
#[derive(Debug, Clone, Default)]
pub struct Render {
    portrait: Option<PathBuf>,
    speech: Option<PathBuf>,
    preset: Preset,
    still: bool,
    keep_aspect: bool,
    seed: u64,
}

/// Starts a talking portrait: `spinbot::render().portrait("me.jpg").speech("hello.wav").run()?`.
pub fn render() -> Render {
    Render::default()
}

impl Render {
    /// The picture to animate.
    #[must_use]
    pub fn portrait(mut self, path: impl Into<PathBuf>) -> Self {
        self.portrait = Some(path.into());
        self
    }

    /// The clip it says.
    #[must_use]
    pub fn speech(mut self, path: impl Into<PathBuf>) -> Self {
        self.speech = Some(path.into());
        self
    }

    /// How large and fine.
    #[must_use]
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// Only the mouth and lids move.
    #[must_use]
    pub fn still(mut self) -> Self {
        self.still = true;
        self
    }

    /// Keep the picture's own shape instead of a square around the face.
    #[must_use]
    pub fn keep_aspect(mut self) -> Self {
        self.keep_aspect = true;
        self
    }

    /// Seed of blinks and sway.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The plan: `read_portrait`, `read_speech` -> `drive` -> `animate` -> `encode`.
    ///
    /// # Errors
    /// When the portrait or the speech is not given.
    pub fn plan(&self) -> Result<Plan> {
        let missing = |what: &str, example: &str| {
            Fault::new(format!("a render needs {what}")).help(format!("add {example}"))
        };
        let portrait = self
            .portrait
            .clone()
            .ok_or_else(|| missing("a portrait", "--portrait PICTURE").about("portrait"))?;
        let speech = self
            .speech
            .clone()
            .ok_or_else(|| missing("something to say", "--speech CLIP").about("speech"))?;
        let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let title = format!("render {} saying {}", name(&portrait), name(&speech));
        let title: String = title.chars().take(MAX_TITLE).collect();
        let (size, quantizer) = self.preset.size_and_quantizer();

        let read_portrait = Step::new(&ReadPortrait { size, keep_aspect: self.keep_aspect })
            .with("portrait", Input::File(portrait))
            .weighing(2.0);
        let read_speech =
            Step::new(&ReadSpeech { max_seconds: 600.0 }).with("speech", Input::File(speech)).weighing(1.0);
        let drive = Step::new(&Drive { fps: 25, liveliness: if self.still { 0.0 } else { 1.0 } })
            .with("speech", read_speech.output("speech"))
            .seeded(self.seed)
            .weighing(1.0);
        let animate = Step::new(&Animate { quantizer })
            .with("picture", read_portrait.output("picture"))
            .with("landmarks", read_portrait.output("landmarks"))
            .with("motion", drive.output("motion"))
            .weighing(20.0);
        let encode = Step::new(&Encode { title: title.clone() })
            .with("video", animate.output("video"))
            .with("speech", read_speech.output("speech"))
            .weighing(1.0);
        let result = (encode.id.clone(), "video".to_owned());
        Ok(Plan { title, steps: vec![read_portrait, read_speech, drive, animate, encode], result })
    }

    /// Runs it on the engine, showing first frame and progress, and returns the take.
    ///
    /// # Errors
    /// What is missing or wrong in the picture or the clip, or why the engine could not do it.
    pub fn run(&self) -> Result<Take> {
        let mut job = Engine::connect()?.submit(self.plan()?)?;
        let view = job.show()?;
        Take::of(&view)
    }
}

/// A finished video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Take {
    job: String,
    video: ArtifactRef,
    first_frame: Option<ArtifactRef>,
    seconds: f64,
}

impl Take {
    /// The take a finished render left.
    ///
    /// # Errors
    /// The job's own fault when it failed, or that it was cancelled.
    pub fn of(view: &crate::JobView) -> Result<Self> {
        let video = match (&view.result, &view.fault) {
            (Some(video), _) => video.clone(),
            (None, Some(fault)) => return Err(fault.clone()),
            (None, None) => return Err(Fault::new(format!("job {} was cancelled", view.job))),
        };
        let first_frame =
            view.artifacts.get("animate").and_then(|outputs| outputs.get("first_frame")).cloned();
        let seconds = view.ended_at.zip(view.started_at).map_or(0.0, |(end, start)| end - start);
        Ok(Take { job: view.job.clone(), video, first_frame, seconds })
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

    /// Where the MP4 lies.
    pub fn path(&self) -> &Path {
        &self.video.path
    }

    /// The MP4's bytes.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        std::fs::read(self.path()).map_err(|e| Fault::new(format!("{}: {e}", self.path().display())))
    }

    /// Copies the MP4 to `path`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.bytes()?).map_err(|e| Fault::new(format!("{}: {e}", path.display())))
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
