//! The engine as a magic sees it: submit, follow, list, cancel.
//!
//! A trait, so that magics are tested without processes; the real one is [`EngineJobs`] over the client's
//! [`spinbot::Engine`]. How a followed job looks is in `view`.

use spinbot::{Engine, Event, Fault, JobView, Plan};
use std::sync::mpsc::{Receiver, channel};

/// What magics ask of the engine.
pub trait Jobs {
    /// Submits a plan and returns the job's id.
    ///
    /// # Errors
    /// What is wrong with the plan, naming the argument.
    fn submit(&mut self, plan: Plan) -> Result<String, Fault>;

    /// The job's events from its first to its terminal one; the channel closes after that, or after an error.
    fn follow(&mut self, job: &str) -> Receiver<Result<Event, Fault>>;

    /// The last jobs, newest first.
    ///
    /// # Errors
    /// The engine does not answer.
    fn list(&mut self, limit: usize) -> Result<Vec<JobView>, Fault>;

    /// Asks a job to stop.
    ///
    /// # Errors
    /// There is no such job.
    fn cancel(&mut self, job: &str) -> Result<(), Fault>;
}

/// The engine of this user and machine.
pub(crate) struct EngineJobs {
    engine: Engine,
}

impl EngineJobs {
    /// Connects, starting an engine where none runs.
    pub(crate) fn connect() -> Result<Self, Fault> {
        Ok(EngineJobs { engine: Engine::connect()? })
    }
}

impl Jobs for EngineJobs {
    fn submit(&mut self, plan: Plan) -> Result<String, Fault> {
        self.engine.submit(plan).map(|job| job.id().to_owned())
    }

    /// On a thread, because reading the next event blocks and the stop button must be seen meanwhile. The thread
    /// ends with the job or when nobody listens any more.
    fn follow(&mut self, job: &str) -> Receiver<Result<Event, Fault>> {
        let mut job = self.engine.job(job);
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            loop {
                let news = match job.next_event() {
                    Ok(Some(event)) => Ok(event),
                    Ok(None) => return,
                    Err(fault) => Err(fault),
                };
                let last = news.is_err();
                if sender.send(news).is_err() || last {
                    return;
                }
            }
        });
        receiver
    }

    fn list(&mut self, limit: usize) -> Result<Vec<JobView>, Fault> {
        self.engine.jobs(limit)
    }

    fn cancel(&mut self, job: &str) -> Result<(), Fault> {
        self.engine.cancel(job)
    }
}
