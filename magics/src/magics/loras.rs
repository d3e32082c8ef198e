//! `%loras`: the LoRAs there are, and carrying them from one program to another.

use crate::error::{Failure, MagicError};
use crate::session::StreamName;
use crate::spec::{Arg, Example, Kind};
use crate::{Call, Magic, Session, follow, view};
use spinbot::loras::{LoraFormat, LoraList};
use spinbot::steps::ConvertLora;
use spinbot::{Fault, Input, Plan, Step, base_model_for};

pub(crate) struct Loras;

const ARGS: &[Arg] = &[
    Arg::positional("lora", "NAME", Kind::Lora, "Show this one; or the name of the LoRA meant below."),
    Arg::flag("export", "FILE", Kind::Path, "Write the LoRA to this file."),
    Arg::flag(
        "format",
        "FORMAT",
        Kind::Choice(LoraFormat::NAMES),
        "With --export: for diffusers, or kohya's for ComfyUI and A1111; as it is when not given.",
    ),
    Arg::flag(
        "base",
        "MODEL",
        Kind::Model,
        "With --format: the model it was made for, by the name it was added under; the one it says when not given.",
    ),
    Arg::flag("import", "FILE", Kind::File, "Take in a LoRA of another program, under NAME or its own name."),
    Arg::switch("remove", "Delete the LoRA."),
];

impl Magic for Loras {
    fn name(&self) -> &'static str {
        "loras"
    }

    fn summary(&self) -> &'static str {
        "Shows the LoRAs there are; exports, imports and removes them."
    }

    fn details(&self) -> &'static str {
        "A LoRA teaches a model to draw someone or something: `%draw \"nova on a stage\" --lora nova:0.8`. It is one \
         .safetensors file in the `loras` folder of SpinBot's data; those that diffusers, peft, kohya, ComfyUI and \
         A1111 write are taken. Pickles are not read. The same in Rust: `spinbot::loras()?`, \
         `spinbot::Lora::load(\"nova\")?`."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn examples(&self) -> &'static [Example] {
        &[
            Example { cell: "%loras", about: "List them: trigger, rank, what each was made for." },
            Example {
                cell: "%loras nova --export nova-copy.safetensors",
                about: "Write one to a file; with `--format kohya` for ComfyUI and A1111.",
            },
        ]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let fault = |fault: Fault| Failure::from(call.fault(fault));
        let name = call.text("lora");
        let given: Vec<&str> = ["export", "import", "remove"].into_iter().filter(|f| call.has(f)).collect();
        if let [_, second, ..] = given.as_slice() {
            let span = call.span(second).unwrap_or(call.head());
            let error = MagicError::at(span, "one thing at a time: --export, --import or --remove");
            return Err(error.help("keep one of them").into());
        }
        let named = |what: &str| {
            name.ok_or_else(|| {
                let span = call.span(what).unwrap_or(call.head());
                MagicError::at(span, format!("--{what} needs the name of a LoRA"))
                    .help(format!("write `%loras NAME --{what}`; `%loras` lists them"))
            })
        };
        if let Some(span) = call.span("format").filter(|_| !call.has("export")) {
            return Err(MagicError::at(span, "a format is what a LoRA is exported in")
                .help("name the file with --export")
                .into());
        }
        let store = cx.loras();
        if let Some(file) = call.path("export") {
            let lora = store.find(named("export")?).map_err(fault)?;
            let format = match call.text("format") {
                Some(format) => format.parse().map_err(fault)?,
                None => lora.format(),
            };
            if format == lora.format() {
                lora.export(file).map_err(|f| fault(f.about("export")))?;
            } else {
                let models = cx.profiles().models().clone();
                let made_for = std::slice::from_ref(&lora);
                let model = base_model_for(call.text("base"), made_for, &models).map_err(fault)?;
                let step = Step::new(&ConvertLora { format })
                    .with("lora", Input::File(lora.path().to_owned()))
                    .with("model", model.input());
                let plan = Plan {
                    title: format!("write the LoRA {} for {}", lora.name(), format.name()),
                    result: (step.id.clone(), "lora".into()),
                    steps: vec![step],
                };
                let places = call.span("base").map(|span| ("model".to_owned(), span));
                let view = follow::to_its_end(plan, &call.pointing(places), cx)?;
                let made = view.result().map_err(fault)?;
                spinbot::loras::copy_whole(&made.path, file).map_err(|f| fault(f.about("export")))?;
            }
            cx.stream(StreamName::Stdout, &format!("{} is in {}\n", lora.name(), file.display()));
        } else if let Some(file) = call.path("import") {
            let lora = store.import(file, name).map_err(|f| match f.argument.as_deref() {
                Some("import") => fault(f),
                // Only the name can be at fault by itself.
                _ if name.is_some() => fault(f.about("lora")),
                _ => fault(f.about("import")),
            })?;
            cx.display(&view::loras(&LoraList { loras: vec![lora], damaged: Vec::new() }), None);
        } else if call.has("remove") {
            let lora = store.find(named("remove")?).map_err(fault)?;
            // A file elsewhere is the user's own business.
            if store.path(lora.name()).as_deref() != Some(lora.path()) {
                let message = format!("{} is not one of SpinBot's own", lora.path().display());
                return Err(fault(Fault::new(message).help("give a name that `%loras` lists").about("lora")));
            }
            let name = lora.name().to_owned();
            lora.remove().map_err(fault)?;
            cx.stream(StreamName::Stdout, &format!("removed {name}\n"));
        } else if let Some(name) = name {
            let lora = store.find(name).map_err(fault)?;
            cx.display(&view::loras(&LoraList { loras: vec![lora], damaged: Vec::new() }), None);
        } else {
            cx.display(&view::loras(&store.list().map_err(fault)?), None);
        }
        Ok(())
    }
}
