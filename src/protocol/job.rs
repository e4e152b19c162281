//! A job as it is enqueued, and as it is claimed.

use serde::{Deserialize, Serialize};

use crate::names::JobId;
use crate::protocol::Tool;
use crate::time::Span;

/// A job's description; travels as JSON in the queue. Durations are wall time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    pub id: JobId,
    /// How long each durable step works before it is saved; the number of entries is the number of steps.
    /// Steps are numbered from 1.
    pub steps: Vec<Span>,
    /// How often the job may be tried in all, at least 1.
    pub attempts: u32,
    pub backoff: Backoff,
    /// Not to be claimed before this long after the enqueue.
    pub delay: Span,
    /// An attempt longer than this is ended and counts as failed.
    pub timeout: Option<Span>,
    /// The first so many attempts fail with an error at their first step: a transient fault if below
    /// `attempts`, else a permanent one.
    pub failing_attempts: u32,
    /// The handler of the first so many attempts never returns: it works on no step and asks for nothing,
    /// while the process around it lives, beats and renews. Only a time-out, or the process's end, ends it.
    #[serde(default)]
    pub hanging_attempts: u32,
    /// The external program that each step runs. Only workers of a Postgres fleet run one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Tool>,
}

/// The wait before the retry after the `n`-th failed attempt, `n` from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    Fixed(Span),
    /// `base · 2ⁿ⁻¹`, as BullMQ's `exponential`.
    Exponential(Span),
}

/// What a worker gets when it claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedJob {
    pub spec: JobSpec,
    /// This attempt's number, from 1. A stall does not count as an attempt.
    pub attempt: u32,
    /// How often the job was found without a lock while active.
    pub stalls: u32,
}

impl JobSpec {
    /// Steps are numbered from 1.
    pub(super) fn step_numbers(&self) -> std::ops::RangeInclusive<u32> {
        1..=u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn step_time(&self, step: u32) -> Span {
        debug_assert!(step >= 1, "steps are numbered from 1");
        self.steps.get(step as usize - 1).copied().unwrap_or_default()
    }
}

impl ClaimedJob {
    /// Whether its description wants this attempt to fail.
    #[must_use]
    pub const fn is_to_fail(&self) -> bool {
        self.attempt <= self.spec.failing_attempts
    }

    /// Whether its description wants this attempt's handler never to return.
    #[must_use]
    pub const fn is_to_hang(&self) -> bool {
        self.attempt <= self.spec.hanging_attempts
    }
}
