//! Judging a history: checks, verdicts, and the figures that reports print.
//!
//! **Invariant**: a check sees a history, never a backend. No I/O, no clock.

mod claims;
mod counts;
mod detection;
mod exposure;
mod facts;
mod faults;
mod figures;
mod host;
mod judge;
mod latency;
mod life;
mod measure;
mod mistakes;
mod queue;
mod recovery;
mod simulated;
mod story;
mod suspicion;
mod taps;
#[cfg(test)]
mod tests;
mod watched;

pub use claims::{
    ClaimVerdict, JudgedClaim, JudgedCondition, JudgedElsewhere, Standing, judge_claims, share_interval,
};
pub use figures::{Figure, Range};
pub use host::stall_bearable;
pub use judge::judge;
pub use simulated::{Gap, Outcome, Simulated, Spread, kolmogorov_smirnov};

use serde::{Deserialize, Serialize};

use crate::fault::FaultId;

/// Merged as fail > inconclusive > pass (the derived order).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Inconclusive,
    Fail,
}

/// One scenario's part of `summary.json`. Durations are model time in milliseconds unless the name
/// says `wall`; `_ns` values are on the host's monotonic clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Judged {
    pub name: String,
    pub about: String,
    pub path: String,
    pub backend: String,
    pub verdict: Verdict,
    /// Why it is not a pass, most important first; empty for a pass.
    pub reasons: Vec<String>,
    pub seed: u64,
    pub repeat: u32,
    pub time_scale: f64,
    pub started_at: String,
    pub wall_s: f64,
    pub replay: String,
    pub faults: Vec<FaultReceipt>,
    pub checks: Vec<CheckResult>,
    pub jobs: JobCounts,
    pub steps: StepCounts,
    pub detection_ms: Option<Quantiles>,
    pub recovery_ms: Option<Quantiles>,
    /// fault → last beat → expiry → sweep → requeue → claim → done; in that order, what is known.
    pub recovery_parts_ms: Vec<RecoveryPart>,
    pub mistakes: Mistakes,
    pub model: Option<ModelFigures>,
    /// The single measured times that the quantiles are of.
    pub samples: Samples,
    /// Everything that claims can be judged by, as far as it was measured.
    #[serde(default)]
    pub figures: Vec<Figure>,
    /// What the simulator says of the scenario; `None` if it was not asked, or cannot run it.
    pub sim: Option<Simulated>,
    /// Where the measured times and the simulated ones disagree (`model-reality gap`).
    pub gaps: Vec<Gap>,
    pub host: HostFigures,
    pub versions: Vec<(String, String)>,
    pub claims: Vec<String>,
}

impl Judged {
    /// If the host's stalls are why it is inconclusive, the note of the check that says so: of the whole
    /// run's, if that could not bear them.
    #[must_use]
    pub fn stalled_host(&self) -> Option<&str> {
        let stalled = self.checks.iter().filter(|check| check.stalled);
        let note = &stalled.max_by_key(|check| check.name == host::HOST_QUIET)?.note;
        (self.verdict == Verdict::Inconclusive).then_some(note)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FaultReceipt {
    #[schemars(with = "u16")]
    pub fault: FaultId,
    pub part: u16,
    pub kind: String,
    pub target: String,
    pub requested_ns: Option<u64>,
    pub effective_ns: Option<u64>,
    /// How long after its due time it was fired, in wall nanoseconds.
    pub lateness_ns: Option<u64>,
    pub healed_ns: Option<u64>,
    /// Onset proved, and the heal too where there is one.
    pub confirmed: bool,
    pub proof: String,
    pub heal_proof: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CheckResult {
    /// `detection_time`, `recovery_time`, `slowest_job`, `slowest_answer`, `lost`, `duplicated`, `unexpected`,
    /// `failed`, `steps_lost`, `steps_repeated`, `mistakes`, `query_accuracy`, `declined`, `faults_confirmed`,
    /// `host_quiet`; of each watch `watched NAME becomes ANSWER` or `watched NAME never ANSWER`.
    pub name: String,
    pub verdict: Verdict,
    /// With its unit, for people; `-` if nothing was measured.
    pub measured: String,
    pub bound: Bound,
    pub bound_from: BoundFrom,
    /// In one or two sentences: what was compared, and what it means.
    pub note: String,
    /// It is inconclusive, and the host stalled for longer in what it measured than that can bear.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stalled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Bound {
    pub min: Option<f64>,
    pub max: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoundFrom {
    Model,
    Scenario,
    /// The tool's own rule, as for unproved faults.
    Harness,
}

/// As in Jepsen's total-queue checker, with duplicates a verdict of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct JobCounts {
    pub acknowledged: u64,
    /// Acknowledged, work done at least once.
    pub completed: u64,
    /// Acknowledged, failed for good by the system's own account.
    pub failed: u64,
    /// Acknowledged, and neither done nor failed at the end.
    pub lost: u64,
    /// Work done more than once.
    pub duplicated: u64,
    /// Never acknowledged (no answer), done all the same.
    pub recovered: u64,
    /// Done, and never asked for.
    pub unexpected: u64,
    pub declined: u64,
    pub indeterminate: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepCounts {
    pub acknowledged: u64,
    pub lost: u64,
    pub repeated: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Quantiles {
    pub n: u64,
    pub min: f64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    /// Half-width of the widest single measurement's interval.
    pub resolution: f64,
}

/// Each measured time: the middle of its interval, in model milliseconds, in the order in which they
/// were measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Samples {
    pub detection_ms: Vec<f64>,
    pub recovery_ms: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RecoveryPart {
    pub job: String,
    /// 65535 where no injected fault was the cause (a process that crashed by itself).
    pub fault: u16,
    /// `to_expiry`, `to_sweep`, `to_claim`, `to_done`, … with its length.
    pub parts: Vec<(String, f64)>,
    pub total_ms: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Mistakes {
    pub count: u64,
    /// Of them, those that several workers share because the store was out: one each outage.
    pub correlated: u64,
    pub total_ms: f64,
    /// Share of the probed time, while the subject ran, in which it was trusted; `None` without probes.
    pub query_accuracy: Option<f64>,
    /// With no mistake seen: the rate's upper 95 % bound, per hour of model time (rule of three).
    pub rate_per_hour_upper: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ModelFigures {
    pub detection_ms: Bound,
    pub recovery_ms: Bound,
    pub pause_tolerated_ms: f64,
    /// `None`: no skew matters.
    pub skew_tolerated_ms: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HostFigures {
    pub hiccup_p50_wall_ms: f64,
    pub hiccup_p99_wall_ms: f64,
    pub hiccup_max_wall_ms: f64,
}
