//! `%speak`: a text said in a voice.

use crate::error::{Failure, MagicError};
use crate::spec::{Arg, BodyKind, DETACH, DRY_RUN, Example, Kind, SEED, SPEED, named};
use crate::view::{self, LONGEST_DRAWN, Source, SpokenCard};
use crate::{Call, Magic, Session, beside, follow, leave, wav};
use spinbot::voices::Profiles;
use spinbot::{Accent, Bundle, Fault, JobView, Plan, SoundFormat, Spoken};
use std::path::Path;

pub(crate) struct Speak;

const ARGS: &[Arg] = &[
    Arg::positional("text", "TEXT", Kind::Text, "What to say.").required(),
    Arg::flag(
        "voice",
        "VOICE",
        Kind::Voice,
        "Who says it: a stock voice, a profile, a mixture as `me:0.7+af_nova:0.3`, or a voice of a model as `pocket/alba`.",
    )
    .default(spinbot::DEFAULT_VOICE),
    Arg::flag("speed", "X", SPEED, "How fast; 1 is the voice's own.").default("1.0"),
    Arg::flag("format", "FORMAT", Kind::Choice(SoundFormat::NAMES), "The format of the file that is left.")
        .default("wav"),
    Arg::flag(
        "accent",
        "ACCENT",
        Kind::Choice(Accent::NAMES),
        "With which English it is read; the voice's own when not given.",
    ),
    Arg::flag(
        "say",
        "WORD=PHONEMES",
        Kind::Text,
        "How a word is pronounced, in Kokoro's alphabet, as `--say gif=ʤˈɪf`.",
    )
    .repeated(),
    named("spoken"),
    SEED,
    DRY_RUN,
    DETACH,
];

impl Magic for Speak {
    fn name(&self) -> &'static str {
        "speak"
    }

    fn summary(&self) -> &'static str {
        "Says a text in a voice, with the exact time of every word."
    }

    fn details(&self) -> &'static str {
        "The first sentence can be heard while the rest is still made; then come the player and the waveform with \
         the words under it. Leaves a Rust variable of type `spinbot::Spoken`: `spoken.words()` has each word with \
         its time, `spoken.subtitles()` is WebVTT, `spoken.save(\"hello.wav\")` keeps the file. The same in Rust: \
         `spinbot::speak(\"Hello\").voice(\"me\").run()?`.\n\n\
         The synthesiser is fetched once with `%models pull kokoro`. `%voices` lists the voices, `%clone_voice` \
         makes one of a recording.\n\n\
         pocket-tts speaks too, with weights you bring: `spinbot models add model.safetensors --as pocket` in a \
         terminal (the tokenizer and the folder `embeddings` beside it), then `--voice pocket/alba`. It reads a text by \
         itself: only the parts of it have times, not words, and it takes no `--speed`, `--accent`, `--say` or mixture."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn body(&self) -> BodyKind {
        BodyKind::Text("text")
    }

    fn examples(&self) -> &'static [Example] {
        &[
            Example {
                cell: "%speak \"Hello, nice to meet you.\"",
                about: "Say a sentence; `spoken` holds it.",
            },
            Example {
                cell: "%speak \"The gif costs $3.50.\" --voice af_heart:0.6+am_echo:0.4 --say gif=ʤˈɪf --as price",
                about: "In a mixture of two voices, with one word pronounced as wished.",
            },
            Example {
                cell: "%%speak --voice bm_george --speed 0.9 --format mp3\nIt was a dark night.\nNobody slept.",
                about: "The lines below it, slowly and British; leave an MP3.",
            },
        ]
    }

    fn instead_of(&self, given: &str) -> Option<String> {
        (!given.starts_with('-'))
            .then(|| "put the whole text into quotes, or below `%%speak` on lines of its own".to_owned())
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let call = &call.pointing_at_voice();
        let fault = |fault: Fault| Failure::from(call.fault(fault));
        let plan = plan(call, cx.profiles())?;
        let Some((display_id, view)) = follow::run(plan, call, cx)? else { return Ok(()) };
        let name = call.text("as").unwrap_or("spoken").to_owned();
        let spoken = Spoken::of(&view).map_err(fault)?;
        // First the variable: a player that cannot be shown must not lose the speech.
        leave::from_json("spinbot::Spoken", &spoken.to_json().map_err(fault)?, &name, call, cx)?;
        cx.update(&display_id, &shown(&spoken, &view, &name, call, cx.cwd())?);
        Ok(())
    }
}

fn plan(call: &Call, profiles: Profiles) -> Result<Plan, MagicError> {
    let mut lexicon = Vec::new();
    for (given, span) in call.placed_texts("say") {
        match given.split_once('=') {
            Some((word, phonemes)) if !word.trim().is_empty() && !phonemes.trim().is_empty() => {
                lexicon.push((word.trim(), phonemes.trim()));
            }
            _ => {
                return Err(MagicError::at(span, format!("`{given}` is no pronunciation"))
                    .help("write WORD=PHONEMES, as in `gif=ʤˈɪf`"));
            }
        }
    }
    let mut speak = spinbot::speak(call.text("text").unwrap_or_default()).profiles(profiles).lexicon(lexicon);
    if let Some(voice) = call.text("voice") {
        speak = speak.voice(voice);
    }
    if let Some(speed) = call.number("speed") {
        speak = speak.speed(speed);
    }
    // Choices and the seed's range were checked when the line was read.
    if let Some(format) = call.text("format").and_then(|name| name.parse().ok()) {
        speak = speak.format(format);
    }
    if let Some(accent) = call.text("accent").and_then(|name| name.parse().ok()) {
        speak = speak.accent(accent);
    }
    if let Some(seed) = call.int("seed").and_then(|seed| u64::try_from(seed).ok()) {
        speak = speak.seed(seed);
    }
    speak.plan().map_err(|fault| call.fault(fault))
}

/// The player of what was said.
fn shown(spoken: &Spoken, view: &JobView, name: &str, call: &Call, cwd: &Path) -> Result<Bundle, MagicError> {
    let fault = |fault: Fault| call.fault(fault);
    let (timing, subtitles) = (spoken.timing().map_err(fault)?, spoken.subtitles().map_err(fault)?);
    let player = spoken.player();
    // The drawing and the subtitles stay far below a quarter of it.
    let beside = match view::inline_size(player.size, 0) > beside::LARGEST_OUTPUT * 3 / 4 {
        true => {
            let extension = if player.media_type == "audio/wav" { "wav" } else { "mp3" };
            Some(beside::put(player, name, extension, "sound", cwd).map_err(fault)?)
        }
        false => None,
    };
    let content = if beside.is_some() { Vec::new() } else { player.bytes().map_err(fault)? };
    let source = beside.as_deref().map_or(Source::Inline(&content), Source::Beside);
    let sound = wav::beginning(&spoken.speech().path, LONGEST_DRAWN);
    let length = view::seconds(timing.seconds);
    // A synthesiser that reads by itself tells no words, and none are claimed.
    let words = match (timing.words.len(), timing.sentences.len()) {
        (0, 1) => "1 part, without times of words".to_owned(),
        (0, n) => format!("{n} parts, without times of words"),
        (1, _) => "1 word".to_owned(),
        (n, _) => format!("{n} words"),
    };
    let fresh = !view.cached.iter().any(|step| step == "speak");
    let made = match fresh && timing.seconds > 0.0 {
        true => format!(
            "{} ({:.2} of its length)",
            view::seconds(spoken.seconds()),
            spoken.seconds() / timing.seconds
        ),
        false => view::seconds(spoken.seconds()),
    };
    let voice = call.text("voice").unwrap_or_default().to_owned();
    let mut facts = vec![("voice", voice), ("length", format!("{length}, {words}")), ("made in", made)];
    if !view.cached.is_empty() {
        facts.push(("already there", view.cached.join(", ")));
    }
    if timing.seconds > LONGEST_DRAWN && sound.is_some() {
        facts.push(("drawn", format!("the first {LONGEST_DRAWN:.0} s")));
    }
    let format = call.text("format").unwrap_or_default();
    facts.push(("file", format!("{format}, {}", view::bytes(spoken.artifact().size))));
    facts.push(("variable", name.to_owned()));
    if let Some(path) = &beside {
        facts.push(("player", path.clone()));
    }
    let text = format!(
        "{name}: {length}, {words}, made in {}; `{name}.path()` tells where it lies",
        view::seconds(spoken.seconds())
    );
    let mime = player.media_type.as_str();
    let card = SpokenCard {
        source,
        mime,
        sound: sound.as_ref(),
        timing: &timing,
        subtitles: &subtitles,
        facts: &facts,
        text,
    };
    Ok(card.bundle())
}
