//! What a run comes to: `summary.json` as a type.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::{HostFigures, Judged, Verdict};
use crate::report::claims::Claim;

/// What is known of a run beside its scenarios. Stored in `summary.json`, and read back from there
/// when a stored run is judged again (see `From<&Summary>`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunInfo {
    pub run_id: String,
    pub backend: String,
    /// Wall clock at the start, RFC 3339.
    pub started_at: String,
    pub interrupted: bool,
    /// The command line of the run, without absolute paths.
    pub command: String,
    pub not_run: Vec<NotRun>,
    /// What was done to keep the host quiet, in sentences.
    pub host_notes: Vec<String>,
}

/// A scenario that was asked for and could not be run: named, never skipped in silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NotRun {
    pub name: String,
    pub path: String,
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// `summary.json`. Durations are model time in milliseconds unless the name says `wall`; `_ns`
/// values are on the host's monotonic clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Summary {
    pub run_id: String,
    /// Of all scenarios: fail > inconclusive > pass. A scenario that was not run, an interrupted run
    /// and a run without scenarios are inconclusive: they have not shown what was asked.
    pub verdict: Verdict,
    pub backend: String,
    pub started_at: String,
    pub interrupted: bool,
    pub command: String,
    /// The worst of all scenarios.
    pub host: HostFigures,
    pub versions: BTreeMap<String, String>,
    /// In the order in which they were given.
    pub scenarios: Vec<Judged>,
    pub not_run: Vec<NotRun>,
    /// What was done to keep the host quiet: scenarios held back, or run again after a stall.
    #[serde(default)]
    pub host_notes: Vec<String>,
    pub claims: Vec<Claim>,
}

/// Without claims: see [`Summary::with_claims`].
#[must_use]
pub fn merge(run: &RunInfo, scenarios: Vec<Judged>) -> Summary {
    Summary {
        run_id: run.run_id.clone(),
        verdict: merge_verdicts(run, &scenarios),
        backend: run.backend.clone(),
        started_at: run.started_at.clone(),
        interrupted: run.interrupted,
        command: run.command.clone(),
        host: worst_host(&scenarios),
        versions: merge_versions(&scenarios),
        scenarios,
        not_run: run.not_run.clone(),
        host_notes: run.host_notes.clone(),
        claims: Vec::new(),
    }
}

/// The JSON Schema of `summary.json`, as it is committed under `schemas/`.
#[must_use]
pub fn schema() -> String {
    let schema = schemars::schema_for!(Summary);
    format!("{:#}\n", schema.as_value())
}

impl From<&Summary> for RunInfo {
    fn from(summary: &Summary) -> Self {
        Self {
            run_id: summary.run_id.clone(),
            backend: summary.backend.clone(),
            started_at: summary.started_at.clone(),
            interrupted: summary.interrupted,
            command: summary.command.clone(),
            not_run: summary.not_run.clone(),
            host_notes: summary.host_notes.clone(),
        }
    }
}

impl Summary {
    /// How many scenarios have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.scenarios.iter().filter(|judged| judged.verdict == verdict).count()
    }

    /// Failed first, then inconclusive, then passed; among equals in the given order.
    #[must_use]
    pub fn worst_first(&self) -> Vec<&Judged> {
        let mut all: Vec<&Judged> = self.scenarios.iter().collect();
        all.sort_by_key(|judged| std::cmp::Reverse(judged.verdict));
        all
    }

    /// The scenario's name, with its repeat's number where the run has several.
    #[must_use]
    pub fn title(&self, judged: &Judged) -> String {
        let repeated = self.scenarios.iter().any(|j| j.path == judged.path && j.repeat != judged.repeat);
        if repeated { format!("{} #{}", judged.name, judged.repeat) } else { judged.name.clone() }
    }
}

fn merge_verdicts(run: &RunInfo, scenarios: &[Judged]) -> Verdict {
    let shown = scenarios.iter().map(|judged| judged.verdict).max().unwrap_or(Verdict::Inconclusive);
    if run.interrupted || !run.not_run.is_empty() { shown.max(Verdict::Inconclusive) } else { shown }
}

fn worst_host(scenarios: &[Judged]) -> HostFigures {
    scenarios.iter().fold(HostFigures::default(), |worst, judged| HostFigures {
        hiccup_p50_wall_ms: worst.hiccup_p50_wall_ms.max(judged.host.hiccup_p50_wall_ms),
        hiccup_p99_wall_ms: worst.hiccup_p99_wall_ms.max(judged.host.hiccup_p99_wall_ms),
        hiccup_max_wall_ms: worst.hiccup_max_wall_ms.max(judged.host.hiccup_max_wall_ms),
    })
}

/// One entry for each thing; where scenarios differ, all its versions.
fn merge_versions(scenarios: &[Judged]) -> BTreeMap<String, String> {
    let mut merged: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (what, version) in scenarios.iter().flat_map(|judged| &judged.versions) {
        let seen = merged.entry(what.clone()).or_default();
        if !seen.contains(&version.as_str()) {
            seen.push(version);
        }
    }
    merged.into_iter().map(|(what, versions)| (what, versions.join(", "))).collect()
}
