//! The fleet's global lock (S0): it lets one worker be operational.

use crate::names::Text;
use crate::protocol::desk::next_due;
use crate::protocol::worker::{Owner, Timer, WorkerDesk};
use crate::protocol::{Command, CommandId, FleetEvent, HeartbeatSettings, Reply, StoreError};
use crate::time::{Instant, Now, Span};

/// The key of the fleet's global lock.
#[must_use]
pub fn lock_key(prefix: &str) -> String {
    format!("{prefix}:workers:global")
}

/// Tries to get the lock, or renews it, at each `lock_interval`.
///
/// A holder believes in its lock for one TTL from when it *sent* the last successful command: the
/// store counts from a later moment, so the belief ends before the lock does and two workers are
/// never operational together, clocks' rates aside. (A paused worker learns of its loss only when it
/// runs again; what it did in between is for the job's own lock to stop.)
#[derive(Debug)]
pub(super) struct GlobalLock {
    key: Text,
    token: Text,
    ttl: Span,
    interval: Span,
    holding: bool,
    /// A command of ours may have taken or kept the lock without our knowing when: its TTL is unknown
    /// until it is renewed.
    uncertain: bool,
    in_flight: Option<Attempt>,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    id: CommandId,
    sent: Instant,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Acquire,
    Renew,
    Release,
}

impl GlobalLock {
    pub fn new(settings: &HeartbeatSettings, prefix: &str, token: String) -> Self {
        Self {
            key: lock_key(prefix).into(),
            token: token.into(),
            ttl: settings.lock_ttl,
            interval: settings.lock_interval,
            holding: false,
            uncertain: false,
            in_flight: None,
        }
    }

    pub const fn holding(&self) -> bool {
        self.holding
    }

    /// The first attempt goes at once.
    pub fn start(&mut self, now: Now, desk: &mut WorkerDesk) {
        self.turn(now, now.mono, desk);
    }

    /// The interval is over.
    pub fn turn(&mut self, now: Now, due: Instant, desk: &mut WorkerDesk) {
        desk.set(now, Timer::Lock, next_due(due, self.interval, now));
        if self.in_flight.is_none() {
            self.send(now, if self.holding { Kind::Renew } else { Kind::Acquire }, desk);
        }
    }

    /// A TTL has passed since the last success.
    pub fn expired(&mut self, desk: &mut WorkerDesk) {
        self.uncertain = true;
        self.hold(false, desk);
    }

    pub fn replied(&mut self, now: Now, result: &Result<Reply, StoreError>, desk: &mut WorkerDesk) {
        let Some(Attempt { sent, kind, .. }) = self.in_flight.take() else {
            debug_assert!(false, "an attempt is in flight until its reply");
            return;
        };
        match (kind, result) {
            (Kind::Release, _) => {}
            (Kind::Acquire, Ok(Reply::Held(true))) if self.uncertain => {
                // It may be an old hold of ours that is about to expire.
                self.send(now, Kind::Renew, desk);
            }
            (_, Ok(Reply::Held(true))) => self.held(now, sent, desk),
            (_, Ok(_)) => {
                self.uncertain = false;
                desk.stop(Timer::LockExpiry);
                self.hold(false, desk);
            }
            (_, Err(_)) => self.uncertain = true,
        }
    }

    /// Gives the lock back. Returns whether a reply is to be waited for.
    pub fn release(&mut self, now: Now, desk: &mut WorkerDesk) -> bool {
        let may_hold = self.holding || self.uncertain || self.in_flight.is_some();
        desk.stop(Timer::Lock);
        desk.stop(Timer::LockExpiry);
        self.hold(false, desk);
        if may_hold {
            if let Some(attempt) = self.in_flight.take() {
                desk.forget(attempt.id);
            }
            self.send(now, Kind::Release, desk);
        }
        may_hold
    }

    pub const fn releasing(&self) -> bool {
        matches!(self.in_flight, Some(Attempt { kind: Kind::Release, .. }))
    }

    fn held(&mut self, now: Now, sent: Instant, desk: &mut WorkerDesk) {
        self.uncertain = false;
        let until = sent + self.ttl;
        if until <= now.mono {
            // The reply took longer than the lock lasts.
            return self.expired(desk);
        }
        desk.set(now, Timer::LockExpiry, until);
        self.hold(true, desk);
    }

    fn hold(&mut self, holding: bool, desk: &mut WorkerDesk) {
        if std::mem::replace(&mut self.holding, holding) != holding {
            desk.emit(FleetEvent::Operational { holding });
        }
    }

    fn send(&mut self, now: Now, kind: Kind, desk: &mut WorkerDesk) {
        let (key, token, ttl) = (self.key.clone(), self.token.clone(), self.ttl);
        let command = match kind {
            Kind::Acquire => Command::AcquireLock { key, token, ttl },
            Kind::Renew => Command::RenewLock { key, token, ttl },
            Kind::Release => Command::ReleaseLock { key, token },
        };
        let id = desk.send(Owner::GlobalLock, command);
        self.in_flight = Some(Attempt { id, sent: now.mono, kind });
    }
}
