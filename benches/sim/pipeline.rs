//! What `tune` runs.

use std::num::NonZeroUsize;

use syncope::dist::Distribution;
use syncope::sim::pipeline::{Asks, Beat, Checker, Expiry, Faults, Link, Pipeline, Schedule};
use syncope::time::Span;

use crate::Counts;
use crate::workload::{ASKS, DELAY, EVERY, LOSS_PPM, TTL, Workload};

pub fn run(workload: &Workload) -> Counts {
    let pipeline = Pipeline {
        workers: workload.workers,
        beat: Beat { every: EVERY, schedule: Schedule::FixedRate, late: Distribution::Constant(Span::ZERO) },
        link: Link { delay: DELAY, loss_ppm: LOSS_PPM },
        expiry: Expiry { ttl: Some(TTL), age: None },
        checker: Checker {
            asks: Asks::Each(Distribution::Constant(ASKS)),
            retries: 0,
            backoff: Span::ZERO,
            sweeps: 1,
        },
        faults: Faults::default(),
    };
    let seeds: Vec<u64> = (1..=u64::from(workload.seeds)).collect();
    let threads = NonZeroUsize::new(workload.threads as usize).expect("a measurement has threads");
    let outcome = pipeline.simulate_seeds(workload.span(), &seeds, threads).expect("the settings are valid");
    Counts { events: outcome.events, mistakes: outcome.mistakes }
}
