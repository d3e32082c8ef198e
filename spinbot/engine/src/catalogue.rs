//! What steps exist: the one door to `spinbot-studio`, and where tests put steps of their own.

use serde_json::Value;
use spinbot::{Digest, Fault, Step, home};
use spinbot_models::Store;
use spinbot_studio::{Kind, Report, StepError, StepInput, StepOutput};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The steps an engine accepts and its worker runs. Engine and worker must be given the same one.
pub trait Catalogue: Send + Sync + 'static {
    /// All kinds.
    fn kinds(&self) -> &[Kind];

    /// Cheap validation of a step's parameters, without its inputs and without a device.
    ///
    /// # Errors
    /// What is wrong, about which argument.
    fn check(&self, step: &Step) -> Result<(), Fault>;

    /// SHA-256 of a model's weights, by the id a [`Kind`] names; part of the content key. `None` when unknown.
    fn model_hash(&self, id: &str) -> Option<String>;

    /// Where a model lies that a plan names, the user's own or a built-in one, seen to be that of that hash.
    ///
    /// # Errors
    /// There is none of that id, or it is gone or another.
    fn named_model(&self, id: &str, sha256: &Digest) -> Result<PathBuf, Fault> {
        let file = Store::open(home::cache_dir()).and_then(|store| store.named(id, &sha256.0));
        file.map_err(|error| {
            let (fault, help) = (Fault::new(error.to_string()), error.help());
            help.into_iter().fold(fault, Fault::help)
        })
    }

    /// What class of device a step with these parameters computes on, where numerics differ; part of the content key.
    fn device_class(&self, params: &Value) -> &'static str {
        spinbot_studio::device_class(params)
    }

    /// Runs one step; called in the worker only.
    ///
    /// # Errors
    /// Why it cannot be done, or that it was cancelled.
    fn run(
        &self,
        kind: &str,
        params: &Value,
        inputs: &BTreeMap<String, StepInput>,
        seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError>;
}

/// The steps of `spinbot-studio`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Studio;

impl Catalogue for Studio {
    fn kinds(&self) -> &[Kind] {
        spinbot_studio::kinds()
    }

    fn check(&self, step: &Step) -> Result<(), Fault> {
        spinbot_studio::check(step)
    }

    fn model_hash(&self, id: &str) -> Option<String> {
        spinbot_models::manifest::model_hash(id).ok()
    }

    fn run(
        &self,
        kind: &str,
        params: &Value,
        inputs: &BTreeMap<String, StepInput>,
        seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        spinbot_studio::run(kind, params, inputs, seed, report)
    }
}
