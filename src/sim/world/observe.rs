//! What the harness itself asks and does: probes, enqueues, the final state.

use super::asks::{ASKS_MAX, Asks};
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
    /// The process whose api is asked; none: the store is.
    api: Option<usize>,
    store: Store,
    asks: Asks,
}

impl Prober {
    pub fn new(probe: Option<&Probe>, api: Option<usize>) -> Self {
        let every = probe.map_or(Span::MAX, |probe| probe.every.max(PROBE_INTERVAL_MIN));
        let limit = probe.map_or(Span::MAX, |probe| probe.timeout);
        let in_postgres = probe.is_some_and(|probe| matches!(probe.ask, scenario::Ask::SqlStalls { .. }));
        let store = if in_postgres { Store::Postgres } else { Store::Redis };
        Self { on: false, every, api, store, asks: Asks::given_up_after(limit) }
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

/// What was read of the jobs' states, so that only changes are reported.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// By the job's place in the store.
    reported: Vec<Option<FinalState>>,
    /// Empty, but for the time of a reading: it is not made anew each time.
    changed: Vec<u32>,
}

impl Collector {
    /// Whether the job's state is another than at the last reading. From here on it is known.
    fn is_news(&mut self, place: u32, state: Option<&FinalState>) -> bool {
        let place = place as usize;
        if self.reported.len() <= place {
            self.reported.resize(place + 1, None);
        }
        let known = &mut self.reported[place];
        let is_news = known.as_ref() != state;
        if is_news {
            *known = state.cloned();
        }
        is_news
    }
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

    /// Asks at `at`: no event is needed for that, since only the question's arrival changes anything.
    pub(super) fn plan_ask(&mut self, at: Instant) {
        let arrives = at + self.delay_of_message();
        self.plan(arrives, Planned::AskArrives { asked: at });
    }

    fn arm_asks(&mut self) {
        if let Some(at) = self.prober.asks.arm() {
            self.plan(at, Planned::AskLimit);
        }
    }

    /// The question is at the process, or at the store; no link carries it.
    pub(super) fn ask_arrives(&mut self, asked: Instant) {
        if !self.prober.on {
            return;
        }
        self.plan_ask(asked + self.prober.every);
        if self.prober.asks.is_full() {
            let error = format!("{ASKS_MAX} asks are unanswered already");
            return self.tell(What::Probe { asked, sample: Sample::Unknown { error } });
        }
        let ask = self.prober.asks.ask(asked);
        self.arm_asks();
        self.ask_is_there(ask);
    }

    pub(super) fn ask_is_there(&mut self, ask: usize) {
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
        } else if self.unless_still(Some(process), (), |()| Planned::AskIsThere { ask }).is_some() {
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

    pub(super) fn ask_limit(&mut self) {
        if let Some(ask) = self.prober.asks.given_up(self.now) {
            let limit = self.prober.asks.limit();
            self.sampled(ask, Sample::Unknown { error: format!("no answer within {limit}") });
        }
        self.arm_asks();
    }

    fn sampled(&mut self, ask: usize, sample: Sample) {
        let Some(asked) = self.prober.asks.end(ask) else { return };
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
        let mut changed = std::mem::take(&mut self.collector.changed);
        self.stores.postgres.take_changed(&mut changed);
        // Those that the store knows first, then those that it knows no more.
        for known in [true, false] {
            for place in &changed {
                let job = &self.stores.postgres.jobs()[*place as usize];
                let state = job.final_state();
                if state.is_some() == known && self.collector.is_news(*place, state.as_ref()) {
                    let (job, state) = (job.id.clone(), state.unwrap_or_default());
                    self.tell(What::JobState { job, state });
                }
            }
        }
        self.collector.changed = changed;
        self.collected(None);
    }

    pub(super) fn collected(&mut self, error: Option<String>) {
        self.tell(What::Collected { error });
    }
}
