//! Scenarios: YAML in, a [`Scenario`] out that cannot be wrong.
//!
//! `tree` is the YAML with places, `raw` the file as written, `decode` what leads from the one to the
//! other; `resolve` turns it into the types here; all three collect every error. `lint` warns of
//! settings that cannot work; `schema` is generated from `raw`.
//!
//! All durations here are wall time: `resolve` applies the time scale, once.

pub mod catalogue;
mod choice;
pub mod claims;
mod decode;
mod diagnostic;
mod effects;
mod kind;
pub mod lines;
mod links;
mod lint;
mod process;
mod promql;
pub mod question;
mod queue;
mod raw;
pub mod recipe;
mod resolve;
mod scalar;
mod schema;
mod tree;
mod watch;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dist::Distribution;
use crate::fault::Fault;
use crate::names::{Endpoint, ProcessName, Store};
pub use crate::protocol::settings::{FleetRole, FleetSettings, HeartbeatSettings, PlantedBug, QueueSettings};
use crate::protocol::{Backoff, Tool};
pub use crate::protocol::{TableRole, TableSettings};
use crate::time::{Interval, Scale, Span};
use crate::timing::Pipeline;

pub use links::{EXPORTER, is_worker_role};

pub use diagnostic::{Code, Diagnostic, Place, RulesFile, Severity, Source, render};
pub use effects::{EffectQuery, Page};
pub use kind::FileKind;
pub use lines::{LineRule, Says};
pub use lint::Lint;
pub use process::{Call, ProcessSpec, Program, ReadyAsk, WorkingDirectory};
pub use promql::{duration as duration_of_prometheus, prometheus_duration};
pub use queue::{QueueAsk, QueueProbe};
pub use resolve::{Loaded, Overrides, load, resolve};
pub use schema::schema;
pub use tree::SOURCE_BYTES_MAX;
pub use watch::{Question, Since, Watch, WatchExpect, Watched, same_answer};

pub const JOBS_MAX: u64 = 100_000;
pub const WORKERS_MAX: u64 = 256;
pub const STEPS_MAX: u64 = 10_000;

#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    pub name: String,
    pub about: String,
    pub tags: Vec<String>,
    pub claims: Vec<String>,
    pub time_scale: Scale,
    /// From the file; the command line or the run chooses one where the file has none.
    pub seed: Option<u64>,
    pub fleet: Fleet,
    pub stack: Stack,
    pub workload: Workload,
    /// What is asked all the time beside the liveness probe, in the file's order.
    pub watches: Vec<Watch>,
    /// In the file's order; `FaultId` is the index.
    pub faults: Vec<Fault>,
    pub expect: Expect,
    /// How long after the last heal the run waits for every acknowledged job to end.
    pub settle: Span,
}

/// The system under test, as everything outside `live::fleet` sees it: processes, and ways to ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// A reference system, as the scenario names it, or `external`.
    pub system: String,
    /// Every process, in the order of start. At least one. Names are unique.
    pub processes: Vec<ProcessSpec>,
    pub enqueue: Enqueue,
    /// What a user would ask to learn whether the fleet or a worker lives; none: detection is not judged.
    pub liveness: Option<Probe>,
    pub effects: EffectQuery,
    /// How the queue is asked how its jobs stand.
    pub state: Option<QueueProbe>,
    /// None: `model` cannot be asked for.
    pub pipeline: Option<Pipeline>,
    /// Set-up that the stores need before the fleet starts, in order.
    pub prepare: Vec<Prepare>,
    /// Jobs that one worker works on at a time.
    pub concurrency: u32,
}

impl Fleet {
    /// Its jobs are rows of the reference fleet's own tables.
    #[must_use]
    pub fn has_job_table(&self) -> bool {
        self.processes.iter().any(|spec| matches!(spec.program, Program::Table { .. }))
    }

    /// Every process that is started: the fleet's, and the producer if it is a program.
    pub fn programs(&self) -> impl Iterator<Item = &ProcessSpec> {
        let producer = match &self.enqueue {
            Enqueue::Program { process } => Some(&**process),
            Enqueue::Queue { .. }
            | Enqueue::Table
            | Enqueue::Call { .. }
            | Enqueue::Http { .. }
            | Enqueue::Redis { .. }
            | Enqueue::Sql { .. } => None,
        };
        self.processes.iter().chain(producer)
    }

    /// Programs run beside it on the harness's machine, again and again.
    #[must_use]
    pub fn calls_programs(&self) -> bool {
        matches!(self.enqueue, Enqueue::Call { .. }) || self.effects.program.is_some()
    }

    /// Of those, jobs that have failed for good can be queued again.
    #[must_use]
    pub fn keeps_dead_letters(&self) -> bool {
        self.processes.iter().any(|spec| {
            matches!(&spec.program, Program::Table { settings, .. }
                if matches!(settings.watch, crate::protocol::table::Watch::Workers(_)))
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Prepare {
    Sql(String),
    Redis(Vec<String>),
}

impl Enqueue {
    /// Where the producer's links lead.
    #[must_use]
    pub fn ends(&self) -> Vec<Endpoint> {
        match self {
            Self::Queue { .. } | Self::Redis { .. } => vec![Endpoint::Store(Store::Redis)],
            Self::Sql { .. } | Self::Table => vec![Endpoint::Store(Store::Postgres)],
            Self::Http { process, .. } => vec![Endpoint::Process(process.clone())],
            Self::Program { process } => process.links.clone(),
            Self::Call { links, .. } => links.clone(),
        }
    }
}

/// How a job gets into the system. Texts may hold `${job}` and `${spec}` (the job as JSON).
#[derive(Debug, Clone, PartialEq)]
pub enum Enqueue {
    /// A process of its own, named as the producer is. It reads one job a line (all of it, as JSON) and prints
    /// one line for each, in the words of Jepsen's histories: `ok ID` once the system has it, `fail ID why`
    /// if it has it not, `info ID why` if that is not known.
    Program {
        process: Box<ProcessSpec>,
    },
    /// A program for each job, on the producer's links. Its end with 0 acknowledges; a line as above says more.
    Call {
        call: Call,
        links: Vec<Endpoint>,
    },
    /// The reference queue's own script, through the producer's link to Redis. Jobs whose steps sum
    /// to more than `large_over` go to the second queue.
    Queue {
        prefix: String,
        queues: Vec<String>,
        large_over: Option<Span>,
    },
    /// The reference fleet's own statement, through the producer's link to Postgres.
    Table,
    /// POST to the process; a 2xx with `{"acknowledged": true}` acknowledges, with `false` declines
    /// (`"reason"` says why).
    Http {
        process: ProcessName,
        path: String,
        body: String,
    },
    Redis {
        command: Vec<String>,
    },
    Sql {
        statement: String,
    },
}

/// What is asked, all the time, while the run lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    pub every: Span,
    /// A probe without an answer for this long is unknown.
    pub timeout: Span,
    pub ask: Ask,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// GET; alive if the JSON value at the pointer (RFC 6901) is `true`.
    Http { process: ProcessName, path: String, pointer: String },
    /// A Redis command whose flat array or map of job, count gives the stalls so far.
    RedisStalls { command: Vec<String> },
    /// A query whose rows of job text, count integer give how often each was taken from its holder so far.
    SqlStalls { query: String },
    /// Alive if the answer is neither nil, nor 0, nor empty.
    Redis { command: Vec<String> },
    /// Alive if the first column of the first row is true.
    Sql { query: String },
    /// The names of the workers that live: each is a subject of its own.
    Workers(WorkersAsk),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkersAsk {
    /// The names are the answer's texts.
    Redis { command: Vec<String> },
    /// They are the first column of the rows.
    Sql { query: String },
    /// They are the texts of the JSON list at the pointer (RFC 6901).
    Http { process: ProcessName, path: String, pointer: String },
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stack {
    pub redis: Option<RedisSpec>,
    pub postgres: Option<PostgresSpec>,
    pub prometheus: Option<PrometheusSpec>,
}

/// A Prometheus that scrapes the fleet. Durations are wall time.
#[derive(Debug, Clone, PartialEq)]
pub struct PrometheusSpec {
    pub scrape_interval: Span,
    pub evaluation_interval: Span,
    /// Each at `/metrics`.
    pub scrape: Vec<ProcessName>,
    pub groups: Vec<RuleGroup>,
}

impl PrometheusSpec {
    /// The names of its alerts.
    pub fn alerts(&self) -> impl Iterator<Item = &str> + Clone {
        let rules = self.groups.iter().flat_map(|group| &group.rules);
        rules.filter(|rule| rule.kind == RuleKind::Alert).map(|rule| rule.name.as_str())
    }
}

/// Rules that are evaluated one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleGroup {
    pub name: String,
    pub interval: Option<Span>,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub kind: RuleKind,
    pub name: String,
    /// As it stands in the file.
    pub written: String,
    /// As Prometheus gets it.
    pub expression: String,
    pub lasting: Span,
    pub keep_firing: Span,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    Alert,
    Record,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RedisSpec {
    pub durability: RedisDurability,
    /// In place of the default image, docker only.
    pub image: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedisDurability {
    /// A crash loses everything.
    None,
    /// Snapshots (`save 900 1 300 10 60 10000`): a crash loses what came since the last one.
    Rdb,
    /// Append-only file, fsync every second. The file is written at each command, so kill -9 of the
    /// server alone loses nothing that was acknowledged.
    Aof,
    /// Append-only file, fsync at each write.
    AofAlways,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct PostgresSpec {
    pub image: Option<String>,
    /// In place of the harness's own.
    pub max_connections: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    pub jobs: u32,
    /// Between two enqueues.
    pub arrival: Distribution,
    pub steps: u32,
    pub step_time: Distribution,
    pub attempts: u32,
    pub backoff: Backoff,
    pub delay: Span,
    pub timeout: Option<Span>,
    /// An attempt of a job that works for longer than the first may take the second, in place of `timeout`.
    pub large_timeout: Option<(Span, Span)>,
    /// Jobs (by number, from 1) whose first attempts fail with an error, and how many.
    pub failing: BTreeMap<u32, u32>,
    /// Jobs (by number, from 1) whose handlers never return in their first attempts, and in how many.
    pub hanging: BTreeMap<u32, u32>,
    /// The external programs of the jobs, in turn; empty: none needs one.
    pub kinds: Vec<Option<Tool>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    pub detection_time: TimeExpect,
    pub recovery_time: TimeExpect,
    /// From the acknowledgement to the effect, of the job that took longest. Not judged unless given.
    pub slowest_job: TimeExpect,
    /// From asking for a job to the answer, of the enqueue that took longest. Not judged unless given.
    pub slowest_answer: TimeExpect,
    pub lost: CountExpect,
    pub duplicated: CountExpect,
    pub unexpected: CountExpect,
    pub failed: CountExpect,
    pub steps_lost: CountExpect,
    /// Steps that were done again although they had been acknowledged.
    pub steps_repeated: CountExpect,
    pub mistakes: MistakeExpect,
    /// In parts per million of the probed time; none: not judged.
    pub query_accuracy_ppm: Option<(u32, u32)>,
    /// Enqueues that were answered without a job being made (S0: searches served while offline).
    pub declined: CountExpect,
    /// What the watches are to answer, in the file's order.
    pub watched: Vec<Watched>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeExpect {
    Model,
    Within(Interval),
    /// It must not happen.
    Never,
    /// Measured and reported, not judged.
    Any,
}

/// Inclusive; `max: None` is unbounded. `any` is `{min: 0, max: None}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountExpect {
    pub min: u64,
    pub max: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MistakeExpect {
    /// None if the model says that every injected fault is tolerated, at least one if it says that
    /// one is certainly seen, else not decided by the count.
    Model,
    Count(CountExpect),
}

impl Workload {
    /// The external program that the `number`-th job needs, from 1.
    #[must_use]
    pub fn tool_of(&self, number: u32) -> Option<Tool> {
        let turn = (number as usize).checked_sub(1)?.checked_rem(self.kinds.len())?;
        self.kinds[turn]
    }

    /// How long an attempt of a job with so much work may take.
    #[must_use]
    pub fn timeout_of(&self, work: Span) -> Option<Span> {
        match self.large_timeout {
            Some((over, timeout)) if work > over => Some(timeout),
            _ => self.timeout,
        }
    }
}

impl CountExpect {
    pub const ZERO: Self = Self { min: 0, max: Some(0) };
    pub const ANY: Self = Self { min: 0, max: None };

    #[must_use]
    pub fn admits(self, count: u64) -> bool {
        self.min <= count && self.max.is_none_or(|max| count <= max)
    }
}

/// The default `expect`: times by the model, losses and duplicates zero.
impl Default for Expect {
    fn default() -> Self {
        Self {
            detection_time: TimeExpect::Model,
            recovery_time: TimeExpect::Model,
            slowest_job: TimeExpect::Any,
            slowest_answer: TimeExpect::Any,
            lost: CountExpect::ZERO,
            duplicated: CountExpect::ZERO,
            unexpected: CountExpect::ZERO,
            failed: CountExpect::ZERO,
            steps_lost: CountExpect::ZERO,
            steps_repeated: CountExpect::ANY,
            mistakes: MistakeExpect::Model,
            query_accuracy_ppm: None,
            declined: CountExpect::ANY,
            watched: Vec::new(),
        }
    }
}
