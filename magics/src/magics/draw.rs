//! `%draw`: pictures of a text.

use crate::error::{Failure, MagicError};
use crate::follow::{self, Shown};
use crate::spec::{Arg, BodyKind, DETACH, DEVICE, DRY_RUN, Example, Kind, PRECISION, named};
use crate::view::{self, DrawnCard, Source};
use crate::{Call, Magic, Session, beside, convert, leave};
use spinbot::draw::{LORA_WEIGHTS, MOST_PICTURES, Sampler};
use spinbot::{Bundle, Drawn, Fault, JobView, Loras};
use std::path::Path;

pub(crate) struct Draw;

const ARGS: &[Arg] = &[
    Arg::positional("prompt", "PROMPT", Kind::Text, "What the pictures show.").required(),
    Arg::flag("lora", "NAME[:WEIGHT]", Kind::Lora, "Draw with this LoRA, counted by its weight: `nova:0.8`.")
        .repeated(),
    Arg::flag(
        "seeds",
        "N",
        Kind::Int { min: 1, max: MOST_PICTURES as i64 },
        "How many pictures, each of a seed.",
    )
    .default("1"),
    Arg::flag("seed", "A,B,..", Kind::Text, "The seeds, or with --seeds the first of them.").default("0"),
    Arg::flag("steps", "N", Kind::Int { min: 1, max: 200 }, "Steps of the sampling method.").default("20"),
    Arg::flag(
        "cfg",
        "X",
        Kind::Number { min: 1.0, max: 30.0 },
        "How strictly the prompt is followed; 1 is twice as fast and pays no heed to --negative.",
    )
    .default("5"),
    Arg::flag("negative", "TEXT", Kind::Text, "What the pictures must not show."),
    Arg::flag(
        "size",
        "WxH",
        Kind::Text,
        "Width and height in pixels; what the model was trained on when not given.",
    ),
    Arg::flag("from", "IMAGE", Kind::File, "A picture to begin from."),
    Arg::flag(
        "strength",
        "X",
        Kind::Number { min: 0.0, max: 1.0 },
        "How much of the picture to begin from may change; 0.6 when not given.",
    ),
    Arg::flag(
        "mask",
        "IMAGE",
        Kind::File,
        "Where the picture to begin from may change: white is redrawn, black stays as it is.",
    ),
    Arg::flag(
        "scheduler",
        "NAME",
        Kind::Choice(Sampler::NAMES),
        "The sampling method; the model's own when not given.",
    ),
    Arg::flag(
        "base",
        "MODEL",
        Kind::Model,
        "Which model draws, by the name it was added under; else the LoRA's own, or the one built in.",
    ),
    DEVICE,
    PRECISION,
    named("drawn"),
    DRY_RUN,
    DETACH,
];

/// Pictures of the store above this are not read for the grid while others are drawn.
const LARGEST_LIVE: u64 = 60_000;

impl Magic for Draw {
    fn name(&self) -> &'static str {
        "draw"
    }

    fn summary(&self) -> &'static str {
        "Draws pictures of a text, with the LoRAs of whoever is to be in them."
    }

    fn details(&self) -> &'static str {
        "The grid fills in while they are drawn: what is foreseen first, then the picture. Words count more as \
         `(red hat:1.3)` and less as `[red hat]`. Each seed is kept alone: asking for more of them draws only those \
         that are missing. Each picture is a PNG file that says in its text chunks what it was made of, also for other \
         programs.\n\n\
         The model that is built in draws cartoon portraits of 128x128 pixels. For more bring your own: `spinbot models \
         add FOLDER --as dreams` in a terminal makes a diffusers folder or a .safetensors file of Stable Diffusion 1.5, \
         2 or XL known, and `--base dreams` draws with it. With a LoRA the model draws that it was made for. `%loras` \
         lists the LoRAs.\n\n\
         Under the pictures stands what they are worth. *Identity*, with a LoRA that was trained here: how much they are of \
         the same face or figure as the pictures that were kept back, 0 to 1. *Prompt obeyed*: what of the prompt is to be \
         seen, as far as it can be told of a drawing (backgrounds, clothes, hair, hats, glasses, expressions). *Diversity*: \
         how much several differ in whom they show. In Rust: `drawn.scores()`.\n\n\
         Leaves a Rust variable of type `spinbot::Drawn`: `drawn.pictures()[0].path()`, `drawn.save(\"album\")?`. The \
         same in Rust: `spinbot::draw(\"nova on a stage\").lora(\"nova\", 0.8).seeds(4).run()?`."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn body(&self) -> BodyKind {
        BodyKind::Text("prompt")
    }

    fn examples(&self) -> &'static [Example] {
        &[
            Example {
                cell: "%draw \"a robot with green eyes, yellow background\" --seeds 4",
                about: "Four pictures; `drawn` holds them.",
            },
            Example {
                cell: "%draw \"nova on a stage, red curtain\" --lora nova:0.8 --seed 7,12 --negative \"glasses\" --as stage",
                about: "With a LoRA, of two seeds, without glasses.",
            },
            Example {
                cell: "%%draw --from me.jpg --strength 0.5 --steps 30 --scheduler dpm-2m-karras\nnova, ink drawing,\nblack and white",
                about: "A picture redrawn after the lines below it.",
            },
        ]
    }

    fn instead_of(&self, given: &str) -> Option<String> {
        (!given.starts_with('-'))
            .then(|| "put the whole prompt into quotes, or below `%%draw` on lines of its own".to_owned())
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let (draw, call) = read(call, cx)?;
        let fault = |fault: Fault| Failure::from(call.fault(fault));
        let plan = draw.plan().map_err(fault)?;
        let seeds = draw.all_seeds().to_vec();
        let mut seen: Vec<Option<Shown>> = vec![None; seeds.len()];
        let mut look = |view: &JobView| live(view, &seeds, &mut seen);
        let Some((display_id, view)) = follow::run_as(plan, &call, cx, &mut look)? else { return Ok(()) };
        let drawn = draw.drawn(&view).map_err(fault)?;
        let name = call.text("as").unwrap_or("drawn").to_owned();
        // First the variable: a grid that cannot be shown must not lose the pictures.
        leave::from_json("spinbot::Drawn", &drawn.to_json().map_err(fault)?, &name, &call, cx)?;
        cx.update(&display_id, &shown(&drawn, &view, &name, &call, cx.cwd())?);
        Ok(())
    }
}

/// The drawing that was asked for, and the call in which its faults point at the right words.
fn read(call: &Call, cx: &mut dyn Session) -> Result<(spinbot::Draw, Call), MagicError> {
    let (store, models) = (cx.loras(), cx.profiles().models().clone());
    let mut draw = spinbot::draw(call.text("prompt").unwrap_or_default());
    let mut places = Vec::new();
    for (given, arg) in [("model", "base"), ("image", "from")] {
        places.extend(call.span(arg).map(|span| (given.to_owned(), span)));
    }
    for (number, (given, span)) in call.placed_texts("lora").enumerate() {
        places.push((format!("lora{}", number + 1), span));
        let (name, weight) = weighed(given, span)?;
        draw = draw.lora(meant(name, &store, cx.cwd()), weight);
    }
    draw = draw.seed_list(seeds(call)?);
    if let (Some(count), true) = (call.int("seeds"), call.span("seeds").is_some()) {
        draw = draw.seeds(usize::try_from(count).unwrap_or(1));
    }
    if let Some(steps) = call.int("steps").and_then(|steps| u32::try_from(steps).ok()) {
        draw = draw.steps(steps);
    }
    if let Some(scale) = call.number("cfg") {
        draw = draw.cfg(scale);
    }
    if let Some(text) = call.text("negative") {
        draw = draw.negative(text);
    }
    if let Some((text, span)) = call.placed_texts("size").next() {
        let (width, height) = size(text).ok_or_else(|| {
            MagicError::at(span, format!("`{text}` is no size"))
                .help("write WIDTHxHEIGHT in pixels, as in `512x768`")
        })?;
        draw = draw.size(width, height);
    }
    if let Some(path) = call.path("from") {
        draw = draw.from(convert::as_short_as_possible(path));
    }
    if let Some(path) = call.path("mask") {
        draw = draw.mask(convert::as_short_as_possible(path));
    }
    if let Some(strength) = call.number("strength") {
        draw = draw.strength(strength);
    }
    // Choices were checked when the line was read.
    if let Some(sampler) = call.text("scheduler").and_then(|name| name.parse().ok()) {
        draw = draw.scheduler(sampler);
    }
    if let Some(base) = call.text("base") {
        draw = draw.base(base);
    }
    if let Some(device) = call.text("device") {
        draw = draw.device(device);
    }
    if let Some(precision) = call.text("precision").and_then(|name| name.parse().ok()) {
        draw = draw.precision(precision);
    }
    Ok((draw.loras(store).models(models), call.pointing(places)))
}

/// The LoRA that is meant: one of the store, else a file as seen from the notebook.
pub(super) fn meant(name: &str, store: &Loras, cwd: &Path) -> String {
    let file = convert::resolved(name, cwd);
    let known = store.path(name).is_some_and(|path| path.is_file());
    file.to_str().filter(|_| !known && file.is_file()).unwrap_or(name).to_owned()
}

/// A LoRA and its weight: `nova`, `nova:0.8`, `styles/ink.safetensors:-0.5`.
pub(super) fn weighed(given: &str, span: crate::Span) -> Result<(&str, f64), MagicError> {
    let Some((name, weight)) = given.rsplit_once(':') else { return Ok((given, 1.0)) };
    match weight.parse() {
        Ok(weight) if LORA_WEIGHTS.contains(&weight) && !name.is_empty() => Ok((name, weight)),
        _ => Err(MagicError::at(span, format!("`{weight}` is no weight of a LoRA"))
            .help("write NAME:WEIGHT with a weight from -4 to 4, as in `nova:0.8`; 1 is as it was trained")),
    }
}

/// The seeds of `--seed`: with `--seeds` only one, the first.
fn seeds(call: &Call) -> Result<Vec<u64>, MagicError> {
    let text = call.text("seed").unwrap_or("0");
    let span = call.span("seed").unwrap_or(call.head());
    let wrong = |part: &str| {
        MagicError::at(span, format!("`{part}` is no seed"))
            .help("write whole numbers from 0 with commas between them, as in `--seed 7,12`")
    };
    let seeds: Vec<u64> = text
        .split(',')
        .map(|part| part.trim().parse().map_err(|_| wrong(part.trim())))
        .collect::<Result<_, _>>()?;
    if seeds.len() > 1 && call.span("seeds").is_some() {
        return Err(MagicError::at(span, "both --seeds and several seeds say how many pictures there are")
            .help("leave --seeds out, or give --seed only the first"));
    }
    Ok(seeds)
}

/// `512x768`.
fn size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(['x', 'X', '×'])?;
    let edge = |text: &str| text.trim().parse().ok().filter(|edge| *edge > 0);
    Some((edge(width)?, edge(height)?))
}

/// What the pictures are worth, name and value.
fn scored(drawn: &Drawn) -> Vec<(&'static str, String)> {
    let scores = drawn.scores();
    let mut facts = Vec::new();
    if let Some(line) = scores.identity_line() {
        let seeds = drawn.pictures().iter().zip(&scores.pictures);
        let each: Vec<String> = seeds
            .filter_map(|(picture, of)| Some(format!("seed {} {:.2}", picture.seed(), of.identity?)))
            .collect();
        let each = if each.len() > 1 { format!(": {}", each.join(", ")) } else { String::new() };
        facts.push(("identity", line + &each));
    }
    if let (Some(share), Some(line)) = (scores.adherence, scores.adherence_line()) {
        facts.push(("prompt obeyed", format!("{:.0}%: {line}", share * 100.0)));
    }
    facts.extend(scores.diversity.map(|diversity| ("diversity", format!("{diversity:.2}"))));
    facts
}

/// The grid as far as it is drawn; `seen` keeps what was read for it.
fn live(view: &JobView, seeds: &[u64], seen: &mut [Option<Shown>]) -> Bundle {
    for (number, (seed, seen)) in seeds.iter().zip(seen.iter_mut()).enumerate() {
        let kept = view.artifact(&format!("draw{}", number + 1), "picture").ok();
        let small = kept.filter(|picture| picture.size <= LARGEST_LIVE);
        if let Some(picture) = small.or_else(|| view.previews.get(&format!("seed {seed}"))) {
            follow::refresh(seen, picture);
        }
    }
    let mut room = beside::LARGEST_OUTPUT / 2;
    let cells: Vec<_> = (seeds.iter().zip(seen.iter()))
        .map(|(seed, seen)| {
            let fits = seen.as_ref().filter(|(_, _, content)| {
                let left = room.checked_sub(content.len() as u64);
                room = left.unwrap_or(room);
                left.is_some()
            });
            (*seed, fits.map(|(_, mime, content)| (mime.as_str(), content.as_slice())))
        })
        .collect();
    view::drawing(view, &cells)
}

/// What is left: the picture, or the grid of several.
fn shown(drawn: &Drawn, view: &JobView, name: &str, call: &Call, cwd: &Path) -> Result<Bundle, MagicError> {
    let fault = |fault: Fault| call.fault(fault);
    let pictures = drawn.pictures();
    let file = match (drawn.grid(), pictures) {
        (Some(grid), _) => grid,
        (None, [only, ..]) => only.artifact(),
        (None, []) => return Err(fault(Fault::new("the job drew nothing"))),
    };
    let beside = match view::inline_size(file.size, 0) > beside::LARGEST_OUTPUT * 9 / 10 {
        true => Some(beside::put(file, name, "png", "picture", cwd).map_err(fault)?),
        false => None,
    };
    let content = if beside.is_some() { Vec::new() } else { file.bytes().map_err(fault)? };
    let source = beside.as_deref().map_or(Source::Inline(&content), Source::Beside);
    let count = match pictures.len() {
        1 => "1 picture".to_owned(),
        count => format!("{count} pictures"),
    };
    let fresh = pictures.len() - (view.cached.iter().filter(|step| step.starts_with("draw"))).count();
    let took = view::seconds(drawn.seconds());
    let made = match fresh {
        0 => format!("{took}, all were already there"),
        fresh if fresh == pictures.len() => took.clone(),
        fresh => format!("{took}, {} were already there", pictures.len() - fresh),
    };
    let seeds: Vec<String> = pictures.iter().map(|picture| picture.seed().to_string()).collect();
    let mut facts = vec![("seeds", seeds.join(", "))];
    facts.push(("model", drawn.model().to_owned()));
    let loras: Vec<&str> = call.texts("lora").collect();
    if !loras.is_empty() {
        facts.push(("LoRAs", loras.join(", ")));
    }
    let steps = call.int("steps").unwrap_or_default();
    let guidance = call.number("cfg").unwrap_or_default();
    facts.push(("drawn with", format!("{steps} steps, guidance {guidance}")));
    facts.extend(scored(drawn));
    facts.push(("made in", made));
    facts.extend(view.log.iter().map(|line| ("note", line.clone())));
    facts.push(("variable", name.to_owned()));
    if let Some(path) = &beside {
        facts.push(("file", path.clone()));
    }
    let text =
        format!("{name}: {count} in {took}; `{name}.pictures()[0].path()` tells where the first one lies");
    let card = DrawnCard { source, mime: &file.media_type, prompt: drawn.prompt(), facts: &facts, text };
    Ok(card.bundle())
}
