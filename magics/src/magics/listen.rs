//! `%listen`: what is said in a recording, and how well it sounds.

use crate::error::Failure;
use crate::spec::{Arg, DETACH, DRY_RUN, Example, Kind, named};
use crate::{Call, Magic, Session, convert, follow, leave, view};
use spinbot::{Fault, Heard};

pub(crate) struct Listen;

const ARGS: &[Arg] = &[
    Arg::positional("speech", "PATH", Kind::File, "The recording: WAV, FLAC, MP3, Ogg or M4A.").required(),
    Arg::flag("like", "PROFILE", Kind::Text, "Also tell how much it is like this profile's speaker.")
        .repeated(),
    named("heard"),
    DRY_RUN,
    DETACH,
];

impl Magic for Listen {
    fn name(&self) -> &'static str {
        "listen"
    }

    fn summary(&self) -> &'static str {
        "Hears a recording: what is said, how well it sounds, whose voice it is like."
    }

    fn details(&self) -> &'static str {
        "Speech recognition (English), DNSMOS for the quality, and two speaker encoders to compare it with the stock \
         voices, and with the speakers of your own profiles (`--like NAME`); all on this machine. Leaves a Rust variable of type `spinbot::Heard`. The same in Rust: \
         `spinbot::listen(\"hello.wav\").run()?`."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn examples(&self) -> &'static [Example] {
        &[
            Example { cell: "%listen hello.wav", about: "Hear a recording; `heard` holds what was found." },
            Example { cell: "%listen hello.wav --as before", about: "The same, as `before`." },
        ]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let fault = |fault: Fault| Failure::from(call.fault(fault));
        let path = call.path("speech").unwrap_or(cx.cwd());
        let listen = spinbot::listen(convert::as_short_as_possible(path)).profiles(cx.profiles());
        let plan = call.texts("like").fold(listen, |listen, name| listen.like(name)).plan().map_err(fault)?;
        let Some((display_id, view)) = follow::run(plan, call, cx)? else { return Ok(()) };
        let name = call.text("as").unwrap_or("heard").to_owned();
        let heard = Heard::of(&view).map_err(fault)?;
        leave::from_json("spinbot::Heard", &heard.to_json().map_err(fault)?, &name, call, cx)?;
        cx.update(&display_id, &view::heard(&heard, &name));
        Ok(())
    }
}
