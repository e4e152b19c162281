//! `fleet:`: a reference system with its settings, or somebody else's processes.

use super::recipe::Recipe;
use super::{Backoff, System};
use crate::fault::Signal;
use crate::names::Store;
use crate::scenario::catalogue::{Quantity, raw::Pipeline};
use crate::scenario::decode::{Named, Placed, record, variants};
use crate::scenario::scalar::{Duration, Flag, KeyPrefix, Name, Share, Text, Whole, Word};
use crate::scenario::{PlantedBug, WORKERS_MAX};

record! {
    /// The processes under test: a reference system (`system`, `workers`, `settings`) or your own
    /// (`external`).
    Fleet {
        /// Which reference system. Its processes are `worker-1` to `worker-n`; `redis-heartbeat` has
        /// `api` and `catalogue` too, `postgres-heartbeat` has `sweeper`. Those of `worker-pool` are `pool-1` to `pool-n` and `site`.
        optional system: System,
        /// How many workers it has; of `worker-pool`: how many pools. 1, or 2 pools, unless given.
        optional workers: Whole<1, WORKERS_MAX>,
        /// In place of the system's defaults.
        optional settings: Settings,
        /// Processes in any language.
        optional external: External,
    }
}

record! {
    /// Settings of a reference system. Which of them it has, and their defaults, depend on the system.
    Settings {
        /// How long a claimed job's lock is valid. 30s.
        optional lock_duration: Duration,
        /// How often the lock of a job in work is renewed. Half of `lock_duration`.
        optional lock_renew: Duration,
        /// How often the fleet looks for jobs whose lock is gone. 30s.
        optional stalled_interval: Duration,
        /// How often a job may stall before it fails. 1.
        optional max_stalled_count: Whole<0, 100>,
        /// How often a job may be tried in all. 3.
        optional attempts: Whole<1, 100>,
        /// The wait before a retry. `{exponential: 1s}`.
        optional backoff: Backoff,
        /// Jobs that one worker works on at a time. 1; `worker-pool`: 2.
        optional concurrency: Whole<1, 256>,
        /// The longest wait of an idle worker between two looks for work. 1s.
        optional claim_poll: Duration,
        /// How long a graceful stop waits for the jobs in work. 30s.
        optional shutdown_grace: Duration,
        /// How long a failed job is kept. 7d.
        optional keep_failed: Duration,
        /// An attempt longer than this is ended and counts as failed. 30m.
        optional timeout: Duration,
        /// `redis-queue`: jobs longer than this go to the queue for large jobs. 40m.
        optional large_over: Duration,
        /// `redis-queue`: in place of `timeout` for the jobs in the queue for large ones. As `timeout`
        /// unless given.
        optional large_timeout: Duration,
        /// The prefix of every key, `{app}:{env}`. `syncope:test`.
        optional prefix: KeyPrefix,
        /// A defect on purpose, to prove that the checks see it. For tests only.
        optional planted_bug: PlantedBug,
        /// `redis-heartbeat`: the time between two beats. 15s. `postgres-heartbeat`, `postgres-jobs`: of a
        /// worker, and of a job in work where jobs beat. 30s.
        optional interval: Duration,
        /// `redis-heartbeat`: the heartbeat key's time to live. 30s.
        optional ttl: Duration,
        /// `redis-heartbeat`: the age from which the api calls a beat stale. 45s. `postgres-heartbeat`:
        /// the age from which the sweeper takes a worker for dead. 2m. `postgres-jobs`: the age of a running
        /// job's own beat from which it is put back. 10m.
        optional threshold: Duration,
        /// `redis-heartbeat`: how often the api asks again before it says offline. 2.
        optional retries: Whole<0, 100>,
        /// `redis-heartbeat`: the api's wait before it asks again. 500ms.
        optional retry_backoff: Duration,
        /// `redis-heartbeat`: how long the api waits for Redis to be ready. 3s.
        optional ready_wait: Duration,
        /// `redis-heartbeat`: time to live of the fleet's global lock. 60s.
        optional lock_ttl: Duration,
        /// `redis-heartbeat`: how often a worker takes or renews the global lock. 20s.
        optional lock_interval: Duration,
        /// `postgres-heartbeat`, `postgres-jobs`: the time from one look for the dead to the next, of the
        /// sweeper, or of each worker. 60s.
        optional check_interval: Duration,
        /// `postgres-heartbeat`, `postgres-jobs`: how long a process waits for a connection, and for an answer. 10s.
        optional patience: Duration,
        /// `redis-queue`, `postgres-heartbeat`, `postgres-jobs`: a completion counts only while the job is the
        /// worker's. true, false, true.
        optional fencing: Flag,
        /// `postgres-heartbeat`: there is a sweeper. true.
        optional sweeper: Flag,
        /// `postgres-heartbeat`: the sweeper's role in the database may change jobs. true.
        optional sweeper_may_update: Flag,
        /// `worker-pool`: workers in each pool. 4.
        optional worker_count: Whole<1, 64>,
        /// `worker-pool`: an attempt longer than this is ended by the pool and counts as failed. 600s.
        optional max_job_duration: Duration,
        /// `worker-pool`: a page that has not come by then is an error. 30s.
        optional page_timeout: Duration,
        /// `worker-pool`: whether health checks are made. true.
        optional health_monitoring: Flag,
        /// `worker-pool`: the time between two health checks. 30s.
        optional health_interval: Duration,
        /// `worker-pool`: the share of the memory from which the pool lowers its concurrency. 0.85.
        optional memory_threshold: Share,
        /// `worker-pool`: how long it stays lowered. 60s.
        optional memory_relief: Duration,
        /// `worker-pool`: from a worker's error to its next start. 1s.
        optional worker_restart: Duration,
    }
}

record! {
    /// A fleet in any language, with no code: how it is started, fed and asked.
    External {
        /// The processes by role. `worker: {count: 2, …}` gives `worker-1` and `worker-2`; without
        /// `count` the one process is named as its role.
        required roles: Named<Role>,
        /// What the stores need before the fleet starts, in order.
        optional prepare: Vec<Placed<Prepare>>,
        /// How a job gets in. Texts may hold `${job}` (its id) and `${spec}` (all of it, as JSON).
        required enqueue: Enqueue,
        /// What is asked all the time to learn whether the fleet lives. Detection is not judged unless
        /// given.
        optional liveness: Liveness,
        /// How the final state is read.
        required effects: Effects,
        /// How the queue is asked, all the time, how its jobs stand: who holds which, and what has failed.
        optional state: State,
        /// The fleet's timing, for expectations by `model`.
        optional timing: Timing,
        /// Jobs that one worker works on at a time. 1 unless given.
        optional concurrency: Whole<1, 256>,
    }
}

record! {
    /// Processes of one kind. `command`, `image` or both: the process backend needs `command`, the
    /// docker backend `image` or `recipe`.
    Role {
        /// How many; names then end in a number. One, without a number, unless given.
        optional count: Whole<1, WORKERS_MAX>,
        /// Program and arguments, with templates as in `env`.
        optional command: Vec<Placed<Word>>,
        /// The image that it runs in.
        optional image: Text,
        /// What the program needs, for either backend, in place of an image.
        optional recipe: Recipe,
        /// Environment variables. Values may hold `${name}`, `${index}`, `${port}`, and host, port and
        /// url of what it links to: `${redis.url}`, `${postgres.host}`, `${api.port}`. `${ms(30s)}` and
        /// `${s(30s)}`, here and in every command, query and path, are that duration at the scenario's
        /// time scale: at 0.1, `3000` and `3`.
        optional env: Named<Word>,
        /// Relative to the scenario's folder.
        optional working_directory: Text,
        /// What it connects to: `redis`, `postgres`, processes. Every store of the stack unless given.
        optional links: Vec<Placed<Name>>,
        /// It serves HTTP on `${port}`. false.
        optional http: Flag,
        /// How long a graceful stop waits before the process is killed. 10s.
        optional grace: Duration,
        /// What a graceful stop sends. TERM.
        optional stop_signal: Signal,
        /// What says that it is ready, asked again after each start. Else a line does, or its start.
        optional ready: Ready,
        /// Texts by their relative paths, with templates as in `env`; it finds them below `${files}`.
        optional files: Named<Word>,
        /// What lines of its output say. They become events, as the reference fleets' own are.
        optional lines: Lines,
    }
}

record! {
    /// How it is asked whether a process is ready. Exactly one.
    Ready {
        /// Its `${port}` takes a connection.
        optional tcp: Flag,
        /// A GET of this path from its `${port}` gives a 2xx.
        optional http: Text,
        /// One command for Redis, word by word, with `${name}` and `${index}`: the answer is something.
        optional redis: Vec<Placed<Word>>,
        /// A query, with the same: the first column of the first row is true.
        optional sql: Text,
    }
}

record! {
    /// Regular expressions for one line of output, each with the named groups that it needs:
    /// `^took (?<job>\S+)$`. What a line says was so when it was read, or a little before.
    Lines {
        /// The process is ready. Without it, it is as soon as it has started.
        optional ready: Text,
        /// A beat, which the store has.
        optional beat: Text,
        /// It works on `job` from now on; `attempt` and `stalls` may say for the how many-th time.
        optional claimed: Text,
        /// Step `step` (from 1) of `job` is done. Steps are taken to be kept only where `effects` has
        /// `steps_sql` or `steps`.
        optional step: Text,
        /// The effect of `job` is there to stay.
        optional effect: Text,
        /// The queue has the completion of `job`.
        optional completed: Text,
        /// The lock of `job` is not this process's any more.
        optional lock_lost: Text,
        /// It works on `job` no longer, and has not completed it.
        optional abandoned: Text,
        /// Its wall clock reads `ms`, milliseconds since 1970: the answer to SIGUSR1, and the proof of a
        /// clock fault.
        optional clock: Text,
    }
}

variants! {
    /// One step of set-up.
    Prepare {
        /// Statements for Postgres.
        Sql "sql": Text,
        /// One command for Redis, word by word.
        Redis "redis": Vec<Placed<Word>>,
    }
}

variants! {
    /// How a job gets in.
    Enqueue {
        /// One Redis command, word by word.
        Redis "redis": Vec<Placed<Word>>,
        /// One statement for Postgres.
        Sql "sql": Text,
        /// A POST. `{"acknowledged": true}` in a 2xx answer acknowledges the job.
        Http "http": Post,
        /// A program, started once: `command` with `image` or `recipe`, `env`, `links`, `lines: {ready: …}`, as
        /// of a role. It reads one job a line (all of it, as JSON) and prints a line for each: `ok ID` once the
        /// system has it, `fail ID why` if it has it not, `info ID why` if that is not known.
        Program "program": Box<Role>,
        /// A program for each job, with arguments: `[python3, enqueue.py, "${job}", "${redis.url}"]`. It runs on
        /// this machine, in the scenario's folder. Its end with 0 acknowledges the job; it may print `fail ID why`.
        Call "call": Vec<Placed<Word>>,
    }
}

record! {
    /// A POST to a process of the fleet.
    Post {
        /// A process with `http: true`.
        required process: Name,
        /// Begins with `/`.
        required path: Text,
        /// `${spec}` unless given.
        optional body: Text,
    }
}

record! {
    /// A question, asked all the time. Exactly one of `redis`, `stalls`, `sql`, `stalls_sql`, `http` and
    /// `workers`.
    Liveness {
        /// How often. 100ms unless given.
        optional every: Duration,
        /// No answer for this long is an answer: unknown. 1s unless given.
        optional timeout: Duration,
        /// A Redis command: alive if the answer is neither nil, nor 0, nor empty.
        optional redis: Vec<Placed<Word>>,
        /// A Redis command whose flat array or map of job, count gives the stalls so far.
        optional stalls: Vec<Placed<Word>>,
        /// A query: alive if the first column of the first row is true.
        optional sql: Text,
        /// A query whose rows of job text, count integer give the stalls so far.
        optional stalls_sql: Text,
        /// A GET: alive if the JSON value at the pointer is true.
        optional http: Get,
        /// Which workers live, one by one: a worker's death is found though others live.
        optional workers: Workers,
    }
}

record! {
    /// A question for the names of the workers (processes of the fleet) that live. Exactly one of `redis`,
    /// `sql` and `http`.
    Workers {
        /// A command whose answer is a list of names.
        optional redis: Vec<Placed<Word>>,
        /// A query whose first column is the names.
        optional sql: Text,
        /// A GET: the JSON value at the pointer is a list of names.
        optional http: Get,
    }
}

record! {
    /// A GET of JSON from a process of the fleet.
    Get {
        /// A process with `http: true`.
        required process: Name,
        /// Begins with `/`.
        required path: Text,
        /// A JSON pointer (RFC 6901): `/workers/online`.
        required pointer: Text,
    }
}

record! {
    /// How each job stands, asked all the time: job, state, holder. States are `waiting`, `active`,
    /// `delayed`, `failed` (for good) and `done`; a holder is a process's name, or empty. Exactly one of
    /// `redis`, `sql` and `http`.
    State {
        /// How often; it ought to be far below the time that a job takes. 100ms unless given.
        optional every: Duration,
        /// No answer for this long: nothing is known. 1s unless given.
        optional timeout: Duration,
        /// A command whose flat array is job, state, holder of each job in turn.
        optional redis: Vec<Placed<Word>>,
        /// Columns: job text, state text, holder text.
        optional sql: Text,
        /// A GET whose JSON is a list of `{job, state, holder}`; `holder` may be left out.
        optional http: Page,
    }
}

record! {
    /// A page of a process of the fleet.
    Page {
        /// A process with `http: true`.
        required process: Name,
        /// Begins with `/`.
        required path: Text,
    }
}

record! {
    /// How the final state is read. Exactly one of `sql`, `redis`, `http` and `lines`.
    Effects {
        /// Columns: job text, effects bigint, failed boolean; and, if there is a fourth, by text: who did it,
        /// with commas between several.
        optional sql: Text,
        /// A Redis hash command that gives job, effects.
        optional redis: Vec<Placed<Word>>,
        /// A GET whose JSON is an object of job to count, or a list of `{job, effects}`, each with
        /// `failed`, `steps` (a list) and `by` (the name of who did it, or a list) where it is known.
        optional http: Page,
        /// A program, with arguments, whose output is such JSON: `[python3, done.py, "${redis.url}"]`. It runs on
        /// this machine, in the scenario's folder, again and again.
        optional program: Vec<Placed<Word>>,
        /// A regular expression with the group `job`: each line of a process's output that matches is one
        /// effect of that job. A killed process may not have written its last: a lower bound.
        optional lines: Text,
        /// Columns: job text, step integer. Steps are not judged unless given, or `steps` is true.
        optional steps_sql: Text,
        /// Every entry of the answer to `http`, or of the program's output, has `steps`. false.
        optional steps: Flag,
    }
}

record! {
    /// The liveness pipeline of a fleet: beat, expiry, checker, recovery. One of `catalog` (with `set`),
    /// `pipeline`, and `beat` with what stands below it.
    Timing {
        /// A system of the catalogue, as `syncope catalog` lists them.
        optional catalog: Text,
        /// The fleet's own settings in place of that system's defaults, by parameter.
        optional set: Named<Quantity>,
        /// The whole pipeline, as an entry of the catalogue writes it.
        optional pipeline: Pipeline,
        /// Between two beats, or two renewals.
        optional beat: Duration,
        /// A key's time to live, reset by each beat. At least one of `ttl` and `threshold`.
        optional ttl: Duration,
        /// The age from which a reader calls a beat stale.
        optional threshold: Duration,
        /// The stamp is the worker's, the reader is another process. false.
        optional two_clocks: Flag,
        /// Between two sweeps; 0s for a check that is made when asked. 0s unless given.
        optional sweep: Duration,
        /// How often a negative answer is asked again. 0.
        optional retries: Whole<0, 100>,
        /// The wait before each retry. 0s.
        optional retry_backoff: Duration,
        /// How long one try waits for the store. 0s.
        optional ready_wait: Duration,
        /// Expiry of the sweep's guard, where the sweeper can die with its victim.
        optional guard: Duration,
        /// What a suspicion is about. `holder` for `stalls`, else `fleet`, unless given.
        optional subject: Subject,
        /// From the suspicion until the job can be claimed again. Jobs are never requeued unless given.
        optional requeue: Duration,
        /// The longest wait of a free worker before it asks for work. 1s.
        optional claim_poll: Duration,
        /// How often a job may stall before it fails. Without bound unless given.
        optional max_stalls: Whole<0, 100>,
    }
}

/// What a suspicion is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subject {
    /// The fleet as a whole: suspected when its last worker is silent.
    Fleet,
    /// Each worker, through the jobs that it holds.
    Holder,
}

/// `redis` or `postgres`, where a link's end may also be a process.
pub(crate) fn store_named(text: &str) -> Option<Store> {
    Store::ALL.into_iter().find(|store| store.as_str() == text)
}
