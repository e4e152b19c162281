//! NFD-S: freshness points (Chen, section 3).

use super::integrate::integrate;
use super::{Beats, Quality};
use crate::time::Span;

/// Chen's detector with synchronised clocks: beat i is sent at iη, and the worker is trusted at a time
/// in `[τᵢ, τᵢ₊₁)`, τᵢ = iη + δ, if one of the beats i, i+1, … has arrived by then.
///
/// Exact under [`super::INDEPENDENCE`]: u(x) is a product over beats, which a pause or an outage, that
/// delays several together, makes false.
#[derive(Debug, Clone, Copy)]
pub struct NfdS<'b> {
    beats: &'b Beats,
    /// δ: from a beat's sending to the point from which it must have arrived.
    shift: Span,
}

impl<'b> NfdS<'b> {
    #[must_use]
    pub fn new(beats: &'b Beats, shift: Span) -> Self {
        Self { beats, shift }
    }

    /// k = ⌈δ/η⌉ (Chen, proposition 3): the beats i to i+k are the ones that can count in `[τᵢ, τᵢ₊₁)`.
    #[must_use]
    pub fn k(&self) -> u64 {
        self.shift.as_nanos().div_ceil(self.beats.interval.as_nanos())
    }

    /// p_j(x) = p_L + (1 − p_L)·P(D > δ + x − jη): the probability that beat i+j has not arrived by
    /// τᵢ + x. `x_ns` in nanoseconds, from 0 to η.
    #[must_use]
    pub fn p(&self, j: u64, x_ns: f64) -> f64 {
        let patience_ns = self.shift.as_nanos() as f64 + x_ns - j as f64 * self.beats.interval_ns();
        self.beats.loss() + self.beats.arriving() * self.beats.delay.above(patience_ns)
    }

    /// q_0 = (1 − p_L)·P(D < δ + η): the probability that beat i−1 has arrived before τᵢ.
    #[must_use]
    pub fn q_0(&self) -> f64 {
        self.beats.arriving() * self.beats.delay.below((self.shift + self.beats.interval).as_nanos() as f64)
    }

    /// u(x) = ∏_{j=0..k} p_j(x): the probability of being suspected at τᵢ + x. `x_ns` in nanoseconds,
    /// from 0 to η.
    #[must_use]
    pub fn u(&self, x_ns: f64) -> f64 {
        let mut product = 1.0;
        let earliest_ns = self.beats.delay.min().as_nanos() as f64;
        for j in 0..=self.k() {
            let patience_ns = self.shift.as_nanos() as f64 + x_ns - j as f64 * self.beats.interval_ns();
            // Later beats cannot have arrived either; and nothing comes after nothing.
            if patience_ns < earliest_ns || product == 0.0 {
                break;
            }
            product *= self.p(j, x_ns);
        }
        product
    }

    /// p_S = q_0·u(0): the probability that a mistake begins at a freshness point.
    #[must_use]
    pub fn p_s(&self) -> f64 {
        self.q_0() * self.u(0.0)
    }

    /// T_D ≤ δ + η; E(T_MR) = η/p_S; E(T_M) = ∫₀^η u(x) dx / p_S; P_A = 1 − (1/η)·∫₀^η u(x) dx
    /// (Chen, theorem 5).
    #[must_use]
    pub fn quality(&self) -> Quality {
        let interval_ns = self.beats.interval_ns();
        let suspected_ns = integrate(&self.breaks_ns(), |x_ns| self.u(x_ns));
        let rate_per_s = self.p_s() / self.beats.interval.as_secs_f64();
        let inaccuracy = if self.q_0() == 0.0 { 1.0 } else { suspected_ns / interval_ns };
        Quality::new(self.shift + self.beats.interval, rate_per_s, inaccuracy)
    }

    /// 0, η, and where in between a p_j has a kink: each landmark of D belongs to one j.
    fn breaks_ns(&self) -> Vec<f64> {
        let (shift_ns, interval_ns) = (self.shift.as_nanos() as f64, self.beats.interval_ns());
        let mut breaks = vec![0.0, interval_ns];
        for landmark_ns in self.beats.delay.landmarks_ns() {
            let j = libm::ceil((shift_ns - landmark_ns) / interval_ns);
            let x_ns = landmark_ns - shift_ns + j * interval_ns;
            if j >= 0.0 && x_ns > 0.0 && x_ns < interval_ns {
                breaks.push(x_ns);
            }
        }
        breaks.sort_unstable_by(f64::total_cmp);
        breaks.dedup();
        breaks
    }
}
