//! Many sequences abreast on one real Postgres, and whether the model would have done the same.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use syncope::live::store::{Limits, PostgresStore};
use syncope::names::{JobId, Store};
use syncope::protocol::{Command, Reply, StoreError};
use syncope::sim::store::Postgres;
use syncope::sim::store::postgres::{Job, StatusName};
use syncope::time::{Instant, Span};

use crate::rows::{Op, Sequence};
use crate::servers::PostgresServer;

const CLIENTS: usize = 8;

pub struct Tables {
    stores: Vec<PostgresStore>,
    raw: tokio_postgres::Client,
    runs: u32,
}

pub struct Observed {
    /// One for each operation, with the server's clock before it.
    pub answers: Vec<(Instant, Answer)>,
    pub rows: BTreeMap<String, Rows>,
    /// The longest time between the clock before an operation and the operation itself.
    pub slack: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Replied(Result<Reply, StoreError>),
    Finished(Vec<JobId>),
}

/// Status, error, attempts, last attempt, updated.
type Status = (String, Option<String>, u32, Option<Instant>, Instant);

/// What the three tables say of one job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    status: Option<Status>,
    /// Step, worker, saved.
    steps: Vec<(u32, String, Instant)>,
    /// Worker, attempt, at; the oldest first.
    effects: Vec<(String, u32, Instant)>,
}

impl Tables {
    pub async fn open(server: &PostgresServer) -> Self {
        let url = server.url();
        let patient = Duration::from_secs(30);
        let limits = Limits { connect: patient, command: patient };
        let store = |_| PostgresStore::connect(&url, limits).expect("an address");
        let stores: Vec<_> = (0..CLIENTS).map(store).collect();
        let ready = Command::AwaitReady { store: Store::Postgres, within: Span::from_secs(30) };
        for store in &stores {
            assert_eq!(store.execute(&ready).await, Ok(Reply::Ready(true)));
        }
        stores[0].create_schema().await.expect("the tables");
        // Not before the server is ready: this client does not try again.
        Self { stores, raw: server.client().await, runs: 0 }
    }

    /// Runs each of the lists of operations in a space of its own.
    pub async fn run(&mut self, sequences: &[Sequence]) -> (Vec<Sequence>, Vec<Observed>) {
        self.runs += 1;
        let run = self.runs;
        let placed = sequences.iter().enumerate().map(|(index, one)| one.moved(format!("r{run}n{index}-")));
        let placed: Vec<Sequence> = placed.collect();
        let mut answers = vec![Vec::new(); placed.len()];
        let mut slack = Span::ZERO;
        for step in 0..placed.iter().map(|sequence| sequence.ops.len()).max().unwrap_or(0) {
            let before = self.time().await;
            let tables = &*self;
            let turn = placed.iter().enumerate().filter_map(|(index, sequence)| {
                let op = sequence.ops.get(step)?;
                Some(async move { (index, tables.perform(op, index).await) })
            });
            for (index, answer) in join_all(turn).await {
                answers[index].push((before, answer));
            }
            slack = slack.max(self.time().await.since(before));
        }
        let mut rows = self.rows(&format!("r{run}n")).await;
        let observed = placed.iter().zip(answers).map(|(sequence, answers)| {
            let rows = rows.remove(&sequence.space).unwrap_or_default();
            Observed { answers, rows, slack }
        });
        let observed = observed.collect();
        assert!(rows.is_empty(), "rows that belong to no sequence: {rows:?}");
        (placed, observed)
    }

    async fn perform(&self, op: &Op, index: usize) -> Answer {
        let store = &self.stores[index % CLIENTS];
        match op {
            Op::Command(command) => Answer::Replied(store.execute(command).await),
            Op::Finished(text, limit) => {
                Answer::Finished(store.finished_jobs(text, *limit).await.expect("the finished jobs"))
            }
        }
    }

    async fn time(&self) -> Instant {
        let row = self.raw.query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", &[]);
        micros(row.await.expect("the clock").get(0))
    }

    /// By space, then by job, whose id has lost its space.
    async fn rows(&self, spaces: &str) -> BTreeMap<String, BTreeMap<String, Rows>> {
        const STATUS: &str = "SELECT id, status, error, attempts,
            (extract(epoch FROM last_attempt) * 1000000)::bigint,
            (extract(epoch FROM updated) * 1000000)::bigint FROM jobs WHERE starts_with(id, $1)";
        const STEPS: &str = "SELECT job, step, worker, (extract(epoch FROM saved) * 1000000)::bigint
            FROM segments WHERE starts_with(job, $1) ORDER BY job, step";
        const EFFECTS: &str = "SELECT job, worker, attempt, (extract(epoch FROM at) * 1000000)::bigint
            FROM effects WHERE starts_with(job, $1) ORDER BY job, at";
        let mut all: BTreeMap<String, BTreeMap<String, Rows>> = BTreeMap::new();
        let mut rows_of = |id: &str, change: &mut dyn FnMut(&mut Rows)| {
            let (space, job) = id.split_at(id.find('-').expect("an id with its space") + 1);
            change(all.entry(space.to_owned()).or_default().entry(job.to_owned()).or_default());
        };
        for row in self.raw.query(STATUS, &[&spaces]).await.expect("the jobs") {
            let attempts = row.get::<_, i32>(3) as u32;
            let last = row.get::<_, Option<i64>>(4).map(micros);
            let status = (row.get(1), row.get(2), attempts, last, micros(row.get(5)));
            rows_of(row.get(0), &mut |rows| rows.status = Some(status.clone()));
        }
        for row in self.raw.query(STEPS, &[&spaces]).await.expect("the steps") {
            let step = (row.get::<_, i32>(1) as u32, row.get(2), micros(row.get(3)));
            rows_of(row.get(0), &mut |rows| rows.steps.push(step.clone()));
        }
        for row in self.raw.query(EFFECTS, &[&spaces]).await.expect("the effects") {
            let effect = (row.get(1), row.get::<_, i32>(2) as u32, micros(row.get(3)));
            rows_of(row.get(0), &mut |rows| rows.effects.push(effect.clone()));
        }
        all
    }
}

pub trait Model {
    fn execute(&mut self, now: Instant, command: &Command) -> Result<Reply, StoreError>;
    fn store(&self) -> &Postgres;
}

impl Model for Postgres {
    fn execute(&mut self, now: Instant, command: &Command) -> Result<Reply, StoreError> {
        Self::execute(self, now, command)
    }

    fn store(&self) -> &Postgres {
        self
    }
}

/// The number of operations done, and the difference.
pub fn judge(model: &mut impl Model, sequence: &Sequence, observed: &Observed) -> Option<(usize, String)> {
    for (step, (op, (now, real))) in sequence.ops.iter().zip(&observed.answers).enumerate() {
        let modelled = perform(model, op, *now);
        let agree = match (real, &modelled) {
            (Answer::Replied(Err(real)), Answer::Replied(Err(modelled))) => {
                std::mem::discriminant(real) == std::mem::discriminant(modelled)
            }
            (real, modelled) => real == modelled,
        };
        if !agree {
            let what = format!("{op:?}\n  the server: {real:?}\n  the model:  {modelled:?}");
            return Some((step + 1, what));
        }
    }
    let modelled = rows_of(model.store(), &sequence.space);
    let names: std::collections::BTreeSet<&String> = observed.rows.keys().chain(modelled.keys()).collect();
    let slack = observed.slack + Span::from_micros(1);
    names.into_iter().find_map(|name| {
        let (real, modelled) = (observed.rows.get(name), modelled.get(name));
        let same = matches!((real, modelled), (Some(real), Some(modelled)) if real.is_near(modelled, slack));
        let what = || format!("in the end, {name}\n  the server: {real:?}\n  the model:  {modelled:?}");
        (!same).then(|| (sequence.ops.len(), what()))
    })
}

/// What a server would do that does exactly what the model does.
pub fn imagine(sequence: &Sequence) -> Observed {
    let mut model = Postgres::new();
    let mut now = Instant::ZERO;
    let answers = sequence.ops.iter().map(|op| {
        now = now + Span::from_millis(1);
        (now, perform(&mut model, op, now))
    });
    let answers = answers.collect();
    Observed { answers, rows: rows_of(&model, &sequence.space), slack: Span::ZERO }
}

pub fn perform(model: &mut impl Model, op: &Op, now: Instant) -> Answer {
    match op {
        Op::Command(command) => Answer::Replied(model.execute(now, command)),
        Op::Finished(text, limit) => Answer::Finished(model.store().finished_jobs(text, *limit)),
    }
}

fn rows_of(store: &Postgres, space: &str) -> BTreeMap<String, Rows> {
    let job = |job: &Job| {
        let status = job.status.as_ref().map(|row| {
            let name = match row.name {
                StatusName::Pending => "pending",
                StatusName::Processing => "processing",
                StatusName::Completed => "completed",
                StatusName::Failed => "failed",
            };
            let error = row.error.as_deref().map(str::to_owned);
            (name.to_owned(), error, row.attempts, row.last_attempt, row.updated)
        });
        let steps = job.steps.iter().map(|row| (row.step, row.worker.to_string(), row.saved)).collect();
        let effects = job.effects.iter().map(|row| (row.worker.to_string(), row.attempt, row.at)).collect();
        Rows { status, steps, effects }
    };
    let name = |one: &Job| one.id.as_str().strip_prefix(space).expect("a job of the space").to_owned();
    let named = |one: &Job| (name(one), job(one));
    store.jobs().iter().map(named).filter(|(_, rows)| *rows != Rows::default()).collect()
}

impl Rows {
    /// The same but for the times, and those nearly.
    fn is_near(&self, other: &Self, slack: Span) -> bool {
        let (mine, others) = (self.times(), other.times());
        let near = |(one, two): (&Instant, &Instant)| one.since(*two).max(two.since(*one)) <= slack;
        mine.len() == others.len()
            && mine.iter().zip(&others).all(near)
            && self.without_times() == other.without_times()
    }

    fn times(&self) -> Vec<Instant> {
        let status = self.status.iter().flat_map(|row| row.3.into_iter().chain([row.4]));
        let steps = self.steps.iter().map(|row| row.2);
        status.chain(steps).chain(self.effects.iter().map(|row| row.2)).collect()
    }

    fn without_times(&self) -> Self {
        let mut rows = self.clone();
        if let Some(status) = &mut rows.status {
            (status.3, status.4) = (status.3.map(|_| Instant::ZERO), Instant::ZERO);
        }
        rows.steps.iter_mut().for_each(|row| row.2 = Instant::ZERO);
        rows.effects.iter_mut().for_each(|row| row.2 = Instant::ZERO);
        rows
    }
}

fn micros(micros: i64) -> Instant {
    Instant::ZERO + Span::from_micros(micros as u64)
}
