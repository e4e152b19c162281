//! The status `failed` of jobs whose fate the queue has already sealed.

use std::collections::VecDeque;

use crate::names::JobId;
use crate::protocol::command::JobStatus;
use crate::protocol::worker::{Owner, Timer, WorkerDesk};
use crate::protocol::{Command, CommandId, Reply, StoreError};
use crate::time::{Now, Span};

/// What BullMQ writes into a job that stalled more often than it may.
pub const STALLED_TOO_OFTEN: &str = "job stalled more than allowable limit";

/// Beyond this the oldest are given up: an outage that fails a thousand jobs for good is told by the
/// queue's own failed set.
const WAITING_MAX: usize = 1024;

/// A job that the queue has failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FinalFailure {
    pub job: JobId,
    pub error: String,
    /// 0 where it is not known: whoever finds a stalled job has not worked on it.
    pub attempts: u32,
}

/// Writes final failures to Postgres, one after the other. The queue comes first and Postgres
/// second, so a failed job never looks final while it may still be retried; the price is that the
/// status may be late, or missing if the worker dies in between. An error is retried until the
/// write succeeds or the process ends.
#[derive(Debug)]
pub(super) struct FinalStatuses {
    waiting: VecDeque<FinalFailure>,
    in_flight: Option<CommandId>,
    retry: Span,
}

impl FinalStatuses {
    pub const fn new(retry: Span) -> Self {
        Self { waiting: VecDeque::new(), in_flight: None, retry }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn push(&mut self, failure: FinalFailure, desk: &mut WorkerDesk) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.remove(usize::from(self.in_flight.is_some()));
        }
        self.waiting.push_back(failure);
        if self.in_flight.is_none() && !desk.is_set(Timer::Status) {
            self.send(desk);
        }
    }

    pub fn send(&mut self, desk: &mut WorkerDesk) {
        debug_assert!(self.in_flight.is_none(), "one status is written at a time");
        if let Some(FinalFailure { job, error, attempts }) = self.waiting.front().cloned() {
            let status = JobStatus::Failed { error, attempts };
            self.in_flight = Some(desk.send(Owner::Status, Command::SetStatus { job, status }));
        }
    }

    pub fn replied(&mut self, now: Now, result: &Result<Reply, StoreError>, desk: &mut WorkerDesk) {
        self.in_flight = None;
        if result.is_ok() {
            self.waiting.pop_front();
            self.send(desk);
        } else {
            desk.set_after(now, Timer::Status, self.retry);
        }
    }
}
