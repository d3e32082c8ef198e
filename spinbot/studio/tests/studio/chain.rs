//! Runs steps and keeps what they leave.

use serde_json::Value;
use sha2::{Digest, Sha256};
use spinbot::face::PlacedFace;
use spinbot::provenance::{MadeStep, Provenance};
use spinbot::steps::{
    Animate, AnimateWav2lip, Articulate, Drive, Encode, ReadPortrait, ReadSpeech, StepParams,
};
use spinbot_studio::{Report, StepError, StepInput, StepOutput, run};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A report that keeps what it is told.
#[derive(Default)]
pub struct Told {
    pub progress: Vec<(f64, f64)>,
    pub previews: Vec<String>,
    pub log: Vec<String>,
    pub kept: Option<PathBuf>,
    pub cancel_after: Option<usize>,
}

impl Report for Told {
    fn progress(&mut self, done: f64, total: f64, _unit: &str) {
        self.progress.push((done, total));
    }
    fn metric(&mut self, _name: &str, _at: f64, _value: f64) {}
    fn preview(&mut self, name: &str, _media_type: &str, _bytes: &[u8]) {
        self.previews.push(name.to_owned());
    }
    fn log(&mut self, line: &str) {
        self.log.push(line.to_owned());
    }
    fn kept(&mut self) -> Option<PathBuf> {
        self.kept.clone()
    }
    fn cancelled(&self) -> bool {
        self.cancel_after.is_some_and(|n| self.progress.len() >= n)
    }
}

/// A folder of outputs, and the steps that fill it. With `SPINBOT_TEST_OUT=DIR` it stays, in DIR, to be looked at.
pub struct Chain {
    folder: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

/// As the engine names files.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a file or all files of a folder hold.
fn contents(path: &Path) -> Vec<u8> {
    let Ok(entries) = std::fs::read_dir(path) else { return std::fs::read(path).unwrap_or_default() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| contents(path)).collect()
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

impl Chain {
    pub fn new(name: &str) -> Self {
        match std::env::var_os("SPINBOT_TEST_OUT") {
            Some(folder) => {
                let folder = Path::new(&folder).join(name);
                std::fs::create_dir_all(&folder).unwrap();
                Chain { folder, _temporary: None }
            }
            None => {
                let temporary = tempfile::tempdir().unwrap();
                Chain { folder: temporary.path().to_owned(), _temporary: Some(temporary) }
            }
        }
    }

    pub fn path(&self, output: &str) -> PathBuf {
        self.folder.join(output)
    }

    pub fn bytes(&self, output: &str) -> Vec<u8> {
        std::fs::read(self.path(output)).unwrap()
    }

    pub fn attempt<P: StepParams>(
        &self,
        params: &P,
        inputs: &[(&str, PathBuf)],
        told: &mut Told,
    ) -> Result<Vec<StepOutput>, StepError> {
        Chain::run(params, inputs, 7, told)
    }

    /// What a step leaves with that seed.
    pub fn seeded<P: StepParams>(
        &self,
        params: &P,
        inputs: &[(&str, PathBuf)],
        seed: u64,
    ) -> Vec<StepOutput> {
        Chain::run(params, inputs, seed, &mut Told::default()).unwrap()
    }

    fn run<P: StepParams>(
        params: &P,
        inputs: &[(&str, PathBuf)],
        seed: u64,
        told: &mut Told,
    ) -> Result<Vec<StepOutput>, StepError> {
        let inputs: BTreeMap<String, StepInput> = inputs
            .iter()
            .map(|(name, path)| {
                let label = path.file_name().unwrap().to_string_lossy().into_owned();
                let sha256 = sha256(&contents(path));
                ((*name).to_owned(), StepInput { path: path.clone(), label, sha256 })
            })
            .collect();
        let params: Value = serde_json::to_value(params).unwrap();
        run(P::KIND, &params, &inputs, seed, told)
    }

    /// Runs a step, checks what every step promises, keeps the outputs as `PREFIX.OUTPUT`.
    fn step<P: StepParams>(&self, params: &P, inputs: &[(&str, PathBuf)], prefix: &str) -> Told {
        let mut told = Told::default();
        let start = std::time::Instant::now();
        let outputs = self.attempt(params, inputs, &mut told).unwrap();
        self.note(&format!("{prefix}{}: {:.2} s", P::KIND, start.elapsed().as_secs_f64()));
        let names: Vec<&str> = outputs.iter().map(|o| o.name).collect();
        assert_eq!(names, P::OUTPUTS, "{}", P::KIND);
        assert!(told.progress.windows(2).all(|w| w[0].0 <= w[1].0), "{}: {:?}", P::KIND, told.progress);
        assert!(told.progress.last().is_some_and(|(done, total)| done == total), "{}", P::KIND);
        for output in outputs {
            assert!(!output.bytes.is_empty(), "{} {}", P::KIND, output.name);
            std::fs::write(self.path(&format!("{prefix}{}", output.name)), output.bytes).unwrap();
        }
        told
    }

    /// Keeps a line beside the outputs, for who looks at them.
    pub fn note(&self, line: &str) {
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(self.path("notes.txt")).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    /// Photo and speech to video, the mouth moved by the sound alone.
    pub fn render(&self, portrait: PathBuf, speech: PathBuf, size: u32, keep_aspect: bool) -> Told {
        self.read(portrait, speech, ReadPortrait { size, keep_aspect, face: None, bot: None });
        self.step(&Drive { fps: 25, liveliness: 1.0 }, &[("speech", self.path("speech"))], "");
        self.film(&Animate { quantizer: 24 }, &["picture", "landmarks", "matte", "motion"])
    }

    /// Picture with a face placed by hand and speech to video, the head still.
    pub fn render_placed(&self, portrait: PathBuf, face: PlacedFace, speech: PathBuf, size: u32) {
        self.read(portrait, speech, ReadPortrait { size, keep_aspect: false, face: Some(face), bot: None });
        self.step(&Drive { fps: 25, liveliness: 0.0 }, &[("speech", self.path("speech"))], "");
        self.film(&Animate { quantizer: 24 }, &["picture", "landmarks", "matte", "motion"]);
    }

    /// Picture, whose face is looked for, and speech to video, the head still.
    pub fn render_still(&self, portrait: PathBuf, speech: PathBuf, size: u32) {
        self.read(portrait, speech, ReadPortrait { size, keep_aspect: false, face: None, bot: None });
        self.step(&Drive { fps: 25, liveliness: 0.0 }, &[("speech", self.path("speech"))], "");
        self.film(&Animate { quantizer: 24 }, &["picture", "landmarks", "matte", "motion"]);
    }

    /// Photo, speech and the times of its phonemes to video.
    pub fn render_timed(&self, portrait: PathBuf, speech: PathBuf, timing: PathBuf, size: u32) -> Told {
        self.read(portrait, speech, ReadPortrait { size, keep_aspect: false, face: None, bot: None });
        let inputs = [("speech", self.path("speech")), ("timing", timing)];
        self.step(&Articulate { fps: 25, liveliness: 1.0 }, &inputs, "");
        self.film(&Animate { quantizer: 24 }, &["picture", "landmarks", "matte", "motion"])
    }

    /// The same again with its words in the picture.
    pub fn subtitle(&self, timing: PathBuf) -> Told {
        std::fs::copy(timing, self.path("timing")).unwrap();
        self.film(&Animate { quantizer: 24 }, &["picture", "landmarks", "matte", "motion", "timing"])
    }

    /// Photo and speech to video, the lower face drawn by Wav2Lip with these weights.
    pub fn render_wav2lip(&self, portrait: PathBuf, speech: PathBuf, size: u32, weights: &Path) -> Told {
        self.read(portrait, speech, ReadPortrait { size, keep_aspect: false, face: None, bot: None });
        self.step(&Drive { fps: 25, liveliness: 1.0 }, &[("speech", self.path("speech"))], "");
        std::fs::copy(weights, self.path("weights.safetensors")).unwrap();
        let animate = AnimateWav2lip { quantizer: 24 };
        self.film(&animate, &["picture", "landmarks", "matte", "motion", "speech", "weights"])
    }

    fn read(&self, portrait: PathBuf, speech: PathBuf, how: ReadPortrait) {
        self.step(&how, &[("portrait", portrait)], "");
        self.step(&ReadSpeech { max_seconds: 600.0 }, &[("speech", speech)], "");
    }

    /// What was read and the motion of it to video.
    fn film<P: StepParams>(&self, animate: &P, names: &[&'static str]) -> Told {
        let place = |name: &str| match name {
            // What format a model is in, its name tells.
            "weights" => self.path("weights.safetensors"),
            _ => self.path(name),
        };
        let inputs: Vec<_> = names.iter().map(|name| (*name, place(name))).collect();
        let told = self.step(animate, &inputs, "silent_");
        let made = MadeStep {
            id: "animate".into(),
            kind: P::KIND.into(),
            version: P::VERSION,
            params: Value::Null,
            inputs: BTreeMap::new(),
            models: BTreeMap::new(),
            seed: 0,
            device: "cpu".into(),
        };
        let provenance = serde_json::to_vec(&Provenance::new(vec![made])).unwrap();
        std::fs::write(self.path("provenance"), provenance).unwrap();
        let silent = ("video", self.path("silent_video"));
        let inputs = [silent, ("speech", self.path("speech")), ("provenance", self.path("provenance"))];
        self.step(&Encode { title: "a test".into() }, &inputs, "");
        told
    }
}
