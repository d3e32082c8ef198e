//! `%clone_voice`: a voice of your own from a recording.

use crate::error::{Failure, MagicError};
use crate::spec::{Arg, BodyKind, DETACH, DRY_RUN, Example, Kind, SEED};
use crate::view::{self, Source, VoiceCard};
use crate::{Call, Magic, Session, beside, convert, follow, leave};
use spinbot::clone_voice::{DEFAULT_NAME, recordings};
use spinbot::voices::Profiles;
use spinbot::{Bundle, Fault, JobView, Plan, VoiceProfile};
use std::path::Path;

pub(crate) struct CloneVoice;

const ARGS: &[Arg] = &[
    Arg::positional(
        "clips",
        "PATH",
        Kind::Path,
        "A recording, a folder of them, or a pattern as `me/*.wav`.",
    )
    .required()
    .repeated(),
    Arg::flag(
        "consent",
        "TEXT",
        Kind::Text,
        "Whose voice it is and that they agree, as in \"my own voice\"; kept in the profile.",
    )
    .required(),
    Arg::flag("as", "NAME", Kind::Name, "The profile's name, and the Rust variable's.").default(DEFAULT_NAME),
    Arg::flag(
        "transcript",
        "TEXT",
        Kind::Text,
        "What is said in the recording, or a text file of it; heard by speech recognition when not given.",
    ),
    Arg::flag(
        "with",
        "MODEL",
        Kind::Model,
        "Speak with pocket-tts: the name its weights were added under; Kokoro when not given.",
    ),
    Arg::switch("finetune", "Also train adapters: closer to the speaker, and minutes instead of one."),
    Arg::switch("denoise", "Take steady noise out of the recording."),
    SEED,
    DRY_RUN,
    DETACH,
];

/// What the samples of a profile are.
pub(super) const SAMPLES: &str = "audio/mpeg";
/// A file above this is no transcript.
const LONGEST_TRANSCRIPT: u64 = 100_000;
/// A picture above this is not worth its place in a notebook.
const LARGEST_PICTURE: u64 = 700_000;

impl Magic for CloneVoice {
    fn name(&self) -> &'static str {
        "clone_voice"
    }

    fn summary(&self) -> &'static str {
        "Makes a voice profile of a recording, and tells honestly how much it is like the speaker."
    }

    fn details(&self) -> &'static str {
        "Ten seconds to a minute of clear speech by one person is best. A part of it is kept back: the clone is \
         scored on speech it was not made from, by the encoder that guided it and by a second one that did not. \
         Each stage is kept only where it helps.\n\n\
         The profile is kept on this machine under its name, for `%speak --voice NAME` and `%render --voice NAME`; \
         an older one of that name is replaced. Leaves a Rust variable of type `spinbot::VoiceProfile`. The same in \
         Rust: `spinbot::clone_voice([\"me.wav\"]).consent(\"my own voice\").run()?`.\n\n\
         With `--with MODEL` the voice is made for pocket-tts, of weights you bring (`spinbot models add \
         model.safetensors --as pocket` in a terminal): up to 30 seconds of the recording are its prompt, and nothing \
         is searched. It is scored and shown like any other. The weights that are published without cloning are \
         refused; the profile speaks only with the weights it was made with.\n\n\
         Without `--consent` nothing is cloned."
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
                cell: "%clone_voice hello.wav --consent \"my own voice\"",
                about: "Make the profile `me`, then `%speak \"Hello\" --voice me`.",
            },
            Example {
                cell: "%clone_voice *.wav --consent \"Nova agreed by mail\" --as nova --finetune --denoise",
                about: "From several noisy recordings, as closely as it gets.",
            },
            Example {
                cell: "%%clone_voice\nclips = [\"hello.wav\"]\nconsent = \"my own voice\"\ntranscript = \"Hello there.\"",
                about: "The same arguments as TOML, with what is said in the recording.",
            },
        ]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let name = call.text("as").unwrap_or(DEFAULT_NAME).to_owned();
        let consent = call.text("consent").unwrap_or_default().to_owned();
        let profiles = cx.profiles();
        let (plan, call) = plan(call, &name, &consent, profiles.clone(), cx.cwd())?;
        let fault = |fault: Fault| Failure::from(call.fault(fault));
        let replaced = profiles.path(&name).is_some_and(|path| path.exists());
        let Some((display_id, view)) = follow::run(plan, &call, cx)? else {
            if call.has("detach") && !call.has("dry-run") {
                let later = "run this cell again without --detach once the job is done: nothing is computed \
                             twice, and the profile is kept";
                cx.display(&Bundle::text(later), None);
            }
            return Ok(());
        };
        let profile = profiles.save(&view, &name, &consent).map_err(fault)?;
        let expr = format!("spinbot::VoiceProfile::load(\"{name}\")?");
        leave::value("spinbot::VoiceProfile", &expr, &name, &call, cx)?;
        cx.update(&display_id, &shown(&profile, &view, replaced).map_err(fault)?);
        Ok(())
    }
}

/// The plan, and the call in which its faults point at the right path.
fn plan(
    call: &Call,
    name: &str,
    consent: &str,
    profiles: Profiles,
    cwd: &Path,
) -> Result<(Plan, Call), MagicError> {
    let (mut clips, mut places) = (Vec::new(), Vec::new());
    places.extend(call.span("with").map(|span| ("weights".to_owned(), span)));
    for (path, span) in call.placed_paths("clips") {
        let found = recordings(&convert::as_short_as_possible(path))
            .map_err(|Fault { message, help, .. }| MagicError { message, help, span: Some(span) })?;
        for clip in found {
            if clips.contains(&clip) {
                continue;
            }
            clips.push(clip);
            places.push((format!("clip{}", clips.len()), span));
        }
    }
    // What is told of "a clip" without its number can only be of the one that was named.
    let paths: Vec<_> = call.placed_paths("clips").map(|(_, span)| span).collect();
    if let [only] = paths.as_slice() {
        places.push(("clip".to_owned(), *only));
    }
    let call = call.pointing(places);
    let mut clone = spinbot::clone_voice(clips).name(name).consent(consent).profiles(profiles);
    if let Some(model) = call.text("with") {
        clone = clone.with(model);
    }
    if let Some(text) = call.text("transcript") {
        clone = clone.transcript(transcript(text, cwd).map_err(|fault| call.fault(fault))?);
    }
    if call.has("finetune") {
        clone = clone.finetune();
    }
    if call.has("denoise") {
        clone = clone.denoise();
    }
    if let Some(seed) = call.int("seed").and_then(|seed| u64::try_from(seed).ok()) {
        clone = clone.seed(seed);
    }
    let plan = clone.plan().map_err(|fault| call.fault(fault))?;
    Ok((plan, call))
}

/// The text itself, or what is in the file of that name.
fn transcript(text: &str, cwd: &Path) -> Result<String, Fault> {
    let path = convert::resolved(text, cwd);
    // A long text cannot be a file's name; asking for it is an error of its own.
    let Some(found) = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file) else {
        return Ok(text.to_owned());
    };
    if found.len() > LONGEST_TRANSCRIPT {
        return Err(Fault::new(format!("{text}: this is too long for a transcript"))
            .help("name a text file of what is said in the recording")
            .about("transcript"));
    }
    std::fs::read_to_string(&path).map_err(|e| {
        Fault::new(format!("{text}: cannot be read: {e}"))
            .help("name a text file of what is said in the recording")
            .about("transcript")
    })
}

fn shown(profile: &VoiceProfile, view: &JobView, replaced: bool) -> Result<Bundle, Fault> {
    let picture = view.artifact("clone_voice", "picture")?;
    let picture = if picture.size <= LARGEST_PICTURE { picture.bytes().ok() } else { None };
    let mut facts = Vec::new();
    if !view.cached.is_empty() {
        facts.push(("already there", view.cached.join(", ")));
    }
    let kept =
        format!("{}{}", profile.path().display(), if replaced { ", in place of an older one" } else { "" });
    facts.push(("profile", kept));
    facts.push(("variable", profile.name().to_owned()));
    Ok(card(profile, picture.as_deref(), &facts))
}

/// The card of a profile, with its samples where there is room for them.
pub(super) fn card(profile: &VoiceProfile, picture: Option<&[u8]>, facts: &[(&str, String)]) -> Bundle {
    let (original, clone) = (profile.original_sample().ok(), profile.clone_sample().ok());
    let sizes = [original.as_deref(), clone.as_deref(), picture].map(|part| part.map_or(0, <[u8]>::len));
    // The scales, tables and texts take less than a tenth of it.
    let room = view::inline_size(sizes.iter().sum::<usize>() as u64, 0) <= beside::LARGEST_OUTPUT * 9 / 10;
    let original = original.as_deref().filter(|_| room).map(Source::Inline);
    let clone = clone.as_deref().filter(|_| room).map(Source::Inline);
    VoiceCard { profile, mime: SAMPLES, original, clone, picture, facts }.bundle()
}
