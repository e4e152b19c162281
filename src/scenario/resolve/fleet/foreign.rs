//! Which settings a reference system has: one that belongs to another would have no effect, and is
//! refused.

use super::super::Context;
use crate::scenario::decode::list;
use crate::scenario::diagnostic::{Code, Place};
use crate::scenario::raw::System;
use crate::scenario::raw::fleet::Settings;

/// Reports every setting that the system does not have.
pub(super) fn refuse(system: System, settings: &Settings, context: &mut Context<'_, '_>) {
    for (key, place, owners) in owned(settings) {
        let Some(place) = place.filter(|_| !owners.contains(&system)) else { continue };
        let owners: Vec<&str> = owners.iter().map(|owner| owner.as_str()).collect();
        context
            .report
            .add(Code::ForeignSetting, place, format!("`{}` has no setting `{key}`", system.as_str()))
            .hint(format!("`{key}` belongs to {}", list(&owners)));
    }
}

/// Key, place where it is given, and the systems that have it; what every system has is not listed.
fn owned(s: &Settings) -> [(&'static str, Option<Place>, &'static [System]); 31] {
    const HEARTBEAT: &[System] = &[System::RedisHeartbeat];
    const QUEUE: &[System] = &[System::RedisQueue];
    const IN_REDIS: &[System] = &[System::RedisHeartbeat, System::RedisQueue, System::WorkerPool];
    const POOL: &[System] = &[System::WorkerPool];
    // A pool has a limit of its own on an attempt.
    const NOT_POOL: &[System] = &[System::RedisHeartbeat, System::RedisQueue, System::PostgresHeartbeat];
    const SWEPT: &[System] = &[System::PostgresHeartbeat];
    const IN_POSTGRES: &[System] = &[System::PostgresHeartbeat, System::PostgresJobs];
    const FENCED: &[System] = &[System::RedisQueue, System::PostgresHeartbeat, System::PostgresJobs];
    const BEATING: &[System] = &[System::RedisHeartbeat, System::PostgresHeartbeat, System::PostgresJobs];
    [
        ("interval", s.interval.place(), BEATING),
        ("ttl", s.ttl.place(), HEARTBEAT),
        ("threshold", s.threshold.place(), BEATING),
        ("retries", s.retries.place(), HEARTBEAT),
        ("retry_backoff", s.retry_backoff.place(), HEARTBEAT),
        ("ready_wait", s.ready_wait.place(), HEARTBEAT),
        ("lock_ttl", s.lock_ttl.place(), HEARTBEAT),
        ("lock_interval", s.lock_interval.place(), HEARTBEAT),
        ("large_over", s.large_over.place(), QUEUE),
        ("large_timeout", s.large_timeout.place(), QUEUE),
        ("lock_duration", s.lock_duration.place(), IN_REDIS),
        ("lock_renew", s.lock_renew.place(), IN_REDIS),
        ("stalled_interval", s.stalled_interval.place(), IN_REDIS),
        ("max_stalled_count", s.max_stalled_count.place(), IN_REDIS),
        ("keep_failed", s.keep_failed.place(), IN_REDIS),
        ("prefix", s.prefix.place(), IN_REDIS),
        ("planted_bug", s.planted_bug.place(), IN_REDIS),
        ("check_interval", s.check_interval.place(), IN_POSTGRES),
        ("patience", s.patience.place(), IN_POSTGRES),
        ("fencing", s.fencing.place(), FENCED),
        ("sweeper", s.sweeper.place(), SWEPT),
        ("sweeper_may_update", s.sweeper_may_update.place(), SWEPT),
        ("timeout", s.timeout.place(), NOT_POOL),
        ("worker_count", s.worker_count.place(), POOL),
        ("max_job_duration", s.max_job_duration.place(), POOL),
        ("page_timeout", s.page_timeout.place(), POOL),
        ("health_monitoring", s.health_monitoring.place(), POOL),
        ("health_interval", s.health_interval.place(), POOL),
        ("memory_threshold", s.memory_threshold.place(), POOL),
        ("memory_relief", s.memory_relief.place(), POOL),
        ("worker_restart", s.worker_restart.place(), POOL),
    ]
}
