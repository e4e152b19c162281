//! Measured times as intervals, and the one rule by which they are compared with a bound.

use crate::check::{Bound, Quantiles, Verdict};
use crate::time::{Instant, Interval, Scale, Span};
use crate::timing::Detection;

/// An instant that is known up to an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub lo: Instant,
    pub hi: Instant,
}

impl Moment {
    pub fn new(one: Instant, other: Instant) -> Self {
        Self { lo: one.min(other), hi: one.max(other) }
    }

    pub fn exactly(at: Instant) -> Self {
        Self { lo: at, hi: at }
    }

    pub fn since(self, earlier: Self) -> Interval {
        let min = self.lo.since(earlier.hi);
        Interval::new(min, self.hi.since(earlier.lo).max(min))
    }

    pub fn meets(self, other: Self) -> bool {
        self.lo <= other.hi && other.lo <= self.hi
    }

    /// The part that both agree on, if there is any.
    pub fn and(self, other: Self) -> Option<Self> {
        self.meets(other).then(|| Self { lo: self.lo.max(other.lo), hi: self.hi.min(other.hi) })
    }

    pub fn length(self) -> Span {
        self.hi.since(self.lo)
    }

    pub fn contains(self, at: Instant) -> bool {
        self.lo <= at && at <= self.hi
    }
}

/// A bound of which the upper end may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub min: Span,
    pub max: Option<Span>,
}

impl From<Interval> for Limits {
    fn from(interval: Interval) -> Self {
        let max = interval.max();
        Self { min: interval.min(), max: (max < Span::MAX).then_some(max) }
    }
}

impl Limits {
    /// `None` where nothing is to be detected.
    pub fn of(detection: Detection) -> Option<Self> {
        Some(Self { min: detection.least()?, max: detection.most() })
    }

    /// What a stall, or the resolution, may spoil.
    fn bearable(self) -> Span {
        bearable(self.max.unwrap_or(self.min))
    }

    /// Another fault, or the lack of anybody who could act, moved the ends for this measurement.
    pub fn disturbed(self, extra: Span) -> Self {
        if extra.is_zero() {
            return self;
        }
        Self { min: Span::ZERO, max: self.max.map(|max| max + extra) }
    }
}

/// One measured time, with all that its comparison needs. Wall time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Measurement {
    /// For people: `job-3 of worker-1`.
    pub what: String,
    pub measured: Interval,
    pub limits: Option<Limits>,
    /// Measured lateness of beats, store round trips and probes that are part of this measurement.
    pub latency: Span,
    /// Sum of the host's stalls in the measurement's window, and the longest of them.
    pub stalls: Span,
    pub longest_stall: Span,
}

/// A share of a duration: what a stall, or the resolution, may spoil of it before nothing can be
/// said any more. One tenth.
pub(super) fn bearable(of: Span) -> Span {
    Span::from_nanos(of.as_nanos() / 10)
}

impl Measurement {
    /// The host stalled in it for longer than it can bear: rule 1 of [`Self::verdict`].
    pub fn is_stalled(&self) -> bool {
        self.limits.is_some_and(|limits| self.longest_stall > limits.bearable())
    }

    /// 1. A stall of the host above a tenth of the bound's upper end: inconclusive.
    /// 2. No point in common with the bound, widened by latency and stalls as measured: fail.
    /// 3. Wholly within the bound, or beyond it by at most a tenth of its upper end: pass.
    /// 4. Else the measurement is too coarse to tell: inconclusive.
    pub fn verdict(&self, scale: Scale) -> (Verdict, Option<String>) {
        let Some(limits) = self.limits else { return (Verdict::Pass, None) };
        let bearable = limits.bearable();
        let model = |span: Span| scale.to_model(span);
        if self.is_stalled() {
            let why =
                format!("{}: the host stalled for {} of wall time in it", self.what, self.longest_stall);
            return (Verdict::Inconclusive, Some(why));
        }
        let slack = self.latency + self.stalls;
        let (lo, hi) = (self.measured.min(), self.measured.max());
        if limits.max.is_some_and(|max| lo > max + slack) {
            let bound = model(limits.max.unwrap_or(Span::MAX));
            let why = format!("{} took at least {}, the bound is {bound}", self.what, model(lo));
            return (Verdict::Fail, Some(why));
        }
        if hi + slack < limits.min {
            let bound = model(limits.min);
            let why = format!("{} took at most {}, the bound is no less than {bound}", self.what, model(hi));
            return (Verdict::Fail, Some(why));
        }
        let beyond = (limits.min - lo).max(limits.max.map_or(Span::ZERO, |max| hi - max));
        if beyond <= bearable {
            return (Verdict::Pass, None);
        }
        let why = format!("{}: measured only as {}", self.what, in_model(self.measured, scale));
        (Verdict::Inconclusive, Some(why))
    }
}

/// Whether the host's stalls are why it is inconclusive.
pub(super) fn stalled(verdict: Verdict, measured: &[Measurement]) -> bool {
    verdict == Verdict::Inconclusive && measured.iter().any(Measurement::is_stalled)
}

pub(super) fn in_model(interval: Interval, scale: Scale) -> Interval {
    Interval::new(scale.to_model(interval.min()), scale.to_model(interval.max()))
}

/// Model milliseconds of a wall duration.
pub(super) fn model_ms(wall: Span, scale: Scale) -> f64 {
    scale.to_model(wall).as_millis_f64()
}

pub(super) fn bound_ms(limits: Option<Limits>, scale: Scale) -> Bound {
    limits.map_or(Bound { min: None, max: None }, |limits| Bound {
        min: Some(model_ms(limits.min, scale)),
        max: limits.max.map(|max| model_ms(max, scale)),
    })
}

/// All measured times together, for people.
pub(super) fn summary(measurements: &[Measurement], scale: Scale) -> String {
    let least = measurements.iter().map(|m| m.measured.min()).min();
    let most = measurements.iter().map(|m| m.measured.max()).max();
    match (least, most) {
        (Some(least), Some(most)) => {
            let number =
                if measurements.len() > 1 { format!(" (n = {})", measurements.len()) } else { String::new() };
            format!("{} to {}{number}", round(scale.to_model(least)), round(scale.to_model(most)))
        }
        _ => "-".to_owned(),
    }
}

/// Quantiles by nearest rank over the intervals' midpoints, in model milliseconds.
pub(super) fn quantiles(measurements: &[Measurement], scale: Scale) -> Option<Quantiles> {
    let mut middles: Vec<u64> = measurements
        .iter()
        .map(|m| m.measured.min().as_nanos() + m.measured.width().as_nanos() / 2)
        .collect();
    middles.sort_unstable();
    let widest = measurements.iter().map(|m| m.measured.width()).max()?;
    let rank = |percent: usize| {
        let index = (middles.len() * percent).div_ceil(100).saturating_sub(1);
        model_ms(Span::from_nanos(middles[index]), scale)
    };
    Some(Quantiles {
        n: middles.len() as u64,
        min: rank(0),
        p50: rank(50),
        p99: rank(99),
        max: rank(100),
        resolution: model_ms(widest, scale) / 2.0,
    })
}

/// The middles of the measured intervals, in model milliseconds.
pub(super) fn middles(measurements: &[Measurement], scale: Scale) -> Vec<f64> {
    let middle = |m: &Measurement| m.measured.min() + Span::from_nanos(m.measured.width().as_nanos() / 2);
    measurements.iter().map(|m| model_ms(middle(m), scale)).collect()
}

/// To the millisecond, from a second on: more is noise to a reader.
pub(super) fn round(span: Span) -> Span {
    let nanos = span.as_nanos();
    if nanos < 1_000_000_000 { span } else { Span::from_nanos((nanos + 500_000) / 1_000_000 * 1_000_000) }
}

/// The total length of the union of the moments.
pub(super) fn union_length(moments: impl IntoIterator<Item = Moment>) -> Span {
    union(moments).into_iter().fold(Span::ZERO, |sum, moment| sum + moment.length())
}

/// Sorted, and merged where they touch.
pub(super) fn union(moments: impl IntoIterator<Item = Moment>) -> Vec<Moment> {
    let mut sorted: Vec<Moment> = moments.into_iter().filter(|m| m.lo <= m.hi).collect();
    sorted.sort_by_key(|m| (m.lo, m.hi));
    let mut merged: Vec<Moment> = Vec::with_capacity(sorted.len());
    for moment in sorted {
        match merged.last_mut() {
            Some(last) if moment.lo <= last.hi => last.hi = last.hi.max(moment.hi),
            _ => merged.push(moment),
        }
    }
    merged
}

/// What of `moment` lies in the union.
pub(super) fn overlap(moment: Moment, union: &[Moment]) -> Span {
    union.iter().filter_map(|other| moment.and(*other)).fold(Span::ZERO, |sum, part| sum + part.length())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(lo: u64, hi: u64) -> Moment {
        Moment { lo: Instant::from_nanos(lo), hi: Instant::from_nanos(hi) }
    }

    fn ms(ms: u64) -> Span {
        Span::from_millis(ms)
    }

    #[test]
    fn a_difference_of_moments_is_as_wide_as_both() {
        assert_eq!(
            moment(100, 110).since(moment(20, 25)),
            Interval::new(Span::from_nanos(75), Span::from_nanos(90))
        );
        assert_eq!(moment(5, 6).since(moment(20, 25)), Interval::exactly(Span::ZERO), "never negative");
        assert_eq!(moment(1, 5).and(moment(5, 9)), Some(moment(5, 5)), "closed at both ends");
        assert_eq!(moment(1, 5).and(moment(6, 9)), None);
    }

    #[test]
    fn unions_count_nothing_twice() {
        assert_eq!(union([moment(5, 9), moment(1, 3), moment(3, 4)]), [moment(1, 4), moment(5, 9)]);
        assert_eq!(union_length([moment(1, 3), moment(2, 4), moment(8, 8)]), Span::from_nanos(3));
        assert_eq!(overlap(moment(2, 6), &[moment(1, 4), moment(5, 9)]), Span::from_nanos(3));
    }

    #[test]
    fn a_measurement_fails_only_if_it_is_certainly_outside() {
        use Verdict::{Fail, Inconclusive, Pass};
        // The bound is 1500 ms to 3100 ms, so a tenth is 310 ms.
        for (what, measured, latency, stalls, longest, expected) in [
            ("inside", (1_600, 1_700), 0, 0, 0, Pass),
            ("on the edges", (1_500, 3_100), 0, 0, 0, Pass),
            ("certainly above", (3_101, 3_200), 0, 0, 0, Fail),
            ("certainly below", (1_300, 1_499), 0, 0, 0, Fail),
            ("above, but for the latency", (3_101, 3_200), 1, 0, 0, Pass),
            ("above, but for the stalls", (3_150, 3_200), 0, 60, 60, Pass),
            ("straddles by little", (2_900, 3_300), 0, 0, 0, Pass),
            ("straddles by much", (2_900, 3_500), 0, 0, 0, Inconclusive),
            ("straddles below by much", (1_100, 2_000), 0, 0, 0, Inconclusive),
            ("a long stall, inside", (1_600, 1_700), 0, 311, 311, Inconclusive),
            ("a long stall, outside", (9_000, 9_100), 0, 311, 311, Inconclusive),
            ("many short stalls, inside", (1_600, 1_700), 0, 900, 100, Pass),
            ("far above, many short stalls", (9_000, 9_100), 0, 900, 100, Fail),
        ] {
            let measurement = Measurement {
                what: what.to_owned(),
                measured: Interval::new(ms(measured.0), ms(measured.1)),
                limits: Some(Limits { min: ms(1_500), max: Some(ms(3_100)) }),
                latency: ms(latency),
                stalls: ms(stalls),
                longest_stall: ms(longest),
            };
            assert_eq!(measurement.verdict(Scale::ONE).0, expected, "{what}");
        }
    }

    #[test]
    fn quantiles_are_of_the_midpoints() {
        let all: Vec<Measurement> = (1..=100)
            .map(|n| Measurement {
                what: String::new(),
                measured: Interval::new(ms(n), ms(n + 2)),
                limits: None,
                latency: Span::ZERO,
                stalls: Span::ZERO,
                longest_stall: Span::ZERO,
            })
            .collect();
        let found = quantiles(&all, "0.1".parse().unwrap()).expect("there are some");
        assert_eq!((found.n, found.min, found.p50, found.p99, found.max), (100, 20.0, 510.0, 1000.0, 1010.0));
        assert_eq!(found.resolution, 10.0);
        assert_eq!(quantiles(&[], Scale::ONE), None);
    }
}
