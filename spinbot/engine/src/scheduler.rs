//! Walks the steps of a job: what is in the store already is not run, the rest goes to the worker one by one.

use crate::EngineError;
use crate::catalogue::Catalogue;
use crate::dispatch::{Bench, Errand, Stopped};
use crate::intake::{Files, known_kind};
use crate::jobs::Jobs;
use crate::journal::Record;
use crate::key::{StepIdentity, sorted};
use crate::lineage::lineage;
use crate::progress::Progress;
use crate::store::{MadeBy, Store};
use crate::worker::{Task, TaskInput};
use spinbot::event::{ArtifactRef, EventBody};
use spinbot::provenance::{MadeInput, MadeStep, Provenance};
use spinbot::{Digest, Fault, Input, Plan, Step};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Outputs so far, by step.
type Made = BTreeMap<String, BTreeMap<String, ArtifactRef>>;

/// One input of a step, found.
struct Found {
    digest: Digest,
    label: String,
    /// Whether it is a model of the user's own, which is not in the store.
    model: bool,
}

/// Takes jobs from the queue until it closes, one at a time.
pub(crate) fn work(jobs: &Jobs, store: &Store, catalogue: &dyn Catalogue, bench: &mut Bench) {
    while let Some(record) = jobs.next() {
        let started = Instant::now();
        // A bug here may cost one job, not all those that come after it.
        let ended = catch_unwind(AssertUnwindSafe(|| run_job(&record, store, catalogue, bench)));
        let ended = ended.unwrap_or_else(|_| {
            bench.dismiss();
            let fault = Fault::new("the engine failed inside while it ran this job")
                .help("see its log; run it again");
            Err((None, Stopped::Failed(fault)))
        });
        let end = match ended {
            Ok(result) => EventBody::Done { result, seconds: started.elapsed().as_secs_f64() },
            Err((_, Stopped::Cancelled)) => EventBody::Cancelled,
            Err((step, Stopped::Failed(fault))) => EventBody::Failed { step, fault },
        };
        // Those who follow are told even when the disk is full; the next start settles the file.
        let _ = record.append(end);
        jobs.ended(&record);
    }
    bench.dismiss();
}

/// The plan's result, or why there is none and at which step.
fn run_job(
    record: &Record,
    store: &Store,
    catalogue: &dyn Catalogue,
    bench: &mut Bench,
) -> Result<ArtifactRef, (Option<String>, Stopped)> {
    record.append(EventBody::Started).map_err(|e| (None, e.into()))?;
    let plan = record.plan();
    let mut progress = Progress::new(plan);
    let mut made = Made::new();
    let mut done = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        let here = |stopped| (Some(step.id.clone()), stopped);
        if record.cancel_requested() {
            return Err(here(Stopped::Cancelled));
        }
        progress.step(at);
        let inputs = find_inputs(step, plan, record.files(), &made, &done, store).map_err(here)?;
        let (outputs, made_step) =
            run_step(record, step, &inputs, store, catalogue, bench, &mut progress).map_err(here)?;
        made.insert(step.id.clone(), outputs);
        done.push(made_step);
    }
    let (step, output) = &plan.result;
    made.get(step).and_then(|outputs| outputs.get(output)).cloned().ok_or_else(|| {
        (Some(step.clone()), Stopped::Failed(Fault::new(format!("step `{step}` left no `{output}`"))))
    })
}

fn run_step(
    record: &Record,
    step: &Step,
    inputs: &BTreeMap<String, Found>,
    store: &Store,
    catalogue: &dyn Catalogue,
    bench: &mut Bench,
    progress: &mut Progress,
) -> Result<(BTreeMap<String, ArtifactRef>, MadeStep), Stopped> {
    let kind = known_kind(step, catalogue).map_err(Stopped::Failed)?;
    let made_by = identify(record, step, inputs, catalogue).map_err(Stopped::Failed)?;
    let made_step = made_step(step, &made_by);
    let id = || step.id.clone();
    if let Some(outputs) = store.step_result(&made_by.key) {
        record.append(EventBody::StepCached { step: id() })?;
        tell_outputs(record, step, &outputs)?;
        if let Some(event) = progress.step_done(&step.id, Instant::now()) {
            record.append(event)?;
        }
        return Ok((outputs, made_step));
    }
    record.append(EventBody::StepStarted { step: id() })?;
    let scratch = store.scratch()?;
    let mut task_inputs = BTreeMap::new();
    for (name, found) in inputs {
        let path = if found.model {
            // Looked at when the plan came in, which may be long ago.
            let file = catalogue.named_model(&found.label, &found.digest);
            file.map_err(|fault| Stopped::Failed(fault.about(name)))?
        } else {
            // Hashed before use: a step never works on damaged bytes.
            store.open_verified(&found.digest)?;
            store.artifact(&found.digest).ok_or_else(|| lost(&found.digest))?.path
        };
        let (label, sha256) = (found.label.clone(), found.digest.clone());
        task_inputs.insert(name.clone(), TaskInput { path, label, sha256 });
    }
    let task = Task {
        number: 0,
        kind: step.kind.clone(),
        params: step.params.clone(),
        inputs: task_inputs,
        seed: step.seed,
        scratch: scratch.path().to_owned(),
        kept: store.kept(&made_by.key),
    };
    let key = made_by.key.clone();
    let ended = bench.run(Errand { record, step: &step.id, kind, task, made_by }, store, progress)?;
    let outputs = ended.outputs;
    if ended.lasting {
        store.keep_step_result(&key, &outputs)?;
    }
    store.forget(&key);
    tell_outputs(record, step, &outputs)?;
    if let Some(event) = progress.step_done(&step.id, Instant::now()) {
        record.append(event)?;
    }
    Ok((outputs, made_step))
}

/// The step as files say it that were made by it.
fn made_step(step: &Step, made_by: &MadeBy) -> MadeStep {
    let from = |name: &String| match step.inputs.get(name) {
        Some(Input::Output { step, output }) => Some(format!("{step}.{output}")),
        _ => None,
    };
    let inputs = made_by.inputs.iter();
    MadeStep {
        id: step.id.clone(),
        kind: made_by.kind.clone(),
        version: made_by.version,
        params: sorted(&made_by.params),
        inputs: inputs
            .map(|(name, digest)| (name.clone(), MadeInput { sha256: digest.0.clone(), from: from(name) }))
            .collect(),
        models: made_by.models.clone(),
        seed: made_by.seed,
        device: made_by.device.clone(),
    }
}

fn lost(digest: &Digest) -> Stopped {
    crate::EngineError::Missing(digest.short().to_owned()).into()
}

/// What feeds each input of a step; `done` are the steps before it.
fn find_inputs(
    step: &Step,
    plan: &Plan,
    files: &Files,
    made: &Made,
    done: &[MadeStep],
    store: &Store,
) -> Result<BTreeMap<String, Found>, Stopped> {
    let stored = |digest: &Digest, label: &str| {
        Some(Found { digest: digest.clone(), label: label.to_owned(), model: false })
    };
    let find = |name: &String, input: &Input| -> Result<Option<Found>, EngineError> {
        Ok(match input {
            Input::File(_) => {
                files.get(&(step.id.clone(), name.clone())).and_then(|file| stored(&file.digest, &file.label))
            }
            Input::Artifact(digest) => stored(digest, digest.short()),
            Input::Model { id, sha256 } => {
                Some(Found { digest: sha256.clone(), label: id.clone(), model: true })
            }
            Input::Output { step, output } => made
                .get(step)
                .and_then(|outputs| outputs.get(output))
                .and_then(|artifact| stored(&artifact.digest, output)),
            Input::Provenance => {
                let provenance = Provenance::new(lineage(step, plan, done));
                stored(&store.keep_json(&provenance, name)?, name)
            }
        })
    };
    let inputs = step.inputs.iter().map(|(name, input)| {
        let found = find(name, input)?.ok_or_else(|| {
            let text = format!("nothing feeds the input `{name}` of step `{}`", step.id);
            Stopped::Failed(Fault::new(text).about(name))
        })?;
        Ok((name.clone(), found))
    });
    inputs.collect()
}

/// All that the step's result depends on, and the key made of it.
fn identify(
    record: &Record,
    step: &Step,
    inputs: &BTreeMap<String, Found>,
    catalogue: &dyn Catalogue,
) -> Result<MadeBy, Fault> {
    let kind = known_kind(step, catalogue)?;
    let models = kind.models.iter().map(|id| {
        let hash = catalogue.model_hash(id);
        let unknown =
            || Fault::new(format!("the step `{}` needs the model `{id}`, which is not known", step.kind));
        Ok(((*id).to_owned(), hash.ok_or_else(unknown)?))
    });
    let models = models.collect::<Result<BTreeMap<_, _>, Fault>>()?;
    let inputs: BTreeMap<_, _> =
        inputs.iter().map(|(name, found)| (name.clone(), found.digest.clone())).collect();
    let (version, device) = (kind.version, catalogue.device_class(&step.params));
    let key = StepIdentity {
        kind: &step.kind,
        version,
        params: &step.params,
        inputs: &inputs,
        models: &models,
        seed: step.seed,
        device,
    }
    .key();
    Ok(MadeBy {
        kind: step.kind.clone(),
        version,
        key,
        params: step.params.clone(),
        inputs,
        models,
        seed: step.seed,
        device: device.to_owned(),
        seconds: 0.0,
        job: record.id().to_owned(),
    })
}

fn tell_outputs(
    record: &Record,
    step: &Step,
    outputs: &BTreeMap<String, ArtifactRef>,
) -> Result<(), Stopped> {
    for (output, artifact) in outputs {
        let (output, artifact) = (output.clone(), artifact.clone());
        record.append(EventBody::Artifact { step: step.id.clone(), output, artifact })?;
    }
    Ok(())
}
