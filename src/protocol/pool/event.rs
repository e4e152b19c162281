//! What a pool says about itself beside its jobs (S4).

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::names::JobId;
use crate::time::{Instant, Span};

/// The source's events that have no event of the queue's (a claim, a completion, a failed attempt).
/// Workers are numbered from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolEvent {
    /// Every worker has become ready for the first time.
    Started {
        workers: u32,
        concurrency: u32,
    },
    /// The worker takes jobs; `start` counts its starts from 1.
    WorkerReady {
        worker: u32,
        start: u32,
    },
    /// The worker's task is gone, and with it what it knew of these jobs.
    WorkerError {
        worker: u32,
        error: String,
        jobs: Vec<JobId>,
    },
    /// The worker has ended as it was told to.
    WorkerClosed {
        worker: u32,
    },
    /// The share of the memory is at or over the threshold.
    HighMemoryUsage {
        memory: Memory,
    },
    /// Each worker takes at most so many jobs from now on.
    Concurrency {
        per_worker: u32,
    },
    /// The share has risen by this much a check, over the last ten.
    LeakSuspected {
        rise_ppm: u32,
    },
    HealthUpdate(Box<PoolHealth>),
    /// An attempt has ended.
    Result(Box<JobResult>),
}

/// What the process uses of what it may use, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    pub used: u64,
    pub total: u64,
}

impl Memory {
    /// In parts per million; 0 if nothing is known.
    #[must_use]
    pub fn share_ppm(self) -> u32 {
        let ppm = u128::from(self.used) * 1_000_000 / u128::from(self.total.max(1));
        if self.total == 0 { 0 } else { u32::try_from(ppm).unwrap_or(u32::MAX) }
    }
}

/// The pool's opinion of itself at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolHealth {
    /// Redis answers, every worker takes jobs, the memory is below its threshold, and it is not told
    /// to stop.
    pub healthy: bool,
    pub total_workers: u32,
    /// Workers that take jobs.
    pub active_workers: u32,
    /// How often a worker that failed was replaced by one that takes jobs.
    pub restarts: u32,
    pub memory: Memory,
    /// Whether the last answer from Redis, or the last wait for one, was an answer.
    pub redis_connected: bool,
    pub started: Instant,
}

impl PoolHealth {
    /// The answer to `GET /health`, with the names that the source gives, and `restarts`; the uptime in
    /// seconds.
    #[must_use]
    pub fn to_json(&self, now: Instant) -> serde_json::Value {
        json!({
            "healthy": self.healthy,
            "totalWorkers": self.total_workers,
            "activeWorkers": self.active_workers,
            "restarts": self.restarts,
            "memory": {
                "used": self.memory.used,
                "total": self.memory.total,
                "share": f64::from(self.memory.share_ppm()) / 1e6,
            },
            "redisConnected": self.redis_connected,
            "uptime": now.since(self.started).as_millis() / 1_000,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    SinglePage,
    FullCrawl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobEnd {
    Completed,
    /// For good.
    Failed,
    /// The attempt failed, and another follows.
    Retried,
    /// The queue gave the job to somebody else, or will: the lock was lost, or the worker is gone.
    Taken,
}

/// What came of an attempt, for whoever asked for the pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResult {
    pub job: JobId,
    pub kind: JobKind,
    pub status: JobEnd,
    /// Pages that this attempt fetched and saved; earlier attempts' pages are not fetched again.
    pub pages_scraped: u32,
    pub total_pages: u32,
    pub errors: Vec<String>,
    pub started: Instant,
    pub ended: Instant,
    pub duration: Span,
    /// By the last reading.
    pub memory: Memory,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_told_with_the_names_of_the_source() {
        let health = PoolHealth {
            healthy: true,
            total_workers: 4,
            active_workers: 3,
            restarts: 2,
            memory: Memory { used: 256, total: 1_024 },
            redis_connected: true,
            started: Instant::ZERO,
        };
        let told = health.to_json(Instant::ZERO + Span::from_millis(61_500));
        let expected = json!({
            "healthy": true, "totalWorkers": 4, "activeWorkers": 3, "restarts": 2,
            "memory": {"used": 256, "total": 1_024, "share": 0.25},
            "redisConnected": true, "uptime": 61,
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn a_share_of_nothing_is_none() {
        assert_eq!(Memory::default().share_ppm(), 0);
        assert_eq!(Memory { used: 17, total: 20 }.share_ppm(), 850_000);
    }
}
