//! The work that every variant does.

use syncope::dist::Distribution;
use syncope::time::Span;

pub const EVERY: Span = Span::from_secs(15);
pub const ASKS: Span = Span::from_secs(5);
pub const TTL: Span = Span::from_secs(30);
pub const LOSS_PPM: u32 = 10_000;
pub const DELAY: Distribution = Distribution::Exponential { mean: Span::from_millis(20) };

#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub workers: u32,
    pub span_s: u64,
    /// The simulation is done with each of the seeds from 1 on.
    pub seeds: u32,
    pub threads: u32,
}

impl Workload {
    pub fn reference(span_s: u64) -> Self {
        Self { workers: 1_000, span_s, seeds: 1, threads: 1 }
    }

    pub fn span(&self) -> Span {
        Span::from_secs(self.span_s)
    }
}
