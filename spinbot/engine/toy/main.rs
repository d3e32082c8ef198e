//! The engine, its worker and a client as real processes, with steps that do as they are told.
//!
//! `toy-engine engine [--background]`, `toy-engine worker` and `toy-engine client` find their places as `spinbot`
//! does (`SPINBOT_HOME`). Every step takes a list of actions and leaves `out`, which depends on them and on its
//! inputs.

use serde_json::{Value, json};
use spinbot::{Engine, Fault, Plan, Step};
use spinbot_engine::{Catalogue, EngineError, Options};
use spinbot_studio::{Kind, Report, StepError, StepInput, StepOutput};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

const fn kind(kind: &'static str, inputs: &'static [&'static str]) -> Kind {
    Kind { kind, version: 1, inputs, outputs: &["out"], models: &[] }
}

struct Toys;

impl Catalogue for Toys {
    fn kinds(&self) -> &[Kind] {
        const KINDS: &[Kind] = &[
            kind("act", &[]),
            kind("read", &["file"]),
            kind("then", &["before"]),
            kind("load", &["weights?"]),
            kind("tell", &["before*", "made"]),
        ];
        KINDS
    }

    fn check(&self, step: &Step) -> Result<(), Fault> {
        match step.params.get("rank").and_then(Value::as_u64) {
            Some(rank) if rank > 64 => Err(Fault::new(format!("rank {rank} is over 64")).about("rank")),
            _ => Ok(()),
        }
    }

    fn model_hash(&self, _id: &str) -> Option<String> {
        None
    }

    fn run(
        &self,
        kind: &str,
        params: &Value,
        inputs: &BTreeMap<String, StepInput>,
        seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let actions = params.get("actions").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut name = "out";
        for action in &actions {
            if report.cancelled() {
                return Err(StepError::Cancelled);
            }
            match action.as_str() {
                Some("leave_wrong_output") => name = "other",
                _ => act(action, inputs, report)?,
            }
        }
        let mut bytes = json!([kind, params, seed]).to_string().into_bytes();
        for input in inputs.values() {
            bytes.extend(std::fs::read(&input.path).map_err(|e| Fault::new(e.to_string()))?);
        }
        Ok(vec![StepOutput { name, media_type: "text/plain", bytes }])
    }
}

fn act(
    action: &Value,
    inputs: &BTreeMap<String, StepInput>,
    report: &mut dyn Report,
) -> Result<(), StepError> {
    let number = |name: &str| action.get(name).and_then(Value::as_f64);
    match action.as_str() {
        Some("panic") => panic!("the toy broke"),
        Some("exit") => std::process::exit(3),
        Some("fault") => {
            let label = inputs.values().next().map_or("nothing", |i| &i.label);
            return Err(Fault::new(format!("{label}: no face found"))
                .help("use another")
                .about("file")
                .into());
        }
        // What a library deep down might do.
        Some("print") => {
            let _ = writeln!(std::io::stdout(), "a stray line\n{{\"say\":\"cancelled\"}}");
            let _ = writeln!(std::io::stderr(), "worth knowing before the end");
        }
        Some("kill") => {
            let _ = std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        }
        Some("not_a_number") => {
            report.metric("loss", 1.0, f64::NAN);
            report.progress(f64::NAN, f64::INFINITY, "frames");
        }
        // Counts its runs in what outlives them, and ends well from the third on.
        Some("persist") => {
            let folder = report.kept().ok_or_else(|| Fault::new("nothing can be kept"))?;
            let file = folder.join("runs");
            let runs = std::fs::read_to_string(&file).unwrap_or_default().len();
            std::fs::write(&file, "x".repeat(runs + 1)).map_err(|e| Fault::new(e.to_string()))?;
            match runs {
                0 => act(&json!("kill"), inputs, report)?,
                1 => return Err(Fault::new("stopped at the second").into()),
                _ => report.log(&format!("run {}", runs + 1)),
            }
        }
        Some("preview") => report.preview("first frame", "image/png", b"not really a picture"),
        Some("log") => report.log("a line"),
        // Sees a cancel, but only after a long time: the worker has to be killed.
        Some("deaf") => std::thread::sleep(Duration::from_secs(600)),
        Some("until_cancelled") => {
            let patience = Instant::now() + Duration::from_secs(120);
            report.log("waiting");
            while !report.cancelled() && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(10));
            }
            return Err(StepError::Cancelled);
        }
        _ => {
            if let (Some(done), Some(total)) = (number("done"), number("total")) {
                report.progress(done, total, "frames");
            }
            if let Some(value) = number("loss") {
                report.metric("loss", 1.0, value);
            }
            if let Some(millis) = number("sleep") {
                std::thread::sleep(Duration::from_millis(millis as u64));
            }
        }
    }
    Ok(())
}

fn engine(background: bool) -> Result<(), EngineError> {
    let me = std::env::current_exe().unwrap_or_default();
    let mut options = Options::standard(&me);
    if background {
        return spinbot_engine::start_in_background(&me, &["engine"], &options.store);
    }
    if let Some(millis) = std::env::var("TOY_IDLE_MS").ok().and_then(|t| t.parse().ok()) {
        options.idle_exit = Duration::from_millis(millis);
    }
    spinbot_engine::serve_with(options, Arc::new(Toys))
}

/// Connects as a cell does, starting an engine where none runs, and runs one small plan.
fn client() -> Result<(), Fault> {
    let step = Step {
        id: "act".into(),
        kind: "act".into(),
        params: Value::Null,
        inputs: BTreeMap::new(),
        seed: 0,
        weight: 1.0,
    };
    let plan = Plan { title: "small".into(), steps: vec![step], result: ("act".into(), "out".into()) };
    let mut engine = Engine::connect()?;
    let view = engine.submit(plan)?.wait()?;
    let _ = writeln!(std::io::stdout(), "{} {:?}", engine.pid(), view.state);
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments[..] {
        ["engine"] => engine(false).map_err(Fault::from),
        ["engine", "--background"] => engine(true).map_err(Fault::from),
        ["worker"] => spinbot_engine::worker_main_with(Arc::new(Toys)).map_err(|e| Fault::new(e.to_string())),
        ["client"] => client(),
        _ => Err(Fault::new("usage: toy-engine engine [--background] | worker | client")),
    };
    if let Err(fault) = ended {
        let _ = writeln!(std::io::stderr(), "{fault}");
        std::process::exit(1);
    }
}
