//! From an entry's formulas and its parameters' values to a pipeline.

use std::collections::BTreeSet;

use super::super::decode::{Field, Placed};
use super::super::diagnostic::{Code, Place, Report};
use super::super::raw::fleet::Subject as RawSubject;
use super::super::scalar::Flag;
use super::expression::{Expression, Values};
use super::raw;
use crate::protocol::Backoff;
use crate::time::{Interval, Scale, Span};
use crate::timing::{
    Age, Asked, Beat, Checker, Clock, Expiry, Gate, Guard, Pipeline, Recovery, Requeue, Rhythm, Subject,
    Sweep,
};

/// More retries, attempts or stalls than any system allows.
const COUNT_MAX: u32 = 1_000_000;

/// `None` only if the report says why.
pub(in crate::scenario) fn pipeline(
    raw: &raw::Pipeline,
    values: &Values,
    scale: Scale,
    report: &mut Report<'_>,
) -> Option<Pipeline> {
    let mut builder = Builder { values, scale, report };
    let beat = builder.beat(&raw.beat);
    let expiry = builder.expiry(&raw.expiry);
    let checker = raw.checker.given().and_then(|checker| builder.checker(checker));
    let recovery = raw.recovery.value().and_then(|recovery| builder.recovery(recovery));
    let subject = match raw.subject.value() {
        Some(RawSubject::Fleet) => Subject::Fleet,
        Some(RawSubject::Holder) | None => Subject::Holder,
    };
    Some(Pipeline { beat: beat?, expiry: expiry?, checker: checker?, recovery: recovery?, subject })
}

/// The names of all parameters that the pipeline's formulas use.
pub(super) fn parameters_used(raw: &raw::Pipeline) -> BTreeSet<String> {
    formulas(raw).into_iter().flat_map(Expression::parameters).map(str::to_owned).collect()
}

struct Builder<'v, 'r, 's> {
    values: &'v Values,
    /// Of every duration: one where the pipeline is to be in model time.
    scale: Scale,
    report: &'r mut Report<'s>,
}

impl Builder<'_, '_, '_> {
    fn duration(&mut self, expression: &Placed<Expression>) -> Option<Span> {
        expression.span(self.values, self.report).map(|model| self.scale.to_wall(model))
    }

    /// Zero unless given.
    fn span(&mut self, field: &Field<Expression>) -> Option<Span> {
        match field {
            Field::Absent => Some(Span::ZERO),
            Field::Given(expression) => self.duration(expression),
            Field::Bad => None,
        }
    }

    fn positive(&mut self, expression: &Placed<Expression>, what: &str) -> Option<Span> {
        let span = self.duration(expression)?;
        if span.is_zero() {
            self.report
                .add(Code::OutOfRange, expression.place, format!("{what} is zero"))
                .hint("it must be longer than that");
            return None;
        }
        Some(span)
    }

    fn interval(&mut self, pair: &raw::Pair) -> Option<Interval> {
        let min = self.duration(&pair.min);
        let (min, max) = (min?, self.duration(&pair.max)?);
        if min > max {
            self.report
                .add(Code::EmptyRange, pair.min.place, format!("{min} is more than {max}"))
                .hint("the smaller one stands first");
            return None;
        }
        Some(Interval::new(min, max))
    }

    fn count(&mut self, field: &Field<Expression>) -> Option<Option<u32>> {
        match field {
            Field::Absent => Some(None),
            Field::Given(given) => given.whole(COUNT_MAX, self.values, self.report).map(Some),
            Field::Bad => None,
        }
    }

    fn one_of(&mut self, place: Place, hint: &str) {
        self.report.add(Code::OneOf, place, "this needs exactly one kind").hint(hint);
    }

    fn beat(&mut self, field: &Field<raw::Beat>) -> Option<Beat> {
        let raw = match field {
            Field::Absent => return Some(Beat::with(Rhythm::Never)),
            Field::Given(raw) => raw,
            Field::Bad => return None,
        };
        let beat = &raw.value;
        let rhythm = match (beat.interval.given(), beat.wakes.given(), beat.renew.given()) {
            (Some(interval), None, None) => {
                self.positive(interval, "the time between two beats").map(Rhythm::Every)
            }
            (None, Some(wakes), None) => {
                let within = self.interval(&wakes.value)?;
                self.positive(&wakes.value.max, "the time between two beats")?;
                Some(Rhythm::Wakes(within))
            }
            (None, None, Some(renew)) => {
                let look = self.positive(renew.value.look.given()?, "the time between two looks");
                let below = self.span(&renew.value.below);
                Some(Rhythm::Renew { look: look?, below: below? })
            }
            _ => {
                self.one_of(raw.place, "one of `interval`, `wakes`, `renew`");
                None
            }
        };
        let (buffer, delay) = (self.span(&beat.buffer), self.span(&beat.delay));
        let latency = self.span(&beat.latency);
        Some(Beat { rhythm: rhythm?, buffer: buffer?, delay: delay?, latency: latency? })
    }

    fn expiry(&mut self, field: &Field<raw::Expiry>) -> Option<Expiry> {
        let raw = match field {
            Field::Absent => return Some(Expiry::Never),
            Field::Given(raw) => raw,
            Field::Bad => return None,
        };
        let expiry = &raw.value;
        let age = match expiry.threshold.given() {
            Some(threshold) => Some(Age {
                threshold: self.positive(threshold, "the threshold")?,
                stamp: expiry.stamp_clock.value().copied().unwrap_or(Clock::Worker),
                read: expiry.read_clock.value().copied().unwrap_or(Clock::Checker),
            }),
            None => None,
        };
        let ttl = match expiry.ttl.given() {
            Some(ttl) => Some(self.positive(ttl, "the TTL")?),
            None => None,
        };
        match (ttl, age, expiry.session.given()) {
            (Some(ttl), None, None) => Some(Expiry::Ttl(ttl)),
            (None, Some(age), None) => Some(Expiry::Age(age)),
            (Some(ttl), Some(age), None) => Some(Expiry::Both { ttl, age }),
            (None, None, Some(session)) => self.interval(&session.value).map(Expiry::Session),
            _ => {
                self.one_of(raw.place, "`session`, or at least one of `ttl` and `threshold`");
                None
            }
        }
    }

    fn checker(&mut self, checker: &Placed<raw::Checker>) -> Option<Checker> {
        let raw::WordOr::Kind(kind) = &checker.value.0 else {
            return Some(Checker::Nobody);
        };
        match kind {
            raw::CheckerKind::OnDemand(asked) => {
                let asked = &asked.value;
                let (every, backoff) = (self.span(&asked.every), self.span(&asked.backoff));
                let (wait, retries) = (self.span(&asked.ready_wait), self.count(&asked.retries));
                Some(Checker::OnDemand(Asked {
                    every: every?,
                    retries: retries?.unwrap_or(0),
                    backoff: backoff?,
                    ready_wait: wait?,
                }))
            }
            raw::CheckerKind::Sweep(sweep) => self.sweep(&sweep.value).map(Checker::Sweep),
            raw::CheckerKind::Probabilistic(chance) => {
                let chance = &chance.value;
                let per_call = chance.per_call.given()?.probability(self.values, self.report);
                let every = self.positive(chance.calls_every.given()?, "the time between two calls");
                Some(Checker::Chance { per_call_ppm: per_call?, every: every? })
            }
        }
    }

    fn sweep(&mut self, sweep: &raw::Sweep) -> Option<Sweep> {
        let period = self.positive(sweep.period.given()?, "the sweep's period");
        let guard = match sweep.guard.value() {
            None => Some(Guard::Free),
            Some(raw::Guard::Paced(expiry)) => self.duration(expiry).map(Guard::Paced),
            Some(raw::Guard::Held(expiry)) => self.duration(expiry).map(Guard::Held),
        };
        let gate = match sweep.gated.value() {
            None => Some(Gate::Open),
            Some(raw::Gate::Idle(round)) => self.duration(round).map(Gate::Idle),
            Some(raw::Gate::Leader(ttl)) => self.duration(ttl).map(Gate::Leader),
        };
        let two_phase = sweep.two_phase.value().is_some_and(|Flag(two)| *two);
        Some(Sweep { period: period?, two_phase, guard: guard?, gate: gate? })
    }

    fn recovery(&mut self, recovery: &raw::Recovery) -> Option<Recovery> {
        let requeue = match &recovery.requeue.value()?.0 {
            raw::WordOr::Word(raw::NEVER) => Some(Requeue::Never),
            raw::WordOr::Word(_) => Some(Requeue::After(Interval::exactly(Span::ZERO))),
            raw::WordOr::Kind(raw::Delayed::After(pair)) => self.interval(&pair.value).map(Requeue::After),
        };
        let backoff = match recovery.backoff.value() {
            None => Some(None),
            Some(raw::Backoff::Fixed(wait)) => self.duration(wait).map(|wait| Some(Backoff::Fixed(wait))),
            Some(raw::Backoff::Exponential(base)) => {
                self.duration(base).map(|base| Some(Backoff::Exponential(base)))
            }
        };
        let (attempts, max_stalls) = (self.count(&recovery.attempts), self.count(&recovery.max_stalls));
        let claim_poll = self.span(&recovery.claim_poll);
        Some(Recovery {
            requeue: requeue?,
            claim_poll: claim_poll?,
            attempts: attempts?,
            backoff: backoff?,
            max_stalls: max_stalls?,
        })
    }
}

/// Every formula of the pipeline.
fn formulas(raw: &raw::Pipeline) -> Vec<&Expression> {
    let mut fields: Vec<&Field<Expression>> = Vec::new();
    let mut placed: Vec<&Placed<Expression>> = Vec::new();
    if let Some(beat) = raw.beat.value() {
        fields.extend([&beat.interval, &beat.buffer, &beat.delay, &beat.latency]);
        placed.extend(beat.wakes.value().into_iter().flat_map(raw::Pair::ends));
        fields.extend(beat.renew.value().into_iter().flat_map(|renew| [&renew.look, &renew.below]));
    }
    if let Some(expiry) = raw.expiry.value() {
        fields.extend([&expiry.ttl, &expiry.threshold]);
        placed.extend(expiry.session.value().into_iter().flat_map(raw::Pair::ends));
    }
    match raw.checker.value().map(|checker| &checker.0) {
        Some(raw::WordOr::Kind(raw::CheckerKind::OnDemand(asked))) => {
            let asked = &asked.value;
            fields.extend([&asked.every, &asked.retries, &asked.backoff, &asked.ready_wait]);
        }
        Some(raw::WordOr::Kind(raw::CheckerKind::Sweep(sweep))) => {
            let sweep = &sweep.value;
            fields.push(&sweep.period);
            if let Some(raw::Guard::Paced(time) | raw::Guard::Held(time)) = sweep.guard.value() {
                placed.push(time);
            }
            if let Some(raw::Gate::Idle(time) | raw::Gate::Leader(time)) = sweep.gated.value() {
                placed.push(time);
            }
        }
        Some(raw::WordOr::Kind(raw::CheckerKind::Probabilistic(chance))) => {
            fields.extend([&chance.value.per_call, &chance.value.calls_every]);
        }
        Some(raw::WordOr::Word(_)) | None => {}
    }
    if let Some(recovery) = raw.recovery.value() {
        fields.extend([&recovery.attempts, &recovery.max_stalls, &recovery.claim_poll]);
        if let Some(raw::Backoff::Fixed(wait) | raw::Backoff::Exponential(wait)) = recovery.backoff.value() {
            placed.push(wait);
        }
        if let Some(raw::WordOr::Kind(raw::Delayed::After(pair))) = recovery.requeue.value().map(|r| &r.0) {
            placed.extend(pair.value.ends());
        }
    }
    fields
        .into_iter()
        .filter_map(Field::value)
        .chain(placed.into_iter().map(|placed| &placed.value))
        .collect()
}
