//! A plan: a small typed graph of steps, validated whole before any device is touched.
//!
//! Only the graph lives here. What a step's parameters are is in [`crate::steps`]; how it runs, in
//! `spinbot-studio`; whether its result is already there, in `spinbot-engine`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// SHA-256 of an artifact's bytes, 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub String);

impl Digest {
    /// The first 12 digits: enough to tell artifacts apart by eye.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What feeds one input of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A file of the user's; the engine copies it into the store when the plan is submitted.
    File(PathBuf),
    /// An artifact already in the store.
    Artifact(Digest),
    /// A model of the user's own (`spinbot models add`), which stays where it is: only its hash is part of what the
    /// step's result depends on. See [`crate::models`].
    Model {
        /// Its id.
        id: String,
        /// SHA-256 of its file.
        sha256: Digest,
    },
    /// A named output of an earlier step of the same plan.
    Output {
        /// The earlier step's id.
        step: String,
        /// Which of its outputs.
        output: String,
    },
    /// What the steps it comes from were made of ([`crate::provenance::Provenance`] as JSON), for files that say so.
    Provenance,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique within the plan; by convention the kind, with a number where there are several.
    pub id: String,
    /// Which step it is: [`crate::steps::StepParams::KIND`].
    pub kind: String,
    /// Its parameters, as [`crate::steps`] types serialize.
    pub params: Value,
    /// Named inputs.
    #[serde(default)]
    pub inputs: BTreeMap<String, Input>,
    /// Seed of everything random in it.
    #[serde(default)]
    pub seed: u64,
    /// Share of the whole job's progress bar; any positive scale.
    #[serde(default = "one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}

/// A graph of steps with one named result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What the user asked for, in a line: shown in `%jobs`.
    pub title: String,
    /// Steps in an order in which each only uses outputs of those before it.
    pub steps: Vec<Step>,
    /// The step and output that are the plan's result.
    pub result: (String, String),
}

impl Step {
    /// A step from typed parameters, with the kind as id, seed 0 and weight 1.
    pub fn new<P: crate::steps::StepParams>(params: &P) -> Self {
        Step {
            id: P::KIND.to_owned(),
            kind: P::KIND.to_owned(),
            // Our parameter types hold only numbers, strings and lists of them: serialization has no failing path.
            params: serde_json::to_value(params).unwrap_or(Value::Null),
            inputs: BTreeMap::new(),
            seed: 0,
            weight: 1.0,
        }
    }

    /// Connects an input.
    #[must_use]
    pub fn with(mut self, name: &str, input: Input) -> Self {
        self.inputs.insert(name.to_owned(), input);
        self
    }

    /// Sets the share of the progress bar.
    #[must_use]
    pub fn weighing(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the seed.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The input that one of this step's outputs makes for a later step.
    pub fn output(&self, output: &str) -> Input {
        Input::Output { step: self.id.clone(), output: output.to_owned() }
    }
}

impl Plan {
    /// Checks the graph itself: ids unique, inputs only from earlier steps, weights positive, result present.
    pub fn check(&self) -> crate::Result<()> {
        let fault = |text: String| Err(crate::Fault::new(format!("plan `{}`: {text}", self.title)));
        let mut seen: Vec<&str> = Vec::new();
        for step in &self.steps {
            if seen.contains(&step.id.as_str()) {
                return fault(format!("two steps are called `{}`", step.id));
            }
            if !(step.weight.is_finite() && step.weight > 0.0) {
                return fault(format!(
                    "step `{}` has weight {}, need a positive number",
                    step.id, step.weight
                ));
            }
            for (name, input) in &step.inputs {
                if let Input::Output { step: from, .. } = input
                    && !seen.contains(&from.as_str())
                {
                    return fault(format!(
                        "input `{name}` of step `{}` comes from `{from}`, which is not before it",
                        step.id
                    ));
                }
            }
            seen.push(&step.id);
        }
        if !seen.contains(&self.result.0.as_str()) {
            return fault(format!("the result is of step `{}`, which is not in it", self.result.0));
        }
        Ok(())
    }
}
