//! The figures of a run as intervals, apart from what its scenario expects of them: what claims are
//! judged by.

use serde::{Deserialize, Serialize};

use crate::check::facts::{Collected, Facts};
use crate::check::latency::{slowest_answer, slowest_job};
use crate::check::measure::{Measurement, model_ms};
use crate::check::{JobCounts, Mistakes, StepCounts, watched};
use crate::time::{Interval, Scale, Span};

/// One figure of a run. What was not measured has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Figure {
    pub name: String,
    /// Each measurement: model milliseconds, a count, or a share.
    pub values: Vec<Range>,
}

/// A measured value is known up to an interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Range {
    pub min: f64,
    /// `None`: it had not come when the run ended.
    pub max: Option<f64>,
}

impl Range {
    #[must_use]
    pub const fn exactly(value: f64) -> Self {
        Self { min: value, max: Some(value) }
    }
}

/// What the checks have measured already.
pub(super) struct Measured<'a> {
    pub detection: &'a [Measurement],
    pub recovery: &'a [Measurement],
    pub watched: &'a [watched::Outcome],
    pub jobs: &'a JobCounts,
    pub steps: &'a StepCounts,
    pub mistakes: &'a Mistakes,
    /// Somebody asked for suspicions, and was answered.
    pub asked: bool,
}

pub(super) fn of(facts: &Facts<'_>, measured: &Measured<'_>) -> Vec<Figure> {
    let scale = facts.scenario.time_scale;
    let figure = |name: &str, values: Vec<Range>| Figure { name: name.to_owned(), values };
    let times = |all: &[Measurement]| all.iter().map(|one| in_model(one.measured, scale)).collect();
    let slowest = |found: Option<crate::check::latency::Slowest>| {
        found.into_iter().map(|slowest| in_model(slowest.took, scale)).collect()
    };
    let mut figures = vec![
        figure("detection_time", times(measured.detection)),
        figure("recovery_time", times(measured.recovery)),
        figure("slowest_job", slowest(slowest_job(facts))),
        figure("slowest_answer", slowest(slowest_answer(facts))),
    ];
    let counts = |all: &[(&str, u64)]| {
        let one = |(name, count): &(&str, u64)| figure(name, vec![Range::exactly(*count as f64)]);
        all.iter().map(one).collect::<Vec<_>>()
    };
    let (jobs, steps) = (measured.jobs, measured.steps);
    figures.extend(counts(&[
        ("declined", jobs.declined),
        ("steps_repeated", steps.repeated),
        ("steps.acknowledged", steps.acknowledged),
        ("jobs.acknowledged", jobs.acknowledged),
        // Whoever asked for them was told nothing, or an error.
        ("jobs.unanswered", jobs.recovered + jobs.indeterminate),
    ]));
    let effects = &facts.scenario.fleet.effects;
    if facts.collected == Collected::Whole && effects.is_asked() {
        figures.extend(counts(&[
            ("lost", jobs.lost),
            ("duplicated", jobs.duplicated),
            ("unexpected", jobs.unexpected),
            ("failed", jobs.failed),
            ("jobs.completed", jobs.completed),
            ("jobs.ended", jobs.completed + jobs.failed),
        ]));
    }
    if facts.collected == Collected::Whole && effects.tells_steps() {
        figures.extend(counts(&[("steps_lost", steps.lost)]));
    }
    if measured.asked {
        figures.extend(counts(&[("mistakes", measured.mistakes.count)]));
        let accuracy = measured.mistakes.query_accuracy.map(Range::exactly);
        figures.push(figure("query_accuracy", accuracy.into_iter().collect()));
    }
    for outcome in measured.watched {
        figures.push(figure(&outcome.check.name, outcome.value(scale).into_iter().collect()));
    }
    figures.extend(facts.fill.figures(&facts.faults, facts.run, scale));
    figures.retain(|figure| !figure.values.is_empty());
    figures
}

pub(super) fn in_model(wall: Interval, scale: Scale) -> Range {
    let max = (wall.max() < Span::MAX).then(|| model_ms(wall.max(), scale));
    Range { min: model_ms(wall.min(), scale), max }
}
