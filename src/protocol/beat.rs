//! The worker's heartbeat (S0): one key for the whole fleet, written at a fixed interval.

use crate::names::Text;
use crate::protocol::desk::next_due;
use crate::protocol::worker::{Owner, Timer, WorkerDesk};
use crate::protocol::{Command, CommandId, FleetEvent, HeartbeatSettings, Reply, StoreError};
use crate::time::{Instant, Now, Span};

/// Beats that may wait for their reply. A beat does not wait for the one before it, so a slow link
/// delays beats and does not thin them out; on a link that answers nothing they must not pile up.
const IN_FLIGHT_MAX: usize = 4;

/// The fleet's heartbeat key.
#[must_use]
pub fn beat_key(prefix: &str) -> String {
    format!("{prefix}:workers:heartbeat")
}

/// Writes a beat at each `interval` from its start, as a `setInterval` would: a beat is due an
/// interval after the previous one was *due*, whenever that one was sent or answered. After a pause
/// one beat is sent at once, and the missed ones are not. A beat that fails is not repeated: the next
/// one is.
///
/// The stamp is the worker's own wall clock when the beat is sent, as in the source (`Date.now()`);
/// with the reader's clock on the other side, that is where skew comes in.
#[derive(Debug)]
pub(super) struct Heart {
    key: Text,
    worker: Text,
    interval: Span,
    ttl: Span,
    /// Beats without a reply, and when they were sent.
    in_flight: Vec<(CommandId, Instant)>,
}

impl Heart {
    pub fn new(settings: &HeartbeatSettings, prefix: &str, worker: &str) -> Self {
        Self {
            key: beat_key(prefix).into(),
            worker: worker.into(),
            interval: settings.interval,
            ttl: settings.ttl,
            in_flight: Vec::with_capacity(IN_FLIGHT_MAX),
        }
    }

    /// The first beat goes at once.
    pub fn start(&mut self, now: Now, desk: &mut WorkerDesk) {
        self.due(now, now.mono, desk);
    }

    pub fn due(&mut self, now: Now, due: Instant, desk: &mut WorkerDesk) {
        desk.set(now, Timer::Beat, next_due(due, self.interval, now));
        if self.in_flight.len() == IN_FLIGHT_MAX {
            return;
        }
        let beat = Command::WriteBeat {
            key: self.key.clone(),
            worker: self.worker.clone(),
            stamp: now.wall,
            ttl: self.ttl,
        };
        let id = desk.send(Owner::Beat, beat);
        self.in_flight.push((id, now.mono));
    }

    pub fn replied(&mut self, id: CommandId, result: Result<Reply, StoreError>, desk: &mut WorkerDesk) {
        let Some(index) = self.in_flight.iter().position(|(beat, _)| *beat == id) else {
            debug_assert!(false, "a beat is in flight until its reply");
            return;
        };
        let (_, sent) = self.in_flight.remove(index);
        desk.emit(match result {
            Ok(_) => FleetEvent::Beat { sent },
            Err(error) => FleetEvent::BeatFailed { error: error.to_string() },
        });
    }
}
