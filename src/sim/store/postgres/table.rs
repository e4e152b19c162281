//! The modelled tables of fleets whose jobs are in Postgres: `executions` and `worker_heartbeats`.

use std::collections::{BTreeMap, BTreeSet};

use super::{EffectRow, Postgres, integer};
use crate::fault::trouble::DeadLetters;
use crate::names::{JobId, Text};
use crate::protocol::command::StalledReport;
use crate::protocol::table::{AfterFailure, DeadLetter, FleetStatus, StatusRule, WORKER_DIED};
use crate::protocol::{ClaimedJob, JobSpec, Reply, StoreError, TableCommand};
use crate::time::{Instant, Span};

/// What finds rows, beside the rows themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    queued: BTreeSet<(Instant, JobId)>,
    running: BTreeSet<JobId>,
    beats: BTreeMap<Text, Instant>,
}

/// A row of `executions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    pub status: ExecutionStatus,
    pub worker: Option<Text>,
    pub error: Option<Box<str>>,
    pub spec: JobSpec,
    pub attempts: u32,
    pub stalls: u32,
    pub run_at: Instant,
    /// Of the attempt itself.
    pub beat: Option<Instant>,
    pub updated: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionStatus {
    Queued,
    Running,
    Completed,
    Failed,
    DeadLetter,
}

impl ExecutionStatus {
    /// As the column has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::DeadLetter => "dead_letter",
        }
    }
}

impl Execution {
    /// For good.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        matches!(self.status, ExecutionStatus::Failed | ExecutionStatus::DeadLetter)
    }

    fn is_attempt(&self, worker: &Text, attempt: u32) -> bool {
        self.worker.as_ref() == Some(worker) && self.attempts == attempt
    }

    fn runs_as(&self, worker: &Text, attempt: u32) -> bool {
        self.status == ExecutionStatus::Running && self.is_attempt(worker, attempt)
    }
}

impl Postgres {
    /// The workers' beats, by worker.
    #[must_use]
    pub const fn beats(&self) -> &BTreeMap<Text, Instant> {
        &self.tables.beats
    }

    /// How many jobs there are of each status that any has, by its name.
    #[must_use]
    pub fn statistics(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for row in self.jobs.iter().filter_map(|job| job.execution.as_ref()) {
            *counts.entry(row.status.as_str()).or_default() += 1;
        }
        counts
    }

    /// What an operator is told of the workers and the jobs.
    #[must_use]
    pub fn status(&self, now: Instant, rule: &StatusRule) -> FleetStatus {
        let rows = || self.jobs.iter().filter_map(|job| Some((&job.id, job.execution.as_ref()?)));
        let is_stale = |row: &Execution| {
            row.status == ExecutionStatus::Running
                && row.beat.is_some_and(|beat| now.since(beat) > rule.stale_above)
        };
        let mut letters: Vec<_> =
            rows().filter(|(_, row)| row.status == ExecutionStatus::DeadLetter).collect();
        letters.sort_by(|(one, a), (other, b)| b.updated.cmp(&a.updated).then(one.cmp(other)));
        letters.truncate(FleetStatus::LETTERS_MAX);
        let letter = |(id, row): (&JobId, &Execution)| DeadLetter {
            job: id.to_string(),
            attempts: row.attempts.to_string(),
            error: row.error.as_deref().unwrap_or_default().to_owned(),
        };
        FleetStatus {
            workers: self.tables.beats.len() as u64,
            beat_age: self.tables.beats.values().max().map(|beat| now.since(*beat)),
            jobs: self.statistics().into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
            stale: rows().filter(|(_, row)| is_stale(row)).count() as u64,
            dead_letters: letters.into_iter().map(letter).collect(),
        }
    }

    /// Queues dead letters again; which.
    pub fn replay(&mut self, now: Instant, letters: &DeadLetters) -> Vec<JobId> {
        let ids = self.jobs.iter().map(|job| &job.id);
        let ids: Vec<JobId> = match letters {
            DeadLetters::All => ids.cloned().collect(),
            DeadLetters::Job(only) => ids.filter(|id| *id == only).cloned().collect(),
        };
        ids.into_iter().filter(|id| self.replay_one(now, id)).collect()
    }

    fn replay_one(&mut self, now: Instant, id: &JobId) -> bool {
        self.change(now, id, |row| {
            let is_dead = row.status == ExecutionStatus::DeadLetter;
            if is_dead {
                row.requeue(now);
                (row.attempts, row.error) = (0, None);
            }
            is_dead
        })
    }

    /// How often each job was taken from its worker, of those that were.
    pub fn stalls(&self) -> impl Iterator<Item = (&JobId, u32)> {
        self.jobs.iter().filter_map(|job| {
            let stalls = job.execution.as_ref()?.stalls;
            (stalls > 0).then_some((&job.id, stalls))
        })
    }

    pub(super) fn execute_on_tables(
        &mut self,
        now: Instant,
        command: &TableCommand,
    ) -> Result<Reply, StoreError> {
        Ok(match command {
            TableCommand::Enqueue { job } => Reply::Enqueued(self.enqueue(now, job)),
            TableCommand::Beat { worker } => {
                self.tables.beats.insert(worker.clone(), now);
                Reply::Done
            }
            TableCommand::Claim { worker, holding } => {
                Reply::Claimed(self.claim(now, worker, holding).map(Box::new))
            }
            TableCommand::Finish { job, worker, attempt, fenced } => {
                Reply::Held(self.finish(now, job, worker, integer(*attempt)?, *fenced))
            }
            TableCommand::BeatJob { job, worker, attempt } => {
                let attempt = integer(*attempt)?;
                let row = self.execution(job).filter(|row| row.runs_as(worker, attempt));
                Reply::Held(row.map(|row| row.beat = Some(now)).is_some())
            }
            TableCommand::Fail { job, worker, attempt, error, then } => {
                let attempt = integer(*attempt)?;
                Reply::Held(self.change(now, job, |row| {
                    let held = row.runs_as(worker, attempt);
                    if held {
                        row.error = Some(error.as_str().into());
                        match then {
                            AfterFailure::Retry(wait) => row.requeue(now + *wait),
                            AfterFailure::Failed => row.status = ExecutionStatus::Failed,
                            AfterFailure::DeadLetter => row.status = ExecutionStatus::DeadLetter,
                        }
                    }
                    held
                }))
            }
            TableCommand::Release { job, worker, attempt } => {
                let attempt = integer(*attempt)?;
                Reply::Held(self.change(now, job, |row| {
                    let held = row.runs_as(worker, attempt);
                    if held {
                        row.requeue(now);
                        row.attempts -= 1;
                    }
                    held
                }))
            }
            TableCommand::FailJobsOfTheDead { stale } => {
                let failed = self.fail_jobs_of_the_dead(now, *stale);
                Reply::StalledCheck(StalledReport { ran: true, requeued: Vec::new(), failed })
            }
            TableCommand::Rescue { stale } => Reply::StalledCheck(self.rescue(now, *stale)),
            TableCommand::Replay { job } => Reply::Held(self.replay_one(now, job)),
        })
    }

    fn enqueue(&mut self, now: Instant, spec: &JobSpec) -> bool {
        let row = &mut self.job(&spec.id).execution;
        if row.is_some() {
            return false;
        }
        let run_at = now + spec.delay;
        *row = Some(Execution {
            status: ExecutionStatus::Queued,
            worker: None,
            error: None,
            spec: spec.clone(),
            attempts: 0,
            stalls: 0,
            run_at,
            beat: None,
            updated: now,
        });
        self.tables.queued.insert((run_at, spec.id.clone()));
        true
    }

    fn claim(&mut self, now: Instant, worker: &Text, holding: &[JobId]) -> Option<ClaimedJob> {
        let ours = |id: &&JobId| {
            let row = self.find(id).and_then(|job| job.execution.as_ref());
            row.is_some_and(|row| row.worker.as_ref() == Some(worker)) && !holding.contains(id)
        };
        let unanswered = self.tables.running.iter().filter(ours);
        let due_at = |id: &&JobId| Some(self.find(id)?.execution.as_ref()?.run_at);
        let due = self.tables.queued.iter().take_while(|(run_at, _)| *run_at <= now).map(|(_, id)| id);
        let id = unanswered
            .min_by_key(|id| (due_at(id), (*id).clone()))
            .or_else(|| due.into_iter().find(|id| !holding.contains(id)))?
            .clone();
        self.change(now, &id, |row| {
            row.attempts += u32::from(row.status == ExecutionStatus::Queued);
            row.status = ExecutionStatus::Running;
            row.worker = Some(worker.clone());
            row.beat = Some(now);
            true
        });
        let row = self.find(&id)?.execution.as_ref()?;
        Some(ClaimedJob { spec: row.spec.clone(), attempt: row.attempts, stalls: row.stalls })
    }

    fn finish(&mut self, now: Instant, id: &JobId, worker: &Text, attempt: u32, fenced: bool) -> bool {
        let mut was_finished = false;
        let finished = self.change(now, id, |row| {
            was_finished = row.status == ExecutionStatus::Completed && row.is_attempt(worker, attempt);
            let counts = !fenced || row.runs_as(worker, attempt);
            if counts {
                row.status = ExecutionStatus::Completed;
                row.error = None;
            }
            counts
        });
        if finished {
            let effects = &mut self.job(id).effects;
            let is_this = |row: &EffectRow| *row.worker == **worker && row.attempt == attempt;
            if !effects.iter().any(is_this) {
                effects.push(EffectRow { worker: worker.as_str().into(), attempt, at: now });
            }
        }
        finished || was_finished
    }

    fn fail_jobs_of_the_dead(&mut self, now: Instant, stale: Span) -> Vec<JobId> {
        let is_dead = |id: &&JobId| {
            let worker = self.find(id).and_then(|job| job.execution.as_ref()?.worker.as_ref());
            let beat = worker.and_then(|worker| self.tables.beats.get(worker));
            beat.is_some_and(|beat| now.since(*beat) > stale)
        };
        let dead: Vec<JobId> = self.tables.running.iter().filter(is_dead).cloned().collect();
        for id in &dead {
            self.change(now, id, |row| {
                row.status = ExecutionStatus::Failed;
                row.error = Some(WORKER_DIED.into());
                row.stalls += 1;
                true
            });
        }
        dead
    }

    fn rescue(&mut self, now: Instant, stale: Span) -> StalledReport {
        let mut report = StalledReport { ran: true, ..StalledReport::default() };
        let is_old = |id: &&JobId| {
            let beat = self.find(id).and_then(|job| job.execution.as_ref()?.beat);
            beat.is_some_and(|beat| now.since(beat) > stale)
        };
        let old: Vec<JobId> = self.tables.running.iter().filter(is_old).cloned().collect();
        for id in old {
            let mut requeued = false;
            self.change(now, &id, |row| {
                requeued = row.attempts < row.spec.attempts;
                (row.stalls, row.error) = (row.stalls + 1, Some(WORKER_DIED.into()));
                if requeued {
                    row.requeue(now);
                } else {
                    (row.status, row.run_at) = (ExecutionStatus::DeadLetter, now);
                }
                true
            });
            if requeued { &mut report.requeued } else { &mut report.failed }.push(id);
        }
        report
    }

    fn execution(&mut self, id: &JobId) -> Option<&mut Execution> {
        let place = *self.index.get(id)?;
        self.jobs[place as usize].execution.as_mut()
    }

    /// Changes the row, if there is one and the change wants to; what finds rows follows it.
    fn change(&mut self, now: Instant, id: &JobId, change: impl FnOnce(&mut Execution) -> bool) -> bool {
        let Some(place) = self.index.get(id).copied() else { return false };
        let job = &mut self.jobs[place as usize];
        let Some(row) = &mut job.execution else { return false };
        let before = (row.status, row.run_at);
        if !change(row) {
            return false;
        }
        row.updated = now;
        let after = (row.status, row.run_at);
        job.is_changing(place, &mut self.changed);
        let tables = &mut self.tables;
        match before.0 {
            ExecutionStatus::Queued => drop(tables.queued.remove(&(before.1, id.clone()))),
            ExecutionStatus::Running => drop(tables.running.remove(id)),
            ExecutionStatus::Completed | ExecutionStatus::Failed | ExecutionStatus::DeadLetter => {}
        }
        match after.0 {
            ExecutionStatus::Queued => drop(tables.queued.insert((after.1, id.clone()))),
            ExecutionStatus::Running => drop(tables.running.insert(id.clone())),
            ExecutionStatus::Completed | ExecutionStatus::Failed | ExecutionStatus::DeadLetter => {}
        }
        true
    }
}

impl Execution {
    fn requeue(&mut self, run_at: Instant) {
        self.status = ExecutionStatus::Queued;
        self.worker = None;
        self.run_at = run_at;
    }
}
