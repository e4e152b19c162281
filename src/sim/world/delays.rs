//! How long the small things take that no scenario speaks of: a message on loopback, a wake-up, a
//! start. Wall time; they do not scale.

use crate::dist::{Distribution, Sampler};
use crate::time::Span;

/// tokio's timers fire at whole milliseconds from the start of their runtime, so that what repeats every
/// three seconds is late by about the same, each time.
pub(super) const TICK: Span = Span::from_millis(1);

/// The medians are what this project's process backend shows on a quiet machine; they are small
/// beside any heartbeat's interval, and there so that nothing is simultaneous by construction.
#[derive(Debug)]
pub(super) struct Delays {
    /// One way between a process and a store, through the proxy.
    pub message: Sampler,
    /// A timer's lateness after the tick of its process that follows its time ([`TICK`]).
    pub wake: Sampler,
    /// From a process's start until it connects.
    pub boot: Sampler,
    /// From a start of the server until it answers.
    pub redis_start: Sampler,
    pub postgres_start: Sampler,
    /// A statement of Postgres.
    pub statement: Sampler,
    /// What a process does at one message or one timer, of the processor's time.
    pub processor: Sampler,
    /// The final state, read from the stores.
    pub reading: Sampler,
}

impl Default for Delays {
    fn default() -> Self {
        let micros = |min, max| {
            Distribution::Uniform { min: Span::from_micros(min), max: Span::from_micros(max) }.sampler()
        };
        Self {
            message: micros(50, 250),
            wake: micros(100, 1_000),
            boot: micros(12_000, 50_000),
            redis_start: micros(20_000, 60_000),
            postgres_start: micros(100_000, 300_000),
            statement: micros(100, 600),
            processor: micros(50, 250),
            reading: micros(3_000, 8_000),
        }
    }
}
