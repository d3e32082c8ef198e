//! One job's journal: events appended one a line, and the invariant that exactly one terminal event ends it.
//!
//! A [`Record`] is a live job: its journal, the events so far for those who follow, and whether it was asked to
//! stop. Finished jobs are read back from their files.

use crate::EngineError;
use crate::intake::Files;
use crate::store::{now, private_folder, sync_folder};
use spinbot::event::{Event, EventBody, JobView};
use spinbot::{Fault, Plan};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A job that is queued or running, shared by its scheduler and those who follow it.
#[derive(Debug)]
pub(crate) struct Record {
    id: String,
    plan: Plan,
    /// The user's files among its inputs.
    files: Files,
    ledger: Mutex<Ledger>,
    /// Told of every event.
    grew: Condvar,
    cancel: AtomicBool,
}

#[derive(Debug)]
struct Ledger {
    file: File,
    path: PathBuf,
    /// Bytes of the file that are whole events; a write that fails half-way is cut back to here.
    whole: u64,
    events: Vec<Event>,
    view: JobView,
    ended: bool,
}

impl Record {
    /// Starts a job's journal with its `Queued` event, synced: an accepted job is not forgotten.
    pub(crate) fn create(
        jobs_folder: &Path,
        id: &str,
        plan: Plan,
        files: Files,
    ) -> Result<Self, EngineError> {
        let folder = jobs_folder.join(id);
        private_folder(&folder)?;
        let path = folder.join("journal.jsonl");
        let file = fs::OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(EngineError::io("cannot write", &path))?;
        let ledger =
            Ledger { file, path, whole: 0, events: Vec::new(), view: JobView::default(), ended: false };
        let record = Record {
            id: id.to_owned(),
            plan: plan.clone(),
            files,
            ledger: Mutex::new(ledger),
            grew: Condvar::new(),
            cancel: AtomicBool::new(false),
        };
        record.append(EventBody::Queued { plan })?;
        let ledger = record.ledger();
        ledger.file.sync_all().map_err(EngineError::io("cannot write", &ledger.path))?;
        drop(ledger);
        sync_folder(&folder)?;
        sync_folder(jobs_folder)?;
        Ok(record)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// Appends an event. After the terminal one nothing is written any more, and that is no error: whoever
    /// comes second (a cancel beside a finish) has nothing to add. A terminal event is synced, and told to
    /// those who follow even when it could not be written; the next start of the engine then settles the file.
    pub(crate) fn append(&self, body: EventBody) -> Result<(), EngineError> {
        let mut ledger = self.ledger();
        if ledger.ended {
            return Ok(());
        }
        let terminal = body.is_terminal();
        let event = Event { job: self.id.clone(), seq: ledger.events.len() as u64, at: now(), body };
        let written = ledger.write(&event, terminal);
        if written.is_ok() || terminal {
            ledger.view.apply(&event);
            ledger.events.push(event);
            ledger.ended = terminal;
            self.grew.notify_all();
        }
        written
    }

    /// Asks the job to stop.
    pub(crate) fn request_cancel(&self) {
        self.cancel.store(true, Ordering::Release);
    }

    pub(crate) fn cancel_requested(&self) -> bool {
        self.cancel.load(Ordering::Acquire)
    }

    /// The fold of the events so far, without curves and log.
    pub(crate) fn summary(&self) -> JobView {
        summary(&self.ledger().view)
    }

    /// Events from position `from`, waiting up to `patience` for one. The flag says whether the job has ended
    /// and nothing follows what is returned.
    pub(crate) fn events_from(&self, from: u64, patience: Duration) -> (Vec<Event>, bool) {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let ledger = self.ledger();
        let (ledger, _) = self
            .grew
            .wait_timeout_while(ledger, patience, |l| l.events.len() <= from && !l.ended)
            .unwrap_or_else(PoisonError::into_inner);
        (ledger.events.get(from..).unwrap_or_default().to_vec(), ledger.ended)
    }

    /// A panic while the ledger is held leaves it whole: it is changed only after the file was written.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn write(&mut self, event: &Event, sync: bool) -> Result<(), EngineError> {
        let line = event_line(event).map_err(EngineError::io("cannot write", &self.path))?;
        let written =
            self.file.write_all(&line).and_then(|()| if sync { self.file.sync_all() } else { Ok(()) });
        match written {
            Ok(()) => {
                self.whole += line.len() as u64;
                Ok(())
            }
            Err(e) => {
                // Half a line must not run into the next one. Where even this fails, reading stops at it.
                let _ = self.file.set_len(self.whole);
                Err(EngineError::Io { doing: "cannot write", path: self.path.clone(), source: e })
            }
        }
    }
}

fn event_line(event: &Event) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(line)
}

/// A view without what grows with the length of a job.
pub(crate) fn summary(view: &JobView) -> JobView {
    let mut view = view.clone();
    view.metrics.clear();
    view.log.clear();
    view
}

/// Reads a job's events back, up to the terminal one or the first line that is not whole.
pub(crate) fn read(jobs_folder: &Path, id: &str) -> io::Result<Vec<Event>> {
    Ok(read_whole(&journal_path(jobs_folder, id))?.0)
}

/// The events and how many bytes they take in the file.
fn read_whole(path: &Path) -> io::Result<(Vec<Event>, u64)> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut events: Vec<Event> = Vec::new();
    let mut whole = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = reader.read_until(b'\n', &mut line)?;
        if n == 0 || line.last() != Some(&b'\n') {
            break;
        }
        let Ok(event) = serde_json::from_slice::<Event>(&line) else { break };
        if event.seq != events.len() as u64 {
            break;
        }
        whole += n as u64;
        let terminal = event.body.is_terminal();
        events.push(event);
        if terminal {
            break;
        }
    }
    Ok((events, whole))
}

/// Ends the journal of a job that a stopped engine left without an end. True when there was something to end.
/// A journal without even its first event belongs to a job nobody was told of: it is removed. A folder without a
/// journal is none of ours.
pub(crate) fn settle(jobs_folder: &Path, id: &str) -> io::Result<bool> {
    let path = journal_path(jobs_folder, id);
    if ends_with_terminal(&path).unwrap_or(false) {
        return Ok(false);
    }
    let (events, whole) = match read_whole(&path) {
        Ok(read) => read,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(false);
        }
        Err(e) => return Err(e),
    };
    if events.is_empty() {
        fs::remove_file(&path)?;
        return match fs::remove_dir(jobs_folder.join(id)) {
            Err(e) if e.kind() != io::ErrorKind::DirectoryNotEmpty => Err(e),
            _ => Ok(false),
        };
    }
    let mut file = fs::OpenOptions::new().write(true).open(&path)?;
    file.set_len(whole)?;
    file.seek(SeekFrom::End(0))?;
    let ended = events.last().is_some_and(|e| e.body.is_terminal());
    if !ended {
        let view = JobView::of(&events);
        let (what, step) = match view.started_at {
            Some(_) => ("running", view.step),
            None => ("waiting", None),
        };
        let fault = Fault::new(format!("the engine stopped while this job was {what}"))
            .help("run it again: steps that were finished are not computed a second time");
        let body = EventBody::Failed { step, fault };
        file.write_all(&event_line(&Event {
            job: id.to_owned(),
            seq: events.len() as u64,
            at: now(),
            body,
        })?)?;
    }
    file.sync_all()?;
    Ok(!ended)
}

/// A cheap look at the last line, so that a start with thousands of finished jobs reads none of them whole.
fn ends_with_terminal(path: &Path) -> io::Result<bool> {
    const TAIL: u64 = 16 << 10;
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let Some(text) = tail.strip_suffix(b"\n") else { return Ok(false) };
    let last = text.rsplit(|&b| b == b'\n').next().unwrap_or_default();
    Ok(serde_json::from_slice::<Event>(last).is_ok_and(|e| e.body.is_terminal()))
}

fn journal_path(jobs_folder: &Path, id: &str) -> PathBuf {
    jobs_folder.join(id).join("journal.jsonl")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { title: "t".into(), steps: Vec::new(), result: (String::new(), String::new()) }
    }

    fn terminals(events: &[Event]) -> usize {
        events.iter().filter(|e| e.body.is_terminal()).count()
    }

    #[test]
    fn whoever_ends_a_job_second_adds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::create(folder.path(), "a", plan(), Files::new()).unwrap();
        record.append(EventBody::Started).unwrap();
        record.append(EventBody::Cancelled).unwrap();
        record.append(EventBody::Failed { step: None, fault: Fault::new("late") }).unwrap();
        record.append(EventBody::Log { step: "s".into(), line: "later".into() }).unwrap();
        let events = read(folder.path(), "a").unwrap();
        assert_eq!(events.len(), 3);
        assert_eq!(events.last().unwrap().body, EventBody::Cancelled);
        assert_eq!(record.events_from(1, Duration::ZERO), (events[1..].to_vec(), true));
        assert!(!settle(folder.path(), "a").unwrap());
    }

    #[test]
    fn a_journal_cut_off_anywhere_is_settled_with_one_end() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::create(folder.path(), "a", plan(), Files::new()).unwrap();
        record.append(EventBody::Started).unwrap();
        record.append(EventBody::StepStarted { step: "draw".into() }).unwrap();
        record.append(EventBody::Cancelled).unwrap();
        let whole = fs::read(folder.path().join("a/journal.jsonl")).unwrap();
        let first = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
        for cut in 0..=whole.len() {
            let id = format!("cut{cut}");
            fs::create_dir(folder.path().join(&id)).unwrap();
            fs::write(folder.path().join(&id).join("journal.jsonl"), &whole[..cut]).unwrap();
            let settled = settle(folder.path(), &id).unwrap();
            if cut < first {
                assert!(!folder.path().join(&id).exists(), "nobody was told of this job (cut at {cut})");
                continue;
            }
            assert_eq!(settled, cut < whole.len(), "cut at {cut}");
            let events = read(folder.path(), &id).unwrap();
            assert_eq!(terminals(&events), 1, "cut at {cut}");
            assert!(events.iter().enumerate().all(|(i, e)| e.seq == i as u64));
            assert!(!settle(folder.path(), &id).unwrap(), "settled once");
        }
    }

    #[test]
    fn settling_leaves_what_is_not_a_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("letters")).unwrap();
        fs::create_dir(path("cut")).unwrap();
        for name in ["list", "letters/draft", "cut/notes", "cut/journal.jsonl"] {
            fs::write(path(name), b"mine").unwrap();
        }
        for id in ["list", "letters", "cut"] {
            assert!(!settle(folder.path(), id).unwrap());
        }
        assert!(["list", "letters/draft", "cut/notes"].iter().all(|name| path(name).exists()));
        assert!(!path("cut/journal.jsonl").exists());
    }
}
