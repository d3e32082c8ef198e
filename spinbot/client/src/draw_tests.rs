//! Plans of drawings, what is refused before one, and what a job leaves.

use super::*;
use crate::bundle::Show;
use crate::container::tests::raw;
use crate::event::ArtifactRef;
use crate::{Digest, JobState};

/// A folder with the model `dreams` and the LoRAs `nova` and `ink`.
fn material() -> (PathBuf, Draw) {
    let folder = crate::voices::test_folder();
    for name in ["models", "loras"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    let model = |id: &str, digit: &str| serde_json::json!({"id": id, "path": folder.join(id), "sha256": digit.repeat(64)});
    let list = [model("dreams", "b")];
    std::fs::write(folder.join("models/added.json"), serde_json::to_vec(&list).unwrap()).unwrap();
    let header = r#"{"lora_unet_q.lora_up.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    for name in ["nova", "ink"] {
        std::fs::write(folder.join(format!("loras/{name}.safetensors")), raw(header, &[0; 4])).unwrap();
    }
    let draw =
        draw("nova on  a\nstage").models(AddedModels::at(&folder)).loras(Loras::at(folder.join("loras")));
    (folder, draw)
}

#[test]
fn each_seed_is_a_step_of_its_own_and_several_are_arranged() {
    let (folder, draw) = material();
    let plan = draw.plan().unwrap();
    plan.check().unwrap();
    assert_eq!((plan.title.as_str(), plan.steps.len()), ("draw \"nova on a stage\"", 2));
    assert_eq!(plan.result, ("draw1".into(), "picture".into()));
    assert_eq!(
        plan.steps[0].inputs["model"],
        crate::base_model(None, &AddedModels::at(&folder)).unwrap().input(),
        "the one that is built in"
    );

    // Of nova nothing is known but her file.
    std::fs::write(folder.join("loras/ink.identity.json"), "{}").unwrap();
    let several = draw
        .lora("nova", 0.8)
        .lora("ink", -0.5)
        .seed_list([7])
        .seeds(3)
        .from("me.png")
        .mask("hat.png")
        .strength(0.4)
        .base("dreams")
        .scheduler(Sampler::Dpm2mKarras)
        .negative("red")
        .size(512, 768)
        .steps(9)
        .cfg(3.0);
    let plan = several.plan().unwrap();
    plan.check().unwrap();
    let ids: Vec<(&str, u64)> = plan.steps.iter().map(|step| (step.id.as_str(), step.seed)).collect();
    assert_eq!(
        ids,
        [("draw1", 7), ("draw2", 8), ("draw3", 9), ("arrange_pictures", 0), ("score_pictures", 0)]
    );
    let draw1 = &plan.steps[0];
    assert_eq!(draw1.inputs["lora2"], Input::File(folder.join("loras/ink.safetensors")));
    assert_eq!(draw1.inputs["mask"], Input::File("hat.png".into()));
    assert_eq!(
        draw1.params,
        serde_json::json!({
            "prompt": "nova on  a\nstage", "negative": "red", "steps": 9, "cfg": 3.0, "rescale": 0.0,
            "sampler": "dpm2m_karras", "size": [512, 768], "strength": 0.4, "weights": [0.8, -0.5], "clip_skip": 0,
            "device": "auto", "precision": null
        })
    );
    assert_eq!(plan.steps[3].params["labels"][2], "seed 9");
    let scored: Vec<&str> = plan.steps[4].inputs.keys().map(String::as_str).collect();
    assert_eq!(scored, ["identity", "picture1", "picture2", "picture3"]);
    assert_eq!(plan.steps[4].inputs["identity"], Input::File(folder.join("loras/ink.identity.json")));
    assert_eq!(plan.result, ("arrange_pictures".into(), "grid".into()));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_model_that_a_lora_was_made_for_draws_unless_another_is_named() {
    let (folder, draw) = material();
    for (name, base) in [("dreamy", "dreams"), ("lost", "nobodys")] {
        let header = format!(
            r#"{{"__metadata__":{{"ss_sd_model_name":"{base}"}},
            "lora_unet_q.lora_up.weight":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#
        );
        std::fs::write(folder.join(format!("loras/{name}.safetensors")), raw(&header, &[0; 4])).unwrap();
    }
    let id = |draw: Draw| draw.model().unwrap().id;
    assert_eq!(id(draw.clone()), "portraits");
    assert_eq!(id(draw.clone().lora("lost", 1.0).lora("dreamy", 0.5)), "dreams");
    assert_eq!(id(draw.clone().lora("lost", 1.0)), "portraits");
    assert_eq!(id(draw.lora("dreamy", 1.0).base("portraits")), "portraits");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_makes_no_sense_is_refused_before_it_is_sent() {
    let (folder, good) = material();
    for (draw, about, expected) in [
        (draw(" \n"), "prompt", "the prompt is empty"),
        (good.clone().seeds(0), "seeds", "0 pictures"),
        (good.clone().seeds(usize::MAX), "seeds", "65 pictures"),
        (good.clone().seed_list([3, 3]), "seed", "twice"),
        (good.clone().mask("m.png"), "mask", "needs the picture"),
        (good.clone().strength(0.3), "strength", "begin from"),
        (good.clone().lora("nova", f64::NAN), "lora1", "counts by NaN"),
        (good.clone().lora("ink", 1.0).lora("nvoa", 1.0), "lora2", "no LoRA `nvoa`"),
        (good.clone().base("dream"), "base", "no model of your own called `dream`"),
    ] {
        let fault = draw.plan().unwrap_err();
        assert!(fault.message.contains(expected), "{fault}");
        assert_eq!(fault.argument.as_deref(), Some(about), "{fault}");
        assert!(fault.help.is_some(), "{fault}");
    }
    for (name, sampler) in Sampler::NAMES.iter().zip(Sampler::ALL) {
        assert_eq!(name.parse::<Sampler>().unwrap(), sampler);
    }
    assert!("dpm".parse::<Sampler>().unwrap_err().help.unwrap().contains("dpm-2m-karras"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_was_drawn_is_shown_and_saved() {
    let (folder, draw) = material();
    let draw = draw.seed_list([4, 2]);
    let mut view = JobView { job: "0f2k".into(), state: JobState::Done, ..JobView::default() };
    for (step, output, content) in [
        ("draw1", "picture", &b"\x89PNG four"[..]),
        ("draw2", "picture", b"\x89PNG two"),
        ("arrange_pictures", "grid", b"\xFF\xD8\xFF grid"),
        (
            "score_pictures",
            "report",
            br#"{"pictures":[],"identity":0.5,"own":null,"by":null,"adherence":null,"diversity":0.25}"#,
        ),
    ] {
        let path = folder.join(step);
        std::fs::write(&path, content).unwrap();
        let (digest, media_type) = (Digest("00".repeat(32)), "image/png".to_owned());
        let file = ArtifactRef { digest, media_type, size: content.len() as u64, path };
        view.result = Some(file.clone());
        view.artifacts.entry(step.into()).or_default().insert(output.into(), file);
    }
    let drawn = draw.drawn(&view).unwrap();
    assert_eq!(Drawn::from_json(&drawn.to_json().unwrap()).unwrap(), drawn);
    assert_eq!(
        (drawn.pictures()[0].seed(), drawn.pictures()[1].bytes().unwrap()),
        (4, b"\x89PNG two".to_vec())
    );
    assert_eq!((drawn.scores().identity, drawn.scores().diversity), (Some(0.5), Some(0.25)));
    let bundle = drawn.bundle();
    assert!(
        bundle.data.contains_key("image/jpeg") && bundle.data["text/plain"] == "2 pictures drawn by job 0f2k"
    );
    drawn.save(folder.join("album")).unwrap();
    assert_eq!(std::fs::read(folder.join("album/4.png")).unwrap(), b"\x89PNG four");
    drawn.pictures()[1].save(folder.join("two.png")).unwrap();
    assert_eq!(drawn.pictures()[1].bundle().data["image/png"], "iVBORyB0d28=");
    std::fs::remove_file(folder.join("arrange_pictures")).unwrap();
    assert!(drawn.bundle().data["text/plain"].as_str().unwrap().ends_with("(the file is gone)"));
    std::fs::remove_dir_all(folder).unwrap();
}
