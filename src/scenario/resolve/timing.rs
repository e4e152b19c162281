//! The liveness pipeline of somebody else's fleet.

use super::Context;
use crate::scenario::catalogue;
use crate::scenario::decode::{Field, Placed};
use crate::scenario::diagnostic::{Code, Place};
use crate::scenario::raw::fleet as raw;
use crate::scenario::scalar::{Flag, Whole};
use crate::scenario::{Ask, Probe};
use crate::time::{Interval, Span};
use crate::timing::{
    Age, Asked, Beat, Checker, Clock, Expiry, Gate, Guard, Pipeline, Recovery, Requeue, Subject, Sweep,
};

/// `None` if it is wrong beyond use, and reported.
pub(super) fn pipeline(
    placed: &Placed<raw::Timing>,
    liveness: Option<&Probe>,
    context: &mut Context<'_, '_>,
) -> Option<Pipeline> {
    let (timing, place) = (&placed.value, placed.place);
    if let Some(set) = timing.set.given().filter(|_| timing.catalog.is_absent()) {
        context
            .report
            .add(Code::ForeignSetting, set.place, "`set` without `catalog` sets nothing")
            .hint("name the system whose settings these are: `catalog: bullmq`");
    }
    if let Some(catalog) = timing.catalog.given() {
        refuse_beside("catalog", timing, context);
        let entry = catalogue::chosen(catalog.text(), catalog.place, &timing.set, context.report)?;
        return entry.pipeline_at(context.scale).ok();
    }
    if let Some(written) = timing.pipeline.given() {
        refuse_beside("pipeline", timing, context);
        let none = catalogue::Values::new();
        return catalogue::build::pipeline(&written.value, &none, context.scale, context.report);
    }
    described(timing, place, liveness, context)
}

/// What cannot stand beside the way in which the pipeline is given.
fn refuse_beside(given: &str, timing: &raw::Timing, context: &mut Context<'_, '_>) {
    let others = [
        ("pipeline", timing.pipeline.place()),
        ("beat", timing.beat.place()),
        ("ttl", timing.ttl.place()),
        ("threshold", timing.threshold.place()),
        ("two_clocks", timing.two_clocks.place()),
        ("sweep", timing.sweep.place()),
        ("retries", timing.retries.place()),
        ("retry_backoff", timing.retry_backoff.place()),
        ("ready_wait", timing.ready_wait.place()),
        ("guard", timing.guard.place()),
        ("subject", timing.subject.place()),
        ("requeue", timing.requeue.place()),
        ("claim_poll", timing.claim_poll.place()),
        ("max_stalls", timing.max_stalls.place()),
    ];
    for (name, place) in others.into_iter().filter(|(name, _)| *name != given) {
        if let Some(place) = place {
            context
                .report
                .add(Code::OneOf, place, format!("`{name}` cannot stand beside `{given}`"))
                .hint("one of `catalog` (with `set`), `pipeline`, and `beat` with what belongs to it");
        }
    }
}

/// From beat, validity, checker and recovery, one by one.
fn described(
    timing: &raw::Timing,
    place: Place,
    liveness: Option<&Probe>,
    context: &mut Context<'_, '_>,
) -> Option<Pipeline> {
    if timing.beat.is_absent() {
        context
            .report
            .add(Code::MissingField, place, "nothing says when a worker beats")
            .hint("`catalog: bullmq` or another system, a `pipeline`, or `beat` with `ttl` or `threshold`");
    }
    if timing.ttl.is_absent() && timing.threshold.is_absent() {
        context
            .report
            .add(Code::MissingField, place, "nothing says when a beat's validity ends")
            .hint("at least one of `ttl` and `threshold`");
        return None;
    }
    let expiry = expiry(timing, place, context)?;
    let asks_stalls =
        liveness.is_some_and(|probe| matches!(probe.ask, Ask::RedisStalls { .. } | Ask::SqlStalls { .. }));
    let subject = match timing.subject.value() {
        Some(raw::Subject::Fleet) => Subject::Fleet,
        Some(raw::Subject::Holder) => Subject::Holder,
        None if asks_stalls => Subject::Holder,
        None => Subject::Fleet,
    };
    let recovery = match context.optional(&timing.requeue) {
        Some(delay) => Requeue::After(Interval::exactly(delay)),
        None => Requeue::Never,
    };
    Some(Pipeline {
        beat: Beat::every(context.positive(&timing.beat, SECOND, "beat", place)),
        expiry,
        checker: checker(timing, context),
        recovery: Recovery {
            requeue: recovery,
            max_stalls: timing.max_stalls.value().map(|Whole(n)| *n as u32),
            ..Recovery::never(context.span(&timing.claim_poll, SECOND))
        },
        subject,
    })
}

/// `None` if neither is there.
fn expiry(timing: &raw::Timing, place: Place, context: &mut Context<'_, '_>) -> Option<Expiry> {
    let mut present = |field: &Field<_>, name| match field {
        Field::Absent => None,
        field => Some(context.positive(field, Span::ZERO, name, place)),
    };
    let ttl = present(&timing.ttl, "ttl");
    let age = present(&timing.threshold, "threshold").map(|threshold| {
        let two_clocks = timing.two_clocks.value().is_some_and(|Flag(two)| *two);
        let read = if two_clocks { Clock::Checker } else { Clock::Worker };
        Age { read, ..Age::across(threshold) }
    });
    match (ttl, age) {
        (Some(ttl), Some(age)) => Some(Expiry::Both { ttl, age }),
        (Some(ttl), None) => Some(Expiry::Ttl(ttl)),
        (None, Some(age)) => Some(Expiry::Age(age)),
        (None, None) => None,
    }
}

/// A guard makes it a two-phase sweep that the fleet takes turns at; else it answers when asked, each
/// `sweep` or all the time.
fn checker(timing: &raw::Timing, context: &mut Context<'_, '_>) -> Checker {
    let period = context.span(&timing.sweep, Span::ZERO);
    match timing.guard.given() {
        Some(guard) if period.is_zero() => {
            context
                .report
                .add(Code::ForeignSetting, guard.place, "a guard without a sweep guards nothing")
                .hint("give the period of the `sweep`, or leave `guard` out");
            Checker::Nobody
        }
        Some(guard) => Checker::Sweep(Sweep {
            period,
            two_phase: true,
            guard: Guard::Paced(context.wall(guard.value)),
            gate: Gate::Open,
        }),
        None => Checker::OnDemand(Asked {
            every: period,
            retries: timing.retries.value().map_or(0, |Whole(n)| *n as u32),
            backoff: context.span(&timing.retry_backoff, Span::ZERO),
            ready_wait: context.span(&timing.ready_wait, Span::ZERO),
        }),
    }
}

const SECOND: Span = Span::from_secs(1);
