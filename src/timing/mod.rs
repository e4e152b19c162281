//! The timing model: the liveness pipeline of a job system as a type, and what follows from it.
//!
//! **Invariant**: no I/O, no clock, no random source. Integer nanoseconds and interval arithmetic.

pub mod bounds;
pub mod qos;
pub mod tolerance;

pub use bounds::{RecoveryBounds, Work};
pub use tolerance::{Side, Tolerance, tolerates, tolerates_on};

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// The liveness pipeline: beat → store → expiry → checker → suspicion → requeue → claim → done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    pub beat: Beat,
    pub expiry: Expiry,
    pub checker: Checker,
    pub recovery: Recovery,
    /// What a suspicion is about.
    pub subject: Subject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// One statement for the fleet as a whole: it is suspected when its last worker is silent.
    Fleet,
    /// Each worker, through the jobs that it holds.
    Holder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// h: the time between two beats (or lock renewals).
    pub interval: Span,
}

/// Where a beat's validity ends. At least one of the two is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// T: a key's TTL, reset on each beat, on the store's clock.
    pub ttl: Option<Span>,
    /// H: the age at which a reader calls a beat stale: reader's clock minus the writer's stamp.
    pub threshold: Option<Span>,
    /// Whether the stamp is the worker's and the reader another process: then a skew matters.
    pub two_clocks: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checker {
    /// S: the sweep's period; zero for a checker that works on demand.
    pub period: Span,
    /// r: how often a negative answer is asked again before it is given.
    pub retries: u32,
    /// b: the wait before each retry.
    pub retry_backoff: Span,
    /// w: how long a try waits for the store's connection.
    pub ready_wait: Span,
    /// G: expiry of the single-flight guard, where the sweeper can die with its victim.
    pub guard: Option<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// From the suspicion until the job can be claimed again; `None`: never requeued.
    pub requeue: Option<Span>,
    /// The longest wait of a free worker before it asks for work again.
    pub claim_poll: Span,
    /// How often a job may stall before it fails.
    pub max_stalls: Option<u32>,
}

impl Expiry {
    /// E = min(T, H) where both exist.
    ///
    /// # Panics
    /// If neither is set.
    #[must_use]
    pub fn effective(&self) -> Span {
        match (self.ttl, self.threshold) {
            (Some(ttl), Some(threshold)) => ttl.min(threshold),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => panic!("an expiry has a TTL or a threshold"),
        }
    }
}
