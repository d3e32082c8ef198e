//! A real photo and a real voice through the whole chain, and what can be measured on the frames that come out.

use crate::chain::{Chain, Told, fixture};
use spinbot::steps::Animate;
use spinbot_media::{RgbImage, audio, mp4, video};
use spinbot_models::Device;
use spinbot_models::faces::{FaceBox, FaceDetector, Landmarker};
use spinbot_studio::{Landmarks, Motion, StepError};

/// Opening of the inner lips over the distance of the eyes, as a landmark network sees it on each frame.
pub fn seen_apertures(frames: &[RgbImage]) -> Vec<f64> {
    let device = Device::cpu();
    let detector = FaceDetector::load(&device).unwrap();
    let landmarker = Landmarker::load(&device).unwrap();
    let (width, height) = frames[0].dimensions();
    let mut face: FaceBox = detector.detect(frames[0].as_raw(), width, height).unwrap()[0];
    frames
        .iter()
        .map(|frame| {
            let points = landmarker.landmarks(frame.as_raw(), width, height, &face).unwrap();
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

pub fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

/// Correlation of `seen[t + lag]` with `wanted[t]`.
pub fn lagged(seen: &[f64], wanted: &[f64], lag: isize) -> f64 {
    let n = seen.len() - lag.unsigned_abs();
    let (from_seen, from_wanted) = if lag >= 0 { (lag as usize, 0) } else { (0, lag.unsigned_abs()) };
    correlation(&seen[from_seen..from_seen + n], &wanted[from_wanted..from_wanted + n])
}

/// Renders the clip at 512x512 and measures how its lips follow.
fn check_lips(name: &str, photo: &str, clip: &str) -> Chain {
    let chain = Chain::new(name);
    let told = chain.render(fixture(photo), fixture(clip), 512, false);
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
    chain.note(&figures);
    assert!(by_lag[5] >= 0.9 && (-1..=1).contains(&best) && control < 0.35, "{figures}");
    assert!(sealed < 0.06 && open > 3.0 * sealed, "{figures}");
    chain
}

#[test]
fn the_lips_of_the_tour_follow_its_voice() {
    check_lips("tour", "../../notebooks/media/astronaut.png", "../../notebooks/media/reading.flac");
}

#[test]
fn a_photo_says_a_sentence_and_its_lips_follow() {
    let chain = check_lips("square", "portraits/astronaut.png", "voices/1688-142285-0002.flac");

    // The same seed gives the same file; a cancelled run leaves nothing.
    let inputs = ["picture", "landmarks", "matte", "motion"].map(|name| (name, chain.path(name)));
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

/// Around the mouth, how far each frame is from the first, in which it is shut, and the same far above the face.
pub fn stirred(frames: &[RgbImage], landmarks: &Landmarks) -> (Vec<f64>, f64) {
    let lips = &landmarks.points[48..68];
    let edge = |axis: usize, pick: fn(f32, f32) -> f32, from| lips.iter().map(|p| p[axis]).fold(from, pick);
    let (left, right) = (edge(0, f32::min, f32::MAX) as u32, edge(0, f32::max, f32::MIN) as u32);
    let (top, tall) = (edge(1, f32::min, f32::MAX) as u32, (right - left).max(landmarks.width / 10));
    let off = |frame: &RgbImage, x: u32, y: u32| -> f64 {
        let pair = frame.get_pixel(x, y).0.into_iter().zip(frames[0].get_pixel(x, y).0);
        pair.map(|(a, b)| f64::from(a.abs_diff(b))).sum()
    };
    let sum = |frame: &RgbImage, rows: std::ops::Range<u32>| -> f64 {
        rows.flat_map(|y| (left..right).map(move |x| (x, y))).map(|(x, y)| off(frame, x, y)).sum()
    };
    let seen = frames.iter().map(|frame| sum(frame, top..(top + tall).min(landmarks.height))).collect();
    (seen, frames.iter().map(|frame| sum(frame, 0..8)).fold(0.0, f64::max))
}

/// Eyes and mouth of the tutorial's robot.
const ROBOT: &str = "51,55 77,55 49,79 79,79";

#[test]
fn a_robot_whose_face_was_placed_by_hand_speaks() {
    let chain = Chain::new("robot");
    let robot = fixture("../../notebooks/media/bots/robot/0.png");
    chain.render_placed(robot, ROBOT.parse().unwrap(), fixture("voices/1688-142285-0002.flac"), 256);
    let landmarks: Landmarks = serde_json::from_slice(&chain.bytes("landmarks")).unwrap();
    let frames = video::decode(&mp4::read_video(&chain.bytes("video")).unwrap()).unwrap();
    let (seen, above) = stirred(&frames, &landmarks);
    let motion: Motion = serde_json::from_slice(&chain.bytes("motion")).unwrap();
    let wanted: Vec<f64> = motion.frames.iter().map(|f| f64::from(f.aperture())).collect();
    let r = lagged(&seen, &wanted, 0);
    chain.note(&format!("r = {r:.3}"));
    assert!(r >= 0.8, "r = {r:.3}");
    assert!(above < 0.01 * seen.iter().copied().fold(0.0, f64::max), "{above}");
}

#[test]
fn a_grey_photo_with_a_closed_mouth_speaks_too() {
    let chain = Chain::new("grey");
    chain.render(fixture("portraits/astronaut.png"), fixture("voices/1688-142285-0003.flac"), 384, false);
    // The first frame, before the first word, is a portrait with its lips closed.
    let first = image::load_from_memory(&chain.bytes("silent_first_frame")).unwrap();
    let grey = chain.path("grey.png");
    image::DynamicImage::ImageLuma8(first.to_luma8()).to_rgb8().save(&grey).unwrap();
    chain.render(grey, fixture("voices/1688-142285-0002.flac"), 384, false);
    let track = mp4::read_video(&chain.bytes("video")).unwrap();
    let frames = video::decode(&track).unwrap();
    let coloured = frames
        .iter()
        .flat_map(|frame| frame.pixels())
        .filter(|p| p.0.iter().max().unwrap() - p.0.iter().min().unwrap() > 12)
        .count();
    assert_eq!(coloured, 0, "a grey photo got colour");
    let motion: Motion = serde_json::from_slice(&chain.bytes("motion")).unwrap();
    let wanted: Vec<f64> = motion.frames.iter().map(|f| f64::from(f.aperture())).collect();
    let r = lagged(&seen_apertures(&frames), &wanted, 0);
    chain.note(&format!("r = {r:.3}"));
    // Grey teeth are as light as grey skin: the network that measures sees less of the mouth than in colour.
    assert!(r >= 0.85, "r = {r:.3}");
}
