//! Reset on arrival: a key's TTL, Chen's simple detector.

use super::integrate::integrate;
use super::{Beats, Quality};
use crate::time::Span;

/// Each arrival restarts a timer of T, whatever its place in the sequence: a key that every beat sets
/// with a TTL, or Chen's *simple algorithm* (section 1). The worker is trusted at t if a beat has
/// arrived in `(t − T, t]`.
///
/// Chen gives no closed form. Under [`super::INDEPENDENCE`] there is one all the same. Beat i is sent
/// at iη and arrives at iη + Dᵢ, unless it is lost. The arrivals of different beats are independent, so
/// the worker is suspected at t with probability
///
/// `v(t) = ∏_i [p_L + (1 − p_L)·(P(D ≤ t − T − iη) + P(D > t − iη))]`
///
/// over all beats i, which repeats after η: `1 − P_A = (1/η)·∫₀^η v(t) dt`. A mistake begins T after
/// each arrival that nothing follows in time. Given that beat 0 arrives at y, nothing does with
/// probability
///
/// `G(y) = ∏_{i≠0} [p_L + (1 − p_L)·(P(D ≤ y − iη) + P(D > y + T − iη))]`,
///
/// and there are (1 − p_L)/η arrivals in a unit of time, all alike: `λ_M = (1 − p_L)/η · E[G(D)]`.
/// (Of two that arrive at the same instant the later in the sequence counts, so P(D < …) stands for
/// P(D ≤ …) where i > 0.)
///
/// E(T_MR) = 1/λ_M and E(T_M) = (1 − P_A)/λ_M follow. Nothing of it is simulated.
///
/// The detection time has no bound but the delay's own: a beat that was sent before the crash may
/// arrive any time after it (Chen, section 1), so T_D ≤ max(D) + T.
#[derive(Debug, Clone, Copy)]
pub struct ResetOnArrival<'b> {
    beats: &'b Beats,
    /// T: from an arrival to the suspicion.
    ttl: Span,
}

/// How old a beat may be, in intervals, to be multiplied by itself; older ones are integrated.
const FACTORS_MAX: u32 = 200;

/// From this age on, in intervals, arrivals are looked at on average over an interval.
const PERIODS_MAX: f64 = 30.0;

impl<'b> ResetOnArrival<'b> {
    #[must_use]
    pub fn new(beats: &'b Beats, ttl: Span) -> Self {
        Self { beats, ttl }
    }

    #[must_use]
    pub fn quality(&self) -> Quality {
        let interval_ns = self.beats.interval_ns();
        let breaks = self.breaks_ns(0.0, interval_ns, &[0.0, interval_ns]);
        let inaccuracy = integrate(&breaks, |at_ns| self.silence(at_ns)) / interval_ns;
        let rate_per_s =
            self.beats.arriving() / self.beats.interval.as_secs_f64() * self.expected_last_arrival();
        Quality::new(self.beats.delay.max() + self.ttl, rate_per_s, inaccuracy)
    }

    /// v(t): the probability of being suspected at t, that nothing arrives in `(t − T, t]`. `at_ns` in
    /// nanoseconds, from 0 to η.
    #[must_use]
    pub fn silence(&self, at_ns: f64) -> f64 {
        self.past(at_ns - self.ttl_ns(), 0)
    }

    /// E[G(D)]: the probability that an arrival is the last for T.
    ///
    /// A tail that is longer than thirty intervals is flat over one of them, and so long after a beat
    /// its neighbours' arrivals repeat after each: there the mean of G over an interval stands for G.
    fn expected_last_arrival(&self) -> f64 {
        let (delay, interval_ns) = (&self.beats.delay, self.beats.interval_ns());
        let (first_ns, last_ns) = (delay.min().as_nanos() as f64, delay.max().as_nanos() as f64);
        let far_ns = (first_ns + PERIODS_MAX * interval_ns).min(last_ns);
        let mut landmarks = delay.landmarks_ns();
        landmarks.retain(|ns| *ns < far_ns);
        landmarks.push(far_ns);
        // What is so unlikely counts for nothing, and needs no care.
        let late_ns = landmarks.iter().copied().filter(|ns| delay.above(*ns) > 1e-12).fold(0.0, f64::max);
        let breaks = self.breaks_ns(first_ns, late_ns, &landmarks);
        let spread = integrate(&breaks, |y_ns| delay.density(y_ns) * self.last(y_ns));
        let single: f64 = delay
            .atoms()
            .iter()
            .filter(|(y_ns, _)| *y_ns <= far_ns)
            .map(|(y_ns, mass)| mass * self.last(*y_ns))
            .sum();
        let far = match delay.above(far_ns) {
            0.0 => 0.0,
            above => {
                let breaks = self.breaks_ns(far_ns, far_ns + interval_ns, &[far_ns, far_ns + interval_ns]);
                above * integrate(&breaks, |y_ns| self.last(y_ns)) / interval_ns
            }
        };
        single + spread + far
    }

    /// G(y): the probability that after an arrival of beat 0 at `y_ns` nothing follows for T.
    fn last(&self, y_ns: f64) -> f64 {
        let earliest_ns = self.beats.delay.min().as_nanos() as f64;
        let mut product = self.past(y_ns, 1);
        let mut sent_ns = self.beats.interval_ns();
        while product > 0.0 && y_ns + self.ttl_ns() - sent_ns >= earliest_ns {
            let delay = &self.beats.delay;
            let missed = delay.below(y_ns - sent_ns) + delay.above(y_ns + self.ttl_ns() - sent_ns);
            product *= self.beats.loss() + self.beats.arriving() * missed;
            sent_ns += self.beats.interval_ns();
        }
        product
    }

    /// The probability that none of the beats `−first`, `−first − 1`, … arrives in
    /// `(from_ns, from_ns + T]`.
    fn past(&self, from_ns: f64, first: u32) -> f64 {
        let (delay, interval_ns) = (&self.beats.delay, self.beats.interval_ns());
        let oldest_ns = f64::from(FACTORS_MAX) * interval_ns;
        let mut product = 1.0;
        // The time that the beat may take so as to arrive at `from_ns`; below zero it is sent later.
        let mut age_ns = from_ns + f64::from(first) * interval_ns;
        while age_ns < oldest_ns {
            let still_under_way = delay.above(age_ns);
            if self.beats.arriving() * still_under_way < 1e-17 || product == 0.0 {
                return product;
            }
            let missed = delay.at_most(age_ns) + delay.above(age_ns + self.ttl_ns());
            product *= self.beats.loss() + self.beats.arriving() * missed;
            age_ns += interval_ns;
        }
        // A heavy tail: from here on ln(1 − x) is −x, and the sum an integral (midpoint rule).
        let from_ns = age_ns - 0.5 * interval_ns;
        let arriving = integrate(&[from_ns, from_ns + self.ttl_ns()], |ns| delay.above(ns)) / interval_ns;
        product * libm::exp(-self.beats.arriving() * arriving)
    }

    fn ttl_ns(&self) -> f64 {
        self.ttl.as_nanos() as f64
    }

    /// `own`, and where from `low` to `high` a factor has a kink: a landmark of D, T more or less, and
    /// whole intervals. If that would be too many, D's ends stand for all landmarks.
    fn breaks_ns(&self, low: f64, high: f64, own: &[f64]) -> Vec<f64> {
        const BREAKS_MAX: f64 = 600.0;
        let interval_ns = self.beats.interval_ns();
        let mut landmarks = self.beats.delay.landmarks_ns();
        if 3.0 * landmarks.len() as f64 * ((high - low) / interval_ns + 1.0) > BREAKS_MAX {
            landmarks =
                [self.beats.delay.min(), self.beats.delay.max()].map(|end| end.as_nanos() as f64).into();
        }
        let mut breaks = own.to_vec();
        for landmark in landmarks.iter().flat_map(|ns| [*ns, ns - self.ttl_ns(), ns + self.ttl_ns()]) {
            let mut at = landmark + libm::ceil((low - landmark) / interval_ns) * interval_ns;
            while at < high {
                breaks.push(at);
                at += interval_ns;
            }
        }
        breaks.sort_unstable_by(f64::total_cmp);
        breaks.dedup();
        breaks
    }
}
