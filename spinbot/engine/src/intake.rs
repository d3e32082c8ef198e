//! Validation of a submitted plan, whole, before anything runs; then the copy of its files into the store.
//!
//! What is accepted is certain: every kind known, every input connected to something that
//! exists, every parameter in range, every file readable and in the store. Models of the user's own are only looked
//! at: they stay where they are.

use crate::catalogue::Catalogue;
use crate::store::{LARGEST_FILE, Store};
use spinbot::{Digest, Fault, Input, Plan, Step};
use spinbot_studio::Kind;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Steps in one plan.
const MOST_STEPS: usize = 1000;

/// A user's file, by step and input name: where its bytes are and what the user called it.
pub(crate) type Files = BTreeMap<(String, String), IngestedFile>;

/// A file of the user's, now in the store.
#[derive(Debug, Clone)]
pub(crate) struct IngestedFile {
    pub digest: Digest,
    /// As typed.
    pub label: String,
}

/// Where a user's file is and what the user called it, by step and input name.
type Sources = BTreeMap<(String, String), (PathBuf, String)>;

/// Validates a plan and copies its files in. Relative paths are meant from `folder`.
///
/// # Errors
/// The first thing that is wrong, about which argument. Nothing has been queued then.
pub(crate) fn accept(
    plan: &Plan,
    folder: Option<&Path>,
    catalogue: &dyn Catalogue,
    store: &Store,
) -> Result<Files, Fault> {
    plan.check()?;
    if plan.steps.len() > MOST_STEPS {
        return Err(Fault::new(format!("the plan has {} steps, the most is {MOST_STEPS}", plan.steps.len())));
    }
    let mut kinds: BTreeMap<&str, &Kind> = BTreeMap::new();
    for step in &plan.steps {
        let kind = known_kind(step, catalogue)?;
        check_inputs(step, kind, &kinds, store, catalogue)?;
        catalogue.check(step)?;
        kinds.insert(&step.id, kind);
    }
    let (step, output) = &plan.result;
    check_output(step, output, &kinds)?;
    let sources = check_files(plan, folder)?;
    let mut files = Files::new();
    for (at, (path, label)) in sources {
        let digest = store.ingest(&path, &label).map_err(|e| Fault::from(e).about(&at.1))?;
        files.insert(at, IngestedFile { digest, label });
    }
    Ok(files)
}

/// The kind of a step.
pub(crate) fn known_kind<'a>(step: &Step, catalogue: &'a dyn Catalogue) -> Result<&'a Kind, Fault> {
    catalogue.kinds().iter().find(|k| k.kind == step.kind).ok_or_else(|| {
        let known: Vec<&str> = catalogue.kinds().iter().map(|k| k.kind).collect();
        Fault::new(format!("there is no step called `{}`", step.kind))
            .help(format!("the engine knows {}", known.join(", ")))
    })
}

fn check_inputs(
    step: &Step,
    kind: &Kind,
    earlier: &BTreeMap<&str, &Kind>,
    store: &Store,
    catalogue: &dyn Catalogue,
) -> Result<(), Fault> {
    if let Some(name) = kind.missing_input(step.inputs.keys().map(String::as_str)) {
        return Err(Fault::new(format!("step `{}` needs the input `{name}`", step.id)).about(name));
    }
    for (name, input) in &step.inputs {
        if !kind.takes_input(name) {
            let takes = kind.inputs.join(", ");
            return Err(Fault::new(format!("step `{}` has no input `{name}`", step.id))
                .help(format!("`{}` takes {takes}", kind.kind))
                .about(name));
        }
        match input {
            Input::Output { step: from, output } => check_output(from, output, earlier)?,
            Input::Artifact(digest) if store.artifact(digest).is_none() => {
                return Err(Fault::new(format!("the store holds no artifact {}", digest.short()))
                    .help("run the plan that made it again")
                    .about(name));
            }
            Input::Model { id, sha256 } => {
                catalogue.named_model(id, sha256).map_err(|fault| fault.about(name))?;
            }
            Input::Artifact(_) | Input::File(_) | Input::Provenance => {}
        }
    }
    Ok(())
}

fn check_output(step: &str, output: &str, kinds: &BTreeMap<&str, &Kind>) -> Result<(), Fault> {
    let has = |kind: &&Kind| kind.outputs.contains(&output);
    match kinds.get(step) {
        Some(kind) if has(kind) => Ok(()),
        Some(kind) => Err(Fault::new(format!("step `{step}` has no output `{output}`"))
            .help(format!("it leaves {}", kind.outputs.join(", ")))),
        None => Err(Fault::new(format!("there is no step `{step}` before the use of its `{output}`"))),
    }
}

/// Every file of the plan, seen to be there, readable and of a sane size: where it is and what it was called.
fn check_files(plan: &Plan, folder: Option<&Path>) -> Result<Sources, Fault> {
    let mut files = Sources::new();
    for step in &plan.steps {
        for (name, input) in &step.inputs {
            let Input::File(typed) = input else { continue };
            let path = match folder {
                Some(folder) => folder.join(typed),
                None => typed.clone(),
            };
            let label = typed.display().to_string();
            check_file(&path, &label).map_err(|fault| fault.about(name))?;
            files.insert((step.id.clone(), name.clone()), (path, label));
        }
    }
    Ok(files)
}

fn check_file(path: &Path, label: &str) -> Result<(), Fault> {
    if !path.is_absolute() {
        return Err(Fault::new(format!("{label}: the engine does not know which folder this is in"))
            .help("give the whole path"));
    }
    let found = fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path);
            Fault::new(format!("{label}: there is no such file"))
                .help(format!("looked in {}; give a path relative to the notebook", folder.display()))
        }
        _ => Fault::new(format!("{label}: {e}")),
    })?;
    if found.is_dir() {
        return Err(Fault::new(format!("{label}: this is a folder")).help("name one file in it"));
    }
    if !found.is_file() {
        return Err(Fault::new(format!("{label}: this is not a plain file")));
    }
    if found.len() == 0 {
        return Err(Fault::new(format!("{label}: the file is empty")).help("choose another one"));
    }
    if found.len() > LARGEST_FILE {
        let gib = found.len() as f64 / f64::from(1 << 30);
        return Err(Fault::new(format!("{label}: {gib:.1} GiB is too large, the most is 2 GiB"))
            .help("cut out the part that is needed"));
    }
    File::open(path).map(drop).map_err(|e| Fault::new(format!("{label}: cannot be read: {e}")))
}
