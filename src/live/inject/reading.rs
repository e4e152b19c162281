//! A clock as read back: how far it is from the host's, and how fast it goes.

use super::clock_file::Course;
use crate::time::{Instant, SignedSpan, Span};

/// How long after its birth a process may load libfaketime, on a busy machine.
const LOADED_SLACK_NANOS: i64 = 1_000_000_000;
const WINDOW_MIN: Span = Span::from_millis(200);
const WINDOW_MAX: Span = Span::from_secs(5);
const MILLION: i64 = 1_000_000;

/// The clock's offset from the host's lay between `low` and `high` at `at`, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub at: Instant,
    pub low: i64,
    pub high: i64,
}

impl Reading {
    pub(super) const fn middle(self) -> SignedSpan {
        SignedSpan(self.low / 2 + self.high / 2)
    }

    pub(super) const fn width(self) -> i64 {
        self.high.saturating_sub(self.low)
    }

    /// How far the clock is from its course, beyond what the reading leaves open.
    pub(super) fn off(self, course: Course) -> SignedSpan {
        let expected = course.offset_at(self.at).0;
        SignedSpan(expected.clamp(self.low, self.high) - expected)
    }

    /// But for what an error in the start of the process, from which a rate is counted, makes of the offset.
    pub(super) fn admits(self, course: Course) -> bool {
        let slack = i128::from(LOADED_SLACK_NANOS) * i128::from(course.ppm.unsigned_abs());
        i128::from(self.off(course).0).abs() <= slack / i128::from(MILLION)
    }
}

/// # Errors
/// If a clock with this drift would not go on.
pub(super) fn goes_on(ppm: i64) -> Result<(), String> {
    if ppm > -MILLION {
        return Ok(());
    }
    Err(format!("a drift of {ppm} ppm would stop the clock or turn it back"))
}

/// How long the clock needs to move by so many nanoseconds against the host's; within 0.2 s and 5 s.
pub(super) fn drift_window(seen_nanos: i64, ppm: i64) -> Span {
    let nanos = i128::from(seen_nanos) * i128::from(MILLION) / i128::from(ppm.unsigned_abs().max(1));
    Span::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).clamp(WINDOW_MIN, WINDOW_MAX)
}

/// What two readings, one before and one after the window, prove of a drift.
///
/// # Errors
/// The drift is not the one that was asked for, or cannot be told from none.
pub(super) fn prove_drift(whose: &str, first: Reading, second: Reading, ppm: i64) -> Result<String, String> {
    let elapsed = second.at.since(first.at);
    let slope =
        |gained: i64| i128::from(gained) * i128::from(MILLION) / i128::from(elapsed.as_nanos().max(1));
    let low = slope(second.low.saturating_sub(first.high));
    let high = slope(second.high.saturating_sub(first.low));
    let gained = SignedSpan(second.middle().0.saturating_sub(first.middle().0));
    let text =
        format!("the clock of {whose} went {gained} in {elapsed}: {low:+} to {high:+} ppm (asked: {ppm:+})");
    if !(low..=high).contains(&i128::from(ppm)) {
        Err(text)
    } else if ppm != 0 && (low..=high).contains(&0) {
        Err(format!("{text}; too small to be told from no drift"))
    } else {
        Ok(text)
    }
}

/// When libfaketime was loaded, if a file that was made for `assumed` let the clock jump by `jump`.
pub(super) fn loaded_by_jump(assumed: Instant, jump: SignedSpan, ppm: i64) -> Instant {
    let earlier = i128::from(jump.0) * i128::from(MILLION) / i128::from(ppm);
    let loaded = i128::from(assumed.as_nanos()) - earlier;
    Instant::from_nanos(u64::try_from(loaded).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn at(seconds: u64, low: i64, high: i64) -> Reading {
        Reading { at: Instant::from_nanos(seconds * SECOND as u64), low, high }
    }

    #[test]
    fn a_drift_is_proved_by_readings_that_leave_nothing_else_open() {
        let exact = |gained| (at(10, -100, 100), at(20, gained - 100, gained + 100));
        let (first, second) = exact(SECOND / 100);
        assert!(prove_drift("x", first, second, 1_000).is_ok());
        assert!(prove_drift("x", first, second, 1_100).is_err(), "another drift");
        let (first, second) = (at(10, -SECOND / 10, SECOND / 10), at(20, -SECOND / 10, SECOND / 10));
        let coarse = prove_drift("x", first, second, 1_000).unwrap_err();
        assert!(coarse.contains("told from no drift"), "{coarse}");
    }

    #[test]
    fn a_course_admits_what_the_program_s_loading_leaves_open() {
        let course =
            Course { offset: SignedSpan(SECOND), since: Instant::from_nanos(SECOND as u64), ppm: 1_000 };
        assert!(at(1, SECOND - 10, SECOND + 10).admits(course));
        assert!(at(1, SECOND + 900_000, SECOND + 950_000).admits(course), "a second of a thousandth");
        assert!(!at(1, SECOND + 1_100_000, SECOND + 1_200_000).admits(course));
        assert!(!at(1, SECOND + 1, SECOND + 2).admits(Course { ppm: 0, ..course }));
    }

    #[test]
    fn the_window_is_within_its_ends() {
        assert_eq!(drift_window(4_000_000, 4_000), Span::from_secs(1));
        assert_eq!(drift_window(4_000_000, 0), WINDOW_MAX);
        assert_eq!(drift_window(4_000_000, i64::MIN), WINDOW_MIN);
        assert!(goes_on(-999_999).is_ok() && goes_on(-1_000_000).is_err());
    }
}
