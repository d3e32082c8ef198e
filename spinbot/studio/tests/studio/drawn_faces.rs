//! Drawings that speak without being told where their faces are.

use crate::chain::{Chain, Told, fixture};
use crate::talking_head::{lagged, stirred};
use image::imageops;
use spinbot::steps::{Draw, ReadPortrait};
use spinbot_media::{RgbImage, mp4, video};
use spinbot_studio::{Landmarks, Motion};
use std::path::PathBuf;

#[test]
fn drawings_speak_whose_faces_nobody_placed() {
    let robot = |number: usize| {
        (format!("robot-{number}"), fixture(&format!("../../notebooks/media/bots/robot/{number}.png")))
    };
    let drawn = |name: &str| (name.to_owned(), fixture(&format!("drawn/{name}.png")));
    // A line, a bow, an open mouth, teeth, and what the built-in model makes of them.
    let mut cases = vec![
        robot(0),
        robot(1),
        drawn("redhead-2"),
        drawn("redhead-5"),
        drawn("embedded-robot-red"),
        drawn("embedded-girl-purple-hat"),
    ];
    if std::env::var_os("SPINBOT_TEST_OUT").is_some() {
        // Enough to look at.
        cases.extend([robot(3), robot(4), robot(5)]);
        cases.extend(
            ["redhead-0", "redhead-3", "redhead-4", "embedded-robot-blue", "embedded-wizard", "embedded-boy"]
                .map(drawn),
        );
    }
    for (name, picture) in cases {
        let chain = Chain::new(&format!("drawn-{name}"));
        chain.render_still(picture, fixture("voices/1688-142285-0002.flac"), 256);
        let landmarks: Landmarks = serde_json::from_slice(&chain.bytes("landmarks")).unwrap();
        let frames = video::decode(&mp4::read_video(&chain.bytes("video")).unwrap()).unwrap();
        let motion: Motion = serde_json::from_slice(&chain.bytes("motion")).unwrap();
        let wanted: Vec<f64> = motion.frames.iter().map(|f| f64::from(f.aperture())).collect();
        let (seen, above) = stirred(&frames, &landmarks);
        let r = lagged(&seen, &wanted, 0);
        chain.note(&format!("r = {r:.3}"));
        assert!(r >= 0.8, "{name}: r = {r:.3}");
        assert!(above < 0.01 * seen.iter().copied().fold(0.0, f64::max), "{name}: {above}");
    }
}

/// The photograph's detector comes first, the drawn face after it, and the log says which.
#[test]
fn a_photographed_face_is_read_as_one_and_a_drawn_one_says_that_it_is_drawn() {
    let chain = Chain::new("manner");
    let read = |picture: PathBuf| {
        let mut told = Told::default();
        let how = ReadPortrait { size: 256, keep_aspect: false, face: None, bot: None };
        chain.attempt(&how, &[("portrait", picture)], &mut told).unwrap();
        told.log
    };
    assert_eq!(read(fixture("portraits/astronaut.png")), Vec::<String>::new());
    let logged = read(fixture("../../notebooks/media/bots/robot/0.png"));
    assert!(logged[0].starts_with("a drawn face was found (score "), "{logged:?}");
    // Also where the drawing is only a part of a larger picture.
    let robot = image::open(fixture("../../notebooks/media/bots/robot/4.png")).unwrap().to_rgb8();
    let mut page = RgbImage::from_pixel(300, 220, image::Rgb([250, 248, 240]));
    imageops::replace(&mut page, &robot, 120, 60);
    page.save(chain.path("page.png")).unwrap();
    assert!(read(chain.path("page.png"))[0].starts_with("a drawn face was found (score "));
}

#[test]
fn what_the_built_in_model_draws_of_a_bot_is_read_without_a_face_told() {
    let base = spinbot::base_model(None, &spinbot::models::AddedModels::standard()).unwrap();
    let chain = Chain::new("bots");
    let store = spinbot_models::Store::open(chain.path("cache")).unwrap();
    let model = store.named(&base.id, &base.sha256.0).unwrap();
    let draw = Draw {
        prompt: "a robot with a blue head, facing the viewer, smiling, yellow background".into(),
        steps: 20,
        cfg: 3.0,
        ..crate::drawing::params()
    };
    let found = (1..=4).filter(|seed| {
        let drawn = chain.seeded(&draw, &[("model", model.clone())], *seed);
        let path = chain.path(&format!("{seed}.png"));
        std::fs::write(&path, &drawn[0].bytes).unwrap();
        let read = ReadPortrait { size: 256, keep_aspect: false, face: None, bot: Some("nova".into()) };
        let mut told = Told::default();
        let outputs = chain.attempt(&read, &[("portrait", path)], &mut told);
        chain.note(&format!("seed {seed}: {:?}", told.log));
        for output in outputs.iter().flatten().filter(|output| output.name == "overlay") {
            std::fs::write(chain.path(&format!("{seed}-overlay.jpg")), &output.bytes).unwrap();
        }
        outputs.is_ok()
    });
    let found = found.count();
    assert!(found >= 3, "{found} of 4");
}
