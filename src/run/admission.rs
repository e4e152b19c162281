//! How many scenarios run side by side: as many as leave the host quiet enough for what they judge.
//! Sans-IO.

use std::collections::BTreeMap;

use crate::time::{Instant, Span};

/// A stall above this part of what a running scenario can bear is too near its limit.
const NEAR: u64 = 2;
/// Stalls within this time of one that was answered belong to it. Wall time.
const ONE_STALL: Span = Span::from_secs(2);
/// After so long without a stall of note one scenario more is let in. Wall time.
const CALM: Span = Span::from_secs(20);

/// Lets scenarios in: at first as many as were asked for, one fewer after each stall of the host that
/// came near to what a running scenario can bear, one more after each calm time. Never fewer than one.
#[derive(Debug)]
pub struct Admission {
    most: usize,
    allowed: usize,
    /// What each running scenario can bear.
    running: BTreeMap<usize, Span>,
    changed: Instant,
    /// The fewest that were allowed, and the stall that it came to.
    fewest: Option<(usize, Span)>,
}

impl Admission {
    #[must_use]
    pub fn new(most: usize, now: Instant) -> Self {
        Self { most, allowed: most, running: BTreeMap::new(), changed: now, fewest: None }
    }

    /// Whether one more may start now.
    pub fn admits(&mut self, now: Instant) -> bool {
        if self.allowed < self.most && now.since(self.changed) >= CALM {
            self.allowed += 1;
            self.changed = now;
        }
        self.running.len() < self.allowed
    }

    /// The scenario can bear a stall of `bearable`.
    pub fn started(&mut self, index: usize, bearable: Span) {
        self.running.insert(index, bearable);
    }

    pub fn ended(&mut self, index: usize) {
        self.running.remove(&index);
    }

    /// The host stood still for `stall`.
    pub fn stalled(&mut self, now: Instant, stall: Span) {
        let Some(least) = self.running.values().min() else { return };
        let near = Span::from_nanos(least.as_nanos() / NEAR);
        let answered = self.allowed < self.most && now.since(self.changed) < ONE_STALL;
        if stall <= near || answered {
            return;
        }
        self.changed = now;
        if self.allowed > 1 {
            self.allowed -= 1;
            if self.fewest.is_none_or(|(fewest, _)| self.allowed < fewest) {
                self.fewest = Some((self.allowed, stall));
            }
        }
    }

    /// What it did, if it did anything.
    #[must_use]
    pub fn account(&self) -> Option<String> {
        let (fewest, stall) = self.fewest?;
        Some(format!(
            "The host stalled (for {stall} of wall time, say): scenarios were held back, down to {fewest} at \
             once in place of {}.",
            self.most
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEARABLE: Span = Span::from_millis(100);

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Span::from_millis(ms)
    }

    fn full() -> Admission {
        let mut admission = Admission::new(3, at(0));
        for index in 0..3 {
            assert!(admission.admits(at(0)));
            admission.started(index, BEARABLE);
        }
        assert!(!admission.admits(at(0)));
        admission
    }

    #[test]
    fn a_stall_near_to_what_is_bearable_holds_one_back_until_it_is_calm() {
        let mut admission = full();
        admission.stalled(at(10), Span::from_millis(60));
        // Its echo.
        admission.stalled(at(20), Span::from_millis(70));
        admission.ended(0);
        assert!(!admission.admits(at(30)), "two are enough");
        assert!(admission.admits(at(10) + CALM));
        let account = admission.account().unwrap();
        assert!(account.contains("60ms") && account.contains("down to 2 at once in place of 3"), "{account}");
    }

    #[test]
    fn one_is_let_in_whatever_the_host_does() {
        let mut admission = full();
        for second in (5..100).step_by(5) {
            admission.stalled(at(1_000 * second), BEARABLE);
        }
        for index in 0..3 {
            admission.ended(index);
        }
        assert!(admission.admits(at(99_000)));
    }

    #[test]
    fn a_stall_that_nobody_minds_changes_nothing() {
        let mut admission = full();
        admission.stalled(at(10), Span::from_millis(50));
        admission.ended(0);
        assert!(admission.admits(at(20)));
        assert_eq!(admission.account(), None);
    }
}
