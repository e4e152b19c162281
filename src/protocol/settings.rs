//! What a reference process is told when it starts. All durations are wall time: the scenario's time
//! scale has been applied.

use serde::{Deserialize, Serialize};

use crate::protocol::pool::settings::PoolSettings;
use crate::time::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetRole {
    Worker,
    Api,
    Catalogue,
    /// Several workers in one process (S4).
    Pool,
    /// The web site that a pool's jobs fetch their pages from (S4).
    Site,
    /// Tells the queue's metrics to Prometheus.
    Exporter,
}

/// Everything that a reference process is told. Durations are wall time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSettings {
    /// Key prefix, `{app}:{env}`.
    pub prefix: String,
    pub queue: QueueSettings,
    /// S0 only.
    pub heartbeat: Option<HeartbeatSettings>,
    /// S4 only.
    #[serde(default)]
    pub pool: Option<PoolSettings>,
    /// A defect planted on purpose, to prove that the checks see it. Scenarios under `tests/` only.
    pub planted_bug: Option<PlantedBug>,
}

/// Settings of the queue (S3); S0's background jobs use the same queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSettings {
    /// Queues in the order in which a worker looks at them: `regular`, `large`.
    pub queues: Vec<String>,
    pub concurrency: u32,
    pub lock_duration: Span,
    /// Renewal of a job's lock: lock_duration / 2 unless set.
    pub lock_renew: Span,
    pub stalled_interval: Span,
    pub max_stalled_count: u32,
    /// The longest wait of an idle worker between two claims.
    pub claim_poll: Span,
    /// Grace of a graceful shutdown for the jobs in work.
    pub shutdown_grace: Span,
    /// How long a failed job is kept.
    pub keep_failed: Span,
    /// Only who holds a job's lock completes it. Without it a worker does not look whether its lock is
    /// still its own.
    #[serde(default = "fenced")]
    pub fencing: bool,
}

/// As BullMQ does.
const fn fenced() -> bool {
    true
}

/// The wait before a store's broken connection is made again doubles from the first to the second.
pub const RECONNECT_MIN: Span = Span::from_millis(20);
pub const RECONNECT_MAX: Span = Span::from_millis(200);

impl FleetSettings {
    /// How long a store's client waits for a connection, and for an answer: a sixth of the lock's
    /// duration (5 s of 30 s), so that it follows the time scale and a renewal can time out and be
    /// tried again before the lock ends; from 1 s to 5 s.
    #[must_use]
    pub fn patience(&self) -> Span {
        Span::from_nanos(self.queue.lock_duration.as_nanos() / 6)
            .clamp(Span::from_secs(1), Span::from_secs(5))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatSettings {
    pub interval: Span,
    pub ttl: Span,
    pub threshold: Span,
    /// Retries of the online check, and the wait before each.
    pub retries: u32,
    pub retry_backoff: Span,
    /// How long the check waits for Redis.
    pub ready_wait: Span,
    /// TTL of the fleet's global lock.
    pub lock_ttl: Span,
    /// How often a worker tries to get, or renews, the global lock.
    pub lock_interval: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlantedBug {
    /// Completes the job in the queue before its work is done.
    AcknowledgesEarly,
    NeverRenewsLock,
    /// Deletes the steps that an earlier attempt saved, and goes on from where that attempt was.
    DropsSavedSteps,
}
