//! What a pool knows and asks of a worker that it runs.

use super::Worker;
use crate::names::JobId;
use crate::protocol::slot::Slot;
use crate::time::Now;

impl Worker {
    /// The jobs in work.
    pub(in crate::protocol) fn jobs(&self) -> impl Iterator<Item = &JobId> {
        self.slots.iter().filter_map(Slot::job)
    }

    /// From now on it claims no job while it works on `jobs` or more. Jobs in work, and the one that a
    /// claim may bring at this moment, go on.
    pub(in crate::protocol) fn limit_to(&mut self, now: Now, jobs: u32) {
        self.limit = jobs;
        self.settle(now);
    }
}
