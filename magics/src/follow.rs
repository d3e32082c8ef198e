//! Follows a job in a cell: one card updated in place, previews as they come, the stop button heeded.
//!
//! A preview that sounds gets a player of its own, which no redraw of the card restarts; it goes when the job ends.
//!
//! What the result looks like is the magic's own business.

use crate::Call;
use crate::error::{Failure, MagicError};
use crate::jobs::Jobs;
use crate::session::Session;
use crate::view::{self, job_card};
use spinbot::event::ArtifactRef;
use spinbot::{Bundle, Digest, Fault, JobState, JobView, Plan, Show};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// Least time between two redraws.
const REDRAW: Duration = Duration::from_millis(200);
/// Jupyter Server passes about 1 MB a second: a card with a large preview is redrawn less often.
const BYTES_PER_SECOND: f64 = 300_000.0;
/// How often the stop button is looked at while nothing comes.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a cancelled job may take to say so before the cell ends without it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Larger previews are not worth sending again and again.
const LARGEST_PREVIEW: u64 = 400_000;
/// One that sounds is sent once: 12 s of WAV at 48 kHz.
const LARGEST_SOUND: u64 = 1_200_000;

/// Runs a plan as every magic with a result does: `--dry-run` shows it, `--detach` queues it, else it is followed to
/// its end under the display id returned with its view.
///
/// # Errors
/// What is wrong with the plan, and those of [`watch`].
pub(crate) fn run(
    plan: Plan,
    call: &Call,
    cx: &mut dyn Session,
) -> Result<Option<(String, JobView)>, Failure> {
    let mut picture = None;
    run_as(plan, call, cx, &mut |view| standard_card(view, &mut picture))
}

/// As [`run`], with a card of its own, drawn of the view whenever it is due.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_as(
    plan: Plan,
    call: &Call,
    cx: &mut dyn Session,
    look: &mut dyn FnMut(&JobView) -> Bundle,
) -> Result<Option<(String, JobView)>, Failure> {
    if call.has("dry-run") {
        cx.display(&plan.bundle(), None);
        return Ok(None);
    }
    let fault = |fault: Fault| Failure::from(call.fault(fault));
    let mut engine = cx.jobs().map_err(fault)?;
    let job = engine.submit(plan).map_err(fault)?;
    if call.has("detach") {
        let queued = format!("job {job} is queued; `%jobs` shows how it stands, `%cancel {job}` stops it");
        cx.display(&Bundle::text(queued), None);
        return Ok(None);
    }
    let display_id = cx.unique_id();
    let view = watch(&mut *engine, &job, Card::new(&display_id, look), call, cx)?;
    Ok(Some((display_id, view)))
}

/// Runs a plan to its end, whatever the magic's own arguments are.
///
/// # Errors
/// What is wrong with the plan, and those of [`watch`].
pub(crate) fn to_its_end(plan: Plan, call: &Call, cx: &mut dyn Session) -> Result<JobView, Failure> {
    let fault = |fault: Fault| Failure::from(call.fault(fault));
    let mut engine = cx.jobs().map_err(fault)?;
    let job = engine.submit(plan).map_err(fault)?;
    let (display_id, mut picture) = (cx.unique_id(), None);
    let mut look = |view: &JobView| standard_card(view, &mut picture);
    watch(&mut *engine, &job, Card::new(&display_id, &mut look), call, cx)
}

/// Follows `job` under its card to its end and returns its view when it is done.
///
/// # Errors
/// The job's own fault at the argument it is about, that it was cancelled, or that the user pressed stop.
fn watch(
    engine: &mut dyn Jobs,
    job: &str,
    card: Card<'_>,
    call: &Call,
    cx: &mut dyn Session,
) -> Result<JobView, Failure> {
    let mut sounds = Sounds::default();
    let ended = watch_with(engine, job, card, &mut sounds, call, cx);
    sounds.clear(cx);
    ended
}

fn watch_with(
    engine: &mut dyn Jobs,
    job: &str,
    mut card: Card<'_>,
    sounds: &mut Sounds,
    call: &Call,
    cx: &mut dyn Session,
) -> Result<JobView, Failure> {
    let events = engine.follow(job);
    let mut view = JobView { job: job.to_owned(), ..JobView::default() };
    let mut stopping: Option<Instant> = None;
    let mut ended = false;
    while !ended {
        if stopping.is_none() && cx.interrupted() {
            // A job that ended meanwhile, or an engine that is gone, has nothing left to stop.
            let _ = engine.cancel(job);
            stopping = Some(Instant::now());
        }
        match events.recv_timeout(GLANCE) {
            Ok(Ok(event)) => {
                view.apply(&event);
                ended = event.body.is_terminal();
                card.changed(&view, ended, cx);
                if !ended {
                    sounds.show(&view, cx);
                }
            }
            Ok(Err(fault)) => return Err(call.fault(fault).into()),
            Err(RecvTimeoutError::Timeout) => card.glance(&view, cx),
            Err(RecvTimeoutError::Disconnected) => {
                let gone = Fault::new(format!("the engine stopped telling about job {job}"));
                return Err(call.fault(gone.help("`%jobs` shows how it stands")).into());
            }
        }
        if stopping.is_some_and(|since| since.elapsed() >= PATIENCE) {
            return Err(Failure::Interrupted);
        }
    }
    match (view.state, &view.fault, stopping) {
        (JobState::Done, _, _) => Ok(view),
        (_, _, Some(_)) => Err(Failure::Interrupted),
        (_, Some(fault), None) => Err(call.fault(fault.clone()).into()),
        (_, None, None) => Err(MagicError::at(call.head(), format!("job {job} was cancelled"))
            .help("run the cell again; what was finished is kept")
            .into()),
    }
}

/// The display of a followed job.
struct Card<'a> {
    display_id: &'a str,
    look: &'a mut dyn FnMut(&JobView) -> Bundle,
    /// When it was last drawn; nothing before the first time.
    drawn: Option<Instant>,
    /// Whether the view has changed since.
    stale: bool,
    /// Least time to the next redraw.
    pause: Duration,
    /// How many previews there were when it was last drawn.
    previews: usize,
}

impl<'a> Card<'a> {
    fn new(display_id: &'a str, look: &'a mut dyn FnMut(&JobView) -> Bundle) -> Self {
        Card { display_id, look, drawn: None, stale: false, pause: REDRAW, previews: 0 }
    }

    fn changed(&mut self, view: &JobView, at_once: bool, cx: &mut dyn Session) {
        self.stale = true;
        let first_picture = self.previews == 0 && !view.previews.is_empty();
        match at_once || first_picture {
            true => self.draw(view, cx),
            false => self.glance(view, cx),
        }
    }

    /// Draws if there is something new and it is time.
    fn glance(&mut self, view: &JobView, cx: &mut dyn Session) {
        if self.stale && self.drawn.is_none_or(|at| at.elapsed() >= self.pause) {
            self.draw(view, cx);
        }
    }

    fn draw(&mut self, view: &JobView, cx: &mut dyn Session) {
        let bundle = (self.look)(view);
        match self.drawn {
            Some(_) => cx.update(self.display_id, &bundle),
            None => cx.display(&bundle, Some(self.display_id)),
        }
        let sent = bundle.data.get("text/html").and_then(|html| html.as_str()).map_or(0, str::len) as f64;
        self.pause = REDRAW.max(Duration::from_secs_f64(sent / BYTES_PER_SECOND));
        self.drawn = Some(Instant::now());
        self.stale = false;
        self.previews = view.previews.len();
    }
}

/// A picture that is shown: its digest, so that its file is read once, its MIME type and its bytes.
pub(crate) type Shown = (Digest, String, Vec<u8>);

/// The card of any job, with its latest picture, which is kept in `picture`.
fn standard_card(view: &JobView, picture: &mut Option<Shown>) -> Bundle {
    if let Some(preview) = latest(view) {
        refresh(picture, preview);
    }
    let shown = picture.as_ref().map(|(_, mime, content)| (mime.as_str(), content.as_slice()));
    job_card(view, shown)
}

/// Reads a preview in place of the one shown, unless it is the same, too large, or gone: a preview that cannot be read
/// is not worth ending the display for.
pub(crate) fn refresh(shown: &mut Option<Shown>, preview: &ArtifactRef) {
    if shown.as_ref().is_none_or(|(digest, _, _)| *digest != preview.digest)
        && preview.size <= LARGEST_PREVIEW
        && let Ok(content) = preview.bytes()
    {
        *shown = Some((preview.digest.clone(), preview.media_type.clone(), content));
    }
}

/// The players of previews that sound.
#[derive(Default)]
struct Sounds {
    /// Name of the preview and its display's id.
    shown: Vec<(String, String)>,
}

impl Sounds {
    fn show(&mut self, view: &JobView, cx: &mut dyn Session) {
        for (name, preview) in &view.previews {
            let sounds = preview.media_type.starts_with("audio/") && preview.size <= LARGEST_SOUND;
            if !sounds || self.shown.iter().any(|(shown, _)| shown == name) {
                continue;
            }
            let id = cx.unique_id();
            // A preview that cannot be read is not worth ending the display for.
            if let Ok(content) = preview.bytes() {
                cx.display(&view::sound_preview(name, &preview.media_type, &content), Some(&id));
            }
            self.shown.push((name.clone(), id));
        }
    }

    fn clear(self, cx: &mut dyn Session) {
        for (_, id) in self.shown {
            cx.update(&id, &Bundle::text("").with("text/html", ""));
        }
    }
}

/// The picture that came last; where what came last is none, the last picture by name.
fn latest(view: &JobView) -> Option<&ArtifactRef> {
    let newest = view.newest.as_ref().and_then(|name| view.previews.get(name));
    let picture = |preview: &&ArtifactRef| preview.media_type.starts_with("image/");
    newest.filter(picture).or_else(|| view.previews.values().rfind(picture))
}
