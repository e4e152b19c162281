//! `worker-pool`: pools of workers on the queue of `redis-queue`, and the site that they fetch from.

use super::{Reference, STOP_MARGIN, environment, reference};
use crate::names::{Endpoint, ProcessName, Store};
use crate::protocol::pool::settings::PoolSettings;
use crate::scenario::scalar::{Flag, Share, Whole};
use crate::scenario::{Enqueue, Fleet, FleetRole, FleetSettings, ProcessSpec};

use super::super::Context;

/// Pools of a fleet that does not say how many: source 004 deploys two.
pub(super) const REPLICAS: u32 = 2;

impl Reference<'_> {
    pub(super) fn pool(&self, context: &mut Context<'_, '_>) -> PoolSettings {
        let s = self.settings;
        let documented = PoolSettings::documented();
        let interval = documented.health_interval.unwrap_or_default();
        let interval = context.positive(&s.health_interval, interval, "health_interval", self.place);
        let monitors = s.health_monitoring.value().is_none_or(|Flag(monitors)| *monitors);
        let longest = documented.max_job_duration;
        PoolSettings {
            workers: s.worker_count.value().map_or(documented.workers, |Whole(n)| *n as u32),
            max_job_duration: context.positive(&s.max_job_duration, longest, "max_job_duration", self.place),
            page_timeout: context.positive(
                &s.page_timeout,
                documented.page_timeout,
                "page_timeout",
                self.place,
            ),
            health_interval: monitors.then_some(interval),
            tells_health: true,
            restart_after: context.span(&s.worker_restart, documented.restart_after),
            memory_threshold_ppm: s
                .memory_threshold
                .value()
                .map_or(documented.memory_threshold_ppm, |Share(ppm)| *ppm),
            relief: context.span(&s.memory_relief, documented.relief),
        }
    }

    /// The queue, its probe and its timing are those of `redis-queue`; the processes are others.
    pub(super) fn pool_fleet(
        &self,
        settings: &FleetSettings,
        pool: &PoolSettings,
        context: &mut Context<'_, '_>,
    ) -> Fleet {
        let site = ProcessName::new("site");
        let mut processes = vec![self.single(&site, FleetRole::Site, Vec::new(), settings)];
        processes.extend((1..=self.workers).map(|index| self.pool_spec(index, &site, settings)));
        Fleet {
            processes,
            enqueue: Enqueue::Queue {
                prefix: settings.prefix.clone(),
                queues: settings.queue.queues.clone(),
                large_over: None,
            },
            concurrency: pool.workers.saturating_mul(settings.queue.concurrency),
            ..self.queue_fleet(settings, context)
        }
    }

    fn pool_spec(&self, index: u32, site: &ProcessName, settings: &FleetSettings) -> ProcessSpec {
        let links = vec![
            Endpoint::Store(Store::Redis),
            Endpoint::Store(Store::Postgres),
            Endpoint::Process(site.clone()),
        ];
        ProcessSpec {
            env: environment(&links, true),
            links,
            serves_http: true,
            grace: settings.queue.shutdown_grace + STOP_MARGIN,
            ..ProcessSpec::new(
                ProcessName::from(format!("pool-{index}")),
                "pool",
                index,
                reference(FleetRole::Pool, settings),
            )
        }
    }
}
