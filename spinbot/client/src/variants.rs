//! `--variant`: the ways in which a picture is made to talk. All that is said of one, to plan it, to find its model, to name
//! its licence and to list it, is here; how it computes is in `spinbot-studio`, under the step that it plans.

use crate::container::{Container, Noun};
use crate::models::{AddedModel, AddedModels};
use crate::plan::{Input, Step};
use crate::steps::{Animate, AnimateWav2lip, StepParams};
use crate::{Fault, Result};
use serde::{Deserialize, Serialize};

/// How a picture is made to talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The picture itself is moved.
    #[default]
    Portrait,
    /// A network of the user's own draws the lower face.
    Wav2lip,
}

/// What is known of a variant.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// As it is typed.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The kind of the step that it plans; in the plan each is called `animate`, and leaves the same.
    pub step: &'static str,
    /// The model that it needs, where it is not SpinBot's own.
    pub model: Option<OwnModel>,
    /// On what conditions what it makes may be used, where there are any.
    pub licence: Option<&'static str>,
}

/// A model that only the user can bring.
#[derive(Debug, Clone, Copy)]
pub struct OwnModel {
    /// Its name for people.
    pub title: &'static str,
    /// Size of the published one as safetensors, in bytes.
    pub bytes: u64,
    /// Licence of the published one.
    pub licence: &'static str,
    /// How to get it and make it known.
    pub how: &'static str,
    /// A tensor by whose name it is recognised.
    tensor: &'static str,
}

const PORTRAIT: About = About {
    name: "portrait",
    summary: "The picture itself is moved: lips, teeth, lids, brows and head.",
    step: Animate::KIND,
    model: None,
    licence: None,
};

const WAV2LIP: About = About {
    name: "wav2lip",
    summary: "Wav2Lip draws the lower face from the sound, at 96 pixels; head, lids and brows move as with portrait.",
    step: AnimateWav2lip::KIND,
    model: Some(OwnModel {
        title: "weights of Wav2Lip",
        bytes: 145_316_732,
        licence: "research and non-commercial use only",
        how: "get a checkpoint of github.com/Rudrabha/Wav2Lip (wav2lip.pth or wav2lip_gan.pth; trained on LRS2, for research \
              and non-commercial use only), convert it where you trust it: python3 -c \"import torch, safetensors.torch as \
              s; d = torch.load('wav2lip_gan.pth', map_location='cpu', weights_only=True); s.save_file({k: v.contiguous() \
              for k, v in d['state_dict'].items()}, 'wav2lip.safetensors')\", and make it known: `spinbot models add \
              wav2lip.safetensors`",
        tensor: "face_encoder_blocks.0.0.conv_block.0.weight",
    }),
    licence: Some(
        "the authors' weights of Wav2Lip were trained on LRS2: for research and non-commercial use only",
    ),
};

/// A file of tensors that may be a variant's model.
const CHECKPOINT: Noun = Noun {
    name: "checkpoint",
    origin: "was converted from its authors' own",
    largest_header: 16 << 20,
    largest_file: 4 << 30,
};

/// What a variant animates.
pub(crate) struct Scene {
    pub(crate) picture: Input,
    pub(crate) landmarks: Input,
    pub(crate) matte: Input,
    pub(crate) motion: Input,
    pub(crate) speech: Input,
}

impl Variant {
    /// All of them.
    pub const ALL: &'static [Variant] = &[Variant::Portrait, Variant::Wav2lip];
    /// By name: `portrait`, `wav2lip`.
    pub const NAMES: &'static [&'static str] = &{
        let mut names = [""; Variant::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Variant::ALL[at].about().name;
            at += 1;
        }
        names
    };

    /// What is known of it.
    pub const fn about(self) -> &'static About {
        match self {
            Variant::Portrait => &PORTRAIT,
            Variant::Wav2lip => &WAV2LIP,
        }
    }

    /// The variant that plans steps of that kind.
    pub fn of_step(kind: &str) -> Option<Variant> {
        Variant::ALL.iter().copied().find(|variant| variant.about().step == kind)
    }

    /// The variant whose model that is, by the tensors in its file.
    pub fn of_model(path: &std::path::Path) -> Option<Variant> {
        let checkpoint = Container::open(path, &CHECKPOINT).ok()?;
        let holds = |tensor: &str| {
            // `module.` where it was trained on several devices.
            checkpoint.names().any(|name| name.strip_prefix("module.").unwrap_or(name) == tensor)
        };
        let known = |variant: &Variant| variant.about().model.is_some_and(|model| holds(model.tensor));
        Variant::ALL.iter().copied().find(known)
    }

    /// The user's model for it: of several the one that was added last; nothing where it needs none.
    ///
    /// # Errors
    /// There is none, with how to get one; or the list of models cannot be read.
    pub fn model(self, models: &AddedModels) -> Result<Option<AddedModel>> {
        let About { name, model, .. } = self.about();
        let Some(wanted) = model else { return Ok(None) };
        let found = models.list()?.into_iter().rfind(|added| Variant::of_model(&added.path) == Some(self));
        found.map(Some).ok_or_else(|| {
            Fault::new(format!("the variant `{name}` needs {}, which only you can bring", wanted.title))
                .help(wanted.how)
                .about("variant")
        })
    }

    /// The step that animates that scene.
    ///
    /// # Errors
    /// As [`Variant::model`].
    pub(crate) fn animate(self, scene: Scene, quantizer: u8, models: &AddedModels) -> Result<Step> {
        let Scene { picture, landmarks, matte, motion, speech } = scene;
        let step = match self {
            Variant::Portrait => Step::new(&Animate { quantizer }),
            Variant::Wav2lip => Step::new(&AnimateWav2lip { quantizer }).with("speech", speech),
        };
        let step = match self.model(models)? {
            Some(model) => step.with("weights", model.input()),
            None => step,
        };
        // Whatever comes later finds it under one name.
        let step = Step { id: Animate::KIND.to_owned(), ..step };
        let seen = step.with("picture", picture).with("landmarks", landmarks).with("matte", matte);
        Ok(seen.with("motion", motion).weighing(20.0))
    }
}

impl std::str::FromStr for Variant {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        let found = Variant::ALL.iter().copied().find(|variant| variant.about().name == name);
        found.ok_or_else(|| Fault::not_among(format!("`{name}` is not a variant"), Variant::NAMES, "variant"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    /// A file of one tensor of that name, made known as `id` beside what is already known.
    pub(crate) fn add(folder: &Path, id: &str, tensor: &str) -> PathBuf {
        let header = format!(r#"{{"{tensor}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
        let path = folder.join(format!("{id}.safetensors"));
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat();
        std::fs::write(&path, bytes).unwrap();
        std::fs::create_dir_all(folder.join("models")).unwrap();
        let list = folder.join("models/added.json");
        let known = std::fs::read(&list).unwrap_or_else(|_| b"[]".to_vec());
        let mut known: Vec<serde_json::Value> = serde_json::from_slice(&known).unwrap();
        known.push(serde_json::json!({"id": id, "path": path, "sha256": "c".repeat(64)}));
        std::fs::write(list, serde_json::to_vec(&known).unwrap()).unwrap();
        path
    }

    #[test]
    fn a_model_is_known_by_its_tensors_and_the_last_one_added_is_meant() {
        let folder = crate::voices::test_folder();
        let models = AddedModels::at(&folder);
        assert_eq!(Variant::Portrait.model(&models).unwrap(), None);
        add(&folder, "wav2lip", "model.diffusion_model.input_blocks.0.0.weight");
        std::fs::create_dir_all(folder.join("painter")).unwrap();
        std::fs::write(folder.join("notes.gguf"), "GGUF").unwrap();
        let fault = Variant::Wav2lip.model(&models).unwrap_err();
        assert_eq!(fault.message, "the variant `wav2lip` needs weights of Wav2Lip, which only you can bring");
        assert_eq!(fault.argument.as_deref(), Some("variant"));
        let help = fault.help.unwrap();
        for wanted in
            ["non-commercial", "python3 -c", "['state_dict']", "spinbot models add wav2lip.safetensors"]
        {
            assert!(help.contains(wanted), "`{wanted}` is missing in {help}");
        }
        add(&folder, "one", WAV2LIP.model.unwrap().tensor);
        let last = add(&folder, "two", &format!("module.{}", WAV2LIP.model.unwrap().tensor));
        add(&folder, "three", "model.face_encoder_blocks.0.0.conv_block.0.weight");
        assert_eq!(Variant::Wav2lip.model(&models).unwrap().unwrap().id, "two");
        assert_eq!(Variant::of_model(&last), Some(Variant::Wav2lip));
        assert_eq!(Variant::of_model(&folder), None);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn variants_are_found_by_name_and_by_step() {
        assert_eq!(Variant::NAMES, ["portrait", "wav2lip"]);
        for variant in Variant::ALL {
            let about = variant.about();
            assert_eq!(about.name.parse(), Ok(*variant));
            assert_eq!(Variant::of_step(about.step), Some(*variant));
        }
        let fault = "sadtalker".parse::<Variant>().unwrap_err();
        assert_eq!(fault.help.as_deref(), Some("use one of portrait, wav2lip"));
        assert_eq!(Variant::of_step("encode"), None);
    }
}
