//! `%voices`: the voices there are, and carrying profiles from one machine to another.

use crate::error::{Failure, MagicError};
use crate::magics::clone_voice::{SAMPLES, card};
use crate::session::StreamName;
use crate::spec::{Arg, Example, Kind};
use crate::{Call, Magic, Session, beside, view};
use spinbot::Fault;
use spinbot::voices::stock;

pub(crate) struct Voices;

const ARGS: &[Arg] = &[
    Arg::positional("voice", "NAME", Kind::Voice, "Show this one; or the name of the profile meant below."),
    Arg::flag("export", "FILE", Kind::Path, "Write the profile to this file."),
    Arg::flag(
        "import",
        "FILE",
        Kind::File,
        "Take in a profile that --export wrote, under NAME or its own name.",
    ),
    Arg::switch("remove", "Delete the profile."),
];

impl Magic for Voices {
    fn name(&self) -> &'static str {
        "voices"
    }

    fn summary(&self) -> &'static str {
        "Shows the voices there are; exports, imports and removes profiles."
    }

    fn details(&self) -> &'static str {
        "A profile is one file: the voice, both samples, its scores and whose consent it was made with. It lies in \
         the `voices` folder of SpinBot's data. Preset voices of models you added (`spinbot models add FILE --as \
         NAME`) are listed as NAME/VOICE. The same in Rust: `spinbot::voices()?`, \
         `spinbot::VoiceProfile::load(\"me\")?`."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn examples(&self) -> &'static [Example] {
        &[
            Example { cell: "%voices", about: "List your profiles and the stock voices." },
            Example {
                cell: "%voices af_heart",
                about: "Show one of them; a profile is shown with its samples and scores.",
            },
        ]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let fault = |fault: Fault| Failure::from(call.fault(fault));
        let name = call.text("voice");
        let given: Vec<&str> = ["export", "import", "remove"].into_iter().filter(|f| call.has(f)).collect();
        if let [_, second, ..] = given.as_slice() {
            let error = MagicError::at(
                call.span(second).unwrap_or(call.head()),
                "one thing at a time: --export, --import or --remove",
            );
            return Err(error.help("keep one of them").into());
        }
        let named = |what: &str| {
            name.ok_or_else(|| {
                let span = call.span(what).unwrap_or(call.head());
                MagicError::at(span, format!("--{what} needs the name of a profile"))
                    .help(format!("write `%voices NAME --{what}`; `%voices` lists them"))
            })
        };
        let profiles = cx.profiles();
        let presets = profiles.models().voices().map_err(fault)?;
        if let Some(file) = call.path("export") {
            let profile = profiles.load(named("export")?).map_err(fault)?;
            profile.export(file).map_err(|f| fault(f.about("export")))?;
            cx.stream(StreamName::Stdout, &format!("{} is in {}\n", profile.name(), file.display()));
        } else if let Some(file) = call.path("import") {
            let profile =
                profiles.import(file, name).map_err(|f| match f.argument.is_some() && name.is_some() {
                    // Only the name can be at fault by itself.
                    true => fault(f.about("voice")),
                    false => fault(f.about("import")),
                })?;
            cx.display(&card(&profile, None, &[]), None);
        } else if call.has("remove") {
            let profile = profiles.load(named("remove")?).map_err(fault)?;
            let name = profile.name().to_owned();
            profile.remove().map_err(fault)?;
            cx.stream(StreamName::Stdout, &format!("removed {name}\n"));
        } else if let Some(voice) = name.and_then(stock) {
            let about =
                format!("{}: {}, {}, a stock voice", voice.id, voice.accent.title(), voice.sex.name());
            cx.stream(StreamName::Stdout, &format!("{about}\n"));
        } else if let Some(preset) = name.and_then(|name| presets.iter().find(|preset| preset.name == name)) {
            let about = format!("{}: a preset voice of the model {}", preset.name, preset.model.id);
            cx.stream(StreamName::Stdout, &format!("{about}\n"));
        } else if let Some(name) = name {
            let profile = profiles.load(name).map_err(fault)?;
            let file = ("file", profile.path().display().to_string());
            cx.display(&card(&profile, None, &[file]), None);
        } else {
            let voices = profiles.voices().map_err(fault)?;
            let mut room = beside::LARGEST_OUTPUT / 2;
            let samples: Vec<Option<(Vec<u8>, &str)>> = voices
                .profiles
                .iter()
                .map(|profile| {
                    let sample = profile.clone_sample().ok()?;
                    // The first that fit; the others are one `%voices NAME` away.
                    room = room.checked_sub(view::inline_size(sample.len() as u64, 0))?;
                    Some((sample, SAMPLES))
                })
                .collect();
            cx.display(&view::voices(&voices, &samples), None);
        }
        Ok(())
    }
}
