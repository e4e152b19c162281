//! A distribution as it was recorded.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::random::Random;
use crate::time::Span;

/// Recorded durations, sorted, at least one.
///
/// The distribution function runs in straight lines from each sample to the next (n − 1 segments of
/// equal probability, between the least and the greatest sample): linear interpolation, not steps. So
/// nothing outside of the recording is ever drawn, and a value that was recorded more than once keeps a
/// probability of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Span>", into = "Vec<Span>")]
pub struct Recorded(Arc<[Span]>);

impl Recorded {
    /// In any order; `None` if there is no sample.
    #[must_use]
    pub fn new(mut samples: Vec<Span>) -> Option<Self> {
        samples.sort_unstable();
        (!samples.is_empty()).then(|| Self(samples.into()))
    }

    /// Sorted.
    #[must_use]
    pub fn samples(&self) -> &[Span] {
        &self.0
    }

    #[must_use]
    pub fn min(&self) -> Span {
        self.0[0]
    }

    #[must_use]
    pub fn max(&self) -> Span {
        self.0[self.0.len() - 1]
    }

    /// By inverse transform, in integers.
    #[must_use]
    #[inline]
    pub fn sample(&self, random: &mut Random) -> Span {
        let position = u128::from(random.bits()) * self.segments() as u128;
        let (index, fraction) = ((position >> 64) as usize, position as u64);
        let Some(next) = self.0.get(index + 1) else {
            return self.0[index];
        };
        let width = (*next - self.0[index]).as_nanos();
        self.0[index] + Span::from_nanos(((u128::from(width) * u128::from(fraction)) >> 64) as u64)
    }

    pub(super) fn map(&self, scale: impl Fn(Span) -> Span) -> Self {
        Self(self.0.iter().map(|span| scale(*span)).collect())
    }

    pub(super) fn segments(&self) -> usize {
        self.0.len() - 1
    }

    /// The ends of each segment, in nanoseconds; one without a width for a single sample.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (f64, f64)> {
        let last = self.segments().max(1);
        (0..last).map(|i| (self.at(i), self.at((i + 1).min(self.segments()))))
    }

    /// P(D < x), or P(D ≤ x) if `inclusive`; `x_ns` in nanoseconds.
    pub(super) fn up_to(&self, x_ns: f64, inclusive: bool) -> f64 {
        let is_before = |span: &Span| {
            let nanos = span.as_nanos() as f64;
            nanos < x_ns || inclusive && nanos <= x_ns
        };
        let before = self.0.partition_point(is_before);
        if before == 0 || before == self.0.len() {
            return f64::from(u8::from(before > 0));
        }
        let (low, high) = (self.at(before - 1), self.at(before));
        ((before - 1) as f64 + (x_ns - low) / (high - low)) / self.segments() as f64
    }

    /// Where `x_ns` lies within a segment, the density there, per nanosecond.
    pub(super) fn density(&self, x_ns: f64) -> f64 {
        let before = self.0.partition_point(|span| span.as_nanos() as f64 <= x_ns);
        if before == 0 || before == self.0.len() {
            return 0.0;
        }
        1.0 / ((self.at(before) - self.at(before - 1)) * self.segments() as f64)
    }

    fn at(&self, index: usize) -> f64 {
        self.0[index].as_nanos() as f64
    }
}

impl TryFrom<Vec<Span>> for Recorded {
    type Error = &'static str;
    fn try_from(samples: Vec<Span>) -> Result<Self, Self::Error> {
        Self::new(samples).ok_or("a recording has at least one sample")
    }
}

impl From<Recorded> for Vec<Span> {
    fn from(recorded: Recorded) -> Self {
        recorded.0.to_vec()
    }
}
