//! The reference worker: heartbeat and global lock (S0), claims, slots and stalled checks (S3), and
//! the way it starts and stops.

use crate::names::{ProcessName, Store};
use crate::protocol::beat::Heart;
use crate::protocol::desk::Desk;
use crate::protocol::lock::GlobalLock;
use crate::protocol::queue::Claims;
use crate::protocol::retry::command_retry;
use crate::protocol::slot::Slot;
use crate::protocol::stalled::StalledCheck;
use crate::protocol::status::{FinalFailure, FinalStatuses};
use crate::protocol::{
    Command, CommandId, FleetEvent, FleetSettings, Input, Machine, Output, PlantedBug, Reply, StoreError,
};
use crate::time::{Instant, Now, Span};

/// How long one wait for a store's connection lasts at the start, and the pause before the next.
const READY_WAIT: Span = Span::from_secs(1);
const READY_RETRY: Span = Span::from_millis(100);

/// How many retry waits a stopping worker gives its last commands to be answered.
const FAREWELL_RETRIES: u64 = 4;

/// A worker process, from its start to its exit.
///
/// Start: it waits for each store, for ever. Heartbeat and global lock begin with Redis alone; jobs
/// are claimed once both stores are ready and, where there is a heartbeat, while the lock is held.
///
/// Stop (SIGTERM): no more claims, the jobs in work go on for at most `shutdown_grace`; what is left
/// then is handed back to the queue and the exit is a forced one. The global lock is held up to the
/// end and then released; the heartbeat's key is left to its TTL, as in the source.
#[derive(Debug)]
pub struct Worker {
    life: Life,
    pid: u32,
    rules: Rules,
    shutdown_grace: Span,
    heart: Option<Heart>,
    lock: Option<GlobalLock>,
    claims: Claims,
    stalled: Vec<StalledCheck>,
    slots: Vec<Slot>,
    statuses: FinalStatuses,
    /// No job is claimed while so many are in work.
    limit: u32,
    /// Whether it claimed jobs after the last input.
    operating: bool,
    desk: WorkerDesk,
}

pub(super) type WorkerDesk = Desk<Owner, Timer>;

/// Who gets a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Start(Store),
    Beat,
    GlobalLock,
    Claim,
    Stalled(u32),
    Status,
    Renewal(u32),
    Slot(u32),
}

/// What is to be done at its time; of several at one instant, in this order. A beat and the locks'
/// renewals come before anything that may follow from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Start(Store),
    Beat,
    Lock,
    LockExpiry,
    Renewal(u32),
    Stalled(u32),
    Timeout(u32),
    Resend(u32),
    Status,
    Claim,
    Grace,
    Farewell,
}

/// What every slot goes by.
#[derive(Debug)]
pub(super) struct Rules {
    pub worker: ProcessName,
    pub lock_duration: Span,
    pub lock_renew: Span,
    /// The wait before a command whose answer is needed is sent again.
    pub retry: Span,
    /// No attempt may take longer, whatever the job allows.
    pub longest_attempt: Option<Span>,
    /// A job whose lock is another's is dropped, and its completion refused.
    pub fencing: bool,
    pub bug: Option<PlantedBug>,
}

impl Rules {
    pub fn renews_locks(&self) -> bool {
        !matches!(self.bug, Some(PlantedBug::NeverRenewsLock | PlantedBug::AcknowledgesEarly))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Starting {
        redis: bool,
        postgres: bool,
    },
    Running,
    /// Finishes the jobs in work.
    Draining,
    /// Past the grace: hands the jobs back.
    HandingBack,
    /// Releases the global lock.
    Leaving {
        forced: bool,
    },
    Gone,
}

impl Worker {
    /// `instance` tells this process from every other that ever had the same name and pid (containers
    /// restart with pid 1): a lock's token is built from it.
    #[must_use]
    pub fn new(settings: &FleetSettings, name: &ProcessName, pid: u32, instance: &str, now: Now) -> Self {
        let queue = &settings.queue;
        let retry = command_retry(queue);
        let holder = format!("{name}:{pid}:{instance}");
        let heartbeat = settings.heartbeat.as_ref();
        let mut worker = Self {
            life: Life::Starting { redis: false, postgres: false },
            pid,
            rules: Rules {
                worker: name.clone(),
                lock_duration: queue.lock_duration,
                lock_renew: queue.lock_renew,
                retry,
                longest_attempt: settings.pool.as_ref().map(|pool| pool.max_job_duration),
                fencing: queue.fencing,
                bug: settings.planted_bug,
            },
            shutdown_grace: queue.shutdown_grace,
            heart: heartbeat.map(|heartbeat| Heart::new(heartbeat, &settings.prefix, name.as_str())),
            lock: heartbeat.map(|heartbeat| GlobalLock::new(heartbeat, &settings.prefix, holder.clone())),
            claims: Claims::new(queue, holder),
            stalled: (0..).zip(&queue.queues).map(|(i, name)| StalledCheck::new(i, name, queue)).collect(),
            slots: (0..queue.concurrency).map(Slot::new).collect(),
            statuses: FinalStatuses::new(retry),
            limit: queue.concurrency,
            operating: false,
            desk: Desk::new(),
        };
        for store in Store::ALL {
            worker.await_store(store);
        }
        worker.settle(now);
        worker
    }

    /// Jobs in work.
    #[must_use]
    pub fn active(&self) -> u32 {
        let active = self.slots.iter().filter(|slot| !slot.is_free()).count();
        u32::try_from(active).unwrap_or(u32::MAX)
    }

    fn await_store(&mut self, store: Store) {
        self.desk.send(Owner::Start(store), Command::AwaitReady { store, within: READY_WAIT });
    }

    fn store_ready(&mut self, now: Now, store: Store, is_ready: bool) {
        let Life::Starting { redis, postgres } = &mut self.life else { return };
        if !is_ready {
            return self.desk.set_after(now, Timer::Start(store), READY_RETRY);
        }
        match store {
            Store::Redis => *redis = true,
            Store::Postgres => *postgres = true,
        }
        let all_ready = *redis && *postgres;
        if store == Store::Redis {
            if let Some(heart) = &mut self.heart {
                heart.start(now, &mut self.desk);
            }
            if let Some(lock) = &mut self.lock {
                lock.start(now, &mut self.desk);
            }
        }
        if all_ready {
            self.life = Life::Running;
            self.desk.emit(FleetEvent::Ready { pid: self.pid });
        }
    }

    fn reply(&mut self, now: Now, id: CommandId, result: Result<Reply, StoreError>) {
        let Some(owner) = self.desk.take(id, &result) else { return };
        let desk = &mut self.desk;
        match owner {
            Owner::Start(store) => self.store_ready(now, store, result == Ok(Reply::Ready(true))),
            Owner::Beat => {
                if let Some(heart) = &mut self.heart {
                    heart.replied(id, result, desk);
                }
            }
            Owner::GlobalLock => {
                if let Some(lock) = &mut self.lock {
                    lock.replied(now, &result, desk);
                }
            }
            Owner::Claim => self.claimed(now, result),
            Owner::Stalled(index) => {
                for failure in self.stalled[index as usize].replied(now, result, desk) {
                    self.statuses.push(failure, desk);
                }
            }
            Owner::Status => self.statuses.replied(now, &result, desk),
            Owner::Renewal(index) => {
                self.in_slot(index, |slot, rules, desk| {
                    slot.renewed(now, &result, rules, desk);
                    None
                });
            }
            Owner::Slot(index) => {
                self.in_slot(index, |slot, rules, desk| slot.replied(now, result, rules, desk));
            }
        }
    }

    fn timer(&mut self, now: Now, timer: Timer, due: Instant) {
        let desk = &mut self.desk;
        match timer {
            Timer::Start(store) => self.await_store(store),
            Timer::Beat => {
                if let Some(heart) = &mut self.heart {
                    heart.due(now, due, desk);
                }
            }
            Timer::Lock => {
                if let Some(lock) = &mut self.lock {
                    lock.turn(now, due, desk);
                }
            }
            Timer::LockExpiry => {
                if let Some(lock) = &mut self.lock {
                    lock.expired(desk);
                }
            }
            Timer::Stalled(index) => self.stalled[index as usize].check(now, desk),
            Timer::Status => self.statuses.send(desk),
            // The next claim follows from the timer's not being set.
            Timer::Claim => {}
            Timer::Renewal(index) => {
                self.in_slot(index, |slot, rules, desk| {
                    slot.renew(now, due, rules, desk);
                    None
                });
            }
            Timer::Timeout(index) => self.in_slot(index, |slot, rules, desk| slot.timed_out(rules, desk)),
            Timer::Resend(index) => {
                self.in_slot(index, |slot, rules, desk| {
                    slot.resend(rules, desk);
                    None
                });
            }
            Timer::Grace => self.grace_over(now),
            Timer::Farewell => self.last_words_over(now),
        }
    }

    fn claimed(&mut self, now: Now, result: Result<Reply, StoreError>) {
        let Some(claimed) = self.claims.replied(now, result, &mut self.desk) else { return };
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.is_free()) else {
            debug_assert!(false, "a job is claimed for a free slot");
            return;
        };
        if self.life == Life::Running {
            slot.begin(now, claimed, &self.rules, &mut self.desk);
        } else {
            slot.hand_back(claimed, &self.rules, &mut self.desk);
        }
    }

    /// Lets a slot act, and does what follows if that ended its job.
    fn in_slot(
        &mut self,
        index: u32,
        act: impl FnOnce(&mut Slot, &Rules, &mut WorkerDesk) -> Option<FinalFailure>,
    ) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            debug_assert!(false, "slot {index} does not exist");
            return;
        };
        let was_free = slot.is_free();
        if let Some(failure) = act(slot, &self.rules, &mut self.desk) {
            self.statuses.push(failure, &mut self.desk);
        }
        if slot.is_free() && !was_free {
            self.claims.wake(&mut self.desk);
        }
    }

    /// What follows from the state, whatever the input was.
    fn settle(&mut self, now: Now) {
        let holding = self.lock.as_ref().is_none_or(GlobalLock::holding);
        let operates = self.life == Life::Running && holding;
        if operates && !self.operating {
            for check in &mut self.stalled {
                check.start(now, &mut self.desk);
            }
        }
        if !operates && self.operating {
            self.claims.stop(&mut self.desk);
            for check in &mut self.stalled {
                check.stop(&mut self.desk);
            }
        }
        self.operating = operates;
        if operates && self.active() < self.limit && self.slots.iter().any(Slot::is_free) {
            self.claims.ask(&mut self.desk);
        }
        match self.life {
            Life::Draining if self.is_idle() && self.statuses.is_empty() => self.leave(now, false),
            Life::HandingBack if self.is_idle() => self.leave(now, true),
            Life::Leaving { forced } if !self.lock.as_ref().is_some_and(GlobalLock::releasing) => {
                self.exit(forced);
            }
            _ => {}
        }
    }

    fn is_idle(&self) -> bool {
        !self.claims.in_flight() && self.slots.iter().all(Slot::is_free)
    }

    fn shut_down(&mut self, now: Now) {
        if !matches!(self.life, Life::Starting { .. } | Life::Running) {
            return;
        }
        self.life = Life::Draining;
        self.desk.emit(FleetEvent::ShuttingDown { active: self.active() });
        self.desk.set_after(now, Timer::Grace, self.shutdown_grace);
    }

    fn grace_over(&mut self, now: Now) {
        debug_assert_eq!(self.life, Life::Draining, "the grace is for jobs in work");
        if self.slots.iter().all(Slot::is_free) {
            return self.leave(now, false);
        }
        self.life = Life::HandingBack;
        self.claims.abandon(&mut self.desk);
        for slot in &mut self.slots {
            slot.release(&self.rules, &mut self.desk);
        }
        self.desk.set_after(now, Timer::Farewell, self.rules.retry.saturating_mul(FAREWELL_RETRIES));
    }

    fn last_words_over(&mut self, now: Now) {
        match self.life {
            Life::HandingBack => self.leave(now, true),
            Life::Leaving { forced } => self.exit(forced),
            life => debug_assert!(false, "no farewell while {life:?}"),
        }
    }

    fn leave(&mut self, now: Now, forced: bool) {
        self.life = Life::Leaving { forced };
        self.desk.close();
        let waits = self.lock.as_mut().is_some_and(|lock| lock.release(now, &mut self.desk));
        if waits {
            self.desk.set_after(now, Timer::Farewell, self.rules.retry.saturating_mul(FAREWELL_RETRIES));
        } else {
            self.exit(forced);
        }
    }

    fn exit(&mut self, forced: bool) {
        self.life = Life::Gone;
        self.desk.exit(forced);
    }
}

impl Machine for Worker {
    fn handle(&mut self, now: Now, input: Input) {
        if self.life == Life::Gone {
            return;
        }
        match input {
            Input::Timeout => {}
            Input::Reply { id, result } => self.reply(now, id, result),
            Input::WorkDone { slot } => {
                self.in_slot(slot, |slot, rules, desk| slot.work_done(now, rules, desk));
            }
            Input::WorkFailed { slot, error } => {
                self.in_slot(slot, |slot, rules, desk| slot.work_failed(error, rules, desk));
            }
            Input::Shutdown => self.shut_down(now),
            Input::Query { .. } | Input::Memory { .. } | Input::Panic => {
                debug_assert!(false, "a worker alone answers no queries and looks after nobody");
            }
        }
        // Timers that are due are served after any input, so a driver that is behind, or a process
        // that was paused, catches up in one turn. Each is set again later than `now`.
        while let Some((timer, due)) = self.desk.pop_due(now) {
            self.timer(now, timer, due);
        }
        self.settle(now);
    }

    fn poll(&mut self) -> Option<Output> {
        self.desk.poll()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.desk.next_timeout()
    }
}

mod pooled;
#[cfg(test)]
mod tests;
