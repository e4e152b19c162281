//! The liveness pipeline alone, as fast as it can be simulated: many workers that beat, a store, a checker.
//!
//! What `tune` runs. Jobs, commands and connections are left out: a whole fleet is simulated with the
//! protocol's state machines. Every beat, delivery and query is an event that is scheduled and executed.
//!
//! Integers are the whole state, and every kind of randomness has a stream of its own from the seed: one
//! seed gives one outcome on every machine, in debug and release, with any number of threads.

mod draw;
mod engine;
mod histogram;
mod lane;
mod outcome;
mod record;
mod settings;
mod spell;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

use crate::sim::seeds::over_seeds;
use crate::time::Span;

pub use histogram::Histogram;
pub use outcome::Outcome;
pub use settings::{Asks, Beat, Checker, Expiry, Faults, Link, Pipeline, PipelineError, Schedule, Spells};

impl Pipeline {
    /// What happens within `span` of virtual time, from a steady state on: before it, no beat was lost or late.
    ///
    /// # Errors
    /// If a setting is outside its limits.
    pub fn simulate(&self, span: Span, seed: u64) -> Result<Outcome, PipelineError> {
        self.check()?;
        Ok(engine::run(self, span, seed))
    }

    /// The outcomes of many seeds, added up. The number of threads changes the time it takes, no more.
    ///
    /// # Errors
    /// If a setting is outside its limits.
    pub fn simulate_seeds(
        &self,
        span: Span,
        seeds: &[u64],
        threads: NonZeroUsize,
    ) -> Result<Outcome, PipelineError> {
        self.check()?;
        let outcomes = over_seeds(seeds, threads, |seed| engine::run(self, span, seed));
        let mut sum = Outcome::default();
        outcomes.iter().for_each(|outcome| sum.merge(outcome));
        Ok(sum)
    }
}
