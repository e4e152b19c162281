//! Distributions of durations.

use super::Context;
use crate::dist::{Distribution, Recorded};
use crate::scenario::decode::{Field, Placed};
use crate::scenario::diagnostic::Code;
use crate::scenario::raw;
use crate::scenario::scalar::Duration;
use crate::time::Span;

impl Context<'_, '_> {
    /// As wall time; `None` if it is wrong, and reported.
    pub(super) fn distribution(&mut self, raw: &Placed<raw::Distribution>) -> Option<Distribution> {
        Some(match &raw.value {
            raw::Distribution::Constant(span) => Distribution::Constant(self.wall(span.value)),
            raw::Distribution::Uniform(pair) => Distribution::Uniform {
                min: self.scale.to_wall(pair.value.0),
                max: self.scale.to_wall(pair.value.1),
            },
            raw::Distribution::Exponential(mean) => Distribution::Exponential { mean: self.wall(mean.value) },
            raw::Distribution::Normal(normal) => Distribution::Normal {
                mean: self.optional(&normal.value.mean)?,
                deviation: self.optional(&normal.value.deviation)?,
            },
            raw::Distribution::Lognormal(lognormal) => {
                let (median, p99) = (&lognormal.value.median, &lognormal.value.p99);
                self.above_zero(median, "median");
                let ends = (median.given()?, p99.given()?);
                if ends.0.value.0 > ends.1.value.0 {
                    self.report
                        .add(Code::EmptyRange, ends.1.place, "`p99` is less than `median`")
                        .hint("99 in 100 are below `p99`, half of them below `median`");
                    return None;
                }
                Distribution::Lognormal { median: self.wall(ends.0.value), p99: self.wall(ends.1.value) }
            }
            raw::Distribution::Pareto(pareto) => {
                self.above_zero(&pareto.value.min, "min");
                Distribution::Pareto {
                    min: self.optional(&pareto.value.min)?,
                    shape: *pareto.value.shape.value()?,
                }
            }
            raw::Distribution::Empirical(samples) => {
                let spans = samples.value.iter().map(|sample| self.wall(sample.value)).collect();
                let Some(recorded) = Recorded::new(spans) else {
                    self.report
                        .add(Code::OutOfRange, samples.place, "a recording needs a duration")
                        .hint("write at least one, as in `empirical: [12ms, 15ms]`");
                    return None;
                };
                Distribution::Empirical(recorded)
            }
        })
    }

    fn above_zero(&mut self, field: &Field<Duration>, name: &str) {
        if let Some(given) = field.given()
            && given.value.0 == Span::ZERO
        {
            self.report
                .add(Code::DurationTooShort, given.place, format!("`{name}` is zero"))
                .hint("this distribution stretches from it by a factor: it must be above zero");
        }
    }
}
