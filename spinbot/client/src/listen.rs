//! `spinbot::listen()`: the builder of a plan that hears a recording, and what it heard.

use crate::bundle::{Bundle, Show, Table};
use crate::plan::{Input, Plan, Step};
use crate::steps::{Listen as ListenStep, ReadSpeech};
use crate::voices::{Pitch, Profiles};
use crate::{Engine, Fault, JobView, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Longest recording that is heard, in seconds.
const LONGEST: f64 = 600.0;

/// A recording about to be heard; ends in [`Listen::run`].
#[derive(Debug, Clone)]
pub struct Listen {
    speech: PathBuf,
    like: Vec<String>,
    profiles: Profiles,
}

/// Hears a recording: `spinbot::listen("a.wav").run()?.transcript`.
pub fn listen(speech: impl Into<PathBuf>) -> Listen {
    Listen { speech: speech.into(), like: Vec::new(), profiles: Profiles::standard() }
}

impl Listen {
    /// Also tells how much it is like this profile's speaker.
    #[must_use]
    pub fn like(mut self, profile: impl Into<String>) -> Self {
        self.like.push(profile.into());
        self
    }

    /// Where profiles are looked for; the user's own when not given.
    #[must_use]
    pub fn profiles(mut self, profiles: Profiles) -> Self {
        self.profiles = profiles;
        self
    }

    /// The plan: `read_speech` -> `listen`.
    ///
    /// # Errors
    /// When no file is named, or there is no such profile.
    pub fn plan(&self) -> Result<Plan> {
        let name = self
            .speech
            .file_name()
            .ok_or_else(|| Fault::new("no recording is named").help("name a sound file").about("speech"))?;
        let title = format!("listen to {}", name.to_string_lossy());
        let read_speech = Step::new(&ReadSpeech { max_seconds: LONGEST })
            .with("speech", Input::File(self.speech.clone()))
            .weighing(1.0);
        let mut listen = Step::new(&ListenStep { profiles: self.like.clone() })
            .with("speech", read_speech.output("speech"))
            .weighing(5.0);
        for (name, nth) in self.like.iter().zip(1..) {
            let profile = self.profiles.load(name).map_err(|fault| fault.about("like"))?;
            listen = listen.with(&format!("profile{nth}"), Input::File(profile.path().to_owned()));
        }
        let result = (listen.id.clone(), "report".to_owned());
        Ok(Plan { title, steps: vec![read_speech, listen], result })
    }

    /// Runs it on the engine.
    ///
    /// # Errors
    /// What is wrong with the recording, or why the engine could not do it.
    pub fn run(&self) -> Result<Heard> {
        let mut job = Engine::connect()?.submit(self.plan()?)?;
        let view = job.show()?;
        Heard::of(&view)
    }
}

/// What was heard in a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// How long the recording is, in seconds.
    pub seconds: f64,
    /// What is said, as speech recognition heard it; empty when it heard no words.
    pub transcript: String,
    /// How sure it was: the mean probability of what it wrote, 0..=1.
    pub confidence: f64,
    /// How good it sounds.
    pub dnsmos: Dnsmos,
    /// How far the speech lies above the noise between words, in dB; nothing where there are no pauses to compare.
    pub snr: Option<f64>,
    /// How high the voice is; nothing where no voice was found.
    pub pitch: Option<Pitch>,
    /// How many people seem to speak.
    pub speakers: u32,
    /// The stock voices most like it, the nearest first.
    pub nearest: Vec<Likeness>,
    /// The speakers of the profiles it was compared with, in the order they were asked for.
    #[serde(default)]
    pub profiles: Vec<Likeness>,
    /// What is doubtful about it, as sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Speech quality as a panel would judge it (DNSMOS P.835; Reddy et al., 2022), 1 bad ..= 5 excellent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dnsmos {
    /// All in all.
    pub overall: f64,
    /// The speech itself.
    pub signal: f64,
    /// How little the background disturbs.
    pub background: f64,
}

/// How much a voice is like the one heard, as cosines of speaker embeddings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    /// A stock voice or a profile.
    pub voice: String,
    /// By GE2E.
    pub ge2e: f64,
    /// By the second encoder.
    pub dvector: f64,
}

impl Heard {
    /// What a finished job of [`Listen::plan`] heard.
    ///
    /// # Errors
    /// The job's own fault when it failed, or that it was cancelled.
    pub fn of(view: &JobView) -> Result<Self> {
        view.result()?.json()
    }

    /// What a magic left, from [`Heard::to_json`].
    ///
    /// # Errors
    /// When the text is of something else.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Fault::new(format!("this is nothing that was heard: {e}")))
    }

    /// As text, to hand it from one process to another.
    ///
    /// # Errors
    /// When a number in it is none JSON can hold.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Fault::new(format!("what was heard cannot be written as JSON: {e}")))
    }
}

impl Show for Heard {
    fn bundle(&self) -> Bundle {
        let table = Table::new(["what", "heard"])
            .row(["words".to_owned(), self.transcript.clone()])
            .row(["confidence".to_owned(), format!("{:.0}%", self.confidence * 100.0)])
            .row(["quality (DNSMOS)".to_owned(), format!("{:.2} of 5", self.dnsmos.overall)])
            .row(["speakers".to_owned(), self.speakers.to_string()]);
        let table = self
            .snr
            .iter()
            .fold(table, |table, snr| table.row(["speech above noise".to_owned(), format!("{snr:.0} dB")]));
        let table = self.pitch.iter().fold(table, |table, pitch| {
            let pitch = format!("{:.0} Hz ± {:.1} semitones", pitch.hz, pitch.semitones);
            table.row(["pitch".to_owned(), pitch])
        });
        let table = self.profiles.iter().fold(table, |table, profile| {
            let like = format!("GE2E {:.2}, second encoder {:.2}", profile.ge2e, profile.dvector);
            table.row([format!("like {}", profile.voice), like])
        });
        let table = self.nearest.first().iter().fold(table, |table, near| {
            let near = format!("{} (GE2E {:.2}, second encoder {:.2})", near.voice, near.ge2e, near.dvector);
            table.row(["most like".to_owned(), near])
        });
        self.warnings
            .iter()
            .fold(table, |table, warning| table.row(["note".to_owned(), warning.clone()]))
            .bundle()
    }
}
