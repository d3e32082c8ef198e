//! What every step has in common, and the one list of them.

use serde_json::Value;
use spinbot::steps::Precision;
use spinbot::steps::{
    AddCards, Animate, AnimateWav2lip, ArrangePictures, Articulate, CheckCloner, CloneVoice, ConvertLora,
    Draw, Drive, Encode, EncodeSpeech, Listen, MixMusic, ReadClips, ReadPictures, ReadPortrait, ReadSpeech,
    ReadVoice, ScorePictures, Speak, StepParams, TrainLora, WriteScript,
};
use spinbot::{Fault, plan::Step};
use spinbot_models::diffusion::checkpoint::Family;
use spinbot_models::diffusion::pipeline;
use spinbot_models::{Device, DeviceChoice};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

/// One input of a step: a file of the store, or a model of the user's own.
#[derive(Debug, Clone)]
pub struct StepInput {
    /// Where its bytes lie.
    pub path: PathBuf,
    /// What the user called it (`me.jpg`), for messages; the step's output name for inputs of earlier steps, the id
    /// of a model.
    pub label: String,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
}

/// One output of a step.
#[derive(Debug, Clone)]
pub struct StepOutput {
    /// Its name, one of the kind's `OUTPUTS`.
    pub name: &'static str,
    /// MIME type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How a step speaks while it runs.
pub trait Report {
    /// `done` of `total` units; called as often as the step likes, thinned out by the receiver.
    fn progress(&mut self, done: f64, total: f64, unit: &str);
    /// One value of a curve.
    fn metric(&mut self, name: &str, at: f64, value: f64);
    /// Something to look at before the end.
    fn preview(&mut self, name: &str, media_type: &str, bytes: &[u8]);
    /// A text that is being written, as far as it is; called as often as the step likes, thinned out by the receiver but
    /// where it is `whole`.
    fn text(&mut self, _name: &str, _text: &str, _whole: bool) {}
    /// The outputs are those of this run alone: asked for again, the step runs again. For what was made in place of what
    /// was asked for.
    fn passing(&mut self) {}
    /// A line for the log.
    fn log(&mut self, line: &str);
    /// A folder for what must outlive the step when it is stopped, fails or dies: the same step, run again, finds it as
    /// it was left, and when one is done it is gone. Nothing where none can be had.
    fn kept(&mut self) -> Option<PathBuf> {
        None
    }
    /// Whether the user asked to stop. Steps look between their parts; one that does not is killed by the engine
    /// after 3 s.
    fn cancelled(&self) -> bool;
}

/// How a step ends without outputs.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It cannot be done, told to the user.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// It saw [`Report::cancelled`].
    #[error("cancelled")]
    Cancelled,
}

/// What the engine needs to know of a kind of step without running it.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name.
    pub kind: &'static str,
    /// Its version, part of the content key.
    pub version: u32,
    /// Names of its inputs; `name*`, `name+` and `name?` as in [`StepParams::INPUTS`].
    pub inputs: &'static [&'static str],
    /// Names of its outputs.
    pub outputs: &'static [&'static str],
    /// Ids of the models it loads; their hashes are part of the content key.
    pub models: &'static [&'static str],
}

impl Kind {
    /// The first of its inputs that is not among those given: `clip1` where it needs at least one `clip`.
    pub fn missing_input<'a>(&self, given: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
        self.inputs.iter().find_map(|declared| {
            let wanted = match declared.strip_suffix('+') {
                Some(stem) => format!("{stem}1"),
                None if declared.ends_with(['*', '?']) => return None,
                None => (*declared).to_owned(),
            };
            (!given.clone().any(|name| name == wanted)).then_some(wanted)
        })
    }

    /// Whether it has an input of that name.
    pub fn takes_input(&self, name: &str) -> bool {
        self.inputs.iter().any(|declared| match declared.strip_suffix(['*', '+']) {
            // `clip1`, but not `clip`, `clip01` or `clip+1`.
            Some(stem) => name.strip_prefix(stem).is_some_and(|number| {
                number.starts_with(|c: char| c.is_ascii_digit() && c != '0')
                    && number.bytes().all(|b| b.is_ascii_digit())
            }),
            None => declared.trim_end_matches('?') == name,
        })
    }
}

/// The inputs of one stem, in the order of their numbers: `clip2` before `clip10`.
pub(crate) fn numbered<'a>(inputs: &'a Inputs, stem: &str) -> Vec<(&'a str, &'a StepInput)> {
    let mut found: Vec<(usize, &str, &StepInput)> = inputs
        .iter()
        .filter_map(|(name, input)| Some((name.strip_prefix(stem)?.parse().ok()?, name.as_str(), input)))
        .collect();
    found.sort_by_key(|(number, _, _)| *number);
    found.into_iter().map(|(_, name, input)| (name, input)).collect()
}

/// Longest speech any step takes, in seconds: what one step leaves the next must accept.
pub(crate) const MAX_SPEECH_SECONDS: f64 = 3600.0;

/// The inputs of one run, by name.
pub(crate) type Inputs = BTreeMap<String, StepInput>;

/// What a file under `steps/` gives for its parameters.
pub(crate) trait Run: StepParams {
    /// Ids of the models it loads.
    const MODELS: &'static [&'static str] = &[];
    /// Whether every parameter is in its range; those of a step that has none to check are.
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }
    /// Does the work. `seed` decides everything random in it.
    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError>;
}

type RunUntyped = fn(&Value, &Inputs, u64, &mut dyn Report) -> Result<Vec<StepOutput>, StepError>;

/// One row of the table of steps.
struct Entry {
    kind: Kind,
    check: fn(&Value) -> Result<(), Fault>,
    run: RunUntyped,
}

const fn entry<P: Run>() -> Entry {
    Entry {
        kind: Kind {
            kind: P::KIND,
            version: P::VERSION,
            inputs: P::INPUTS,
            outputs: P::OUTPUTS,
            models: P::MODELS,
        },
        check: |params| parse::<P>(params)?.check(),
        run: |params, inputs, seed, report| {
            let params = parse::<P>(params)?;
            params.check()?;
            params.run(inputs, seed, report)
        },
    }
}

/// The one list of steps.
const STEPS: &[Entry] = &[
    entry::<ReadPortrait>(),
    entry::<ReadSpeech>(),
    entry::<Drive>(),
    entry::<Articulate>(),
    entry::<Animate>(),
    entry::<AnimateWav2lip>(),
    entry::<AddCards>(),
    entry::<MixMusic>(),
    entry::<Encode>(),
    entry::<EncodeSpeech>(),
    entry::<ReadClips>(),
    entry::<ReadPictures>(),
    entry::<ReadVoice>(),
    entry::<Speak>(),
    entry::<CheckCloner>(),
    entry::<CloneVoice>(),
    entry::<Listen>(),
    entry::<TrainLora>(),
    entry::<Draw>(),
    entry::<ArrangePictures>(),
    entry::<ScorePictures>(),
    entry::<ConvertLora>(),
    entry::<WriteScript>(),
];
const KINDS: [Kind; STEPS.len()] = {
    let mut kinds = [STEPS[0].kind; STEPS.len()];
    let mut at = 1;
    while at < kinds.len() {
        kinds[at] = STEPS[at].kind;
        at += 1;
    }
    kinds
};

fn parse<P: Run>(params: &Value) -> Result<P, Fault> {
    P::deserialize(params)
        .map_err(|error| Fault::new(format!("step `{}`: its parameters cannot be read: {error}", P::KIND)))
}

fn find(kind: &str) -> Result<&'static Entry, Fault> {
    STEPS.iter().find(|entry| entry.kind.kind == kind).ok_or_else(|| {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.kind).collect();
        Fault::new(format!("there is no step `{kind}`; the steps are {}", known.join(", ")))
    })
}

/// Every kind of step there is.
pub fn kinds() -> &'static [Kind] {
    &KINDS
}

/// Checks one step of a plan without running it: its kind exists, its parameters are in range, its inputs are
/// those of its kind, none missing and none too many.
pub fn check(step: &Step) -> Result<(), Fault> {
    let entry = find(&step.kind)?;
    check_inputs(&entry.kind, step.inputs.keys())?;
    (entry.check)(&step.params)
}

/// Runs one step: reads `inputs`, returns its outputs in the order of [`Kind::outputs`].
///
/// # Errors
/// [`StepError::Fault`] for what the user can mend, [`StepError::Cancelled`] soon after
/// [`Report::cancelled`] turned true.
pub fn run(
    kind: &str,
    params: &Value,
    inputs: &BTreeMap<String, StepInput>,
    seed: u64,
    report: &mut dyn Report,
) -> Result<Vec<StepOutput>, StepError> {
    let entry = find(kind)?;
    check_inputs(&entry.kind, inputs.keys())?;
    (entry.run)(params, inputs, seed, report)
}

fn check_inputs<'a>(kind: &Kind, given: impl Iterator<Item = &'a String>) -> Result<(), Fault> {
    let given: Vec<&str> = given.map(String::as_str).collect();
    let fault = |text: String| Err(Fault::new(format!("step `{}`: {text}", kind.kind)));
    if let Some(missing) = kind.missing_input(given.iter().copied()) {
        return fault(format!("its input `{missing}` is missing"));
    }
    if let Some(extra) = given.iter().find(|name| !kind.takes_input(name)) {
        return fault(format!("it has no input `{extra}`"));
    }
    Ok(())
}

/// The input called `name`, which [`run`] has checked to be there.
pub(crate) fn input<'a>(inputs: &'a Inputs, name: &str) -> Result<&'a StepInput, Fault> {
    inputs.get(name).ok_or_else(|| Fault::new(format!("the input `{name}` is missing")))
}

/// Most bytes of a JSON input: the motion of an hour at 60 frames a second takes 50 MB.
const MAX_JSON_BYTES: u64 = 128 << 20;

/// The JSON input called `name`.
pub(crate) fn json_input<T: serde::de::DeserializeOwned>(inputs: &Inputs, name: &str) -> Result<T, Fault> {
    let file = input(inputs, name)?;
    let unread = |error| Fault::new(format!("{}: could not be read ({error})", file.label));
    let mut bytes = Vec::new();
    std::fs::File::open(&file.path)
        .and_then(|opened| opened.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unread)?;
    if bytes.len() as u64 > MAX_JSON_BYTES {
        return Err(Fault::new(format!("{}: is larger than {} MB", file.label, MAX_JSON_BYTES >> 20)));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Fault::new(format!("{}: is no {name} file: {error}", file.label)))
}

/// A fault unless `value` is within the range.
pub(crate) fn in_range<T: PartialOrd + std::fmt::Display>(
    argument: &str,
    value: T,
    low: T,
    high: T,
) -> Result<(), Fault> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(Fault::new(format!("{argument} is {value}, need {low} to {high}"))
        .help(format!("choose a value from {low} to {high}"))
        .about(argument))
}

/// A media error as a user reads it, about `argument`.
pub(crate) fn media_fault(error: spinbot_media::MediaError, argument: &str) -> Fault {
    let help = error.help();
    let fault = Fault::new(error.to_string()).about(argument);
    match help {
        Some(help) => fault.help(help),
        None => fault,
    }
}

/// Where a step computes that lets the user choose, and in what: half precision on GPUs for models of Stable Diffusion's
/// families, `half` of them; the embedded one is too small to gain by it.
///
/// # Errors
/// The device's name is none, or it is not there.
pub(crate) fn device(
    name: &str,
    precision: Option<Precision>,
    family: Option<Family>,
    half: pipeline::Precision,
) -> Result<(Device, pipeline::Precision), Fault> {
    let choice: DeviceChoice = name.parse().map_err(|error| model_fault(error).about("device"))?;
    let device = Device::open(choice).map_err(|error| model_fault(error).about("device"))?;
    if choice.class() != device.class() {
        let (named, found) = (choice.class(), device.class());
        return Err(Fault::new(format!("there is a {named} device, and it cannot be opened"))
            .help(format!("choose with --device: `{found}`, or `{named}` to be told why it cannot"))
            .about("device"));
    }
    let precision = match precision {
        Some(Precision::F32) => pipeline::Precision::F32,
        Some(Precision::Bf16) => pipeline::Precision::Bf16,
        Some(Precision::F16) => pipeline::Precision::F16,
        None if family.is_some() && !device.is_cpu() => match half {
            pipeline::Precision::Bf16 if !device.has_bf16() => pipeline::Precision::F16,
            half => half,
        },
        None => pipeline::Precision::F32,
    };
    if precision == pipeline::Precision::Bf16 && !device.has_bf16() {
        return Err(Fault::new("this device does not compute in bf16")
            .help("use --precision f16 or f32")
            .about("precision"));
    }
    Ok((device, precision))
}

/// Whether that can be the name of a device.
///
/// # Errors
/// It cannot.
pub(crate) fn check_device(name: &str) -> Result<(), Fault> {
    name.parse::<DeviceChoice>().map(drop).map_err(|error| model_fault(error).about("device"))
}

/// What class of device a step of those parameters computes on, told without opening one: part of its
/// content key, as numbers differ between them.
pub fn device_class(params: &Value) -> &'static str {
    let named = params.get("device").and_then(Value::as_str);
    named.and_then(|name| name.parse().ok()).map_or("cpu", |choice: DeviceChoice| choice.class())
}

/// A model's error as a user reads it.
pub(crate) fn model_fault(error: spinbot_models::ModelError) -> Fault {
    let help = error.help();
    let fault = Fault::new(error.to_string());
    match help {
        Some(help) => fault.help(help),
        None => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_that_come_in_numbers_are_taken_from_one_and_in_their_order() {
        let kind = Kind {
            kind: "k",
            version: 1,
            inputs: &["clip+", "profile*", "voice", "weights?"],
            outputs: &[],
            models: &[],
        };
        for (given, missing) in [
            (&["voice"][..], Some("clip1")),
            (&["clip1"][..], Some("voice")),
            (&["clip2", "voice"][..], Some("clip1")),
            (&["clip1", "voice"][..], None),
        ] {
            assert_eq!(kind.missing_input(given.iter().copied()).as_deref(), missing, "{given:?}");
        }
        for (name, taken) in [
            ("clip1", true),
            ("clip10", true),
            ("profile3", true),
            ("voice", true),
            ("weights", true),
            ("weights?", false),
            ("clip", false),
            ("clip0", false),
            ("clip01", false),
            ("clip+1", false),
            ("clips1", false),
            ("voice1", false),
        ] {
            assert_eq!(kind.takes_input(name), taken, "{name}");
        }
        let input =
            |label: &str| StepInput { path: PathBuf::new(), label: label.into(), sha256: String::new() };
        let inputs = ["clip10", "clip2", "voice", "clip1"].map(|name| (name.to_owned(), input(name)));
        let names: Vec<_> =
            numbered(&inputs.into(), "clip").into_iter().map(|(_, i)| i.label.clone()).collect();
        assert_eq!(names, ["clip1", "clip2", "clip10"]);
    }
}
