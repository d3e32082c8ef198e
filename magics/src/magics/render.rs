//! `%render`: a photo that talks.

use crate::error::{Failure, MagicError};
use crate::spec::{Arg, BodyKind, DETACH, DRY_RUN, Example, Kind, SEED, named};
use crate::view::{self, Player, VideoSource};
use crate::{Call, Magic, Session, follow};
use spinbot::render::Preset;
use spinbot::{Bundle, Fault, JobView, Plan, Show, Take};
use std::path::{Path, PathBuf};

pub(crate) struct Render;

const ARGS: &[Arg] = &[
    Arg::flag(
        "portrait",
        "IMAGE",
        Kind::File,
        "A photo with one face seen from the front: JPEG, PNG or WebP.",
    )
    .required(),
    Arg::flag("speech", "CLIP", Kind::File, "What it says: WAV, FLAC, MP3, Ogg or M4A.").required(),
    Arg::flag(
        "preset",
        "PRESET",
        Kind::Choice(Preset::NAMES),
        "How large and fine: 256 px, 512 px, or 768 px with the finest picture.",
    )
    .default("standard"),
    Arg::flag(
        "style",
        "STYLE",
        Kind::Choice(&["still", "lively"]),
        "Whether only mouth and lids move, or head and brows too.",
    )
    .default("lively"),
    Arg::switch("keep-aspect", "Keep the photo's own shape instead of a square around the face."),
    named("take"),
    SEED,
    DRY_RUN,
    DETACH,
];

/// What this version makes a video from.
const FORMS: &str = "this version renders a photo and a recording: `%render --portrait IMAGE --speech CLIP`";

/// HTML above this is too much for one output of a notebook.
const LARGEST_OUTPUT: u64 = 2_000_000;

/// Folder beside the notebook for videos too large to lie inside it.
const MEDIA_FOLDER: &str = "spinbot-media";

impl Magic for Render {
    fn name(&self) -> &'static str {
        "render"
    }

    fn summary(&self) -> &'static str {
        "Makes a photo say a recording: a lip-synced MP4."
    }

    fn details(&self) -> &'static str {
        "Shows the first frame as soon as it is drawn, then the progress, then the player, and leaves a Rust \
         variable of type `spinbot::Take`. The same in Rust: \
         `spinbot::render().portrait(\"me.jpg\").speech(\"hello.wav\").run()?`.\n\n\
         Steps whose inputs have not changed are not computed again. The stop button cancels the job. A video \
         too large for the notebook is written to `spinbot-media/` beside it."
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
                cell: "%render --portrait me.jpg --speech hello.wav --preset draft --style still --as quick",
                about: "A small and calm one, as `quick`.",
            },
            Example {
                cell: "%%render --dry-run\nportrait = \"me.jpg\"\nspeech = \"hello.wav\"\npreset = \"fine\"\nkeep-aspect = true\nseed = 7",
                about: "The same arguments as TOML; only show the plan.",
            },
        ]
    }

    fn instead_of(&self, given: &str) -> Option<String> {
        let later = [
            "--text",
            "--topic",
            "--bot",
            "--stage",
            "--voice",
            "--seconds",
            "--variant",
            "--takes",
            "--subtitles",
        ];
        (!given.starts_with('-') || later.contains(&given)).then(|| FORMS.to_owned())
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let fault = |fault: Fault| Failure::from(call.fault(fault));
        let plan = plan(call).map_err(fault)?;
        if call.has("dry-run") {
            cx.display(&plan.bundle(), None);
            return Ok(());
        }
        let mut engine = cx.jobs().map_err(fault)?;
        let job = engine.submit(plan).map_err(fault)?;
        if call.has("detach") {
            let queued =
                format!("job {job} is queued; `%jobs` shows how it stands, `%cancel {job}` stops it");
            cx.display(&Bundle::text(queued), None);
            return Ok(());
        }
        let display_id = cx.unique_id();
        let view = follow::watch(&mut *engine, &job, &display_id, call, cx)?;
        let name = call.text("as").unwrap_or("take").to_owned();
        let take = Take::of(&view).map_err(fault)?;
        // First the variable: a player that cannot be shown must not lose the take.
        leave(&take, &name, call, cx)?;
        cx.update(&display_id, &shown(&take, &view, &name, call, cx.cwd())?);
        Ok(())
    }
}

fn preset(call: &Call) -> Preset {
    // The choice was checked when the line was read.
    call.text("preset").and_then(|name| name.parse().ok()).unwrap_or_default()
}

fn plan(call: &Call) -> Result<Plan, Fault> {
    let mut render = spinbot::render().preset(preset(call));
    if let Some(portrait) = call.path("portrait") {
        render = render.portrait(as_short_as_possible(portrait));
    }
    if let Some(speech) = call.path("speech") {
        render = render.speech(as_short_as_possible(speech));
    }
    if call.text("style") == Some("still") {
        render = render.still();
    }
    if call.has("keep-aspect") {
        render = render.keep_aspect();
    }
    if let Some(seed) = call.int("seed").and_then(|seed| u64::try_from(seed).ok()) {
        render = render.seed(seed);
    }
    render.plan()
}

/// Relative to this process's folder where it lies in it: the engine names files in its errors as they are given,
/// and reads relative ones from that folder.
fn as_short_as_possible(path: &Path) -> PathBuf {
    let folder = std::env::current_dir().ok();
    folder
        .and_then(|folder| path.strip_prefix(folder).ok().map(Path::to_owned))
        .unwrap_or_else(|| path.to_owned())
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
    facts.push(("variable", name.to_owned()));
    let text = format!(
        "{name}: {}{}, made in {}; `{name}.path()` tells where it lies",
        length.map_or(String::new(), |length| format!("{length}, ")),
        view::bytes(size),
        view::seconds(take.seconds())
    );
    let (video, beside) = match view::inline_size(size, poster_size) > LARGEST_OUTPUT {
        true => (Vec::new(), Some(put_beside(take, name, cwd).map_err(|fault| call.fault(fault))?)),
        false => (take.bytes().map_err(|fault| call.fault(fault))?, None),
    };
    if let Some(path) = &beside {
        facts.push(("file", path.clone()));
    }
    // With the photo's own shape the preset's size is its longer side, which need not be its width.
    let width = (!call.has("keep-aspect")).then(|| preset(call).size_and_quantizer().0);
    let source = beside.as_deref().map_or(VideoSource::Inline(&video), VideoSource::Beside);
    Ok(Player { source, poster: poster.as_deref(), width, facts: &facts, text }.bundle())
}

/// Writes the video beside the notebook and returns its relative path. Its name carries its digest, so that an
/// older output keeps its own video.
fn put_beside(take: &Take, name: &str, cwd: &Path) -> Result<String, Fault> {
    let file = format!("{name}-{}.mp4", take.artifact().digest.short());
    let folder = cwd.join(MEDIA_FOLDER);
    let path = folder.join(&file);
    let unfinished = folder.join(format!("{file}.part"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::copy(take.path(), &unfinished))
        .and_then(|_| std::fs::rename(&unfinished, &path))
        .map_err(|e| {
            // It may not even have come to be.
            let _ = std::fs::remove_file(&unfinished);
            Fault::new(format!(
                "the video is too large for the notebook and cannot be written beside it: {e}"
            ))
            .help(format!("make {} writable, or use `--preset draft`", folder.display()))
        })?;
    Ok(format!("{MEDIA_FOLDER}/{file}"))
}

/// Leaves the take as a Rust variable.
fn leave(take: &Take, name: &str, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
    let json = take.to_json().map_err(|fault| call.fault(fault))?;
    // As many hashes as the text cannot hold behind a quote.
    let hashes = "#".repeat(
        json.split('"').map(|part| part.len() - part.trim_start_matches('#').len()).max().unwrap_or(0) + 1,
    );
    let value = format!("spinbot::Take::from_json(r{hashes}\"{json}\"{hashes})?");
    cx.bind(name, "spinbot::Take", &value).map_err(|fault| call.fault(fault.about("as")).into())
}
