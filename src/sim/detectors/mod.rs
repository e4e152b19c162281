//! Failure detectors under a stream of beats, in virtual time: what [`crate::timing::qos`] says in
//! closed form, and what no closed form says: pauses that delay several beats together, and the
//! estimates of φ-accrual.
//!
//! The worker never crashes here, so every suspicion is a mistake. State is integers; the figures that
//! come out are `f64`.

mod estimate;
mod stream;
#[cfg(test)]
mod tests;

pub use estimate::{BATCHES, Estimate, Observed, garwood};

use crate::dist::Distribution;
use crate::time::{Instant, Span};
use crate::timing::qos::Beats;
use crate::timing::qos::phi::{Accrual, Estimates};
use estimate::Ledger;
use stream::Stream;

/// A detector and its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Detector {
    /// Chen's NFD-S: beat i, sent at iη, is trusted until (i + 1)·η + δ.
    NfdS { shift: Span },
    /// A timer of T that each arrival restarts: a key's TTL.
    ResetOnArrival { ttl: Span },
    /// A timer that each arrival restarts, as long as the estimates say.
    Accrual(Accrual),
}

/// Stalls of the sender or of its link: a beat that falls due in one leaves at its end, with all the
/// others of that stall, each with a delay of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Pauses {
    /// From the end of one to the start of the next. Not zero always.
    pub gap: Distribution,
    pub lasting: Distribution,
}

/// One simulation: everything that its result depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    pub beats: Beats,
    pub pauses: Option<Pauses>,
    pub detector: Detector,
    /// How many beats are sent. The first 33rd of the time is not counted: the detector settles.
    pub count: u64,
    pub seed: u64,
}

impl Simulation {
    /// # Panics
    /// If `count` beats last longer than virtual time does, 292 years.
    #[must_use]
    pub fn run(&self) -> Observed {
        let interval_ns = self.beats.interval.as_nanos();
        let end_ns = self.count.checked_mul(interval_ns).filter(|end_ns| *end_ns < u64::MAX / 2);
        let end = Instant::from_nanos(end_ns.expect("the beats are sent within 292 years"));
        let mut watch = Watch {
            timer: match &self.detector {
                Detector::NfdS { shift } => Timer::NfdS { interval: self.beats.interval, shift: *shift },
                Detector::ResetOnArrival { ttl } => Timer::ResetOnArrival { ttl: *ttl },
                Detector::Accrual(settings) => {
                    Timer::Accrual { estimates: Box::new(Estimates::new(*settings)), last: None }
                }
            },
            trusted_until: None,
            ledger: Ledger::new(end, self.beats.interval),
        };
        let mut stream = Stream::new(self);
        stream.run(|sequence, at| watch.arrival(sequence, at));
        watch.finish(end)
    }
}

/// How a detector sets its timer.
enum Timer {
    NfdS { interval: Span, shift: Span },
    ResetOnArrival { ttl: Span },
    Accrual { estimates: Box<Estimates>, last: Option<Instant> },
}

/// A detector at work. All three are one rule: an arrival says until when the worker is trusted.
struct Watch {
    timer: Timer,
    /// `None` before the first arrival: suspected, and no mistake.
    trusted_until: Option<Instant>,
    ledger: Ledger,
}

impl Watch {
    /// Arrivals come in the order of time; an arrival at the very end of the trust is in time.
    #[inline]
    fn arrival(&mut self, sequence: u64, at: Instant) {
        let is_suspected = self.trusted_until.is_none_or(|until| until < at);
        let until = match &mut self.timer {
            Timer::NfdS { interval, shift } => {
                let fresh = Instant::ZERO + interval.saturating_mul(sequence + 1) + *shift;
                self.trusted_until.map_or(fresh, |until| until.max(fresh))
            }
            Timer::ResetOnArrival { ttl } => at + *ttl,
            Timer::Accrual { estimates, last } => {
                if let Some(last) = last.replace(at) {
                    estimates.record(at.since(last), is_suspected);
                }
                at + estimates.reach()
            }
        };
        if is_suspected {
            // A beat that is too old ends no suspicion, and does not move its start.
            if until <= at {
                return;
            }
            self.ledger.suspected(self.trusted_until, at);
        }
        self.trusted_until = Some(until);
    }

    fn finish(mut self, end: Instant) -> Observed {
        if self.trusted_until.is_none_or(|until| until < end) {
            self.ledger.suspected(self.trusted_until, end);
        }
        self.ledger.close()
    }
}
