//! The modelled Postgres: the tables of the reference fleet. Each command is one transaction.

mod table;

use crate::history::FinalState;
use crate::names::JobId;
use crate::protocol::command::JobStatus;
use crate::protocol::{Command, Reply, StoreError, TableCommand};
use crate::time::Instant;

use super::down;
use super::hash::Index;
pub use table::{Execution, ExecutionStatus};

/// One server. A crash of it keeps every committed row, as on the live one: the log is written before
/// a commit is acknowledged, and what was written survives the process. The live one runs without
/// fsync, so a loss of the host's power is not modelled either.
#[derive(Debug, Clone)]
pub struct Postgres {
    index: Index<JobId, u32>,
    /// In the order in which they were first named.
    jobs: Vec<Job>,
    tables: table::Tables,
    /// The places of the jobs that may have changed since these were last taken.
    changed: Vec<u32>,
    running: bool,
    /// The sweeper's role may not update.
    sweeps_refused: bool,
}

/// The rows that name one job.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: JobId,
    /// The row of `jobs`.
    pub status: Option<StatusRow>,
    /// The rows of `segments`, by step.
    pub steps: Vec<StepRow>,
    /// The rows of `effects`, the oldest first.
    pub effects: Vec<EffectRow>,
    /// The row of `executions`.
    pub execution: Option<Execution>,
    /// It is among those that may have changed.
    is_changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRow {
    pub name: StatusName,
    pub error: Option<Box<str>>,
    pub attempts: u32,
    pub last_attempt: Option<Instant>,
    pub updated: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusName {
    Pending,
    Processing,
    Completed,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    pub step: u32,
    pub worker: Box<str>,
    pub saved: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectRow {
    pub worker: Box<str>,
    pub attempt: u32,
    pub at: Instant,
}

impl Default for Postgres {
    fn default() -> Self {
        Self::new()
    }
}

impl Postgres {
    /// A running server with empty tables.
    #[must_use]
    pub fn new() -> Self {
        Self {
            index: Index::default(),
            jobs: Vec::new(),
            tables: table::Tables::default(),
            changed: Vec::new(),
            running: true,
            sweeps_refused: false,
        }
    }

    /// `now` is the time that the server stamps rows with.
    ///
    /// # Errors
    /// `Rejected` for a command of Redis, and for a number beyond the columns' range;
    /// `Unavailable` while the server does not run.
    pub fn execute(&mut self, now: Instant, command: &Command) -> Result<Reply, StoreError> {
        if let Command::AwaitReady { .. } = command {
            return Ok(Reply::Ready(self.running));
        }
        if !self.running {
            return Err(down());
        }
        Ok(match command {
            Command::SetStatus { job, status } => {
                let new = new_status(now, status)?;
                set_status(&mut self.job(job).status, new, status);
                Reply::Done
            }
            Command::LoadSteps { job } => {
                let steps = self.find(job).into_iter().flat_map(|job| &job.steps);
                Reply::Steps(steps.map(|row| row.step).collect())
            }
            Command::SaveStep { job, step, worker } => {
                let step = integer(*step)?;
                let steps = &mut self.job(job).steps;
                Reply::Saved(match steps.binary_search_by_key(&step, |row| row.step) {
                    Ok(_) => false,
                    Err(place) => {
                        steps.insert(place, StepRow { step, worker: worker.as_str().into(), saved: now });
                        true
                    }
                })
            }
            Command::DropSteps { job } => {
                self.job(job).steps.clear();
                Reply::Done
            }
            Command::RecordEffect { job, worker, attempt } => {
                let attempt = integer(*attempt)?;
                self.job(job).effects.push(EffectRow { worker: worker.as_str().into(), attempt, at: now });
                Reply::Done
            }
            Command::Table(TableCommand::FailJobsOfTheDead { .. }) if self.sweeps_refused => {
                return Err(StoreError::Rejected("permission denied for table executions".to_owned()));
            }
            Command::Table(command) => return self.execute_on_tables(now, command),
            _ => return Err(StoreError::Rejected(format!("not a Postgres command: {command:?}"))),
        })
    }

    /// The jobs whose work was done and whose id contains `text`, the latest first, at most `limit`.
    /// Those done at one instant come by their ids' bytes.
    #[must_use]
    pub fn finished_jobs(&self, text: &str, limit: u32) -> Vec<JobId> {
        let found = self.jobs.iter().filter(|job| job.id.as_str().contains(text));
        let mut finished: Vec<(Instant, &JobId)> =
            found.filter_map(|job| Some((job.effects.iter().map(|row| row.at).max()?, &job.id))).collect();
        finished.sort_unstable_by(|(one, a), (other, b)| other.cmp(one).then(a.cmp(b)));
        finished.into_iter().take(limit as usize).map(|(_, id)| id.clone()).collect()
    }

    /// Takes the jobs that may have changed since they were last taken, by their places in
    /// [`Postgres::jobs`]: ordered by job, as the effect queries of the reference systems read them.
    pub fn take_changed(&mut self, into: &mut Vec<u32>) {
        into.clear();
        into.append(&mut self.changed);
        for place in into.iter() {
            self.jobs[*place as usize].is_changed = false;
        }
        into.sort_unstable_by(|a, b| self.jobs[*a as usize].id.cmp(&self.jobs[*b as usize].id));
    }

    /// Every job that was ever named, in that order; some may have no rows.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running
    }

    /// The sweeper's role has been granted no more than to read.
    pub const fn refuse_sweeps(&mut self) {
        self.sweeps_refused = true;
    }

    /// The server's processes are killed.
    pub const fn crash(&mut self) {
        self.running = false;
    }

    /// An orderly stop.
    pub const fn stop(&mut self) {
        self.running = false;
    }

    pub const fn start(&mut self) {
        self.running = true;
    }

    fn find(&self, id: &JobId) -> Option<&Job> {
        self.index.get(id).map(|place| &self.jobs[*place as usize])
    }

    /// To be changed.
    fn job(&mut self, id: &JobId) -> &mut Job {
        let place = match self.index.get(id) {
            Some(place) => *place,
            None => {
                let place = self.jobs.len() as u32;
                self.index.insert(id.clone(), place);
                self.jobs.push(Job::named(id.clone()));
                place
            }
        };
        let job = &mut self.jobs[place as usize];
        job.is_changing(place, &mut self.changed);
        job
    }
}

impl Job {
    fn named(id: JobId) -> Self {
        let (steps, effects) = (Vec::new(), Vec::new());
        Self { id, status: None, steps, effects, execution: None, is_changed: false }
    }

    fn is_changing(&mut self, place: u32, changed: &mut Vec<u32>) {
        if !std::mem::replace(&mut self.is_changed, true) {
            changed.push(place);
        }
    }

    fn has_rows(&self) -> bool {
        self.status.is_some()
            || !self.steps.is_empty()
            || !self.effects.is_empty()
            || self.execution.is_some()
    }

    /// What the effect queries of the reference systems read of it; none, if no row names it.
    #[must_use]
    pub fn final_state(&self) -> Option<FinalState> {
        self.has_rows().then(|| FinalState {
            effects: u32::try_from(self.effects.len()).unwrap_or(u32::MAX),
            failed: self.status.as_ref().is_some_and(|row| row.name == StatusName::Failed)
                || self.execution.as_ref().is_some_and(Execution::has_failed),
            steps: self.steps.iter().map(|row| row.step).collect(),
            by: Vec::new(),
        })
    }
}

fn new_status(now: Instant, status: &JobStatus) -> Result<StatusRow, StoreError> {
    let (name, error, attempts) = match status {
        JobStatus::Pending => (StatusName::Pending, None, 0),
        JobStatus::Processing => (StatusName::Processing, None, 0),
        JobStatus::Completed => (StatusName::Completed, None, 0),
        JobStatus::Failed { error, attempts } => {
            (StatusName::Failed, Some(error.as_str().into()), integer(*attempts)?)
        }
    };
    let last_attempt = (name != StatusName::Pending).then_some(now);
    Ok(StatusRow { name, error, attempts, last_attempt, updated: now })
}

/// Never takes a job back from `completed`. A job that is `pending` is new: it overwrites nothing.
fn set_status(row: &mut Option<StatusRow>, new: StatusRow, status: &JobStatus) {
    match row {
        None => *row = Some(new),
        Some(old) if old.name == StatusName::Completed || new.name == StatusName::Pending => {}
        Some(old) => {
            let knows_attempts = matches!(status, JobStatus::Failed { .. });
            let attempts = if knows_attempts { new.attempts } else { old.attempts };
            *old = StatusRow { attempts, ..new };
        }
    }
}

/// The columns' type is Postgres's `int`.
fn integer(number: u32) -> Result<u32, StoreError> {
    match i32::try_from(number) {
        Ok(_) => Ok(number),
        Err(error) => Err(StoreError::Rejected(error.to_string())),
    }
}
