//! φ-accrual: a suspicion that grows with the silence, and a threshold on it.
//!
//! Source: N. Hayashibara, X. Défago, R. Yared, T. Katayama, "The φ Accrual Failure Detector", SRDS
//! 2004: φ(t) = −log₁₀ P(the next beat comes later than t after the last), from the intervals between
//! arrivals seen so far.
//!
//! φ grows with t, so that it reaches a threshold a fixed time after an arrival, once the estimates are
//! fixed: then φ-accrual is [`super::ResetOnArrival`] with that time as T, and its quality follows in
//! closed form. What the estimates' own wandering adds is only simulated (`sim::detectors`).

use crate::time::Span;

/// How φ follows from the silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Akka and Pekko: intervals are normal; a logistic approximation of its tail.
    Normal,
    /// Cassandra: intervals are exponential.
    Exponential,
}

/// Akka's φ: `y = (t − μ)/σ`, `e = exp(−y·(1.5976 + 0.070566·y²))`, `φ = −log₁₀(e/(1 + e))`.
///
/// (Akka writes `−log₁₀(1 − 1/(1 + e))` up to μ, which is the same number.) `deviation` is above zero.
/// Zero or more; infinite where e is too small for an `f64`.
#[must_use]
pub fn normal(silence: Span, mean: Span, deviation: Span) -> f64 {
    let score = (silence.as_secs_f64() - mean.as_secs_f64()) / deviation.as_secs_f64();
    // −log₁₀(e/(1+e)) = log₁₀(1 + 1/e), and 1/e does not vanish.
    libm::log1p(libm::exp(logit(score))) / std::f64::consts::LN_10
}

/// Cassandra's φ: `(t / mean) / ln 10`, the exponential's −log₁₀ P(D > t). `mean` is above zero.
#[must_use]
pub fn exponential(silence: Span, mean: Span) -> f64 {
    silence.as_secs_f64() / mean.as_secs_f64() / std::f64::consts::LN_10
}

/// After how long a silence Akka's φ reaches `threshold` (above zero): `μ + y·σ`, not below zero.
#[must_use]
pub fn normal_reach(threshold: f64, mean: Span, deviation: Span) -> Span {
    let reach_s = mean.as_secs_f64() + normal_score(threshold) * deviation.as_secs_f64();
    Span::from_nanos((reach_s * 1e9).round() as u64)
}

/// After how long a silence Cassandra's φ reaches `threshold`: `threshold · ln 10 · mean`.
#[must_use]
pub fn exponential_reach(threshold: f64, mean: Span) -> Span {
    let reach_s = threshold * std::f64::consts::LN_10 * mean.as_secs_f64();
    Span::from_nanos((reach_s * 1e9).round() as u64)
}

/// The y at which Akka's φ is `threshold` (above zero): the root of `a·y³ + b·y = L`, with
/// `L = ln(10^φ − 1)`, by `y = 2·√(b/3a) · sinh(asinh((3L/2b)·√(3a/b)) / 3)`: with a and b above zero
/// there is only this one.
#[must_use]
pub fn normal_score(threshold: f64) -> f64 {
    // ln(10^φ − 1) = φ·ln 10 + ln(1 − 10^−φ), without an overflow.
    let exponent = threshold * std::f64::consts::LN_10;
    let logit = exponent + libm::log1p(-libm::exp(-exponent));
    let width = libm::sqrt(LINEAR / (3.0 * CUBIC));
    2.0 * width * libm::sinh(libm::asinh(3.0 * logit / (2.0 * LINEAR * width)) / 3.0)
}

const LINEAR: f64 = 1.5976;
const CUBIC: f64 = 0.070_566;

/// −ln e, in Akka's formula.
fn logit(score: f64) -> f64 {
    score * (LINEAR + CUBIC * score * score)
}

/// A φ-accrual detector's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accrual {
    pub form: Form,
    /// φ from which the worker is suspected. Above zero.
    pub threshold: f64,
    /// How many intervals the estimates remember. At least one.
    pub window: usize,
    /// The deviation is taken to be no less. Only the normal form uses it.
    pub min_deviation: Span,
    /// Added to the mean. Only the normal form uses it.
    pub acceptable_pause: Span,
    /// The interval that is taken for granted before the first one is seen.
    pub first_estimate: Span,
    /// A longer interval is not remembered; none is too long if it is `None`.
    pub longest: Option<Span>,
    /// An interval that ended a suspicion is not remembered.
    pub forgets_mistakes: bool,
}

impl Accrual {
    /// Akka's and Pekko's defaults for cluster members (`reference.conf`): threshold 8, 1,000 samples,
    /// deviation at least 100 ms, pause 3 s. Remote death watch has a threshold of 10, 200 samples and
    /// a pause of 10 s.
    #[must_use]
    pub fn akka() -> Self {
        Self {
            form: Form::Normal,
            threshold: 8.0,
            window: 1_000,
            min_deviation: Span::from_millis(100),
            acceptable_pause: Span::from_secs(3),
            first_estimate: Span::from_secs(1),
            longest: None,
            forgets_mistakes: true,
        }
    }

    /// Cassandra's defaults (`FailureDetector.java`): threshold 8, 1,000 samples, the first taken to be
    /// 2 s, and none above 2 s remembered. Gossip beats every second.
    #[must_use]
    pub fn cassandra() -> Self {
        Self {
            form: Form::Exponential,
            threshold: 8.0,
            window: 1_000,
            min_deviation: Span::ZERO,
            acceptable_pause: Span::ZERO,
            first_estimate: Span::from_secs(2),
            longest: Some(Span::from_secs(2)),
            forgets_mistakes: false,
        }
    }
}

/// The estimates of a φ-accrual detector: integers, so that a simulation is the same everywhere.
#[derive(Debug, Clone)]
pub struct Estimates {
    settings: Accrual,
    /// y, or φ·ln 10: how many deviations, or means. In units of 2⁻³², below zero for small thresholds.
    factor: i128,
    intervals: Vec<u64>,
    /// The oldest, once the window is full.
    next: usize,
    sum_ns: u128,
    sum_ns2: u128,
}

impl Estimates {
    /// # Panics
    /// If the window is empty or the threshold not above zero.
    #[must_use]
    pub fn new(settings: Accrual) -> Self {
        assert!(settings.window > 0, "a window holds an interval");
        assert!(settings.threshold > 0.0, "a threshold is above zero");
        let factor = match settings.form {
            Form::Normal => normal_score(settings.threshold),
            Form::Exponential => settings.threshold * std::f64::consts::LN_10,
        };
        let mut estimates = Self {
            settings,
            factor: (factor * ONE as f64).round() as i128,
            intervals: Vec::with_capacity(settings.window),
            next: 0,
            sum_ns: 0,
            sum_ns2: 0,
        };
        let first_ns = settings.first_estimate.as_nanos();
        match settings.form {
            // As Akka does it: two intervals whose mean is the estimate, and whose deviation a quarter.
            Form::Normal => {
                estimates.push(first_ns - first_ns / 4);
                estimates.push(first_ns + first_ns / 4);
            }
            Form::Exponential => estimates.push(first_ns),
        }
        estimates
    }

    /// An interval between two arrivals, and whether it ended a suspicion.
    pub fn record(&mut self, interval: Span, ended_a_suspicion: bool) {
        let is_too_long = self.settings.longest.is_some_and(|longest| interval > longest);
        let is_forgotten = ended_a_suspicion && self.settings.forgets_mistakes;
        if !is_too_long && !is_forgotten {
            self.push(interval.as_nanos());
        }
    }

    /// After how long a silence φ reaches the threshold, by the estimates as they are.
    #[must_use]
    pub fn reach(&self) -> Span {
        let count = self.intervals.len() as u128;
        let mean = (self.sum_ns / count) as i128;
        let reach = match self.settings.form {
            Form::Exponential => (self.factor * mean) >> 32,
            Form::Normal => {
                let pause = i128::from(self.settings.acceptable_pause.as_nanos());
                mean + pause + ((self.factor * self.deviation_ns() as i128) >> 32)
            }
        };
        Span::from_nanos(u64::try_from(reach.max(0)).unwrap_or(u64::MAX))
    }

    /// `√(E(X²) − E(X)²)`, or the least that is allowed.
    fn deviation_ns(&self) -> u128 {
        let count = self.intervals.len() as u128;
        // Numerator over count², so that nothing is lost before the root.
        let numerator = (self.sum_ns2 * count).saturating_sub(self.sum_ns * self.sum_ns);
        (numerator.isqrt() / count).max(u128::from(self.settings.min_deviation.as_nanos()))
    }

    fn push(&mut self, nanos: u64) {
        if self.intervals.len() < self.settings.window {
            self.intervals.push(nanos);
        } else {
            let oldest = u128::from(std::mem::replace(&mut self.intervals[self.next], nanos));
            self.next = (self.next + 1) % self.settings.window;
            self.sum_ns -= oldest;
            self.sum_ns2 -= oldest * oldest;
        }
        self.sum_ns += u128::from(nanos);
        self.sum_ns2 += u128::from(nanos) * u128::from(nanos);
    }
}

const ONE: u64 = 1 << 32;
