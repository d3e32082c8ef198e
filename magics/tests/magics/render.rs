//! `%render` against an engine that plays a script.

use crate::session::{FakeEngine, Notebook};
use spinbot::{EventBody, Fault, Plan};
use spinbot_magics::Failure;

const CELL: &str = "%render --portrait me.jpg --speech hello.wav";

fn plan() -> Plan {
    spinbot::render().portrait("me.jpg").speech("hello.wav").plan().unwrap()
}

fn progress(fraction: f64) -> Result<EventBody, Fault> {
    let (step, unit) = ("animate".to_owned(), "frames".to_owned());
    Ok(EventBody::Progress {
        step,
        fraction,
        done: fraction * 100.0,
        total: 100.0,
        unit,
        rate: None,
        eta: None,
    })
}

/// Queued, started, one step cached, first frame, some progress.
fn begun(engine: &FakeEngine) -> Vec<Result<EventBody, Fault>> {
    let frame = engine.artifact("frame.jpg", "image/jpeg", b"frame");
    vec![
        Ok(EventBody::Queued { plan: plan() }),
        Ok(EventBody::Started),
        Ok(EventBody::StepCached { step: "read_portrait".into() }),
        Ok(EventBody::StepStarted { step: "animate".into() }),
        Ok(EventBody::Preview {
            step: "animate".into(),
            name: "first_frame".into(),
            artifact: frame.clone(),
        }),
        progress(0.5),
        Ok(EventBody::Artifact { step: "animate".into(), output: "first_frame".into(), artifact: frame }),
    ]
}

fn done(engine: &FakeEngine, video: &[u8]) -> Vec<Result<EventBody, Fault>> {
    let result = engine.artifact("video.mp4", "video/mp4", video);
    begun(engine).into_iter().chain([Ok(EventBody::Done { result, seconds: 5.0 })]).collect()
}

#[test]
fn a_render_shows_its_first_frame_then_the_player_and_leaves_a_take() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| done(engine, b"an mp4"));
    notebook.run(&format!("{CELL} --as hello --seed {{count}}")).unwrap();

    // One display, updated in place; the frame is in it before the end.
    let displays: Vec<&String> = notebook.seen.iter().filter(|line| line.starts_with("display")).collect();
    assert_eq!(displays, ["display id1"]);
    assert!(notebook.seen.iter().any(|line| line == "update id1"), "{:?}", notebook.seen);
    let first_frame =
        notebook.shown.iter().position(|b| b.data["text/html"].to_string().contains("<img src="));
    assert!(first_frame.is_some_and(|at| at + 1 < notebook.shown.len()));

    let html = notebook.html();
    for wanted in [
        "<video controls",
        "src=\"data:video/mp4;base64,YW4gbXA0\"",
        "poster=\"data:image/jpeg",
        "read_portrait",
    ] {
        assert!(html.contains(wanted), "`{wanted}` is missing in {html}");
    }
    assert!(notebook.shown.last().unwrap().data.contains_key("image/jpeg"));
    assert!(notebook.text().starts_with("hello: 6 B, made in "), "{}", notebook.text());

    // The variable is there before the player, which may fail.
    assert_eq!(notebook.seen.last().unwrap(), "update id1");
    let bound = notebook.seen.iter().rfind(|line| line.starts_with("bind")).unwrap();
    assert!(
        bound.starts_with("bind hello: spinbot::Take = spinbot::Take::from_json(r#\"{\"job\":\"0f2k\","),
        "{bound}"
    );
    assert!(bound.ends_with("\"#)?"), "{bound}");
    let json = bound.split_once("r#\"").unwrap().1.strip_suffix("\"#)?").unwrap();
    assert_eq!(spinbot::Take::from_json(json).unwrap().bytes().unwrap(), b"an mp4");

    let submitted = notebook.engine.seen.borrow()[0].clone();
    assert!(submitted.contains("\"seed\":7"), "{submitted}");
}

#[test]
fn a_large_video_lies_beside_the_notebook() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| done(engine, &vec![7; 1_600_000]));
    notebook.run(CELL).unwrap();
    let html = notebook.html();
    assert!(html.len() < 100_000 && html.contains(" src=\"spinbot-media/take-000000000000.mp4\""), "{html}");
    let kept = notebook.folder.path().join("spinbot-media/take-000000000000.mp4");
    assert_eq!(std::fs::read(kept).unwrap(), vec![7; 1_600_000]);
    let left: Vec<_> = std::fs::read_dir(notebook.folder.path().join("spinbot-media")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    // It cannot be written there: the take is there all the same, and nothing half-written.
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| done(engine, &vec![7; 1_600_000]));
    let taken = notebook.folder.path().join("spinbot-media/take-000000000000.mp4");
    std::fs::create_dir_all(taken.join("in the way")).unwrap();
    let error = notebook.error(CELL);
    assert!(error.starts_with("error: the video is too large for the notebook and cannot be"), "{error}");
    assert!(notebook.seen.iter().any(|line| line.starts_with("bind take")), "{:?}", notebook.seen);
    assert!(!notebook.folder.path().join("spinbot-media/take-000000000000.mp4.part").exists());
}

#[test]
fn a_failed_job_points_at_its_argument() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|_, _| {
        let fault = Fault::new("me.jpg: no face found").help("use a front-facing photo").about("portrait");
        vec![Ok(EventBody::Started), Ok(EventBody::Failed { step: Some("read_portrait".into()), fault })]
    });
    let expected = "\
error: me.jpg: no face found
  |
1 | %render --portrait me.jpg --speech hello.wav
  |                    ^^^^^^
help: use a front-facing photo";
    assert_eq!(notebook.error(CELL), expected);
    assert!(notebook.html().contains("me.jpg: no face found"), "{}", notebook.html());

    // Refused at once: the same, without a card.
    let mut notebook = Notebook::new();
    let fault = Fault::new("me.jpg: no face found").help("use a front-facing photo").about("portrait");
    *notebook.engine.refuse.borrow_mut() = Some(fault);
    assert_eq!(notebook.error(CELL), expected);
    assert!(notebook.shown.is_empty());
}

#[test]
fn the_stop_button_cancels_the_job() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| begun(engine));
    notebook.stop_after.set(9);
    assert_eq!(notebook.run(CELL), Err(Failure::Interrupted));
    assert_eq!(notebook.engine.seen.borrow().last().unwrap(), "cancel 0f2k");
    assert!(notebook.text().contains("cancelled"), "{}", notebook.text());
    assert!(!notebook.seen.iter().any(|line| line.starts_with("bind")));
}

#[test]
fn a_job_that_ends_without_a_result_says_why() {
    let cancelled = "error: job 0f2k was cancelled";
    let gone = "error: the engine went away while job 0f2k was followed";
    let scripts: [(crate::session::Script, &str); 2] = [
        (|_, _| vec![Ok(EventBody::Started), Ok(EventBody::Cancelled)], cancelled),
        (|_, _| vec![Err(Fault::new("the engine went away while job 0f2k was followed"))], gone),
    ];
    for (script, expected) in scripts {
        let mut notebook = Notebook::new();
        notebook.engine.script.set(script);
        let found = notebook.error(CELL);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn a_failed_job_shows_the_picture_that_came_last_whatever_its_name() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| {
        let preview = |name: &str, content: &[u8]| {
            let artifact = engine.artifact(name, "image/jpeg", content);
            Ok(EventBody::Preview { step: "read_portrait".into(), name: name.into(), artifact })
        };
        let fault = Fault::new("no face found").about("portrait");
        let failed = EventBody::Failed { step: Some("read_portrait".into()), fault };
        vec![Ok(EventBody::Started), preview("step", b"a drawing"), preview("rulers", b"ruled"), Ok(failed)]
    });
    notebook.error(CELL);
    let last = notebook.shown.iter().rfind(|bundle| bundle.data.contains_key("text/html")).unwrap();
    let html = last.data["text/html"].to_string();
    assert!(html.contains("base64,cnVsZWQ="), "{html}");
}

#[test]
fn a_dry_run_and_a_detached_one_do_not_wait() {
    let mut notebook = Notebook::new();
    notebook.run(&format!("{CELL} --dry-run --preset fine --style still --keep-aspect")).unwrap();
    assert!(notebook.engine.seen.borrow().is_empty());
    for wanted in ["read_portrait", "\"size\":768", "\"keep_aspect\":true", "\"liveliness\":0.0"] {
        assert!(notebook.text().contains(wanted), "`{wanted}` is missing in {}", notebook.text());
    }

    let mut notebook = Notebook::new();
    notebook.run(&format!("{CELL} --dry-run --face \"80,54 49,54 52,79 77,79\"")).unwrap();
    let face = "\"face\":{\"eyes\":[[49.0,54.0],[80.0,54.0]],\"mouth\":[[52.0,79.0],[77.0,79.0]]}";
    assert!(notebook.text().contains(face), "{}", notebook.text());
    let error = notebook.error(&format!("{CELL} --face 49,54"));
    assert!(
        error.contains("`49,54` is not a face") && error.contains("help: a face is four points"),
        "{error}"
    );

    let mut notebook = Notebook::new();
    notebook.run(&format!("{CELL} --detach")).unwrap();
    assert_eq!(notebook.engine.seen.borrow().len(), 1);
    assert!(notebook.text().contains("job 0f2k is queued"), "{}", notebook.text());
}

#[test]
fn a_variant_brings_its_model_and_its_licence() {
    let mut notebook = Notebook::new();
    notebook.run(&format!("{CELL} --dry-run --variant wav2lip")).unwrap();
    for wanted in ["weights = the model lips", "speech = read_speech.speech, weights"] {
        assert!(notebook.text().contains(wanted), "`{wanted}` is missing in {}", notebook.text());
    }
    notebook.engine.script.set(|engine, _| done(engine, b"an mp4"));
    notebook.run(&format!("{CELL} --variant wav2lip")).unwrap();
    assert!(notebook.html().contains("research and non-commercial use only"), "{}", notebook.html());
    notebook.run(CELL).unwrap();
    assert!(!notebook.html().contains("non-commercial"), "{}", notebook.html());

    std::fs::remove_file(notebook.folder.path().join("models/added.json")).unwrap();
    let error = notebook.error(&format!("{CELL} --variant wav2lip"));
    let expected = "\
error: the variant `wav2lip` needs weights of Wav2Lip, which only you can bring
  |
1 | %render --portrait me.jpg --speech hello.wav --variant wav2lip
  |                                                        ^^^^^^^
help: get a checkpoint of github.com/Rudrabha/Wav2Lip";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(notebook.engine.seen.borrow().iter().filter(|line| line.starts_with("submit")).count(), 2);
}

#[test]
fn capabilities_are_a_table_and_go_with_it_as_json() {
    let mut notebook = Notebook::new();
    notebook.script(
        r#"[ "$*" = "capabilities --json" ] || exit 1
echo '{"software": "spinbot 1", "groups": [{"name": "preset", "chosen_by": "%render --preset NAME", "default": "draft",
"choices": [{"name": "draft", "about": "A small one.", "needs": [{"id": "kokoro", "title": "Kokoro", "bytes": 5000000,
"licence": "Apache-2.0", "present": false, "how": "`spinbot models pull kokoro`"}]}]}]}'"#,
    );
    notebook.run("%capabilities").unwrap();
    for shown in [notebook.text(), notebook.html()] {
        for wanted in
            ["draft (default)", "A small one.", "kokoro, 5.0 MB, Apache-2.0, not here", "Kokoro: `spinbot"]
        {
            assert!(shown.contains(wanted), "`{wanted}` is missing in {shown}");
        }
    }
    let json = &notebook.shown.last().unwrap().data[spinbot::capabilities::MIME];
    assert_eq!(json["groups"][0]["choices"][0]["needs"][0]["present"], false);
    notebook.script("echo oops >&2; exit 3");
    let error = notebook.error("%capabilities");
    assert!(
        error.contains("tells no capabilities: oops") && error.contains("help: put `spinbot` on"),
        "{error}"
    );
}

/// Two finished takes.
fn two_takes(engine: &FakeEngine, _: &str) -> Vec<Result<EventBody, Fault>> {
    let mut events = begun(engine);
    for (step, name, bytes) in [("encode", "one.mp4", b"first "), ("encode_2", "two.mp4", b"second")] {
        let artifact = engine.artifact(name, "video/mp4", bytes);
        events.push(Ok(EventBody::Artifact { step: step.into(), output: "video".into(), artifact }));
    }
    let result = engine.artifact("one.mp4", "video/mp4", b"first ");
    events.push(Ok(EventBody::Done { result, seconds: 5.0 }));
    events
}

#[test]
fn takes_are_shown_in_a_grid_and_one_of_them_is_kept_as_a_variable_and_a_file() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(two_takes);
    notebook.run("%render --portrait me.jpg --text \"Hello.\" --takes 2 --seed 4").unwrap();
    let html = notebook.html();
    assert_eq!(html.matches("<video controls").count(), 2, "{html}");
    for wanted in ["seed 4", "seed 5", "data:video/mp4;base64,c2Vjb25k", "%keep 1"] {
        assert!(html.contains(wanted), "`{wanted}` is missing in {html}");
    }
    assert!(notebook.text().starts_with("takes: 2 takes, made in "), "{}", notebook.text());
    assert!(notebook.seen.iter().any(|line| line.starts_with("bind takes: spinbot::Takes")));

    notebook.run("%keep 2").unwrap();
    let file = notebook.folder.path().join("take.mp4");
    assert_eq!(std::fs::read(&file).unwrap(), b"second");
    assert!(notebook.seen.iter().any(|line| line.starts_with("bind take: spinbot::Take = ")));
    assert!(notebook.seen.iter().any(|line| line.contains("take 2 is in take.mp4")), "{:?}", notebook.seen);
    // Again: nothing is in the way. Another take: a file is, and is not overwritten.
    notebook.run("%keep 2\n%keep 1").unwrap();
    assert_eq!(std::fs::read(notebook.folder.path().join("take-2.mp4")).unwrap(), b"first ");
    let error = notebook.error("%keep 1 --to take.mp4");
    assert!(error.contains("another file lies there") && error.contains("--to"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"second");
    notebook.run("%keep 1 --as first --to kept.mp4").unwrap();
    assert_eq!(std::fs::read(notebook.folder.path().join("kept.mp4")).unwrap(), b"first ");
    for (cell, words) in [
        ("%keep 3", "there is no take 3"),
        ("%keep 0", "0"),
        ("%keep 1 --of others", "there are no takes called `others`"),
        ("%keep", "NUMBER"),
        ("%render --portrait me.jpg --text \"Hello.\" --takes 10", "10"),
    ] {
        let error = notebook.error(cell);
        assert!(error.contains(words) && error.contains("help"), "{cell}: {error}");
    }
}
