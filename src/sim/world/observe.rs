//! What the harness itself asks and does: probes, enqueues, the final state.

use std::collections::{BTreeMap, BTreeSet};

use super::client::{Ask, Who};
use super::http::{Asker, Body, From, HttpAnswer};
use super::server::Health;
use super::{Planned, World};
use crate::history::{EnqueueOutcome, FinalState, Sample, What};
use crate::names::{JobId, PRODUCER, Store};
use crate::protocol::{Command, JobSpec, Reply, StoreError, TableCommand};
use crate::scenario::{self, Enqueue, Probe};
use crate::time::{Instant, Span};

/// Probes are asked no more often than this, as in `live`.
const PROBE_INTERVAL_MIN: Span = Span::from_millis(5);
/// Asks without an answer at the same time; what is more is reported as unknown, unasked.
const ASKS_MAX: usize = 64;
/// An enqueue without an answer for so long has an unknown outcome.
const ENQUEUE_LIMIT: Span = Span::from_secs(10);

/// The producer's jobs, in the order in which they were enqueued.
#[derive(Debug, Default)]
pub(super) struct Producer {
    pub client: Option<usize>,
    pub wire: usize,
    jobs: Vec<(JobId, Instant)>,
}

#[derive(Debug)]
pub(super) struct Prober {
    pub on: bool,
    every: Span,
    limit: Span,
    /// The process whose api is asked; none: the store is.
    api: Option<usize>,
    store: Store,
    /// The asks so far, and how many wait for an answer.
    asks: Vec<ProbeAsk>,
    waiting: usize,
}

impl Prober {
    pub fn new(probe: Option<&Probe>, api: Option<usize>) -> Self {
        let every = probe.map_or(Span::MAX, |probe| probe.every.max(PROBE_INTERVAL_MIN));
        let limit = probe.map_or(Span::MAX, |probe| probe.timeout);
        let in_postgres = probe.is_some_and(|probe| matches!(probe.ask, scenario::Ask::SqlStalls { .. }));
        let store = if in_postgres { Store::Postgres } else { Store::Redis };
        Self { on: false, every, limit, api, store, asks: Vec::new(), waiting: 0 }
    }

    /// The scenario has a liveness probe.
    pub fn asks_something(&self) -> bool {
        self.every < Span::MAX
    }
}

/// An answer on its way to the prober.
#[derive(Debug)]
pub(super) enum Saw {
    Alive(bool),
    Stalls(Box<[(JobId, u32)]>),
}

#[derive(Debug)]
struct ProbeAsk {
    asked: Instant,
    over: bool,
}

/// What was read of the jobs' states, so that only changes are reported.
#[derive(Debug, Default)]
pub(super) struct Collector {
    reported: BTreeMap<JobId, FinalState>,
    /// What the store's changes were at the last reading.
    changes: Option<u64>,
}

impl World {
    pub(super) fn enqueue(&mut self, job: JobSpec) {
        let number = self.producer.jobs.len() as u64;
        self.producer.jobs.push((job.id.clone(), self.now));
        self.say(PRODUCER.into(), What::EnqueueAsked { job: job.id.clone() });
        match (&self.enqueue_by, self.producer.client) {
            (Enqueue::Queue { queues, large_over, .. }, Some(client)) => {
                let work = job.steps.iter().fold(Span::ZERO, |sum, step| sum + *step);
                let is_large = large_over.is_some_and(|limit| work > limit);
                let queue = queues.get(usize::from(is_large)).or_else(|| queues.first());
                let queue = queue.map_or("", String::as_str).into();
                let command = Command::Enqueue { queue, job };
                self.call(client, Who::Enqueue(number), Ask::Command(command));
            }
            (Enqueue::Table, Some(client)) => {
                let command = Command::Table(TableCommand::Enqueue { job });
                self.call(client, Who::Enqueue(number), Ask::Command(command));
            }
            _ => {
                let wire = self.producer.wire;
                let body = Body::Search(Box::new(job));
                self.exchange(From::Producer(number), wire, body, ENQUEUE_LIMIT);
            }
        }
    }

    pub(super) fn enqueued_by_producer(&mut self, job: u64, result: Result<Reply, StoreError>) {
        let outcome = match result {
            Ok(Reply::Enqueued(true)) => EnqueueOutcome::Acknowledged,
            Ok(Reply::Enqueued(false)) => EnqueueOutcome::Declined("a job of this id exists".to_owned()),
            Ok(other) => EnqueueOutcome::Unknown(format!("an unexpected answer: {other:?}")),
            Err(error) => EnqueueOutcome::Unknown(error.to_string()),
        };
        self.enqueue_answered(job, outcome);
    }

    pub(super) fn answered_producer(&mut self, job: u64, answer: Result<HttpAnswer, String>) {
        let outcome = match answer {
            Ok(HttpAnswer::Acknowledged) => EnqueueOutcome::Acknowledged,
            Ok(HttpAnswer::Declined) => EnqueueOutcome::Declined("workers_offline".to_owned()),
            Ok(HttpAnswer::Unavailable | HttpAnswer::Found) => {
                EnqueueOutcome::Unknown("HTTP 503 Service Unavailable".to_owned())
            }
            Err(reason) => EnqueueOutcome::Unknown(reason),
        };
        self.enqueue_answered(job, outcome);
    }

    fn enqueue_answered(&mut self, job: u64, outcome: EnqueueOutcome) {
        let place = usize::try_from(job).unwrap_or(usize::MAX);
        if let Some((job, asked)) = self.producer.jobs.get(place).cloned() {
            self.say(PRODUCER.into(), What::EnqueueAnswered { job, asked, outcome });
        }
    }

    /// Asks, and plans the next ask.
    pub(super) fn tick(&mut self) {
        if !self.prober.on {
            return;
        }
        self.plan_after(self.prober.every, Planned::Tick);
        if self.prober.waiting >= ASKS_MAX {
            let error = format!("{ASKS_MAX} asks are unanswered already");
            let sample = Sample::Unknown { error };
            return self.tell(What::Probe { asked: self.now, sample });
        }
        let ask = self.prober.asks.len();
        self.prober.asks.push(ProbeAsk { asked: self.now, over: false });
        self.prober.waiting += 1;
        self.plan_after_message(Planned::AskArrives { ask });
        self.plan_after(self.prober.limit, Planned::AskLimit { ask });
    }

    /// The ask is at the process, or at the store; no link carries it.
    pub(super) fn ask_arrives(&mut self, ask: usize) {
        let Some(process) = self.prober.api else {
            let store = self.prober.store;
            return match self.health(store) {
                Health::Up => self.answer_stalls(ask),
                Health::Hanging => self.server(store).asks.push(ask),
                Health::Down => self.ask_failed(ask, "connection refused"),
            };
        };
        if !self.processes[process].listens() {
            self.ask_failed(ask, "connection refused");
        } else if self.unless_still(Some(process), (), |()| Planned::AskArrives { ask }).is_some() {
            self.request(process, Asker::Probe(ask), None);
        }
    }

    pub(super) fn answer_stalls(&mut self, ask: usize) {
        let owned = |(job, count): (&JobId, u32)| (job.clone(), count);
        let mut stalls: Vec<_> = match self.prober.store {
            Store::Redis => self.stores.redis.stalls().map(owned).collect(),
            Store::Postgres => self.stores.postgres.stalls().map(owned).collect(),
        };
        stalls.sort_unstable();
        self.plan_after_message(Planned::Sampled { ask: ask as u32, saw: Saw::Stalls(stalls.into()) });
    }

    pub(super) fn answer_health(&mut self, ask: usize, online: bool) {
        self.plan_after_message(Planned::Sampled { ask: ask as u32, saw: Saw::Alive(online) });
    }

    pub(super) fn saw(&mut self, ask: usize, saw: Saw) {
        let sample = match saw {
            Saw::Alive(alive) => Sample::Alive { subject: None, alive },
            Saw::Stalls(stalls) => Sample::Stalls(stalls.into_vec()),
        };
        self.sampled(ask, sample);
    }

    pub(super) fn ask_failed(&mut self, ask: usize, reason: &str) {
        self.sampled(ask, Sample::Unknown { error: reason.to_owned() });
    }

    pub(super) fn ask_limit(&mut self, ask: usize) {
        if !self.prober.asks[ask].over {
            let limit = self.prober.limit;
            self.sampled(ask, Sample::Unknown { error: format!("no answer within {limit}") });
        }
    }

    fn sampled(&mut self, ask: usize, sample: Sample) {
        let it = &mut self.prober.asks[ask];
        if std::mem::replace(&mut it.over, true) {
            return;
        }
        let asked = it.asked;
        self.prober.waiting -= 1;
        if self.prober.on {
            self.tell(What::Probe { asked, sample });
        }
    }

    /// Begins to read the final state.
    pub(super) fn collect(&mut self) {
        match self.health(Store::Postgres) {
            Health::Up => {
                let wait = self.delays.reading.sample(&mut self.random);
                self.plan_after(wait, Planned::Read);
            }
            Health::Hanging => self.server(Store::Postgres).readings += 1,
            Health::Down => self.collected(Some("postgres: connection refused".to_owned())),
        }
    }

    pub(super) fn read(&mut self) {
        let changes = Some(self.stores.postgres.changes());
        if std::mem::replace(&mut self.collector.changes, changes) == changes {
            return self.collected(None);
        }
        let mut changed = Vec::new();
        let reported = &mut self.collector.reported;
        let mut known = BTreeSet::new();
        for (job, state) in self.stores.postgres.effects() {
            if reported.get(&job) != Some(&state) {
                reported.insert(job.clone(), state.clone());
                changed.push((job.clone(), state));
            }
            known.insert(job);
        }
        // What the stores knew and know no more.
        let gone: Vec<JobId> = reported.keys().filter(|job| !known.contains(*job)).cloned().collect();
        for job in gone {
            reported.remove(&job);
            changed.push((job, FinalState::default()));
        }
        for (job, state) in changed {
            self.tell(What::JobState { job, state });
        }
        self.collected(None);
    }

    pub(super) fn collected(&mut self, error: Option<String>) {
        self.tell(What::Collected { error });
    }
}
