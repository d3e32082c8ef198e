//! A notebook and an engine that only remember what they were asked.

use spinbot::event::ArtifactRef;
use spinbot::models::AddedModels;
use spinbot::voices::Profiles;
use spinbot::{Bundle, Digest, Event, EventBody, Fault, JobView, Loras, Plan};
use spinbot_magics::cell::{Segment, split};
use spinbot_magics::{EvalFailure, Failure, Jobs, Session, StreamName, Timing, execute};
use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What a job does when it is followed.
pub(crate) type Script = fn(&FakeEngine, &str) -> Vec<Result<EventBody, Fault>>;

/// What the notebook and the engine have seen, in order, one line each.
pub(crate) struct Notebook {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) seen: Vec<String>,
    /// Every bundle displayed or updated.
    pub(crate) shown: Vec<Bundle>,
    pub(crate) engine: Rc<FakeEngine>,
    /// How many times the stop button is looked at before it is found pressed.
    pub(crate) stop_after: Cell<u32>,
    /// The stop button is also pressed once this file of the folder is there.
    pub(crate) stop_when: Option<&'static str>,
    /// The program whose command line is asked.
    pub(crate) program: &'static str,
    ids: u32,
}

pub(crate) struct FakeEngine {
    pub(crate) seen: RefCell<Vec<String>>,
    pub(crate) jobs: RefCell<Vec<JobView>>,
    pub(crate) script: Cell<Script>,
    pub(crate) refuse: RefCell<Option<Fault>>,
    pub(crate) store: tempfile::TempDir,
    /// Where cancelling is told to the job that runs.
    running: RefCell<Option<Sender<Result<Event, Fault>>>>,
}

impl FakeEngine {
    /// Puts a file into the store.
    pub(crate) fn artifact(&self, name: &str, media_type: &str, content: &[u8]) -> ArtifactRef {
        let path = self.store.path().join(name);
        std::fs::write(&path, content).unwrap();
        let digest = Digest(format!("{:064x}", content.len()));
        ArtifactRef { digest, media_type: media_type.into(), size: content.len() as u64, path }
    }
}

/// A LoRA of one tensor that says what calls it up.
fn lora() -> Vec<u8> {
    let header = r#"{"__metadata__":{"modelspec.trigger_phrase":"nova <3","ss_network_dim":"8"},
        "lora_unet_q.lora_up.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat()
}

/// A file of the tensor that weights of Wav2Lip are known by.
fn wav2lip() -> Vec<u8> {
    let header =
        r#"{"face_encoder_blocks.0.0.conv_block.0.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat()
}

impl Notebook {
    /// A notebook whose folder holds `me.jpg` and `hello.wav`, with the models `dreams` and `lips`, of Wav2Lip, and the LoRA
    /// `nova`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["me.jpg", "hello.wav"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir_all(folder.path().join("models")).unwrap();
        std::fs::create_dir_all(folder.path().join("loras")).unwrap();
        let lips = folder.path().join("models/lips.safetensors");
        std::fs::write(&lips, wav2lip()).unwrap();
        let models = serde_json::json!([
            {"id": "dreams", "path": "dreams", "sha256": "a".repeat(64)},
            {"id": "lips", "path": lips, "sha256": "b".repeat(64)},
        ]);
        std::fs::write(folder.path().join("models/added.json"), models.to_string()).unwrap();
        std::fs::write(folder.path().join("loras/nova.safetensors"), lora()).unwrap();
        let engine = FakeEngine {
            seen: RefCell::default(),
            jobs: RefCell::default(),
            script: Cell::new(|_, _| vec![Ok(EventBody::Cancelled)]),
            refuse: RefCell::default(),
            store: tempfile::tempdir().unwrap(),
            running: RefCell::default(),
        };
        Notebook {
            folder,
            seen: Vec::new(),
            shown: Vec::new(),
            engine: Rc::new(engine),
            stop_after: Cell::new(u32::MAX),
            stop_when: None,
            program: "echo",
            ids: 0,
        }
    }

    /// Puts a shell script in the program's place.
    pub(crate) fn script(&mut self, script: &str) {
        let program = self.folder.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.program = "program";
    }

    /// Leaves two takes under that name.
    pub(crate) fn leave_takes(&mut self, name: &str) {
        let video = self.engine.artifact(name, "video/mp4", b"an mp4");
        let take = serde_json::json!({"job": "0f2k", "video": video, "first_frame": null, "seconds": 1.0});
        let takes = serde_json::json!({"job": "0f2k", "takes": [[0, take], [1, take]], "seconds": 2.0});
        let left = format!("spinbot::Takes::from_json(r#\"{takes}\"#)?");
        self.bind(name, "spinbot::Takes", &left).unwrap();
    }

    /// Runs a cell as the kernel does, up to its first failure.
    pub(crate) fn run(&mut self, cell: &str) -> Result<(), Failure> {
        for segment in split(cell) {
            match segment {
                Segment::Rust { code, .. } => self.eval(&code).map(|_| ())?,
                Segment::Line { magic } | Segment::Cell { magic } => execute(&magic, self)?,
            }
        }
        Ok(())
    }

    /// The failure of a cell as the notebook shows it, without colours.
    pub(crate) fn error(&mut self, cell: &str) -> String {
        match self.run(cell) {
            Ok(()) => "no error".to_owned(),
            Err(Failure::Magic(error)) => error.render(cell),
            Err(other) => other.to_string(),
        }
    }

    /// The HTML last shown.
    pub(crate) fn html(&self) -> &str {
        self.shown
            .last()
            .and_then(|bundle| bundle.data.get("text/html"))
            .and_then(|v| v.as_str())
            .unwrap_or("")
    }

    /// The plain text last shown.
    pub(crate) fn text(&self) -> &str {
        self.shown
            .last()
            .and_then(|bundle| bundle.data.get("text/plain"))
            .and_then(|v| v.as_str())
            .unwrap_or("")
    }
}

impl Session for Notebook {
    fn display(&mut self, bundle: &Bundle, display_id: Option<&str>) {
        self.seen.push(display_id.map_or("display".into(), |id| format!("display {id}")));
        self.shown.push(bundle.clone());
    }

    fn update(&mut self, id: &str, bundle: &Bundle) {
        self.seen.push(format!("update {id}"));
        self.shown.push(bundle.clone());
    }

    fn clear_output(&mut self, wait: bool) {
        self.seen.push(format!("clear {wait}"));
    }

    fn next_cell(&mut self, text: &str) {
        self.seen.push(format!("next cell {text}"));
    }

    fn stream(&mut self, name: StreamName, text: &str) {
        self.seen.push(format!("{name:?} {text}"));
    }

    fn eval(&mut self, rust: &str) -> Result<Timing, EvalFailure> {
        self.seen.push(format!("eval {rust}"));
        match rust.contains("broken") {
            false => Ok(Timing::default()),
            true => Err(EvalFailure {
                ename: "CompilationError".into(),
                evalue: "broken".into(),
                traceback: vec![],
            }),
        }
    }

    /// Knows `name`, `count` and `photo`, and takes that were left behind.
    fn eval_to_string(&mut self, expr: &str) -> Result<String, Fault> {
        let taken = expr.strip_prefix("spinbot::takes::json_of(&").and_then(|rest| rest.strip_suffix(')'));
        let bound = taken.and_then(|name| {
            let left = format!("bind {name}: spinbot::Takes = spinbot::Takes::from_json(r#\"");
            self.seen
                .iter()
                .rev()
                .find_map(|line| line.strip_prefix(&left)?.strip_suffix("\"#)?"))
                .map(str::to_owned)
        });
        self.seen.push(format!("eval_to_string {expr}"));
        if let Some(json) = bound {
            return Ok(json);
        }
        match expr {
            "name" => Ok("nova".into()),
            "count" => Ok("7".into()),
            "photo" => Ok("me.jpg".into()),
            _ => Err(Fault::new(format!("cannot find value `{expr}` in this scope"))
                .help("define it in a cell above")),
        }
    }

    fn bind(&mut self, name: &str, rust_type: &str, rust_expr: &str) -> Result<(), Fault> {
        self.seen.push(format!("bind {name}: {rust_type} = {rust_expr}"));
        Ok(())
    }

    fn interrupted(&self) -> bool {
        let left = self.stop_after.get();
        self.stop_after.set(left.saturating_sub(u32::from(left != u32::MAX)));
        left == 0 || self.stop_when.is_some_and(|name| self.folder.path().join(name).exists())
    }

    fn cwd(&self) -> &Path {
        self.folder.path()
    }

    fn unique_id(&mut self) -> String {
        self.ids += 1;
        format!("id{}", self.ids)
    }

    fn profiles(&self) -> Profiles {
        let models = AddedModels::at(self.folder.path());
        Profiles::at(self.folder.path().join("voices")).with_models(models)
    }

    fn loras(&self) -> Loras {
        Loras::at(self.folder.path().join("loras"))
    }

    fn program(&self) -> OsString {
        // A script of the notebook's folder, else a program on the path.
        let script = self.folder.path().join(self.program);
        if script.exists() { script.into() } else { self.program.into() }
    }

    fn jobs(&mut self) -> Result<Box<dyn Jobs>, Fault> {
        Ok(Box::new(Door(Rc::clone(&self.engine))))
    }
}

struct Door(Rc<FakeEngine>);

impl Jobs for Door {
    fn submit(&mut self, plan: Plan) -> Result<String, Fault> {
        plan.check()?;
        if let Some(fault) = self.0.refuse.take() {
            return Err(fault);
        }
        self.0.seen.borrow_mut().push(format!("submit {}", serde_json::to_string(&plan).unwrap()));
        Ok("0f2k".into())
    }

    fn follow(&mut self, job: &str) -> Receiver<Result<Event, Fault>> {
        self.0.seen.borrow_mut().push(format!("follow {job}"));
        let (sender, receiver) = channel();
        for (seq, body) in (self.0.script.get())(&self.0, job).into_iter().enumerate() {
            let event = body.map(|body| Event { job: job.into(), seq: seq as u64, at: seq as f64, body });
            sender.send(event).unwrap();
        }
        *self.0.running.borrow_mut() = Some(sender);
        receiver
    }

    fn list(&mut self, limit: usize) -> Result<Vec<JobView>, Fault> {
        Ok(self.0.jobs.borrow().iter().take(limit).cloned().collect())
    }

    fn cancel(&mut self, job: &str) -> Result<(), Fault> {
        self.0.seen.borrow_mut().push(format!("cancel {job}"));
        if let Some(sender) = self.0.running.take() {
            let _ = sender.send(Ok(Event { job: job.into(), seq: 99, at: 99.0, body: EventBody::Cancelled }));
        }
        Ok(())
    }
}
