//! What the hiccup meter saw: the host's stalls, and how much of them a run can bear.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::measure::{Moment, bearable};
use crate::check::{Bound, BoundFrom, CheckResult, HostFigures, Verdict};
use crate::fault::Injection;
use crate::history::What;
use crate::history::log::History;
use crate::names::ProcessName;
use crate::scenario::Scenario;
use crate::time::{Instant, Span};

/// The check's name.
pub(super) const HOST_QUIET: &str = "host_quiet";

#[derive(Debug, Default)]
pub(super) struct Host {
    /// In the history's order.
    stalls: Vec<Moment>,
    /// The longest spell of each process's hunger, if that was not ordered.
    starved: BTreeMap<ProcessName, Spell>,
    figures: HostFigures,
}

/// Looks one after the other in which a process waited for half the time or more.
#[derive(Debug, Clone, Copy)]
struct Spell {
    until: Instant,
    waited: Span,
    longest: Span,
}

impl Host {
    pub fn of(history: &History) -> Self {
        let mut host = Self::default();
        let mut throttled = BTreeSet::new();
        for event in &history.events {
            match &event.ev {
                What::FaultOrdered { order } => {
                    if let Injection::Throttle { process, .. } = &order.injection {
                        throttled.insert(process);
                    }
                }
                What::Starved { process, waited, within } => {
                    let begun = event.at - *within;
                    let new = Spell { until: begun, waited: Span::ZERO, longest: Span::ZERO };
                    let spell = host.starved.entry(process.clone()).or_insert(new);
                    // The looks are not exactly one after the other.
                    let goes_on = begun <= spell.until + Span::from_nanos(within.as_nanos() / 2);
                    spell.waited = if goes_on { spell.waited + *waited } else { *waited };
                    spell.until = event.at;
                    spell.longest = spell.longest.max(spell.waited);
                }
                What::Hiccup { stall } => {
                    host.stalls.push(Moment { lo: event.at - *stall, hi: event.at });
                }
                What::HiccupSummary { p50, p99, max, .. } => {
                    host.figures = HostFigures {
                        hiccup_p50_wall_ms: p50.as_millis_f64(),
                        hiccup_p99_wall_ms: p99.as_millis_f64(),
                        hiccup_max_wall_ms: max.as_millis_f64(),
                    };
                }
                _ => {}
            }
        }
        host.starved.retain(|process, _| !throttled.contains(process));
        host
    }

    /// Which process had to wait longest for a processor, in one spell, if for longer than this.
    pub fn starved_beyond(&self, limit: Span) -> Option<(&ProcessName, Span)> {
        let spells = self.starved.iter().map(|(process, spell)| (process, spell.longest));
        spells.filter(|(_, longest)| *longest > limit).max_by_key(|(_, longest)| *longest)
    }

    pub fn figures(&self) -> HostFigures {
        self.figures
    }

    /// The sum and the longest of the stalls that touch the window.
    pub fn stalls_in(&self, window: Moment) -> (Span, Span) {
        let touching = self.stalls.iter().filter(|stall| stall.meets(window)).map(|stall| stall.length());
        touching.fold((Span::ZERO, Span::ZERO), |(sum, longest), stall| (sum + stall, longest.max(stall)))
    }
}

/// The harness carries the links and asks the probes: while it stands still, so do they. That is a
/// fault which nobody ordered, so above what the run can bear nothing that depends on time is judged.
pub(super) fn check(scenario: &Scenario, host: &Host, run: Moment) -> CheckResult {
    let scale = scenario.time_scale;
    let limit = stall_bearable(scenario);
    let (_, longest) = host.stalls_in(run);
    let quiet = longest <= limit;
    let note = if quiet {
        format!("The host's longest stall was {longest} of wall time; this run can bear {limit}.")
    } else {
        format!(
            "The host (or the harness on it) stalled for {longest} of wall time, and this run can bear \
             {limit}: what depends on time cannot be judged."
        )
    };
    CheckResult {
        name: HOST_QUIET.to_owned(),
        verdict: if quiet { Verdict::Pass } else { Verdict::Inconclusive },
        measured: format!("{longest} (wall)"),
        bound: Bound { min: None, max: Some(scale.to_model(limit).as_millis_f64()) },
        bound_from: BoundFrom::Harness,
        note,
        stalled: !quiet,
    }
}

/// How long a stall of the host a run of the scenario can bear, wall time: a tenth of the shortest
/// duration that it would disturb: the effective expiry of a beat; for
/// a fleet without a pipeline ten of its probes; without those the time that it has to settle.
#[must_use]
pub fn stall_bearable(scenario: &Scenario) -> Span {
    match (&scenario.fleet.pipeline, &scenario.fleet.liveness) {
        (Some(pipeline), _) => bearable(pipeline.expiry.effective()),
        (None, Some(probe)) => probe.every.saturating_mul(10),
        (None, None) => bearable(scenario.settle),
    }
}
