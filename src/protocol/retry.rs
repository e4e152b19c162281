//! How long to wait before something is tried again.

use crate::protocol::{Backoff, QueueSettings};
use crate::time::Span;

impl Backoff {
    /// The wait after the `failed`-th failed attempt, from 1. Exponential as in BullMQ's
    /// `Backoffs.builtinStrategies`: `base · 2^(failed − 1)`.
    #[must_use]
    pub fn wait(self, failed: u32) -> Span {
        debug_assert!(failed >= 1, "attempts are counted from 1");
        match self {
            Self::Fixed(wait) => wait,
            Self::Exponential(base) => {
                let factor = 1_u64.checked_shl(failed.saturating_sub(1)).unwrap_or(u64::MAX);
                base.saturating_mul(factor)
            }
        }
    }
}

/// The wait before a command whose outcome the worker needs is sent again after an error: often
/// enough that a lock is not lost for want of trying, and never more often than needed for that.
pub(super) fn command_retry(queue: &QueueSettings) -> Span {
    const LONGEST: Span = Span::from_secs(1);
    const SHORTEST: Span = Span::from_millis(1);
    Span::from_nanos(queue.lock_renew.as_nanos() / 4).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoffs_are_those_of_the_source_system() {
        let exponential = Backoff::Exponential(Span::from_secs(1));
        let waits: Vec<u64> = (1..=3).map(|failed| exponential.wait(failed).as_millis()).collect();
        assert_eq!(waits, [1_000, 2_000, 4_000]);
        assert_eq!(Backoff::Fixed(Span::from_secs(2)).wait(7), Span::from_secs(2));
        assert_eq!(exponential.wait(200), Span::MAX, "no overflow");
    }
}
