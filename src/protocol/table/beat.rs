//! The beats of a worker, each a row's new time by the database's clock (S2).

use super::worker::{Owner, TableDesk, Timer};
use super::{TableCommand, TableSettings};
use crate::names::Text;
use crate::protocol::desk::next_due;
use crate::protocol::{Command, CommandId, FleetEvent, Reply, StoreError};
use crate::time::{Instant, Now, Span};

/// Beats that may wait for their reply: a slow link delays beats and does not thin them out; on a link
/// that answers nothing they must not pile up.
const IN_FLIGHT_MAX: usize = 4;

/// Writes a beat at each `interval` from its start. A beat that fails is not repeated: the next one is.
#[derive(Debug)]
pub(super) struct Beats {
    worker: Text,
    interval: Span,
    /// Beats without a reply, and when they were sent.
    in_flight: Vec<(CommandId, Instant)>,
    /// One was acknowledged: the table knows the worker.
    known: bool,
}

impl Beats {
    pub fn new(settings: &TableSettings, worker: Text) -> Self {
        Self { worker, interval: settings.interval, in_flight: Vec::new(), known: false }
    }

    /// Without a row of its own a worker is never found dead, and its jobs never with it.
    pub const fn is_known(&self) -> bool {
        self.known
    }

    /// The first beat goes at once.
    pub fn start(&mut self, now: Now, desk: &mut TableDesk) {
        self.due(now, now.mono, desk);
    }

    pub fn due(&mut self, now: Now, due: Instant, desk: &mut TableDesk) {
        desk.set(now, Timer::Beat, next_due(due, self.interval, now));
        if self.in_flight.len() < IN_FLIGHT_MAX {
            let beat = Command::Table(TableCommand::Beat { worker: self.worker.clone() });
            self.in_flight.push((desk.send(Owner::Beat, beat), now.mono));
        }
    }

    pub fn replied(&mut self, id: CommandId, result: Result<Reply, StoreError>, desk: &mut TableDesk) {
        let Some(index) = self.in_flight.iter().position(|(beat, _)| *beat == id) else {
            debug_assert!(false, "a beat is in flight until its reply");
            return;
        };
        let (_, sent) = self.in_flight.remove(index);
        desk.emit(match result {
            Ok(_) => {
                self.known = true;
                FleetEvent::Beat { sent }
            }
            Err(error) => FleetEvent::BeatFailed { error: error.to_string() },
        });
    }
}
