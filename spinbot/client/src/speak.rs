//! `spinbot::speak()`: the builder of a plan that says a text, and what it leaves.

use crate::bundle::{Audio, Bundle, Show};
use crate::event::ArtifactRef;
use crate::narration::Narration;
use crate::plan::{Plan, Step};
use crate::steps::EncodeSpeech;
use crate::timing::{SpeechTiming, TimedWord};
use crate::voices::{Accent, Profiles};
use crate::{Engine, Fault, JobView, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Largest WAV that is played as it is: 3 s at 48 kHz, mono, 16 bit. What is longer is played as MP3.
const LARGEST_PLAYED_WAV: u64 = 3 * 48_000 * 2 + 44;

/// Formats of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoundFormat {
    /// Uncompressed, 48 kHz, 16 bit.
    #[default]
    Wav,
    /// Losslessly compressed.
    Flac,
    /// Small.
    Mp3,
}

impl SoundFormat {
    /// By name, which is also the file's extension.
    pub const NAMES: &'static [&'static str] = &["wav", "flac", "mp3"];

    /// `wav`, `flac`, `mp3`.
    pub fn name(self) -> &'static str {
        match self {
            SoundFormat::Wav => "wav",
            SoundFormat::Flac => "flac",
            SoundFormat::Mp3 => "mp3",
        }
    }

    /// As artifacts name it.
    fn media_type(self) -> &'static str {
        match self {
            SoundFormat::Wav => "audio/wav",
            SoundFormat::Flac => "audio/flac",
            SoundFormat::Mp3 => "audio/mpeg",
        }
    }
}

impl std::str::FromStr for SoundFormat {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "wav" => Ok(SoundFormat::Wav),
            "flac" => Ok(SoundFormat::Flac),
            "mp3" => Ok(SoundFormat::Mp3),
            other => Err(Fault::not_among(
                format!("`{other}` is not a sound format"),
                SoundFormat::NAMES,
                "format",
            )),
        }
    }
}

/// A text about to be said; ends in [`Speak::run`].
#[derive(Debug, Clone)]
pub struct Speak {
    narration: Narration,
    format: SoundFormat,
    seed: u64,
}

/// Says a text: `spinbot::speak("Hello").voice("me").run()?`.
pub fn speak(text: impl Into<String>) -> Speak {
    Speak { narration: Narration::new(text.into()), format: SoundFormat::default(), seed: 0 }
}

impl Speak {
    /// Who says it: a stock voice, a profile, a mixture (`af_heart:0.6+am_echo:0.4`) or a voice of a model of your own
    /// (`pocket/alba`).
    #[must_use]
    pub fn voice(mut self, voice: impl Into<String>) -> Self {
        self.narration.voice = voice.into();
        self
    }

    /// How fast, 0.5..=2; 1 is the voice's own.
    #[must_use]
    pub fn speed(mut self, speed: f64) -> Self {
        self.narration.speed = speed;
        self
    }

    /// With which English it is read; the voice's own when not given.
    #[must_use]
    pub fn accent(mut self, accent: Accent) -> Self {
        self.narration.accent = Some(accent);
        self
    }

    /// How some words are pronounced, in Kokoro's alphabet.
    #[must_use]
    pub fn lexicon<W: Into<String>, P: Into<String>>(
        mut self,
        words: impl IntoIterator<Item = (W, P)>,
    ) -> Self {
        self.narration.lexicon.extend(words.into_iter().map(|(word, said)| (word.into(), said.into())));
        self
    }

    /// The format of the result.
    #[must_use]
    pub fn format(mut self, format: SoundFormat) -> Self {
        self.format = format;
        self
    }

    /// Seed of the breath and noise in the voice.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Where profiles are looked for; the user's own when not given.
    #[must_use]
    pub fn profiles(mut self, profiles: Profiles) -> Self {
        self.narration.profiles = profiles;
        self
    }

    /// The plan: `read_voice` -> `speak` -> `encode_speech`: always an MP3 for the player, and the format asked for.
    ///
    /// # Errors
    /// When there is nothing to say, or no such voice.
    pub fn plan(&self) -> Result<Plan> {
        let (read_voice, speak) = self.narration.steps(self.seed)?;
        let encode = |id: &str, format: SoundFormat| {
            let mut step = Step::new(&EncodeSpeech { format: format.name().to_owned() })
                .with("speech", speak.output("speech"))
                .weighing(1.0);
            id.clone_into(&mut step.id);
            step
        };
        let title = format!("speak {}", self.narration.quoted());
        let mut steps = vec![read_voice, speak.clone(), encode("encode_player", SoundFormat::Mp3)];
        let result = match self.format {
            SoundFormat::Wav => (speak.id, "speech".to_owned()),
            SoundFormat::Mp3 => ("encode_player".to_owned(), "sound".to_owned()),
            SoundFormat::Flac => {
                steps.push(encode("encode_speech", SoundFormat::Flac));
                ("encode_speech".to_owned(), "sound".to_owned())
            }
        };
        Ok(Plan { title, steps, result })
    }

    /// Runs it on the engine and returns what was said.
    ///
    /// # Errors
    /// What is wrong with the text or the voice, or why the engine could not do it.
    pub fn run(&self) -> Result<Spoken> {
        let mut job = Engine::connect()?.submit(self.plan()?)?;
        let view = job.show()?;
        Spoken::of(&view)
    }
}

/// A text that was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spoken {
    job: String,
    sound: ArtifactRef,
    speech: ArtifactRef,
    player: ArtifactRef,
    timing: ArtifactRef,
    subtitles: ArtifactRef,
    seconds: f64,
}

impl Spoken {
    /// What a finished job of [`Speak::plan`] left.
    ///
    /// # Errors
    /// The job's own fault when it failed, or that it was cancelled.
    pub fn of(view: &JobView) -> Result<Self> {
        let artifact = |step: &str, output: &str| view.artifact(step, output).cloned();
        Ok(Spoken {
            job: view.job.clone(),
            sound: view.result()?.clone(),
            speech: artifact("speak", "speech")?,
            player: artifact("encode_player", "sound")?,
            timing: artifact("speak", "timing")?,
            subtitles: artifact("speak", "subtitles")?,
            seconds: view.seconds(),
        })
    }

    /// What a magic left, from [`Spoken::to_json`].
    ///
    /// # Errors
    /// When the text is of something else.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Fault::new(format!("this is nothing that was spoken: {e}")))
    }

    /// As text, to hand it from one process to another.
    ///
    /// # Errors
    /// When its path is not Unicode.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Fault::new(format!("what was spoken cannot be written as JSON: {e}")))
    }

    /// Where the sound lies, in the format that was asked for.
    pub fn path(&self) -> &Path {
        &self.sound.path
    }

    /// How long the sound is, in seconds.
    ///
    /// # Errors
    /// When the file of the times is gone.
    pub fn duration(&self) -> Result<f64> {
        Ok(self.timing()?.seconds)
    }

    /// Wall seconds the job took.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The job that made it.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// When each sentence, word and phoneme is said; sentences alone where the voice's synthesiser tells no more.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn timing(&self) -> Result<SpeechTiming> {
        self.timing.json()
    }

    /// The words, with when each is said and how it is pronounced; none where only sentences have their times.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn words(&self) -> Result<Vec<TimedWord>> {
        Ok(self.timing()?.words)
    }

    /// The words as WebVTT.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn subtitles(&self) -> Result<String> {
        self.subtitles.text()
    }

    /// The sound's bytes.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        self.sound.bytes()
    }

    /// Copies the sound to `path`; an extension of another sound format is refused.
    ///
    /// # Errors
    /// When it cannot be written, or would be called what it is not.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        if let Some(wanted) = extension.and_then(|name| name.parse::<SoundFormat>().ok())
            && wanted.media_type() != self.sound.media_type
        {
            let (own, wanted) = (&self.sound.media_type, wanted.name());
            return Err(Fault::new(format!("{}: this is {own}, not {wanted}", path.display()))
                .help(format!("speak it with `--format {wanted}`")));
        }
        std::fs::write(path, self.bytes()?).map_err(|e| Fault::new(format!("{}: {e}", path.display())))
    }

    /// The sound as an artifact of the store.
    pub fn artifact(&self) -> &ArtifactRef {
        &self.sound
    }

    /// The speech as WAV: 48 kHz, mono, 16 bit.
    pub fn speech(&self) -> &ArtifactRef {
        &self.speech
    }

    /// What a player plays: the WAV while it is short, else the MP3.
    pub fn player(&self) -> &ArtifactRef {
        if self.speech.size <= LARGEST_PLAYED_WAV { &self.speech } else { &self.player }
    }
}

impl Show for Spoken {
    fn bundle(&self) -> Bundle {
        let described = format!("Spoken by job {}: {}", self.job, self.path().display());
        match Audio::file(&self.player().path) {
            Ok(audio) => audio.bundle().with("text/plain", described),
            Err(_) => Bundle::text(format!("{described} (the file is gone)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Input};

    #[test]
    fn a_plan_has_a_player_and_the_format_asked_for_as_its_result() {
        for (format, steps, result) in [
            (SoundFormat::Wav, 3, ("speak", "speech")),
            (SoundFormat::Mp3, 3, ("encode_player", "sound")),
            (SoundFormat::Flac, 4, ("encode_speech", "sound")),
        ] {
            let text = "One  two\nthree. ".repeat(10);
            let speak = speak(&text).voice("bf_emma").format(format).seed(5).accent(Accent::Us);
            let plan = speak.lexicon([("two", "tu")]).plan().unwrap();
            plan.check().unwrap();
            assert_eq!((plan.steps.len(), plan.result), (steps, (result.0.into(), result.1.into())));
            assert_eq!(plan.title, "speak \"One two three. One two three. One two three. One two three.…\"");
            let params = serde_json::json!({
                "text": text, "speed": 1.0, "accent": "us", "lexicon": {"two": "tu"}
            });
            assert_eq!((&plan.steps[1].params, plan.steps[1].seed), (&params, 5));
            let voice = Input::Output { step: "read_voice".into(), output: "voice".into() };
            assert_eq!(plan.steps[1].inputs["voice"], voice);
        }
        for (speak, about) in [
            (speak("\n"), "text"),
            (speak("hi").speed(2.5), "speed"),
            (speak("hi").speed(f64::NAN), "speed"),
            (speak("hi").voice("nobody"), "voice"),
            (speak("hi").lexicon([("gif", " ")]), "say"),
        ] {
            assert_eq!(speak.plan().unwrap_err().argument.as_deref(), Some(about));
        }
    }

    #[test]
    fn what_was_spoken_is_saved_under_its_own_kind_of_name() {
        let folder = crate::voices::test_folder();
        // The store's files have no extensions.
        let artifact = |name: &str, media_type: &str, size: u64| {
            let path = folder.join(name);
            std::fs::write(&path, name).unwrap();
            ArtifactRef { digest: Digest("00".repeat(32)), media_type: media_type.into(), size, path }
        };
        let mut spoken = Spoken {
            job: "0f2k".into(),
            sound: artifact("sound", "audio/flac", 9),
            speech: artifact("speech", "audio/wav", LARGEST_PLAYED_WAV),
            player: artifact("player", "audio/mpeg", 9),
            timing: artifact("timing", "application/json", 9),
            subtitles: artifact("subtitles", "text/vtt", 9),
            seconds: 1.0,
        };
        spoken.save(folder.join("copy.FLAC")).unwrap();
        assert_eq!(std::fs::read(folder.join("copy.FLAC")).unwrap(), b"sound");
        let fault = spoken.save(folder.join("copy.mp3")).unwrap_err();
        assert!(fault.message.ends_with("copy.mp3: this is audio/flac, not mp3"), "{fault}");
        assert!(spoken.timing().unwrap_err().message.contains("timing: "));
        assert_eq!(Spoken::from_json(&spoken.to_json().unwrap()).unwrap(), spoken);
        assert!(spoken.player().path.ends_with("speech"));
        spoken.speech.size += 1;
        assert!(spoken.player().path.ends_with("player"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
