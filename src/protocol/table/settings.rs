//! What a process of a Postgres fleet is told when it starts. All durations are wall time.

use serde::{Deserialize, Serialize};

use crate::time::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableRole {
    Worker,
    Sweeper,
    /// Tells the workers' and the jobs' metrics to Prometheus.
    Exporter,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSettings {
    pub concurrency: u32,
    /// The longest wait of an idle worker between two claims.
    pub claim_poll: Span,
    /// Grace of a graceful shutdown for the jobs in work.
    pub shutdown_grace: Span,
    /// Between two beats of a worker.
    pub interval: Span,
    /// How long a client waits for a connection, and for an answer.
    pub patience: Span,
    /// A completion counts only while the job is the worker's. Without it whoever comes writes over
    /// what the sweeper has decided, as in source 002.
    pub fencing: bool,
    pub watch: Watch,
}

/// Who looks for the dead, and what becomes of their jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// S2: a process of its own fails them.
    Sweeper(SweepSettings),
    /// S1: the workers themselves put them back, or among the dead letters.
    Workers(RescueSettings),
}

/// Which jobs are taken from their workers, and how often a worker looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescueSettings {
    /// A running job whose own beat is older. It is written at the worker's interval.
    pub threshold: Span,
    /// From the end of one look of a worker to its next.
    pub interval: Span,
}

/// Who is taken for dead, and how often somebody looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepSettings {
    /// A worker is, whose last beat is older.
    pub threshold: Span,
    /// From the end of one look to the next.
    pub interval: Span,
    /// The sweeper's role may change jobs. Without it the role may only read them.
    pub may_update: bool,
}

/// The database's role of a sweeper that may not update: it is granted no more than to read.
pub const SWEEPER_ROLE: &str = "syncope_sweeper";

impl Watch {
    /// Up to which age of its beat a worker counts as active: where a sweeper decides, its threshold;
    /// else the half of the age from which a worker is stuck, as source 001 has it (5 and 10 minutes).
    #[must_use]
    pub fn active_within(&self) -> Span {
        match self {
            Self::Sweeper(sweep) => sweep.threshold,
            Self::Workers(rescue) => Span::from_nanos(rescue.threshold.as_nanos() / 2),
        }
    }
}

impl TableSettings {
    /// The wait before a command whose outcome is needed is sent again after an error.
    #[must_use]
    pub fn retry(&self) -> Span {
        Span::from_nanos(self.patience.as_nanos() / 4).clamp(Span::from_millis(1), Span::from_secs(1))
    }
}
