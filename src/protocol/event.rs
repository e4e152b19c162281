//! What a fleet's process says about itself, one JSON line each on its standard output.

use serde::{Deserialize, Serialize};

use crate::names::{JobId, Store};
use crate::protocol::pool::event::PoolEvent;
use crate::time::{Instant, Span, UnixMillis};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetEvent {
    /// Started, connected, and about to do its work. `pid` is 0 where a foreign line says so.
    Ready {
        pid: u32,
    },
    /// A heartbeat that the store acknowledged; `sent` is when it was asked for.
    Beat {
        sent: Instant,
    },
    /// A heartbeat that the store did not acknowledge.
    BeatFailed {
        error: String,
    },
    /// Whether this worker holds the fleet's global lock and takes jobs (S0).
    Operational {
        holding: bool,
    },
    /// `attempt` (from 1) and `stalls` are 0 where a foreign line does not say them.
    Claimed {
        job: JobId,
        attempt: u32,
        stalls: u32,
    },
    /// The step, numbered from 1, is durable: the store acknowledged it. `fresh` is false if it had
    /// been saved before.
    StepDone {
        job: JobId,
        step: u32,
        fresh: bool,
    },
    /// The job's effect is durable.
    EffectDone {
        job: JobId,
    },
    /// The queue accepted the completion.
    Completed {
        job: JobId,
    },
    /// An attempt ended in an error, and the queue accepted that; with `retry_in: None` the job has
    /// failed for good.
    AttemptFailed {
        job: JobId,
        attempt: u32,
        error: String,
        retry_in: Option<Span>,
    },
    /// The job's lock was not this worker's any more when it was renewed or the job was finished.
    LockLost {
        job: JobId,
    },
    /// The part of this process that held the job is gone: nobody works on it until its lock lapses.
    Abandoned {
        job: JobId,
    },
    /// A stalled check that this worker ran and that found something.
    Stalled {
        requeued: Vec<JobId>,
        failed: Vec<JobId>,
        sent: Instant,
    },
    /// A search that the api answered (S0): whether it believed workers to be online.
    Searched {
        job: JobId,
        online: bool,
        took: Span,
    },
    /// The process's own wall clock, asked for with SIGUSR1: the receipt of clock faults.
    Clock {
        wall: UnixMillis,
        /// The clock was read between this and the event's own stamp: the process may have been
        /// interrupted in between.
        since: Instant,
    },
    StoreFailed {
        store: Store,
        error: String,
    },
    /// What a pool says of itself (S4).
    Pool(PoolEvent),
    ShuttingDown {
        active: u32,
    },
    Stopped {
        forced: bool,
    },
}

/// One line of a fleet process's standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetLine {
    /// The host's monotonic clock.
    pub at: Instant,
    pub ev: FleetEvent,
}
