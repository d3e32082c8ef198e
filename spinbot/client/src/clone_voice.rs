//! `spinbot::clone_voice()`: the builder of a plan that finds the voice of some recordings, and keeps it as a profile.
//!
//! What a profile is and how it is scored is in [`crate::voices`].

use crate::expand::Sought;
use crate::plan::{Input, Plan, Step};
use crate::steps::{CheckCloner, CloneVoice as CloneStep, EncodeSpeech, ReadClips};
use crate::voices::{Profiles, VoiceProfile};
use crate::{Engine, Fault, Result};
use std::path::{Path, PathBuf};

/// Extensions of files that are taken for recordings in a folder.
pub const AUDIO_EXTENSIONS: &[&str] =
    &["wav", "flac", "mp3", "ogg", "oga", "m4a", "mp4", "aac", "aif", "aiff", "caf"];
/// More recordings than this are a mistake.
const MOST_CLIPS: usize = 200;
/// The profile's name where none is given.
pub const DEFAULT_NAME: &str = "me";

/// A voice about to be found; ends in [`CloneVoice::run`].
#[derive(Debug, Clone)]
pub struct CloneVoice {
    clips: Vec<PathBuf>,
    consent: String,
    name: String,
    transcript: Option<String>,
    model: Option<String>,
    finetune: bool,
    denoise: bool,
    seed: u64,
    profiles: Profiles,
}

/// Finds the voice of recordings: `spinbot::clone_voice(["me.wav"]).consent("my own voice").run()?`. A folder means
/// the recordings in it; `*` and `?` in a path stand for what they do in a shell.
pub fn clone_voice<P: Into<PathBuf>>(clips: impl IntoIterator<Item = P>) -> CloneVoice {
    CloneVoice {
        clips: clips.into_iter().map(Into::into).collect(),
        consent: String::new(),
        name: DEFAULT_NAME.to_owned(),
        transcript: None,
        model: None,
        finetune: false,
        denoise: false,
        seed: 0,
        profiles: Profiles::standard(),
    }
}

impl CloneVoice {
    /// Whose voice it is and that they agree, in your words: kept in the profile. There is no clone without it.
    #[must_use]
    pub fn consent(mut self, consent: impl Into<String>) -> Self {
        self.consent = consent.into();
        self
    }

    /// What the profile is called; `me` when not given.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What is said in the recordings; heard by speech recognition when not given.
    #[must_use]
    pub fn transcript(mut self, transcript: impl Into<String>) -> Self {
        self.transcript = Some(transcript.into());
        self
    }

    /// Which model of your own speaks: weights of pocket-tts that can clone, by the name they were added under
    /// (`spinbot models add FILE --as NAME`); Kokoro when not given.
    #[must_use]
    pub fn with(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Also train adapters in the decoder: closer to the speaker, and minutes instead of one.
    #[must_use]
    pub fn finetune(mut self) -> Self {
        self.finetune = true;
        self
    }

    /// Take steady noise out of the recordings.
    #[must_use]
    pub fn denoise(mut self) -> Self {
        self.denoise = true;
        self
    }

    /// Seed of everything random in it.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Where the profile is kept; among the user's own when not given.
    #[must_use]
    pub fn profiles(mut self, profiles: Profiles) -> Self {
        self.profiles = profiles;
        self
    }

    /// The plan: `read_clips` -> `clone_voice`, and both samples as MP3; with a model of the user's own, `check_cloner`
    /// before them.
    ///
    /// # Errors
    /// When no recording is found, nobody agreed, there is no such model, or the profile cannot be called so.
    pub fn plan(&self) -> Result<Plan> {
        crate::voices::check_name(&self.name)?;
        if self.consent.trim().is_empty() {
            return Err(Fault::new("a voice is cloned only with its owner's consent")
                .help("say whose voice it is and that they agree, as in --consent \"my own voice\"")
                .about("consent"));
        }
        if self.transcript.as_ref().is_some_and(|text| text.trim().is_empty()) {
            return Err(Fault::new("the transcript is empty")
                .help("leave it out to have it heard by speech recognition")
                .about("transcript"));
        }
        let model = self.model.as_ref().map(|id| self.profiles.models().find(id)).transpose();
        let model = model.map_err(|fault| fault.about("with"))?;
        if self.finetune && model.is_some() {
            return Err(Fault::new("pocket-tts has no adapters to train")
                .help("leave --finetune out: it makes the voice of the recording at once")
                .about("finetune"));
        }
        let mut clips = Vec::new();
        for path in &self.clips {
            // Speech given twice would be scored on what it was made from.
            let new: Vec<_> = recordings(path)?.into_iter().filter(|clip| !clips.contains(clip)).collect();
            clips.extend(new);
        }
        if clips.is_empty() {
            return Err(Fault::new("no recording is named").help("name a file or a folder").about("clips"));
        }
        if clips.len() > MOST_CLIPS {
            let message = format!("{} recordings are too many, the most is {MOST_CLIPS}", clips.len());
            return Err(Fault::new(message).help("a minute of speech is enough").about("clips"));
        }
        let first = clips.first().and_then(|clip| clip.file_name()).unwrap_or_default().to_string_lossy();
        let title = match clips.len() {
            1 => format!("clone the voice in {first}"),
            n => format!("clone the voice in {first} and {} more", n - 1),
        };
        let read_clips = (1..)
            .zip(clips)
            .fold(Step::new(&ReadClips { denoise: self.denoise }), |step, (i, clip)| {
                step.with(&format!("clip{i}"), Input::File(clip))
            })
            .weighing(2.0);
        let clone = Step::new(&CloneStep { transcript: self.transcript.clone(), finetune: self.finetune })
            .with("speech", read_clips.output("speech"))
            .with("clips", read_clips.output("clips"))
            .seeded(self.seed)
            .weighing(if self.finetune { 200.0 } else { 50.0 });
        let weights = model.map(|model| model.input());
        // First of all: what cannot clone is told before the recordings are read.
        let check = weights.clone().map(|weights| Step::new(&CheckCloner {}).with("weights", weights));
        let clone = weights.into_iter().fold(clone, |clone, weights| clone.with("weights", weights));
        let sample = |output: &str| {
            let mut step = Step::new(&EncodeSpeech { format: "mp3".to_owned() })
                .with("speech", clone.output(output))
                .weighing(0.5);
            step.id = format!("encode_{output}");
            step
        };
        let (original, copy) = (sample("original"), sample("clone"));
        let result = (clone.id.clone(), "voice".to_owned());
        let steps = check.into_iter().chain([read_clips, clone, original, copy]).collect();
        Ok(Plan { title, steps, result })
    }

    /// Runs it on the engine, showing the similarity as it rises, and keeps the profile.
    ///
    /// # Errors
    /// What is missing or wrong in the recordings, or why the engine could not do it.
    pub fn run(&self) -> Result<VoiceProfile> {
        let mut job = Engine::connect()?.submit(self.plan()?)?;
        let view = job.show()?;
        self.profiles.save(&view, &self.name, &self.consent)
    }
}

/// The recordings a path stands for, sorted: the file itself, those in a folder, or those a pattern matches.
///
/// # Errors
/// When there are none, or the folder cannot be read.
pub fn recordings(path: &Path) -> Result<Vec<PathBuf>> {
    Sought { noun: "recording", extensions: AUDIO_EXTENSIONS, argument: "clips" }.in_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_patterns_become_clips() {
        let folder = crate::voices::test_folder();
        std::fs::create_dir_all(folder.join("more/inner.wav")).unwrap();
        for name in ["b.wav", "a.FLAC", "notes.txt", ".hidden.wav", "more/c.mp3", "more/d.mp3"] {
            std::fs::write(folder.join(name), "x").unwrap();
        }
        let names = |path: &str| -> Result<Vec<String>> {
            let found = recordings(&folder.join(path))?;
            Ok(found.iter().map(|p| p.strip_prefix(&folder).unwrap().display().to_string()).collect())
        };
        assert_eq!(names("").unwrap(), ["a.FLAC", "b.wav"]);
        assert_eq!(names("notes.txt").unwrap(), ["notes.txt"]);
        assert_eq!(names("nowhere.wav").unwrap(), ["nowhere.wav"]);
        assert_eq!(names("m*/?.mp3").unwrap(), ["more/c.mp3", "more/d.mp3"]);
        assert_eq!(names("*.wav").unwrap(), ["b.wav"]);
        assert!(names("*.ogg").unwrap_err().message.ends_with("this matches no file"));
        assert!(names("more/inner.wav").unwrap_err().message.ends_with("no recording in this folder"));

        let twice = folder.join("*.wav");
        let clone = clone_voice([folder.clone(), folder.join("more/*.mp3"), twice]).consent("mine");
        let plan = clone.plan().unwrap();
        plan.check().unwrap();
        assert_eq!(plan.title, "clone the voice in a.FLAC and 3 more");
        assert_eq!(plan.steps[0].inputs["clip4"], Input::File(folder.join("more/d.mp3")));
        assert_eq!(plan.steps[0].inputs.len(), 4);
        // This crate's own folder is where its tests run.
        assert_eq!(recordings(Path::new("Cargo.t?ml")).unwrap(), [Path::new("Cargo.toml")]);
        let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(ids, ["read_clips", "clone_voice", "encode_original", "encode_clone"]);

        let refused = |clone: CloneVoice| clone.plan().unwrap_err().argument.unwrap();
        assert_eq!(refused(clone.clone().consent(" \n")), "consent");
        assert_eq!(refused(clone.clone().name("af_heart")), "as");
        assert_eq!(refused(clone.clone().transcript(" ")), "transcript");
        assert_eq!(refused(clone_voice::<&str>([]).consent("mine")), "clips");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
