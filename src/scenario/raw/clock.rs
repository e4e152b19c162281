//! Wall clocks that are wrong.

use crate::fault::JobRef;
use crate::names::Store;
use crate::scenario::decode::{record, variants};
use crate::scenario::scalar::{Duration, Name, Ppm, SignedDuration};

variants! {
    /// Whose clock.
    ClockTarget {
        /// One process by its name: `worker-1`, `api`.
        Process "process": Name,
        /// Every process of a role.
        Role "role": Name,
        /// One process of the role, by the seed.
        Any "any": Name,
        /// The worker that holds the job (`job-3`) when the fault fires; `any`: the trigger's job, or
        /// some job in work.
        HolderOf "holder_of": JobRef,
        /// The server's: it decides when Redis's keys expire, and what Postgres's `now()` is.
        Store "store": Store,
    }
}

record! {
    /// A wall clock jumps.
    ClockStep {
        /// On whom.
        required target: ClockTarget,
        /// How far: `+30s` is ahead, `-30s` is behind.
        required by: SignedDuration,
        /// Set right after this long; at the end of the run unless given.
        optional lasting ("for"): Duration,
    }
}

record! {
    /// A wall clock runs fast or slow.
    ClockDrift {
        /// On whom.
        required target: ClockTarget,
        /// Parts per million; negative is slow.
        required ppm: Ppm,
        /// Set right after this long; at the end of the run unless given.
        optional lasting ("for"): Duration,
    }
}
