//! `%render`: a photo that talks.

use super::draw;
use super::script::{self, ALLOW_REMOTE, LLM, OLLAMA, PERSONA, SECONDS, TONE};
use crate::error::{Failure, MagicError};
use crate::spec::{Arg, BodyKind, DETACH, DRY_RUN, Example, Kind, SEED, SPEED, named};
use crate::view::{self, Player, Source, TakeCell, TakesCard};
use crate::{Call, Magic, Session, beside, convert, follow, leave};
use spinbot::render::{Preset, Subtitles};
use spinbot::style::Style;
use spinbot::takes::MOST_TAKES;
use spinbot::{Bundle, Fault, JobView, Take, Takes, Variant};
use std::path::Path;

pub(crate) struct Render;

const VOICE_HELP: &str = "Who says the text: a stock voice, a profile, a mixture as `me:0.7+af_nova:0.3`, or a voice of a model as `pocket/alba` (af_heart when not given).";

const ARGS: &[Arg] = &[
    Arg::positional("topic", "TOPIC", Kind::Text, "What it talks about: a script is written, as by `%script`."),
    Arg::flag(
        "portrait",
        "IMAGE",
        Kind::File,
        "A picture with one face seen from the front: JPEG, PNG or WebP.",
    ),
    Arg::flag(
        "bot",
        "LORA[:WEIGHT]",
        Kind::Lora,
        "Draw who talks with this LoRA, counted by its weight, in place of a picture: `nova`, `nova:0.8`.",
    ),
    Arg::flag("stage", "PROMPT", Kind::Text, "What the bot is drawn before: `on a stage, red curtain`."),
    Arg::flag("speech", "CLIP", Kind::File, "What it says: WAV, FLAC, MP3, Ogg or M4A."),
    Arg::flag("text", "WORDS", Kind::Text, "What it says, word for word."),
    TONE,
    PERSONA,
    SECONDS,
    LLM,
    OLLAMA,
    ALLOW_REMOTE,
    Arg::flag("voice", "VOICE", Kind::Voice, VOICE_HELP),
    Arg::flag("speed", "X", SPEED, "How fast the text is said; 1 is the voice's own."),
    Arg::flag(
        "preset",
        "PRESET",
        Kind::Choice(Preset::NAMES),
        "How large and fine: 256 px, 512 px, or 768 px with the finest picture.",
    )
    .default("standard"),
    Arg::flag(
        "variant",
        "VARIANT",
        Kind::Choice(Variant::NAMES),
        "How it is made to talk: the picture itself is moved, or Wav2Lip draws the lower face, with weights that you bring.",
    )
    .default("portrait"),
    Arg::flag(
        "style",
        "STYLE",
        Kind::Choice(Style::NAMES),
        "Whether only mouth and lids move, or head and brows too.",
    )
    .default("lively"),
    Arg::flag(
        "subtitles",
        "WHERE",
        Kind::Choice(Subtitles::NAMES),
        "Where the words of --text can be read: beside the player, with their times, or burned into the picture.",
    )
    .default("off"),
    Arg::flag("intro", "WORDS", Kind::Text, "Words on a card of two seconds before it, on the blurred picture."),
    Arg::flag("outro", "WORDS", Kind::Text, "Words on such a card after it."),
    Arg::flag(
        "music",
        "FILE",
        Kind::File,
        "Music under the words, repeated to their length and quieter while they are said: WAV, FLAC, MP3, Ogg or M4A.",
    ),
    Arg::flag(
        "face",
        "POINTS",
        Kind::Text,
        "Where the face is, when none is found or another is meant: left eye, right eye, the mouth's left and right corner, as `49,54 80,54 52,79 77,79`.",
    ),
    Arg::flag(
        "takes",
        "N",
        Kind::Int { min: 1, max: MOST_TAKES as i64 },
        "How many takes, of the seeds from --seed on: a grid of players, of which `%keep` keeps one.",
    )
    .default("1"),
    Arg::switch("keep-aspect", "Keep the photo's own shape instead of a square around the face."),
    named("take"),
    SEED,
    DRY_RUN,
    DETACH,
];

/// What this version makes a video from.
const FORMS: &str = "this version renders a picture or a bot with a topic, a text or a recording: \
                     `%render \"TOPIC\" --portrait IMAGE` or `--bot LORA`, `--text \"WORDS\"` or `--speech CLIP`; put the \
                     whole topic into quotes";

impl Magic for Render {
    fn name(&self) -> &'static str {
        "render"
    }

    fn summary(&self) -> &'static str {
        "Makes a photo talk about a topic, or say a text or a recording: a lip-synced MP4."
    }

    fn details(&self) -> &'static str {
        "Shows the first frame as soon as it is drawn, then the progress, then the player, and leaves a Rust \
         variable of type `spinbot::Take`. The same in Rust: \
         `spinbot::render().portrait(\"me.jpg\").speech(\"hello.wav\").run()?`, or `.text(\"Hello\").voice(\"me\")` \
         in place of the recording, or `.script(spinbot::script(\"octopuses\").seconds(10.0))`.\n\n\
         With `--bot` a character of `%train_lora` is drawn first, from the front; `%draw` tries out what `--stage` shows, \
         and `--seed` draws another. Faces are found in photos and in drawings; where none is, the cell shows the picture \
         between rulers, and `--face` tells where it is.\n\n\
         A topic's script is written first, by a language model on this machine (`%script?` tells which); to change it, \
         use `%script --edit`.\n\n\
         With `--text` the lips move by the exact times of the phonemes, or by the sound where the voice is of \
         pocket-tts. \
         With `--variant wav2lip` the lower face is drawn by Wav2Lip from the sound. Its weights are not SpinBot's to give, and \
         those of its authors are for research and non-commercial use only: without them the cell says how to get them and \
         make them known, and what is made with them says so under the player and in its tags. `%capabilities` lists the \
         variants with what they need.\n\n\
         With `--takes 4` what is left to chance differs: blinks and head, a bot's drawing, a topic's script. What is the same is done once. The variable, `takes` when not named, is of type `spinbot::Takes`; `%keep 2` keeps the second.\n\n\
         Steps whose inputs have not changed are not computed again. The stop button cancels the job. A video \
         too large for the notebook is written to `spinbot-media/` beside it.\n\n\
         The file's tags say that it is synthetic and what it was made of: `take.metadata()?`."
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
                cell: "%render --portrait me.jpg --speech hello.wav",
                about: "Make the photo talk; `take` holds it.",
            },
            Example {
                cell: "%render \"why octopuses have three hearts\" --portrait me.jpg --seconds 10 --tone playful",
                about: "About a topic; the script is written first.",
            },
            Example {
                cell: "%render --bot nova --stage \"on a stage, red curtain\" --text \"Hello, I am Nova.\"",
                about: "A character of `%train_lora`, drawn first.",
            },
            Example {
                cell: "%render --portrait me.jpg --speech hello.wav --preset draft --style still --as quick",
                about: "A small and calm one, as `quick`.",
            },
            Example {
                cell: "%render --portrait me.jpg --text \"Hello, nice to meet you.\" --voice af_heart",
                about: "Make the photo say a text.",
            },
            Example {
                cell: "%render --portrait me.jpg --text \"Hello, nice to meet you.\" --subtitles burned",
                about: "The same with its words in the picture.",
            },
            Example {
                cell: "%render --portrait me.jpg --text \"Hello, nice to meet you.\" --takes 4",
                about: "Four takes in a grid; `%keep 2` keeps the second.",
            },
            Example {
                cell: "%render --portrait me.jpg --speech hello.wav --intro \"Hello from me\" --outro \"Thank you\"",
                about: "With a card before and after it.",
            },
            Example {
                cell: "%render --portrait me.jpg --text \"Hello, nice to meet you.\" --variant wav2lip",
                about: "With lips drawn by Wav2Lip, after `spinbot models add wav2lip.safetensors`.",
            },
            Example {
                cell: "%render --portrait me.jpg --text \"Beep.\" --face \"49,54 80,54 52,79 77,79\"",
                about: "A face that only people see, placed by hand.",
            },
            Example {
                cell: "%%render --dry-run\nportrait = \"me.jpg\"\nspeech = \"hello.wav\"\npreset = \"fine\"\nkeep-aspect = true\nseed = 7",
                about: "The same arguments as TOML; only show the plan.",
            },
        ]
    }

    fn instead_of(&self, given: &str) -> Option<String> {
        (!given.starts_with('-') || given == "--topic").then(|| FORMS.to_owned())
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let call = &call.pointing_at_voice();
        if !["portrait", "bot"].iter().any(|name| call.has(name)) {
            return Err(nobody(call).into());
        }
        if !["topic", "speech", "text"].iter().any(|name| call.has(name)) {
            return Err(nothing_to_say(call).into());
        }
        let fault = |fault: Fault| Failure::from(call.fault(fault));
        let render = ordered(call, cx)?;
        let plan = render.plan().map_err(fault)?;
        let Some((display_id, view)) = follow::run(plan, call, cx)? else { return Ok(()) };
        if takes(call) > 1 {
            let taken = render.taken(&view).map_err(fault)?;
            let name = call.text("as").filter(|_| call.span("as").is_some()).unwrap_or("takes").to_owned();
            leave::from_json("spinbot::Takes", &taken.to_json().map_err(fault)?, &name, call, cx)?;
            cx.update(&display_id, &shown_takes(&taken, &view, &name, call, cx.cwd())?);
            return Ok(());
        }
        let name = call.text("as").unwrap_or("take").to_owned();
        let take = Take::of(&view).map_err(fault)?;
        // First the variable: a player that cannot be shown must not lose the take.
        leave::from_json("spinbot::Take", &take.to_json().map_err(fault)?, &name, call, cx)?;
        cx.update(&display_id, &shown(&take, &view, &name, call, cx.cwd())?);
        Ok(())
    }
}

fn nobody(call: &Call) -> MagicError {
    let (message, help) = match call.is_cell() {
        true => (
            "%render needs someone who talks: `portrait` or `bot`",
            "add `portrait = \"IMAGE\"` or `bot = \"LORA\"`",
        ),
        false => {
            ("%render needs someone who talks: --portrait or --bot", "add `--portrait IMAGE` or `--bot LORA`")
        }
    };
    MagicError::at(call.head(), message).help(help)
}

fn nothing_to_say(call: &Call) -> MagicError {
    let (message, help) = match call.is_cell() {
        true => (
            "%render needs something to say: `topic`, `text` or `speech`",
            "add `topic = \"TOPIC\"`, `text = \"WORDS\"` or `speech = \"CLIP\"`",
        ),
        false => (
            "%render needs something to say: a topic, --text or --speech",
            "add `\"TOPIC\"`, `--text \"WORDS\"` or `--speech CLIP`",
        ),
    };
    MagicError::at(call.head(), message).help(help)
}

fn preset(call: &Call) -> Preset {
    // The choice was checked when the line was read.
    call.text("preset").and_then(|name| name.parse().ok()).unwrap_or_default()
}

fn variant(call: &Call) -> Variant {
    call.text("variant").and_then(|name| name.parse().ok()).unwrap_or_default()
}

fn subtitles(call: &Call) -> Subtitles {
    call.text("subtitles").and_then(|name| name.parse().ok()).unwrap_or_default()
}

fn takes(call: &Call) -> u64 {
    call.int("takes").and_then(|count| u64::try_from(count).ok()).unwrap_or(1)
}

/// The render that is ordered.
fn ordered(call: &Call, cx: &mut dyn Session) -> Result<spinbot::render::Render, Failure> {
    let fault = |fault: Fault| Failure::from(call.fault(fault));
    let (store, profiles) = (cx.loras(), cx.profiles());
    let models = profiles.models().clone();
    let mut render = spinbot::render().preset(preset(call)).profiles(profiles).loras(store.clone());
    if let Some((given, span)) = call.placed_texts("bot").next() {
        let (lora, weight) = draw::weighed(given, span)?;
        render = render.bot(draw::meant(lora, &store, cx.cwd()), weight);
    }
    if let Some(stage) = call.text("stage") {
        render = render.stage(stage);
    }
    if let Some(portrait) = call.path("portrait") {
        render = render.portrait(convert::as_short_as_possible(portrait));
    }
    if let Some(speech) = call.path("speech") {
        render = render.speech(convert::as_short_as_possible(speech));
    }
    if let Some(text) = call.text("text") {
        render = render.text(text);
    }
    if call.has("topic") {
        render = render.script(script::ordered(call, models));
    }
    if let Some(voice) = call.text("voice") {
        render = render.voice(voice);
    }
    if let Some(speed) = call.number("speed") {
        render = render.speed(speed);
    }
    render = render.variant(variant(call));
    if call.text("style").and_then(|name| name.parse().ok()) == Some(Style::Still) {
        render = render.still();
    }
    if let Some(face) = call.text("face") {
        render = render.face(face.parse().map_err(fault)?);
    }
    if call.has("keep-aspect") {
        render = render.keep_aspect();
    }
    render = render.subtitles(subtitles(call));
    if let Some(words) = call.text("intro") {
        render = render.intro(words);
    }
    if let Some(words) = call.text("outro") {
        render = render.outro(words);
    }
    if let Some(music) = call.path("music") {
        render = render.music(convert::as_short_as_possible(music));
    }
    if let Some(seed) = call.int("seed").and_then(|seed| u64::try_from(seed).ok()) {
        render = render.seed(seed);
    }
    Ok(render.takes(takes(call)))
}

/// The player of a finished take.
fn shown(take: &Take, view: &JobView, name: &str, call: &Call, cwd: &Path) -> Result<Bundle, MagicError> {
    let poster = take.poster().and_then(|poster| std::fs::read(&poster.path).ok());
    let size = take.artifact().size;
    // The poster goes out twice: in the player and as a picture of its own.
    let poster_size = poster.as_ref().map_or(0, |jpeg| jpeg.len() as u64 * 2);
    let length = take.duration().ok().map(view::seconds);
    let mut facts: Vec<(&str, String)> = length.iter().map(|length| ("length", length.clone())).collect();
    facts.push(("size", view::bytes(size)));
    facts.push(("made in", view::seconds(take.seconds())));
    if !view.cached.is_empty() {
        facts.push(("already there", view.cached.join(", ")));
    }
    if let Some(script) = take.script().ok().flatten() {
        facts.push(("says", script.narration));
        facts.extend(script.notes.into_iter().map(|note| ("note", note)));
    }
    if let Some(licence) = variant(call).about().licence {
        facts.push(("licence", licence.to_owned()));
    }
    facts.push(("variable", name.to_owned()));
    let text = format!(
        "{name}: {}{}, made in {}; `{name}.path()` tells where it lies",
        length.map_or(String::new(), |length| format!("{length}, ")),
        view::bytes(size),
        view::seconds(take.seconds())
    );
    let (video, beside) = match view::inline_size(size, poster_size) > beside::LARGEST_OUTPUT {
        true => (Vec::new(), Some(put_beside(take, name, cwd).map_err(|fault| call.fault(fault))?)),
        false => (take.bytes().map_err(|fault| call.fault(fault))?, None),
    };
    if let Some(path) = &beside {
        facts.push(("file", path.clone()));
    }
    // With the photo's own shape the preset's size is its longer side, which need not be its width.
    let width = (!call.has("keep-aspect")).then(|| preset(call).size_and_quantizer().0);
    let source = beside.as_deref().map_or(Source::Inline(&video), Source::Beside);
    let words = match subtitles(call) {
        Subtitles::Beside => take.subtitles().map_err(|fault| call.fault(fault))?,
        Subtitles::Off | Subtitles::Burned => None,
    };
    let player =
        Player { source, poster: poster.as_deref(), width, subtitles: words.as_deref(), facts: &facts, text };
    Ok(player.bundle())
}

/// The players of finished takes.
fn shown_takes(
    taken: &Takes,
    view: &JobView,
    name: &str,
    call: &Call,
    cwd: &Path,
) -> Result<Bundle, MagicError> {
    /// Widest player of a grid, in CSS pixels.
    const WIDEST: u32 = 320;
    let fault = |fault: Fault| call.fault(fault);
    let posters: Vec<Option<Vec<u8>>> = taken
        .iter()
        .map(|(_, take)| take.poster().and_then(|poster| std::fs::read(&poster.path).ok()))
        .collect();
    let sizes = taken.iter().zip(&posters).map(|((_, take), poster)| {
        view::inline_size(take.artifact().size, poster.as_ref().map_or(0, |jpeg| jpeg.len() as u64))
    });
    let inline = sizes.sum::<u64>() <= beside::LARGEST_OUTPUT;
    let mut videos = Vec::new();
    for (number, (_, take)) in (1..).zip(taken.iter()) {
        videos.push(match inline {
            true => (take.bytes().map_err(fault)?, None),
            false => (Vec::new(), Some(put_beside(take, &format!("{name}-{number}"), cwd).map_err(fault)?)),
        });
    }
    let caption = |seed: u64, take: &Take| {
        let length =
            take.duration().ok().map_or(String::new(), |length| format!(", {}", view::seconds(length)));
        let says =
            take.script().ok().flatten().map_or(String::new(), |script| format!(": {}", script.narration));
        format!("seed {seed}{length}{says}")
    };
    let words = |take: &Take| match subtitles(call) {
        Subtitles::Beside => take.subtitles().ok().flatten(),
        Subtitles::Off | Subtitles::Burned => None,
    };
    let cells: Vec<TakeCell<'_>> = (taken.iter().zip(&posters).zip(&videos))
        .map(|(((seed, take), poster), (video, path))| TakeCell {
            source: path.as_deref().map_or(Source::Inline(video), Source::Beside),
            poster: poster.as_deref(),
            caption: caption(seed, take),
            subtitles: words(take),
        })
        .collect();
    let took = view::seconds(taken.seconds());
    let mut facts = vec![("made in", took.clone())];
    if !view.cached.is_empty() {
        facts.push(("already there", view.cached.join(", ")));
    }
    if let Some(licence) = variant(call).about().licence {
        facts.push(("licence", licence.to_owned()));
    }
    facts.push(("variable", name.to_owned()));
    let of = if name == "takes" { String::new() } else { format!(" --of {name}") };
    facts.push(("keep one", format!("%keep 1{of}")));
    let text = format!("{name}: {} takes, made in {took}; `%keep 1{of}` keeps the first", taken.len());
    let width = preset(call).size_and_quantizer().0.min(WIDEST);
    Ok(TakesCard { cells: &cells, width, facts: &facts, text }.bundle())
}

fn put_beside(take: &Take, name: &str, cwd: &Path) -> Result<String, Fault> {
    beside::put(take.artifact(), name, "mp4", "video", cwd).map_err(|fault| {
        let help = fault.help.clone().unwrap_or_default();
        fault.help(format!("{help}, or use `--preset draft`"))
    })
}
