//! `%train_lora`: a model learns a face or a character from a few pictures.

use crate::error::{Failure, MagicError};
use crate::follow;
use crate::spec::{Arg, BodyKind, DETACH, DEVICE, DRY_RUN, Example, Kind, PRECISION, SEED};
use crate::view::{Trained, training_card};
use crate::{Call, Magic, Session, beside, convert, leave, view};
use spinbot::event::ArtifactRef;
use spinbot::models::AddedModels;
use spinbot::pictures::{Captions, Crop, pictures};
use spinbot::steps::{LoraTargets, LrSchedule, TrainLora as Settings};
use spinbot::{Bundle, Fault, JobView, Loras, Plan, TrainLora as Builder, TrainedLora};

pub(crate) struct TrainLora;

const ARGS: &[Arg] = &[
    Arg::positional("pictures", "PATH", Kind::Path, "A picture, a folder of them, or a pattern as `photos/*.jpg`.")
        .required()
        .repeated(),
    Arg::flag("as", "NAME", Kind::Name, "The LoRA's name, and the Rust variable's.").required(),
    Arg::flag(
        "trigger",
        "WORD",
        Kind::Text,
        "The word that calls up what was learned; NAME where it is a plain word, else `ohwx`.",
    ),
    Arg::flag("base", "MODEL", Kind::Model, "Which model learns it, by the name it was added under; the one built in when not given."),
    Arg::flag("steps", "N", Kind::Int { min: 1, max: 100_000 }, "Steps of training.").default("250"),
    Arg::flag("rank", "N", Kind::Int { min: 1, max: 256 }, "How much the adapters can hold.").default("8"),
    Arg::flag(
        "alpha",
        "X",
        Kind::Number { min: 0.001, max: 4096.0 },
        "What they count by, times the rank; as the rank when not given.",
    ),
    Arg::flag(
        "lr",
        "X",
        Kind::Number { min: 1e-9, max: 1.0 },
        "The learning rate; what suits the model when not given.",
    ),
    Arg::flag(
        "batch",
        "N",
        Kind::Int { min: 1, max: 64 },
        "Pictures of a step; what suits the model when not given.",
    ),
    Arg::flag(
        "resolution",
        "N",
        Kind::Int { min: 64, max: 2048 },
        "Side in pixels of the square whose area the pictures have; the model's own when not given.",
    ),
    Arg::flag(
        "crop",
        "HOW",
        Kind::Choice(Crop::NAMES),
        "`face` cuts a square around the face out where there is one, `whole` takes what fits the shape.",
    )
    .default("face"),
    Arg::flag(
        "caption-from",
        "WHAT",
        Kind::Text,
        "`files` (NAME.txt beside NAME.png), `auto` (what is seen), or a caption for every picture.",
    )
    .default("files"),
    Arg::switch("flip", "Learn from the mirror images too."),
    Arg::flag(
        "preview",
        "PROMPT",
        Kind::Text,
        "What is drawn before, while and after it learns, with the trigger word in it; told by the captions when not given.",
    )
    .repeated(),
    Arg::flag(
        "preview-every",
        "N",
        Kind::Int { min: 0, max: 100_000 },
        "Steps between previews; 0 for before and after only.",
    )
    .default("100"),
    Arg::flag(
        "save-every",
        "N",
        Kind::Int { min: 1, max: 100_000 },
        "Steps that may be lost when the machine stops; stopping the cell loses none.",
    )
    .default("50"),
    Arg::flag(
        "targets",
        "LAYERS",
        Kind::Choice(LoraTargets::NAMES),
        "Which layers of the UNet learn; what suits the model when not given.",
    ),
    Arg::flag("text-encoder", "YES", Kind::Choice(&["yes", "no"]), "Whether the text encoder learns too.")
        .default("yes"),
    Arg::flag(
        "prior",
        "SHARE",
        Kind::Number { min: 0.0, max: 0.9 },
        "Share of the pictures of a step that the model draws itself first, so that it keeps what else it knows.",
    )
    .default("0.4"),
    Arg::flag(
        "schedule",
        "HOW",
        Kind::Choice(LrSchedule::NAMES),
        "What the learning rate does after its warm-up.",
    )
    .default("cosine"),
    Arg::flag("warm-up", "N", Kind::Int { min: 0, max: 10_000 }, "Steps in which the learning rate rises.")
        .default("10"),
    Arg::flag(
        "accumulate",
        "N",
        Kind::Int { min: 1, max: 64 },
        "Batches whose gradients make one step: large batches in little memory.",
    )
    .default("1"),
    Arg::flag(
        "min-snr",
        "GAMMA",
        Kind::Number { min: 0.1, max: 100.0 },
        "Count steps of little noise less (Hang et al. 2023), 5 is usual; all alike when not given.",
    ),
    Arg::flag(
        "noise-offset",
        "X",
        Kind::Number { min: 0.0, max: 1.0 },
        "Share of the noise that is the same everywhere: darker darks and lighter lights, 0.05 is usual.",
    )
    .default("0"),
    Arg::flag("dropout", "SHARE", Kind::Number { min: 0.0, max: 0.9 }, "Share of what adapters see that is dropped.")
        .default("0"),
    Arg::flag(
        "ema",
        "DECAY",
        Kind::Number { min: 0.5, max: 0.99999 },
        "Keep the running mean of the weights instead of the last ones, with this decay.",
    ),
    Arg::switch(
        "gradient-checkpointing",
        "Compute activations twice instead of keeping them: a third slower, in a quarter to half of the memory.",
    ),
    DEVICE,
    PRECISION,
    SEED,
    DRY_RUN,
    DETACH,
];

/// Above this a picture goes beside the notebook: the end's card has two.
const LARGEST_PICTURE: u64 = beside::LARGEST_OUTPUT * 3 / 4 / 2;

impl Magic for TrainLora {
    fn name(&self) -> &'static str {
        "train_lora"
    }

    fn summary(&self) -> &'static str {
        "Teaches a model a face or a character from a few pictures, with a live curve and growing previews."
    }

    fn details(&self) -> &'static str {
        "Four to twenty pictures are best: one person or character, different poses, light and backgrounds. Each is \
         turned upright and cut around its face; of five or more one is kept back, and the loss on it is the curve \
         that counts. A picture that cannot be read is left out and named.\n\n\
         A caption says what a picture shows *besides* who it shows: what it names stays changeable. It is read from \
         a text file beside the picture, in which `{}` stands for the trigger word; where there is none it says what is seen: which way the face looks, a smile, \
         a plain background, and nothing that is not measured.\n\n\
         Stopping the cell keeps what was learned so far: the same cell, run again, goes on from there, to the same \
         result. The LoRA is kept on this machine under its name, for `%draw \"... NAME ...\" --lora NAME`; an older \
         one of that name is replaced. `%loras NAME --export FILE` writes it for ComfyUI, A1111 and diffusers.\n\n\
         Leaves a Rust variable of type `spinbot::TrainedLora`. The same in Rust: \
         `spinbot::train_lora(\"photos/\").name(\"nova\").steps(250).run()?`. Pictures of a person belong to that \
         person: learn your own face, or one whose owner agreed."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn body(&self) -> BodyKind {
        BodyKind::Toml
    }

    fn examples(&self) -> &'static [Example] {
        &[
            Example {
                cell: "%train_lora me.jpg --as nova",
                about: "Learn `nova`, then `%draw \"nova on a stage\" --lora nova`.",
            },
            Example {
                cell: "%train_lora *.jpg --as robot --caption-from \"portrait of robot\" --preview \"robot on the moon\" --steps 400",
                about: "One caption for all, and a prompt to watch while it learns.",
            },
            Example {
                cell: "%%train_lora\npictures = [\"me.jpg\"]\nas = \"nova\"\ncaption_from = \"auto\"\nrank = 16\nprior = 0",
                about: "The same arguments as TOML, with captions of what is seen.",
            },
        ]
    }

    fn instead_of(&self, given: &str) -> Option<String> {
        match given {
            "--resume" => {
                Some("leave it out: the same cell, run again, goes on where it was stopped".to_owned())
            }
            "--transcript" | "--caption" | "--captions" => {
                Some("write --caption-from files, --caption-from auto or --caption-from \"WORDS\"".to_owned())
            }
            _ => None,
        }
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let name = call.text("as").unwrap_or_default().to_owned();
        let loras = cx.loras();
        let (plan, settings, call) = plan(call, &name, loras.clone(), cx.profiles().models().clone())?;
        let fault = |fault: Fault| Failure::from(call.fault(fault));
        let replaced = loras.path(&name).is_some_and(|path| path.exists());
        let mut grid = None;
        let card = &mut |view: &JobView| training_card(view, &mut grid);
        let Some((display_id, view)) = follow::run_as(plan, &call, cx, card)? else {
            if call.has("detach") && !call.has("dry-run") {
                let later = "run this cell again without --detach once the job is done: nothing is computed twice, \
                             and the LoRA is kept";
                cx.display(&Bundle::text(later), None);
            }
            return Ok(());
        };
        let trained = TrainedLora::keep(&view, &name, &loras).map_err(fault)?;
        leave::from_json("spinbot::TrainedLora", &trained.to_json().map_err(fault)?, &name, &call, cx)?;
        let shown = shown(&trained, &view, &settings, replaced, cx).map_err(fault)?;
        cx.update(&display_id, &shown);
        Ok(())
    }
}

/// The plan, what it is trained with, and the call in which its faults point at the right path.
fn plan(
    call: &Call,
    name: &str,
    loras: Loras,
    models: AddedModels,
) -> Result<(Plan, Settings, Call), MagicError> {
    let (mut files, mut places) = (Vec::new(), Vec::new());
    for (path, span) in call.placed_paths("pictures") {
        let found = pictures(&convert::as_short_as_possible(path))
            .map_err(|Fault { message, help, .. }| MagicError { message, help, span: Some(span) })?;
        for file in found {
            if !files.contains(&file) {
                files.push(file);
                places.extend(["picture", "caption"].map(|stem| (format!("{stem}{}", files.len()), span)));
            }
        }
    }
    // What is told of "a picture" without its number can only be of the path that was given.
    let paths: Vec<_> = call.placed_paths("pictures").map(|(_, span)| span).collect();
    places.extend(paths.first().map(|span| ("picture".to_owned(), *span)));
    places.extend(call.span("base").map(|span| ("model".to_owned(), span)));
    let call = call.pointing(places);

    let number = |name: &str| call.int(name).and_then(|n| u32::try_from(n).ok());
    let default = Settings::default();
    let settings = Settings {
        name: name.to_owned(),
        steps: number("steps").unwrap_or(default.steps),
        rank: number("rank").unwrap_or(default.rank),
        alpha: call.number("alpha"),
        lr: call.number("lr"),
        batch: number("batch"),
        targets: call.text("targets").and_then(|name| name.parse().ok()),
        text_encoder: call.text("text-encoder") != Some("no"),
        prior_share: call.number("prior").unwrap_or(default.prior_share),
        prompts: call.texts("preview").map(str::to_owned).collect(),
        preview_every: number("preview-every").unwrap_or(default.preview_every),
        save_every: number("save-every").unwrap_or(default.save_every),
        // Choices were checked when the line was read.
        schedule: call.text("schedule").and_then(|name| name.parse().ok()).unwrap_or(default.schedule),
        warm_up: number("warm-up").unwrap_or(default.warm_up),
        accumulate: number("accumulate").unwrap_or(default.accumulate),
        min_snr_gamma: call.number("min-snr"),
        noise_offset: call.number("noise-offset").unwrap_or(default.noise_offset),
        dropout: call.number("dropout").unwrap_or(default.dropout),
        ema: call.number("ema"),
        gradient_checkpointing: call.has("gradient-checkpointing"),
        device: call.text("device").map_or(default.device, str::to_owned),
        precision: call.text("precision").and_then(|name| name.parse().ok()),
        ..default
    };
    let mut train: Builder = files
        .into_iter()
        .fold(None, |train: Option<Builder>, file| {
            Some(match train {
                Some(train) => train.and(file),
                None => spinbot::train_lora(file),
            })
        })
        .ok_or_else(|| MagicError::at(call.head(), "no picture is named").help("name a file or a folder"))?
        .name(name)
        .settings(settings.clone())
        .loras(loras)
        .models(models)
        .captions(match call.text("caption-from").unwrap_or_default() {
            "files" => Captions::Files,
            "auto" => Captions::Auto,
            words => Captions::Words(words.to_owned()),
        });
    if let Some(word) = call.text("trigger") {
        train = train.trigger(word);
    }
    if let Some(model) = call.text("base") {
        train = train.base(model);
    }
    if let Some(pixels) = number("resolution") {
        train = train.resolution(pixels);
    }
    if let Some(crop) = call.text("crop").and_then(|name| name.parse().ok()) {
        train = train.crop(crop);
    }
    if call.has("flip") {
        train = train.flip();
    }
    if let Some(seed) = call.int("seed").and_then(|seed| u64::try_from(seed).ok()) {
        train = train.seed(seed);
    }
    let plan = train.plan().map_err(|fault| call.fault(fault))?;
    Ok((plan, settings, call))
}

/// What was learned, from what, and what to type next.
fn shown(
    trained: &TrainedLora,
    view: &JobView,
    settings: &Settings,
    replaced: bool,
    cx: &dyn Session,
) -> Result<Bundle, Fault> {
    let place = |artifact: &ArtifactRef, what: &str| -> Result<(Vec<u8>, Option<String>), Fault> {
        match view::inline_size(artifact.size, 0) <= LARGEST_PICTURE {
            true => Ok((artifact.bytes()?, None)),
            false => {
                let name = format!("{}-{what}", trained.name());
                Ok((Vec::new(), Some(beside::put(artifact, &name, "png", what, cx.cwd())?)))
            }
        }
    };
    let (grid, sheet) = (place(trained.grid(), "grid")?, place(trained.sheet(), "sheet")?);
    let mut facts = Vec::new();
    if !view.cached.is_empty() {
        facts.push(("already there", view.cached.join(", ")));
    }
    let kept =
        format!("{}{}", trained.path().display(), if replaced { ", in place of an older one" } else { "" });
    facts.push(("file", kept));
    facts.push(("variable", trained.name().to_owned()));
    let (report, pictures) = (trained.report()?, trained.pictures()?);
    let card = Trained {
        trained,
        report: &report,
        pictures: &pictures,
        settings,
        grid: view::source(&grid),
        sheet: view::source(&sheet),
        facts: &facts,
    };
    card.bundle()
}
