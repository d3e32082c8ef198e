//! What renders plan.

use super::*;
use crate::loras::tests::{KOHYA, file};
use crate::models::AddedModels;

#[test]
fn a_bot_is_drawn_before_it_is_read_and_shares_the_seed() {
    let folder = crate::voices::test_folder();
    let store = Loras::at(folder.clone());
    let bot = |name: &str| {
        render().bot(name, 0.8).text("Hello.").loras(store.clone()).seed(5).stage("on a stage, red curtain")
    };
    assert_eq!(bot("nova").plan().unwrap_err().argument.as_deref(), Some("bot"));
    let trigger = r#"{"modelspec.trigger_phrase":"nova","ss_sd_model_name":"portraits"}"#;
    file(&folder.join("nova.safetensors"), KOHYA, trigger);
    let plan = bot("nova").plan().unwrap();
    plan.check().unwrap();
    let kinds: Vec<&str> = plan.steps.iter().map(|step| step.kind.as_str()).collect();
    assert_eq!(kinds, ["draw", "read_portrait", "read_voice", "speak", "articulate", "animate", "encode"]);
    assert_eq!((plan.steps[0].seed, plan.steps[0].inputs.contains_key("lora1")), (5, true));
    let prompt = plan.steps[0].params["prompt"].as_str().unwrap();
    assert_eq!(prompt, "a portrait of nova, facing the viewer, on a stage, red curtain");
    assert_eq!(plan.steps[1].inputs["portrait"], plan.steps[0].output("picture"));
    assert_eq!(plan.steps[1].params["bot"], "nova");
    assert!(plan.title.starts_with("render nova saying "), "{}", plan.title);
    // A topic's script names the stage, one of those the model can draw; a stage that is told goes before it.
    let topic = |stage: Option<&str>| {
        let script = crate::script("tea").models(AddedModels::at("nowhere"));
        let topic = render().bot("nova", 0.8).loras(store.clone()).script(script);
        stage.into_iter().fold(topic, Render::stage).plan().unwrap()
    };
    let staged = topic(None);
    staged.check().unwrap();
    let step = |plan: &Plan, kind: &str| plan.steps.iter().find(|step| step.kind == kind).unwrap().clone();
    assert_eq!(step(&staged, "draw").inputs["stage"], step(&staged, "write_script").output("stage"));
    let stages = step(&staged, "write_script").params["stages"].as_array().unwrap().len();
    assert_eq!(stages, crate::script::STAGES.len());
    assert!(!step(&topic(Some("in space")), "draw").inputs.contains_key("stage"));
    let both = bot("nova").portrait("me.jpg").plan().unwrap_err();
    assert!(both.message.contains("one face"), "{both:?}");
    let stage = render().portrait("me.jpg").text("Hello.").stage("a stage").plan().unwrap_err();
    assert_eq!(stage.argument.as_deref(), Some("stage"));
}

#[test]
fn a_variant_changes_the_animation_alone_and_hears_no_music() {
    let folder = crate::voices::test_folder();
    let models = AddedModels::at(&folder);
    let spoken = || {
        let profiles = Profiles::at(folder.join("voices")).with_models(models.clone());
        render().portrait("me.jpg").text("Hello you.").music("tune.mp3").profiles(profiles)
    };
    let fault = spoken().variant(Variant::Wav2lip).plan().unwrap_err();
    assert_eq!(fault.argument.as_deref(), Some("variant"));
    crate::variants::tests::add(&folder, "lips", "face_encoder_blocks.0.0.conv_block.0.weight");
    let plain = spoken().plan().unwrap();
    assert_eq!(spoken().variant(Variant::Portrait).plan().unwrap(), plain);
    let plan = spoken().variant(Variant::Wav2lip).subtitles(Subtitles::Burned).plan().unwrap();
    plan.check().unwrap();
    for (one, other) in plain.steps.iter().zip(&plan.steps) {
        assert_eq!(one == other, one.id != "animate", "{}", one.id);
    }
    let animate = &plan.steps[4];
    assert_eq!((animate.id.as_str(), animate.kind.as_str()), ("animate", "animate_wav2lip"));
    assert_eq!(animate.inputs["weights"], models.find("lips").unwrap().input());
    assert_eq!(animate.inputs["speech"], plan.steps[2].output("speech"));
    assert_eq!(animate.inputs["timing"], plan.steps[2].output("timing"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn subtitles_change_the_animation_alone_and_music_the_sound_alone() {
    let spoken = || render().portrait("me.jpg").text("Hello you.");
    let (plain, beside) = (spoken().plan().unwrap(), spoken().subtitles(Subtitles::Beside).plan().unwrap());
    assert_eq!(plain, beside);
    let burned = spoken().subtitles(Subtitles::Burned).plan().unwrap();
    burned.check().unwrap();
    for (one, other) in plain.steps.iter().zip(&burned.steps) {
        assert_eq!(one == other, one.id != "animate", "{}", one.id);
    }
    let timing = Input::Output { step: "speak".into(), output: "timing".into() };
    assert_eq!(burned.steps[4].inputs["timing"], timing);
    let script = crate::script("tea").models(AddedModels::at("nowhere"));
    let topic = render().portrait("me.jpg").script(script).seed(3).speed(1.2).plan().unwrap();
    topic.check().unwrap();
    assert_eq!(topic.steps[1].kind, "write_script");
    assert_eq!(
        (topic.steps[1].seed, topic.steps[3].inputs["narration"].clone()),
        (3, topic.steps[1].output("narration"))
    );
    assert_eq!(topic.title, "render me.jpg saying a script about \"tea\"");
    let music = spoken().music("tune.mp3").plan().unwrap();
    music.check().unwrap();
    let ids: Vec<&str> = music.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids[3..], ["articulate", "animate", "mix_music", "encode"]);
    assert_eq!(music.steps[..5], plain.steps[..5], "the lips hear no music");
    assert_eq!(music.steps[6].inputs["speech"], music.steps[5].output("speech"));
    let cards = spoken().music("tune.mp3").intro("Hi").plan().unwrap();
    cards.check().unwrap();
    assert_eq!(cards.steps[5].kind, "add_cards");
    assert_eq!(cards.steps[6].inputs["speech"], cards.steps[5].output("speech"));
    assert_eq!(cards.steps[7].inputs["video"], cards.steps[5].output("video"));
    for subtitles in [Subtitles::Beside, Subtitles::Burned] {
        let recorded = render().portrait("me.jpg").speech("hello.wav").subtitles(subtitles);
        let fault = recorded.plan().unwrap_err();
        assert_eq!(fault.argument.as_deref(), Some("subtitles"));
        assert!(fault.help.is_some_and(|help| help.contains("--text")));
    }
}
