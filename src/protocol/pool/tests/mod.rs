//! What a pool must hold, told by the laboratory.

mod health;
mod jobs;
mod stopping;

use super::*;
use crate::names::JobId;
use crate::protocol::pool::event::{JobEnd, JobKind, JobResult};
use crate::protocol::testing::{Lab, Step, at, job, millis, secs, settings};
use crate::time::Span;

const MIB: u64 = 1 << 20;

/// Source 004's settings, two workers on two jobs each.
fn pool() -> PoolSettings {
    PoolSettings {
        workers: 2,
        max_job_duration: secs(600),
        page_timeout: secs(30),
        health_interval: Some(secs(30)),
        tells_health: true,
        restart_after: secs(1),
        memory_threshold_ppm: 850_000,
        relief: secs(60),
    }
}

fn lab() -> Lab {
    lab_with(|_| {})
}

fn lab_with(change: impl FnOnce(&mut PoolSettings)) -> Lab {
    let mut settings = settings();
    settings.queue.concurrency = 2;
    let mut pool = pool();
    change(&mut pool);
    settings.pool = Some(pool);
    Lab::new(settings)
}

fn enqueue(lab: &mut Lab, jobs: std::ops::RangeInclusive<u32>, steps: usize, step: Span) {
    for n in jobs {
        lab.at(secs(0), Step::Enqueue(job(&format!("job-{n}"), steps, step)));
    }
}

/// What the pool said of itself.
fn said(lab: &Lab) -> Vec<(Instant, PoolEvent)> {
    let said = lab.log.iter().filter_map(|(at, _, event)| match event {
        FleetEvent::Pool(event) => Some((*at, event.clone())),
        _ => None,
    });
    said.collect()
}

fn results(lab: &Lab) -> Vec<JobResult> {
    let results = said(lab).into_iter().filter_map(|(_, event)| match event {
        PoolEvent::Result(result) => Some(*result),
        _ => None,
    });
    results.collect()
}

fn updates(lab: &Lab) -> Vec<(Instant, PoolHealth)> {
    let updates = said(lab).into_iter().filter_map(|(at, event)| match event {
        PoolEvent::HealthUpdate(health) => Some((at, *health)),
        _ => None,
    });
    updates.collect()
}

fn is_claimed(event: &FleetEvent) -> bool {
    matches!(event, FleetEvent::Claimed { .. })
}
