//! Moments and probabilities of a distribution in closed form, over nanoseconds as `f64`.

use std::f64::consts::FRAC_1_SQRT_2;

use super::{Distribution, NORMAL_CUT, PARETO_CUT};
use crate::time::Span;

impl Distribution {
    /// E(D), in nanoseconds.
    ///
    /// Normal, cut at zero: `μ + σ·h`, h the hazard `φ(μ/σ) / Φ(μ/σ)` (Johnson, Kotz, Balakrishnan,
    /// Continuous Univariate Distributions 1, 13.10). Lognormal: `median · exp(σ²/2)`. Pareto, cut at
    /// r times its minimum m: `m + ∫ₘʳᵐ (m/x)^α dx = m · (1 + (r^(1−α) − 1) / (1 − α))`.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        match self {
            Self::Constant(span) => ns(*span),
            Self::Uniform { min, max } => f64::midpoint(ns(*min), ns(*max)),
            Self::Exponential { mean } => ns(*mean),
            Self::Normal { mean, deviation } => ns(*mean) + ns(*deviation) * hazard(*mean, *deviation),
            Self::Lognormal { median, .. } => {
                let deviation = self.log_deviation();
                ns(*median) * libm::exp(deviation * deviation / 2.0)
            }
            Self::Pareto { min, shape } => ns(*min) * (1.0 + power_integral(shape.as_f64())),
            Self::Empirical(recorded) => {
                let sum: f64 = recorded.pieces().map(|(low, high)| f64::midpoint(low, high)).sum();
                sum / recorded.pieces().count() as f64
            }
        }
    }

    /// V(D), in square nanoseconds.
    ///
    /// Normal, cut at zero: `σ²·(1 − (μ/σ)·h − h²)`. Lognormal: `(exp(σ²) − 1) · E(D)²`. Pareto, cut:
    /// `E(D²) = m² + ∫ₘʳᵐ 2x·(m/x)^α dx = m² · (1 + 2·(r^(2−α) − 1) / (2 − α))`. Empirical: each
    /// segment is uniform, with `E(D²) = (a² + ab + b²)/3`.
    #[must_use]
    pub fn variance_ns2(&self) -> f64 {
        match self {
            Self::Constant(_) => 0.0,
            Self::Uniform { min, max } => square(ns(*max) - ns(*min)) / 12.0,
            Self::Exponential { mean } => square(ns(*mean)),
            Self::Normal { deviation, .. } if deviation.is_zero() => 0.0,
            Self::Normal { mean, deviation } => {
                let hazard = hazard(*mean, *deviation);
                square(ns(*deviation)) * (1.0 - hazard * (ns(*mean) / ns(*deviation) + hazard))
            }
            Self::Lognormal { .. } => libm::expm1(square(self.log_deviation())) * square(self.mean_ns()),
            Self::Pareto { min, shape } => {
                let second = 1.0 + 2.0 * power_integral(shape.as_f64() - 1.0);
                square(ns(*min)) * second - square(self.mean_ns())
            }
            Self::Empirical(recorded) => {
                let mean = self.mean_ns();
                let of_piece = |(low, high): (f64, f64)| {
                    square(f64::midpoint(low, high) - mean) + square(high - low) / 12.0
                };
                recorded.pieces().map(of_piece).sum::<f64>() / recorded.pieces().count() as f64
            }
        }
    }

    /// P(D < x), `x_ns` in nanoseconds; 1 beyond the greatest value that can be drawn.
    #[must_use]
    pub fn below(&self, x_ns: f64) -> f64 {
        self.up_to(x_ns, false)
    }

    /// P(D ≤ x): differs from [`Distribution::below`] where a single value has a probability.
    #[must_use]
    pub fn at_most(&self, x_ns: f64) -> f64 {
        self.up_to(x_ns, true)
    }

    /// P(D > x), `x_ns` in nanoseconds, without the cancellation of `1 − P(D ≤ x)`; 0 from the greatest
    /// value that can be drawn.
    #[must_use]
    pub fn above(&self, x_ns: f64) -> f64 {
        if x_ns >= ns(self.max()) {
            return 0.0;
        }
        if x_ns < ns(self.min()) {
            return 1.0;
        }
        match self {
            Self::Constant(_) => 0.0,
            Self::Uniform { min, max } => (ns(*max) - x_ns) / (ns(*max) - ns(*min)),
            Self::Exponential { mean } => libm::exp(-x_ns / ns(*mean)),
            Self::Normal { mean, deviation } => {
                let (mean, deviation) = (ns(*mean), ns(*deviation));
                phi((mean - x_ns) / deviation) / phi(mean / deviation)
            }
            Self::Lognormal { .. } => phi(-self.log_score(x_ns)),
            Self::Pareto { min, shape } => libm::pow(ns(*min) / x_ns, shape.as_f64()),
            Self::Empirical(recorded) => 1.0 - recorded.up_to(x_ns, true),
        }
    }

    /// The least x from `from_ns` on with P(D > x) ≤ `share`, in nanoseconds: found by halving.
    #[must_use]
    pub fn exceeded_by(&self, share: f64, from_ns: f64) -> f64 {
        if self.above(from_ns) <= share {
            return from_ns;
        }
        let (mut low, mut high) = (from_ns, ns(self.max()));
        // 64 halvings leave less than a nanosecond of any span.
        for _ in 0..64 {
            let middle = f64::midpoint(low, high);
            if self.above(middle) > share { low = middle } else { high = middle }
        }
        high
    }

    fn up_to(&self, x_ns: f64, inclusive: bool) -> f64 {
        let (min, max) = (ns(self.min()), ns(self.max()));
        if x_ns > max || inclusive && x_ns >= max {
            return 1.0;
        }
        if x_ns < min || !inclusive && x_ns <= min {
            return 0.0;
        }
        match self {
            Self::Constant(_) => 0.0,
            Self::Uniform { .. } => (x_ns - min) / (max - min),
            Self::Exponential { mean } => -libm::expm1(-x_ns / ns(*mean)),
            Self::Normal { mean, deviation } => {
                let (mean, deviation) = (ns(*mean), ns(*deviation));
                (phi((x_ns - mean) / deviation) - phi(-mean / deviation)) / phi(mean / deviation)
            }
            Self::Lognormal { .. } => phi(self.log_score(x_ns)),
            Self::Pareto { shape, .. } => -libm::expm1(shape.as_f64() * libm::log(min / x_ns)),
            Self::Empirical(recorded) => recorded.up_to(x_ns, inclusive),
        }
    }

    /// The density at `x_ns`, per nanosecond, without what single values have (see
    /// [`Distribution::atoms`]).
    #[must_use]
    pub fn density(&self, x_ns: f64) -> f64 {
        let (min, max) = (ns(self.min()), ns(self.max()));
        if min >= max || x_ns < min || x_ns > max {
            return 0.0;
        }
        match self {
            Self::Constant(_) => 0.0,
            Self::Uniform { .. } => 1.0 / (max - min),
            Self::Exponential { mean } => libm::exp(-x_ns / ns(*mean)) / ns(*mean),
            Self::Normal { mean, deviation } => {
                let (mean, deviation) = (ns(*mean), ns(*deviation));
                bell((x_ns - mean) / deviation) / (deviation * phi(mean / deviation))
            }
            Self::Lognormal { .. } => bell(self.log_score(x_ns)) / (x_ns * self.log_deviation()),
            Self::Pareto { shape, .. } => shape.as_f64() * libm::pow(min / x_ns, shape.as_f64()) / x_ns,
            Self::Empirical(recorded) => recorded.density(x_ns),
        }
    }

    /// Single values (nanoseconds) with a probability of their own, and that probability.
    #[must_use]
    pub fn atoms(&self) -> Vec<(f64, f64)> {
        let (min, max) = (ns(self.min()), ns(self.max()));
        if min >= max {
            return vec![(max, 1.0)];
        }
        match self {
            Self::Pareto { shape, .. } => vec![(max, libm::pow(PARETO_CUT, -shape.as_f64()))],
            Self::Empirical(recorded) => {
                let share = 1.0 / recorded.segments() as f64;
                recorded.pieces().filter(|(low, high)| low == high).map(|(at, _)| (at, share)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Points (nanoseconds, sorted) between which the density is smooth and changes by a small factor
    /// only: where an integration has to begin anew. A density's kinks and jumps, and quantiles.
    #[must_use]
    pub fn landmarks_ns(&self) -> Vec<f64> {
        const TIMES: [f64; 9] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 14.0, 22.0, 34.0];
        const DEVIATIONS: [f64; 13] = [-6.5, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.5];
        let (min, max) = (ns(self.min()), ns(self.max()));
        let mut points = vec![min, max];
        match self {
            Self::Constant(_) | Self::Uniform { .. } => {}
            Self::Exponential { mean } => points.extend(TIMES.map(|times| times * ns(*mean))),
            Self::Normal { mean, deviation } => {
                points.extend(DEVIATIONS.map(|score| ns(*mean) + score * ns(*deviation)));
            }
            Self::Lognormal { median, .. } => {
                let deviation = self.log_deviation();
                points.extend(DEVIATIONS.map(|score| ns(*median) * libm::exp(score * deviation)));
            }
            Self::Pareto { min, shape } => {
                points.extend(TIMES.map(|times| ns(*min) * libm::exp(times / shape.as_f64())));
                points.extend((1..20).map(|doublings| ns(*min) * f64::from(1 << doublings)));
            }
            Self::Empirical(recorded) => points.extend(recorded.samples().iter().map(|span| ns(*span))),
        }
        points.retain(|point| (min..=max).contains(point));
        points.sort_unstable_by(f64::total_cmp);
        points.dedup();
        points
    }

    /// How many deviations of its logarithm `x_ns` lies above the median.
    fn log_score(&self, x_ns: f64) -> f64 {
        let Self::Lognormal { median, .. } = self else {
            return 0.0;
        };
        libm::log(x_ns / ns(*median)) / self.log_deviation()
    }
}

fn ns(span: Span) -> f64 {
    span.as_nanos() as f64
}

fn square(x: f64) -> f64 {
    x * x
}

/// `∫₁ʳ x^(−shape) dx`, r the cut of a Pareto.
fn power_integral(shape: f64) -> f64 {
    let logarithm = libm::log(PARETO_CUT);
    let exponent = (1.0 - shape) * logarithm;
    // Towards 1/x the quotient is 0/0, and the logarithm its limit.
    if exponent.abs() < 1e-9 { logarithm } else { libm::expm1(exponent) / (1.0 - shape) }
}

/// φ(μ/σ) / Φ(μ/σ): by how many deviations the cut at zero raises the mean.
fn hazard(mean: Span, deviation: Span) -> f64 {
    if deviation.is_zero() || ns(mean) > 4.0 * NORMAL_CUT * ns(deviation) {
        return 0.0;
    }
    let score = ns(mean) / ns(deviation);
    bell(score) / phi(score)
}

/// The standard normal's density.
fn bell(score: f64) -> f64 {
    const INVERSE_ROOT: f64 = 0.398_942_280_401_432_7;
    INVERSE_ROOT * libm::exp(-0.5 * score * score)
}

/// The standard normal's distribution function.
fn phi(score: f64) -> f64 {
    0.5 * libm::erfc(-score * FRAC_1_SQRT_2)
}
