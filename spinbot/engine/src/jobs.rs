//! The jobs: who waits, who runs, what is known of those that ended.
//!
//! One device, one job at a time, first come first served. The rest of the engine sees only [`Jobs`], so that
//! another queue (priorities, a database) can take its place.

use crate::EngineError;
use crate::intake::Files;
use crate::journal::{self, Record};
use spinbot::event::{EventBody, JobView};
use spinbot::{Fault, Plan};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Finished jobs kept in memory; older ones are read from their journals when asked for.
const REMEMBERED: usize = 200;
/// Jobs that may wait at once.
const LONGEST_QUEUE: usize = 10_000;

/// The queue and the index.
#[derive(Debug)]
pub(crate) struct Jobs {
    folder: PathBuf,
    inner: Mutex<Inner>,
    /// Told when a job comes, ends, or the queue closes.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Arc<Record>>,
    running: Option<Arc<Record>>,
    /// The latest finished jobs by id, which sorts by time.
    finished: BTreeMap<String, JobView>,
    /// Milliseconds of the last id given, so that ids rise even when the clock does not.
    last_id: u64,
    closed: bool,
}

impl Jobs {
    /// Settles what an earlier engine left without an end and reads the latest jobs.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, EngineError> {
        let ids = ids_on_disk(&folder)?;
        let mut inner = Inner::default();
        for id in ids.iter().rev() {
            journal::settle(&folder, id).map_err(EngineError::io("cannot settle", folder.join(id)))?;
            if inner.finished.len() < REMEMBERED
                && let Some(view) = view_on_disk(&folder, id)
            {
                inner.finished.insert(id.clone(), view);
            }
        }
        Ok(Jobs { folder, inner: Mutex::new(inner), changed: Condvar::new() })
    }

    /// Queues a plan that has been validated and whose files are in the store.
    pub(crate) fn submit(&self, plan: Plan, files: Files) -> Result<Arc<Record>, Fault> {
        let mut inner = self.inner();
        if inner.closed {
            return Err(Fault::new("the engine is stopping").help("run it again in a moment"));
        }
        if inner.waiting.len() >= LONGEST_QUEUE {
            return Err(
                Fault::new(format!("{LONGEST_QUEUE} jobs wait already")).help("let some of them end first")
            );
        }
        let id = next_id(&mut inner.last_id);
        let record = Arc::new(Record::create(&self.folder, &id, plan, files)?);
        inner.waiting.push_back(Arc::clone(&record));
        self.changed.notify_all();
        Ok(record)
    }

    /// Waits for the next job and makes it the running one; `None` once the queue is closed.
    pub(crate) fn next(&self) -> Option<Arc<Record>> {
        let mut inner = self.inner();
        loop {
            if inner.closed {
                return None;
            }
            if let Some(record) = inner.waiting.pop_front() {
                inner.running = Some(Arc::clone(&record));
                return Some(record);
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The running job has its terminal event.
    pub(crate) fn ended(&self, record: &Record) {
        let mut inner = self.inner();
        inner.running = None;
        inner.remember(record);
        self.changed.notify_all();
    }

    /// Asks a job to stop. A waiting one ends at once; one that has ended stays as it is.
    pub(crate) fn cancel(&self, id: &str) -> Result<(), Fault> {
        let mut inner = self.inner();
        if let Some(at) = inner.waiting.iter().position(|r| r.id() == id)
            && let Some(record) = inner.waiting.remove(at)
        {
            let written = record.append(EventBody::Cancelled);
            inner.remember(&record);
            self.changed.notify_all();
            return Ok(written?);
        }
        if let Some(record) = inner.running.as_ref().filter(|r| r.id() == id) {
            record.request_cancel();
            return Ok(());
        }
        drop(inner);
        if self.exists(id) { Ok(()) } else { Err(no_such_job(id)) }
    }

    /// A job that is queued or running.
    pub(crate) fn live(&self, id: &str) -> Option<Arc<Record>> {
        let inner = self.inner();
        inner.running.iter().chain(&inner.waiting).find(|r| r.id() == id).cloned()
    }

    /// The events of a job that has ended.
    pub(crate) fn finished(&self, id: &str) -> Result<Vec<spinbot::Event>, Fault> {
        if !self.exists(id) {
            return Err(no_such_job(id));
        }
        journal::read(&self.folder, id)
            .map_err(|e| Fault::new(format!("the journal of job {id} cannot be read: {e}")))
    }

    /// The last jobs, newest first.
    pub(crate) fn list(&self, limit: usize) -> Vec<JobView> {
        let inner = self.inner();
        let live = inner.waiting.iter().rev().chain(&inner.running).map(|r| r.summary());
        let mut views: Vec<JobView> = live.chain(inner.finished.values().rev().cloned()).collect();
        drop(inner);
        views.sort_by(|a, b| b.job.cmp(&a.job));
        if views.len() < limit {
            let oldest = views.last().map(|v| v.job.clone());
            let older = ids_on_disk(&self.folder).unwrap_or_default().into_iter().rev();
            let older = older.filter(|id| oldest.as_ref().is_none_or(|oldest| id < oldest));
            let wanted = limit - views.len();
            views.extend(older.take(wanted).filter_map(|id| view_on_disk(&self.folder, &id)));
        }
        views.truncate(limit);
        views
    }

    /// The running job and how many wait.
    pub(crate) fn load(&self) -> (Option<String>, usize) {
        let inner = self.inner();
        (inner.running.as_ref().map(|r| r.id().to_owned()), inner.waiting.len())
    }

    /// Takes no more jobs, cancels those that wait and asks the running one to stop.
    pub(crate) fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        while let Some(record) = inner.waiting.pop_front() {
            // Where this cannot be written, the next start settles the journal.
            let _ = record.append(EventBody::Cancelled);
            inner.remember(&record);
        }
        if let Some(record) = &inner.running {
            record.request_cancel();
        }
        self.changed.notify_all();
    }

    fn exists(&self, id: &str) -> bool {
        is_job_id(id) && self.folder.join(id).join("journal.jsonl").is_file()
    }

    /// Each change below is whole on its own, so a panic elsewhere leaves nothing to mend.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remember(&mut self, record: &Record) {
        self.finished.insert(record.id().to_owned(), record.summary());
        while self.finished.len() > REMEMBERED {
            self.finished.pop_first();
        }
    }
}

fn no_such_job(id: &str) -> Fault {
    let id: String = id.chars().take(40).collect();
    Fault::new(format!("there is no job `{id}`")).help("`spinbot jobs` lists them")
}

fn view_on_disk(folder: &Path, id: &str) -> Option<JobView> {
    let events = journal::read(folder, id).ok()?;
    (!events.is_empty()).then(|| journal::summary(&JobView::of(&events)))
}

/// Ids of all jobs, oldest first.
fn ids_on_disk(folder: &Path) -> Result<Vec<String>, EngineError> {
    let entries = fs::read_dir(folder).map_err(EngineError::io("cannot read", folder))?;
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let mut ids: Vec<String> = names.filter(|n| is_job_id(n)).collect();
    ids.sort();
    Ok(ids)
}

/// Nothing else may become part of a path.
fn is_job_id(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

/// Twelve digits that sort by time: nine of milliseconds, three random, so that ids of two machines differ too.
fn next_id(last: &mut u64) -> String {
    // Crockford's base 32: no i, l, o, u to misread.
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let millis = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_millis() as u64);
    *last = millis.max(*last + 1);
    let [a, b, ..] = *uuid::Uuid::new_v4().as_bytes();
    let number = (*last << 15) | (u64::from(a) << 7) | u64::from(b & 0x7f);
    (0..12).rev().map(|i| char::from(DIGITS[(number >> (5 * i)) as usize & 31])).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn plan(title: &str) -> Plan {
        Plan { title: title.into(), steps: Vec::new(), result: (String::new(), String::new()) }
    }

    #[test]
    fn first_come_first_served_and_the_list_shows_the_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(folder.path().to_owned()).unwrap();
        let ids: Vec<String> =
            ["a", "b", "c"].map(|t| jobs.submit(plan(t), Files::new()).unwrap().id().to_owned()).into();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| is_job_id(id) && id.len() == 12));
        jobs.cancel(&ids[1]).unwrap();
        let first = jobs.next().unwrap();
        assert_eq!(first.id(), ids[0]);
        first.append(EventBody::Started).unwrap();
        first.append(EventBody::Failed { step: None, fault: Fault::new("x") }).unwrap();
        jobs.ended(&first);
        assert_eq!(jobs.next().unwrap().id(), ids[2], "a cancelled job is not run");
        let titles = |jobs: &Jobs, n| jobs.list(n).into_iter().map(|v| v.title).collect::<Vec<_>>();
        assert_eq!(titles(&jobs, 10), ["c", "b", "a"]);
        assert_eq!(titles(&jobs, 2), ["c", "b"]);
        assert!(jobs.cancel("nosuchjob").is_err());
        assert!(jobs.cancel("../../etc").is_err());
        drop(jobs);

        let again = Jobs::open(folder.path().to_owned()).unwrap();
        assert_eq!(titles(&again, 10), ["c", "b", "a"]);
        let fault = again.list(1).remove(0).fault.unwrap();
        assert_eq!(fault.message, "the engine stopped while this job was waiting");
    }

    #[test]
    fn jobs_older_than_memory_are_read_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(folder.path().to_owned()).unwrap();
        for i in 0..REMEMBERED + 5 {
            let id = jobs.submit(plan(&i.to_string()), Files::new()).unwrap().id().to_owned();
            jobs.cancel(&id).unwrap();
        }
        assert_eq!(jobs.list(10).len(), 10);
        let all = jobs.list(1000);
        assert_eq!(all.len(), REMEMBERED + 5);
        assert_eq!(all.last().unwrap().title, "0");
    }
}
