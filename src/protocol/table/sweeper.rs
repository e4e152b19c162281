//! The sweeper (S2): a process of its own that looks, at intervals, for workers that have died.

use super::{SweepSettings, TableCommand};
use crate::names::Store;
use crate::protocol::desk::Desk;
use crate::protocol::{Command, CommandId, FleetEvent, Input, Machine, Output, Reply, StoreError};
use crate::time::{Instant, Now, Span};

/// The error of a job whose worker was found dead (source 002).
pub const WORKER_DIED: &str = "Worker died unexpectedly";

/// How long one wait for the database's connection lasts at the start, and the pause before the next.
const READY_WAIT: Span = Span::from_secs(1);
const READY_RETRY: Span = Span::from_millis(100);

/// Looks once at its start, and again an interval after each look has ended, as a loop that sleeps
/// does. A look that fails is not repeated: the next one is.
#[derive(Debug)]
pub struct Sweeper {
    life: Life,
    pid: u32,
    settings: SweepSettings,
    /// When the look without a reply was sent.
    in_flight: Instant,
    desk: Desk<Owner, Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Starting,
    Running,
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Start,
    Sweep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Start,
    Sweep,
}

impl Sweeper {
    #[must_use]
    pub fn new(settings: &SweepSettings, pid: u32) -> Self {
        let mut sweeper = Self {
            life: Life::Starting,
            pid,
            settings: settings.clone(),
            in_flight: Instant::ZERO,
            desk: Desk::new(),
        };
        sweeper.await_store();
        sweeper
    }

    fn await_store(&mut self) {
        let ready = Command::AwaitReady { store: Store::Postgres, within: READY_WAIT };
        self.desk.send(Owner::Start, ready);
    }

    fn sweep(&mut self, now: Now) {
        self.in_flight = now.mono;
        let look = TableCommand::FailJobsOfTheDead { stale: self.settings.threshold };
        self.desk.send(Owner::Sweep, Command::Table(look));
    }

    fn replied(&mut self, now: Now, id: CommandId, result: Result<Reply, StoreError>) {
        match self.desk.take(id, &result) {
            None => {}
            Some(Owner::Start) if result == Ok(Reply::Ready(true)) => {
                self.life = Life::Running;
                self.desk.emit(FleetEvent::Ready { pid: self.pid });
                self.sweep(now);
            }
            Some(Owner::Start) => self.desk.set_after(now, Timer::Start, READY_RETRY),
            Some(Owner::Sweep) => {
                self.desk.set_after(now, Timer::Sweep, self.settings.interval);
                if let Ok(Reply::StalledCheck(found)) = result
                    && !(found.requeued.is_empty() && found.failed.is_empty())
                {
                    let (requeued, failed) = (found.requeued, found.failed);
                    self.desk.emit(FleetEvent::Stalled { requeued, failed, sent: self.in_flight });
                }
            }
        }
    }

    fn leave(&mut self) {
        self.life = Life::Gone;
        self.desk.emit(FleetEvent::ShuttingDown { active: 0 });
        self.desk.exit(false);
    }
}

impl Machine for Sweeper {
    fn handle(&mut self, now: Now, input: Input) {
        if self.life == Life::Gone {
            return;
        }
        match input {
            Input::Timeout => {}
            Input::Reply { id, result } => self.replied(now, id, result),
            Input::Shutdown => return self.leave(),
            Input::WorkDone { .. }
            | Input::WorkFailed { .. }
            | Input::Memory { .. }
            | Input::Panic
            | Input::Query { .. } => {
                debug_assert!(false, "a sweeper neither works nor answers");
            }
        }
        while let Some((timer, _)) = self.desk.pop_due(now) {
            match timer {
                Timer::Start => self.await_store(),
                Timer::Sweep => self.sweep(now),
            }
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.desk.poll()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.desk.next_timeout()
    }
}
