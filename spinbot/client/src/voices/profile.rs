//! Profiles: voices people made of themselves, one file each, with who agreed to it and how it scored.
//!
//! The file is the `voice` that `clone_voice` left (see `spinbot_models::kokoro`), with the profile's record as
//! JSON under `spinbot.profile` in its metadata and two samples as bytes (`sample.original`, `sample.clone`).

use super::container::Container;
use super::expression::unknown;
use super::{Accent, Verdict, VoiceScores, Voices, stock};
use crate::bundle::{Audio, Bundle, Show};
use crate::{Fault, JobView, Result, home};
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
/// What a voice is to the synthesiser: one acoustic and prosodic style for every length of text.
const STYLE: (&str, &str, &[u64]) = ("style", "F32", &[510, 256]);
/// Longest name, in characters.
const LONGEST_NAME: usize = 64;

/// One recording a voice was made from; `read_clips` leaves a list of them as its output `clips`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// What the user called it.
    pub label: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Seconds of it that were used.
    pub seconds: f64,
    /// Where it begins in the joined speech, in seconds.
    #[serde(default)]
    pub start: f64,
    /// What is doubtful about it, as sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
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
        let container = Container::open(path)?;
        let wrong = |what: String| Fault::new(format!("{}: {what}", path.display()));
        let (name, dtype, shape) = STYLE;
        if container.tensor(name).is_none_or(|style| style.dtype != dtype || style.shape != shape) {
            return Err(wrong(format!("this is not a voice: it needs `{name}` of {dtype} {shape:?}")));
        }
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
        Ok((VoiceProfile { path: path.to_owned(), record }, container))
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Where its file lies.
    pub fn path(&self) -> &Path {
        &self.path
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
        Container::open(&self.path)?.bytes(ORIGINAL)
    }

    /// The clone saying the same words: an MP3 file's bytes.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn clone_sample(&self) -> Result<Vec<u8>> {
        Container::open(&self.path)?.bytes(CLONE)
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
        format!(
            "{} its speaker (GE2E {:.2}, second encoder {:.2}), made of {:.0} s of speech",
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

/// A folder of profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profiles {
    folder: PathBuf,
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
        Profiles { folder: folder.into() }
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
        let path = self.path(name).filter(|path| path.is_file()).ok_or_else(|| match stock(name) {
            Some(_) => Fault::new(format!("{name} is a stock voice, not a profile"))
                .help("use it by its name; there is nothing to export or remove")
                .about("voice"),
            None => unknown(name, self),
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
        let mut voices = Voices { profiles: Vec::new(), damaged: Vec::new(), stock: super::STOCK };
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
        let clips: Vec<Clip> = view.artifact("read_clips", "clips")?.json()?;
        let original = view.artifact("encode_original", "sound")?.bytes()?;
        let clone = view.artifact("encode_clone", "sound")?.bytes()?;
        let mut voice = Container::open(&view.artifact("clone_voice", "voice")?.path)?;
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
    let wrong = |why: &str| Fault::new(format!("a voice cannot be called `{name}`: {why}")).about("as");
    let spelled = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    match name {
        _ if stock(name).is_some() => {
            Err(wrong("that is a stock voice").help("choose another name; `%voices` lists those taken"))
        }
        "" => Err(wrong("a name needs a letter").help("write one, as in `me`")),
        _ if !spelled || name.starts_with('-') => {
            Err(wrong("a name is made of letters, digits, `-` and `_`").help("write one, as in `me`"))
        }
        _ if name.len() > LONGEST_NAME => {
            Err(wrong(&format!("it is longer than {LONGEST_NAME} characters")).help("choose a shorter one"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::VoiceExpression;
    use super::super::container::tests::raw;
    use super::*;
    use crate::event::ArtifactRef;
    use crate::{Digest, Input, JobState};
    use std::os::unix::fs::PermissionsExt;

    /// A folder no other test has.
    pub(crate) fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(crate::cell::unique_id());
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// What a clone job leaves, with its files in `folder`.
    fn finished(folder: &Path) -> JobView {
        let style = "{\"__metadata__\":{\"engine\":\"kokoro\"},\"style\":\
                     {\"dtype\":\"F32\",\"shape\":[510,256],\"data_offsets\":[0,522240]}}";
        let mut view = JobView { job: "0f2k".into(), state: JobState::Done, ..JobView::default() };
        let scores = serde_json::to_vec(&super::super::scores::tests::scores()).unwrap();
        let clip = r#"[{"label":"a.wav","sha256":"ab","seconds":30.0,"start":0.0,"warnings":["<loud>"]}]"#;
        for (step, output, bytes) in [
            ("clone_voice", "voice", raw(style, &vec![7; 510 * 256 * 4])),
            ("clone_voice", "scores", scores),
            ("read_clips", "clips", clip.as_bytes().to_vec()),
            ("encode_original", "sound", b"ID3 original".to_vec()),
            ("encode_clone", "sound", b"ID3 clone".to_vec()),
        ] {
            let path = folder.join(format!("{step}.{output}"));
            fs::write(&path, &bytes).unwrap();
            let artifact = ArtifactRef {
                digest: Digest("00".repeat(32)),
                media_type: "application/octet-stream".into(),
                size: bytes.len() as u64,
                path,
            };
            if output == "voice" {
                view.result = Some(artifact.clone());
            }
            view.artifacts.entry(step.into()).or_default().insert(output.into(), artifact);
        }
        view
    }

    #[test]
    fn a_profile_is_kept_found_carried_away_and_taken_in_again() {
        let folder = folder();
        let profiles = Profiles::at(folder.join("voices"));
        let view = finished(&folder);
        let me = profiles.save(&view, "me", "my own voice").unwrap();
        assert_eq!((me.name(), me.consent(), me.job()), ("me", "my own voice", "0f2k"));
        assert_eq!(me.accent(), Accent::Us);
        assert_eq!(me.original_sample().unwrap(), b"ID3 original");
        assert_eq!(me.clone_sample().unwrap(), b"ID3 clone");
        assert_eq!(me.clips()[0].label, "a.wav");
        assert_eq!(me.verdict(), Verdict::Resembles);
        assert!(me.summary().starts_with("resembles its speaker (GE2E 0.84, second encoder 0.72)"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(me.path()), mode(&folder.join("voices"))), (0o600, 0o700));
        let (_, mut container) = VoiceProfile::open(me.path()).unwrap();
        assert_eq!(container.metadata["engine"], "kokoro");
        assert_eq!(container.bytes("style").unwrap(), vec![7; 510 * 256 * 4]);

        // Again under the same name: in its place, nothing beside it.
        profiles.save(&view, "me", "still mine").unwrap();
        assert_eq!(profiles.names().unwrap(), ["me"]);
        assert_eq!(fs::read_dir(folder.join("voices")).unwrap().count(), 1);
        assert_eq!(profiles.load("me").unwrap().consent(), "still mine");

        let carried = folder.join("carried.safetensors");
        profiles.load("me").unwrap().export(&carried).unwrap();
        let fault = profiles.import(&carried, None).unwrap_err();
        assert_eq!(fault.message, "there is a voice `me` already");
        let copy = profiles.import(&carried, Some("me-2")).unwrap();
        assert_eq!((copy.name(), copy.scores()), ("me-2", me.scores()));
        profiles.load("me").unwrap().remove().unwrap();
        assert_eq!(profiles.names().unwrap(), ["me-2"]);
        fs::write(folder.join("voices/bad.safetensors"), b"x").unwrap();
        let all = profiles.voices().unwrap();
        assert_eq!((all.profiles.len(), all.damaged.len(), all.stock.len()), (1, 1, 28));
        assert!(all.bundle().data["text/plain"].to_string().contains("British English, male"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_profile_is_not_taken_in() {
        let folder = folder();
        let profiles = Profiles::at(folder.join("voices"));
        let mut view = finished(&folder);
        let import = |profiles: &Profiles, bytes: &[u8]| {
            let path = folder.join("given.safetensors");
            fs::write(&path, bytes).unwrap();
            profiles.import(&path, Some("x")).unwrap_err().message
        };
        let voice = fs::read(folder.join("clone_voice.voice")).unwrap();
        assert!(import(&profiles, &voice).ends_with("says nothing of who agreed to it"));
        assert!(import(&profiles, &raw("{}", &[])).contains("it needs `style` of F32 [510, 256]"));
        let me = profiles.save(&view, "me", "mine").unwrap();
        let newer = String::from_utf8_lossy(&fs::read(me.path()).unwrap()).contains("\\\"version\\\":1");
        assert!(newer, "the record's version is not where this test looks");
        let bytes = fs::read(me.path()).unwrap();
        let at = bytes.windows(13).position(|w| w == b"\\\"version\\\":1").unwrap();
        let mut other = bytes;
        other[at + 12] = b'2';
        assert!(import(&profiles, &other).contains("its record is of version 2"), "{other:?}");

        for (name, expected) in [
            ("af_heart", "that is a stock voice"),
            ("", "a name needs a letter"),
            ("../me", "letters, digits"),
            ("-me", "letters, digits"),
            ("mé", "letters, digits"),
            (&"x".repeat(65), "longer than 64"),
        ] {
            let fault = profiles.save(&view, name, "mine").unwrap_err();
            assert!(fault.message.contains(expected), "{}", fault.message);
            assert_eq!(fault.argument.as_deref(), Some("as"));
        }
        view.artifacts.get_mut("clone_voice").unwrap().remove("scores");
        let fault = profiles.save(&view, "me", "mine").unwrap_err();
        assert_eq!(fault.message, "job 0f2k left no `scores` of its step `clone_voice`");
        view.result = None;
        view.fault = Some(Fault::new("too short"));
        assert_eq!(profiles.save(&view, "me", "mine").unwrap_err().message, "too short");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_voice_is_mixed_of_stock_voices_and_profiles() {
        let folder = folder();
        let profiles = Profiles::at(folder.join("voices"));
        profiles.save(&finished(&folder), "me", "mine").unwrap();
        let step = |text: &str| text.parse::<VoiceExpression>().unwrap().read_voice(&profiles);
        let blend = step("af_heart:0.6 + am_echo:0.4").unwrap();
        assert_eq!(
            blend.params.to_string(),
            r#"{"blend":[{"voice":"af_heart","weight":0.6},{"voice":"am_echo","weight":0.4}]}"#
        );
        assert!(blend.inputs.is_empty());
        let mine = step("me:0.7+af_nova:0.3+me").unwrap();
        let voices: Vec<_> = mine.params["blend"].as_array().unwrap().iter().map(|p| &p["voice"]).collect();
        assert_eq!(voices, ["profile1", "af_nova", "profile2"]);
        assert_eq!(mine.inputs["profile1"], Input::File(folder.join("voices/me.safetensors")));

        for (text, message, help) in [
            ("af_hart", "there is no voice `af_hart`", "did you mean `af_heart`?"),
            ("mee", "there is no voice `mee`", "did you mean `me`?"),
            ("grandma", "there is no voice `grandma`", "`%clone_voice` makes one"),
            ("../me", "there is no voice `../me`", "`%voices`"),
        ] {
            let fault = step(text).unwrap_err();
            assert_eq!((fault.message.as_str(), fault.argument.as_deref()), (message, Some("voice")));
            assert!(fault.help.as_ref().unwrap().contains(help), "{fault}");
        }
        for (text, message) in [
            (" ", "no voice is named"),
            ("me+", "`me+`: a voice is missing in ``"),
            ("me:0.5+:0.5", "`me:0.5+:0.5`: a voice is missing in `:0.5`"),
            ("me:much", "the share of `me` must be a number, got `much`"),
            ("me:0", "the share of `me` is 0, need a number above 0"),
            ("me:NaN", "the share of `me` is NaN, need a number above 0"),
            (&["me"; 17].join("+"), "a mixture of 17 voices is too much, the most is 16"),
        ] {
            let fault = text.parse::<VoiceExpression>().unwrap_err();
            assert_eq!((fault.message.as_str(), fault.argument.as_deref()), (message, Some("voice")));
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
