//! The one error of this crate, and the way out each one offers.
//!
//! A step turns it into the user's fault: `to_string()` is the sentence, [`ModelError::help`] the help line.

use std::path::{Path, PathBuf};

/// Result with a [`ModelError`].
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// What can go wrong with models: finding, fetching, checking, loading and running them.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No model of that id is in the manifest or was added.
    #[error("no model is called `{id}`")]
    Unknown {
        /// What was asked for.
        id: String,
        /// What exists.
        known: Vec<String>,
    },
    /// The model has to be fetched before it can be used.
    #[error("the model `{id}` is not on this machine yet")]
    NotFetched {
        /// The model.
        id: String,
    },
    /// The client that fetches this kind of package is not installed.
    #[error("cannot fetch {package}: `{client}` is not installed")]
    ClientMissing {
        /// Name and version of the package.
        package: String,
        /// The program that was looked for.
        client: String,
        /// What to install, as a command.
        install: String,
        /// Whether the model also is built in, so that nothing needs fetching.
        built_in: bool,
    },
    /// The client ran and did not deliver.
    #[error("`{client}` could not fetch {package}: {reason}")]
    ClientFailed {
        /// Name and version of the package.
        package: String,
        /// The program that was run.
        client: String,
        /// Its last words.
        reason: String,
    },
    /// A package does not hold what the manifest says.
    #[error("{package}: {reason}")]
    Package {
        /// Name and version of the package.
        package: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes differ from what the manifest pins.
    #[error("{what}: SHA-256 is {got}, expected {expected}")]
    Hash {
        /// What was hashed.
        what: String,
        /// The pinned hash, hex.
        expected: String,
        /// The hash found, hex.
        got: String,
    },
    /// A weight file is in a format that is not read here.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why it is refused.
        reason: String,
        /// How to convert it.
        convert: String,
    },
    /// No model of the user's own has that id.
    #[error("there is no model of your own called `{id}`")]
    NotAdded {
        /// The id asked for.
        id: String,
    },
    /// A model of the user's own is not what it was when it was added.
    #[error("the model `{id}` {reason}: {}", path.display())]
    Changed {
        /// Its id.
        id: String,
        /// Where it lay.
        path: PathBuf,
        /// What became of it, as the end of a sentence.
        reason: &'static str,
    },
    /// The embedded manifest or the list of added models cannot be read.
    #[error("{what} cannot be read: {reason}")]
    Listing {
        /// Which list.
        what: String,
        /// The parser's words.
        reason: String,
    },
    /// A weight file lacks a tensor or holds it in another shape.
    #[error("weights of `{model}`: {reason}")]
    Weights {
        /// The model.
        model: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// Phonemes, a style or a speed that cannot be spoken.
    #[error("the phonemes cannot be spoken: {reason}")]
    Phonemes {
        /// What is wrong with them.
        reason: String,
    },
    /// A voice, or a blend of voices, that is not one.
    #[error("`{given}` is no voice: {reason}")]
    Voice {
        /// What was given.
        given: String,
        /// What is wrong with it.
        reason: String,
        /// What would be one.
        advice: String,
    },
    /// A device name that is not one.
    #[error("`{given}` is no device: expected auto, cpu, cuda, cuda:N or metal")]
    DeviceName {
        /// What was given.
        given: String,
    },
    /// The device exists in name, but this program or machine cannot use it.
    #[error("the device {device} cannot be used: {reason}")]
    Device {
        /// The device asked for.
        device: String,
        /// Why not.
        reason: String,
        /// What to do instead.
        advice: String,
    },
    /// A picture whose size or bytes make no sense.
    #[error("the picture is {width}x{height}: {reason}")]
    Picture {
        /// Width in pixels, as given.
        width: u32,
        /// Height in pixels, as given.
        height: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// A box that lies outside its picture.
    #[error("the face box {x:.0},{y:.0} {w:.0}x{h:.0} has no pixels in the {width}x{height} picture")]
    FaceBox {
        /// Left edge in pixels.
        x: f32,
        /// Top edge in pixels.
        y: f32,
        /// Width in pixels.
        w: f32,
        /// Height in pixels.
        h: f32,
        /// The picture's width.
        width: u32,
        /// The picture's height.
        height: u32,
    },
    /// Samples that cannot be listened to.
    #[error("{reason}")]
    Sound {
        /// What is wrong with them, a sentence.
        reason: String,
        /// What to give instead.
        advice: String,
    },
    /// A prompt that cannot be read.
    #[error("the prompt: {reason}")]
    Prompt {
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        advice: String,
    },
    /// A picture that cannot be drawn as asked.
    #[error("the drawing: {reason}")]
    Drawing {
        /// What stands in the way.
        reason: String,
        /// What to ask for instead.
        advice: String,
    },
    /// A language model that is not computed here, or a text that it cannot read or write.
    #[error("the language model: {reason}")]
    Language {
        /// What stands in the way.
        reason: String,
        /// What to do instead.
        advice: String,
    },
    /// A scheduler's config, or a run of it, that cannot be met.
    #[error("the scheduler cannot run: {reason}")]
    Scheduler {
        /// What is wrong.
        reason: String,
    },
    /// A request to pocket-tts that cannot be met.
    #[error(transparent)]
    Pocket(#[from] crate::pocket::PocketError),
    /// There was not enough memory on the device.
    #[error("the device ran out of memory while {doing}")]
    Memory {
        /// What was being done.
        doing: &'static str,
    },
    /// A tensor operation failed.
    #[error("{doing} failed in the tensor library: {source}")]
    Tensor {
        /// What was being computed.
        doing: &'static str,
        /// The library's error.
        source: candle_core::Error,
    },
    /// Training that cannot begin or go on.
    #[error("training stopped: {reason}")]
    Training {
        /// Why.
        reason: String,
        /// What to change.
        advice: String,
    },
    /// A file or folder could not be read or written.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as a participle: `reading`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl ModelError {
    /// What to do about it, for the `help:` line under the sentence.
    pub fn help(&self) -> Option<String> {
        match self {
            ModelError::Unknown { known, .. } => Some(format!("known models: {}", known.join(", "))),
            ModelError::NotFetched { id } => Some(format!(
                "fetch it with `%models pull {id}` in a cell, or `spinbot models pull {id}` in a terminal"
            )),
            ModelError::ClientMissing { install, built_in: false, .. } => {
                Some(format!("install it with `{install}` and try again"))
            }
            ModelError::ClientMissing { install, built_in: true, .. } => Some(format!(
                "nothing needs fetching, the model is built in; to rebuild it from its source run `{install}` first"
            )),
            ModelError::ClientFailed { client, .. } => {
                Some(format!("check the network and the registry that `{client}` is configured for"))
            }
            ModelError::Hash { .. } => Some(
                "the file was changed or the download is damaged: pull it again, and do not use it if that does \
                 not help"
                    .into(),
            ),
            ModelError::Format { convert, .. } => Some(convert.clone()),
            ModelError::NotAdded { id } => {
                Some(format!("make it known with `spinbot models add FILE --as {id}`"))
            }
            ModelError::Changed { id, .. } => Some(format!(
                "put the file back, or make another known with `spinbot models add FILE --as {id}`"
            )),
            ModelError::DeviceName { .. } => Some("`auto` takes the fastest one that is there".into()),
            ModelError::Device { advice, .. }
            | ModelError::Voice { advice, .. }
            | ModelError::Sound { advice, .. }
            | ModelError::Prompt { advice, .. }
            | ModelError::Drawing { advice, .. }
            | ModelError::Language { advice, .. }
            | ModelError::Training { advice, .. } => Some(advice.clone()),
            ModelError::Scheduler { .. } => Some(
                "take another sampling method or number of steps: DDIM, Euler, Euler a, DPM++ 2M and LCM are there"
                    .into(),
            ),
            ModelError::Memory { .. } => Some(
                "make it smaller (--size, --resolution, --batch 1, --gradient-checkpointing), end what else uses the \
                 device, or use `--device cpu`"
                    .into(),
            ),
            ModelError::Pocket(error) => error.help(),
            ModelError::Picture { .. } => Some("use an RGB picture of at least 16x16 pixels".into()),
            ModelError::Package { .. }
            | ModelError::Listing { .. }
            | ModelError::Weights { .. }
            | ModelError::Phonemes { .. }
            | ModelError::FaceBox { .. }
            | ModelError::Tensor { .. }
            | ModelError::Io { .. } => None,
        }
    }

    /// For `map_err` on file operations.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ModelError {
        let path = path.to_path_buf();
        move |source| ModelError::Io { doing, path, source }
    }

    /// For `map_err` on tensor operations.
    pub(crate) fn tensor(doing: &'static str) -> impl FnOnce(candle_core::Error) -> ModelError {
        move |source| match out_of_memory(&source) {
            true => ModelError::Memory { doing },
            false => ModelError::Tensor { doing, source },
        }
    }

    /// For `map_err` on the loading of a network's weights.
    pub(crate) fn weights(model: &str) -> impl FnOnce(candle_core::Error) -> ModelError {
        move |source| match out_of_memory(&source) {
            true => ModelError::Memory { doing: "loading weights" },
            false => ModelError::Weights { model: model.to_owned(), reason: source.to_string() },
        }
    }
}

/// Whether a device says that it has no memory left. candle has no error of its own for it; these are the words of CUDA's
/// driver, cuBLAS and Metal.
fn out_of_memory(error: &candle_core::Error) -> bool {
    let text = error.to_string();
    ["OUT_OF_MEMORY", "ALLOC_FAILED", "Failed to create metal resource: Buffer", "OutOfMemory"]
        .iter()
        .any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_memory_is_told_apart_and_helped() {
        let words = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        for error in [
            ModelError::tensor("drawing")(candle_core::Error::Msg(words.into())),
            ModelError::weights("unet")(candle_core::Error::Msg(words.into())),
        ] {
            assert!(matches!(error, ModelError::Memory { .. }), "{error}");
            assert!(error.help().is_some_and(|help| help.contains("--device cpu")));
        }
        let other = ModelError::weights("unet")(candle_core::Error::Msg("cannot find tensor x".into()));
        assert_eq!(other.to_string(), "weights of `unet`: cannot find tensor x");
    }
}
