//! Profiles: voices people made of themselves, one file each, with who agreed to it and how it scored.
//!
//! The file is the `voice` that `clone_voice` left (see `spinbot_models::kokoro` and `::pocket`), with the profile's record as
//! JSON under `spinbot.profile` in its metadata and two samples as bytes (`sample.original`, `sample.clone`).

use super::expression::unknown;
use super::{Accent, Verdict, VoiceScores, Voices, stock};
use crate::bundle::{Audio, Bundle, Show};
use crate::container::{Container, Noun};
use crate::models::AddedModels;
use crate::{Digest, Fault, JobView, Result, home};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Raised when the record changes its meaning.
const VERSION: u32 = 1;
/// Where the record lies in the file's metadata.
const RECORD: &str = "spinbot.profile";
/// The sample of the speaker.
const ORIGINAL: &str = "sample.original";
/// The clone saying the same words.
const CLONE: &str = "sample.clone";
/// What a voice is to Kokoro: one acoustic and prosodic style for every length of text.
const STYLE: (&str, &str, &[u64]) = ("style", "F32", &[510, 256]);
/// What a voice is to pocket-tts: what each layer remembers of the speaker; and where its file says which weights these
/// are.
const MEMORY: &str = "transformer.layers.0.self_attn/cache";
const POCKET: &str = "spinbot.pocket.model";
/// Its files.
pub(crate) const VOICE: Noun = Noun {
    name: "voice",
    origin: "`%clone_voice` made or `%voices NAME --export FILE` wrote",
    largest_header: 1 << 20,
    largest_file: 64 << 20,
};

/// One recording a voice was made from: the part of what `read_clips` found in it that a profile keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// What the user called it.
    pub label: String,
    /// SHA-256 of its bytes, in hex, where the step told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// How long it is, in seconds.
    pub seconds: f64,
    /// What is doubtful about it, as sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What speaks with a voice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Synthesiser {
    /// Kokoro-82M.
    Kokoro,
    /// pocket-tts, with the weights the voice was made with: a model of the user's own.
    Pocket {
        /// What the model was called.
        id: String,
        /// SHA-256 of its file.
        sha256: Digest,
    },
}

/// The output `clips` of `read_clips`.
#[derive(Deserialize)]
struct Clips {
    clips: Vec<Clip>,
}

/// What the file of a voice of pocket-tts says of its weights.
#[derive(Deserialize)]
struct Model {
    id: String,
    sha256: Digest,
}

/// What a profile says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    version: u32,
    name: String,
    /// Unix seconds.
    created: u64,
    consent: String,
    accent: Accent,
    job: String,
    clips: Vec<Clip>,
    scores: VoiceScores,
}

/// A voice made of recordings.
#[derive(Debug, Clone, PartialEq)]
pub struct VoiceProfile {
    path: PathBuf,
    record: Record,
    synthesiser: Synthesiser,
}

impl VoiceProfile {
    /// The user's profile of that name.
    ///
    /// # Errors
    /// When there is none, with the nearest name, or its file cannot be used.
    pub fn load(name: &str) -> Result<Self> {
        Profiles::standard().load(name)
    }

    fn open(path: &Path) -> Result<(Self, Container)> {
        let container = Container::open(path, &VOICE)?;
        let wrong = |what: String| Fault::new(format!("{}: {what}", path.display()));
        let (name, dtype, shape) = STYLE;
        let synthesiser = match container.metadata.get(POCKET) {
            Some(_) if container.tensor(MEMORY).is_none() => {
                return Err(wrong(format!("this is not a voice: it needs `{MEMORY}`")));
            }
            Some(model) => {
                let Model { id, sha256 } = serde_json::from_str(model)
                    .map_err(|e| wrong(format!("the model it speaks with cannot be read: {e}")))?;
                Synthesiser::Pocket { id, sha256 }
            }
            None if container
                .tensor(name)
                .is_some_and(|style| style.dtype == dtype && style.shape == shape) =>
            {
                Synthesiser::Kokoro
            }
            None => {
                return Err(wrong(format!("this is not a voice: it needs `{name}` of {dtype} {shape:?}")));
            }
        };
        let record = container.metadata.get(RECORD).ok_or_else(|| {
            wrong("this voice says nothing of who agreed to it".into())
                .help("only profiles that `%clone_voice` made are taken")
        })?;
        // Looked at alone first: a newer record may hold what this version cannot read.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let unreadable = |e: serde_json::Error| wrong(format!("its record cannot be read: {e}"));
        let Versioned { version } = serde_json::from_str(record).map_err(unreadable)?;
        if version != VERSION {
            return Err(wrong(format!("its record is of version {version}, this SpinBot reads {VERSION}"))
                .help("make it again with `%clone_voice`, or use the SpinBot that made it"));
        }
        let record: Record = serde_json::from_str(record).map_err(unreadable)?;
        Ok((VoiceProfile { path: path.to_owned(), record, synthesiser }, container))
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Where its file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What speaks with it.
    pub fn synthesiser(&self) -> &Synthesiser {
        &self.synthesiser
    }

    /// When it was made, in Unix seconds.
    pub fn created(&self) -> u64 {
        self.record.created
    }

    /// Whose voice it is and that they agreed, in the words of whoever made it.
    pub fn consent(&self) -> &str {
        &self.record.consent
    }

    /// Which English it speaks.
    pub fn accent(&self) -> Accent {
        self.record.accent
    }

    /// The job that made it.
    pub fn job(&self) -> &str {
        &self.record.job
    }

    /// What it was made from.
    pub fn clips(&self) -> &[Clip] {
        &self.record.clips
    }

    /// How much it is like its speaker, and what it cost.
    pub fn scores(&self) -> &VoiceScores {
        &self.record.scores
    }

    /// The speaker's own held-out speech: an MP3 file's bytes.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn original_sample(&self) -> Result<Vec<u8>> {
        Container::open(&self.path, &VOICE)?.bytes(ORIGINAL)
    }

    /// The clone saying the same words: an MP3 file's bytes.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn clone_sample(&self) -> Result<Vec<u8>> {
        Container::open(&self.path, &VOICE)?.bytes(CLONE)
    }

    /// Writes it to a file of the user's, to carry it elsewhere.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn export(&self, path: impl AsRef<Path>) -> Result<()> {
        let (_, mut container) = Self::open(&self.path)?;
        let metadata = container.metadata.clone();
        container.write(path.as_ref(), &metadata, &[])
    }

    /// Deletes its file.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn remove(self) -> Result<()> {
        fs::remove_file(&self.path)
            .map_err(|e| Fault::new(format!("{}: cannot be removed: {e}", self.path.display())))
    }

    /// In a line: `resembles its speaker (GE2E 0.84, second encoder 0.72), from 20 s of speech`.
    pub fn summary(&self) -> String {
        let scores = self.scores();
        let with = match &self.synthesiser {
            Synthesiser::Kokoro => String::new(),
            Synthesiser::Pocket { id, .. } => format!(", with the model {id}"),
        };
        format!(
            "{} its speaker (GE2E {:.2}, second encoder {:.2}), made of {:.0} s of speech{with}",
            scores.verdict().words(),
            scores.ge2e.clone,
            scores.dvector.clone,
            scores.reference_seconds
        )
    }

    /// The verdict in words.
    pub fn verdict(&self) -> Verdict {
        self.scores().verdict()
    }
}

impl Show for VoiceProfile {
    fn bundle(&self) -> Bundle {
        let text = format!("{}: {}", self.name(), self.summary());
        let players = [("original", self.original_sample()), ("clone", self.clone_sample())];
        let html = players.into_iter().fold(crate::bundle::escape(&text), |html, (name, sample)| {
            let Ok(audio) = sample.and_then(Audio::bytes) else { return html };
            let player = audio.bundle().data.remove("text/html");
            html + &format!("<div>{name}<br>{}</div>", player.as_ref().and_then(|p| p.as_str()).unwrap_or(""))
        });
        Bundle::text(text).with("text/html", html)
    }
}

/// A folder of profiles, and the models of the user's own that some of them speak with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profiles {
    folder: PathBuf,
    models: AddedModels,
}

impl Default for Profiles {
    fn default() -> Self {
        Self::standard()
    }
}

impl Profiles {
    /// The user's own: `voices` in the data folder.
    pub fn standard() -> Self {
        Profiles::at(home::data_dir().join("voices"))
    }

    /// Those in another folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Profiles { folder: folder.into(), models: AddedModels::standard() }
    }

    /// With other models than the user's own.
    #[must_use]
    pub fn with_models(mut self, models: AddedModels) -> Self {
        self.models = models;
        self
    }

    /// The models of the user's own.
    pub fn models(&self) -> &AddedModels {
        &self.models
    }

    /// Where the profile of that name lies, were there one; nothing for what cannot be a name.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        check_name(name).is_ok().then(|| self.folder.join(format!("{name}.safetensors")))
    }

    /// The names of all of them, sorted.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let unreadable =
            |e: std::io::Error| Fault::new(format!("{}: cannot be read: {e}", self.folder.display()));
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unreadable)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry.map_err(unreadable)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".safetensors"));
            names.extend(name.filter(|name| check_name(name).is_ok()).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The profile of that name.
    ///
    /// # Errors
    /// When there is none, with the nearest name, or its file cannot be used.
    pub fn load(&self, name: &str) -> Result<VoiceProfile> {
        let path = self.path(name).filter(|path| path.is_file()).ok_or_else(|| {
            let not = |what: &str| {
                Fault::new(format!("{name} is a {what} voice, not a profile"))
                    .help("use it by its name; there is nothing to export or remove")
                    .about("voice")
            };
            let presets = self.models.voices().unwrap_or_default();
            match stock(name) {
                Some(_) => not("stock"),
                None if presets.iter().any(|preset| preset.name == name) => not("preset"),
                None => unknown(name, self),
            }
        })?;
        let (mut profile, _) = VoiceProfile::open(&path)?;
        // The file's name counts: that is what it is found by.
        name.clone_into(&mut profile.record.name);
        Ok(profile)
    }

    /// All of them, and the stock voices.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn voices(&self) -> Result<Voices> {
        let presets = self.models.voices()?;
        let mut voices = Voices { profiles: Vec::new(), damaged: Vec::new(), presets, stock: super::STOCK };
        for name in self.names()? {
            match self.load(&name) {
                Ok(profile) => voices.profiles.push(profile),
                Err(fault) => voices.damaged.push(fault),
            }
        }
        Ok(voices)
    }

    /// Keeps the voice that a finished [`crate::clone_voice()`] job made, in place of an older one of that name.
    ///
    /// # Errors
    /// The job's own fault when it failed, a name that cannot be, or what the job left cannot be read.
    pub fn save(&self, view: &JobView, name: &str, consent: &str) -> Result<VoiceProfile> {
        check_name(name)?;
        view.result()?;
        let scores: VoiceScores = view.artifact("clone_voice", "scores")?.json()?;
        let Clips { clips } = view.artifact("read_clips", "clips")?.json()?;
        let original = view.artifact("encode_original", "sound")?.bytes()?;
        let clone = view.artifact("encode_clone", "sound")?.bytes()?;
        let mut voice = Container::open(&view.artifact("clone_voice", "voice")?.path, &VOICE)?;
        let record = Record {
            version: VERSION,
            name: name.to_owned(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
            consent: consent.to_owned(),
            accent: stock(&scores.base).map(|base| base.accent).unwrap_or_default(),
            job: view.job.clone(),
            clips,
            scores,
        };
        self.write(&mut voice, &record, &[(ORIGINAL, original), (CLONE, clone)])
    }

    /// Takes in a profile that [`VoiceProfile::export`] wrote, under its own name or another.
    ///
    /// # Errors
    /// The file is no profile, the name cannot be, or there is a profile of that name.
    pub fn import(&self, path: impl AsRef<Path>, name: Option<&str>) -> Result<VoiceProfile> {
        let (VoiceProfile { mut record, .. }, mut container) = VoiceProfile::open(path.as_ref())?;
        if let Some(name) = name {
            name.clone_into(&mut record.name);
        }
        check_name(&record.name)?;
        if self.path(&record.name).is_some_and(|path| path.exists()) {
            let message = format!("there is a voice `{}` already", record.name);
            return Err(Fault::new(message).help(format!(
                "take it in under another name with `%voices NAME --import FILE`, or remove the old one with \
                 `%voices {} --remove`",
                record.name
            )));
        }
        self.write(&mut container, &record, &[])
    }

    fn write(
        &self,
        voice: &mut Container,
        record: &Record,
        samples: &[(&str, Vec<u8>)],
    ) -> Result<VoiceProfile> {
        let path = self.path(&record.name).ok_or_else(|| Fault::new("the profile has no name"))?;
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|e| Fault::new(format!("{}: cannot be made: {e}", self.folder.display())))?;
        let text = serde_json::to_string(record)
            .map_err(|e| Fault::new(format!("the profile's record cannot be written as JSON: {e}")))?;
        let mut metadata: BTreeMap<String, String> = voice.metadata.clone();
        metadata.insert(RECORD.to_owned(), text);
        voice.write(&path, &metadata, samples)?;
        // Read back: what is kept is what can be used.
        self.load(&record.name)
    }
}

/// Whether a profile may have that name.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if stock(name).is_some() {
        return Err(Fault::new(format!("a voice cannot be called `{name}`: that is a stock voice"))
            .help("choose another name; `%voices` lists those taken")
            .about("as"));
    }
    VOICE.check_name(name)
}

#[cfg(test)]
#[path = "profile_tests.rs"]
pub(crate) mod tests;
