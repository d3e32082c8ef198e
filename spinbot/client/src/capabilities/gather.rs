//! The manifest made of what is declared elsewhere: names and defaults of the builders' types, the models their steps load.

use super::{Capabilities, Choice, Group, Need};
use crate::base_model::DEFAULT_BASE;
use crate::container::{Container, Noun};
use crate::models::{AddedModel, AddedModels};
use crate::narration::DEFAULT_VOICE;
use crate::render::{Preset, Subtitles};
use crate::script::DEFAULT_LLM;
use crate::steps::{Drive, ReadPortrait, ReadVoice, Speak, StepParams, Tone, WriteScript};
use crate::style::Style;
use crate::variants::Variant;
use crate::voices::STOCK;
use crate::{Fault, Result};
use std::path::Path;
use std::str::FromStr;

/// What the program knows of models.
pub trait Inventory {
    /// The models that steps of that kind load.
    fn of_step(&self, kind: &str) -> Vec<Need>;
    /// The model of that id among SpinBot's own.
    fn of_model(&self, id: &str) -> Option<Need>;
}

/// A single file of Stable Diffusion, by the names of its tensors.
const DIFFUSION: &str = "model.diffusion_model.";
/// A file that may be one.
const PICTURES: Noun =
    Noun { name: "image model", origin: "draws pictures", largest_header: 16 << 20, largest_file: 64 << 30 };

impl Capabilities {
    /// What can be made with those models.
    ///
    /// # Errors
    /// When the list of added models cannot be read.
    pub fn gather(inventory: &dyn Inventory, models: &AddedModels) -> Result<Self> {
        let added = models.list()?;
        Ok(Capabilities {
            software: concat!("spinbot ", env!("CARGO_PKG_VERSION")).to_owned(),
            groups: vec![
                variants(inventory, models),
                named("preset", "%render --preset NAME", Preset::NAMES, |preset: Preset| {
                    let (side, quantizer) = preset.size_and_quantizer();
                    format!("At most {side} pixels along a side, H.264 quantizer {quantizer}.")
                }),
                named("style", "%render --style NAME", Style::NAMES, |style| match style {
                    Style::Still => "Mouth and lids move.".to_owned(),
                    Style::Lively => "Head and brows move too.".to_owned(),
                }),
                named(
                    "subtitles",
                    "%render --subtitles NAME",
                    Subtitles::NAMES,
                    |subtitles| match subtitles {
                        Subtitles::Off => "None.".to_owned(),
                        Subtitles::Beside => "With their times, beside the player.".to_owned(),
                        Subtitles::Burned => "In the picture.".to_owned(),
                    },
                ),
                synthesisers(inventory, &added),
                named("tone", "%script --tone NAME", Tone::NAMES, |tone| match tone {
                    Tone::Casual => "As among friends.".to_owned(),
                    Tone::Formal => "As in a lecture.".to_owned(),
                    Tone::Playful => "With jokes.".to_owned(),
                    Tone::Dramatic => "As on a stage.".to_owned(),
                }),
                language_models(inventory, &added),
                image_models(inventory, &added),
            ],
        })
    }
}

/// A group of names that need nothing.
fn named<T>(name: &str, chosen_by: &str, names: &[&str], about: impl Fn(T) -> String) -> Group
where
    T: FromStr<Err = Fault> + Default + PartialEq,
{
    let mut group =
        Group { name: name.into(), chosen_by: chosen_by.into(), default: String::new(), choices: Vec::new() };
    for name in names {
        // Each type reads its own names; a test holds that none is left out.
        let Ok(choice) = name.parse::<T>() else { continue };
        if choice == T::default() {
            group.default = (*name).to_owned();
        }
        group.choices.push(Choice {
            name: (*name).into(),
            about: about(choice),
            needs: Vec::new(),
            licence: None,
        });
    }
    group
}

/// What these steps load, each once.
fn of_steps(inventory: &dyn Inventory, kinds: &[&str]) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    for need in kinds.iter().flat_map(|kind| inventory.of_step(kind)) {
        if needs.iter().all(|known| known.id != need.id) {
            needs.push(need);
        }
    }
    needs
}

/// A model of the user's own, which is here.
fn own(model: &AddedModel, title: &str, licence: Option<&str>) -> Need {
    Need {
        id: model.id.clone(),
        title: title.into(),
        bytes: std::fs::metadata(&model.path).ok().filter(|found| found.is_file()).map(|found| found.len()),
        licence: licence.map(str::to_owned),
        present: Some(model.path.exists()),
        how: None,
    }
}

fn variants(inventory: &dyn Inventory, models: &AddedModels) -> Group {
    let choice = |variant: &Variant| {
        let about = variant.about();
        let mut needs = of_steps(inventory, &[ReadPortrait::KIND, Drive::KIND, about.step]);
        if let Some(wanted) = about.model {
            let found = variant.model(models).ok().flatten();
            needs.push(match found {
                Some(model) => own(&model, wanted.title, Some(wanted.licence)),
                None => Need {
                    id: about.name.into(),
                    title: wanted.title.into(),
                    bytes: Some(wanted.bytes),
                    licence: Some(wanted.licence.into()),
                    present: Some(false),
                    how: Some(wanted.how.into()),
                },
            });
        }
        let licence = about.licence.map(str::to_owned);
        Choice { name: about.name.into(), about: about.summary.into(), needs, licence }
    };
    Group {
        name: "variant".into(),
        chosen_by: "%render --variant NAME".into(),
        default: Variant::default().about().name.into(),
        choices: Variant::ALL.iter().map(choice).collect(),
    }
}

fn synthesisers(inventory: &dyn Inventory, added: &[AddedModel]) -> Group {
    let kokoro = Choice {
        name: "kokoro".into(),
        about: format!("Kokoro-82M: {} stock voices (as {DEFAULT_VOICE}), profiles, mixtures.", STOCK.len()),
        needs: of_steps(inventory, &[ReadVoice::KIND, Speak::KIND]),
        licence: None,
    };
    let mut choices = vec![kokoro];
    for model in added {
        let voices = model.voices();
        if let Some(voice) = voices.first() {
            choices.push(Choice {
                name: model.id.clone(),
                about: format!("pocket-tts of your own: {} preset voices, as {}.", voices.len(), voice.name),
                needs: vec![own(model, "weights of pocket-tts", None)],
                licence: None,
            });
        }
    }
    if choices.len() == 1 {
        choices.push(Choice {
            name: "pocket-tts".into(),
            about: "pocket-tts, with its preset voices and voices cloned by prompt.".into(),
            needs: vec![Need {
                id: "pocket-tts".into(),
                title: "weights of pocket-tts".into(),
                bytes: None,
                licence: None,
                present: Some(false),
                how: Some(
                    "make a release on your disk known with `spinbot models add FILE.safetensors --as NAME`"
                        .into(),
                ),
            }],
            licence: None,
        });
    }
    Group {
        name: "synthesiser".into(),
        chosen_by: "%speak --voice VOICE, by the voice".into(),
        default: "kokoro".into(),
        choices,
    }
}

fn language_models(inventory: &dyn Inventory, added: &[AddedModel]) -> Group {
    let mut choices = vec![Choice {
        name: DEFAULT_LLM.into(),
        about: "Runs in SpinBot.".into(),
        needs: of_steps(inventory, &[WriteScript::KIND]),
        licence: None,
    }];
    let gguf = added.iter().filter(|model| model.path.extension().is_some_and(|e| e == "gguf"));
    choices.extend(gguf.map(|model| Choice {
        name: model.id.clone(),
        about: "A GGUF file of your own, runs in SpinBot.".into(),
        needs: vec![own(model, "a language model", None)],
        licence: None,
    }));
    choices.push(Choice {
        name: "ollama:NAME".into(),
        about: "A model of Ollama's, asked over HTTP on this machine.".into(),
        needs: vec![Need {
            id: "ollama".into(),
            title: "a running Ollama with that model".into(),
            bytes: None,
            licence: None,
            present: None,
            how: None,
        }],
        licence: None,
    });
    Group { name: "llm".into(), chosen_by: "%script --llm NAME".into(), default: DEFAULT_LLM.into(), choices }
}

fn image_models(inventory: &dyn Inventory, added: &[AddedModel]) -> Group {
    let built_in = inventory.of_model(DEFAULT_BASE);
    let mut choices = vec![Choice {
        name: DEFAULT_BASE.into(),
        about: built_in.as_ref().map_or(String::new(), |need| need.title.clone()),
        needs: built_in.into_iter().collect(),
        licence: None,
    }];
    choices.extend(added.iter().filter(|model| draws(&model.path)).map(|model| Choice {
        name: model.id.clone(),
        about: "Stable Diffusion of your own.".into(),
        needs: vec![own(model, "an image model", None)],
        licence: None,
    }));
    Group {
        name: "base".into(),
        chosen_by: "%draw --base NAME, %train_lora --base NAME".into(),
        default: DEFAULT_BASE.into(),
        choices,
    }
}

/// Whether an added model draws: folders are diffusers' own, a single file is known by its tensors.
fn draws(path: &Path) -> bool {
    path.is_dir()
        || Container::open(path, &PICTURES)
            .is_ok_and(|file| file.names().any(|name| name.starts_with(DIFFUSION)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Show;

    /// Knows what the steps load, and has all but one of it.
    struct Shelf;

    impl Inventory for Shelf {
        fn of_step(&self, kind: &str) -> Vec<Need> {
            let ids: &[&str] = match kind {
                ReadPortrait::KIND => &["face-detector"],
                ReadVoice::KIND => &["kokoro-voices"],
                Speak::KIND => &["kokoro"],
                _ => &[],
            };
            ids.iter().filter_map(|id| self.of_model(id)).collect()
        }

        fn of_model(&self, id: &str) -> Option<Need> {
            let missing = id == "kokoro";
            Some(Need {
                id: id.into(),
                title: format!("the {id}"),
                bytes: Some(2_500_000),
                licence: Some("MIT".into()),
                present: Some(!missing),
                how: missing.then(|| "spinbot models pull kokoro".into()),
            })
        }
    }

    #[test]
    fn everything_that_can_be_chosen_is_listed_with_what_it_needs() {
        let folder = crate::voices::test_folder();
        let models = crate::models::tests::added(&folder);
        let told = Capabilities::gather(&Shelf, &models).unwrap();
        let names = |group: &str| -> Vec<String> {
            told.group(group).unwrap().choices.iter().map(|choice| choice.name.clone()).collect()
        };
        assert_eq!(names("variant"), Variant::NAMES);
        assert_eq!(names("preset"), Preset::NAMES);
        assert_eq!(names("style"), Style::NAMES);
        assert_eq!(names("subtitles"), Subtitles::NAMES);
        assert_eq!(names("tone"), Tone::NAMES);
        assert_eq!(names("synthesiser"), ["kokoro", "pocket"]);
        assert_eq!(names("llm"), ["smollm2", "stories", "ollama:NAME"]);
        assert_eq!(names("base"), ["portraits"]);
        for group in &told.groups {
            let defaults = group.choices.iter().filter(|choice| choice.name == group.default).count();
            assert_eq!(defaults, 1, "{}", group.name);
            assert!(group.choices.iter().all(|choice| !choice.about.is_empty()), "{}", group.name);
        }
        let ready = |group: &str, n: usize| told.group(group).unwrap().choices[n].ready();
        assert_eq!((ready("variant", 0), ready("variant", 1)), (Some(true), Some(false)));
        assert_eq!((ready("synthesiser", 0), ready("llm", 2)), (Some(false), None));
        let json = serde_json::to_value(&told).unwrap();
        let need = &json["groups"][0]["choices"][1]["needs"][1];
        assert_eq!((&need["id"], &need["present"]), (&"wav2lip".into(), &false.into()));
        assert!(need["how"].as_str().unwrap().contains("spinbot models add"));
        assert_eq!(serde_json::from_value::<Capabilities>(json.clone()).unwrap(), told);

        let shown = told.bundle();
        assert_eq!(shown.data[super::super::MIME], json);
        let text = shown.data["text/plain"].as_str().unwrap();
        for wanted in [
            "portrait (default)",
            "standard (default)",
            "kokoro, 2.5 MB, MIT, not here",
            "the kokoro: spinbot models pull kokoro",
            "research and non-commercial use only",
        ] {
            assert!(text.contains(wanted), "`{wanted}` is missing in\n{text}");
        }
        assert_eq!(text.matches("spinbot models pull kokoro").count(), 1);
        assert!(shown.data["text/html"].as_str().unwrap().contains("&lt;") || !text.contains('<'));

        let lips = "face_encoder_blocks.0.0.conv_block.0.weight";
        let path = crate::variants::tests::add(&folder, "lips", lips);
        crate::variants::tests::add(&folder, "dreams", "model.diffusion_model.out.0.weight");
        let told = Capabilities::gather(&Shelf, &models).unwrap();
        let need = &told.group("variant").unwrap().choices[1].needs[1];
        assert_eq!((need.id.as_str(), need.present, &need.how), ("lips", Some(true), &None));
        assert_eq!(need.bytes, Some(path.metadata().unwrap().len()));
        assert_eq!(told.group("base").unwrap().choices[1].name, "dreams");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_program_that_tells_nothing_is_named() {
        for program in ["true", "false", "no such program anywhere"] {
            let fault = Capabilities::ask(program.as_ref()).unwrap_err();
            assert!(fault.message.starts_with(&format!("{program} tells no capabilities: ")), "{fault}");
        }
    }
}
