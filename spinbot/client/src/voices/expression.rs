//! Voices as they are typed: `me`, `af_heart`, `af_heart:0.6+am_echo:0.4`, `me:0.7+af_nova:0.3`, `pocket/alba`.

use super::{Profiles, STOCK, Synthesiser, stock};
use crate::models::AddedModel;
use crate::plan::{Input, Step};
use crate::steps::{BlendPart, ReadVoice};
use crate::suggest::nearest;
use crate::{Fault, Result};
use std::path::PathBuf;

/// More parts than this is a slip, not a voice.
const MOST_PARTS: usize = 16;

/// A voice or a mixture of voices.
#[derive(Debug, Clone, PartialEq)]
pub struct VoiceExpression {
    parts: Vec<VoicePart>,
}

/// One voice of a mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct VoicePart {
    /// A stock voice or a profile.
    pub name: String,
    /// Its share: above 0, relative to the others'.
    pub weight: f64,
}

impl VoiceExpression {
    /// The voices it is mixed of.
    pub fn parts(&self) -> &[VoicePart] {
        &self.parts
    }

    /// The step that makes it: profiles as its inputs `profile1`, ..., and the model it speaks with as `weights` where
    /// that is one of the user's own.
    ///
    /// # Errors
    /// When a part is neither a stock voice, nor one of `profiles`, nor one of a model of the user's own, with the
    /// nearest name; when such a voice is to be mixed, or its model is not here.
    pub fn read_voice(&self, profiles: &Profiles) -> Result<Step> {
        let (mut blend, mut files) = (Vec::new(), Vec::new());
        let mut weights = None;
        for VoicePart { name, weight } in &self.parts {
            let voice = if stock(name).is_some() {
                name.clone()
            } else {
                let (path, model) = own(name, profiles)?;
                files.push(path);
                if let (Some(_), [_, _, ..]) = (&model, self.parts.as_slice()) {
                    return Err(Fault::new(format!(
                        "`{name}` is a voice of pocket-tts, which cannot be mixed"
                    ))
                    .help("use it alone; stock voices and profiles made without --with can be mixed")
                    .about("voice"));
                }
                weights = model;
                format!("profile{}", files.len())
            };
            blend.push(BlendPart { voice, weight: *weight });
        }
        let step = Step::new(&ReadVoice { blend });
        let step = weights.iter().fold(step, |step, model| step.with("weights", model.input()));
        Ok((1..)
            .zip(files)
            .fold(step, |step, (i, path)| step.with(&format!("profile{i}"), Input::File(path))))
    }
}

/// The file of a voice of the user's own, and the model it speaks with where that is one of theirs.
fn own(name: &str, profiles: &Profiles) -> Result<(PathBuf, Option<AddedModel>)> {
    if let Some(preset) = profiles.models().voices()?.into_iter().find(|preset| preset.name == name) {
        return Ok((preset.path, Some(preset.model)));
    }
    let path = profiles.path(name).filter(|path| path.is_file()).ok_or_else(|| unknown(name, profiles))?;
    let profile = profiles.load(name).map_err(|fault| fault.about("voice"))?;
    let Synthesiser::Pocket { id, sha256 } = profile.synthesiser() else { return Ok((path, None)) };
    let model = profiles.models().list()?.into_iter().find(|model| model.sha256 == *sha256);
    let model = model.ok_or_else(|| {
        let short = sha256.short();
        Fault::new(format!("the voice `{name}` speaks with the model `{id}`, which is not on this machine"))
            .help(format!(
                "make its file known with `spinbot models add FILE --as {id}`; its SHA-256 begins with {short}"
            ))
            .about("voice")
    })?;
    Ok((path, Some(model)))
}

impl std::str::FromStr for VoiceExpression {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self> {
        let fault = |message: String| Fault::new(message).about("voice");
        let mixing = "write NAME, or NAME:SHARE+NAME:SHARE as in `af_heart:0.6+am_echo:0.4`";
        if text.trim().is_empty() {
            return Err(fault("no voice is named".to_owned()).help("`%voices` lists them"));
        }
        let parts: Vec<VoicePart> = text
            .split('+')
            .map(|part| {
                let (name, weight) = match part.split_once(':') {
                    Some((name, weight)) => (name.trim(), Some(weight.trim())),
                    None => (part.trim(), None),
                };
                if name.is_empty() {
                    return Err(fault(format!("`{text}`: a voice is missing in `{part}`")).help(mixing));
                }
                let weight = match weight.map(|weight| (weight, weight.parse::<f64>())) {
                    None => 1.0,
                    Some((_, Ok(weight))) if weight.is_finite() && weight > 0.0 => weight,
                    Some((weight, Ok(_))) => {
                        let message = format!("the share of `{name}` is {weight}, need a number above 0");
                        return Err(fault(message).help(mixing));
                    }
                    Some((weight, Err(_))) => {
                        let message = format!("the share of `{name}` must be a number, got `{weight}`");
                        return Err(fault(message).help(mixing));
                    }
                };
                Ok(VoicePart { name: name.to_owned(), weight })
            })
            .collect::<Result<_>>()?;
        if parts.len() > MOST_PARTS {
            let message =
                format!("a mixture of {} voices is too much, the most is {MOST_PARTS}", parts.len());
            return Err(fault(message).help(mixing));
        }
        Ok(VoiceExpression { parts })
    }
}

/// There is no such voice.
pub(super) fn unknown(name: &str, profiles: &Profiles) -> Fault {
    // A folder that cannot be read has no names to offer.
    let own = profiles.names().unwrap_or_default();
    let presets = profiles.models().voices().unwrap_or_default();
    let known = own.iter().map(String::as_str).chain(STOCK.iter().map(|voice| voice.id));
    let known = known.chain(presets.iter().map(|preset| preset.name.as_str()));
    let fault = Fault::new(format!("there is no voice `{name}`")).about("voice");
    fault.help(match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`? `%voices` lists them"),
        None => "`%voices` lists them; `%clone_voice` makes one of a recording".to_owned(),
    })
}
