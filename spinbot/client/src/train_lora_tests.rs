//! Plans of trainings, and what is kept of them.

use super::*;
use crate::Digest;

/// A folder with two pictures, a caption and the model `tiny`.
fn studio() -> (PathBuf, TrainLora) {
    let folder = crate::voices::test_folder();
    for (name, text) in [("a.png", "x"), ("b.jpg", "x"), ("b.txt", "portrait of {}"), ("void.png", "")] {
        std::fs::create_dir_all(folder.join("photos")).unwrap();
        std::fs::write(folder.join("photos").join(name), text).unwrap();
    }
    std::fs::create_dir_all(folder.join("models")).unwrap();
    let list = serde_json::json!([{"id": "tiny", "path": folder.join("tiny"), "sha256": "c".repeat(64)}]);
    std::fs::write(folder.join("models/added.json"), list.to_string()).unwrap();
    let train = train_lora(folder.join("photos"))
        .name("nova")
        .base("tiny")
        .models(AddedModels::at(&folder))
        .loras(Loras::at(folder.join("loras")));
    (folder, train)
}

#[test]
fn a_plan_reads_the_pictures_with_their_captions_and_learns_them() {
    let (folder, train) = studio();
    let plan = train.clone().rank(4).steps(20).preview("{} on the moon").seed(3).plan().unwrap();
    plan.check().unwrap();
    assert_eq!(plan.title, "learn nova from 3 pictures");
    assert_eq!(plan.result, ("train_lora".into(), "lora".into()));
    let [read, learn] = plan.steps.as_slice() else { panic!("{plan:?}") };
    let photo = |name: &str| Input::File(folder.join("photos").join(name));
    let model = Input::Model { id: "tiny".into(), sha256: Digest("c".repeat(64)) };
    let inputs: Vec<(&str, &Input)> =
        read.inputs.iter().map(|(name, input)| (name.as_str(), input)).collect();
    assert_eq!(
        inputs,
        [
            ("caption2", &photo("b.txt")),
            ("model", &model),
            ("picture1", &photo("a.png")),
            ("picture2", &photo("b.jpg"))
        ]
    );
    assert_eq!(read.params["trigger"], "nova");
    assert_eq!(read.params["empty"][0], folder.join("photos/void.png").display().to_string());
    assert_eq!((learn.params["rank"].as_u64(), learn.params["steps"].as_u64()), (Some(4), Some(20)));
    assert_eq!(
        (&learn.params["name"], &learn.params["prompts"][0]),
        (&"nova".into(), &"{} on the moon".into())
    );
    assert_eq!((&learn.inputs["model"], learn.seed, read.seed), (&model, 3, 3));

    // Words or what is seen take the place of caption files.
    let plan = train.clone().captions(Captions::Auto).plan().unwrap();
    assert!(!plan.steps[0].inputs.contains_key("caption2"));
    // The same files twice are one set of pictures.
    let plan = train.and(folder.join("photos/*")).plan().unwrap();
    assert_eq!(plan.title, "learn nova from 3 pictures");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_trigger_is_the_name_where_it_is_a_word() {
    let (folder, train) = studio();
    let trigger = |train: &TrainLora| train.plan().map(|plan| plan.steps[0].params["trigger"].clone());
    for (name, expected) in
        [("nova", "nova"), ("Nova", "nova"), ("nova_2", RARE_WORD), ("me", RARE_WORD), ("n0va", RARE_WORD)]
    {
        assert_eq!(trigger(&train.clone().name(name)).unwrap(), expected, "{name}");
    }
    assert_eq!(trigger(&train.clone().trigger("zwx")).unwrap(), "zwx");
    for word in ["", "two words", "a:1.2", "(b)", "a,b"] {
        let fault = trigger(&train.clone().trigger(word)).unwrap_err();
        assert_eq!(fault.argument.as_deref(), Some("trigger"), "{word}");
    }
    for (train, about) in [
        (train.clone().name(""), "as"),
        (train.clone().name("a/b"), "as"),
        (train.clone().base("tinny"), "base"),
        (
            train_lora(folder.join("models")).name("nova").base("tiny").models(AddedModels::at(&folder)),
            "pictures",
        ),
    ] {
        assert_eq!(train.plan().unwrap_err().argument.as_deref(), Some(about));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn pictures_that_hold_nothing_at_all_are_told_by_the_engine() {
    let (folder, train) = studio();
    let lone = TrainLora { pictures: vec![folder.join("photos/void.png")], ..train };
    let plan = lone.plan().unwrap();
    assert_eq!(plan.title, "learn nova from void.png");
    assert_eq!(plan.steps[0].inputs["picture1"], Input::File(folder.join("photos/void.png")));
    std::fs::remove_dir_all(folder).unwrap();
}
