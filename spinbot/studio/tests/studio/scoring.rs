//! What pictures are worth, told of pictures whose worth is known.

use crate::chain::{Chain, Told, fixture};
use spinbot::scores::{Identity, IdentityBy, IdentityPicture, Scores};
use spinbot::steps::ScorePictures;
use spinbot_media::picture::{self, Caps};
use spinbot_models::Device;
use spinbot_models::faces::{FaceDetector, FaceRecogniser, Landmarker};
use spinbot_models::portrait_reader::PortraitReader;
use std::path::PathBuf;

fn robot(number: usize) -> PathBuf {
    fixture(&format!("../../notebooks/media/bots/robot/{number}.png"))
}

/// Of whom the robot's first pictures are; the third was kept back.
fn robots_identity() -> Identity {
    let reader = PortraitReader::load(&Device::cpu()).unwrap();
    let pictures = (0..3).map(|number| {
        let read = picture::read(&robot(number), "robot", &Caps::default()).unwrap();
        let portrait = reader.read(read.as_raw(), read.width(), read.height()).unwrap();
        IdentityPicture {
            name: number.to_string(),
            held_out: number == 2,
            numbers: portrait.figure.0.to_vec(),
        }
    });
    Identity { by: IdentityBy::Figure, pictures: pictures.collect() }
}

fn scored(chain: &Chain, prompt: &str, pictures: &[PathBuf], identity: Option<&Identity>) -> Scores {
    let names: Vec<String> = (1..=pictures.len()).map(|n| format!("picture{n}")).collect();
    let mut inputs: Vec<(&str, PathBuf)> =
        names.iter().map(String::as_str).zip(pictures.iter().cloned()).collect();
    if let Some(identity) = identity {
        std::fs::write(chain.path("identity"), serde_json::to_vec(identity).unwrap()).unwrap();
        inputs.push(("identity", chain.path("identity")));
    }
    let params = ScorePictures { prompt: prompt.into() };
    let outputs = chain.attempt(&params, &inputs, &mut Told::default()).unwrap();
    serde_json::from_slice(&outputs[0].bytes).unwrap()
}

#[test]
fn the_same_figure_scores_higher_than_another_and_an_obeyed_prompt_than_one_that_is_not() {
    let chain = Chain::new("scores");
    let identity = robots_identity();
    let prompt = "portrait of nova, green background";
    let own = scored(&chain, prompt, &[robot(4), robot(5)], Some(&identity));
    let other = scored(&chain, prompt, &[fixture("portraits/astronaut.png")], Some(&identity));
    assert!(own.identity.unwrap() > 0.85 && own.own.unwrap() > 0.85, "{own:?}");
    assert!(other.identity.unwrap() < 0.4, "{other:?}");
    assert_eq!((own.by, own.adherence), (Some(IdentityBy::Figure), Some(0.5)), "{own:?}");
    assert_eq!(own.pictures[1].answers[0].seen, "purple");
    assert_eq!((other.adherence, other.diversity), (None, None), "of a photograph nothing is told");
    // Two of one figure are nearly one, and two of two are not.
    let mixed = scored(&chain, prompt, &[robot(4), fixture("portraits/astronaut.png")], None);
    assert!(own.diversity.unwrap() < 0.15 && mixed.diversity.unwrap() > 0.6, "{own:?} {mixed:?}");
    assert_eq!((mixed.identity, mixed.own, mixed.by), (None, None, None));
    assert_eq!(mixed.adherence_line().unwrap(), "green background yes");
    let nothing = scored(&chain, "nova", &[robot(0)], None);
    assert_eq!((nothing.adherence, nothing.pictures[0].answers.len()), (None, 0));
}

#[test]
fn a_person_is_told_by_the_face_and_a_picture_without_one_is_nobody() {
    let device = Device::cpu();
    let photo = picture::read(&fixture("portraits/astronaut.png"), "photo", &Caps::default()).unwrap();
    let (rgb, width, height) = (photo.as_raw(), photo.width(), photo.height());
    let faces = FaceDetector::load(&device).unwrap().detect(rgb, width, height).unwrap();
    let points = Landmarker::load(&device).unwrap().landmarks_refined(rgb, width, height, &faces[0]).unwrap();
    let print = FaceRecogniser::load(&device).unwrap().recognise(rgb, width, height, &points).unwrap();
    let picture = IdentityPicture { name: "me".into(), held_out: false, numbers: print.0.to_vec() };
    let identity = Identity { by: IdentityBy::Face, pictures: vec![picture] };
    let chain = Chain::new("scores_of_a_person");
    let smaller = picture::resize(&photo, 300, 300);
    std::fs::write(chain.path("smaller"), picture::png_bytes(&smaller).unwrap()).unwrap();
    let same = scored(&chain, "me", &[chain.path("smaller"), robot(0)], Some(&identity));
    assert!(same.pictures[0].identity.unwrap() > 0.8, "{same:?}");
    assert!(same.pictures[1].identity.unwrap() < 0.5, "{same:?}");
    assert_eq!(same.own, None, "one picture has no other to be held against");
}
