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

/// The host's wall clock, in nanoseconds since the Unix epoch: the kernel's, out of libfaketime's reach.
#[must_use]
pub fn host_wall_nanos() -> i64 {
    let wall = clock_gettime(ClockId::Realtime);
    wall.tv_sec.saturating_mul(1_000_000_000).saturating_add(wall.tv_nsec)
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
