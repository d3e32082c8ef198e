//! What a finished file says of itself: that it is synthetic, and what it was made of.
//!
//! Files are passed on: nothing here names a folder, a machine or a user.

use crate::variants::Variant;
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
    /// On what conditions it may be used, as sentences; nothing where there are none but the user's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licences: Vec<String>,
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
        let licence = |step: &MadeStep| Variant::of_step(&step.kind)?.about().licence.map(str::to_owned);
        Provenance {
            licences: steps.iter().filter_map(licence).collect(),
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
        let told = format!("made with SpinBot; synthetic media: {what}");
        self.licences.iter().fold(told, |told, licence| format!("{told}; {licence}"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::{AnimateWav2lip, StepParams};

    #[test]
    fn the_notice_says_on_what_conditions_a_file_may_be_used() {
        let step = |kind: &str| MadeStep {
            id: "animate".into(),
            kind: kind.into(),
            version: 1,
            params: Value::Null,
            inputs: BTreeMap::new(),
            models: BTreeMap::new(),
            seed: 0,
            device: "cpu".into(),
        };
        let plain = Provenance::new(vec![step("animate")]);
        assert_eq!(
            plain.notice(),
            "made with SpinBot; synthetic media: a generated face with a recorded voice"
        );
        assert!(!serde_json::to_string(&plain).unwrap().contains("licences"));
        let bound = Provenance::new(vec![step(AnimateWav2lip::KIND)]);
        assert!(bound.notice().ends_with("for research and non-commercial use only"), "{}", bound.notice());
        let json = serde_json::to_string(&bound).unwrap();
        assert!(json.contains("LRS2"), "{json}");
        assert_eq!(serde_json::from_str::<Provenance>(&json).unwrap(), bound);
    }
}
