//! The portrait reader against a NumPy computation of the same weights, and what its numbers are good for.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use spinbot_models::Device;
use spinbot_models::portrait_reader::{Portrait, PortraitReader};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(reader: &PortraitReader, path: &str) -> Portrait {
    let picture = image::open(root().join(path)).unwrap().into_rgb8();
    reader.read(picture.as_raw(), picture.width(), picture.height()).unwrap()
}

#[test]
fn portraits_are_read_as_the_reference_reads_them() {
    let reader = PortraitReader::load(&Device::cpu()).unwrap();
    let text = std::fs::read_to_string(root().join("tests/reference/portrait_reader.json")).unwrap();
    let reference: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert!(reference.len() >= 6);
    for (path, expected) in &reference {
        let portrait = read(&reader, path);
        for (got, wanted) in portrait.figure.0.iter().zip(expected["figure"].as_array().unwrap()) {
            let apart = (f64::from(*got) - wanted.as_f64().unwrap()).abs();
            assert!(apart < 1e-4, "{path}: a number of the figure is {apart} off");
        }
        let asked = "a robot, orange clothes, no hat, no glasses, blue background, smiling";
        let questions = reader.questions(asked);
        assert_eq!(questions.len(), 6);
        for question in questions {
            let seen = &expected["seen"][&question.about];
            assert_eq!(reader.answer(&portrait, &question).seen, seen[0], "{path}: {}", question.about);
        }
    }
}

#[test]
fn a_prompt_is_obeyed_by_the_picture_of_its_words_and_not_by_another() {
    let reader = PortraitReader::load(&Device::cpu()).unwrap();
    let folder = "notebooks/media/bots/robot";
    let (mut right, mut wrong) = (0, 0);
    for (number, colour) in ["blue", "yellow", "pink", "white", "green", "purple"].iter().enumerate() {
        let portrait = read(&reader, &format!("{folder}/{number}.png"));
        for asked in ["blue", "yellow", "pink", "white", "green", "purple"] {
            let questions = reader.questions(&format!("portrait of nova, {asked} background"));
            let answer = reader.answer(&portrait, &questions[0]);
            assert_eq!(answer.obeyed, answer.share > 0.5, "{answer:?}");
            match asked == *colour {
                true => right += usize::from(answer.obeyed),
                false => wrong += usize::from(answer.obeyed),
            }
        }
    }
    assert_eq!((right, wrong), (6, 0));
}

#[test]
fn one_figure_is_alike_in_all_its_portraits_and_unlike_another() {
    let reader = PortraitReader::load(&Device::cpu()).unwrap();
    let robot: Vec<Portrait> =
        (0..6).map(|n| read(&reader, &format!("notebooks/media/bots/robot/{n}.png"))).collect();
    let other = read(&reader, "tests/fixtures/portraits/astronaut.png");
    for (n, a) in robot.iter().enumerate() {
        for b in &robot[..n] {
            assert!(a.figure.likeness(&b.figure) > 0.85, "{}", a.figure.likeness(&b.figure));
        }
        assert!(a.figure.likeness(&other.figure) < 0.4, "{}", a.figure.likeness(&other.figure));
    }
}
