//! What a backend must do for a run. `live` implements it over containers and processes, `sim` in
//! virtual time; `run` drives it and knows neither.
//!
//! The conversation: the conductor (a sans-IO state machine in `run`) decides; the backend carries
//! out and reports events. A backend's every effect comes back as an [`Event`], and nothing else does.

use crate::fault::{FaultId, Order};
use crate::history::Event;
use crate::protocol::JobSpec;
use crate::time::{Instant, Span};

pub trait Backend {
    fn now(&self) -> Instant;

    /// The next event, or `None` when `until` has come first. Never waits past `until`.
    fn next_event(&mut self, until: Instant) -> Option<Event>;

    /// Begins an action; what comes of it arrives as events. Does not wait for it.
    fn perform(&mut self, action: Action);

    /// Heals nothing, waits for nothing: removes everything that the run created, and returns what
    /// could not be removed.
    fn tear_down(&mut self) -> Vec<String>;
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Hand the job to the system; comes back as `EnqueueAsked` and `EnqueueAnswered`.
    Enqueue(Box<JobSpec>),
    /// Carry the order out at `at` (now, if that has passed); comes back as `FaultDone` or `FaultUnproved`.
    Inject {
        order: Order,
        at: Instant,
    },
    /// The fault's gate begins to count commands, and holds what it catches for `limit` at most; comes back as
    /// [`Wiretap`](crate::history::wire::Wiretap).
    ArmGate {
        fault: FaultId,
        limit: Span,
    },
    /// The fault's gate waits for nothing any more, and what it holds goes on its way, or is `lost` with its
    /// connection if the process that sent it has ended.
    OpenGate {
        fault: FaultId,
        lost: bool,
    },
    /// Begin to ask what a user would ask, all the time; comes back as `Probe`.
    StartProbes,
    StopProbes,
    /// Read every job's state from the stores once; comes back as `JobState` for each job that they
    /// know, then `Collected`. A reading that is still under way is given up: it says nothing any more.
    Collect,
}

/// Why a scenario could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The environment lacks something; the hint says what to install or start. Exit 4.
    #[error("{what}")]
    Environment { what: String, hint: String },
    /// The scenario asks for something that this backend cannot do. Reported as not runnable here.
    #[error("{0}")]
    Unsupported(String),
    /// The environment is there, and bringing up the scenario failed all the same.
    #[error("{0}")]
    Failed(String),
    /// A process could not be started, or ended before it could be held.
    #[error("{what}")]
    NotStarted { what: String, why: Unstarted },
    /// The environment was there, and no longer answers: nothing more can be run on it.
    #[error("{what}")]
    Hung { what: String, hint: String },
    #[error("interrupted")]
    Interrupted,
}

impl BackendError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Environment { hint, .. } | Self::Hung { hint, .. } => Some(hint),
            Self::Unsupported(_) | Self::Failed(_) | Self::NotStarted { .. } | Self::Interrupted => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unstarted {
    /// There is no such program.
    NoProgram,
    /// It ended at once.
    Ended,
}
