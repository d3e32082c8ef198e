//! `%keep`: one of several takes, as a variable and a file.

use crate::error::Failure;
use crate::session::StreamName;
use crate::spec::{Arg, Example, Kind, named};
use crate::{Call, Magic, Session, leave};
use spinbot::takes::MOST_TAKES;
use spinbot::{Fault, Take, Takes};
use std::path::{Path, PathBuf};

pub(crate) struct Keep;

const ARGS: &[Arg] = &[
    Arg::positional(
        "number",
        "NUMBER",
        Kind::Int { min: 1, max: MOST_TAKES as i64 },
        "Which take, as they are numbered under the players.",
    )
    .required(),
    Arg::flag("of", "NAME", Kind::Name, "The Rust variable that holds the takes.").default("takes"),
    Arg::flag(
        "to",
        "FILE",
        Kind::Path,
        "Where the video goes; NAME.mp4 beside the notebook when not given, or the next free name.",
    ),
    named("take"),
];

impl Magic for Keep {
    fn name(&self) -> &'static str {
        "keep"
    }

    fn summary(&self) -> &'static str {
        "Keeps one of the takes of `%render --takes`: as a variable and a file."
    }

    fn details(&self) -> &'static str {
        "Copies the video beside the notebook and leaves a Rust variable of type `spinbot::Take`. A file that is something \
         else is never overwritten. The same in Rust: `let take = takes.keep(2)?; take.save(\"take.mp4\")?;`."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn examples(&self) -> &'static [Example] {
        &[
            Example { cell: "%keep 2", about: "The second one, as `take` and `take.mp4`." },
            Example {
                cell: "%keep 1 --of hellos --as hello --to hello.mp4",
                about: "One of other takes, elsewhere.",
            },
        ]
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let fault = |fault: Fault| Failure::from(call.fault(fault));
        let of = call.text("of").unwrap_or("takes");
        let json = cx.eval_to_string(&format!("spinbot::takes::json_of(&{of})")).map_err(|_| {
            fault(
                Fault::new(format!("there are no takes called `{of}`"))
                    .help("`%render ... --takes 4` makes some; name their variable with --of")
                    .about("of"),
            )
        })?;
        let takes = Takes::from_json(&json).map_err(|f| fault(f.about("of")))?;
        let number = call.int("number").and_then(|number| usize::try_from(number).ok()).unwrap_or_default();
        let take = takes.keep(number).map_err(|f| fault(f.about("number")))?;
        let name = call.text("as").unwrap_or("take").to_owned();
        let file = match call.path("to") {
            Some(file) => file.to_owned(),
            None => free(&take, &name, cx.cwd()).map_err(fault)?,
        };
        save(&take, &file).map_err(|f| fault(f.about("to")))?;
        leave::from_json("spinbot::Take", &take.to_json().map_err(fault)?, &name, call, cx)?;
        let shown = file.strip_prefix(cx.cwd()).unwrap_or(&file).display().to_string();
        cx.stream(StreamName::Stdout, &format!("take {number} is in {shown}, and in the variable {name}\n"));
        Ok(())
    }
}

/// `NAME.mp4` in the folder, or the first of `NAME-2.mp4` and so on where no other file lies.
fn free(take: &Take, name: &str, folder: &Path) -> Result<PathBuf, Fault> {
    let video = take.bytes()?;
    let path = |number: u32| match number {
        1 => folder.join(format!("{name}.mp4")),
        number => folder.join(format!("{name}-{number}.mp4")),
    };
    let fits = |path: &PathBuf| std::fs::read(path).map_or(!path.exists(), |there| there == video);
    let found = (1..1000).map(path).find(fits);
    found.ok_or_else(|| {
        Fault::new(format!("{name}.mp4 and its likes are all taken")).help("name a file with --to")
    })
}

/// Copies the video, unless another file lies there.
fn save(take: &Take, file: &Path) -> Result<(), Fault> {
    let shown = file.display();
    match std::fs::read(file) {
        Ok(there) if there == take.bytes()? => Ok(()),
        Ok(_) => Err(Fault::new(format!("{shown}: another file lies there"))
            .help("name another with --to, or take it away")),
        Err(_) => {
            // Whole or not at all.
            let part = file.with_extension("mp4.part");
            take.save(&part).and_then(|()| {
                std::fs::rename(&part, file).map_err(|error| Fault::new(format!("{shown}: {error}")))
            })
        }
    }
}
