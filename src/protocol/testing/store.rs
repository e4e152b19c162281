//! Both stores, as small as the tests need them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::names::{JobId, Store};
use crate::protocol::command::{JobStatus, StalledReport};
use crate::protocol::{ClaimedJob, Command, JobSpec, Reply, STALLED_TOO_OFTEN};
use crate::time::{Instant, Span};

#[derive(Default)]
pub struct MiniStore {
    pub down_until: [Instant; 2],
    pub queues: BTreeMap<String, Queue>,
    pub stalls: BTreeMap<JobId, u32>,
    pub global_lock: Option<(String, Instant)>,
    /// When the last beat's key ends.
    beat_until: Option<Instant>,
    /// For how long the key was missing before a beat came.
    pub beat_gaps: Vec<Span>,
    pub statuses: BTreeMap<JobId, JobStatus>,
    pub steps: BTreeMap<JobId, BTreeSet<u32>>,
    /// Job and attempt, one for each execution.
    pub effects: Vec<(JobId, u32)>,
}

#[derive(Default)]
pub struct Queue {
    jobs: BTreeMap<JobId, Job>,
    pub waiting: VecDeque<JobId>,
    pub active: Vec<JobId>,
    pub delayed: Vec<(Instant, JobId)>,
    pub completed: Vec<JobId>,
    pub failed: BTreeMap<JobId, String>,
    marked: BTreeSet<JobId>,
    guard_until: Instant,
}

struct Job {
    spec: JobSpec,
    attempts: u32,
    stalls: u32,
    resumed: bool,
    lock: Option<(String, Instant)>,
}

impl Queue {
    fn holds(&self, now: Instant, job: &JobId, token: &str) -> bool {
        let lock = self.jobs.get(job).and_then(|job| job.lock.as_ref());
        lock.is_some_and(|(holder, until)| holder == token && *until > now)
    }

    fn leave_active(&mut self, job: &JobId) {
        self.active.retain(|id| id != job);
        self.marked.remove(job);
        if let Some(job) = self.jobs.get_mut(job) {
            job.lock = None;
        }
    }

    fn claim(&mut self, now: Instant, token: &str, lock: Span) -> Option<ClaimedJob> {
        let (due, later) = std::mem::take(&mut self.delayed).into_iter().partition(|(due, _)| *due <= now);
        self.delayed = later;
        self.waiting.extend(Vec::into_iter(due).map(|(_, id): (Instant, JobId)| id));
        let id = self.waiting.pop_front()?;
        self.active.push(id.clone());
        let job = self.jobs.get_mut(&id)?;
        if !std::mem::take(&mut job.resumed) {
            job.attempts += 1;
        }
        job.lock = Some((token.to_owned(), now + lock));
        Some(ClaimedJob { spec: job.spec.clone(), attempt: job.attempts, stalls: job.stalls })
    }

    fn check_stalled(&mut self, now: Instant, guard: Span, max_stalls: u32) -> StalledReport {
        if self.guard_until > now {
            return StalledReport::default();
        }
        self.guard_until = now + guard;
        let mut report = StalledReport { ran: true, ..StalledReport::default() };
        for id in self.active.clone() {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            if !self.marked.contains(&id) || job.lock.as_ref().is_some_and(|(_, until)| *until > now) {
                continue;
            }
            job.stalls += 1;
            job.resumed = true;
            let fails = job.stalls > max_stalls;
            self.leave_active(&id);
            if fails {
                self.failed.insert(id.clone(), STALLED_TOO_OFTEN.to_owned());
                report.failed.push(id);
            } else {
                self.waiting.push_front(id.clone());
                report.requeued.push(id);
            }
        }
        self.marked = self.active.iter().cloned().collect();
        report
    }
}

impl MiniStore {
    pub fn is_up(&self, now: Instant, store: Store) -> bool {
        self.down_until[store as usize] <= now
    }

    pub fn regular(&self) -> &Queue {
        &self.queues["regular"]
    }

    pub fn enqueue(&mut self, now: Instant, queue: &str, spec: JobSpec) {
        let queue = self.queues.entry(queue.to_owned()).or_default();
        let id = spec.id.clone();
        if spec.delay.is_zero() {
            queue.waiting.push_back(id.clone());
        } else {
            queue.delayed.push((now + spec.delay, id.clone()));
        }
        queue.jobs.insert(id, Job { spec, attempts: 0, stalls: 0, resumed: false, lock: None });
    }

    pub fn execute(&mut self, now: Instant, command: &Command) -> Reply {
        match command {
            Command::WriteBeat { ttl, .. } => {
                if let Some(until) = self.beat_until.filter(|until| *until < now) {
                    self.beat_gaps.push(now.since(until));
                }
                self.beat_until = Some(now + *ttl);
                Reply::Done
            }
            Command::AcquireLock { token, ttl, .. } => {
                if self.global_lock.as_ref().is_none_or(|(_, until)| *until <= now) {
                    self.global_lock = Some((token.to_string(), now + *ttl));
                }
                Reply::Held(self.holds_global(now, token))
            }
            Command::RenewLock { token, ttl, .. } => {
                let held = self.holds_global(now, token);
                if held {
                    self.global_lock = Some((token.to_string(), now + *ttl));
                }
                Reply::Held(held)
            }
            Command::ReleaseLock { token, .. } => {
                if self.holds_global(now, token) {
                    self.global_lock = None;
                }
                Reply::Held(false)
            }
            Command::Claim { queue, token, lock } => {
                let queue = self.queues.entry(queue.to_string()).or_default();
                Reply::Claimed(queue.claim(now, token, *lock).map(Box::new))
            }
            Command::CheckStalled { queue, guard, max_stalls } => {
                let queue = self.queues.entry(queue.to_string()).or_default();
                let report = queue.check_stalled(now, *guard, *max_stalls);
                for job in report.requeued.iter().chain(&report.failed) {
                    *self.stalls.entry(job.clone()).or_default() += 1;
                }
                Reply::StalledCheck(report)
            }
            Command::ExtendLock { queue, job, token, .. }
            | Command::Complete { queue, job, token }
            | Command::Fail { queue, job, token, .. }
            | Command::Release { queue, job, token } => {
                let queue = self.queues.entry(queue.to_string()).or_default();
                let unfenced = token.is_empty() && queue.active.contains(job);
                let held = unfenced || queue.holds(now, job, token);
                if held {
                    Self::with_lock(now, queue, job, command);
                }
                Reply::Held(held)
            }
            Command::SetStatus { job, status } => {
                if self.statuses.get(job) != Some(&JobStatus::Completed) {
                    self.statuses.insert(job.clone(), status.clone());
                }
                Reply::Done
            }
            Command::LoadSteps { job } => {
                Reply::Steps(self.steps.get(job).into_iter().flatten().copied().collect())
            }
            Command::SaveStep { job, step, .. } => {
                Reply::Saved(self.steps.entry(job.clone()).or_default().insert(*step))
            }
            Command::DropSteps { job } => {
                self.steps.remove(job);
                Reply::Done
            }
            Command::RecordEffect { job, attempt, .. } => {
                self.effects.push((job.clone(), *attempt));
                Reply::Done
            }
            Command::AwaitReady { .. }
            | Command::ReadBeat { .. }
            | Command::Enqueue { .. }
            | Command::Table(_) => {
                panic!("no worker sends {command:?} to a store")
            }
        }
    }

    fn with_lock(now: Instant, queue: &mut Queue, id: &JobId, command: &Command) {
        if let Command::ExtendLock { token, lock, .. } = command {
            queue.marked.remove(id);
            if let Some(job) = queue.jobs.get_mut(id) {
                job.lock = Some((token.to_string(), now + *lock));
            }
            return;
        }
        queue.leave_active(id);
        match command {
            Command::Complete { .. } => queue.completed.push(id.clone()),
            Command::Fail { error, retry_in: None, .. } => {
                queue.failed.insert(id.clone(), error.clone());
            }
            Command::Fail { retry_in: Some(wait), .. } => queue.delayed.push((now + *wait, id.clone())),
            Command::Release { .. } => {
                queue.waiting.push_front(id.clone());
                if let Some(job) = queue.jobs.get_mut(id) {
                    job.resumed = true;
                }
            }
            other => panic!("{other:?} needs no lock"),
        }
    }

    fn holds_global(&self, now: Instant, token: &str) -> bool {
        self.global_lock.as_ref().is_some_and(|(holder, until)| holder == token && *until > now)
    }
}
