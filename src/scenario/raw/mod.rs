//! The file as it is written. Doc comments here are the descriptions in the JSON Schema: they speak
//! to the author of a scenario.

pub(crate) mod clock;
pub(crate) mod distribution;
pub(crate) mod expect;
pub(crate) mod fault;
pub(crate) mod fleet;
pub(crate) mod limit;
pub(crate) mod misfit;
pub(crate) mod prometheus;
pub(crate) mod recipe;
pub(crate) mod trouble;
pub(crate) mod watch;
pub(crate) mod wire;

use schemars::JsonSchema;
use serde::Deserialize;

use super::decode::{Named, Placed, record, variants};
use super::scalar::{ClaimId, Duration, Name, SpanPair, Text, Whole};
use super::{JOBS_MAX, STEPS_MAX};
use crate::scenario::RedisDurability;
use crate::time::Scale;
pub(crate) use distribution::Distribution;
use expect::Expect;
use fault::FaultEntry;
use fleet::Fleet;
use prometheus::Prometheus;
use watch::Watch;

record! {
    /// A scenario: a fleet of background workers with its stores, the jobs that it works on, the faults
    /// that it suffers meanwhile, and what is expected of it.
    ///
    /// Durations are model time: at `time_scale: 0.1` everything runs at a tenth.
    Scenario {
        /// Names the scenario in reports; unique within a run.
        required name: Name,
        /// What happens and why the expectation holds, in a sentence or two.
        optional about: Text,
        /// For `syncope run --tag`.
        optional tags: Vec<Placed<Name>>,
        /// Ids of the claims that this scenario bears on.
        optional claims: Vec<Placed<ClaimId>>,
        /// Wall time in one unit of model time, above 0 and at most 100. 1 unless given.
        optional time_scale: Scale,
        /// Of every random choice. The run chooses one unless given.
        optional seed: Whole<0, { u64::MAX }>,
        /// The processes under test.
        required fleet: Fleet,
        /// The stores. Both, with their defaults, unless given.
        optional stack: Stack,
        /// The jobs.
        required workload: Workload,
        /// What is asked all the time, beside the liveness probe. Nothing unless given.
        optional watch: Vec<Placed<Watch>>,
        /// What is injected, and when. Nothing unless given.
        optional faults: Vec<Placed<FaultEntry>>,
        /// What is judged. Times by the model, losses and duplicates zero, unless given.
        optional expect: Expect,
        /// How long after the last heal (or the last enqueue) the run waits at most for every
        /// acknowledged job to end. Unless given: detection and recovery by the model at their worst,
        /// every attempt with its backoff, and the backlog.
        optional settle: Duration,
    }
}

/// A system that comes with Syncope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum System {
    /// Workers that prove that they live by one heartbeat key, and an api that asks for it.
    RedisHeartbeat,
    /// A queue in the manner of BullMQ: locks that are renewed, and a check for stalled jobs.
    RedisQueue,
    /// Jobs in a table of Postgres, a beat of each worker, and a sweeper that fails the jobs of the dead.
    PostgresHeartbeat,
    /// Processes of several workers each on such a queue, whose jobs fetch pages from a web site.
    WorkerPool,
    /// Jobs in a table of Postgres, each with a beat of its own while it runs. The workers themselves put
    /// back what has lost its worker; what fails for good is a dead letter.
    PostgresJobs,
}

record! {
    /// The stores. One that is left out is not there.
    Stack {
        /// A Redis server.
        optional redis: Redis,
        /// A Postgres server.
        optional postgres: Postgres,
        /// A Prometheus server, with alert rules. Runs beside the harness, from the PATH.
        optional prometheus: Prometheus,
    }
}

record! {
    /// A Redis server.
    Redis {
        /// What a crash of the server leaves. `rdb` unless given, as Redis itself has it.
        optional durability: RedisDurability,
        /// An image in place of the default one; the docker backend only.
        optional image: Text,
    }
}

record! {
    /// A Postgres server.
    Postgres {
        /// How many connections it takes. 200 unless given.
        optional max_connections: Whole<5, 1000>,
        /// An image in place of the default one; the docker backend only.
        optional image: Text,
    }
}

record! {
    /// The jobs: how many, how fast they come, and what each does.
    Workload {
        /// How many are enqueued: `job-1` to `job-n`.
        required jobs: Whole<1, JOBS_MAX>,
        /// The time between two enqueues.
        required arrival: Arrival,
        /// Durable steps of one job; each is saved before the next begins. 1 unless given.
        optional steps: Whole<1, STEPS_MAX>,
        /// How long a step works before it is saved.
        required step_time: Distribution,
        /// How often a job may be tried in all; the fleet's setting unless given.
        optional attempts: Whole<1, 100>,
        /// The wait before a retry; the fleet's setting unless given.
        optional backoff: Backoff,
        /// A job is not to be claimed before this long after its enqueue. None unless given.
        optional delay: Duration,
        /// An attempt longer than this is ended and counts as failed; the fleet's setting unless given.
        optional timeout: Duration,
        /// Jobs whose first attempts fail with an error, and how many of them: `{job-3: 2}`.
        optional failing: Named<Whole<1, 100>>,
        /// Jobs whose handlers never return in their first attempts, and in how many: `{job-3: 1}`. The
        /// process lives on; only a time-out, or the process's end, ends such an attempt.
        optional hanging: Named<Whole<1, 100>>,
        /// `postgres-jobs`: what kinds the jobs are of, in turn: `[plain, digest, sort]`. The steps of a `digest`
        /// and of a `sort` job each run an external program. All plain unless given.
        optional kinds: Vec<Placed<Kind>>,
    }
}

/// What a job needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Nothing but its worker.
    Plain,
    /// The external program `digest`.
    Digest,
    /// The external program `sort`.
    Sort,
}

variants! {
    /// The time between two enqueues.
    Arrival {
        /// Always the same.
        Every "every": Duration,
        /// Anything from the first to the second.
        Uniform "uniform": SpanPair,
        /// Exponential with this mean: jobs arrive independently of each other.
        Exponential "exponential": Duration,
    }
}

variants! {
    /// The wait before the retry after the n-th failed attempt.
    Backoff {
        /// Always the same.
        Fixed "fixed": Duration,
        /// This, then twice, four times, eight times as long.
        Exponential "exponential": Duration,
    }
}
