//! Closed-form bounds of a [`Pipeline`]: what must hold on every run, from the settings alone.
//!
//! Notation: h the longest time between two beats, g = h + buffer + delay + l the same with all that
//! may make one late, E the effective expiry, S the sweep's period, G the guard's expiry, r retries
//! with b before each, w the lateness that a fault adds, L the last beat before the crash c. A crash
//! comes at any phase, so `c − g − w ≤ L ≤ c`; everything follows from that.

use serde::{Deserialize, Serialize};

use crate::time::{Interval, Span};
use crate::timing::quantity::Quantity;
use crate::timing::{Checker, Clock, Expiry, Gate, Guard, Pipeline, Requeue, Rhythm, Sweep};

/// How long it takes until a crash is suspected for good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detection {
    /// Nobody looks, or there is nothing to see.
    Never,
    Within(Interval),
    /// No upper bound. Mean and p99 are of a crash right after a beat, the worst phase.
    Chance {
        least: Span,
        mean: Span,
        p99: Span,
    },
}

/// What stands between a job's requeue and its being done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// What is left of the job itself.
    pub rest: Interval,
    /// The longest job of the workload.
    pub longest_job: Span,
    /// Other jobs that may be served first.
    pub ahead: u64,
    /// Jobs that the living workers work on at a time.
    pub slots: u64,
}

/// The stages of a recovery, each with its own bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryBounds {
    pub detection: Interval,
    pub requeue: Interval,
    pub claim: Interval,
    pub rest: Interval,
}

impl Detection {
    /// `None` where there is no upper bound.
    #[must_use]
    pub const fn interval(&self) -> Option<Interval> {
        match self {
            Self::Within(interval) => Some(*interval),
            Self::Never | Self::Chance { .. } => None,
        }
    }

    /// No detection comes before this; `None`: none comes at all.
    #[must_use]
    pub const fn least(&self) -> Option<Span> {
        match self {
            Self::Never => None,
            Self::Within(interval) => Some(interval.min()),
            Self::Chance { least, .. } => Some(*least),
        }
    }

    /// `None` where there is no upper bound.
    #[must_use]
    pub fn most(&self) -> Option<Span> {
        self.interval().map(Interval::max)
    }
}

impl RecoveryBounds {
    #[must_use]
    pub fn total(&self) -> Interval {
        self.detection + self.requeue + self.claim + self.rest
    }
}

impl Pipeline {
    /// Detection time: from a crash at any phase to the suspicion that stays, whoever else dies with
    /// the victim. [`Ends`] has the derivation.
    #[must_use]
    pub fn detection(&self, lateness: Span) -> Detection {
        self.detected(lateness, true)
    }

    /// [`Self::detection`] where the victim is known not to be the sweeper.
    #[must_use]
    pub fn detection_while_sweeper_lives(&self, lateness: Span) -> Detection {
        self.detected(lateness, false)
    }

    fn detected(&self, lateness: Span, sweeper_dies: bool) -> Detection {
        let Some(ends) = self.detection_ends::<Span>(lateness) else {
            return Detection::Never;
        };
        if let Checker::Chance { per_call_ppm, every } = self.checker {
            return chance(ends.least, ends.valid_until, per_call_ppm, every);
        }
        let most = if sweeper_dies { ends.most } else { ends.steady };
        Detection::Within(Interval::new(ends.least, most.max(ends.least)))
    }

    /// The worst case from a crash to the job being claimable again, while the sweeper lives; `None`
    /// where it has no bound.
    #[must_use]
    pub fn worst_case(&self) -> Option<Span> {
        let Requeue::After(delay) = self.recovery.requeue else { return None };
        Some(self.detection_while_sweeper_lives(Span::ZERO).most()? + delay.max())
    }

    /// Recovery = detection + requeue + claim + rest of the job; `None` if a job is never requeued, or
    /// detection has no bound.
    ///
    /// Claim: a free worker asks within the claim poll. If there is none, all `slots` are at work on
    /// the jobs ahead, whose work is at most `ahead · longest`, so a slot is free within
    /// `ahead · longest / slots`.
    ///
    /// How tight: with nothing ahead `tests/bounds` reaches both ends within 1 %. With jobs ahead the
    /// upper end is reached only if all of them are served first and each takes the longest: it is loose
    /// by the work of those that come after the job, for the order in which a store gives jobs out, and
    /// what is left of each, are not parameters of the pipeline.
    #[must_use]
    pub fn recovery(&self, work: &Work) -> Option<RecoveryBounds> {
        let Requeue::After(requeue) = self.recovery.requeue else { return None };
        let backlog = if work.ahead < work.slots {
            Span::ZERO
        } else {
            let nanos = work.longest_job.saturating_mul(work.ahead).as_nanos() / work.slots.max(1);
            Span::from_nanos(nanos)
        };
        Some(RecoveryBounds {
            detection: self.detection(Span::ZERO).interval()?,
            requeue,
            claim: Interval::new(Span::ZERO, self.recovery.claim_poll + backlog),
            rest: work.rest,
        })
    }

    /// `None` where nothing is ever detected.
    pub(super) fn detection_ends<Q: Quantity>(&self, lateness: Span) -> Option<Ends<Q>> {
        if self.expiry == Expiry::Never {
            return None;
        }
        let valid = self.validity::<Q>(lateness);
        match &self.checker {
            Checker::Nobody => None,
            Checker::OnDemand(asked) => {
                let retries = Q::of("r·b", asked.retry_time());
                let most = valid.until.clone().plus(Q::of("S", asked.every)).plus(retries.clone());
                let least = valid.at_least(retries);
                Some(Ends { least, steady: most.clone(), most, valid_until: valid.until })
            }
            Checker::Chance { .. } => {
                let until = valid.until.clone();
                let least = valid.at_least(Q::zero());
                Some(Ends { least, steady: until.clone(), most: until.clone(), valid_until: until })
            }
            Checker::Sweep(sweep) => Some(self.swept(valid, sweep)),
        }
    }

    /// See [`Ends`].
    fn swept<Q: Quantity>(&self, valid: Validity<Q>, sweep: &Sweep) -> Ends<Q> {
        let rhythm = SweepRhythm::<Q>::of(sweep);
        let until = valid.until.clone();
        let marked = self.beat.latency;
        // The first of two sweeps must come when no beat can remove its mark any more.
        let first = |gap: Q| if sweep.two_phase { gap.plus(Q::of("l", marked)) } else { Q::zero() };
        let steady = until.clone().or_later(first(rhythm.steady.clone())).plus(rhythm.steady.clone());
        let most = match (&rhythm.failover, rhythm.races) {
            (None, _) => steady.clone(),
            (Some(gap), true) => until.clone().or_later(first(rhythm.steady.clone())).plus(gap.clone()),
            (Some(gap), false) if sweep.two_phase => {
                let first = first(rhythm.steady.clone()).or_later(gap.clone());
                until.clone().or_later(first).plus(rhythm.steady.clone())
            }
            (Some(gap), false) => steady.clone().or_later(gap.clone()),
        };
        let least = if sweep.two_phase && self.beats() {
            let (expiry, apart) = (valid.expiry.clone(), rhythm.apart);
            Validity { expiry: expiry.or_later(apart), ..valid.clone() }.at_least(Q::zero())
        } else {
            valid.at_least(Q::zero())
        };
        Ends { least, steady, most, valid_until: until }
    }

    /// Where the last beat's validity ends, counted from the crash.
    fn validity<Q: Quantity>(&self, lateness: Span) -> Validity<Q> {
        let (expiry, latency) = (Q::of("E", self.expiry.effective()), self.beat.latency);
        let arrives = Q::of("l", latency);
        let until = match self.expiry {
            Expiry::Ttl(_) => expiry.clone().plus(arrives),
            Expiry::Age(age) if age.stamp != Clock::Worker => expiry.clone().plus(arrives),
            Expiry::Both { ttl, age } if !latency.is_zero() => {
                let ttl = Q::of("T", ttl).plus(arrives.clone());
                let threshold = Q::of("H", age.threshold);
                let by_store = age.stamp != Clock::Worker;
                ttl.or_sooner(if by_store { threshold.plus(arrives) } else { threshold })
            }
            Expiry::Age(_) | Expiry::Both { .. } | Expiry::Session(_) | Expiry::Never => expiry.clone(),
        };
        let age = match (self.expiry, self.beat.rhythm) {
            (Expiry::Session(end), _) => {
                return Validity { expiry: Q::of("X", end.min()), until, age: Some(Q::zero()) };
            }
            (_, Rhythm::Never) => None,
            _ => Some(self.gap::<Q>().plus(Q::of("w", lateness))),
        };
        Validity { expiry, until, age }
    }

    /// g = h + buffer + delay + l: the longest time from one beat's arrival to the next one's.
    pub(super) fn gap<Q: Quantity>(&self) -> Q {
        Q::of("h", self.interval())
            .plus(Q::of("buffer", self.beat.buffer))
            .plus(Q::of("delay", self.beat.delay))
            .plus(Q::of("l", self.beat.latency))
    }
}

/// Both ends of the detection time, from a crash at any phase to the suspicion that stays.
///
/// Lower end: the beat's validity ends at L + E, and L is at most g + w before the crash, so nothing
/// is seen before `E − g − w`; a negative answer of an on-demand checker comes r·b after its first
/// try. Where nothing beats, the crash may come at any age of the claim: zero. A session ends only
/// after the crash.
///
/// Upper end: L ≤ c, and a beat on its way may still arrive l after the crash. At c + E + l the beat
/// is invalid for certain (without the l where the worker's own stamp ages). An on-demand checker
/// that is asked each S answers `E + l + S + r·b` after the crash; a sweep comes at most S later.
///
/// Two-phase sweeps: one sweep marks the job, and a later one takes it. Both must come at or after L,
/// the second also at or after L + E. While the sweeper lives its sweeps are S apart, so the second
/// comes by `max(E, S) + S`. Paced sweeps are never closer than G, so the lower end is
/// `max(E, G) − g − w`.
///
/// If the sweeper dies with its victim, no other can sweep until B: the guard's expiry G or the
/// leader's TTL L after the crash at most (whichever is longer), and its timer fires within S. The
/// first sweep then comes by B + S, and the next S later: `max(E + S, B + S)` in one phase,
/// `max(E, B + S) + S` in two. Where a paced guard ends exactly when a timer fires (S divides G), a
/// living sweeper may meet the guard just before it is gone and come G + S after the last sweep, at
/// the worst moment: `max(E, S) + S + G`, or `E + S + G` in one phase, which covers the death too. (Two
/// such misses in a row are not covered.)
///
/// How tight: on the whole simulator `tests/bounds` reaches each end within 1 %, with one exception. A
/// sweeper that counts its next sweep from the reply to the last, and waits out what the store rounds
/// its guard up by (the reference queue), never meets its own guard. Then the upper end is
/// `max(E, G + S) + S`: where E > S, lower than this one by `E − S` up to `E = 2·S`, and by S above.
#[derive(Debug, Clone)]
pub(super) struct Ends<Q> {
    pub least: Q,
    /// The upper end while the sweeper lives.
    pub steady: Q,
    /// The upper end if it dies with its victim.
    pub most: Q,
    /// From the crash until no beat is valid any more, at most.
    pub valid_until: Q,
}

/// A beat's validity, from the crash.
#[derive(Clone)]
struct Validity<Q> {
    /// E; of a session its earliest end.
    expiry: Q,
    until: Q,
    /// How old the last beat may be at the crash; `None`: as old as its expiry.
    age: Option<Q>,
}

impl<Q: Quantity> Validity<Q> {
    fn at_least(&self, retries: Q) -> Q {
        match &self.age {
            Some(age) => self.expiry.clone().plus(retries).minus(age.clone()),
            None => Q::zero(),
        }
    }
}

/// How far sweeps are apart.
struct SweepRhythm<Q> {
    /// At least.
    apart: Q,
    /// At most, while the sweeper lives.
    steady: Q,
    /// At most from the crash of the sweeper to the next sweep; `None` if nothing blocks the others.
    failover: Option<Q>,
    /// A living sweeper may meet its own guard.
    races: bool,
}

impl<Q: Quantity> SweepRhythm<Q> {
    /// A gate that opens between jobs adds its round to the period. A paced guard over the period
    /// skips timers: the sweeps are `⌈G/S⌉·S` apart, or G and a round.
    fn of(sweep: &Sweep) -> Self {
        let round = match sweep.gate {
            Gate::Idle(round) => Some(round),
            Gate::Open | Gate::Leader(_) => None,
        };
        let base = |period: Q| period.plus(Q::of("round", round.unwrap_or(Span::ZERO)));
        let period = Q::of("S", sweep.period);
        let nanos = sweep.period.as_nanos().max(1);
        let (steady, races) = match sweep.guard {
            Guard::Paced(guard) if round.is_some() => {
                (base(period.clone().or_later(Q::of("G", guard))), guard.as_nanos() % nanos == 0)
            }
            Guard::Paced(guard) if guard > sweep.period => {
                let skipped = sweep.period.saturating_mul(guard.as_nanos().div_ceil(nanos));
                (Q::of("⌈G/S⌉·S", skipped), guard.as_nanos() % nanos == 0)
            }
            Guard::Paced(guard) => (period.clone(), guard == sweep.period),
            Guard::Free | Guard::Held(_) => (base(period.clone()), false),
        };
        let guard = match sweep.guard {
            Guard::Paced(guard) | Guard::Held(guard) => Some(Q::of("G", guard)),
            Guard::Free => None,
        };
        let leader = match sweep.gate {
            Gate::Leader(ttl) => Some(Q::of("L", ttl)),
            Gate::Open | Gate::Idle(_) => None,
        };
        let apart = match sweep.guard {
            Guard::Paced(guard) => Q::of("G", guard),
            Guard::Free | Guard::Held(_) => Q::zero(),
        };
        let blocked = match (guard, leader) {
            (Some(guard), Some(leader)) => Some(guard.or_later(leader)),
            (one, other) => one.or(other),
        };
        Self { apart, steady, failover: blocked.map(|blocked| blocked.plus(base(period))), races }
    }
}

/// Calls come once in `every`; the first after the validity's end at most `every` later. The n-th is
/// the first that sweeps with probability p·(1−p)^(n−1): mean 1/p calls, and n calls suffice with
/// probability `1 − (1−p)^n`, so the p99 is at `n = ⌈ln 0.01 / ln(1−p)⌉`.
fn chance(least: Span, until: Span, per_call_ppm: u32, every: Span) -> Detection {
    let ppm = u64::from(per_call_ppm.clamp(1, 1_000_000));
    let mean = u128::from(every.as_nanos()) * 1_000_000 / u128::from(ppm);
    let mean = Span::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX));
    let calls = if ppm == 1_000_000 {
        1
    } else {
        let p = ppm as f64 / 1e6;
        libm::ceil(libm::log(0.01) / libm::log1p(-p)) as u64
    };
    Detection::Chance { least, mean: until + mean, p99: until + every.saturating_mul(calls) }
}
