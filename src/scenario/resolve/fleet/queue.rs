//! `redis-queue`: a queue in Redis with locks that are renewed. `redis-heartbeat` has it too, for its
//! background jobs.

use super::{Reference, probe_interval, reference_effects, secs};
use crate::protocol::pool::settings::CONCURRENCY;
use crate::scenario::raw::System;
use crate::scenario::scalar::{Flag, Whole};
use crate::scenario::{Ask, Enqueue, Fleet, FleetSettings, Probe, QueueSettings};
use crate::time::Span;
use crate::timing::{Beat, Checker, Expiry, Gate, Guard, Pipeline, Recovery, Subject, Sweep};

use super::super::Context;

impl Reference<'_> {
    pub(super) fn queue(&self, queues: &[&str], context: &mut Context<'_, '_>) -> QueueSettings {
        let s = self.settings;
        let lock = s.lock_duration.value().map_or(secs(30), |duration| duration.0);
        let concurrency = if self.system == System::WorkerPool { CONCURRENCY } else { 1 };
        let half = Span::from_nanos(lock.as_nanos() / 2);
        QueueSettings {
            queues: queues.iter().map(|&queue| queue.to_owned()).collect(),
            concurrency: s.concurrency.value().map_or(concurrency, |Whole(n)| *n as u32),
            lock_duration: context.positive(&s.lock_duration, lock, "lock_duration", self.place),
            lock_renew: context.positive(&s.lock_renew, half, "lock_renew", self.place),
            stalled_interval: context.positive(&s.stalled_interval, secs(30), "stalled_interval", self.place),
            max_stalled_count: s.max_stalled_count.value().map_or(1, |Whole(n)| *n as u32),
            claim_poll: context.positive(&s.claim_poll, secs(1), "claim_poll", self.place),
            shutdown_grace: context.span(&s.shutdown_grace, secs(30)),
            keep_failed: context.positive(&s.keep_failed, secs(7 * 86_400), "keep_failed", self.place),
            fencing: s.fencing.value().is_none_or(|Flag(fencing)| *fencing),
        }
    }

    pub(super) fn queue_fleet(&self, settings: &FleetSettings, context: &mut Context<'_, '_>) -> Fleet {
        let queue = &settings.queue;
        let large_over = self.large_over(context);
        Fleet {
            system: self.system.as_str().into(),
            processes: self.worker_specs(settings),
            enqueue: Enqueue::Queue {
                prefix: settings.prefix.clone(),
                queues: queue.queues.clone(),
                large_over: Some(large_over),
            },
            liveness: Some(Probe {
                every: probe_interval(queue.lock_renew),
                timeout: secs(1),
                ask: Ask::RedisStalls {
                    command: vec!["HGETALL".into(), format!("{}:stalls", settings.prefix)],
                },
            }),
            effects: reference_effects(),
            state: None,
            pipeline: Some(Pipeline {
                beat: Beat::every(queue.lock_renew),
                expiry: Expiry::Ttl(queue.lock_duration),
                checker: Checker::Sweep(Sweep {
                    period: queue.stalled_interval,
                    two_phase: true,
                    guard: Guard::Paced(queue.stalled_interval),
                    gate: Gate::Open,
                }),
                recovery: Recovery {
                    max_stalls: Some(queue.max_stalled_count),
                    ..Recovery::at_once(queue.claim_poll)
                },
                subject: Subject::Holder,
            }),
            prepare: Vec::new(),
            concurrency: queue.concurrency,
        }
    }
}
