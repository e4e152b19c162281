//! `redis-heartbeat`: workers with one heartbeat key, an api that asks for it, and the external
//! catalogue that the api falls back on.

use super::{Reference, probe_interval, reference_effects, secs};
use crate::names::{Endpoint, ProcessName, Store};
use crate::scenario::scalar::Whole;
use crate::scenario::{Ask, Enqueue, Fleet, FleetRole, FleetSettings, HeartbeatSettings, Probe};
use crate::time::Span;
use crate::timing::{Age, Asked, Beat, Checker, Expiry, Pipeline, Recovery, Subject};

use super::super::Context;

impl Reference<'_> {
    pub(super) fn heartbeat(&self, context: &mut Context<'_, '_>) -> HeartbeatSettings {
        let s = self.settings;
        HeartbeatSettings {
            interval: context.positive(&s.interval, secs(15), "interval", self.place),
            ttl: context.positive(&s.ttl, secs(30), "ttl", self.place),
            threshold: context.positive(&s.threshold, secs(45), "threshold", self.place),
            retries: s.retries.value().map_or(2, |Whole(n)| *n as u32),
            retry_backoff: context.span(&s.retry_backoff, Span::from_millis(500)),
            ready_wait: context.span(&s.ready_wait, secs(3)),
            lock_ttl: context.positive(&s.lock_ttl, secs(60), "lock_ttl", self.place),
            lock_interval: context.positive(&s.lock_interval, secs(20), "lock_interval", self.place),
        }
    }

    pub(super) fn heartbeat_fleet(&self, settings: &FleetSettings, heartbeat: &HeartbeatSettings) -> Fleet {
        let queue = &settings.queue;
        let [catalogue, api] = ["catalogue", "api"].map(ProcessName::new);
        let retries = u64::from(heartbeat.retries);
        let longest_answer = heartbeat.ready_wait.saturating_mul(retries + 1)
            + heartbeat.retry_backoff.saturating_mul(retries);
        let mut processes = vec![
            self.single(&catalogue, FleetRole::Catalogue, Vec::new(), settings),
            self.single(
                &api,
                FleetRole::Api,
                vec![
                    Endpoint::Store(Store::Redis),
                    Endpoint::Store(Store::Postgres),
                    Endpoint::Process(catalogue.clone()),
                ],
                settings,
            ),
        ];
        processes.extend(self.worker_specs(settings));
        Fleet {
            system: self.system.as_str().into(),
            processes,
            enqueue: Enqueue::Http {
                process: api.clone(),
                path: "/api/search".into(),
                body: r#"{"q":"${job}","job":${spec}}"#.into(),
            },
            liveness: Some(Probe {
                every: probe_interval(heartbeat.interval),
                timeout: longest_answer + secs(1),
                ask: Ask::Http {
                    process: api,
                    path: "/api/health".into(),
                    pointer: "/workers/online".into(),
                },
            }),
            effects: reference_effects(),
            state: None,
            pipeline: Some(Pipeline {
                beat: Beat::every(heartbeat.interval),
                expiry: Expiry::Both { ttl: heartbeat.ttl, age: Age::across(heartbeat.threshold) },
                checker: Checker::OnDemand(Asked {
                    every: Span::ZERO,
                    retries: heartbeat.retries,
                    backoff: heartbeat.retry_backoff,
                    ready_wait: heartbeat.ready_wait,
                }),
                // The heartbeat requeues nothing: the queue's own locks do.
                recovery: Recovery {
                    max_stalls: Some(queue.max_stalled_count),
                    ..Recovery::never(queue.claim_poll)
                },
                subject: Subject::Fleet,
            }),
            prepare: Vec::new(),
            concurrency: queue.concurrency,
        }
    }
}
