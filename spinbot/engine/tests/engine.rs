//! The engine from outside: real processes, raw bytes on the socket, kill -9.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};
use spinbot::event::{Event, EventBody, JobState, JobView};
use spinbot::protocol::PROTOCOL;
use spinbot::{Digest, Engine, Fault, Input, Job, Plan, Step};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TOY: &str = env!("CARGO_BIN_EXE_toy-engine");

/// An engine with toy steps in a folder of its own; killed at the end of the test.
struct House {
    folder: tempfile::TempDir,
    engine: Child,
}

impl House {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = start(folder.path());
        House { folder, engine }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn socket(&self) -> PathBuf {
        self.path().join("run/engine.sock")
    }

    fn connect(&self) -> Engine {
        patiently("the engine answers", || Engine::at(&self.socket()).unwrap())
    }

    fn submit(&self, plan: &Plan) -> Result<Job, Fault> {
        self.connect().submit(plan.clone())
    }

    /// Runs a plan to its end and gives all its events with the view they fold to.
    fn run(&self, plan: &Plan) -> (Vec<Event>, JobView) {
        follow(&mut self.submit(plan).unwrap())
    }

    fn worker(&self) -> u32 {
        patiently("the worker lives", || self.connect().status().unwrap().worker_pid)
    }

    /// kill -9, then another engine on the same folder.
    fn crash_and_restart(&mut self) {
        self.engine.kill().unwrap();
        self.engine.wait().unwrap();
        self.engine = start(self.path());
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.engine.kill();
        let _ = self.engine.wait();
    }
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(TOY);
    command.args(arguments).env("SPINBOT_HOME", home).env("SPINBOT_BIN", TOY).env("SPINBOT_CACHE", home);
    command
}

fn start(home: &Path) -> Child {
    command(home, &["engine"]).stdin(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

fn patiently<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn follow(job: &mut Job) -> (Vec<Event>, JobView) {
    let mut events = Vec::new();
    let view = job
        .follow(|event, _| {
            events.push(event.clone());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_whole(&events);
    (events, view)
}

/// What holds for every journal.
fn assert_whole(events: &[Event]) {
    assert!(events.iter().enumerate().all(|(i, e)| e.seq == i as u64), "positions without gaps");
    assert_eq!(events.iter().filter(|e| e.body.is_terminal()).count(), 1, "exactly one end: {events:#?}");
    assert!(events.last().unwrap().body.is_terminal());
    let mut last = 0.0;
    for event in events {
        if let EventBody::Progress { fraction, .. } = &event.body {
            assert!((last..=1.0).contains(fraction), "{last} then {fraction}");
            last = *fraction;
        }
    }
}

fn step(id: &str, kind: &str, actions: Value) -> Step {
    Step {
        id: id.into(),
        kind: kind.into(),
        params: json!({ "actions": actions }),
        inputs: Default::default(),
        seed: 0,
        weight: 1.0,
    }
}

/// A plan of steps in a row, each fed by the one before it.
fn chain(mut steps: Vec<Step>) -> Plan {
    for i in 1..steps.len() {
        let before = steps[i - 1].output("out");
        steps[i].inputs.insert("before".into(), before);
    }
    let result = (steps.last().unwrap().id.clone(), "out".into());
    Plan { title: "toys".into(), steps, result }
}

fn one(actions: Value) -> Plan {
    chain(vec![step("act", "act", actions)])
}

/// The steps that were computed.
fn ran(events: &[Event]) -> Vec<&str> {
    let mut steps = Vec::new();
    for event in events {
        if let EventBody::StepStarted { step } = &event.body {
            steps.push(step.as_str());
        }
    }
    steps
}

fn alive(pid: u32) -> bool {
    Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_plan_runs_and_what_has_not_changed_is_not_run_again() {
    let house = House::open();
    fs::write(house.path().join("me.txt"), "me").unwrap();
    let plan = |middle: u32| {
        let mut read = step("read", "read", json!(["log"]));
        read.inputs.insert("file".into(), Input::File(house.path().join("me.txt")));
        let busy =
            json!([{"done": 1, "total": 4}, {"loss": 0.5}, "preview", {"done": 4, "total": 4, "n": middle}]);
        chain(vec![read, step("middle", "then", busy), step("last", "then", json!([]))])
    };
    let (events, view) = house.run(&plan(1));
    assert_eq!(ran(&events), ["read", "middle", "last"]);
    assert_eq!((view.state, view.fraction), (JobState::Done, 1.0));
    assert_eq!(view.metrics["loss"], [(1.0, 0.5)]);
    assert_eq!(view.log, ["a line"]);
    assert_eq!(fs::read(&view.previews["first frame"].path).unwrap(), b"not really a picture");
    let manifest = fs::read(view.previews["first frame"].path.with_extension("json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["label"], "first frame");
    let result = view.result.clone().unwrap();
    let text = fs::read_to_string(&result.path).unwrap();
    assert!(text.ends_with("me"), "the user's bytes went through all steps: {text}");
    assert_eq!((result.size, result.media_type.as_str()), (text.len() as u64, "text/plain"));
    assert_eq!(house.connect().artifact(&result.digest).unwrap(), result);

    let (events, again) = house.run(&plan(1));
    assert_eq!(ran(&events), [""; 0]);
    assert_eq!(again.cached, ["read", "middle", "last"]);
    assert_eq!(again.result, view.result);
    assert_eq!(again.artifacts, view.artifacts, "a cached step shows the same outputs");

    let (events, changed) = house.run(&plan(2));
    assert_eq!(ran(&events), ["middle", "last"], "only what follows the change");
    assert_ne!(changed.result, view.result);

    fs::write(house.path().join("me.txt"), "you").unwrap();
    let (events, _) = house.run(&plan(1));
    assert_eq!(ran(&events), ["read", "middle", "last"], "another file under the same name");

    fs::remove_file(&view.artifacts["middle"]["out"].path).unwrap();
    fs::write(house.path().join("me.txt"), "me").unwrap();
    let (events, mended) = house.run(&plan(1));
    assert_eq!(ran(&events), ["middle"], "a lost artifact is made again, and what follows is unchanged");
    assert_eq!(mended.result, view.result);

    let (late, seen_late) = follow(&mut house.connect().job(mended.job.clone()));
    assert_eq!(late, events, "attaching late shows the same");
    assert_eq!(seen_late, mended);
    for file in files(&house.path().join("artifacts")) {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_damaged_result_is_computed_again() {
    let house = House::open();
    let plan = chain(vec![step("first", "act", json!([])), step("last", "then", json!([]))]);
    let (_, view) = house.run(&plan);
    for (damaged, again) in [("first", ["first"]), ("last", ["last"])] {
        let artifact = &view.artifacts[damaged]["out"];
        let whole = fs::read(&artifact.path).unwrap();
        let mut bytes = whole.clone();
        bytes[0] ^= 1;
        fs::write(&artifact.path, &bytes).unwrap();
        let (events, mended) = house.run(&plan);
        assert_eq!(ran(&events), again);
        assert_eq!(mended.artifacts, view.artifacts);
        assert_eq!(fs::read(&artifact.path).unwrap(), whole);
        assert_eq!(fs::read(house.path().join("damaged").join(&artifact.digest.0)).unwrap(), bytes);
    }
}

#[test]
fn who_follows_a_journal_without_its_end_is_told_and_does_not_wait() {
    let house = House::open();
    let (events, view) = house.run(&one(json!([])));
    let mut stream = UnixStream::connect(house.socket()).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    writeln!(stream, "{}", json!({"request": "hello", "protocol": PROTOCOL, "version": "0"})).unwrap();
    assert!(answers.next().unwrap().unwrap().contains("welcome"));
    for from in [events.len() as u64, u64::MAX] {
        writeln!(stream, "{}", json!({"request": "follow", "job": view.job, "from": from})).unwrap();
        let answer = answers.next().unwrap().unwrap();
        assert!(answer.contains("has no more to tell"), "{answer}");
    }

    let journal = house.path().join("jobs").join(&view.job).join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    fs::write(&journal, lines[..lines.len() - 1].concat()).unwrap();
    let mut job = house.connect().job(view.job);
    for event in &events[..events.len() - 1] {
        assert_eq!(job.next_event().unwrap().as_ref(), Some(event));
    }
    for _ in 0..2 {
        let fault = job.next_event().unwrap_err();
        assert!(fault.message.contains("has no more to tell"), "{fault}");
    }
}

#[test]
fn a_plan_is_refused_whole_with_a_sentence_about_the_argument() {
    let house = House::open();
    fs::write(house.path().join("empty.png"), "").unwrap();
    let reading = |path: &str| {
        let mut read = step("read", "read", json!([]));
        read.inputs.insert("file".into(), Input::File(path.into()));
        chain(vec![read])
    };
    let folder = house.path().display().to_string();
    let mut unknown = one(json!([]));
    unknown.steps[0].kind = "paint".into();
    let mut unfed = chain(vec![step("read", "read", json!([]))]);
    let mut too_much = one(json!([]));
    too_much.steps[0].inputs.insert("file".into(), Input::Artifact(Digest("0".repeat(64))));
    let mut no_output = one(json!([]));
    no_output.result.1 = "video".into();
    let mut out_of_range = one(json!([]));
    out_of_range.steps[0].params["rank"] = json!(65);
    let mut lost = unfed.clone();
    lost.steps[0].inputs.insert("file".into(), Input::Artifact(Digest("0".repeat(64))));
    unfed.title = "unfed".into();
    for (plan, sentence, argument) in [
        (reading("mee.jpg"), "mee.jpg: there is no such file", Some("file")),
        (reading(&folder), "this is a folder", Some("file")),
        (reading(&format!("{folder}/empty.png")), "empty.png: the file is empty", Some("file")),
        (reading("/dev/zero"), "/dev/zero: this is not a plain file", Some("file")),
        (unknown, "there is no step called `paint`", None),
        (unfed, "step `read` needs the input `file`", Some("file")),
        (too_much, "step `act` has no input `file`", Some("file")),
        (lost, "the store holds no artifact 000000000000", Some("file")),
        (no_output, "step `act` has no output `video`", None),
        (out_of_range, "rank 65 is over 64", Some("rank")),
    ] {
        let fault = house.submit(&plan).unwrap_err();
        assert!(fault.message.contains(sentence), "{fault}");
        assert_eq!(fault.argument.as_deref(), argument, "{fault}");
    }
    assert!(house.connect().jobs(10).unwrap().is_empty(), "nothing was queued");
}

#[test]
fn a_step_is_told_what_it_was_made_of_whatever_else_its_plan_makes() {
    let house = House::open();
    // Of two branches of a step they share; each is told of. `other` is what the second one does.
    let branch = |number: usize, actions: Value| {
        let then = step(&format!("then{number}"), "then", actions);
        let then = then.with("before", Input::Output { step: "act".into(), output: "out".into() });
        let tell = step(&format!("tell{number}"), "tell", json!([]));
        let tell = tell.with("before1", then.output("out")).with("made", Input::Provenance);
        vec![then, tell]
    };
    let told = |other: Option<Value>, shared: Value| {
        let other = other.map_or(Vec::new(), |actions| branch(2, actions));
        let steps = [vec![step("act", "act", shared)], branch(1, json!([])), other].concat();
        let last = steps.last().unwrap().id.clone();
        let (events, view) = house.run(&Plan { title: "toys".into(), steps, result: (last, "out".into()) });
        let tells = ["tell1", "tell2"].into_iter().filter_map(|step| view.artifact(step, "out").ok());
        let files: Vec<String> = tells.map(|file| fs::read_to_string(&file.path).unwrap()).collect();
        let computed: Vec<String> = ran(&events).into_iter().map(str::to_owned).collect();
        (files, computed)
    };
    let provenance = |file: &str| -> spinbot::provenance::Provenance {
        serde_json::from_str(&file[file.find("{\"software\"").unwrap()..]).unwrap()
    };
    let (alone, computed) = told(None, json!([]));
    assert_eq!(computed, ["act", "then1", "tell1"]);
    let made = provenance(&alone[0]);
    let ids: Vec<&str> = made.steps.iter().map(|made| made.id.as_str()).collect();
    assert_eq!((ids, made.steps[0].seed), (vec!["act", "then"], 0));
    assert_eq!(made.steps[1].inputs["before"].from.as_deref(), Some("act.out"));
    assert!(!made.notice().is_empty());
    assert_eq!(told(None, json!([])), (alone.clone(), vec![]), "the same again is there already");

    let (both, computed) = told(Some(json!(["log"])), json!([]));
    assert_eq!(computed, ["then2", "tell2"], "the first is what it is alone");
    assert_eq!(both[0], alone[0]);
    let second = provenance(&both[1]);
    let ids: Vec<&str> = second.steps.iter().map(|made| made.id.as_str()).collect();
    assert_eq!(ids, ["act", "then"], "of its own branch alone");
    assert_ne!(second, made);

    let (other, computed) = told(None, json!(["log"]));
    assert!(other != alone && computed.len() == 3, "another step before is another provenance");
}

#[test]
fn a_model_of_the_users_own_is_used_where_it_lies_until_it_changes() {
    let house = House::open();
    let path = house.path().join("model.safetensors");
    fs::write(&path, b"\x02\0\0\0\0\0\0\0{}").unwrap();
    let store = spinbot_models::Store::open(house.path().to_owned()).unwrap();
    store.add(&path, Some("mine")).unwrap();
    let model = spinbot::models::AddedModels::at(house.path()).find("mine").unwrap();
    let load = |input: Input| chain(vec![step("load", "load", json!([])).with("weights", input)]);

    let (events, view) = house.run(&load(model.input()));
    let made = view.artifact("load", "out").unwrap();
    assert!(fs::read(&made.path).unwrap().ends_with(b"{}"), "the step read the file");
    assert_eq!(ran(&events), ["load"]);
    assert!(ran(&house.run(&load(model.input())).0).is_empty(), "same model, same result");
    assert!(house.connect().artifact(&model.sha256).is_err(), "the store took no copy");
    let without = house.run(&chain(vec![step("load", "load", json!([]))]));
    assert_eq!(ran(&without.0), ["load"], "the model is part of what the result depends on");

    let other = Input::Model { id: "mine".into(), sha256: Digest("0".repeat(64)) };
    let unknown = Input::Model { id: "nobody".into(), sha256: Digest("0".repeat(64)) };
    for (input, sentence) in [(other, "is not the file that was meant"), (unknown, "called `nobody`")] {
        let fault = house.submit(&load(input)).unwrap_err();
        assert!(fault.message.contains(sentence) && fault.help.is_some(), "{fault}");
        assert_eq!(fault.argument.as_deref(), Some("weights"));
    }
    fs::write(&path, b"\x02\0\0\0\0\0\0\0[]").unwrap();
    let fault = house.submit(&load(model.input())).unwrap_err();
    assert!(fault.message.starts_with("the model `mine` has changed since it was added: "), "{fault}");

    // Gone while the plan waited for another.
    fs::write(&path, b"\x02\0\0\0\0\0\0\0{}").unwrap();
    let mut before = house.submit(&one(json!(["until_cancelled"]))).unwrap();
    let mut waiting = load(model.input());
    waiting.steps[0].seed = 9;
    let mut waiting = house.submit(&waiting).unwrap();
    fs::remove_file(&path).unwrap();
    house.connect().cancel(before.id()).unwrap();
    follow(&mut before);
    let fault = follow(&mut waiting).1.fault.unwrap();
    assert!(fault.message.starts_with("the model `mine` is gone: "), "{fault}");
}

#[test]
fn what_a_step_keeps_outlives_its_death_and_goes_when_it_is_done() {
    let mut house = House::open();
    let plan = one(json!(["persist", "log"]));
    let kept = |house: &House| files(&house.path().join("kept")).len();
    let (_, view) = house.run(&plan);
    let fault = view.fault.unwrap();
    assert!(fault.message.starts_with("the worker was killed (signal 9)"), "{fault}");
    assert_eq!(kept(&house), 1);
    house.crash_and_restart();
    let (_, view) = house.run(&plan);
    assert_eq!(view.fault.unwrap().message, "stopped at the second");
    assert_eq!(kept(&house), 1);
    // Another step has a folder of its own.
    house.run(&one(json!(["persist"])));
    assert_eq!(kept(&house), 2);
    let (events, view) = house.run(&plan);
    assert_eq!(view.state, JobState::Done, "{events:#?}");
    assert!(events.iter().any(|e| matches!(&e.body, EventBody::Log { line, .. } if line == "run 3")));
    assert_eq!(kept(&house), 1);
}

#[test]
fn a_step_that_fails_in_any_way_fails_its_job_and_nothing_else() {
    let house = House::open();
    fs::write(house.path().join("me.jpg"), "me").unwrap();
    let mut faceless = step("read", "read", json!(["fault"]));
    faceless.inputs.insert("file".into(), Input::File(house.path().join("me.jpg")));
    for (plan, sentences) in [
        (
            one(json!(["print", "kill"])),
            ["the worker was killed (signal 9) while it ran `act`", "worth knowing"],
        ),
        (
            one(json!(["print", "exit"])),
            ["the worker left with exit code 3 while it ran `act`", "worth knowing"],
        ),
        (one(json!(["panic"])), ["the step `act` failed inside: the toy broke", ""]),
        (one(json!(["leave_wrong_output"])), ["the step `act` left other where it should leave out", ""]),
        (chain(vec![faceless]), ["me.jpg: no face found", ""]),
    ] {
        let (_, view) = house.run(&plan);
        assert_eq!(view.state, JobState::Failed);
        let fault = view.fault.unwrap();
        assert!(sentences.iter().all(|s| fault.message.contains(s)), "{fault}");
        assert!(fault.help.is_some() || fault.message.contains("left other"), "{fault}");
        let (_, next) = house.run(&one(json!(["print", "not_a_number", {"after": fault.message}])));
        assert_eq!(
            next.state,
            JobState::Done,
            "the next job works, whatever a step prints: {:?}",
            next.fault
        );
        assert!(next.log.iter().any(|l| l.contains("NaN")), "{:?}", next.log);
    }
    assert_eq!(
        house.run(&one(json!(["panic"]))).1.state,
        JobState::Failed,
        "a failure is not remembered as a result"
    );
}

#[test]
fn a_worker_killed_from_outside_is_replaced() {
    let house = House::open();
    let mut job = house.submit(&one(json!(["until_cancelled"]))).unwrap();
    while !matches!(job.next_event().unwrap().unwrap().body, EventBody::Log { .. }) {}
    let worker = house.worker();
    kill("-9", worker);
    let view = job.wait().unwrap();
    assert!(view.fault.unwrap().message.starts_with("the worker was killed (signal 9) while it ran `act`"));

    assert_eq!(house.run(&one(json!([]))).1.state, JobState::Done);
    let second = house.worker();
    assert_ne!(worker, second);
    assert_eq!(house.run(&one(json!(["log"]))).1.state, JobState::Done);
    assert_eq!(house.worker(), second, "the worker is kept warm");
    kill("-9", second);
    patiently("the idle worker is dead", || (!runs(second)).then_some(()));
    assert_eq!(
        house.run(&one(json!(["log", "log"]))).1.state,
        JobState::Done,
        "one killed at rest is replaced in silence"
    );
}

#[test]
fn a_task_given_to_a_worker_that_dies_before_it_begins_goes_to_the_next() {
    let house = House::open();
    assert_eq!(house.run(&one(json!([]))).1.state, JobState::Done);
    let first = house.worker();
    // Stopped, it takes the task into its pipe and never reads it.
    kill("-STOP", first);
    let mut job = house.submit(&one(json!(["log"]))).unwrap();
    while !matches!(job.next_event().unwrap().unwrap().body, EventBody::StepStarted { .. }) {}
    std::thread::sleep(Duration::from_millis(200));
    kill("-9", first);
    let view = job.wait().unwrap();
    assert_eq!((view.state, view.log.len()), (JobState::Done, 1), "{:?}", view.fault);
    assert_ne!(house.worker(), first);
}

#[test]
fn a_store_that_cannot_be_written_fails_the_job_and_the_next_one_is_not_confused() {
    let house = House::open();
    let actions = json!(["log", {"sleep": 500}, "preview", {"sleep": 1000}, {"loss": 0.5}, "log"]);
    let mut job = house.submit(&one(actions)).unwrap();
    while !matches!(job.next_event().unwrap().unwrap().body, EventBody::Log { .. }) {}
    let worker = house.worker();
    fs::remove_dir_all(house.path().join("incoming")).unwrap();
    let view = job.wait().unwrap();
    assert!(view.fault.unwrap().message.contains("cannot write in"));
    fs::create_dir(house.path().join("incoming")).unwrap();
    let (_, next) = house.run(&one(json!([{"done": 1, "total": 2}])));
    assert_eq!((next.state, next.metrics.len(), next.log.len()), (JobState::Done, 0, 0));
    assert_ne!(house.worker(), worker, "the one that was given up on is gone");
}

/// Whether a process runs: a zombie waiting to be collected does not.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[test]
fn cancel_ends_a_job_that_waits_that_listens_and_that_is_deaf() {
    let house = House::open();
    for actions in [json!(["until_cancelled"]), json!(["log", "deaf"])] {
        let mut running = house.submit(&one(actions)).unwrap();
        let mut waiting = house.submit(&one(json!(["never run"]))).unwrap();
        while !matches!(running.next_event().unwrap().unwrap().body, EventBody::Log { .. }) {}
        assert_eq!(house.connect().status().unwrap().queued, 1);
        waiting.cancel().unwrap();
        assert_eq!(waiting.wait().unwrap().state, JobState::Cancelled, "before the running one has ended");
        running.cancel().unwrap();
        let (_, view) = follow(&mut house.connect().job(running.id()));
        assert_eq!(view.state, JobState::Cancelled);
        running.cancel().unwrap();
        assert!(house.connect().cancel("nosuchjob").is_err());
        assert_eq!(house.run(&one(json!([]))).1.state, JobState::Done);
    }
    assert_eq!(files(&house.path().join("scratch")), Vec::<PathBuf>::new());
}

#[test]
fn nothing_a_client_sends_ends_the_engine() {
    let house = House::open();
    house.connect();
    let hello = json!({"request": "hello", "protocol": PROTOCOL, "version": "0"}).to_string();
    let bomb = "[".repeat(100_000);
    let long = "x".repeat(5 << 20);
    for (line, before, wanted) in [
        ("{\"request\":\"jobs\",\"limit\":1}", None, "a connection starts with `hello`"),
        ("not json", None, "not understood"),
        ("\u{0}\u{1}", Some(&hello), "not understood"),
        ("{\"request\":\"dance\"}", Some(&hello), "not understood"),
        (&*bomb, Some(&hello), "not understood"),
        (&*long, Some(&hello), "over 4 MiB"),
        ("{\"request\":\"jobs\",\"limit\":-1}", Some(&hello), "not understood"),
        ("{\"request\":\"follow\",\"job\":\"../../etc/passwd\",\"from\":0}", Some(&hello), "there is no job"),
        (
            "{\"request\":\"artifact\",\"digest\":\"../engine.lock\"}",
            Some(&hello),
            "the store holds no artifact",
        ),
        (
            "{\"request\":\"submit\",\"plan\":{\"title\":\"\",\"steps\":[],\"result\":[\"\",\"\"]}}",
            Some(&hello),
            "not in it",
        ),
    ] {
        let mut stream = UnixStream::connect(house.socket()).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        let mut answer = String::new();
        if let Some(hello) = before {
            writeln!(stream, "{hello}").unwrap();
            answers.read_line(&mut answer).unwrap();
            assert!(answer.contains("welcome"), "{answer}");
        }
        for _ in 0..2 {
            answer.clear();
            writeln!(stream, "{line}").unwrap();
            answers.read_line(&mut answer).unwrap();
            assert!(answer.contains("refused") && answer.contains(wanted), "{answer}");
        }
    }
    let mut rude = UnixStream::connect(house.socket()).unwrap();
    rude.write_all(b"{\"request\":").unwrap();
    drop(rude);
    assert_eq!(house.run(&one(json!([]))).1.state, JobState::Done);
}

#[test]
fn a_client_of_another_protocol_is_told_so_and_may_only_end_the_engine() {
    let mut house = House::open();
    house.connect();
    let mut stream = UnixStream::connect(house.socket()).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |line: Value| {
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        answer
    };
    assert!(ask(json!({"request": "hello", "protocol": 999, "version": "9"})).contains("welcome"));
    assert!(ask(json!({"request": "jobs", "limit": 1})).contains(&format!("protocol {PROTOCOL}, not 999")));
    assert!(ask(json!({"request": "shutdown"})).contains("ok"));
    assert!(house.engine.wait().unwrap().success());
    assert!(!house.socket().exists());
}

#[test]
fn an_engine_killed_mid_job_settles_it_when_it_comes_back() {
    let mut house = House::open();
    let mut job = house
        .submit(&chain(vec![
            step("first", "act", json!([])),
            step("second", "then", json!(["preview", "until_cancelled"])),
        ]))
        .unwrap();
    let waiting = house.submit(&one(json!([]))).unwrap().id().to_owned();
    while !matches!(job.next_event().unwrap().unwrap().body, EventBody::Log { .. }) {}
    let worker = house.worker();
    fs::write(house.path().join("incoming/.spinbot-half-written"), "ha").unwrap();
    house.crash_and_restart();
    assert!(job.next_event().unwrap_err().message.contains("the engine went away"), "the follower is told");
    house.connect();
    patiently("the worker does not outlive its engine", || (!runs(worker)).then_some(()));

    let (_, view) = follow(&mut house.connect().job(job.id()));
    assert_eq!(view.fault.unwrap().message, "the engine stopped while this job was running");
    let (_, view) = follow(&mut house.connect().job(waiting));
    assert_eq!(view.fault.unwrap().message, "the engine stopped while this job was waiting");
    for swept in ["incoming", "scratch"] {
        assert_eq!(fs::read_dir(house.path().join(swept)).unwrap().count(), 0);
    }
    house.crash_and_restart();
    let (events, _) = follow(&mut house.connect().job(job.id()));
    assert_eq!(events.last().unwrap().seq, events.len() as u64 - 1);
    let (events, view) =
        house.run(&chain(vec![step("first", "act", json!([])), step("second", "then", json!([]))]));
    assert_eq!(
        (ran(&events), view.cached),
        (vec!["second"], vec!["first".to_owned()]),
        "what was finished is kept"
    );
}

#[test]
fn there_is_one_engine_and_it_leaves_in_order() {
    let mut house = House::open();
    house.connect();
    for (home, run) in [(house.path(), None), (house.path(), Some("elsewhere"))] {
        let mut second = command(home, &["engine"]);
        let mut second = match run {
            // The same store through another socket.
            Some(_) => {
                let other = house.path().join("other");
                fs::create_dir_all(&other).unwrap();
                second.env_remove("SPINBOT_HOME").env("XDG_RUNTIME_DIR", &other).env("XDG_DATA_HOME", home);
                std::os::unix::fs::symlink(home, home.join("spinbot")).unwrap();
                second
            }
            None => second,
        };
        let out = second.stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(!out.status.success());
        assert!(said.contains(&format!("another engine (process {})", house.engine.id())), "{said}");
        assert!(said.contains("help: "), "{said}");
    }
    let mut job = house.submit(&one(json!(["until_cancelled"]))).unwrap();
    while !matches!(job.next_event().unwrap().unwrap().body, EventBody::Log { .. }) {}
    let worker = house.worker();
    kill("-TERM", house.engine.id());
    assert_eq!(job.wait().unwrap().state, JobState::Cancelled, "told before the engine left");
    assert!(!house.socket().exists(), "an engine that ends its job listens no more");
    assert!(house.engine.wait().unwrap().success());
    assert!(!alive(worker), "the worker left first");
    assert_eq!(fs::metadata(house.path().join("run")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn clients_start_one_engine_on_demand_and_it_leaves_when_idle() {
    let folder = tempfile::tempdir().unwrap();
    let client = || {
        let mut command = command(folder.path(), &["client"]);
        command.env("TOY_IDLE_MS", "700").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let said: Vec<String> = [client(), client(), client()]
        .map(|c| {
            let out = c.wait_with_output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap()
        })
        .into();
    let (pid, state) = said[0].trim().split_once(' ').unwrap();
    assert_eq!(state, "Done");
    assert!(said.iter().all(|s| s == &said[0]), "all of them by one engine: {said:?}");
    let socket = folder.path().join("run/engine.sock");
    patiently("the idle engine leaves", || (!socket.exists() && !runs(pid.parse().unwrap())).then_some(()));

    let out = command(folder.path(), &["client"]).env("SPINBOT_BIN", "/nowhere/spinbot").output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(
        said.contains("the engine could not be started: /nowhere/spinbot") && said.contains("help: "),
        "{said}"
    );
}

#[test]
fn a_job_outlives_those_who_watch_it() {
    let house = House::open();
    let mut job = house.submit(&one(json!([{"done": 1, "total": 2}, {"sleep": 300}, "log"]))).unwrap();
    job.next_event().unwrap();
    let id = job.id().to_owned();
    drop(job);
    assert_eq!(house.connect().job(id).wait().unwrap().state, JobState::Done);
}

fn action() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (0u32..20, 0u32..20).prop_map(|(done, total)| json!({"done": done, "total": total})),
        2 => (0.0f64..1.0).prop_map(|loss| json!({ "loss": loss })),
        2 => Just(json!("log")),
        1 => Just(json!("preview")),
        1 => Just(json!("print")),
        1 => Just(json!("not_a_number")),
        1 => Just(json!({"sleep": 60})),
        1 => prop_oneof!["panic", "exit", "kill", "fault", "leave_wrong_output"].prop_map(Value::from),
    ]
}

#[test]
fn whatever_steps_do_progress_never_falls_and_there_is_one_end() {
    let house = House::open();
    house.connect();
    let steps = prop::collection::vec((prop::collection::vec(action(), 0..8), 0.1f64..10.0), 1..5);
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in steps, cancel_after in prop::option::weighted(0.3, 0usize..8))| {
        let steps = steps.into_iter().enumerate().map(|(i, (actions, weight))| {
            let kind = if i == 0 { "act" } else { "then" };
            step(&i.to_string(), kind, Value::from(actions)).weighing(weight)
        });
        let mut job = house.submit(&chain(steps.collect())).unwrap();
        let mut events = Vec::new();
        while let Some(event) = job.next_event().unwrap() {
            events.push(event);
            if cancel_after == Some(events.len()) {
                job.cancel().unwrap();
            }
        }
        assert_whole(&events);
        let mut on_disk = String::new();
        let journal = house.path().join("jobs").join(job.id()).join("journal.jsonl");
        fs::File::open(journal).unwrap().read_to_string(&mut on_disk).unwrap();
        let on_disk: Vec<Event> = on_disk.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        prop_assert_eq!(on_disk, events);
    });
    assert_eq!(files(&house.path().join("scratch")), Vec::<PathBuf>::new());
    assert_eq!(files(&house.path().join("incoming")), Vec::<PathBuf>::new());
}
