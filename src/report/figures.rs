//! The three figures side by side: what the timing model allows, what the simulator says, and what
//! was measured. One set for each scenario: its repeats are pooled.

pub mod density;
mod words;

pub use words::{gap_in_words, gap_size, p_value, rate_upper};

use crate::check::{Bound, BoundFrom, CheckResult, Gap, Judged, ModelFigures, Simulated, Spread, Verdict};

/// What is said of one scenario, whatever the number of its repeats.
#[derive(Debug)]
pub struct Figures<'j> {
    /// Real processes ran. Else the recorded run is itself one of the simulated ones.
    pub live: bool,
    /// Runs with a history.
    pub runs: usize,
    /// Of them, those of which too little is known for a verdict.
    pub inconclusive: usize,
    pub sim: Option<&'j Simulated>,
    pub times: [Time<'j>; 2],
    pub counts: [Count; 3],
    pub gaps: Vec<&'j Gap>,
}

/// A measured duration, in model milliseconds.
#[derive(Debug)]
pub struct Time<'j> {
    pub name: &'static str,
    /// By the timing model, of the faults as they were injected. The hull over the repeats.
    pub model: Option<Bound>,
    /// What the scenario's file demands.
    pub demanded: Option<Bound>,
    pub simulated: Option<&'j Spread>,
    pub measured: Option<Spread>,
}

/// Something that is counted in each run, and of which most runs should have none.
#[derive(Debug)]
pub struct Count {
    pub name: &'static str,
    pub bounds: Vec<(BoundFrom, Bound)>,
    /// Runs that had any, of the simulated ones.
    pub simulated: Option<u64>,
    /// Of all simulated runs together, where that is known.
    pub simulated_total: Option<u64>,
    /// Runs that had any, of the recorded ones.
    pub measured: u64,
    /// Of all recorded runs together, in words.
    pub measured_total: String,
    /// With none seen: the rate's upper 95 % bound, per hour of model time.
    pub rate_per_hour_upper: Option<f64>,
}

/// A line of the table, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub quantity: &'static str,
    pub bound: String,
    pub simulated: Cell,
    pub measured: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// p1, p50, p99.
    Quantiles([String; 3]),
    Words(String),
}

impl<'j> Figures<'j> {
    /// Of all the runs of one scenario. `None` of none.
    #[must_use]
    pub fn of(runs: &[&'j Judged]) -> Option<Self> {
        let first = runs.first()?;
        let sim = runs.iter().find_map(|judged| judged.sim.as_ref());
        let detection = Time {
            name: "detection time",
            model: model_bound(runs, "detection_time", |model| model.detection_ms),
            demanded: hull_of_checks(runs, "detection_time", BoundFrom::Scenario),
            simulated: sim.and_then(|sim| sim.detection_ms.as_ref()),
            measured: pooled(runs, |judged| &judged.samples.detection_ms),
        };
        let recovery = Time {
            name: "recovery time",
            model: model_bound(runs, "recovery_time", |model| model.recovery_ms),
            demanded: hull_of_checks(runs, "recovery_time", BoundFrom::Scenario),
            simulated: sim.and_then(|sim| sim.recovery_ms.as_ref()),
            measured: pooled(runs, |judged| &judged.samples.recovery_ms),
        };
        Some(Self {
            live: first.backend != "sim",
            runs: runs.len(),
            inconclusive: runs.iter().filter(|judged| judged.verdict == Verdict::Inconclusive).count(),
            sim,
            times: [detection, recovery],
            counts: [mistakes(runs, sim), losses(runs, sim), duplicates(runs, sim)],
            gaps: runs.iter().flat_map(|judged| &judged.gaps).collect(),
        })
    }
}

/// The runs of the scenario that `judged` is a run of, in the order in which they were given; the
/// first of them speaks for all.
#[must_use]
pub fn group<'j>(all: &'j [Judged], judged: &Judged) -> Vec<&'j Judged> {
    all.iter().filter(|other| other.path == judged.path).collect()
}

fn mistakes(runs: &[&Judged], sim: Option<&Simulated>) -> Count {
    let total: u64 = runs.iter().map(|judged| judged.mistakes.count).sum();
    let rate = match runs {
        [only] => only.mistakes.rate_per_hour_upper,
        _ => None,
    };
    Count {
        name: "mistakes",
        bounds: count_bounds(runs, "mistakes"),
        simulated: sim.map(|sim| sim.runs_with_mistakes),
        simulated_total: sim.map(|sim| sim.mistakes),
        measured: runs_with(runs, |judged| judged.mistakes.count > 0),
        measured_total: total.to_string(),
        rate_per_hour_upper: rate.filter(|_| total == 0),
    }
}

fn losses(runs: &[&Judged], sim: Option<&Simulated>) -> Count {
    let jobs: u64 = runs.iter().map(|judged| judged.jobs.lost).sum();
    let steps: u64 = runs.iter().map(|judged| judged.steps.lost).sum();
    Count {
        name: "lost jobs or steps",
        bounds: count_bounds(runs, "lost"),
        simulated: sim.map(|sim| sim.runs_with_losses),
        simulated_total: None,
        measured: runs_with(runs, |judged| judged.jobs.lost > 0 || judged.steps.lost > 0),
        measured_total: if steps > 0 { format!("{jobs} jobs, {steps} steps") } else { jobs.to_string() },
        rate_per_hour_upper: None,
    }
}

fn duplicates(runs: &[&Judged], sim: Option<&Simulated>) -> Count {
    let total: u64 = runs.iter().map(|judged| judged.jobs.duplicated).sum();
    Count {
        name: "duplicated jobs",
        bounds: count_bounds(runs, "duplicated"),
        simulated: sim.map(|sim| sim.runs_with_duplicates),
        simulated_total: None,
        measured: runs_with(runs, |judged| judged.jobs.duplicated > 0),
        measured_total: total.to_string(),
        rate_per_hour_upper: None,
    }
}

fn runs_with(runs: &[&Judged], has: fn(&Judged) -> bool) -> u64 {
    runs.iter().filter(|judged| has(judged)).count() as u64
}

fn pooled(runs: &[&Judged], pick: fn(&Judged) -> &Vec<f64>) -> Option<Spread> {
    Spread::of(runs.iter().flat_map(|judged| pick(judged)).filter(|ms| ms.is_finite()))
}

/// What the runs were judged by, which counts the faults as they fell; where they were judged
/// otherwise, or not at all, what the model says of the undisturbed case.
fn model_bound(runs: &[&Judged], check: &str, pick: fn(&ModelFigures) -> Bound) -> Option<Bound> {
    let figures = || hull(runs.iter().filter_map(|judged| judged.model.as_ref()).map(pick));
    hull_of_checks(runs, check, BoundFrom::Model).or_else(figures)
}

fn hull_of_checks(runs: &[&Judged], check: &str, from: BoundFrom) -> Option<Bound> {
    let named = |result: &&CheckResult| result.name == check && result.bound_from == from;
    hull(runs.iter().flat_map(|judged| judged.checks.iter().filter(named)).map(|result| result.bound))
}

fn count_bounds(runs: &[&Judged], check: &str) -> Vec<(BoundFrom, Bound)> {
    [BoundFrom::Model, BoundFrom::Scenario]
        .into_iter()
        .filter_map(|from| Some((from, hull_of_checks(runs, check, from)?)))
        .collect()
}

/// The least that holds all of them. `None` without any bound that says something.
fn hull(bounds: impl Iterator<Item = Bound>) -> Option<Bound> {
    let end = |end: Option<f64>| end.filter(|value| value.is_finite());
    let mut known = bounds
        .map(|bound| Bound { min: end(bound.min), max: end(bound.max) })
        .filter(|bound| bound.min.is_some() || bound.max.is_some());
    let first = known.next()?;
    Some(known.fold(first, |hull, bound| Bound {
        min: hull.min.zip(bound.min).map(|(one, other)| one.min(other)),
        max: hull.max.zip(bound.max).map(|(one, other)| one.max(other)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn bound(min: Option<f64>, max: Option<f64>) -> Bound {
        Bound { min, max }
    }

    #[test]
    fn the_hull_of_bounds_is_open_where_one_of_them_is() {
        let hull = |bounds: &[Bound]| hull(bounds.iter().copied());
        assert_eq!(hull(&[]), None);
        assert_eq!(hull(&[bound(None, None), bound(None, Some(f64::NAN))]), None, "says nothing");
        let narrow = bound(Some(15.0), Some(90.0));
        assert_eq!(hull(&[narrow, bound(None, None)]), Some(narrow));
        assert_eq!(hull(&[narrow, bound(Some(10.0), Some(20.0))]), Some(bound(Some(10.0), Some(90.0))));
        assert_eq!(hull(&[narrow, bound(Some(20.0), None)]), Some(bound(Some(15.0), None)));
    }
}
