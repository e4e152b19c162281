//! Distributions of durations, and the portable generator that draws from them.
//!
//! Sampling is bit-identical on every machine, in debug and release: PCG for the bits, integers for
//! the state, the four IEEE operations and the `libm` crate where a logarithm is needed, never the
//! platform's mathematics.
//!
//! Closed forms (`mean_ns`, `variance_ns2`, `below`, `above`, `density`) are `f64` over nanoseconds:
//! whole nanoseconds are exact there up to 2⁵³ (104 days). They describe what is drawn, cut included,
//! but for the rounding down to a nanosecond.

mod closed;
mod random;
mod recorded;
mod sampler;
#[cfg(test)]
mod tests;
mod ziggurat;

pub use random::Random;
pub use recorded::Recorded;
pub use sampler::Sampler;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// A distribution of non-negative durations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    Constant(Span),
    /// Both ends included; `min <= max`.
    Uniform {
        min: Span,
        max: Span,
    },
    /// Unbounded above; samples are cut at fifty times the mean.
    Exponential {
        mean: Span,
    },
    /// Normal with this mean and standard deviation before the cut at zero: a negative value is drawn
    /// again, so the mean of what is drawn is higher. Samples are cut at eight deviations to either side.
    Normal {
        mean: Span,
        deviation: Span,
    },
    /// The logarithm is normal. Half of the samples are below `median`, 99 in 100 below `p99`;
    /// `0 < median <= p99`. Samples are cut at eight deviations of the logarithm to either side.
    Lognormal {
        median: Span,
        p99: Span,
    },
    /// P(D > x) = (min / x)^shape: a heavy tail. Samples are cut at a million times `min`, so that mean
    /// and variance exist for every shape.
    Pareto {
        min: Span,
        shape: Shape,
    },
    /// As in a recording: see [`Recorded`].
    Empirical(Recorded),
}

/// A Pareto distribution's shape, kept in thousandths. Above zero and at most 100. The smaller, the
/// heavier the tail; a mean exists without the cut from above 1, a variance from above 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Shape(u32);

impl Shape {
    /// `None` outside of `1..=100_000` thousandths.
    #[must_use]
    pub const fn from_thousandths(thousandths: u32) -> Option<Self> {
        if 1 <= thousandths && thousandths <= 100_000 { Some(Self(thousandths)) } else { None }
    }

    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1e3
    }
}

impl TryFrom<u32> for Shape {
    type Error = &'static str;
    fn try_from(thousandths: u32) -> Result<Self, Self::Error> {
        Self::from_thousandths(thousandths).ok_or("a shape is above 0 and at most 100")
    }
}

impl From<Shape> for u32 {
    fn from(shape: Shape) -> Self {
        shape.0
    }
}

/// How many means an exponential sample is cut at: one in e⁵⁰ is longer.
const EXPONENTIAL_CUT: f64 = 50.0;
/// How many deviations a normal sample is cut at: one in 1.6 · 10¹⁵ is farther out.
const NORMAL_CUT: f64 = 8.0;
/// How many times its minimum a Pareto sample is cut at.
const PARETO_CUT: f64 = 1e6;
/// Φ⁻¹(0.99).
const NORMAL_P99: f64 = 2.326_347_874_040_841;

impl Distribution {
    /// One draw. Where many are drawn, [`Distribution::sampler`] computes the constants once.
    #[must_use]
    pub fn sample(&self, random: &mut Random) -> Span {
        match self {
            Self::Empirical(recorded) => recorded.sample(random),
            other => other.sampler().sample(random),
        }
    }

    /// The distribution with its constants computed, for drawing from it often.
    #[must_use]
    pub fn sampler(&self) -> Sampler {
        Sampler::new(self)
    }

    /// The least value that can be drawn.
    #[must_use]
    pub fn min(&self) -> Span {
        match self {
            Self::Constant(span) => *span,
            Self::Uniform { min, .. } | Self::Pareto { min, .. } => *min,
            Self::Exponential { .. } => Span::ZERO,
            Self::Normal { mean, deviation } => *mean - deviation.saturating_mul(NORMAL_CUT as u64),
            Self::Lognormal { median, .. } => {
                nanos(median.as_nanos() as f64 * libm::exp(-NORMAL_CUT * self.log_deviation()))
            }
            Self::Empirical(recorded) => recorded.min(),
        }
    }

    /// The greatest value that can be drawn.
    #[must_use]
    pub fn max(&self) -> Span {
        match self {
            Self::Constant(span) => *span,
            Self::Uniform { max, .. } => *max,
            Self::Exponential { mean } => mean.saturating_mul(EXPONENTIAL_CUT as u64),
            Self::Normal { mean, deviation } => *mean + deviation.saturating_mul(NORMAL_CUT as u64),
            Self::Lognormal { median, .. } => {
                nanos(median.as_nanos() as f64 * libm::exp(NORMAL_CUT * self.log_deviation()))
            }
            Self::Pareto { min, .. } => min.saturating_mul(PARETO_CUT as u64),
            Self::Empirical(recorded) => recorded.max(),
        }
    }

    /// The same distribution with every duration mapped by `scale`, which must be monotone.
    #[must_use]
    pub fn map(&self, scale: impl Fn(Span) -> Span) -> Self {
        match self {
            Self::Constant(span) => Self::Constant(scale(*span)),
            Self::Uniform { min, max } => Self::Uniform { min: scale(*min), max: scale(*max) },
            Self::Exponential { mean } => Self::Exponential { mean: scale(*mean) },
            Self::Normal { mean, deviation } => {
                Self::Normal { mean: scale(*mean), deviation: scale(*deviation) }
            }
            Self::Lognormal { median, p99 } => Self::Lognormal { median: scale(*median), p99: scale(*p99) },
            Self::Pareto { min, shape } => Self::Pareto { min: scale(*min), shape: *shape },
            Self::Empirical(recorded) => Self::Empirical(recorded.map(scale)),
        }
    }

    /// The mean of what is drawn, rounded down to a nanosecond.
    #[must_use]
    pub fn mean(&self) -> Span {
        nanos(self.mean_ns())
    }

    /// σ of a lognormal's logarithm; zero for every other distribution, and for one without a width.
    fn log_deviation(&self) -> f64 {
        match self {
            Self::Lognormal { median, p99 } if p99 > median && !median.is_zero() => {
                libm::log(p99.as_nanos() as f64 / median.as_nanos() as f64) / NORMAL_P99
            }
            _ => 0.0,
        }
    }
}

/// As a scenario or a question has it.
impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(span) => write!(f, "{{constant: {span}}}"),
            Self::Uniform { min, max } => write!(f, "{{uniform: [{min}, {max}]}}"),
            Self::Exponential { mean } => write!(f, "{{exponential: {mean}}}"),
            Self::Normal { mean, deviation } => {
                write!(f, "{{normal: {{mean: {mean}, deviation: {deviation}}}}}")
            }
            Self::Lognormal { median, p99 } => {
                write!(f, "{{lognormal: {{median: {median}, p99: {p99}}}}}")
            }
            Self::Pareto { min, shape } => {
                write!(f, "{{pareto: {{min: {min}, shape: {}}}}}", shape.as_f64())
            }
            Self::Empirical(recorded) => {
                let samples = recorded.samples().iter().map(Span::to_string);
                write!(f, "{{empirical: [{}]}}", samples.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Rounded down; saturates at the ends of a span.
fn nanos(nanos: f64) -> Span {
    Span::from_nanos(nanos as u64)
}
