//! A real photo and a real voice through the whole chain, and what can be measured on the frames that come out.
//!
//! `SPINBOT_TEST_OUT=DIR` keeps every output in DIR to be looked at.

#![allow(clippy::unwrap_used)] // A test stops at the first thing that is not there.

use serde_json::Value;
use spinbot::steps::{Animate, Drive, Encode, ReadPortrait, ReadSpeech, StepParams};
use spinbot_media::{RgbImage, audio, mp4, video};
use spinbot_models::faces::{FaceDetector, Landmarker};
use spinbot_models::{Device, faces::FaceBox};
use spinbot_studio::{Landmarks, Motion, Report, StepError, StepInput, StepOutput, run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A report that keeps what it is told.
#[derive(Default)]
struct Told {
    progress: Vec<(f64, f64)>,
    previews: Vec<String>,
    cancel_after: Option<usize>,
}

impl Report for Told {
    fn progress(&mut self, done: f64, total: f64, _unit: &str) {
        self.progress.push((done, total));
    }
    fn metric(&mut self, _name: &str, _at: f64, _value: f64) {}
    fn preview(&mut self, name: &str, _media_type: &str, _bytes: &[u8]) {
        self.previews.push(name.to_owned());
    }
    fn log(&mut self, _line: &str) {}
    fn cancelled(&self) -> bool {
        self.cancel_after.is_some_and(|n| self.progress.len() >= n)
    }
}

/// A folder of outputs, and the steps that fill it.
struct Chain {
    folder: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

impl Chain {
    fn new(name: &str) -> Self {
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

    fn path(&self, output: &str) -> PathBuf {
        self.folder.join(output)
    }

    fn bytes(&self, output: &str) -> Vec<u8> {
        std::fs::read(self.path(output)).unwrap()
    }

    fn attempt<P: StepParams>(
        &self,
        params: &P,
        inputs: &[(&str, PathBuf)],
        told: &mut Told,
    ) -> Result<Vec<StepOutput>, StepError> {
        let inputs: BTreeMap<String, StepInput> = inputs
            .iter()
            .map(|(name, path)| {
                let label = path.file_name().unwrap().to_string_lossy().into_owned();
                ((*name).to_owned(), StepInput { path: path.clone(), label })
            })
            .collect();
        let params: Value = serde_json::to_value(params).unwrap();
        run(P::KIND, &params, &inputs, 7, told)
    }

    /// Runs a step, checks what every step promises, keeps the outputs as `PREFIX.OUTPUT`.
    fn step<P: StepParams>(&self, params: &P, inputs: &[(&str, PathBuf)], prefix: &str) -> Told {
        let mut told = Told::default();
        let outputs = self.attempt(params, inputs, &mut told).unwrap();
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

    fn render(&self, portrait: PathBuf, speech: PathBuf, size: u32, keep_aspect: bool) -> Told {
        self.step(&ReadPortrait { size, keep_aspect }, &[("portrait", portrait)], "");
        self.step(&ReadSpeech { max_seconds: 600.0 }, &[("speech", speech)], "");
        self.step(&Drive { fps: 25, liveliness: 1.0 }, &[("speech", self.path("speech"))], "");
        let told = self.step(
            &Animate { quantizer: 24 },
            &["picture", "landmarks", "motion"].map(|name| (name, self.path(name))),
            "silent_",
        );
        self.step(
            &Encode { title: "a test".into() },
            &[("video", self.path("silent_video")), ("speech", self.path("speech"))],
            "",
        );
        told
    }
}

/// Opening of the inner lips over the distance of the eyes, as a landmark network sees it on each frame.
fn seen_apertures(frames: &[RgbImage]) -> Vec<f64> {
    let device = Device::cpu();
    let detector = FaceDetector::load(&device).unwrap();
    let landmarker = Landmarker::load(&device).unwrap();
    let (width, height) = frames[0].dimensions();
    let mut face: FaceBox = detector.detect(frames[0].as_raw(), width, height).unwrap()[0];
    frames
        .iter()
        .map(|frame| {
            let points = landmarker.landmarks_refined(frame.as_raw(), width, height, &face).unwrap();
            let mean = |range: std::ops::RangeInclusive<usize>, axis: usize| {
                let n = range.clone().count() as f64;
                range.map(|i| f64::from(points[i][axis])).sum::<f64>() / n
            };
            let eyes = (mean(36..=41, 0) - mean(42..=47, 0)).hypot(mean(36..=41, 1) - mean(42..=47, 1));
            let (lower, upper) = (mean(65..=67, 1), mean(61..=63, 1));
            // Follow the head: the next frame's box is where the face is in this one.
            let left = points.iter().map(|p| p[0]).fold(f32::MAX, f32::min);
            let right = points.iter().map(|p| p[0]).fold(f32::MIN, f32::max);
            let top = points.iter().map(|p| p[1]).fold(f32::MAX, f32::min);
            let bottom = points.iter().map(|p| p[1]).fold(f32::MIN, f32::max);
            face = FaceBox { x: left, y: top, w: right - left, h: bottom - top, ..face };
            (lower - upper) / eyes
        })
        .collect()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

/// Correlation of `seen[t + lag]` with `wanted[t]`.
fn lagged(seen: &[f64], wanted: &[f64], lag: isize) -> f64 {
    let n = seen.len() - lag.unsigned_abs();
    let (from_seen, from_wanted) = if lag >= 0 { (lag as usize, 0) } else { (0, lag.unsigned_abs()) };
    correlation(&seen[from_seen..from_seen + n], &wanted[from_wanted..from_wanted + n])
}

#[test]
fn a_photo_says_a_sentence_and_its_lips_follow() {
    let chain = Chain::new("square");
    let told =
        chain.render(fixture("portraits/astronaut.png"), fixture("voices/1688-142285-0002.flac"), 512, false);
    assert_eq!(told.previews, ["first_frame"]);

    let motion: Motion = serde_json::from_slice(&chain.bytes("motion")).unwrap();
    let file = chain.bytes("video");
    let track = mp4::read_video(&file).unwrap();
    assert_eq!((track.width, track.height, track.fps), (512, 512, 25));
    assert_eq!(track.frames.len(), motion.frames.len());
    let sound = mp4::read_speech(&file).unwrap();
    assert!((sound.seconds() - track.seconds()).abs() < 0.04, "{} {}", sound.seconds(), track.seconds());
    let spoken = audio::read_bytes(chain.bytes("speech"), "speech", &Default::default()).unwrap();
    assert!((spoken.seconds() - track.seconds()).abs() < 0.04);

    let frames = video::decode(&track).unwrap();
    let seen = seen_apertures(&frames);
    let wanted: Vec<f64> = motion.frames.iter().map(|f| f64::from(f.aperture())).collect();
    let by_lag: Vec<f64> = (-5..=5).map(|lag| lagged(&seen, &wanted, lag)).collect();
    let best = (-5..=5).zip(&by_lag).max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    // A wrong pairing of the same values: every frame with one a stride away.
    let shuffled: Vec<f64> = (0..wanted.len()).map(|i| wanted[(i * 37 + 11) % wanted.len()]).collect();
    let control = correlation(&seen, &shuffled).abs();
    let mean_where = |keep: &dyn Fn(f64) -> bool| {
        let kept: Vec<f64> = seen.iter().zip(&wanted).filter(|(_, w)| keep(**w)).map(|(s, _)| *s).collect();
        assert!(kept.len() >= 5, "too few frames to compare");
        kept.iter().sum::<f64>() / kept.len() as f64
    };
    let (sealed, open) = (mean_where(&|w| w < 0.02), mean_where(&|w| w > 0.5));
    let figures = format!(
        "r = {:.3} at lag 0, best lag {best} of {by_lag:.2?}; shuffled {control:.3}; \
         aperture sealed {sealed:.3}, open {open:.3}",
        by_lag[5]
    );
    if std::env::var_os("SPINBOT_TEST_OUT").is_some() {
        let rows: String = seen.iter().zip(&wanted).map(|(s, w)| format!("{s:.4},{w:.4}\n")).collect();
        std::fs::write(chain.path("apertures.csv"), format!("# {figures}\n{rows}")).unwrap();
    }
    assert!(by_lag[5] >= 0.9 && (-1..=1).contains(&best) && control < 0.35, "{figures}");
    assert!(sealed < 0.06 && open > sealed + 0.12, "{figures}");

    // The same seed gives the same file; a cancelled run leaves nothing.
    let inputs = ["picture", "landmarks", "motion"].map(|name| (name, chain.path(name)));
    let again = chain.attempt(&Animate { quantizer: 24 }, &inputs, &mut Told::default()).unwrap();
    assert!(again[0].bytes == chain.bytes("silent_video"), "another run drew another video");
    let mut told = Told { cancel_after: Some(1), ..Told::default() };
    let stopped = chain.attempt(&Animate { quantizer: 24 }, &inputs, &mut told);
    assert!(matches!(stopped, Err(StepError::Cancelled)));
    assert!(told.progress.len() <= 2, "{:?}", told.progress);
}

#[test]
fn a_picture_keeps_its_own_shape_when_asked() {
    let chain = Chain::new("wide");
    let photo = spinbot_media::picture::read(
        &fixture("portraits/astronaut.png"),
        "astronaut.png",
        &Default::default(),
    )
    .unwrap();
    let wide = image::imageops::crop_imm(&photo, 30, 0, 420, 300).to_image();
    let path = chain.path("wide.png");
    wide.save(&path).unwrap();
    chain.render(path, fixture("voices/1688-142285-0003.flac"), 384, true);
    let track = mp4::read_video(&chain.bytes("video")).unwrap();
    assert_eq!((track.width, track.height), (384, 272));
    let landmarks: Landmarks = serde_json::from_slice(&chain.bytes("landmarks")).unwrap();
    assert_eq!((landmarks.width, landmarks.height, landmarks.points.len()), (384, 272, 68));
}
