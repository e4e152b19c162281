//! The Prometheus of a scenario's stack in virtual time: what it scrapes and when, and when it
//! evaluates its rules. What a scrape reads is what `live::fleet::exporter` and
//! `live::observe::restarts` tell.

use super::client::{Ask, Who};
use super::clock::EPOCH_NANOS;
use super::program::Duty;
use super::watch::Asked;
use super::{Planned, World, unsupported};
use crate::backend::BackendError;
use crate::dist::Random;
use crate::history::Heard;
use crate::names::{ProcessName, Store};
use crate::protocol::StoreError;
use crate::scenario::{ProcessSpec, PrometheusSpec, Scenario};
use crate::sim::prometheus::{Group, Labels, SeriesId, Storage};
use crate::time::{Instant, Span};

/// How long before the fleet's processes the server was started: what it takes itself, and what the
/// stores take, which are there from the beginning here. On this project's machine 0.9 s, as a rule.
const STARTED_BEFORE_MIN: Span = Span::from_millis(600);
const STARTED_BEFORE_MAX: Span = Span::from_millis(1_500);

/// After its start the server waits so long until it takes its targets (`updatert` in Prometheus's
/// `discovery/manager.go`). Wall time, whatever the time scale.
const TARGETS_AFTER: Span = Span::from_secs(5);

const JOB_OF_FLEET: &str = "fleet";
const JOB_OF_HARNESS: &str = "harness";

/// The server: samples, rules, and the scrapes that are under way.
#[derive(Debug)]
pub(super) struct Monitor {
    spec: PrometheusSpec,
    storage: Storage,
    groups: Vec<Clocked>,
    targets: Vec<Target>,
    scrapes: Vec<Scrape>,
    /// How often each process was started again, with its role, by its place among the processes.
    restarts: Vec<(ProcessName, String, u64)>,
}

/// A group of rules, and when it is to be evaluated next.
#[derive(Debug)]
struct Clocked {
    group: Group,
    every: Span,
    slot: Instant,
}

#[derive(Debug)]
struct Target {
    /// None: the harness itself.
    process: Option<usize>,
    /// By which its series are told from those of others.
    labels: Vec<(&'static str, String)>,
    up: SeriesId,
    /// The series of its last scrape.
    told: Vec<SeriesId>,
    slot: Instant,
}

#[derive(Debug)]
struct Scrape {
    target: usize,
    slot: Instant,
    over: bool,
    readings: Vec<Reading>,
}

/// One line of a target's answer.
#[derive(Debug)]
pub(super) struct Reading {
    metric: &'static str,
    labels: Vec<(&'static str, String)>,
    value: f64,
}

/// What an exporter asks its store for one scrape, question by question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    scrape: u32,
    question: u32,
}

/// Prometheus's resolution.
fn millis(at: Instant) -> i64 {
    (i128::from(EPOCH_NANOS) + i128::from(at.as_nanos())).div_euclid(1_000_000) as i64
}

fn below(random: &mut Random, span: Span) -> Span {
    Span::from_nanos(random.below(span.as_nanos().max(1)))
}

impl Monitor {
    /// `None` if the stack has none.
    ///
    /// # Errors
    /// If a rule or a target is not modelled.
    pub fn new(
        scenario: &Scenario,
        now: Instant,
        random: &mut Random,
    ) -> Result<Option<Box<Self>>, BackendError> {
        let Some(spec) = &scenario.stack.prometheus else { return Ok(None) };
        let processes = &scenario.fleet.processes;
        let from_min = STARTED_BEFORE_MAX.as_nanos() - STARTED_BEFORE_MIN.as_nanos();
        let started_before = STARTED_BEFORE_MIN + below(random, Span::from_nanos(from_min));
        let mut groups = Vec::new();
        for group in &spec.groups {
            let every = group.interval.unwrap_or(spec.evaluation_interval);
            let group = Group::read(&group.rules, spec.evaluation_interval)
                .map_err(|(rule, refusal)| unsupported(&format!("the rule {rule}: {refusal}")))?;
            groups.push(Clocked { group, every, slot: now + below(random, every) });
        }
        let mut storage = Storage::default();
        let mut targets = Vec::new();
        let scraped = spec.scrape.iter().map(Some).chain([None]);
        for name in scraped {
            let process = name.map(|name| exporter_named(name, processes)).transpose()?;
            let labels = match name {
                Some(name) => {
                    let instance = ("instance", format!("{name}:80"));
                    vec![("job", JOB_OF_FLEET.to_owned()), instance, ("process", name.to_string())]
                }
                None => vec![("job", JOB_OF_HARNESS.to_owned()), ("instance", "harness:80".to_owned())],
            };
            let up = storage.series(&series("up", &labels, &[]));
            let first = now + (TARGETS_AFTER - started_before) + below(random, spec.scrape_interval);
            targets.push(Target { process, labels, up, told: Vec::new(), slot: first });
        }
        let restarts = processes.iter().map(|spec| (spec.name.clone(), spec.role.clone(), 0)).collect();
        Ok(Some(Box::new(Self {
            spec: spec.clone(),
            storage,
            groups,
            targets,
            scrapes: Vec::new(),
            restarts,
        })))
    }

    /// A process was started again.
    pub fn restarted(&mut self, process: usize) {
        self.restarts[process].2 += 1;
    }

    fn restarts(&self) -> Vec<Reading> {
        let reading = |(name, role, count): &(ProcessName, String, u64)| Reading {
            metric: "kube_pod_container_status_restarts_total",
            labels: vec![("container", role.clone()), ("pod", name.to_string())],
            value: *count as f64,
        };
        self.restarts.iter().map(reading).collect()
    }

    /// What Prometheus says of the alert, as the live watcher reads it.
    fn alert(&self, name: &str) -> Heard {
        match self.groups.iter().find_map(|it| it.group.alert(name)) {
            Some(Ok(state)) => Heard::Said(state.to_string()),
            Some(Err(error)) => Heard::Unknown { error: error.to_owned() },
            None => Heard::Unknown { error: format!("there is no alert {name}") },
        }
    }

    /// The target has answered, or has not: then its series end, and it is down.
    fn scraped(&mut self, scrape: usize, answered: bool) {
        let it = &mut self.scrapes[scrape];
        if std::mem::replace(&mut it.over, true) {
            return;
        }
        let (at, readings) = (millis(it.slot), std::mem::take(&mut it.readings));
        let target = &mut self.targets[it.target];
        let mut told = Vec::new();
        for reading in readings.iter().filter(|_| answered) {
            let series = self.storage.series(&series(reading.metric, &target.labels, &reading.labels));
            self.storage.append(series, at, reading.value);
            told.push(series);
        }
        for gone in target.told.iter().filter(|series| !told.contains(series)) {
            self.storage.end(*gone, at);
        }
        target.told = told;
        self.storage.append(target.up, at, f64::from(u8::from(answered)));
    }
}

/// # Errors
/// If it is a process whose metrics are not modelled.
fn exporter_named(name: &ProcessName, processes: &[ProcessSpec]) -> Result<usize, BackendError> {
    let place = processes.iter().position(|spec| spec.name == *name);
    let tells = |place: &usize| Duty::of(&processes[*place].program).is_some_and(|duty| duty.tells_metrics());
    place.filter(tells).ok_or_else(|| unsupported(&format!("a scrape of {name}, which is not modelled")))
}

fn series(metric: &str, ours: &[(&'static str, String)], told: &[(&'static str, String)]) -> Labels {
    let labels = told.iter().chain(ours).map(|(name, value)| (*name, value.as_str()));
    Labels::new(labels.chain([("__name__", metric)]))
}

impl World {
    /// The server begins its rounds.
    pub(super) fn start_monitor(&mut self) {
        let Some(monitor) = &self.monitor else { return };
        let evaluations = monitor.groups.iter().enumerate();
        let evaluations = evaluations.map(|(group, it)| (it.slot, Planned::Evaluate { group }));
        let scrapes = monitor.targets.iter().enumerate();
        let scrapes = scrapes.map(|(target, it)| (it.slot, Planned::Scrape { target }));
        let planned: Vec<_> = evaluations.chain(scrapes).collect();
        for (at, planned) in planned {
            self.plan(at, planned);
        }
    }

    pub(super) fn evaluate(&mut self, group: usize) {
        let Some(monitor) = &mut self.monitor else { return };
        let it = &mut monitor.groups[group];
        it.group.evaluate(millis(it.slot), &mut monitor.storage);
        it.slot = it.slot + it.every;
        let at = it.slot + self.delays.wake.sample(&mut self.random);
        self.plan(at, Planned::Evaluate { group });
    }

    /// Asks the target, and plans the next time.
    pub(super) fn scrape(&mut self, target: usize) {
        let Some(monitor) = &mut self.monitor else { return };
        let every = monitor.spec.scrape_interval;
        let it = &mut monitor.targets[target];
        let (slot, process) = (it.slot, it.process);
        it.slot = it.slot + every;
        let next = it.slot;
        let readings = if process.is_none() { monitor.restarts() } else { Vec::new() };
        let scrape = monitor.scrapes.len();
        monitor.scrapes.push(Scrape { target, slot, over: false, readings });
        match process {
            Some(process) => {
                self.plan_after_message(Planned::ScrapeArrives { scrape, process });
                self.plan_after(every, Planned::ScrapeLimit { scrape });
            }
            None => self.plan_after_message(Planned::Scraped { scrape }),
        }
        let at = next + self.delays.wake.sample(&mut self.random);
        self.plan(at, Planned::Scrape { target });
    }

    /// The request is at the process; no link carries it.
    pub(super) fn scrape_arrives(&mut self, scrape: usize, process: usize) {
        if !self.processes[process].listens() {
            self.scraped(scrape, false);
        } else if self
            .unless_still(Some(process), (), |()| Planned::ScrapeArrives { scrape, process })
            .is_some()
        {
            self.ask_for_scrape(process, Part { scrape: scrape as u32, question: 0 });
        }
    }

    fn ask_for_scrape(&mut self, process: usize, part: Part) {
        let it = &self.processes[process];
        let client = it.duty.store_of_metrics().and_then(|store| it.client(store));
        if let Some(client) = client {
            self.call(client, Who::Scrape(part), Ask::Metrics(part));
        }
    }

    /// The exporter has its store's answer: it asks on, or tells all that it has.
    pub(super) fn measured<T>(&mut self, process: usize, part: Part, result: &Result<T, StoreError>) {
        let scrape = part.scrape as usize;
        let part = Part { question: part.question + 1, ..part };
        if result.is_err() {
            self.plan_after_message(Planned::ScrapeLimit { scrape });
        } else if part.question < self.processes[process].duty.questions_of_metrics() {
            self.ask_for_scrape(process, part);
        } else {
            self.plan_after_message(Planned::Scraped { scrape });
        }
    }

    /// Its process has ended: nobody answers any more.
    pub(super) fn scrapes_break(&mut self, process: usize) {
        let Some(monitor) = &mut self.monitor else { return };
        for scrape in 0..monitor.scrapes.len() {
            if monitor.targets[monitor.scrapes[scrape].target].process == Some(process) {
                monitor.scraped(scrape, false);
            }
        }
    }

    pub(super) fn scraped(&mut self, scrape: usize, answered: bool) {
        if let Some(monitor) = &mut self.monitor {
            monitor.scraped(scrape, answered);
        }
    }

    /// At the store: what an exporter has asked for.
    pub(super) fn measure(&mut self, process: usize, part: Part, is_elsewhere: bool) {
        let readings = match &self.processes[process].duty {
            Duty::Fleet { settings, .. } => {
                let queue = settings.queue.queues.get(part.question as usize).map_or("", String::as_str);
                let redis = if is_elsewhere { &self.stores.elsewhere } else { &self.stores.redis };
                let counts = redis.counts(queue);
                let reading = |(state, count): (&'static str, usize)| Reading {
                    metric: "queue_jobs",
                    labels: vec![("queue", queue.to_owned()), ("state", state.to_owned())],
                    value: count as f64,
                };
                counts.into_iter().map(reading).collect()
            }
            Duty::Exporter { active, .. } if part.question == 0 => self.readings_of_beats(*active),
            Duty::Exporter { .. } => self.readings_of_jobs(),
            Duty::Table { .. } | Duty::Sweeper { .. } => Vec::new(),
        };
        if let Some(monitor) = &mut self.monitor {
            monitor.scrapes[part.scrape as usize].readings.extend(readings);
        }
    }

    fn readings_of_beats(&self, active: Span) -> Vec<Reading> {
        let (now, beats) = (self.postgres_time(), self.stores.postgres.beats());
        let fresh = beats.values().filter(|beat| now.since(**beat) < active).count();
        let metric = |metric, value| Reading { metric, labels: Vec::new(), value };
        let mut readings = vec![metric("workers_active", fresh as f64)];
        if let Some(newest) = beats.values().max() {
            // The column's resolution.
            let micros = (i128::from(EPOCH_NANOS) + i128::from(newest.as_nanos())).div_euclid(1_000);
            readings.push(metric("workers_last_heartbeat_timestamp_seconds", micros as f64 / 1e6));
        }
        readings
    }

    fn readings_of_jobs(&self) -> Vec<Reading> {
        let reading = |(status, count): (&'static str, u64)| Reading {
            metric: "jobs",
            labels: vec![("state", status.to_owned())],
            value: count as f64,
        };
        self.stores.postgres.statistics().into_iter().map(reading).collect()
    }

    pub(super) fn answer_watch_of_alert(&mut self, asked: Asked, alert: &str) {
        let Some(monitor) = &self.monitor else { return };
        let answer = monitor.alert(alert);
        self.plan_after_message(Planned::WatchHeard { asked, answer: Box::new(answer) });
    }
}

impl Duty {
    /// The store that a process reads to tell its metrics; `None` if it tells none.
    pub const fn store_of_metrics(&self) -> Option<Store> {
        match self {
            Self::Fleet { role: crate::protocol::FleetRole::Exporter, .. } => Some(Store::Redis),
            Self::Exporter { .. } => Some(Store::Postgres),
            Self::Fleet { .. } | Self::Table { .. } | Self::Sweeper { .. } => None,
        }
    }

    pub const fn tells_metrics(&self) -> bool {
        self.store_of_metrics().is_some()
    }

    /// How many questions to the store make one scrape: one for each queue; the beats and the jobs.
    fn questions_of_metrics(&self) -> u32 {
        match self {
            Self::Fleet { settings, .. } => settings.queue.queues.len() as u32,
            _ => 2,
        }
    }
}
