//! The host's clocks. `CLOCK_MONOTONIC` has no namespace that we use: containers and processes on
//! this host read the same one, so a fleet's own stamps compare with the harness's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::time::{Instant, Now, UnixMillis};

#[must_use]
pub fn monotonic() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    Instant::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// This process's wall clock; libfaketime's, where that is loaded. Read through libc, which
/// libfaketime replaces: rustix asks the kernel directly, out of its reach.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = |length: Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    UnixMillis(since_epoch.map_or_else(|before| -millis(before.duration()), millis))
}

#[must_use]
pub fn now() -> Now {
    Now { mono: monotonic(), wall: wall() }
}
