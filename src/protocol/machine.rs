//! The shape that every protocol machine has. A driver feeds inputs, drains outputs after each, and
//! wakes the machine at `next_timeout`.

use crate::names::JobId;
use crate::protocol::{Command, CommandId, FleetEvent, Reply, StoreError, Tool};
use crate::time::{Instant, Now};

pub trait Machine {
    fn handle(&mut self, now: Now, input: Input);

    /// The next wish, until `None`.
    fn poll(&mut self) -> Option<Output>;

    /// When to send `Input::Timeout`, at the earliest; sending it sooner does nothing.
    fn next_timeout(&self) -> Option<Instant>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Timeout,
    Reply {
        id: CommandId,
        result: Result<Reply, StoreError>,
    },
    /// The work asked for by `Output::Work` took its time and is over.
    WorkDone {
        slot: u32,
    },
    /// The work asked for cannot be done: the step has failed.
    WorkFailed {
        slot: u32,
        error: String,
    },
    /// The answer to `Output::MeasureMemory`, in bytes; `limit`: what the process may use, if anything
    /// limits it.
    Memory {
        used: u64,
        limit: Option<u64>,
    },
    /// The task of one of the pool's workers panics: a planted error.
    Panic,
    /// A user of the api asks whether workers are online (detector).
    Query {
        query: u64,
    },
    /// SIGTERM.
    Shutdown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Send {
        id: CommandId,
        command: Command,
    },
    /// Work on a slot for this long, then `WorkDone`; a slot has at most one work at a time. The end
    /// must not be reported early: a `WorkDone` before its time is taken for a cancelled work's.
    Work {
        slot: u32,
        job: JobId,
        /// From 1.
        step: u32,
        lasting: crate::time::Span,
    },
    /// Work on a slot by running an external program, for this long at the least, then `WorkDone`, or at once
    /// `WorkFailed` if it is not there.
    Run {
        slot: u32,
        job: JobId,
        tool: Tool,
        lasting: crate::time::Span,
    },
    /// Ends the slot's work without a `WorkDone`; one that is already on its way is ignored.
    CancelWork {
        slot: u32,
    },
    /// Asks how much memory the process uses.
    MeasureMemory,
    Emit(FleetEvent),
    /// The answer to a `Query`; `stale`: a beat was there, and older than the threshold.
    Answer {
        query: u64,
        online: bool,
        stale: bool,
    },
    /// The process ends; `forced`: with jobs still in work.
    Exit {
        forced: bool,
    },
}
