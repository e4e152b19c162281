//! Faults: what is injected, on whom, when, and how it is undone. Pure: no I/O, no clock.
//!
//! A scenario's `Fault` names targets that may only be known in mid-run (`holder_of: any`). When it
//! fires, the conductor turns it into an [`Injection`] on named processes and links, and later into
//! the injection that undoes it. A backend carries an injection out and proves it.

pub mod misfit;
pub mod rules;
pub mod trouble;
pub mod wire;

use serde::{Deserialize, Serialize};

use crate::dist::Distribution;
use crate::fault::misfit::Misfit;
use crate::fault::trouble::Trouble;
use crate::fault::wire::Wire;
use crate::names::{JobId, Link, ProcessName, Store};
use crate::time::{SignedSpan, Span};

/// A fault's place in the scenario's list, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u16);

/// One entry of a scenario's `faults`. Durations are wall time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    pub id: FaultId,
    pub kind: FaultKind,
    pub when: Trigger,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    Kill {
        target: Target,
        signal: Signal,
        restart_after: Option<Span>,
    },
    /// The stop signal of the process, and SIGKILL after `grace`.
    Stop {
        target: Target,
        grace: Span,
        restart_after: Option<Span>,
    },
    /// A graceful stop and an immediate start.
    Restart {
        target: Target,
        grace: Span,
    },
    /// SIGSTOP of the whole process tree: a GC pause.
    Pause {
        target: Target,
        lasting: Span,
    },
    /// A series of pauses: `count` of them, each drawn from `lasting`, with `gap` between.
    Pauses {
        target: Target,
        lasting: Distribution,
        gap: Distribution,
        count: u32,
    },
    /// Kills every process of the role; starts them again after `lasting`, if given.
    ScaleToZero {
        role: String,
        lasting: Option<Span>,
    },
    Outage {
        store: Store,
        how: OutageKind,
        lasting: Span,
    },
    /// The process's wall clock jumps; back after `lasting`, if given, else at the end of the run.
    ClockStep {
        target: Target,
        by: SignedSpan,
        lasting: Option<Span>,
    },
    /// The process's wall clock runs fast by `ppm` parts per million (slow if negative).
    ClockDrift {
        target: Target,
        ppm: i64,
        lasting: Option<Span>,
    },
    /// The clock jumps by `by` and back again, each time after `every`, for `lasting` in all.
    ClockStrobe {
        target: Target,
        by: SignedSpan,
        every: Span,
        lasting: Span,
    },
    /// Killed `count` times: each time once it has run for `runs_for`, and started again after
    /// `restart_after`.
    CrashLoop {
        target: Target,
        runs_for: Span,
        restart_after: Span,
        count: u32,
    },
    /// Stopped and started again with something wrong; stopped and started rightly after `lasting`.
    Misconfigure {
        target: Target,
        misfit: Misfit,
        grace: Span,
        lasting: Span,
    },
    /// The process gets no more than a share of one processor, in parts per million.
    Throttle {
        target: Target,
        share: u32,
        lasting: Span,
    },
    /// The process gets no more than `limit` bytes and wants more, until the kernel kills it.
    OutOfMemory {
        target: Target,
        limit: u64,
        restart_after: Option<Span>,
        /// Between two growths of 8 MiB.
        every: Span,
    },
    Network {
        links: LinkSelector,
        toxic: Toxic,
        lasting: Span,
    },
    /// What an operator does by a runbook: delete keys in Redis. Has no undo.
    DeleteKeys {
        keys: Vec<String>,
    },
    /// Something within a store that answers. Where it [lasts](Trouble::lasts): for `lasting`, or to the
    /// end of the run.
    Trouble {
        trouble: Trouble,
        lasting: Option<Span>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Process(ProcessName),
    /// Every process of a role.
    Role(String),
    /// One process of the role: the one whose command the trigger has caught, else one by the seed.
    AnyOf(String),
    /// The worker that holds the job when the fault fires; `Any` is the trigger's job, or some held job.
    HolderOf(JobRef),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobRef {
    Any,
    Job(JobId),
}

impl JobRef {
    /// Whether an event about `job` is meant.
    #[must_use]
    pub fn admits(&self, job: &JobId) -> bool {
        match self {
            Self::Any => true,
            Self::Job(wanted) => wanted == job,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// This long after the workload's start.
    At(Span),
    /// A moment in the window, by the seed.
    Within {
        min: Span,
        max: Span,
    },
    /// `after` the `nth` (from 1) matching event.
    StepDone {
        job: JobRef,
        step: u32,
        nth: u32,
        after: Span,
    },
    Claimed {
        job: JobRef,
        nth: u32,
        after: Span,
    },
    /// `after` the watch has had no answer `times` times in a row, counted from the workload's start: what
    /// the kubelet does by a liveness probe, where the fault is a restart.
    Unanswered {
        watch: String,
        times: u32,
        after: Span,
    },
    /// `after` the first beat of the process that comes at or after `from` (from the workload's start).
    Beat {
        process: Option<ProcessName>,
        from: Span,
        after: Span,
    },
    /// A command on the wire, which the proxy holds until the fault is carried out.
    Wire(Wire),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    Kill,
    Term,
    Int,
    Hup,
    Quit,
    Abrt,
    Segv,
    Usr1,
    Usr2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutageKind {
    /// SIGKILL; started again on heal, with whatever its durability kept.
    Kill,
    /// An orderly shutdown; started again on heal.
    Stop,
    /// SIGSTOP, SIGCONT on heal: connections stay open and hang.
    Pause,
    /// The server lives; every link to it is cut and new connections are refused.
    Refuse,
}

/// Which links a network fault is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSelector {
    /// `None`: from everyone.
    pub from: Option<Target>,
    /// A store or a process; `None`: to everything.
    pub to: Option<crate::names::Endpoint>,
}

/// What a link does to the bytes on it. Names as in Toxiproxy where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Toxic {
    /// Each chunk is delayed by `latency` ± a uniform share of `jitter`; order is kept.
    Latency { latency: Span, jitter: Span, direction: Direction },
    /// Black hole: connections stay open, nothing passes.
    Timeout,
    /// Open connections get a RST at once, and so does every new one.
    ResetPeer,
    /// Bytes per second, at least 1, per connection and direction.
    Bandwidth { bytes_per_second: u64, direction: Direction },
    /// Nothing passes in this direction; what was sent arrives when healed, as TCP would have it.
    Partition { direction: Direction },
    /// Open connections are closed, new ones are refused (the listener's port is closed).
    Refuse,
    /// What one side does to end a connection, the other side hears of `delay` later.
    SlowClose { delay: Span },
    /// Bytes pass in slices of `average_size` ± up to `size_variation`, with `delay` after each.
    Slicer { average_size: u64, size_variation: u64, delay: Span, direction: Direction },
    /// So many bytes pass on a connection in this direction; then it is closed.
    LimitData { bytes: u64, direction: Direction },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Both,
    /// From the process that opened the connection to the endpoint.
    Upstream,
    Downstream,
}

/// What a backend is told to do to named things, now. Onsets and heals alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Injection {
    Signal {
        process: ProcessName,
        signal: Signal,
    },
    Stop {
        process: ProcessName,
        grace: Span,
    },
    Start {
        process: ProcessName,
    },
    Pause {
        process: ProcessName,
    },
    Resume {
        process: ProcessName,
    },
    StoreDown {
        store: Store,
        how: OutageKind,
    },
    StoreUp {
        store: Store,
        how: OutageKind,
    },
    ClockStep {
        process: ProcessName,
        by: SignedSpan,
    },
    ClockDrift {
        process: ProcessName,
        ppm: i64,
    },
    ClockReset {
        process: ProcessName,
    },
    Misconfigure {
        process: ProcessName,
        misfit: Misfit,
        grace: Span,
    },
    /// Stops it, if it runs, and starts it as it should be.
    Reconfigure {
        process: ProcessName,
        grace: Span,
    },
    Throttle {
        process: ProcessName,
        share: u32,
    },
    Unthrottle {
        process: ProcessName,
    },
    /// Takes effect with the process's end.
    OutOfMemory {
        process: ProcessName,
        limit: u64,
        every: Span,
    },
    Toxic {
        links: Vec<Link>,
        toxic: Toxic,
    },
    /// Takes off this toxic, and no other that is on the links.
    ClearToxic {
        links: Vec<Link>,
        toxic: Toxic,
    },
    DeleteKeys {
        keys: Vec<String>,
    },
    Trouble {
        trouble: Trouble,
    },
    /// Ends a trouble that lasts.
    TroubleOver {
        trouble: Trouble,
    },
}

impl Injection {
    /// The process that it acts on, if it is one.
    #[must_use]
    pub fn process(&self) -> Option<&ProcessName> {
        match self {
            Self::Signal { process, .. }
            | Self::Stop { process, .. }
            | Self::Start { process }
            | Self::Pause { process }
            | Self::Resume { process }
            | Self::ClockStep { process, .. }
            | Self::ClockDrift { process, .. }
            | Self::Misconfigure { process, .. }
            | Self::Reconfigure { process, .. }
            | Self::Throttle { process, .. }
            | Self::Unthrottle { process }
            | Self::OutOfMemory { process, .. }
            | Self::ClockReset { process } => Some(process),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Onset,
    Heal,
}

/// An injection on its way to a backend: which fault it belongs to, and whether it begins or undoes it.
///
/// A fault may order several injections (a role has several processes; a series has many pauses):
/// `part` numbers them, and an onset and its heal share the number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub fault: FaultId,
    pub part: u16,
    pub stage: Stage,
    pub injection: Injection,
}
