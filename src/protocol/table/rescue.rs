//! The rescue (S1): every worker looks, at intervals, for jobs whose own beat has become too old.

use super::worker::{Owner, TableDesk, Timer};
use super::{RescueSettings, TableCommand};
use crate::protocol::{Command, FleetEvent, Reply, StoreError};
use crate::time::{Instant, Now};

/// Looks once when the worker begins, so that a fleet that was dead altogether takes up what it left
/// behind, and again an interval after each look has ended. All workers look; the statement takes a job
/// once, whoever is first.
#[derive(Debug)]
pub(super) struct Rescue {
    settings: RescueSettings,
    /// When the look without a reply was sent.
    sent: Instant,
}

impl Rescue {
    pub const fn new(settings: RescueSettings) -> Self {
        Self { settings, sent: Instant::ZERO }
    }

    pub fn look(&mut self, now: Now, desk: &mut TableDesk) {
        self.sent = now.mono;
        let look = TableCommand::Rescue { stale: self.settings.threshold };
        desk.send(Owner::Rescue, Command::Table(look));
    }

    pub fn replied(&self, now: Now, result: Result<Reply, StoreError>, desk: &mut TableDesk) {
        desk.set_after(now, Timer::Rescue, self.settings.interval);
        if let Ok(Reply::StalledCheck(found)) = result
            && !(found.requeued.is_empty() && found.failed.is_empty())
        {
            let (requeued, failed) = (found.requeued, found.failed);
            desk.emit(FleetEvent::Stalled { requeued, failed, sent: self.sent });
        }
    }
}
