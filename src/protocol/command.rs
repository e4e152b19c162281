//! What a protocol machine asks of a store, and what the store answers.
//!
//! Each command is one atomic transition: a script on Redis, a transaction on Postgres. The live
//! store executes them as Lua and SQL, the simulator on modelled stores; both must give the same
//! reply for the same state. Expiries run on the store's clock.

use crate::names::{JobId, Store, Text};
use crate::protocol::{ClaimedJob, JobSpec, TableCommand};
use crate::time::{Span, UnixMillis};

/// Pairs a reply with its command. Unique within one machine's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Wait until the store's connection is usable, at most `within`. → `Ready`
    AwaitReady { store: Store, within: Span },

    /// Write the fleet's heartbeat `{"timestamp": stamp, "worker": …}` with a key TTL. → `Done`
    WriteBeat { key: Text, worker: Text, stamp: UnixMillis, ttl: Span },
    /// → `Beat`
    ReadBeat { key: Text },

    /// SET NX PX. → `Held(true)` if this token holds the lock afterwards.
    AcquireLock { key: Text, token: Text, ttl: Span },
    /// Extends the TTL if the token still holds the lock. → `Held`
    RenewLock { key: Text, token: Text, ttl: Span },
    /// Deletes the lock if the token holds it. → `Held(false)`
    ReleaseLock { key: Text, token: Text },

    /// Adds a job: to the waiting list, or to the delayed set if it has a delay. An id that exists
    /// is left as it is. → `Enqueued`
    Enqueue { queue: Text, job: JobSpec },
    /// Promotes due delayed jobs, then takes the next waiting job: moves it to active, sets its lock
    /// with this token and duration, counts an attempt (unless it comes back from a stall). → `Claimed`
    Claim { queue: Text, token: Text, lock: Span },
    /// If the lock is still the token's: extends it and takes the job out of the marked set. → `Held`
    ExtendLock { queue: Text, job: JobId, token: Text, lock: Span },
    /// If the lock is still the token's: active → completed. An empty token stands for any, or none: whoever
    /// holds the active job, it is completed. → `Held`
    Complete { queue: Text, job: JobId, token: Text },
    /// If the lock is still the token's: active → delayed by `retry_in` (waiting if zero), or, with
    /// `None`, active → failed with the error kept. → `Held`
    Fail { queue: Text, job: JobId, token: Text, error: String, retry_in: Option<Span> },
    /// Gives an active job back to the head of the waiting list without counting the attempt,
    /// if the lock is the token's (graceful shutdown past its grace). → `Held`
    Release { queue: Text, job: JobId, token: Text },
    /// The two-phase stalled check, single-flight across the fleet through a guard key with expiry
    /// `guard`: jobs marked by the previous check whose lock is gone go back to waiting, or to failed
    /// if they stalled more than `max_stalls` times; then every active job is marked. → `StalledCheck`
    CheckStalled { queue: Text, guard: Span, max_stalls: u32 },

    /// Postgres: the job's row, inserted if it is missing. Stays `processing` through retries. → `Done`
    SetStatus { job: JobId, status: JobStatus },
    /// Postgres: the steps that are saved, ascending. → `Steps`
    LoadSteps { job: JobId },
    /// Postgres: saves one step; a step that exists is left as it is. → `Saved`
    SaveStep { job: JobId, step: u32, worker: Text },
    /// Postgres: deletes a job's saved steps (only a planted bug asks for it). → `Done`
    DropSteps { job: JobId },
    /// Postgres: records that the job's work was done, one row an execution. → `Done`
    RecordEffect { job: JobId, worker: Text, attempt: u32 },

    /// Postgres: of a fleet whose jobs are there.
    Table(TableCommand),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStatus {
    Pending,
    Processing,
    Completed,
    /// Final. `attempts` is 0 where the writer does not know them: it found the job stalled.
    Failed {
        error: String,
        attempts: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Ready(bool),
    Done,
    /// `None`: no key.
    Beat(Option<UnixMillis>),
    Held(bool),
    /// False: the id existed.
    Enqueued(bool),
    Claimed(Option<Box<ClaimedJob>>),
    StalledCheck(StalledReport),
    Steps(Vec<u32>),
    /// False: the step was there already.
    Saved(bool),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StalledReport {
    /// False: another worker's guard was in force, nothing was looked at.
    pub ran: bool,
    pub requeued: Vec<JobId>,
    pub failed: Vec<JobId>,
}

/// Why a command has no reply. Whether it took effect is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("no connection: {0}")]
    Unavailable(String),
    #[error("no answer in time")]
    Timeout,
    #[error("refused by the server: {0}")]
    Rejected(String),
}

impl Command {
    #[must_use]
    pub const fn store(&self) -> Store {
        match self {
            Self::AwaitReady { store, .. } => *store,
            Self::SetStatus { .. }
            | Self::LoadSteps { .. }
            | Self::SaveStep { .. }
            | Self::DropSteps { .. }
            | Self::RecordEffect { .. }
            | Self::Table(_) => Store::Postgres,
            _ => Store::Redis,
        }
    }
}
