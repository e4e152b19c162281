//! Distributions of durations.

use super::Context;
use crate::dist::{Distribution, Recorded};
use crate::scenario::decode::{Field, Placed};
use crate::scenario::diagnostic::{Code, Report};
use crate::scenario::raw;
use crate::scenario::scalar::Duration;
use crate::time::{Scale, Span};

impl Context<'_, '_> {
    /// As wall time; `None` if it is wrong, and reported.
    pub(super) fn distribution(&mut self, raw: &Placed<raw::Distribution>) -> Option<Distribution> {
        distribution(raw, self.scale, self.report)
    }
}

/// As wall time; `None` if it is wrong, and reported.
pub(in crate::scenario) fn distribution(
    raw: &Placed<raw::Distribution>,
    scale: Scale,
    report: &mut Report<'_>,
) -> Option<Distribution> {
    let wall = |Duration(model): Duration| scale.to_wall(model);
    let field = |field: &Field<Duration>| field.value().map(|model| wall(*model));
    Some(match &raw.value {
        raw::Distribution::Constant(span) => Distribution::Constant(wall(span.value)),
        raw::Distribution::Uniform(pair) => {
            Distribution::Uniform { min: scale.to_wall(pair.value.0), max: scale.to_wall(pair.value.1) }
        }
        raw::Distribution::Exponential(mean) => Distribution::Exponential { mean: wall(mean.value) },
        raw::Distribution::Normal(normal) => Distribution::Normal {
            mean: field(&normal.value.mean)?,
            deviation: field(&normal.value.deviation)?,
        },
        raw::Distribution::Lognormal(lognormal) => {
            let (median, p99) = (&lognormal.value.median, &lognormal.value.p99);
            above_zero(median, "median", report);
            let ends = (median.given()?, p99.given()?);
            if ends.0.value.0 > ends.1.value.0 {
                report
                    .add(Code::EmptyRange, ends.1.place, "`p99` is less than `median`")
                    .hint("99 in 100 are below `p99`, half of them below `median`");
                return None;
            }
            Distribution::Lognormal { median: wall(ends.0.value), p99: wall(ends.1.value) }
        }
        raw::Distribution::Pareto(pareto) => {
            above_zero(&pareto.value.min, "min", report);
            Distribution::Pareto { min: field(&pareto.value.min)?, shape: *pareto.value.shape.value()? }
        }
        raw::Distribution::Empirical(samples) => {
            let spans = samples.value.iter().map(|sample| wall(sample.value)).collect();
            let Some(recorded) = Recorded::new(spans) else {
                report
                    .add(Code::OutOfRange, samples.place, "a recording needs a duration")
                    .hint("write at least one, as in `empirical: [12ms, 15ms]`");
                return None;
            };
            Distribution::Empirical(recorded)
        }
    })
}

fn above_zero(field: &Field<Duration>, name: &str, report: &mut Report<'_>) {
    if let Some(given) = field.given()
        && given.value.0 == Span::ZERO
    {
        report
            .add(Code::DurationTooShort, given.place, format!("`{name}` is zero"))
            .hint("this distribution stretches from it by a factor: it must be above zero");
    }
}
