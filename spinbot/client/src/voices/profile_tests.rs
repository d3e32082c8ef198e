//! Profiles kept, carried away and taken in again; what is no profile; voices mixed of them.

use super::super::VoiceExpression;
use super::*;
use crate::container::tests::raw;
use crate::event::ArtifactRef;
use crate::{Digest, Input, JobState};
use std::os::unix::fs::PermissionsExt;

/// A folder no other test has.
pub(crate) fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(crate::cell::unique_id());
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// What a clone job leaves, with its files in `folder`.
fn finished(folder: &Path) -> JobView {
    let style = "{\"__metadata__\":{\"engine\":\"kokoro\"},\"style\":\
                 {\"dtype\":\"F32\",\"shape\":[510,256],\"data_offsets\":[0,522240]}}";
    let mut view = JobView { job: "0f2k".into(), state: JobState::Done, ..JobView::default() };
    let scores = serde_json::to_vec(&super::super::scores::tests::scores()).unwrap();
    let clip =
        r#"{"seconds":30.0,"clips":[{"label":"a.wav","seconds":30.0,"start":0.0,"warnings":["<loud>"]}]}"#;
    for (step, output, bytes) in [
        ("clone_voice", "voice", raw(style, &vec![7; 510 * 256 * 4])),
        ("clone_voice", "scores", scores),
        ("read_clips", "clips", clip.as_bytes().to_vec()),
        ("encode_original", "sound", b"ID3 original".to_vec()),
        ("encode_clone", "sound", b"ID3 clone".to_vec()),
    ] {
        let path = folder.join(format!("{step}.{output}"));
        fs::write(&path, &bytes).unwrap();
        let artifact = ArtifactRef {
            digest: Digest("00".repeat(32)),
            media_type: "application/octet-stream".into(),
            size: bytes.len() as u64,
            path,
        };
        if output == "voice" {
            view.result = Some(artifact.clone());
        }
        view.artifacts.entry(step.into()).or_default().insert(output.into(), artifact);
    }
    view
}

#[test]
fn a_profile_is_kept_found_carried_away_and_taken_in_again() {
    let folder = folder();
    let profiles = Profiles::at(folder.join("voices"));
    let view = finished(&folder);
    let me = profiles.save(&view, "me", "my own voice").unwrap();
    assert_eq!((me.name(), me.consent(), me.job()), ("me", "my own voice", "0f2k"));
    assert_eq!(me.accent(), Accent::Us);
    assert_eq!(me.original_sample().unwrap(), b"ID3 original");
    assert_eq!(me.clone_sample().unwrap(), b"ID3 clone");
    assert_eq!(me.clips()[0].label, "a.wav");
    assert_eq!(me.verdict(), Verdict::Resembles);
    assert!(me.summary().starts_with("resembles its speaker (GE2E 0.84, second encoder 0.72)"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(me.path()), mode(&folder.join("voices"))), (0o600, 0o700));
    let (_, mut container) = VoiceProfile::open(me.path()).unwrap();
    assert_eq!(container.metadata["engine"], "kokoro");
    assert_eq!(container.bytes("style").unwrap(), vec![7; 510 * 256 * 4]);

    // Again under the same name: in its place, nothing beside it.
    profiles.save(&view, "me", "still mine").unwrap();
    assert_eq!(profiles.names().unwrap(), ["me"]);
    assert_eq!(fs::read_dir(folder.join("voices")).unwrap().count(), 1);
    assert_eq!(profiles.load("me").unwrap().consent(), "still mine");

    let carried = folder.join("carried.safetensors");
    profiles.load("me").unwrap().export(&carried).unwrap();
    let fault = profiles.import(&carried, None).unwrap_err();
    assert_eq!(fault.message, "there is a voice `me` already");
    let copy = profiles.import(&carried, Some("me-2")).unwrap();
    assert_eq!((copy.name(), copy.scores()), ("me-2", me.scores()));
    profiles.load("me").unwrap().remove().unwrap();
    assert_eq!(profiles.names().unwrap(), ["me-2"]);
    fs::write(folder.join("voices/bad.safetensors"), b"x").unwrap();
    let all = profiles.voices().unwrap();
    assert_eq!((all.profiles.len(), all.damaged.len(), all.stock.len()), (1, 1, 28));
    assert!(all.bundle().data["text/plain"].to_string().contains("British English, male"));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_no_profile_is_not_taken_in() {
    let folder = folder();
    let profiles = Profiles::at(folder.join("voices"));
    let mut view = finished(&folder);
    let import = |profiles: &Profiles, bytes: &[u8]| {
        let path = folder.join("given.safetensors");
        fs::write(&path, bytes).unwrap();
        profiles.import(&path, Some("x")).unwrap_err().message
    };
    let voice = fs::read(folder.join("clone_voice.voice")).unwrap();
    assert!(import(&profiles, &voice).ends_with("says nothing of who agreed to it"));
    assert!(import(&profiles, &raw("{}", &[])).contains("it needs `style` of F32 [510, 256]"));
    let me = profiles.save(&view, "me", "mine").unwrap();
    let newer = String::from_utf8_lossy(&fs::read(me.path()).unwrap()).contains("\\\"version\\\":1");
    assert!(newer, "the record's version is not where this test looks");
    let bytes = fs::read(me.path()).unwrap();
    let at = bytes.windows(13).position(|w| w == b"\\\"version\\\":1").unwrap();
    let mut other = bytes;
    other[at + 12] = b'2';
    assert!(import(&profiles, &other).contains("its record is of version 2"), "{other:?}");

    for (name, expected) in [
        ("af_heart", "that is a stock voice"),
        ("", "a name needs a letter"),
        ("../me", "letters, digits"),
        ("-me", "letters, digits"),
        ("mé", "letters, digits"),
        (&"x".repeat(65), "longer than 64"),
    ] {
        let fault = profiles.save(&view, name, "mine").unwrap_err();
        assert!(fault.message.contains(expected), "{}", fault.message);
        assert_eq!(fault.argument.as_deref(), Some("as"));
    }
    view.artifacts.get_mut("clone_voice").unwrap().remove("scores");
    let fault = profiles.save(&view, "me", "mine").unwrap_err();
    assert_eq!(fault.message, "job 0f2k left no `scores` of its step `clone_voice`");
    view.result = None;
    view.fault = Some(Fault::new("too short"));
    assert_eq!(profiles.save(&view, "me", "mine").unwrap_err().message, "too short");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_voice_is_mixed_of_stock_voices_and_profiles() {
    let folder = folder();
    let profiles = Profiles::at(folder.join("voices"));
    profiles.save(&finished(&folder), "me", "mine").unwrap();
    let step = |text: &str| text.parse::<VoiceExpression>().unwrap().read_voice(&profiles);
    let blend = step("af_heart:0.6 + am_echo:0.4").unwrap();
    assert_eq!(
        blend.params.to_string(),
        r#"{"blend":[{"voice":"af_heart","weight":0.6},{"voice":"am_echo","weight":0.4}]}"#
    );
    assert!(blend.inputs.is_empty());
    let mine = step("me:0.7+af_nova:0.3+me").unwrap();
    let voices: Vec<_> = mine.params["blend"].as_array().unwrap().iter().map(|p| &p["voice"]).collect();
    assert_eq!(voices, ["profile1", "af_nova", "profile2"]);
    assert_eq!(mine.inputs["profile1"], Input::File(folder.join("voices/me.safetensors")));

    for (text, message, help) in [
        ("af_hart", "there is no voice `af_hart`", "did you mean `af_heart`?"),
        ("mee", "there is no voice `mee`", "did you mean `me`?"),
        ("grandma", "there is no voice `grandma`", "`%clone_voice` makes one"),
        ("../me", "there is no voice `../me`", "`%voices`"),
    ] {
        let fault = step(text).unwrap_err();
        assert_eq!((fault.message.as_str(), fault.argument.as_deref()), (message, Some("voice")));
        assert!(fault.help.as_ref().unwrap().contains(help), "{fault}");
    }
    for (text, message) in [
        (" ", "no voice is named"),
        ("me+", "`me+`: a voice is missing in ``"),
        ("me:0.5+:0.5", "`me:0.5+:0.5`: a voice is missing in `:0.5`"),
        ("me:much", "the share of `me` must be a number, got `much`"),
        ("me:0", "the share of `me` is 0, need a number above 0"),
        ("me:NaN", "the share of `me` is NaN, need a number above 0"),
        (&["me"; 17].join("+"), "a mixture of 17 voices is too much, the most is 16"),
    ] {
        let fault = text.parse::<VoiceExpression>().unwrap_err();
        assert_eq!((fault.message.as_str(), fault.argument.as_deref()), (message, Some("voice")));
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_voice_of_a_model_of_ones_own_speaks_with_it_and_cannot_be_mixed_or_told() {
    let folder = folder();
    let models = crate::models::tests::added(&folder);
    let profiles = Profiles::at(folder.join("voices")).with_models(models);
    let model = |digit: &str| Input::Model { id: "pocket".into(), sha256: Digest(digit.repeat(64)) };
    let speak = crate::speak("Hello.").profiles(profiles.clone());
    let plan = speak.clone().voice("pocket/alba").plan().unwrap();
    plan.check().unwrap();
    let preset = Input::File(folder.join("release/embeddings/alba.safetensors"));
    assert_eq!((&plan.steps[0].inputs["profile1"], &plan.steps[0].inputs["weights"]), (&preset, &model("a")));
    assert_eq!(plan.steps[1].inputs["weights"], model("a"));

    // Its words have no times: the mouth goes by the sound.
    let kinds = |voice: &str| {
        let render =
            crate::render().portrait("me.jpg").text("Hello.").voice(voice).profiles(profiles.clone());
        let plan = render.plan().unwrap();
        plan.check().unwrap();
        plan.steps.into_iter().map(|step| step.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds("pocket/alba")[1..4], ["read_voice", "speak", "drive"]);
    assert_eq!(kinds("af_heart")[1..4], ["read_voice", "speak", "articulate"]);

    // A profile made with weights that are here, and one with others.
    let voice = |sha256: &str| {
        let header = format!(
            "{{\"__metadata__\":{{\"spinbot.pocket.model\":\"{{\\\"id\\\":\\\"pocket\\\",\\\"sha256\\\":\\\"{}\\\"}}\"}},\
             \"transformer.layers.0.self_attn/cache\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}}}",
            sha256.repeat(64)
        );
        raw(&header, &[7; 4])
    };
    let view = finished(&folder);
    for (name, digit) in [("mine", "a"), ("lost", "c")] {
        fs::write(folder.join("clone_voice.voice"), voice(digit)).unwrap();
        let profile = profiles.save(&view, name, "mine").unwrap();
        assert!(profile.summary().ends_with(", with the model pocket"), "{}", profile.summary());
    }
    assert_eq!(speak.clone().voice("mine").plan().unwrap().steps[1].inputs["weights"], model("a"));
    let there = profiles.voices().unwrap();
    assert_eq!((there.presets.len(), there.profiles.len()), (2, 2));
    assert!(there.bundle().data["text/plain"].to_string().contains("pocket/marius"));

    for (speak, about, sentence) in [
        (
            speak.clone().voice("lost"),
            "voice",
            "`lost` speaks with the model `pocket`, which is not on this machine",
        ),
        (
            speak.clone().voice("pocket/alba+af_sky"),
            "voice",
            "`pocket/alba` is a voice of pocket-tts, which cannot be mixed",
        ),
        (speak.clone().voice("af_sky+mine"), "voice", "`mine` is a voice of pocket-tts"),
        (speak.clone().voice("pocket/alb"), "voice", "there is no voice `pocket/alb`"),
        (speak.clone().voice("mine").speed(1.2), "speed", "cannot be told how fast to speak"),
        (speak.clone().voice("mine").accent(Accent::Uk), "accent", "which English"),
        (speak.clone().voice("mine").lexicon([("gif", "ʤˈɪf")]), "say", "how a word is pronounced"),
    ] {
        let fault = speak.plan().unwrap_err();
        assert!(fault.message.contains(sentence) && fault.help.is_some(), "{fault}");
        assert_eq!(fault.argument.as_deref(), Some(about), "{fault}");
    }
    let fault = profiles.load("pocket/alba").unwrap_err();
    assert_eq!(fault.message, "pocket/alba is a preset voice, not a profile");

    fs::write(folder.join("me.wav"), "x").unwrap();
    let clone = crate::clone_voice([folder.join("me.wav")]).consent("mine").profiles(profiles.clone());
    let plan = clone.clone().with("pocket").plan().unwrap();
    plan.check().unwrap();
    let kinds: Vec<&str> = plan.steps.iter().map(|step| step.kind.as_str()).collect();
    assert_eq!(kinds[..3], ["check_cloner", "read_clips", "clone_voice"]);
    assert!([0, 2].iter().all(|step: &usize| plan.steps[*step].inputs["weights"] == model("a")));
    for (clone, about) in
        [(clone.clone().with("poket"), "with"), (clone.with("pocket").finetune(), "finetune")]
    {
        assert_eq!(clone.plan().unwrap_err().argument.as_deref(), Some(about));
    }
    fs::remove_dir_all(folder).unwrap();
}
