//! The liveness pipeline of somebody else's fleet.

use super::Context;
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
