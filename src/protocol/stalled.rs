//! The stalled check (S3): finds jobs that are active and have lost their lock.

use crate::names::Text;
use crate::protocol::status::{FinalFailure, STALLED_TOO_OFTEN};
use crate::protocol::worker::{Owner, Timer, WorkerDesk};
use crate::protocol::{Command, FleetEvent, QueueSettings, Reply, StoreError};
use crate::time::{Instant, Now, Span};

/// Asks the store for the two-phase check of one queue, once at the start and then at each
/// `stalled_interval`.
///
/// The first check comes at the start, as in BullMQ's `Worker.run`: a fleet that was dead altogether
/// marks what it left behind as soon as it is back. The next is counted from the *reply*, and comes a
/// millisecond later than the guard's time, so the guard that this worker set, which the store began to
/// count earlier and rounds up, has ended by then and does not refuse it. Every worker asks, and the guard lets one in: when the one that runs it dies, its guard
/// has to end and another worker's turn has to come.
#[derive(Debug)]
pub(super) struct StalledCheck {
    /// The place of the queue among the worker's queues.
    index: u32,
    queue: Text,
    interval: Span,
    max_stalls: u32,
    repeats: bool,
    /// When the check without a reply was sent.
    in_flight: Option<Instant>,
}

/// Redis calls a key gone once its clock, in whole milliseconds, is past the expiry: a guard may stand
/// for up to a millisecond more than its time. A check that comes in it is refused, and the job's
/// recovery takes an interval longer.
const GUARD_ROUNDING: Span = Span::from_millis(1);

impl StalledCheck {
    pub fn new(index: u32, queue: &str, settings: &QueueSettings) -> Self {
        Self {
            index,
            queue: queue.into(),
            interval: settings.stalled_interval,
            max_stalls: settings.max_stalled_count,
            repeats: false,
            in_flight: None,
        }
    }

    /// The first check goes at once.
    pub fn start(&mut self, now: Now, desk: &mut WorkerDesk) {
        self.repeats = true;
        if self.in_flight.is_none() {
            self.check(now, desk);
        }
    }

    /// No more checks; the one in flight still tells what it found.
    pub fn stop(&mut self, desk: &mut WorkerDesk) {
        self.repeats = false;
        desk.stop(Timer::Stalled(self.index));
    }

    pub fn check(&mut self, now: Now, desk: &mut WorkerDesk) {
        debug_assert!(self.in_flight.is_none(), "one check of a queue at a time");
        let check = Command::CheckStalled {
            queue: self.queue.clone(),
            guard: self.interval,
            max_stalls: self.max_stalls,
        };
        desk.send(Owner::Stalled(self.index), check);
        self.in_flight = Some(now.mono);
    }

    /// Returns the jobs that the check failed for good.
    pub fn replied(
        &mut self,
        now: Now,
        result: Result<Reply, StoreError>,
        desk: &mut WorkerDesk,
    ) -> Vec<FinalFailure> {
        if self.repeats {
            desk.set_after(now, Timer::Stalled(self.index), self.interval + GUARD_ROUNDING);
        }
        let (Some(sent), Ok(Reply::StalledCheck(report))) = (self.in_flight.take(), result) else {
            return Vec::new();
        };
        let failures = report.failed.iter().map(|job| FinalFailure {
            job: job.clone(),
            error: STALLED_TOO_OFTEN.to_owned(),
            attempts: 0,
        });
        let failures = failures.collect();
        if !report.requeued.is_empty() || !report.failed.is_empty() {
            desk.emit(FleetEvent::Stalled { requeued: report.requeued, failed: report.failed, sent });
        }
        failures
    }
}
