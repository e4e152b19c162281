//! One queue: each transition as its script in `live/store/lua` has it, step by step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::lease::{Lease, after, millis};
use super::sorted::Sorted;
use crate::names::JobId;
use crate::protocol::command::StalledReport;
use crate::protocol::{ClaimedJob, JobSpec, STALLED_TOO_OFTEN};
use crate::sim::store::hash::Index;
use crate::time::{Span, UnixMillis};

/// The place of a job in its queue's table, which it keeps for ever.
pub(super) type Slot = u32;

/// Bounds the work of one call; the scripts' own.
const BATCH: usize = 1_000;

#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    index: Index<JobId, Slot>,
    pub jobs: Vec<Job>,
    /// The next to be claimed is at the back, the list's right end.
    pub waiting: VecDeque<Slot>,
    /// The oldest claim is at the back.
    pub active: VecDeque<Slot>,
    pub delayed: Sorted,
    pub completed: Sorted,
    pub failed: Sorted,
    pub guard: Lease,
    /// Whom the last check marked; some may have lost their mark since.
    marked: Vec<Slot>,
    /// Changes to the keys since the start, as the server counts them for its snapshots.
    pub changes: u64,
}

/// A job's hash, and what else is kept by job.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub id: JobId,
    pub lock: Lease,
    /// Member of the set `marked`.
    pub marked: bool,
    pub record: Record,
}

/// The fields of the hash; all of them at their defaults means that there is no hash.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    /// `None` after the hash was deleted under the job; what came later wrote the other fields.
    pub spec: Option<Arc<JobSpec>>,
    pub attempts: u32,
    pub stalls: u32,
    pub resumed: bool,
    pub error: Option<Box<str>>,
}

impl Record {
    pub fn exists(&self) -> bool {
        self.spec.is_some() || self.stalls > 0 || self.resumed || self.error.is_some()
    }
}

impl Queue {
    pub fn find(&self, job: &str) -> Option<Slot> {
        self.index.get(job).copied()
    }

    pub fn enqueue(&mut self, now: UnixMillis, spec: &JobSpec) -> bool {
        let slot = self.place(&spec.id);
        let job = &mut self.jobs[slot as usize];
        if job.record.exists() {
            return false;
        }
        job.record.spec = Some(Arc::new(spec.clone()));
        self.changes += 3;
        self.put_back_after(now, slot, millis(spec.delay));
        true
    }

    /// Whether the job has a hash.
    pub fn knows(&self, job: &JobId) -> bool {
        self.find(job.as_str()).is_some_and(|slot| self.jobs[slot as usize].record.exists())
    }

    /// Whether the job is the token's.
    pub fn holds_lock(&self, now: UnixMillis, job: &JobId, token: &str) -> bool {
        self.locked_by(now, job, token).is_some()
    }

    /// Whether a delayed job is due.
    pub fn has_due(&self, now: UnixMillis) -> bool {
        self.delayed.iter().next().is_some_and(|(_, due)| due <= now.0)
    }

    pub fn claim(&mut self, now: UnixMillis, token: &str, lock: Span) -> Option<ClaimedJob> {
        for _ in 0..BATCH {
            let Some(slot) = self.delayed.pop_until(now.0) else { break };
            self.waiting.push_front(slot);
            self.changes += 2;
        }
        for _ in 0..BATCH {
            let slot = self.waiting.pop_back()?;
            self.changes += 1;
            let job = &mut self.jobs[slot as usize];
            let Some(spec) = &job.record.spec else {
                // It goes to the head of the active list and is taken from there again.
                self.changes += 1;
                continue;
            };
            self.active.push_front(slot);
            self.changes += 2;
            if !std::mem::take(&mut job.record.resumed) {
                job.record.attempts += 1;
            }
            job.lock.set(token, after(now, lock));
            let (attempt, stalls) = (job.record.attempts, job.record.stalls);
            return Some(ClaimedJob { spec: JobSpec::clone(spec), attempt, stalls });
        }
        None
    }

    pub fn extend_lock(&mut self, now: UnixMillis, job: &JobId, token: &str, lock: Span) -> bool {
        let Some(slot) = self.locked_by(now, job, token) else { return false };
        let job = &mut self.jobs[slot as usize];
        job.lock.extend(after(now, lock));
        self.changes += 1 + u64::from(std::mem::take(&mut job.marked));
        true
    }

    pub fn complete(&mut self, now: UnixMillis, job: &JobId, token: &str) -> bool {
        let mine = match token {
            "" => self.find(job.as_str()).filter(|slot| self.active.contains(slot)),
            token => self.locked_by(now, job, token),
        };
        let Some(slot) = mine else { return false };
        self.leave_active(slot);
        self.changes += self.completed.add(job, slot, now.0);
        true
    }

    pub fn fail(
        &mut self,
        now: UnixMillis,
        job: &JobId,
        token: &str,
        error: &str,
        retry_in: Option<Span>,
        keep: i64,
    ) -> bool {
        let Some(slot) = self.locked_by(now, job, token) else { return false };
        self.leave_active(slot);
        match retry_in {
            None => {
                self.put_failed(now, slot, error);
                self.trim_failed(now, keep);
            }
            Some(wait) => {
                self.jobs[slot as usize].record.error = Some(error.into());
                self.changes += 1;
                self.put_back_after(now, slot, millis(wait));
            }
        }
        true
    }

    pub fn release(&mut self, now: UnixMillis, job: &JobId, token: &str) -> bool {
        let Some(slot) = self.locked_by(now, job, token) else { return false };
        self.leave_active(slot);
        self.jobs[slot as usize].record.resumed = true;
        self.waiting.push_back(slot);
        self.changes += 2;
        true
    }

    /// `stalls` counts for all queues; `keep` is how long failed jobs are kept, in ms.
    pub fn check_stalled(
        &mut self,
        now: UnixMillis,
        guard: Span,
        max_stalls: u32,
        keep: i64,
        stalls: &mut BTreeMap<JobId, u32>,
    ) -> StalledReport {
        if self.guard.is_there(now) {
            return StalledReport::default();
        }
        self.guard.set("1", after(now, guard));
        self.changes += 1;
        let mut report = StalledReport { ran: true, ..StalledReport::default() };
        let mut requeued = Vec::new();
        let mut running = Vec::new();
        // The list as it was: what is taken out of it meanwhile does not shift the turn.
        let claims: Vec<Slot> = self.active.iter().rev().copied().collect();
        for slot in claims {
            let job = &mut self.jobs[slot as usize];
            if !job.marked || job.lock.is_there(now) {
                running.push(slot);
                continue;
            }
            job.record.stalls += 1;
            *stalls.entry(job.id.clone()).or_default() += 1;
            let fails = job.record.stalls > max_stalls;
            let id = job.id.clone();
            job.record.resumed |= !fails;
            self.changes += 2 + remove_last(&mut self.active, slot);
            if fails {
                self.put_failed(now, slot, STALLED_TOO_OFTEN);
                report.failed.push(id);
            } else {
                self.changes += 1;
                requeued.push(slot);
                report.requeued.push(id);
            }
        }
        self.changes += requeued.len() as u64;
        self.waiting.extend(requeued.into_iter().rev());
        self.changes += u64::from(self.has_marked());
        self.unmark_all();
        for slot in &running {
            self.changes += u64::from(!std::mem::replace(&mut self.jobs[*slot as usize].marked, true));
        }
        self.marked = running;
        self.trim_failed(now, keep);
        report
    }

    pub fn has_marked(&self) -> bool {
        self.marked.iter().any(|slot| self.jobs[*slot as usize].marked)
    }

    pub fn unmark_all(&mut self) {
        for slot in self.marked.drain(..) {
            self.jobs[slot as usize].marked = false;
        }
    }

    pub fn purge(&mut self, now: UnixMillis) {
        self.guard.purge(now);
        self.jobs.iter_mut().for_each(|job| job.lock.purge(now));
    }

    fn place(&mut self, id: &JobId) -> Slot {
        if let Some(slot) = self.find(id.as_str()) {
            return slot;
        }
        let slot = self.jobs.len() as Slot;
        self.index.insert(id.clone(), slot);
        let (lock, record) = (Lease::default(), Record::default());
        self.jobs.push(Job { id: id.clone(), lock, marked: false, record });
        slot
    }

    fn locked_by(&self, now: UnixMillis, job: &JobId, token: &str) -> Option<Slot> {
        let slot = self.find(job.as_str())?;
        let lock = &self.jobs[slot as usize].lock;
        (lock.is_there(now) && lock.text() == token).then_some(slot)
    }

    /// Takes a job whose lock is held out of work.
    fn leave_active(&mut self, slot: Slot) {
        let job = &mut self.jobs[slot as usize];
        job.lock.delete();
        self.changes += 1 + u64::from(std::mem::take(&mut job.marked));
        self.changes += remove_last(&mut self.active, slot);
    }

    fn put_back_after(&mut self, now: UnixMillis, slot: Slot, wait: i64) {
        if wait > 0 {
            let id = &self.jobs[slot as usize].id;
            self.changes += self.delayed.add(id, slot, now.0.saturating_add(wait));
        } else {
            self.waiting.push_front(slot);
            self.changes += 1;
        }
    }

    fn put_failed(&mut self, now: UnixMillis, slot: Slot, error: &str) {
        let job = &mut self.jobs[slot as usize];
        job.record.error = Some(error.into());
        self.changes += 1 + self.failed.add(&job.id, slot, now.0);
    }

    fn trim_failed(&mut self, now: UnixMillis, keep: i64) {
        for _ in 0..BATCH {
            let Some(slot) = self.failed.pop_until(now.0.saturating_sub(keep)) else { break };
            let record = std::mem::take(&mut self.jobs[slot as usize].record);
            self.changes += 1 + u64::from(record.exists());
        }
    }
}

/// LREM with a count of -1. How many were removed.
fn remove_last(list: &mut VecDeque<Slot>, slot: Slot) -> u64 {
    let Some(place) = list.iter().rposition(|member| *member == slot) else { return 0 };
    list.remove(place);
    1
}
