//! `%draw` and `%loras` against an engine that plays a script.

use crate::session::{FakeEngine, Notebook};
use spinbot::event::ArtifactRef;
use spinbot::{EventBody, Fault, Input, Plan};

/// What the two are worth.
const SCORES: &[u8] = br#"{"pictures": [
    {"identity": 0.9, "answers": [{"about": "behind", "asked": "red curtain", "seen": "red curtain", "obeyed": true}]},
    {"identity": 0.7, "answers": [{"about": "behind", "asked": "red curtain", "seen": "forest", "obeyed": false}]}],
    "identity": 0.8, "own": 0.95, "by": "figure", "adherence": 0.5, "diversity": 0.25}"#;

type Events = Vec<Result<EventBody, Fault>>;

fn left(step: &str, output: &str, artifact: ArtifactRef) -> Result<EventBody, Fault> {
    Ok(EventBody::Artifact { step: step.into(), output: output.into(), artifact })
}

fn seen(step: &str, name: &str, artifact: ArtifactRef) -> Result<EventBody, Fault> {
    Ok(EventBody::Preview { step: step.into(), name: name.into(), artifact })
}

/// Two pictures, of which the first is seen coming, and their grid.
fn two(engine: &FakeEngine) -> Events {
    let picture = |name: &str, bytes: &[u8]| engine.artifact(name, "image/png", bytes);
    let grid = engine.artifact("grid.jpg", "image/jpeg", b"the grid");
    vec![
        Ok(EventBody::Started),
        seen("draw1", "seed 7", picture("latent.png", b"first glimpse")),
        left("draw1", "picture", picture("one.png", b"one")),
        Ok(EventBody::StepCached { step: "draw2".into() }),
        left("draw2", "picture", picture("two.png", b"the second")),
        left("arrange_pictures", "grid", grid.clone()),
        left("score_pictures", "report", engine.artifact("scores.json", "application/json", SCORES)),
        Ok(EventBody::Done { result: grid, seconds: 1.0 }),
    ]
}

/// The plan that was submitted first.
fn submitted(notebook: &Notebook) -> Plan {
    serde_json::from_str(notebook.engine.seen.borrow()[0].strip_prefix("submit ").unwrap()).unwrap()
}

#[test]
fn the_grid_fills_in_and_the_pictures_are_left_as_a_variable() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| two(engine));
    notebook
        .run("%draw \"nova <b>, red curtain\" --lora nova:0.8 --seed 7,9 --size 64x96 --steps 4 --cfg 2 --as stage")
        .unwrap();
    let pages: Vec<String> =
        notebook.shown.iter().map(|bundle| bundle.data["text/html"].to_string()).collect();
    assert!(pages[0].contains("seed 9") && !pages[0].contains("<img"), "{}", pages[0]);
    // "first glimpse", then "one" in its place.
    assert!(pages.iter().any(|page| page.contains("Zmlyc3QgZ2xpbXBzZQ==")), "{pages:?}");
    assert!(pages.iter().all(|page| page.len() < 100_000));
    let html = notebook.html();
    for wanted in [
        "data:image/jpeg;base64,dGhlIGdyaWQ=",
        "7, 9",
        "nova:0.8",
        "1 were already there",
        "stage",
        "&lt;b&gt;",
        "0.80 by the figure (its own pictures 0.95): seed 7 0.90, seed 9 0.70",
        "50%: red curtain 1 of 2 (forest is seen)",
        "0.25",
    ] {
        assert!(html.contains(wanted), "`{wanted}` is missing in {html}");
    }
    assert!(notebook.text().starts_with("stage: 2 pictures in "), "{}", notebook.text());
    let bound = notebook.seen.iter().find(|line| line.starts_with("bind stage: spinbot::Drawn")).unwrap();
    let json = bound.split_once("r#\"").unwrap().1.strip_suffix("\"#)?").unwrap();
    let drawn = spinbot::Drawn::from_json(json).unwrap();
    assert_eq!(
        (drawn.pictures()[1].seed(), drawn.pictures()[1].bytes().unwrap()),
        (9, b"the second".to_vec())
    );

    let plan = submitted(&notebook);
    let seeds: Vec<u64> = plan.steps.iter().map(|step| step.seed).collect();
    assert_eq!((plan.steps.len(), &seeds[..2]), (4, &[7, 9][..]));
    assert_eq!(plan.steps[0].params["size"], serde_json::json!([64, 96]));
    assert_eq!(plan.steps[0].params["weights"], serde_json::json!([0.8]));
    let lora = notebook.folder.path().join("loras/nova.safetensors");
    assert_eq!(plan.steps[1].inputs["lora1"], Input::File(lora));
}

#[test]
fn one_picture_is_shown_as_it_is_and_a_large_one_from_beside_the_notebook() {
    for (size, wanted) in [(9, "data:image/png;base64,"), (1_900_000, "spinbot-media/drawn-")] {
        let mut notebook = Notebook::new();
        notebook.engine.script.set(match size {
            9 => |engine, _| one(engine, 9),
            _ => |engine, _| one(engine, 1_900_000),
        });
        notebook.run("%%draw --negative hat\na robot,\ngreen eyes").unwrap();
        let html = notebook.html();
        assert!(html.contains(wanted) && html.len() < 10_000, "{wanted} is missing in {html}");
        assert_eq!(submitted(&notebook).steps[0].params["prompt"], "a robot,\ngreen eyes");
    }
}

fn one(engine: &FakeEngine, size: usize) -> Events {
    let picture = engine.artifact("one.png", "image/png", &vec![7; size]);
    vec![
        Ok(EventBody::Started),
        left("draw1", "picture", picture.clone()),
        left("score_pictures", "report", engine.artifact("scores.json", "application/json", SCORES)),
        Ok(EventBody::Done { result: picture, seconds: 1.0 }),
    ]
}

#[test]
fn mistakes_are_underlined_where_they_were_typed() {
    for (cell, sentence, under) in [
        ("%draw hi --lora nvoa", "there is no LoRA `nvoa`", "^^^^"),
        ("%draw hi --lora nova --lora nova:much", "`much` is no weight of a LoRA", "^^^^^^^^^"),
        ("%draw hi --lora nova:9", "`9` is no weight of a LoRA", "^^^^^^"),
        ("%draw hi --size 64", "`64` is no size", "^^"),
        ("%draw hi --seed 1,,2", "`` is no seed", "^^^^"),
        ("%draw hi --seed 4,4", "a seed is given twice", "^^^"),
        ("%draw hi --base portrait", "no model of your own called `portrait`", "^^^^^^^^"),
        ("%draw hi --mask me.jpg", "a mask needs the picture it is of", "^^^^^^"),
        ("%draw hi there", "there", "^^^^^"),
        ("%loras nova --format kohya", "a format is what a LoRA is exported in", "^^^^^"),
        ("%loras --remove", "--remove needs the name of a LoRA", "^^^^^^^^"),
        ("%loras x --export a --remove", "one thing at a time", "^^^^^^^^"),
    ] {
        let error = Notebook::new().error(cell);
        let line = error.lines().find(|line| line.contains('^')).unwrap_or("").trim_start_matches([' ', '|']);
        assert!(error.contains(sentence) && line == under && error.contains("help: "), "{cell}:\n{error}");
    }
    let mut notebook = Notebook::new();
    *notebook.engine.refuse.borrow_mut() = Some(Fault::new("the model `portraits` is gone").about("model"));
    assert!(notebook.error("%draw hi --base portraits").contains("^^^^^^^^^"));
}

#[test]
fn loras_are_listed_exported_and_converted_by_a_job() {
    let mut notebook = Notebook::new();
    notebook.run("%loras").unwrap();
    let html = notebook.html();
    assert!(html.contains("nova &lt;3") && html.contains("kohya") && html.contains(">8<"), "{html}");
    notebook.run("%loras nova --export copy.safetensors").unwrap();
    let folder = notebook.folder.path().to_owned();
    let original = std::fs::read(folder.join("loras/nova.safetensors")).unwrap();
    assert_eq!(std::fs::read(folder.join("copy.safetensors")).unwrap(), original);
    assert!(notebook.engine.seen.borrow().is_empty());

    notebook.engine.script.set(|engine, _| {
        let lora = engine.artifact("lora", "application/octet-stream", b"converted");
        vec![Ok(EventBody::Started), Ok(EventBody::Done { result: lora, seconds: 1.0 })]
    });
    notebook.run("%loras nova --export other.safetensors --format diffusers").unwrap();
    assert_eq!(std::fs::read(folder.join("other.safetensors")).unwrap(), b"converted");
    assert_eq!(submitted(&notebook).steps[0].params["format"], "diffusers");

    notebook.run("%loras second --import copy.safetensors").unwrap();
    assert!(notebook.html().contains("second"));
    let again = notebook.error("%loras second --import copy.safetensors");
    assert!(again.contains("there is a LoRA `second` already"), "{again}");
    notebook.run("%loras second --remove").unwrap();
    assert!(!folder.join("loras/second.safetensors").exists() && folder.join("copy.safetensors").exists());
    let elsewhere = format!("%loras {} --remove", folder.join("copy.safetensors").display());
    assert!(notebook.error(&elsewhere).contains("is not one of SpinBot's own"));
}
