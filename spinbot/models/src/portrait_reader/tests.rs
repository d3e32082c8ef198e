#![allow(clippy::unwrap_used)]
use super::*;

fn reader() -> PortraitReader {
    PortraitReader::load(&Device::cpu()).unwrap()
}

#[test]
fn a_prompt_asks_for_what_it_names_and_no_more() {
    let reader = reader();
    for (prompt, expected) in [
        ("nova on a stage, red curtain", &[("behind", "on a stage", "red curtain")][..]),
        ("a photo of nova", &[]),
        (
            "Nova with (round glasses:1.2), spiky blue hair, wearing a Red Hoodie, blue background",
            &[
                ("glasses", "round glasses", "round glasses,glasses"),
                ("hair_color", "blue hair", "blue"),
                ("clothes", "red hoodie", "red"),
                ("behind", "blue background", "blue"),
            ],
        ),
        ("a woman without glasses", &[("kind", "woman", "person"), ("glasses", "without glasses", "none")]),
        ("red, background", &[]),
    ] {
        let questions = reader.questions(prompt);
        for (about, words, values) in expected {
            let found = questions.iter().find(|question| question.about == *about);
            let Some(found) = found else { panic!("`{prompt}`: {about} is missing in {questions:?}") };
            let names = &reader.about.attributes[found.attribute].values;
            let names: Vec<&str> = found.values.iter().map(|at| names[*at].as_str()).collect();
            assert_eq!((found.words.as_str(), names.join(",").as_str()), (*words, *values), "`{prompt}`");
        }
        assert!(
            expected.len() <= questions.len() && (!expected.is_empty() || questions.is_empty()),
            "{questions:?}"
        );
    }
}

#[test]
fn a_picture_that_is_none_is_refused() {
    let reader = reader();
    assert!(matches!(reader.read(&[0; 10], 128, 128), Err(ModelError::Picture { .. })));
    assert!(matches!(reader.read(&[0; 192], 8, 8), Err(ModelError::Picture { .. })));
}
