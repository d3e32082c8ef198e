//! `%train_lora` against an engine that plays a script.

use crate::session::{FakeEngine, Notebook};
use spinbot::event::ArtifactRef;
use spinbot::{EventBody, Fault, Plan};
use spinbot_magics::Failure;

type Events = Vec<Result<EventBody, Fault>>;

const PICTURES: &str = r#"{"trigger": "nova", "notes": ["no face found in <b>.jpg"],
    "left_out": [{"name": "torn.png", "why": "torn.png: the picture is cut off"}],
    "items": [{"name": "me.jpg", "caption": "a portrait of nova", "width": 128, "height": 128, "face": null,
        "held_out": false}, {"name": "b.jpg", "caption": "nova", "width": 128, "height": 128, "face": null,
        "held_out": true}]}"#;
const REPORT: &str = r#"{"trigger": "nova", "steps": 4, "resumed_at": 2, "losses": [0.5, 0.25, 0.2, 0.1],
    "validation": [[0, 0.4], [4, 0.3]], "held_out": true, "seconds": 8.0, "pictures": 1, "parameters": 1234,
    "memory_estimate": 500000000, "notes": [], "looks": [
    {"step": 0, "identity": 0.125, "without": 0.11, "adherence": null},
    {"step": 4, "identity": 0.875, "without": 0.21, "adherence": 0.75}],
    "identity_by": "figure", "own_identity": 0.96, "targets": "attention", "lr": 0.0015, "batch": 8}"#;

/// The smallest file that is taken for a LoRA: one pair of adapters.
fn lora() -> Vec<u8> {
    let header = r#"{"__metadata__":{"modelspec.trigger_phrase":"nova"},
        "unet.to_q.lora_A.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},
        "unet.to_q.lora_B.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[4,8]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 8]);
    bytes
}

fn left(step: &str, output: &str, artifact: ArtifactRef) -> Result<EventBody, Fault> {
    Ok(EventBody::Artifact { step: step.into(), output: output.into(), artifact })
}

fn metric(name: &str, at: f64, value: f64) -> Result<EventBody, Fault> {
    Ok(EventBody::Metric { step: "train_lora".into(), name: name.into(), at, value })
}

/// A training of four steps that draws one grid on its way.
fn trained(engine: &FakeEngine, grid: usize) -> Events {
    let json = |name: &str, text: &str| engine.artifact(name, "application/json", text.as_bytes());
    let png = |name: &str, size: usize| engine.artifact(name, "image/png", &vec![7; size]);
    let progress = EventBody::Progress {
        step: "train_lora".into(),
        fraction: 0.5,
        done: 2.0,
        total: 4.0,
        unit: "steps".into(),
        rate: Some(0.5),
        eta: Some(4.0),
    };
    let lora = engine.artifact("lora.safetensors", "application/octet-stream", &lora());
    vec![
        Ok(EventBody::Started),
        Ok(EventBody::StepStarted { step: "train_lora".into() }),
        metric("loss", 1.0, 0.5),
        metric("loss", 2.0, 0.4),
        metric("loss", 3.0, f64::NAN),
        metric("validation", 0.0, 0.42),
        metric("identity", 2.0, 0.61),
        Ok(progress),
        Ok(EventBody::Preview {
            step: "train_lora".into(),
            name: "grid".into(),
            artifact: png("early.png", 30),
        }),
        left("read_pictures", "report", json("pictures.json", PICTURES)),
        left("read_pictures", "sheet", png("sheet.png", 40)),
        left("train_lora", "lora", lora.clone()),
        left("train_lora", "report", json("report.json", REPORT)),
        left("train_lora", "grid", png("grid.png", grid)),
        left("train_lora", "identity", json("identity.json", "{}")),
        Ok(EventBody::Done { result: lora, seconds: 8.0 }),
    ]
}

fn plan(notebook: &Notebook) -> Plan {
    serde_json::from_str(notebook.engine.seen.borrow()[0].strip_prefix("submit ").unwrap()).unwrap()
}

fn contains(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "`{wanted}` is missing in {text}");
    }
}

#[test]
fn a_training_is_watched_kept_and_shown_with_what_to_type_next() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| trained(engine, 50));
    notebook
        .run("%train_lora me.jpg --as robo --trigger nova --steps 4 --rank 4 --targets attention --prior 0 --preview \"nova on mars\"")
        .unwrap();

    // While it ran: the curve and the grid, in one card.
    let live =
        notebook.shown.iter().find(|b| b.data["text/html"].to_string().contains("what it draws so far"));
    let live = live.unwrap();
    let html = live.data["text/html"].as_str().unwrap();
    contains(
        html,
        &[
            "image/svg+xml",
            "loss from 0.5000 to 0.4000",
            "data:image/png;base64,BwcH",
            "held out 0.420, identity 0.610",
        ],
    );
    contains(live.data["text/plain"].as_str().unwrap(), &["50%", "train_lora 2/4 steps", "4 s left"]);

    let html = notebook.html();
    contains(
        html,
        &[
            "before and after",
            "learned from",
            "rank 4, alpha 4, 1234 numbers",
            "gone on at step 2",
            "<td style=\"text-align:left\">0.88</td><td style=\"text-align:left\">0.21</td>",
            "told by the figure. The pictures it learned from come to 0.96.",
            "1.5e-3, as suits the model",
            "torn.png: the picture is cut off",
            "no face found in &lt;b&gt;.jpg",
            "1 learned from, 1 kept back",
            "held out from 0.4000 to 0.3000",
            "%draw &quot;nova on a stage, red curtain&quot; --lora robo",
        ],
    );
    assert!(!html.contains("<svg") && !html.contains("<script") && html.len() < 100_000, "{html}");
    contains(
        notebook.text(),
        &[
            "robo: say \"nova\"; 4 steps on 1 picture, loss on what was held out 0.400 to 0.300, identity 0.12 to 0.88",
            "note: torn.png: the picture is cut off",
            "next: %draw \"nova on a stage, red curtain\" --lora robo",
        ],
    );
    for file in ["loras/robo.safetensors", "loras/robo.identity.json"] {
        assert!(notebook.folder.path().join(file).exists(), "{file}");
    }
    let bound =
        notebook.seen.iter().find(|line| line.starts_with("bind robo: spinbot::TrainedLora")).unwrap();
    let json = bound.split_once("r#\"").unwrap().1.strip_suffix("\"#)?").unwrap();
    let kept = spinbot::TrainedLora::from_json(json).unwrap();
    assert_eq!((kept.trigger(), kept.losses().unwrap().len()), ("nova", 4));

    let plan = plan(&notebook);
    assert_eq!(plan.title, "learn robo from me.jpg");
    let [read, learn] = plan.steps.as_slice() else { panic!("{plan:?}") };
    assert_eq!((&read.params["trigger"], &read.params["crop"]), (&"nova".into(), &"face".into()));
    assert_eq!((&learn.params["steps"], &learn.params["rank"]), (&4.into(), &4.into()));
    assert_eq!(
        (&learn.params["targets"], &learn.params["prompts"][0]),
        (&"attention".into(), &"nova on mars".into())
    );
}

#[test]
fn large_pictures_lie_beside_the_notebook() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| trained(engine, 900_000));
    notebook.run("%train_lora me.jpg --as nova").unwrap();
    contains(notebook.html(), &["src=\"spinbot-media/nova-grid-000000000000.png\""]);
    assert!(notebook.folder.path().join("spinbot-media/nova-grid-000000000000.png").exists());
    // A second training of that name says that it took its place.
    notebook.run("%train_lora me.jpg --as nova").unwrap();
    contains(notebook.html(), &["in place of an older one"]);
}

#[test]
fn a_stopped_training_leaves_no_lora_and_a_fault_points_at_its_picture() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| trained(engine, 50)[..7].to_vec());
    notebook.stop_after.set(3);
    assert_eq!(notebook.run("%train_lora me.jpg --as late"), Err(Failure::Interrupted));
    assert!(!notebook.folder.path().join("loras/late.safetensors").exists());

    let mut notebook = Notebook::new();
    notebook.engine.script.set(|_, _| {
        let fault = Fault::new("me.jpg: holds text, not a picture").help("give a picture").about("picture1");
        vec![Ok(EventBody::Started), Ok(EventBody::Failed { step: Some("read_pictures".into()), fault })]
    });
    let expected = "\
error: me.jpg: holds text, not a picture
  |
1 | %train_lora me.jpg --as late
  |             ^^^^^^
help: give a picture";
    assert_eq!(notebook.error("%train_lora me.jpg --as late"), expected);
}

#[test]
fn what_people_get_wrong_when_they_train() {
    for (cell, expected) in [
        (
            "%train_lora nothing --as nova --base portrats",
            "error: there is no model of your own called `portrats`\n  |\n\
             1 | %train_lora nothing --as nova --base portrats\n  |                                      ^^^^^^^^\n\
             help: did you mean `portraits`? `%models` lists them",
        ),
        (
            "%train_lora *.webp --as nova",
            "error: *.webp: this matches no file\n  |\n1 | %train_lora *.webp --as nova\n  |             ^^^^^^\n\
             help: `*` and `?` stand for characters of a name",
        ),
        (
            "%train_lora me.jpg",
            "error: %train_lora needs --as\n  |\n1 | %train_lora me.jpg\n  |                   ^\n\
             help: add `--as NAME`: The LoRA's name, and the Rust variable's.",
        ),
        (
            "%train_lora me.jpg --as nova --trigger \"a b\"",
            "error: `a b` cannot be a trigger word\n  |\n1 | %train_lora me.jpg --as nova --trigger \"a b\"\n  \
             |                                        ^^^^^\n\
             help: choose one word of letters and digits that means nothing else, as `ohwx`",
        ),
        (
            "%train_lora me.jpg --as nova --resume",
            "error: %train_lora has no flag `--resume`\n  |\n1 | %train_lora me.jpg --as nova --resume\n  \
             |                              ^^^^^^^^\n\
             help: leave it out: the same cell, run again, goes on where it was stopped",
        ),
        (
            "%train_lora me.jpg --as nova --rank 0",
            "error: --rank: got 0, need 1..=256\n  |\n1 | %train_lora me.jpg --as nova --rank 0\n  \
             |                                     ^\nhelp: write `--rank N`: How much the adapters can hold.",
        ),
    ] {
        let mut notebook = Notebook::new();
        let error = notebook.error(cell).replace(&format!("{}/", notebook.folder.path().display()), "");
        assert_eq!(error, expected);
        assert!(notebook.engine.seen.borrow().is_empty(), "{cell:?} reached the engine");
    }
}

#[test]
fn a_dry_run_shows_the_plan_and_a_detached_one_its_job() {
    let mut notebook = Notebook::new();
    notebook.run("%train_lora me.jpg --as nova --dry-run").unwrap();
    contains(notebook.text(), &["read_pictures", "train_lora", "the model portraits"]);
    assert!(notebook.engine.seen.borrow().is_empty());
    notebook.run("%train_lora me.jpg --as nova --detach").unwrap();
    contains(notebook.text(), &["run this cell again without --detach"]);
}
