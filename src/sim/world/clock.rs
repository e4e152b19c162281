//! One process's wall clock: the host's, moved by steps and drifts.

use crate::time::{Instant, SignedSpan, UnixMillis};

/// The wall clock of every unmoved process at the virtual origin of time, in Unix nanoseconds:
/// 14 November 2023, 22:13:20 UTC. Any would do; this one is round.
pub const EPOCH_NANOS: i64 = 1_700_000_000_000_000_000;

const NANOS_PER_MILLI: i64 = 1_000_000;
const MILLION: i128 = 1_000_000;

/// [`EPOCH_NANOS`] and a thousand seconds more: the wall clock at the virtual begin, RFC 3339.
pub const EPOCH: &str = "2023-11-14T22:30:00Z";

/// `offset` at `since`, and `ppm` parts per million of the time since then on top.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WallClock {
    since: Instant,
    offset_nanos: i64,
    ppm: i64,
}

impl WallClock {
    pub fn read(&self, now: Instant) -> UnixMillis {
        let nanos = EPOCH_NANOS.saturating_add(now.as_nanos().cast_signed()).saturating_add(self.offset(now));
        UnixMillis(nanos.div_euclid(NANOS_PER_MILLI))
    }

    /// How far it is ahead of the host's, in nanoseconds.
    pub fn offset(&self, now: Instant) -> i64 {
        if self.ppm == 0 {
            return self.offset_nanos;
        }
        let drifted = i128::from(now.since(self.since).as_nanos()) * i128::from(self.ppm) / MILLION;
        self.offset_nanos.saturating_add(i64::try_from(drifted).unwrap_or(i64::MAX))
    }

    pub fn step(&mut self, now: Instant, by: SignedSpan) {
        *self = Self { since: now, offset_nanos: self.offset(now).saturating_add(by.0), ppm: self.ppm };
    }

    pub fn drift(&mut self, now: Instant, ppm: i64) {
        *self = Self { since: now, offset_nanos: self.offset(now), ppm };
    }

    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Span::from_secs(secs)
    }

    #[test]
    fn steps_and_drifts_add_up_and_a_reset_ends_them() {
        let mut clock = WallClock::default();
        let ahead = |clock: &WallClock, secs| clock.read(at(secs)).0 - WallClock::default().read(at(secs)).0;
        clock.step(at(10), SignedSpan(3_000_000_000));
        assert_eq!(ahead(&clock, 20), 3_000);
        clock.drift(at(20), 100_000);
        assert_eq!((ahead(&clock, 20), ahead(&clock, 30)), (3_000, 4_000));
        clock.step(at(30), SignedSpan(-5_000_000_000));
        assert_eq!((ahead(&clock, 30), ahead(&clock, 40)), (-1_000, 0));
        clock.reset();
        assert_eq!(ahead(&clock, 50), 0);
    }
}
