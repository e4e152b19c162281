//! The processes under test: a reference system by its settings.

mod foreign;
mod heartbeat;
mod pool;
mod queue;
mod table;

use super::{Context, external};
use std::collections::BTreeMap;

use crate::names::{Endpoint, ProcessName, Store};
use crate::protocol::Backoff;
use crate::protocol::pool::settings::QUEUE_NAME;
use crate::scenario::decode::Field;
use crate::scenario::diagnostic::{Code, Place};
use crate::scenario::raw::System;
use crate::scenario::raw::fleet::Settings;
use crate::scenario::scalar::Whole;
use crate::scenario::{
    EXPORTER, EffectQuery, Fleet, FleetRole, FleetSettings, HeartbeatSettings, ProcessSpec, Program, Stack,
    raw,
};
use crate::time::Span;

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
            .hint("`system: redis-queue` or another reference system, or `external: {…}`");
    }
    let system = fleet.system.value()?;
    if let Some(stack) = stack {
        require_stores(*system, stack, raw.stack.place().unwrap_or(placed.place), context);
    }
    let workers = match &fleet.workers {
        Field::Absent if *system == System::WorkerPool => pool::REPLICAS,
        Field::Absent => 1,
        workers => workers.value()?.0 as u32,
    };
    let settings_place = fleet.settings.place().unwrap_or(placed.place);
    let none = Settings::default();
    let settings = fleet.settings.value().unwrap_or(&none);
    let reference = Reference { system: *system, workers, settings, place: settings_place };
    let (mut fleet, defaults) = reference.resolve(context);
    if raw.stack.value().is_some_and(|stack| stack.prometheus.given().is_some()) {
        fleet.processes.extend(reference.exporter(&fleet));
    }
    Some((fleet, defaults))
}

fn require_stores(system: System, stack: &Stack, place: Place, context: &mut Context<'_, '_>) {
    let has = [(Store::Redis, stack.redis.is_some()), (Store::Postgres, stack.postgres.is_some())];
    let missing = has.iter().filter(|(store, is_there)| !is_there && system.stores().contains(store));
    for (store, _) in missing {
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
            Self::PostgresHeartbeat => "postgres-heartbeat",
            Self::WorkerPool => "worker-pool",
            Self::PostgresJobs => "postgres-jobs",
        }
    }

    /// Those that it cannot do without.
    const fn stores(self) -> &'static [Store] {
        match self {
            Self::RedisHeartbeat | Self::RedisQueue | Self::WorkerPool => &Store::ALL,
            Self::PostgresHeartbeat | Self::PostgresJobs => &[Store::Postgres],
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
        foreign::refuse(self.system, self.settings, context);
        let mut defaults = self.job_defaults(context);
        let fleet = match self.system {
            System::RedisHeartbeat => {
                let heartbeat = self.heartbeat(context);
                let settings = self.in_redis(&["regular"], Some(heartbeat.clone()), context);
                self.heartbeat_fleet(&settings, &heartbeat)
            }
            System::RedisQueue => {
                let settings = self.in_redis(&["regular", "large"], None, context);
                self.queue_fleet(&settings, context)
            }
            System::PostgresHeartbeat => self.swept_fleet(context),
            System::WorkerPool => {
                let pool = self.pool(context);
                defaults.timeout = Some(pool.max_job_duration);
                let settings =
                    FleetSettings { pool: Some(pool.clone()), ..self.in_redis(&[QUEUE_NAME], None, context) };
                self.pool_fleet(&settings, &pool, context)
            }
            System::PostgresJobs => self.rescued_fleet(defaults.attempts, context),
        };
        (fleet, defaults)
    }

    fn job_defaults(&self, context: &mut Context<'_, '_>) -> JobDefaults {
        let timeout = context.positive(&self.settings.timeout, secs(30 * 60), "timeout", self.place);
        JobDefaults {
            attempts: self.settings.attempts.value().map_or(3, |Whole(n)| *n as u32),
            backoff: self.settings.backoff.value().map_or_else(
                || Backoff::Exponential(context.scale.to_wall(secs(1))),
                |backoff| context.backoff(backoff),
            ),
            timeout: Some(timeout),
            large_timeout: self.large_timeout(context),
        }
    }

    fn large_timeout(&self, context: &mut Context<'_, '_>) -> Option<(Span, Span)> {
        let given = self.settings.large_timeout.given()?;
        let timeout =
            context.positive(&self.settings.large_timeout, given.value.0, "large_timeout", self.place);
        Some((self.large_over(context), timeout))
    }

    /// A job whose work sums up to more is a large one.
    fn large_over(&self, context: &mut Context<'_, '_>) -> Span {
        context.positive(&self.settings.large_over, secs(40 * 60), "large_over", self.place)
    }

    /// Of a fleet whose queue is in Redis.
    fn in_redis(
        &self,
        queues: &[&str],
        heartbeat: Option<HeartbeatSettings>,
        context: &mut Context<'_, '_>,
    ) -> FleetSettings {
        FleetSettings {
            prefix: self.settings.prefix.value().map_or_else(|| "syncope:test".to_owned(), |p| p.0.clone()),
            queue: self.queue(queues, context),
            heartbeat,
            pool: None,
            planted_bug: self.settings.planted_bug.value().copied(),
        }
    }

    fn worker_specs(&self, settings: &FleetSettings) -> Vec<ProcessSpec> {
        (1..=self.workers)
            .map(|index| ProcessSpec {
                env: environment(&Store::ALL.map(Endpoint::Store), false),
                links: Store::ALL.map(Endpoint::Store).to_vec(),
                grace: settings.queue.shutdown_grace + STOP_MARGIN,
                ..ProcessSpec::new(
                    ProcessName::from(format!("worker-{index}")),
                    "worker",
                    index,
                    reference(FleetRole::Worker, settings),
                )
            })
            .collect()
    }

    /// Who tells the metrics of a queue in Redis.
    fn exporter(&self, fleet: &Fleet) -> Option<ProcessSpec> {
        if let Some(exporter) = table::exporter(fleet) {
            return Some(exporter);
        }
        let settings = fleet.processes.iter().find_map(|spec| match &spec.program {
            Program::Reference { settings, .. } => Some(settings),
            _ => None,
        })?;
        let links = Store::ALL.map(Endpoint::Store).to_vec();
        Some(self.single(&ProcessName::new(EXPORTER), FleetRole::Exporter, links, settings))
    }

    /// A process that serves HTTP, alone in its role.
    fn single(
        &self,
        name: &ProcessName,
        role: FleetRole,
        links: Vec<Endpoint>,
        settings: &FleetSettings,
    ) -> ProcessSpec {
        ProcessSpec {
            env: environment(&links, true),
            links,
            serves_http: true,
            grace: STOP_MARGIN,
            ..ProcessSpec::new(name.clone(), name.as_str(), 1, reference(role, settings))
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
        steps_sql: Some("SELECT job, step FROM segments ORDER BY 1, 2".into()),
        ..EffectQuery::default()
    }
}
