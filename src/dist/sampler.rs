//! A distribution made ready for many draws.

use super::{
    Distribution, EXPONENTIAL_CUT, NORMAL_CUT, PARETO_CUT, Random, Recorded, nanos, ziggurat::exponential,
    ziggurat::normal,
};
use crate::time::Span;

/// A [`Distribution`] with its constants computed. Draws exactly what the distribution draws.
#[derive(Debug, Clone)]
pub struct Sampler(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Constant(Span),
    Uniform { min: Span, count: u64 },
    Exponential { mean_ns: f64 },
    Normal { mean_ns: f64, deviation_ns: f64 },
    Lognormal { median_ns: f64, log_deviation: f64 },
    Pareto { min_ns: f64, shape: f64, exponent_max: f64 },
    Empirical(Recorded),
}

/// A mean of zero or more leaves every second draw at least: a hundred in a row happen to nobody.
const REDRAWS_MAX: u32 = 100;

impl Sampler {
    pub(super) fn new(distribution: &Distribution) -> Self {
        Self(match distribution {
            Distribution::Constant(span) => Kind::Constant(*span),
            Distribution::Uniform { min, max } => {
                Kind::Uniform { min: *min, count: (*max - *min).as_nanos().saturating_add(1) }
            }
            Distribution::Exponential { mean } => Kind::Exponential { mean_ns: mean.as_nanos() as f64 },
            Distribution::Normal { mean, deviation } => {
                Kind::Normal { mean_ns: mean.as_nanos() as f64, deviation_ns: deviation.as_nanos() as f64 }
            }
            Distribution::Lognormal { median, .. } => Kind::Lognormal {
                median_ns: median.as_nanos() as f64,
                log_deviation: distribution.log_deviation(),
            },
            Distribution::Pareto { min, shape } => Kind::Pareto {
                min_ns: min.as_nanos() as f64,
                shape: shape.as_f64(),
                exponent_max: libm::log(PARETO_CUT),
            },
            Distribution::Empirical(recorded) => Kind::Empirical(recorded.clone()),
        })
    }

    #[must_use]
    #[inline]
    pub fn sample(&self, random: &mut Random) -> Span {
        match &self.0 {
            Kind::Constant(span) => *span,
            Kind::Uniform { min, count } => *min + Span::from_nanos(random.below(*count)),
            Kind::Exponential { mean_ns } => nanos(mean_ns * exponential(random, EXPONENTIAL_CUT)),
            Kind::Normal { mean_ns, deviation_ns } => {
                for _ in 0..REDRAWS_MAX {
                    let drawn = mean_ns + deviation_ns * normal(random, NORMAL_CUT);
                    if drawn >= 0.0 {
                        return nanos(drawn);
                    }
                }
                nanos(*mean_ns)
            }
            Kind::Lognormal { median_ns, log_deviation } => {
                nanos(median_ns * libm::exp(log_deviation * normal(random, NORMAL_CUT)))
            }
            // The logarithm of a Pareto variable over its minimum is exponential with mean 1/shape.
            Kind::Pareto { min_ns, shape, exponent_max } => {
                let exponent = exponential(random, EXPONENTIAL_CUT) / shape;
                nanos(min_ns * if exponent < *exponent_max { libm::exp(exponent) } else { PARETO_CUT })
            }
            Kind::Empirical(recorded) => recorded.sample(random),
        }
    }
}
