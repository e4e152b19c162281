//! How far a suite is, and how long it will still take. Sans-IO.

use std::collections::BTreeMap;

use crate::time::{Instant, Span};

/// Weighs each case by its own estimate, corrected by what the ended ones took against theirs.
#[derive(Debug)]
pub struct Pace {
    /// Of the cases that have not ended.
    estimates: BTreeMap<usize, Span>,
    total: usize,
    at_once: usize,
    running: BTreeMap<usize, Instant>,
    /// Of the cases that have ended: their estimates' sum, and what they took.
    estimated: Span,
    taken: Span,
}

/// How far a suite is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuiteProgress {
    pub ended: usize,
    pub running: usize,
    pub total: usize,
    /// Wall time that it will still take; `None` before the first case has ended.
    pub left: Option<Span>,
}

impl Pace {
    /// `estimates` of each case's wall time, by its index; right in proportion.
    #[must_use]
    pub fn new(estimates: BTreeMap<usize, Span>, at_once: usize) -> Self {
        Self {
            total: estimates.len(),
            estimates,
            at_once: at_once.max(1),
            running: BTreeMap::new(),
            estimated: Span::ZERO,
            taken: Span::ZERO,
        }
    }

    pub fn started(&mut self, index: usize, now: Instant) {
        self.running.insert(index, now);
    }

    pub fn ended(&mut self, index: usize, now: Instant) {
        if let (Some(began), Some(estimate)) = (self.running.remove(&index), self.estimates.remove(&index)) {
            self.estimated = self.estimated + estimate;
            self.taken = self.taken + now.since(began);
        }
    }

    #[must_use]
    pub fn progress(&self, now: Instant) -> SuiteProgress {
        let ended = self.total - self.estimates.len();
        SuiteProgress {
            ended,
            running: self.running.len(),
            total: self.total,
            left: (ended > 0).then(|| self.left(now)),
        }
    }

    /// What is left, spread over what runs at once; and no less than the longest that is left.
    fn left(&self, now: Instant) -> Span {
        let estimated = self.estimated.as_nanos().max(1);
        let expected = |estimate: Span| {
            let nanos = u128::from(estimate.as_nanos()) * u128::from(self.taken.as_nanos());
            Span::from_nanos(u64::try_from(nanos / u128::from(estimated)).unwrap_or(u64::MAX))
        };
        let (mut sum, mut longest) = (Span::ZERO, Span::ZERO);
        for (index, estimate) in &self.estimates {
            let begun = self.running.get(index).map_or(Span::ZERO, |began| now.since(*began));
            let left = expected(*estimate) - begun;
            sum = sum + left;
            longest = longest.max(left);
        }
        Span::from_nanos(sum.as_nanos() / self.at_once as u64).max(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Span::from_secs(seconds)
    }

    #[test]
    fn what_the_ended_ones_took_corrects_the_estimates() {
        let mut pace = Pace::new((0..).zip([10, 10, 20, 20].map(Span::from_secs)).collect(), 2);
        pace.started(2, at(0));
        pace.started(3, at(0));
        assert_eq!(pace.progress(at(5)), SuiteProgress { ended: 0, running: 2, total: 4, left: None });
        pace.ended(2, at(40));
        pace.started(0, at(40));
        // Twice as long as estimated: 40 s of the other long one, which are over, and twice 20 s.
        assert_eq!(pace.progress(at(40)).left, Some(Span::from_secs(20)));
        pace.ended(3, at(40));
        assert_eq!(pace.progress(at(50)).left, Some(Span::from_secs(20)), "no less than the longest");
        pace.ended(0, at(60));
        pace.started(1, at(60));
        pace.ended(1, at(80));
        assert_eq!(
            pace.progress(at(80)),
            SuiteProgress { ended: 4, running: 0, total: 4, left: Some(Span::ZERO) }
        );
    }
}
