//! Quality of service of failure detectors: how fast, and how often wrong.
//!
//! Source, unless another is named: W. Chen, S. Toueg, M. K. Aguilera, "On the Quality of Service of
//! Failure Detectors", IEEE Transactions on Computers 51(5), 2002, here *Chen*. Metrics (section 2): the
//! detection time T_D, from a crash to the suspicion that stays; and while the worker runs, the mistake
//! recurrence time T_MR, from one mistake's start to the next one's, the mistake duration T_M, and the
//! query accuracy P_A, the share of time in which the worker is trusted. λ_M = 1/E(T_MR) is the rate of
//! mistakes, and E(T_M) = (1 − P_A)/λ_M.
//!
//! All closed forms are exact under [`INDEPENDENCE`], and only there.
//!
//! - [`NfdS`]: freshness points, Chen's detector with synchronised clocks;
//! - [`ResetOnArrival`]: each arrival restarts a timer: a key's TTL;
//! - [`phi`]: accrual detectors, as in Akka and in Cassandra;
//! - [`configure`]: the interval and shift that a requirement needs.

pub mod configure;
mod integrate;
mod nfds;
pub mod phi;
mod reset;
#[cfg(test)]
mod tests;

pub use nfds::NfdS;
pub use reset::ResetOnArrival;

use crate::dist::Distribution;
use crate::time::Span;

/// What every closed form here takes for granted. Stands wherever one is printed.
pub const INDEPENDENCE: &str = "beats are lost and delayed independently of each other; a pause or an \
    outage delays several together, so there the product form does not hold: simulate it";

/// A stream of beats on its way to a detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Beats {
    /// η: between two beats. Above zero.
    pub interval: Span,
    /// p_L: how many of a million beats are lost; at most 1,000,000.
    pub loss_ppm: u32,
    /// D: how long a beat that is not lost takes.
    pub delay: Distribution,
}

/// What a detector gives, in the long run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// T_D is never longer.
    pub detection_max: Span,
    /// E(T_MR) in seconds: from a mistake to the next. Infinite if there is none.
    pub recurrence_s: f64,
    /// E(T_M) in seconds. Zero if there is no mistake; infinite if the worker is never trusted.
    pub duration_s: f64,
    /// λ_M, mistakes per second.
    pub rate_per_s: f64,
    /// P_A, from 0 to 1.
    pub query_accuracy: f64,
    /// 1 − P_A, without the cancellation.
    pub query_inaccuracy: f64,
}

impl Beats {
    /// # Panics
    /// If `interval` is zero, or `loss_ppm` more than a million.
    #[must_use]
    pub fn new(interval: Span, loss_ppm: u32, delay: Distribution) -> Self {
        assert!(!interval.is_zero(), "beats have an interval");
        assert!(loss_ppm <= 1_000_000, "no more than all beats are lost");
        Self { interval, loss_ppm, delay }
    }

    /// p_L, from 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        f64::from(self.loss_ppm) / 1e6
    }

    /// 1 − p_L.
    #[must_use]
    pub fn arriving(&self) -> f64 {
        f64::from(1_000_000 - self.loss_ppm) / 1e6
    }

    /// η in nanoseconds.
    fn interval_ns(&self) -> f64 {
        self.interval.as_nanos() as f64
    }
}

impl Quality {
    /// From λ_M in mistakes per second, and 1 − P_A. A rate too small for an `f64` counts as none.
    fn new(detection_max: Span, rate_per_s: f64, inaccuracy: f64) -> Self {
        let is_silent = rate_per_s < f64::MIN_POSITIVE;
        Self {
            detection_max,
            recurrence_s: if is_silent { f64::INFINITY } else { 1.0 / rate_per_s },
            duration_s: match is_silent {
                false => inaccuracy / rate_per_s,
                true if inaccuracy >= 0.5 => f64::INFINITY,
                true => 0.0,
            },
            rate_per_s: if is_silent { 0.0 } else { rate_per_s },
            query_accuracy: 1.0 - inaccuracy,
            query_inaccuracy: inaccuracy,
        }
    }
}
