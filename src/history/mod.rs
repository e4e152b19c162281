//! The one event type. Everything that a run sees becomes an event; log, checks and reporters read
//! nothing else.

pub mod log;
pub mod queue;
pub mod wire;

use serde::{Deserialize, Serialize};

use crate::fault::Order;
use crate::names::{JobId, ProcessName};
use crate::protocol::FleetEvent;
use crate::time::{Instant, Span};

/// One thing that happened. `at` is on the host's monotonic clock (virtual in the simulator). The
/// log holds events in order of arrival; a fleet's own lines may arrive a little after later ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at: Instant,
    /// The process that says so; `harness` for the harness's own.
    pub by: ProcessName,
    pub ev: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Always the first event of a history.
    Header(Box<Header>),
    /// A phase begins.
    Phase(Phase),
    /// The harness started the process (`by` = the process), the `generation`-th time, from 1.
    Started {
        generation: u32,
        pid: u32,
    },
    /// The process ended; `signal` if one ended it. Ground truth for "was it running".
    Exited {
        generation: u32,
        code: Option<i32>,
        signal: Option<i32>,
    },
    /// What a fleet process says.
    Fleet(FleetEvent),
    /// A line of a process's output that is no event; cut at 2,000 bytes.
    Line {
        text: String,
    },

    /// The producer asked for a job to be enqueued.
    EnqueueAsked {
        job: JobId,
    },
    /// The answer: acknowledged, not taken (a search answered without a background job), or unknown.
    EnqueueAnswered {
        job: JobId,
        asked: Instant,
        outcome: EnqueueOutcome,
    },

    /// What a user of the system was told; `at` is when the answer came.
    Probe {
        asked: Instant,
        sample: Sample,
    },
    /// What a watch of the scenario was answered; `at` is when the answer came.
    Watched {
        watch: String,
        asked: Instant,
        answer: Heard,
    },

    /// How the jobs of a foreign queue stand, where that has changed (`at` is when the answer came); it
    /// did so after `since`, when the last ask that was answered was made.
    Queue {
        since: Instant,
        asked: Instant,
        answer: queue::Queued,
    },

    /// What a tap on a link saw (`by` = the harness).
    Wire(wire::Wiretap),

    FaultOrdered {
        order: Box<Order>,
    },
    /// `effective` is the interval in which it took effect, at worst; `at` when it was proved.
    /// `lateness`: how long after its due time it was fired.
    FaultDone {
        order: Box<Order>,
        effective: (Instant, Instant),
        lateness: Span,
        proof: String,
    },
    /// Carried out or not, there is no proof.
    FaultUnproved {
        order: Box<Order>,
        reason: String,
    },

    /// Scheduling delay that the harness's own thread measured, above the recording threshold.
    Hiccup {
        stall: Span,
    },
    /// A process or store under test was ready to run for `waited` of the last `within`, and did not:
    /// other work had the processors. Said of half the time and more.
    Starved {
        process: ProcessName,
        waited: Span,
        within: Span,
    },
    /// The store's memory of a job, read during settle and at the end: a later one replaces an earlier one.
    JobState {
        job: JobId,
        state: FinalState,
    },
    /// A reading of all job states has ended; with an error, if the stores could not be read.
    Collected {
        error: Option<String>,
    },
    /// Servers and images that are under the run.
    Versions(Vec<(String, String)>),
    /// Hiccup statistics of the whole run.
    HiccupSummary {
        samples: u64,
        p50: Span,
        p99: Span,
        max: Span,
        recorded_above: Span,
    },
    Interrupted,
    /// Something that the run created could not be removed.
    Leftover {
        what: String,
    },
    /// The run could not be carried on; the scenario is inconclusive.
    Aborted {
        reason: String,
    },
    /// Nothing follows.
    End,
}

/// What a history needs in order to be judged without the scenario's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub format: u32,
    pub run_id: String,
    /// As given on the command line.
    pub path: String,
    /// The scenario's text, resolved again when the history is judged.
    pub source: String,
    /// The text of the rules file that the scenario names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    pub backend: String,
    pub seed: u64,
    /// A time scale from the command line in place of the file's.
    pub time_scale: Option<String>,
    /// Wall clock at the start, RFC 3339.
    pub started_at: String,
    /// From 1; which repeat of the scenario this is.
    pub repeat: u32,
    /// The command that runs this scenario again.
    pub replay: String,
}

pub const FORMAT: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Provision,
    WarmUp,
    /// The workload's start: times of faults count from here.
    Inject,
    Heal,
    Settle,
    Judge,
    TearDown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnqueueOutcome {
    Acknowledged,
    /// The system answered and said that no job was made, and why.
    Declined(String),
    /// No answer, or an error: the job may exist or not.
    Unknown(String),
}

/// A probe's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// Is the fleet (or the named worker) alive?
    Alive { subject: Option<ProcessName>, alive: bool },
    /// Jobs that the queue took from their holders so far, with how often: a count that rises is a
    /// suspicion of the holder. Sorted by job.
    Stalls(Vec<(JobId, u32)>),
    /// The probe had no answer (the store is down, say): nothing is known.
    Unknown { error: String },
}

/// A watch's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// As text: of a JSON value without quotes, `null` for nothing at all.
    Said(String),
    /// There was no answer: nothing is known.
    Unknown { error: String },
}

/// What the stores say of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FinalState {
    /// How often the job's work was done.
    pub effects: u32,
    /// Failed for good, by the system's own account.
    pub failed: bool,
    /// Saved steps, ascending.
    pub steps: Vec<u32>,
    /// Who did the work, once for each effect, as far as it is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<ProcessName>,
}
