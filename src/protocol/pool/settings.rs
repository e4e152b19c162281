//! What a pool is told when it starts (S4).

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// What each worker of a pool may use where nothing limits the process: 512 MB in source 004.
pub const MEMORY_PER_WORKER: u64 = 512 << 20;

/// Settings of a pool beside its queue's. Durations are wall time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSettings {
    /// Workers in the process, at least 1; each works on `concurrency` jobs at a time.
    pub workers: u32,
    /// An attempt longer than this is ended and counts as failed, whatever the job allows.
    pub max_job_duration: Span,
    /// A page that has not come by then is an error.
    pub page_timeout: Span,
    /// Between two health checks; `None`: there are none.
    pub health_interval: Option<Span>,
    /// Health updates are told as events (a log level of `info` or below).
    pub tells_health: bool,
    /// From a worker's error to its next start.
    pub restart_after: Span,
    /// The share of the memory from which the pool lowers its concurrency, in parts per million.
    pub memory_threshold_ppm: u32,
    /// How long the concurrency stays lowered after the last reading at or over the threshold.
    pub relief: Span,
}

/// Source 004's name for its queue.
pub const QUEUE_NAME: &str = "scrape-queue";
/// Source 004's jobs of one worker at a time.
pub const CONCURRENCY: u32 = 2;

impl PoolSettings {
    /// Source 004's: four workers as its deployment has them, jobs of at most 600 s, a threshold of 0.85.
    /// The rest it leaves open: health checks as often as its liveness probe, 30 s; 30 s for a page; a
    /// worker is started again after 1 s; the concurrency is lowered for two health checks.
    #[must_use]
    pub const fn documented() -> Self {
        Self {
            workers: 4,
            max_job_duration: Span::from_secs(600),
            page_timeout: Span::from_secs(30),
            health_interval: Some(HEALTH_INTERVAL),
            tells_health: true,
            restart_after: Span::from_secs(1),
            memory_threshold_ppm: 850_000,
            relief: Span::from_secs(60),
        }
    }
}

/// Between two health checks, where there are any.
pub const HEALTH_INTERVAL: Span = Span::from_secs(30);
