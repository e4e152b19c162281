//! What an operator is told of the workers and of their jobs (S1).

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::time::Span;

/// The ages that decide what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRule {
    /// With a newest beat younger than this the workers are healthy.
    pub healthy_below: Span,
    /// With an older one they are stuck.
    pub stuck_above: Span,
    /// A running job whose own beat is older counts as stale.
    pub stale_above: Span,
}

impl StatusRule {
    /// Of source 001's status table, 5 and 10 minutes of model time; a job is stale as a worker is stuck.
    pub const DOCUMENTED: Self = Self {
        healthy_below: Span::from_secs(5 * 60),
        stuck_above: Span::from_secs(10 * 60),
        stale_above: Span::from_secs(10 * 60),
    };
}

/// The status by the newest beat. The source says nothing of an age from 5 to 10 minutes: it is neither
/// healthy nor stuck, and is called unknown here. So a dead worker passes as healthy for up to 5 minutes,
/// and is called stuck only after 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkersStatus {
    NotRunning,
    Healthy,
    Unknown,
    Stuck,
}

impl WorkersStatus {
    /// `age`: of the newest beat, in the rule's time; `None` if no worker has ever beaten.
    #[must_use]
    pub fn of(age: Option<Span>, rule: &StatusRule) -> Self {
        match age {
            None => Self::NotRunning,
            Some(age) if age < rule.healthy_below => Self::Healthy,
            Some(age) if age > rule.stuck_above => Self::Stuck,
            Some(_) => Self::Unknown,
        }
    }

    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotRunning => "not_running",
            Self::Healthy => "healthy",
            Self::Unknown => "neither",
            Self::Stuck => "stuck",
        }
    }
}

impl fmt::Display for WorkersStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRunning => "no workers running",
            Self::Healthy => "healthy",
            Self::Unknown => "unknown: neither healthy nor stuck",
            Self::Stuck => "stuck",
        })
    }
}

/// What the tables say at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FleetStatus {
    /// Workers that have ever beaten.
    pub workers: u64,
    /// Of the newest beat; none: no worker has ever beaten.
    pub beat_age: Option<Span>,
    /// How many jobs there are of each status that any has.
    pub jobs: BTreeMap<String, u64>,
    /// Running jobs whose own beat is older than the rule's `stale_above`.
    pub stale: u64,
    /// The latest first.
    pub dead_letters: Vec<DeadLetter>,
}

/// A job that has failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub job: String,
    pub attempts: String,
    pub error: String,
}

impl FleetStatus {
    /// So many dead letters are told; an operator asks for the others one by one.
    pub const LETTERS_MAX: usize = 100;

    /// As JSON: `workers` (`count`, `status`), `jobs` (by status, and `stale`), `dead_letters` (a list of
    /// `job`, `attempts`, `error`).
    #[must_use]
    pub fn to_json(&self, rule: &StatusRule) -> Value {
        let count = |status: &str| self.jobs.get(status).copied().unwrap_or_default();
        let letter = |letter: &DeadLetter| json!({"job": letter.job, "attempts": letter.attempts, "error": letter.error});
        json!({
            "workers": {"count": self.workers, "status": WorkersStatus::of(self.beat_age, rule).word()},
            "jobs": {
                "queued": count("queued"),
                "running": count("running"),
                "completed": count("completed"),
                "failed": count("failed"),
                "dead_letter": count("dead_letter"),
                "stale": self.stale,
            },
            "dead_letters": self.dead_letters.iter().map(letter).collect::<Vec<Value>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_five_and_ten_minutes_nothing_is_known() {
        for (age, expected) in [
            (None, WorkersStatus::NotRunning),
            (Some(0), WorkersStatus::Healthy),
            (Some(299), WorkersStatus::Healthy),
            (Some(300), WorkersStatus::Unknown),
            (Some(600), WorkersStatus::Unknown),
            (Some(601), WorkersStatus::Stuck),
        ] {
            let status = WorkersStatus::of(age.map(Span::from_secs), &StatusRule::DOCUMENTED);
            assert_eq!(status, expected, "{age:?}");
        }
    }

    #[test]
    fn a_status_nobody_has_is_told_as_zero() {
        let letter = DeadLetter { job: "job-1".into(), attempts: "3".into(), error: "it broke".into() };
        let status = FleetStatus {
            workers: 2,
            beat_age: Some(Span::from_secs(301)),
            jobs: [("running".to_owned(), 2)].into(),
            stale: 1,
            dead_letters: vec![letter],
        };
        let told = status.to_json(&StatusRule::DOCUMENTED);
        for (pointer, value) in [
            ("/workers/count", json!(2)),
            ("/workers/status", json!("neither")),
            ("/jobs/running", json!(2)),
            ("/jobs/failed", json!(0)),
            ("/jobs/stale", json!(1)),
            ("/dead_letters/0/error", json!("it broke")),
        ] {
            assert_eq!(told.pointer(pointer), Some(&value), "{pointer}");
        }
        assert_eq!(told.pointer("/dead_letters/1"), None);
    }
}
