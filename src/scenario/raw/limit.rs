//! Limits on what a process may use.

use super::fault::Target;
use crate::scenario::decode::record;
use crate::scenario::scalar::{Duration, Share, Whole};

record! {
    /// A process gets no more than a share of one processor.
    ThrottleCpu {
        /// On whom.
        required target: Target,
        /// The share, from 0 to 1; the kernel gives one hundredth at least.
        required share: Share,
        /// How long.
        required lasting ("for"): Duration,
    }
}

record! {
    /// A process gets no more than so much memory from then on and wants more, until the kernel's OOM
    /// killer ends it.
    OutOfMemory {
        /// On whom.
        required target: Target,
        /// In MiB; what it has already does not count. 16 unless given.
        optional limit_mib: Whole<1, 1_000_000>,
        /// It takes 8 MiB more each so long: a leak. As fast as it can unless given.
        optional every: Duration,
        /// Started again after this long; never unless given.
        optional restart_after: Duration,
    }
}
