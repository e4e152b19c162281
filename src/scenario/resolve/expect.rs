//! What is judged.

use crate::scenario::decode::Field;
use crate::scenario::diagnostic::{Code, Report};
use crate::scenario::raw;
use crate::scenario::raw::expect::{ShareBounds, SpanBounds, TimeBound, in_order};
use crate::scenario::scalar::{Duration, Share};
use crate::scenario::{CountExpect, Expect, MistakeExpect, TimeExpect, Watched};
use crate::time::{Interval, Scale, Span};

/// `watched`: what is expected of the watches, as it was resolved.
pub(super) fn resolve(
    raw: &raw::Scenario,
    watched: Vec<Watched>,
    scale: Scale,
    report: &mut Report<'_>,
) -> Expect {
    let none = raw::expect::Expect::default();
    let given = raw.expect.value().unwrap_or(&none);
    let means = Means::of(raw);
    let default = means.defaults();
    means.refuse_unjudgeable(given, report);
    let time = |field: &Field<TimeBound>, otherwise| match field.value() {
        None => otherwise,
        Some(TimeBound::Word(word)) => *word,
        Some(TimeBound::Within(min, max)) => TimeExpect::Within(scaled(*min, *max, scale)),
    };
    let count = |field: &Field<CountExpect>, otherwise| field.value().copied().unwrap_or(otherwise);
    Expect {
        detection_time: time(&given.detection_time, default.detection_time),
        recovery_time: time(&given.recovery_time, default.recovery_time),
        slowest_job: within(&given.slowest_job, scale, report),
        slowest_answer: within(&given.slowest_answer, scale, report),
        lost: count(&given.lost, default.lost),
        duplicated: count(&given.duplicated, default.duplicated),
        unexpected: count(&given.unexpected, default.unexpected),
        failed: count(&given.failed, default.failed),
        steps_lost: count(&given.steps_lost, default.steps_lost),
        steps_repeated: count(&given.steps_repeated, default.steps_repeated),
        mistakes: given.mistakes.value().copied().unwrap_or(default.mistakes),
        query_accuracy_ppm: share(&given.query_accuracy, report),
        declined: count(&given.declined, default.declined),
        watched,
    }
}

/// What there is to judge by.
struct Means {
    model: bool,
    probe: bool,
}

impl Means {
    /// By what is written, right or wrong: an error there is not to bring on another one here.
    fn of(raw: &raw::Scenario) -> Self {
        let external = raw.fleet.value().and_then(|fleet| fleet.external.value());
        Self {
            model: external.is_none_or(|external| !external.timing.is_absent()),
            probe: external.is_none_or(|external| !external.liveness.is_absent()),
        }
    }

    /// What there is nothing to judge by is not judged.
    fn defaults(&self) -> Expect {
        let mut expect = Expect::default();
        if !self.model || !self.probe {
            expect.detection_time = TimeExpect::Any;
            expect.mistakes = MistakeExpect::Count(CountExpect::ANY);
        }
        if !self.model {
            expect.recovery_time = TimeExpect::Any;
        }
        expect
    }

    fn refuse_unjudgeable(&self, given: &raw::expect::Expect, report: &mut Report<'_>) {
        let is_model =
            |field: &Field<TimeBound>| matches!(field.value(), Some(TimeBound::Word(TimeExpect::Model)));
        let by_model = [
            (is_model(&given.detection_time), given.detection_time.place()),
            (is_model(&given.recovery_time), given.recovery_time.place()),
            (given.mistakes.value() == Some(&MistakeExpect::Model), given.mistakes.place()),
        ];
        if !self.model {
            for (_, place) in by_model.iter().filter(|(is_model, _)| *is_model) {
                report
                    .add(Code::Unjudgeable, place.unwrap_or_default(), "there is no model of this fleet")
                    .hint("describe its timing under `external: {timing: …}`, or give bounds");
            }
        }
        let by_probe = [given.detection_time.place(), given.mistakes.place(), given.query_accuracy.place()];
        if !self.probe {
            for place in by_probe.into_iter().flatten() {
                report
                    .add(Code::Unjudgeable, place, "nobody asks whether this fleet lives")
                    .hint("give `external: {liveness: …}`");
            }
        }
    }
}

/// An open end stays open.
pub(super) fn scaled(min: Span, max: Span, scale: Scale) -> Interval {
    let wall = |model| if model == Span::MAX { Span::MAX } else { scale.to_wall(model) };
    Interval::new(wall(min), wall(max))
}

fn within(field: &Field<SpanBounds>, scale: Scale, report: &mut Report<'_>) -> TimeExpect {
    let Some(bounds) = field.given() else { return TimeExpect::Any };
    let min = bounds.value.min.value().map_or(Span::ZERO, |Duration(span)| *span);
    let max = bounds.value.max.value().map_or(Span::MAX, |Duration(span)| *span);
    match in_order(min, max, bounds.place, report) {
        Some((min, max)) => TimeExpect::Within(scaled(min, max, scale)),
        None => TimeExpect::Any,
    }
}

fn share(field: &Field<ShareBounds>, report: &mut Report<'_>) -> Option<(u32, u32)> {
    let bounds = field.given()?;
    let min = bounds.value.min.value().map_or(0, |Share(ppm)| *ppm);
    let max = bounds.value.max.value().map_or(1_000_000, |Share(ppm)| *ppm);
    let [least, most] = [min, max].map(|ppm| f64::from(ppm) / 1e6);
    in_order(least, most, bounds.place, report)?;
    Some((min, max))
}
