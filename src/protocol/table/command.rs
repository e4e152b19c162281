//! What the processes of a Postgres fleet ask of its tables. Each is one statement.

use crate::names::{JobId, Text};
use crate::protocol::JobSpec;
use crate::time::Span;

/// Times are the database's: `run_at`, beats and their ages are all by one clock. Every command may be
/// sent twice without harm: a worker that had no reply sends it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableCommand {
    /// Adds a job that can be claimed once its delay is over. An id that exists is left as it is.
    /// → `Enqueued`
    Enqueue { job: JobSpec },
    /// The worker's beat, now. → `Done`
    Beat { worker: Text },
    /// Takes the job that has been due for longest, skipping those that are locked by another claim,
    /// and counts an attempt. A job that is the worker's by the table and not among those it is
    /// `holding` comes first, and counts no attempt: the reply to its claim was lost. → `Claimed`
    Claim { worker: Text, holding: Vec<JobId> },
    /// running → completed, and the effect is recorded with it. `fenced`: only if this attempt of this
    /// worker is what the table has. → `Held`; true also where it has had its effect before.
    Finish { job: JobId, worker: Text, attempt: u32, fenced: bool },
    /// The attempt's own beat, now, if it is running. → `Held`
    BeatJob { job: JobId, worker: Text, attempt: u32 },
    /// If this attempt is running: what comes after it, with the error kept. → `Held`
    Fail { job: JobId, worker: Text, attempt: u32, error: String, then: AfterFailure },
    /// If this attempt is running: back to queued, due at once, and not counted (graceful shutdown past
    /// its grace). → `Held`
    Release { job: JobId, worker: Text, attempt: u32 },
    /// Fails the running jobs of every worker whose beat is older than `stale`. → `StalledCheck`
    FailJobsOfTheDead { stale: Span },
    /// Takes every running job whose own beat is older than `stale` from its worker: back to queued, due
    /// at once, or to the dead letters if it has had all of its attempts. → `StalledCheck`
    Rescue { stale: Span },
    /// An operator's remedy: a dead letter is queued again, due at once, with all of its attempts.
    /// → `Held`; false where there is no such dead letter.
    Replay { job: JobId },
}

/// What becomes of a job whose attempt has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Back to queued, due after this long.
    Retry(Span),
    /// Failed for good.
    Failed,
    /// Failed for good, and kept for an operator to look at and replay.
    DeadLetter,
}
