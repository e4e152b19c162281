//! Which interval and shift an NFD-S needs, so as to meet a requirement (Chen, sections 4 and 5).
//!
//! Both procedures go for the largest interval, that is the fewest beats. Both rest on
//! [`super::INDEPENDENCE`]: a setting that they give may be wrong as often as you like under pauses.

use crate::dist::Distribution;
use crate::time::Span;

/// What is required of a detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// T_D^U: a crash is seen within it.
    pub detection_max: Span,
    /// T_MR^L: between two mistakes there is at least this, on average.
    pub recurrence_min: Span,
    /// T_M^U: a mistake lasts at most this, on average.
    pub duration_max: Span,
}

/// An NFD-S that meets a requirement, with as few beats as the procedure knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Configuration {
    /// η.
    pub interval: Span,
    /// δ.
    pub shift: Span,
    /// f(η) in seconds: E(T_MR) if the distribution is known, a lower bound of it otherwise.
    pub recurrence_s: f64,
    /// What forbids a larger interval.
    pub limit: Limit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// δ may not be below zero (or, with moments only, not below E(D)).
    Detection,
    /// Mistakes would come more often.
    Recurrence,
    /// Mistakes might last longer.
    Duration,
}

/// Which constraint makes a requirement impossible to meet.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Unmet {
    #[error("every beat is lost: no detector can trust the worker")]
    Loss,
    #[error(
        "a detection within {asked} cannot be had: the delay alone takes {delay}, so that no beat is in time"
    )]
    Detection { asked: Span, delay: Span },
    #[error("a mean mistake of no length at all cannot be had: a mistake lasts until the next beat")]
    Duration,
    #[error(
        "mistakes {asked} apart cannot be had with a detection within {detection}: down to beats every \
         {interval_least}, the best is {best_s:.3e} s"
    )]
    Recurrence { asked: Span, detection: Span, interval_least: Span, best_s: f64 },
}

/// With the delay's distribution known (Chen, section 4).
///
/// `q₀' = (1 − p_L)·P(D < T_D^U)`, `η_max = q₀'·T_M^U`, and the largest `η ≤ η_max` with
/// `f(η) = η / (q₀'·∏_{j=1..⌈T_D^U/η⌉−1} [p_L + (1 − p_L)·P(D > T_D^U − jη)]) ≥ T_MR^L`;
/// `δ = T_D^U − η`.
///
/// # Errors
/// If no interval down to a two-hundredth of `T_D^U` meets it: which constraint is to blame.
pub fn known_distribution(
    requirement: &Requirement,
    loss_ppm: u32,
    delay: &Distribution,
) -> Result<Configuration, Unmet> {
    let detection_ns = requirement.detection_max.as_nanos() as f64;
    let loss = share(loss_ppm)?;
    let q_0 = (1.0 - loss) * delay.below(detection_ns);
    if q_0 == 0.0 {
        return Err(Unmet::Detection { asked: requirement.detection_max, delay: delay.min() });
    }
    let recurrence = |eta_ns: f64, factors: u32| {
        let log_missed =
            |j: u32| libm::log(loss + (1.0 - loss) * delay.above(detection_ns - f64::from(j) * eta_ns));
        libm::log(eta_ns / 1e9 / q_0) - (1..=factors).map(log_missed).sum::<f64>()
    };
    search(requirement, detection_ns, q_0 * ns(requirement.duration_max), &recurrence)
}

/// With nothing known of the delay but its mean and variance (Chen, section 5): by the one-sided
/// inequality `P(D > t) ≤ V / (V + (t − E)²)`, t > E.
///
/// `γ' = (1 − p_L)·(T_D^U − E)² / (V + (T_D^U − E)²)`, `η_max = min(γ'·T_M^U, T_D^U − E)`, and the
/// largest `η ≤ η_max` with
/// `f(η) = η·∏_{j=1..⌈(T_D^U−E)/η⌉−1} [V + (T_D^U − E − jη)²] / [V + p_L·(T_D^U − E − jη)²] ≥ T_MR^L`;
/// `δ = T_D^U − η`. `variance_s2` in square seconds, zero or more.
///
/// # Errors
/// If no interval down to a two-hundredth of `T_D^U − E` meets it: which constraint is to blame.
pub fn moments_only(
    requirement: &Requirement,
    loss_ppm: u32,
    mean: Span,
    variance_s2: f64,
) -> Result<Configuration, Unmet> {
    let loss = share(loss_ppm)?;
    let margin = requirement.detection_max - mean;
    if margin.is_zero() {
        return Err(Unmet::Detection { asked: requirement.detection_max, delay: mean });
    }
    let margin_s = margin.as_secs_f64();
    let gamma = (1.0 - loss) * margin_s * margin_s / (variance_s2 + margin_s * margin_s);
    let recurrence = |eta_ns: f64, factors: u32| {
        let log_factor = |j: u32| {
            let left_s = margin_s - f64::from(j) * eta_ns / 1e9;
            let square = left_s * left_s;
            // Without a variance nothing is late, and the factor is 1/p_L until the very end.
            if variance_s2 == 0.0 && square == 0.0 {
                return 0.0;
            }
            libm::log((variance_s2 + square) / (variance_s2 + loss * square))
        };
        libm::log(eta_ns / 1e9) + (1..=factors).map(log_factor).sum::<f64>()
    };
    search(requirement, ns(margin), gamma * ns(requirement.duration_max), &recurrence)
}

/// The largest η up to `eta_max_ns` and up to `reach_ns` at which `log_recurrence(η, m)`, the logarithm
/// of f(η) in seconds with its `m = ⌈reach/η⌉ − 1` factors, is enough.
///
/// f is no monotone function: within `[reach/(m+1), reach/m]` it rises with η, and falls steeply near
/// the upper end, where the last factor goes to one. So each such stretch is scanned from above,
/// its maximum refined, and the point where it falls below the requirement found by bisection.
fn search(
    requirement: &Requirement,
    reach_ns: f64,
    duration_eta_ns: f64,
    log_recurrence: &dyn Fn(f64, u32) -> f64,
) -> Result<Configuration, Unmet> {
    const STRETCHES_MAX: u32 = 200;
    if requirement.duration_max.is_zero() {
        return Err(Unmet::Duration);
    }
    let enough = libm::log(requirement.recurrence_min.as_secs_f64());
    let eta_max_ns = duration_eta_ns.min(reach_ns);
    let cap = if duration_eta_ns < reach_ns { Limit::Duration } else { Limit::Detection };
    let mut best = f64::NEG_INFINITY;
    for factors in 0..STRETCHES_MAX {
        let low_ns = reach_ns / f64::from(factors + 1);
        let high_ns = if factors == 0 { reach_ns } else { reach_ns / f64::from(factors) }.min(eta_max_ns);
        if low_ns > high_ns {
            continue;
        }
        let f = |eta_ns: f64| log_recurrence(eta_ns, factors);
        match last_enough(low_ns, high_ns, if factors < 16 { 256 } else { 16 }, enough, &f) {
            Ok(eta_ns) => {
                let interval = Span::from_nanos((eta_ns as u64).max(1));
                let limit = if eta_ns < eta_max_ns { Limit::Recurrence } else { cap };
                let shift = requirement.detection_max - interval;
                return Ok(Configuration { interval, shift, recurrence_s: libm::exp(f(eta_ns)), limit });
            }
            Err(most) => best = best.max(most),
        }
    }
    Err(Unmet::Recurrence {
        asked: requirement.recurrence_min,
        detection: requirement.detection_max,
        interval_least: Span::from_nanos((reach_ns / f64::from(STRETCHES_MAX)) as u64),
        best_s: libm::exp(best),
    })
}

/// The largest x in the stretch with `f(x) ≥ enough`, or the largest f that was seen.
fn last_enough(low: f64, high: f64, steps: u32, enough: f64, f: &impl Fn(f64) -> f64) -> Result<f64, f64> {
    const THIRDS: u32 = 40;
    let point = |step: u32| high - (high - low) * f64::from(step) / f64::from(steps);
    let mut peak = (f(high), 0);
    if peak.0 >= enough {
        return Ok(high);
    }
    for step in 1..=steps {
        let value = f(point(step));
        if value >= enough {
            return Ok(boundary(point(step), point(step - 1), enough, f));
        }
        if value > peak.0 {
            peak = (value, step);
        }
    }
    // The maximum may lie between two points: by ternary search, f being unimodal there.
    let (mut left, mut right) = (point((peak.1 + 1).min(steps)), point(peak.1.saturating_sub(1)));
    for _ in 0..THIRDS {
        let (a, b) = (left + (right - left) / 3.0, right - (right - left) / 3.0);
        if f(a) < f(b) { left = a } else { right = b }
    }
    let top = f64::midpoint(left, right);
    if f(top) >= enough {
        return Ok(boundary(top, point(peak.1.saturating_sub(1)), enough, f));
    }
    Err(peak.0.max(f(top)))
}

/// Between `inside`, where f is enough, and `outside`, where it is not.
fn boundary(mut inside: f64, mut outside: f64, enough: f64, f: &impl Fn(f64) -> f64) -> f64 {
    const HALVINGS: u32 = 60;
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(inside, outside);
        if f(middle) >= enough { inside = middle } else { outside = middle }
    }
    inside
}

fn share(loss_ppm: u32) -> Result<f64, Unmet> {
    if loss_ppm >= 1_000_000 { Err(Unmet::Loss) } else { Ok(f64::from(loss_ppm) / 1e6) }
}

fn ns(span: Span) -> f64 {
    span.as_nanos() as f64
}
