//! Counts of lengths of time, in buckets whose width grows with the length.

use crate::time::Span;

/// Buckets per power of two, as a power of two: a value is known to within 1/64.
const PART_BITS: u32 = 6;

/// Integers only; merged in any order it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    count: u64,
    sum: u128,
    min: Span,
    max: Span,
    /// Up to the highest that is not empty.
    buckets: Vec<u64>,
}

impl Histogram {
    pub fn add(&mut self, span: Span) {
        let bucket = bucket(span.as_nanos());
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.min = if self.count == 0 { span } else { self.min.min(span) };
        self.max = self.max.max(span);
        self.count += 1;
        self.sum += u128::from(span.as_nanos());
    }

    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (bucket, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += count;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum += other.sum;
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Exact; `None` if nothing was counted.
    #[must_use]
    pub fn min(&self) -> Option<Span> {
        (self.count > 0).then_some(self.min)
    }

    /// Exact; `None` if nothing was counted.
    #[must_use]
    pub fn max(&self) -> Option<Span> {
        (self.count > 0).then_some(self.max)
    }

    /// Exact to the nanosecond, rounded down; `None` if nothing was counted.
    #[must_use]
    pub fn mean(&self) -> Option<Span> {
        let mean = self.sum.checked_div(u128::from(self.count))?;
        u64::try_from(mean).ok().map(Span::from_nanos)
    }

    /// The length that `ppm` of a million do not exceed, rounded up to the end of its bucket: at most
    /// 1/64 too long. `None` if nothing was counted.
    #[must_use]
    pub fn quantile(&self, ppm: u32) -> Option<Span> {
        let rank = (u128::from(self.count) * u128::from(ppm)).div_ceil(1_000_000).max(1);
        let mut below = 0;
        let index = self.buckets.iter().position(|count| {
            below += u128::from(*count);
            below >= rank
        })?;
        Some(Span::from_nanos(last_of(index)).clamp(self.min, self.max))
    }

    /// The longest length of each bucket that is not empty, and how many fell into it; in order.
    pub fn buckets(&self) -> impl Iterator<Item = (Span, u64)> {
        let filled = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(index, count)| (Span::from_nanos(last_of(index)), *count))
    }
}

/// Below 2^(`PART_BITS` + 1) each value has a bucket of its own.
fn bucket(nanos: u64) -> usize {
    let octave = (nanos >> PART_BITS).checked_ilog2().unwrap_or(0);
    ((u64::from(octave) << PART_BITS) + (nanos >> octave)) as usize
}

fn last_of(bucket: usize) -> u64 {
    let octave = (bucket >> PART_BITS).saturating_sub(1) as u64;
    let part = bucket as u64 - (octave << PART_BITS);
    // Written so that the last bucket of all does not overflow.
    (part << octave) + ((1 << octave) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_where_the_next_begins() {
        for bits in 0..64 {
            for nanos in [1_u64 << bits, (1 << bits) - 1, u64::MAX >> bits, (3 << bits) / 2] {
                let index = bucket(nanos);
                let last = last_of(index);
                assert!(last >= nanos && last - nanos <= nanos / 64, "{nanos} in {index} to {last}");
                assert_eq!(bucket(last), index);
                assert!(last == u64::MAX || bucket(last + 1) == index + 1, "{nanos}");
            }
        }
    }

    #[test]
    fn ends_and_mean_are_exact_and_quantiles_near() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.min(), histogram.mean(), histogram.quantile(500_000)), (None, None, None));
        for millis in (1..=1_000).rev() {
            histogram.add(Span::from_millis(millis));
        }
        assert_eq!(histogram.min(), Some(Span::from_millis(1)));
        assert_eq!(histogram.max(), Some(Span::from_secs(1)));
        assert_eq!(histogram.mean(), Some(Span::from_micros(500_500)));
        for (ppm, millis) in [(0, 1), (500_000, 500), (990_000, 990), (1_000_000, 1_000)] {
            let (found, exact) = (histogram.quantile(ppm).unwrap(), Span::from_millis(millis));
            assert!(found >= exact && found.as_nanos() <= exact.as_nanos() / 64 * 65, "{ppm}: {found}");
        }
        assert_eq!(histogram.buckets().map(|(_, count)| count).sum::<u64>(), 1_000);
    }

    #[test]
    fn merging_is_counting_together() {
        let mut parts = [Histogram::default(), Histogram::default(), Histogram::default()];
        let mut all = Histogram::default();
        for index in 0..300_u64 {
            let span = Span::from_nanos(index.pow(5));
            parts[if index < 100 { 0 } else { 1 }].add(span);
            all.add(span);
        }
        let [first, second, empty] = parts;
        let mut merged = empty.clone();
        [second, empty, first].iter().for_each(|part| merged.merge(part));
        assert_eq!(merged, all);
    }
}
