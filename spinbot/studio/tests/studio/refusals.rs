//! Input a step must refuse, each with one sentence, a way out and the argument it is about.

use crate::chain::{Chain, Told, fixture};
use image::{RgbImage, imageops};
use spinbot::Step;
use spinbot::steps::{Drive, ReadPortrait, ReadSpeech};
use spinbot_media::audio::{Clip, wav_bytes};
use spinbot_studio::{StepError, check, kinds, run};
use std::path::PathBuf;

fn astronaut() -> RgbImage {
    image::open(fixture("portraits/astronaut.png")).unwrap().to_rgb8()
}

#[test]
fn a_photo_without_exactly_one_face_is_refused_in_a_sentence() {
    let chain = Chain::new("photos");
    let save = |name: &str, picture: RgbImage| -> PathBuf {
        picture.save(chain.path(name)).unwrap();
        chain.path(name)
    };
    let face = imageops::crop_imm(&astronaut(), 90, 0, 260, 260).to_image();
    let mut two = RgbImage::from_pixel(540, 280, [180, 180, 180].into());
    imageops::replace(&mut two, &face, 5, 10);
    imageops::replace(&mut two, &face, 275, 10);
    let small = imageops::resize(&face, 96, 96, imageops::FilterType::Triangle);
    let mut far = RgbImage::from_pixel(1600, 400, [180, 180, 180].into());
    imageops::replace(&mut far, &face, 700, 100);
    std::fs::write(chain.path("notes.png"), "a list of things to do").unwrap();
    let cases = [
        (
            save(
                "meadow.png",
                RgbImage::from_fn(320, 240, |x, y| [40, (90 + x / 4) as u8, (y / 2) as u8].into()),
            ),
            "meadow.png: no face found (best score ",
        ),
        (save("two.png", two), "two.png: 2 faces found, need exactly one"),
        (save("small.png", small), "small.png: the face is "),
        (save("far.png", far), "far.png: the face is 1"),
        (save("dot.png", RgbImage::new(1, 1)), "dot.png: "),
        (chain.path("notes.png"), "notes.png: "),
        (chain.path("nowhere.png"), "nowhere.png: there is no such file"),
    ];
    for (path, start) in cases {
        let mut told = Told::default();
        let read = ReadPortrait { size: 256, keep_aspect: start.starts_with("far"), face: None, bot: None };
        let refused = chain.attempt(&read, &[("portrait", path)], &mut told);
        // What the face can be placed with is shown where it can be.
        let rulers = start.contains("found");
        assert_eq!(told.previews.contains(&"rulers".to_owned()), rulers, "{start}: {:?}", told.previews);
        let Err(StepError::Fault(fault)) = refused else { panic!("{start}: was taken") };
        assert!(fault.message.starts_with(start), "{} should start {start}", fault.message);
        assert!(!fault.message.contains('\n') && fault.help.is_some(), "{fault:?}");
        assert_eq!(fault.argument.as_deref(), Some("portrait"), "{fault:?}");
        assert_eq!(fault.help.is_some_and(|help| help.contains("--face")), rulers);
    }
    for (face, start) in [
        ("51,55 77,55 49,79 179,79", "0.png: it has 128x128 pixels, and 179,79 is outside"),
        ("51,55 60,55 52,62 59,62", "0.png: the face is 20 px wide, need 28"),
    ] {
        let read =
            ReadPortrait { size: 256, keep_aspect: false, face: Some(face.parse().unwrap()), bot: None };
        let robot = [("portrait", fixture("../../notebooks/media/bots/robot/0.png"))];
        let refused = chain.attempt(&read, &robot, &mut Told::default());
        let Err(StepError::Fault(fault)) = refused else { panic!("{start}: was taken") };
        assert!(fault.message.starts_with(start), "{} should start {start}", fault.message);
        assert_eq!(fault.argument.as_deref(), Some("face"), "{fault:?}");
    }
    // What a bot was drawn as has no file's name.
    let read = ReadPortrait { size: 256, keep_aspect: false, face: None, bot: Some("nova".into()) };
    let meadow = [("portrait", chain.path("meadow.png"))];
    let refused = chain.attempt(&read, &meadow, &mut Told::default());
    let Err(StepError::Fault(fault)) = refused else { panic!("a meadow was taken for a bot") };
    assert!(fault.message.starts_with("the drawing of nova: no face found (best score "), "{fault:?}");
    assert!(fault.help.as_ref().is_some_and(|help| help.contains("--seed") && help.contains("--face")));
    assert_eq!(fault.argument.as_deref(), Some("bot"), "{fault:?}");
}

#[test]
fn a_clip_without_speech_to_follow_is_refused_in_a_sentence() {
    let chain = Chain::new("clips");
    let save = |name: &str, bytes: &[u8]| -> PathBuf {
        std::fs::write(chain.path(name), bytes).unwrap();
        chain.path(name)
    };
    let tone = |seconds: f32| {
        let samples = (0..(seconds * 16_000.0) as usize).map(|i| 0.3 * (i as f32 * 0.07).sin()).collect();
        wav_bytes(&Clip::new(samples, 16_000))
    };
    let voice = std::fs::read(fixture("voices/1688-142285-0002.flac")).unwrap();
    let cases = [
        (save("mute.wav", &wav_bytes(&Clip::silence(2.0, 16_000))), "mute.wav: the recording is silent"),
        (save("blip.wav", &tone(0.05)), "blip.wav: the duration is "),
        (save("long.wav", &tone(6.0)), "long.wav: the duration is "),
        (save("notes.wav", b"a list of things to do"), "notes.wav: "),
        (save("torn.flac", &voice[..60]), "torn.flac: "),
        (chain.path("nowhere.wav"), "nowhere.wav: there is no such file"),
    ];
    for (path, start) in cases {
        let refused =
            chain.attempt(&ReadSpeech { max_seconds: 5.0 }, &[("speech", path)], &mut Told::default());
        let Err(StepError::Fault(fault)) = refused else { panic!("{start}: was taken") };
        assert!(fault.message.starts_with(start), "{} should start {start}", fault.message);
        assert!(!fault.message.contains('\n') && fault.help.is_some(), "{fault:?}");
        assert_eq!(fault.argument.as_deref(), Some("speech"), "{fault:?}");
    }
}

#[test]
fn a_step_is_checked_before_it_runs() {
    let step = |size: u32| {
        Step::new(&ReadPortrait { size, keep_aspect: false, face: None, bot: None })
            .with("portrait", spinbot::Input::File("me.png".into()))
    };
    assert_eq!(check(&step(512)), Ok(()));
    let message = |step: &Step| check(step).unwrap_err().message;
    assert_eq!(message(&step(64)), "size is 64, need 128 to 1024");
    assert_eq!(
        message(&Step::new(&Drive { fps: 25, liveliness: 1.0 })),
        "step `drive`: its input `speech` is missing"
    );
    assert!(
        message(&step(512).with("hat", spinbot::Input::File("hat.png".into()))).contains("no input `hat`")
    );
    let mut unknown = step(512);
    unknown.kind = "juggle".into();
    assert!(message(&unknown).contains("no step `juggle`; the steps are read_portrait"));
    let mut garbled = step(512);
    garbled.params = serde_json::json!({ "size": "large" });
    assert!(message(&garbled).contains("parameters cannot be read"));
    let unread = run("drive", &serde_json::json!({}), &Default::default(), 0, &mut Told::default());
    assert!(matches!(unread, Err(StepError::Fault(_))));
    assert_eq!(kinds().len(), 23);
    assert!(kinds().iter().all(|k| k.version > 0 && !k.outputs.is_empty()));
}
