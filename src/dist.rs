//! Distributions of durations, and the portable generator that draws from them.
//!
//! Sampling is bit-identical on every machine: PCG for the bits, integers for the state, and the
//! `libm` crate where a logarithm is needed.

use rand_core::Rng as _;
use rand_pcg::Pcg64Mcg;
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
}

impl Distribution {
    #[must_use]
    pub fn sample(&self, random: &mut Random) -> Span {
        match self {
            Self::Constant(span) => *span,
            Self::Uniform { min, max } => {
                let width = (*max - *min).as_nanos();
                *min + Span::from_nanos(random.below(width.saturating_add(1)))
            }
            Self::Exponential { mean } => {
                let draw = -libm::log(random.unit_open());
                Span::from_nanos((mean.as_nanos() as f64 * draw.min(50.0)) as u64)
            }
        }
    }

    /// The least value that can be drawn.
    #[must_use]
    pub fn min(&self) -> Span {
        match self {
            Self::Constant(span) => *span,
            Self::Uniform { min, .. } => *min,
            Self::Exponential { .. } => Span::ZERO,
        }
    }

    /// The greatest value that can be drawn.
    #[must_use]
    pub fn max(&self) -> Span {
        match self {
            Self::Constant(span) => *span,
            Self::Uniform { max, .. } => *max,
            Self::Exponential { mean } => mean.saturating_mul(50),
        }
    }

    /// The same distribution with every duration mapped by `scale`.
    #[must_use]
    pub fn map(&self, scale: impl Fn(Span) -> Span) -> Self {
        match self {
            Self::Constant(span) => Self::Constant(scale(*span)),
            Self::Uniform { min, max } => Self::Uniform { min: scale(*min), max: scale(*max) },
            Self::Exponential { mean } => Self::Exponential { mean: scale(*mean) },
        }
    }
}

/// A seeded generator. Independent streams of one seed come from `stream`.
#[derive(Debug, Clone)]
pub struct Random(Pcg64Mcg);

impl Random {
    /// The stream named `stream` of `seed`; different names give unrelated sequences.
    #[must_use]
    pub fn stream(seed: u64, stream: &str) -> Self {
        // FNV-1a keeps the name's hash independent of the standard library's version.
        let name = stream.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut random = Self(Pcg64Mcg::new((u128::from(seed) << 64 | u128::from(name)) | 1));
        random.0.next_u64();
        random
    }

    /// Uniform in `0..bound`; zero if `bound` is zero. The bias is below 2⁻⁶⁴ · bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `(0, 1]`.
    pub fn unit_open(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stay_within_the_ends_and_repeat_for_a_seed() {
        let uniform = Distribution::Uniform { min: Span::from_millis(200), max: Span::from_millis(600) };
        let draw = |seed| {
            let mut random = Random::stream(seed, "steps");
            (0..1000).map(|_| uniform.sample(&mut random)).collect::<Vec<_>>()
        };
        let samples = draw(7);
        assert!(samples.iter().all(|s| *s >= uniform.min() && *s <= uniform.max()));
        assert_eq!(samples, draw(7));
        assert_ne!(samples, draw(8));
    }

    #[test]
    fn an_exponential_has_its_mean() {
        let mut random = Random::stream(1, "exp");
        let exponential = Distribution::Exponential { mean: Span::from_millis(20) };
        let total: u64 = (0..20_000).map(|_| exponential.sample(&mut random).as_nanos()).sum();
        let mean_ms = total as f64 / 20_000.0 / 1e6;
        assert!((19.5..20.5).contains(&mean_ms), "{mean_ms}");
    }
}
