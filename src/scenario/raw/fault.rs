//! `faults:`: what is injected, on whom, and when.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::Distribution;
use super::clock::{ClockDrift, ClockStep};
use super::limit::{OutOfMemory, ThrottleCpu};
use super::misfit::Misconfigure;
use super::trouble::{DiskFull, ExpireKeys, Lasting, LockTable, MaxMemory, OperatorSql, RedisSlow, Replay};
use super::wire::Wire;
use crate::fault::{Direction, JobRef, OutageKind, Signal};
use crate::names::Store;
use crate::scenario::STEPS_MAX;
use crate::scenario::decode::{
    Decode, Field, Fields, Placed, Property, Variants, decode_one, object_schema, record, variants,
    variants_schema,
};
use crate::scenario::diagnostic::Report;
use crate::scenario::scalar::Whole;
use crate::scenario::scalar::{Duration, Name, Rate, SignedDuration, SpanPair, Word};
use crate::scenario::tree::{Node, Value};

/// One fault: its kind as the key, and `when`.
#[derive(Debug, Clone)]
pub(crate) struct FaultEntry {
    pub kind: Option<Placed<FaultKind>>,
    pub when: Field<When>,
}

impl Decode for FaultEntry {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let kind = decode_one(node, &["when"], report);
        // A map's unknown keys are reported by now; what is no map at all, too.
        if !matches!(node.value, Value::Map(_)) {
            return None;
        }
        let silent = &mut Report::new(report.source());
        let known: Vec<&str> = FaultKind::KEYS.iter().copied().chain(["when"]).collect();
        let when = Fields::of(node, &known, silent)?.required("when", report);
        Some(Self { kind, when })
    }
}

impl JsonSchema for FaultEntry {
    fn schema_name() -> Cow<'static, str> {
        "Fault".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let about = "One fault: its kind as the key, and `when` it is injected.";
        variants_schema::<FaultKind>(about.into(), generator, |generator| {
            vec![Property {
                key: "when",
                required: true,
                doc: "What sets it off.".into(),
                schema: generator.subschema_for::<When>(),
            }]
        })
    }
}

variants! {
    /// What is injected.
    FaultKind {
        /// A signal, SIGKILL unless given.
        Kill "kill": Kill,
        /// A graceful stop.
        Stop "stop": Stop,
        /// A graceful stop and an immediate start.
        Restart "restart": Restart,
        /// SIGSTOP of the whole process tree, then SIGCONT: a GC pause.
        Pause "pause": Pause,
        /// A series of pauses.
        Pauses "pauses": Pauses,
        /// Kills every process of a role.
        ScaleToZero "scale_to_zero": ScaleToZero,
        /// A store is gone for a while.
        Outage "outage": Outage,
        /// The wall clock of a process or a store jumps.
        ClockStep "clock_step": ClockStep,
        /// The wall clock of a process or a store runs fast or slow.
        ClockDrift "clock_drift": ClockDrift,
        /// A process's wall clock jumps to and fro.
        ClockStrobe "clock_strobe": ClockStrobe,
        /// A process is killed again and again, soon after each start.
        CrashLoop "crash_loop": CrashLoop,
        /// A process is started wrongly.
        Misconfigure "misconfigure": Misconfigure,
        /// A process gets little of the processor.
        ThrottleCpu "throttle_cpu": ThrottleCpu,
        /// A process runs out of memory, and the kernel kills it.
        OutOfMemory "out_of_memory": OutOfMemory,
        /// Something is wrong with the network between a process and what it connects to.
        Network "network": Network,
        /// What an operator does by a runbook: keys are deleted in Redis. Has no undo.
        DeleteKeys "delete_keys": DeleteKeys,
        /// Keys of Redis expire. Has no undo.
        ExpireKeys "expire_keys": ExpireKeys,
        /// A limit on Redis's memory.
        RedisMaxmemory "redis_maxmemory": MaxMemory,
        /// A slow command occupies Redis again and again.
        RedisSlow "redis_slow": RedisSlow,
        /// Everything in Redis is deleted (FLUSHALL). Has no undo.
        RedisWipe "redis_wipe": Nothing,
        /// Postgres ends every client's connection. Has no undo.
        TerminateBackends "terminate_backends": Nothing,
        /// Postgres has no connection left: those that are open stay.
        ExhaustConnections "exhaust_connections": Lasting,
        /// A table of Postgres is locked: whoever needs it waits.
        LockTable "lock_table": LockTable,
        /// Postgres takes no writes.
        ReadOnly "read_only": Lasting,
        /// A store's disk is full.
        DiskFull "disk_full": DiskFull,
        /// What an operator does by a runbook: a statement in Postgres. Has no undo.
        OperatorSql "operator_sql": OperatorSql,
        /// What an operator does with a reference fleet whose jobs are in Postgres: dead letters are queued
        /// again. Has no undo.
        Replay "replay": Replay,
    }
}

variants! {
    /// On whom.
    Target {
        /// One process by its name: `worker-1`, `api`.
        Process "process": Name,
        /// Every process of a role.
        Role "role": Name,
        /// One process of the role: with `wire`, the one whose command it is; else by the seed.
        Any "any": Name,
        /// The worker that holds the job (`job-3`) when the fault fires; `any`: the trigger's job, or
        /// some job in work.
        HolderOf "holder_of": JobRef,
    }
}

record! {
    /// A signal to a process.
    Kill {
        /// On whom.
        required target: Target,
        /// KILL unless given. A process of `worker-pool` takes USR2 as the panic of one worker's task.
        optional signal: Signal,
        /// Started again after this long; never unless given.
        optional restart_after: Duration,
    }
}

record! {
    /// A graceful stop: the stop signal, and SIGKILL after `grace`.
    Stop {
        /// On whom.
        required target: Target,
        /// The process's own unless given.
        optional grace: Duration,
        /// Started again this long after the stop signal; never unless given.
        optional restart_after: Duration,
    }
}

record! {
    /// A graceful stop and an immediate start.
    Restart {
        /// On whom.
        required target: Target,
        /// The process's own unless given.
        optional grace: Duration,
    }
}

record! {
    /// A pause of the whole process tree.
    Pause {
        /// On whom.
        required target: Target,
        /// How long.
        required lasting ("for"): Duration,
    }
}

record! {
    /// A series of pauses.
    Pauses {
        /// On whom.
        required target: Target,
        /// How long each is.
        required lasting: Distribution,
        /// Between the end of one and the start of the next.
        required gap: Distribution,
        /// How many.
        required count: Whole<1, 1000>,
    }
}

record! {
    /// Kills every process of a role.
    ScaleToZero {
        /// Which.
        required role: Name,
        /// Started again after this long; never unless given.
        optional lasting ("for"): Duration,
    }
}

record! {
    /// A store is gone for a while.
    Outage {
        /// Which.
        required store: Store,
        /// In what way.
        required how: OutageKind,
        /// How long.
        required lasting ("for"): Duration,
    }
}

record! {
    /// A process's wall clock jumps away and back, again and again.
    ClockStrobe {
        /// On whom.
        required target: Target,
        /// How far: `+30s` is ahead, `-30s` is behind.
        required by: SignedDuration,
        /// How long it stays away, and then right.
        required every: Duration,
        /// How long this goes on; whole rounds of twice `every`, one at least.
        required lasting ("for"): Duration,
    }
}

record! {
    /// A process that crashes soon after each start, under a supervisor that starts it again.
    CrashLoop {
        /// On whom.
        required target: Target,
        /// How long it runs each time. The first crash comes when the fault is set off.
        required runs_for: Duration,
        /// From a crash to the next start. At once unless given.
        optional restart_after: Duration,
        /// How many crashes.
        required count: Whole<1, 1000>,
    }
}

record! {
    /// A fault on links. A link goes from a process to a store or to another process.
    Network {
        /// Whose links; everybody's unless given.
        optional from: Target,
        /// Links to `redis`, `postgres` or a process; to everything unless given.
        optional to: Name,
        /// What is wrong.
        required toxic: Toxic,
        /// How long.
        required lasting ("for"): Duration,
    }
}

variants! {
    /// What a link does to the bytes on it. Names as in Toxiproxy where it has one.
    Toxic {
        /// Everything arrives late.
        Latency "latency": Latency,
        /// A black hole: connections stay open, nothing passes.
        Timeout "timeout": Nothing,
        /// Open connections are reset, and so is every new one.
        ResetPeer "reset_peer": Nothing,
        /// Little passes.
        Bandwidth "bandwidth": Bandwidth,
        /// Nothing passes in a direction; what was sent arrives when the partition ends.
        Partition "partition": Partition,
        /// Open connections are closed, new ones refused.
        Refuse "refuse": Nothing,
        /// The end of a connection is passed on late.
        SlowClose "slow_close": SlowClose,
        /// Bytes pass in small portions.
        Slicer "slicer": Slicer,
        /// A connection is closed once so many bytes have passed.
        LimitData "limit_data": LimitData,
    }
}

/// No details: `{}`.
#[derive(Debug, Clone)]
pub(crate) struct Nothing;

impl Decode for Nothing {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        Fields::of(node, &[], report).map(|_| Self)
    }
}

impl JsonSchema for Nothing {
    fn schema_name() -> Cow<'static, str> {
        "Nothing".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        object_schema("No details: `{}`.".into(), Vec::new())
    }
}

record! {
    /// Everything arrives late.
    Latency {
        /// By how much.
        required latency: Duration,
        /// More or less by up to this much. None unless given.
        optional jitter: Duration,
        /// `both` unless given.
        optional direction: Direction,
    }
}

record! {
    /// Little passes.
    Bandwidth {
        /// Per connection and direction, in model time.
        required rate: Rate,
        /// `both` unless given.
        optional direction: Direction,
    }
}

record! {
    /// Nothing passes in a direction.
    Partition {
        /// `both` unless given.
        optional direction: Direction,
    }
}

record! {
    /// The end of a connection is passed on late; its bytes are not.
    SlowClose {
        /// By how much.
        required delay: Duration,
    }
}

record! {
    /// Bytes pass in small portions. Sizes do not follow the time scale.
    Slicer {
        /// Bytes of a portion.
        required average_size: Whole<1, 1_000_000>,
        /// More or less by up to this many. None unless given.
        optional size_variation: Whole<0, 1_000_000>,
        /// After each portion. None unless given.
        optional delay: Duration,
        /// `both` unless given.
        optional direction: Direction,
    }
}

record! {
    /// A connection is closed once so many bytes have passed.
    LimitData {
        /// So many; counted from the fault's onset for connections that are open then.
        required bytes: Whole<0, 1_000_000_000>,
        /// `both`, each counted apart, unless given.
        optional direction: Direction,
    }
}

record! {
    /// Keys are deleted in Redis.
    DeleteKeys {
        /// Which, in full.
        required keys: Vec<Placed<Word>>,
    }
}

variants! {
    /// What sets a fault off.
    When {
        /// This long after the first job is enqueued.
        At "at": Duration,
        /// A moment from the first to the second, by the seed.
        Within "within": SpanPair,
        /// A step of a job was saved.
        StepDone "step_done": StepDone,
        /// A job was claimed.
        Claimed "claimed": Claimed,
        /// A watch had no answer so many times in a row. With a `restart` this is a liveness probe.
        Unanswered "unanswered": Unanswered,
        /// A worker's beat was written (for a queue: the lock of a job in work was renewed).
        Beat "beat": Beat,
        /// A command on the wire: it, or its reply, is held until the fault is carried out.
        Wire "wire": Wire,
    }
}

record! {
    /// A step of a job was saved.
    StepDone {
        /// Which job's; `any` unless given.
        optional job: JobRef,
        /// Which step, from 1.
        required step: Whole<1, STEPS_MAX>,
        /// The how-manieth such event. 1 unless given.
        optional nth: Whole<1, 100_000>,
        /// So long after it. At once unless given.
        optional after: Duration,
    }
}

record! {
    /// A job was claimed.
    Claimed {
        /// Which job; `any` unless given.
        optional job: JobRef,
        /// The how-manieth such event. 1 unless given.
        optional nth: Whole<1, 100_000>,
        /// So long after it. At once unless given.
        optional after: Duration,
    }
}

record! {
    /// A watch had no answer.
    Unanswered {
        /// One of the scenario's watches.
        required watch: Name,
        /// So many times in a row. 3 unless given, as Kubernetes has it.
        optional times: Whole<1, 1_000>,
        /// So long after the last of them. At once unless given.
        optional after: Duration,
    }
}

record! {
    /// A beat was written.
    Beat {
        /// Whose; anybody's unless given.
        optional process: Name,
        /// The first beat at or after this moment of the workload. 0s unless given.
        optional from: Duration,
        /// So long after it. At once unless given.
        optional after: Duration,
    }
}
