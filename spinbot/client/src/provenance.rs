//! What a finished file says of itself: that it is synthetic, and what it was made of.
//!
//! Files are passed on: nothing here names a folder, a machine or a user.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Name of the tag that holds a [`Provenance`] as JSON.
pub const PLAN_TAG: &str = "spinbot.plan";
/// IPTC's names of where digital media come from (NewsCodes, digital source type).
const SOURCE_TYPES: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/";

/// The steps that led to a file, each with all that its result depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Program and version.
    pub software: String,
    /// IPTC's digital source type: what of it is synthetic.
    pub digital_source_type: String,
    /// In the order of the plan.
    pub steps: Vec<MadeStep>,
}

/// One step that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MadeStep {
    /// Its id in the plan.
    pub id: String,
    /// Which step it is, and of which version.
    pub kind: String,
    /// Raised when the same parameters and inputs give another result.
    pub version: u32,
    /// Its parameters.
    pub params: Value,
    /// Its inputs by name.
    pub inputs: BTreeMap<String, MadeInput>,
    /// SHA-256 of the models it loaded, by id.
    pub models: BTreeMap<String, String>,
    /// Seed of everything random in it.
    pub seed: u64,
    /// Class of the device it ran on.
    pub device: String,
}

/// What a step was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeInput {
    /// Of its bytes.
    pub sha256: String,
    /// The earlier step and its output, as `speak.timing`; nothing for a file of the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl Provenance {
    /// Of these steps, done by this version.
    pub fn new(steps: Vec<MadeStep>) -> Self {
        let kind = match spoken(&steps) {
            true => "compositeWithTrainedAlgorithmicMedia",
            false => "compositeSynthetic",
        };
        Provenance {
            software: concat!("spinbot ", env!("CARGO_PKG_VERSION")).to_owned(),
            digital_source_type: format!("{SOURCE_TYPES}{kind}"),
            steps,
        }
    }

    /// The notice for those who see the file.
    pub fn notice(&self) -> String {
        let what = match spoken(&self.steps) {
            true => "a generated face and voice",
            false => "a generated face with a recorded voice",
        };
        format!("made with SpinBot; synthetic media: {what}")
    }
}

/// Whether a voice was synthesised.
fn spoken(steps: &[MadeStep]) -> bool {
    use crate::steps::{Speak, StepParams};
    steps.iter().any(|step| step.kind == Speak::KIND)
}

/// The tags of a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// What was asked for, in a line.
    pub title: String,
    /// That it is synthetic.
    pub notice: String,
    /// Program and version that wrote it.
    pub software: String,
    /// What it was made of; nothing in files of versions that did not say.
    pub provenance: Option<Provenance>,
}
