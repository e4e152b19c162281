//! The processes under test: a reference system by its settings.

use super::{Context, external};
use std::collections::BTreeMap;

use crate::names::{Endpoint, ProcessName, Store};
use crate::protocol::Backoff;
use crate::scenario::decode::Field;
use crate::scenario::diagnostic::{Code, Place};
use crate::scenario::raw::System;
use crate::scenario::raw::fleet::Settings;
use crate::scenario::scalar::Whole;
use crate::scenario::{
    Ask, EffectQuery, Enqueue, Fleet, FleetRole, FleetSettings, HeartbeatSettings, Probe, ProcessSpec,
    Program, QueueSettings, Stack, raw,
};
use crate::time::Span;
use crate::timing::{Age, Asked, Beat, Checker, Expiry, Gate, Guard, Pipeline, Recovery, Subject, Sweep};

/// What the fleet says about jobs, where the workload does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobDefaults {
    pub attempts: u32,
    pub backoff: Backoff,
    pub timeout: Option<Span>,
    /// From which length on a job is large, and the timeout of those.
    pub large_timeout: Option<(Span, Span)>,
}

impl Default for JobDefaults {
    fn default() -> Self {
        Self { attempts: 1, backoff: Backoff::Fixed(Span::ZERO), timeout: None, large_timeout: None }
    }
}

/// `None` if the fleet is wrong beyond use, and reported.
pub(super) fn resolve(
    raw: &raw::Scenario,
    stack: Option<&Stack>,
    context: &mut Context<'_, '_>,
) -> Option<(Fleet, JobDefaults)> {
    let placed = raw.fleet.given()?;
    let fleet = &placed.value;
    if let (Some(_), Some(place)) = (fleet.system.given(), fleet.external.place()) {
        context
            .report
            .add(Code::OneOf, place, "`external` cannot stand beside `system`")
            .hint("a reference system, or processes of your own");
        return None;
    }
    if let Some(external) = fleet.external.given() {
        for (key, place) in [("workers", fleet.workers.place()), ("settings", fleet.settings.place())] {
            if let Some(place) = place {
                context
                    .report
                    .add(Code::ForeignSetting, place, format!("an external fleet has no `{key}`"))
                    .hint("its processes are counted and set up under `external: {roles: …}`");
            }
        }
        return external::resolve(external, stack, context).map(|fleet| (fleet, JobDefaults::default()));
    }
    if fleet.system.is_absent() && fleet.external.is_absent() {
        context
            .report
            .add(Code::OneOf, placed.place, "the fleet is neither a reference system nor external")
            .hint("`system: redis-heartbeat`, `system: redis-queue`, or `external: {…}`");
    }
    let system = fleet.system.value()?;
    if let Some(stack) = stack {
        require_stores(*system, stack, raw.stack.place().unwrap_or(placed.place), context);
    }
    let workers = match &fleet.workers {
        Field::Absent => 1,
        workers => workers.value()?.0 as u32,
    };
    let settings_place = fleet.settings.place().unwrap_or(placed.place);
    let none = Settings::default();
    let settings = fleet.settings.value().unwrap_or(&none);
    Some(Reference { system: *system, workers, settings, place: settings_place }.resolve(context))
}

fn require_stores(system: System, stack: &Stack, place: Place, context: &mut Context<'_, '_>) {
    let has = [(Store::Redis, stack.redis.is_some()), (Store::Postgres, stack.postgres.is_some())];
    for (store, _) in has.iter().filter(|(_, is_there)| !is_there) {
        context
            .report
            .add(Code::MissingStore, place, format!("`{}` needs {store}", system.as_str()))
            .hint(format!("add `{store}: {{}}` to the stack"));
    }
}

impl System {
    const fn as_str(self) -> &'static str {
        match self {
            Self::RedisHeartbeat => "redis-heartbeat",
            Self::RedisQueue => "redis-queue",
        }
    }
}

/// A reference system while it is resolved.
struct Reference<'a> {
    system: System,
    workers: u32,
    settings: &'a Settings,
    /// Of the settings.
    place: Place,
}

const fn secs(seconds: u64) -> Span {
    Span::from_secs(seconds)
}

/// After its own grace a worker has this much wall time to go before it is killed.
const STOP_MARGIN: Span = secs(2);

impl Reference<'_> {
    fn resolve(&self, context: &mut Context<'_, '_>) -> (Fleet, JobDefaults) {
        self.refuse_foreign(context);
        let queue = self.queue(context);
        let heartbeat = (self.system == System::RedisHeartbeat).then(|| self.heartbeat(context));
        let prefix =
            self.settings.prefix.value().map_or_else(|| "syncope:test".to_owned(), |prefix| prefix.0.clone());
        let settings = FleetSettings {
            prefix,
            queue,
            heartbeat,
            planted_bug: self.settings.planted_bug.value().copied(),
        };
        let timeout = context.positive(&self.settings.timeout, secs(30 * 60), "timeout", self.place);
        let defaults = JobDefaults {
            attempts: self.settings.attempts.value().map_or(3, |Whole(n)| *n as u32),
            backoff: self.settings.backoff.value().map_or_else(
                || Backoff::Exponential(context.scale.to_wall(secs(1))),
                |backoff| context.backoff(backoff),
            ),
            timeout: Some(timeout),
            large_timeout: self.large_timeout(context),
        };
        let fleet = match &settings.heartbeat {
            Some(heartbeat) => self.heartbeat_fleet(&settings, heartbeat),
            None => self.queue_fleet(&settings, context),
        };
        (fleet, defaults)
    }

    fn refuse_foreign(&self, context: &mut Context<'_, '_>) {
        let s = self.settings;
        let heartbeat = [
            ("interval", s.interval.place()),
            ("ttl", s.ttl.place()),
            ("threshold", s.threshold.place()),
            ("retries", s.retries.place()),
            ("retry_backoff", s.retry_backoff.place()),
            ("ready_wait", s.ready_wait.place()),
            ("lock_ttl", s.lock_ttl.place()),
            ("lock_interval", s.lock_interval.place()),
        ];
        let queue = [("large_over", s.large_over.place()), ("large_timeout", s.large_timeout.place())];
        let (foreign, owner): (&[_], _) = match self.system {
            System::RedisHeartbeat => (&queue, System::RedisQueue),
            System::RedisQueue => (&heartbeat, System::RedisHeartbeat),
        };
        for (key, place) in foreign {
            if let Some(place) = place {
                context
                    .report
                    .add(
                        Code::ForeignSetting,
                        *place,
                        format!("`{}` has no setting `{key}`", self.system.as_str()),
                    )
                    .hint(format!("`{key}` belongs to `{}`", owner.as_str()));
            }
        }
    }

    fn queue(&self, context: &mut Context<'_, '_>) -> QueueSettings {
        let s = self.settings;
        let lock = s.lock_duration.value().map_or(secs(30), |duration| duration.0);
        let half = Span::from_nanos(lock.as_nanos() / 2);
        let queues: &[&str] = match self.system {
            System::RedisHeartbeat => &["regular"],
            System::RedisQueue => &["regular", "large"],
        };
        QueueSettings {
            queues: queues.iter().map(|&queue| queue.to_owned()).collect(),
            concurrency: s.concurrency.value().map_or(1, |Whole(n)| *n as u32),
            lock_duration: context.positive(&s.lock_duration, lock, "lock_duration", self.place),
            lock_renew: context.positive(&s.lock_renew, half, "lock_renew", self.place),
            stalled_interval: context.positive(&s.stalled_interval, secs(30), "stalled_interval", self.place),
            max_stalled_count: s.max_stalled_count.value().map_or(1, |Whole(n)| *n as u32),
            claim_poll: context.positive(&s.claim_poll, secs(1), "claim_poll", self.place),
            shutdown_grace: context.span(&s.shutdown_grace, secs(30)),
            keep_failed: context.positive(&s.keep_failed, secs(7 * 86_400), "keep_failed", self.place),
        }
    }

    fn large_timeout(&self, context: &mut Context<'_, '_>) -> Option<(Span, Span)> {
        let given = self.settings.large_timeout.given()?;
        let timeout =
            context.positive(&self.settings.large_timeout, given.value.0, "large_timeout", self.place);
        Some((self.large_over(context), timeout))
    }

    fn large_over(&self, context: &Context<'_, '_>) -> Span {
        context.span(&self.settings.large_over, secs(40 * 60))
    }

    fn heartbeat(&self, context: &mut Context<'_, '_>) -> HeartbeatSettings {
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

    fn queue_fleet(&self, settings: &FleetSettings, context: &mut Context<'_, '_>) -> Fleet {
        let queue = &settings.queue;
        let large_over = context.positive(&self.settings.large_over, secs(40 * 60), "large_over", self.place);
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

    fn heartbeat_fleet(&self, settings: &FleetSettings, heartbeat: &HeartbeatSettings) -> Fleet {
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

    fn worker_specs(&self, settings: &FleetSettings) -> Vec<ProcessSpec> {
        (1..=self.workers)
            .map(|index| ProcessSpec {
                name: ProcessName::from(format!("worker-{index}")),
                role: "worker".into(),
                index,
                program: reference(FleetRole::Worker, settings),
                env: environment(&Store::ALL.map(Endpoint::Store), false),
                links: Store::ALL.map(Endpoint::Store).to_vec(),
                serves_http: false,
                grace: settings.queue.shutdown_grace + STOP_MARGIN,
                fake_clock: false,
            })
            .collect()
    }

    fn single(
        &self,
        name: &ProcessName,
        role: FleetRole,
        links: Vec<Endpoint>,
        settings: &FleetSettings,
    ) -> ProcessSpec {
        ProcessSpec {
            name: name.clone(),
            role: name.to_string(),
            index: 1,
            program: reference(role, settings),
            env: environment(&links, true),
            links,
            serves_http: true,
            grace: STOP_MARGIN,
            fake_clock: false,
        }
    }
}

fn reference(role: FleetRole, settings: &FleetSettings) -> Program {
    Program::Reference { role, settings: Box::new(settings.clone()) }
}

/// What `syncope-fleet` is told beside its settings: its name, and where its links are.
fn environment(links: &[Endpoint], serves_http: bool) -> BTreeMap<String, String> {
    let link = |endpoint: &Endpoint| match endpoint {
        Endpoint::Store(Store::Redis) => ("REDIS_URL".to_owned(), "${redis.url}".to_owned()),
        Endpoint::Store(Store::Postgres) => ("DATABASE_URL".to_owned(), "${postgres.url}".to_owned()),
        Endpoint::Process(name) => {
            (format!("{}_URL", name.as_str().to_uppercase()), format!("${{{name}.url}}"))
        }
    };
    let mut environment: BTreeMap<_, _> = links.iter().map(link).collect();
    environment.insert("SYNCOPE_NAME".into(), "${name}".into());
    if serves_http {
        environment.insert("PORT".into(), "${port}".into());
    }
    environment
}

/// A hundredth of the beat, within what a machine bears and an eye forgives.
fn probe_interval(beat: Span) -> Span {
    Span::from_nanos(beat.as_nanos() / 100).clamp(Span::from_millis(25), Span::from_millis(250))
}

/// The reference fleet's tables: `jobs`, `effects`, `segments`.
fn reference_effects() -> EffectQuery {
    EffectQuery {
        sql: Some(
            "SELECT j.id, (SELECT count(*) FROM effects e WHERE e.job = j.id), j.status = 'failed' FROM jobs j \
             UNION ALL SELECT e.job, count(*), false FROM effects e \
             WHERE NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = e.job) GROUP BY e.job"
                .into(),
        ),
        redis: None,
        steps_sql: Some("SELECT job, step FROM segments ORDER BY 1, 2".into()),
    }
}
