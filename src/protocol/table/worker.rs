//! The worker of a Postgres fleet: beats, claims and slots, and the way it starts and stops (S1, S2).

use super::beat::Beats;
use super::rescue::Rescue;
use super::slot::Slot;
use super::{AfterFailure, TableCommand, TableSettings, Watch};
use crate::names::{JobId, ProcessName, Store, Text};
use crate::protocol::desk::Desk;
use crate::protocol::{Command, CommandId, FleetEvent, Input, Machine, Output, Reply, StoreError};
use crate::time::{Instant, Now, Span};

/// How long one wait for the database's connection lasts at the start, and the pause before the next.
const READY_WAIT: Span = Span::from_secs(1);
const READY_RETRY: Span = Span::from_millis(100);

/// How many retry waits a stopping worker gives its last commands to be answered.
const FAREWELL_RETRIES: u64 = 4;

/// So much of a process's instance is in its worker's id, as of the UUID in source 002.
const ID_CHARACTERS: usize = 8;

/// A worker process, from its start to its exit.
///
/// Start: it waits for the database, for ever, and beats; it claims once the table knows of its beat.
/// A process that is started again is another worker: its id is new, and the jobs of the one before
/// stay that one's, until it is found dead.
///
/// Stop (SIGTERM): no more claims, the jobs in work go on for at most `shutdown_grace`; what is left
/// then is handed back and the exit is a forced one. Its row in the table of workers stays.
#[derive(Debug)]
pub struct TableWorker {
    life: Life,
    pid: u32,
    rules: Rules,
    claim_poll: Span,
    shutdown_grace: Span,
    /// How long a query for readiness waits for the database.
    patience: Span,
    beats: Beats,
    rescue: Option<Rescue>,
    claim: Option<CommandId>,
    slots: Vec<Slot>,
    desk: TableDesk,
}

pub(super) type TableDesk = Desk<Owner, Timer>;

/// Who gets a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Start,
    Beat,
    JobBeat(u32),
    Rescue,
    Claim,
    Slot(u32),
    /// Who asks whether the database answers.
    Query(u64),
}

/// What is to be done at its time; of several at one instant, in this order: a beat comes before
/// anything that may follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Start,
    Beat,
    JobBeat(u32),
    Rescue,
    Timeout(u32),
    Resend(u32),
    Claim,
    Grace,
    Farewell,
}

/// What every slot goes by.
#[derive(Debug)]
pub(super) struct Rules {
    /// This life of the process.
    pub worker: Text,
    /// The wait before a command is sent again.
    pub retry: Span,
    pub fencing: bool,
    /// Between two beats of a job in work; none where only workers beat.
    pub job_beat: Option<Span>,
    /// What becomes of a job that has failed for good.
    pub end: AfterFailure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Starting,
    Running,
    /// Finishes the jobs in work.
    Draining,
    /// Past the grace: hands the jobs back.
    HandingBack,
    Gone,
}

impl TableWorker {
    /// `instance` tells this process from every other that ever had the same name.
    #[must_use]
    pub fn new(settings: &TableSettings, name: &ProcessName, pid: u32, instance: &str) -> Self {
        let mark: String = instance.chars().take(ID_CHARACTERS).collect();
        let worker: Text = format!("{name}-{mark}").into();
        let (rescue, job_beat, end) = match &settings.watch {
            Watch::Sweeper(_) => (None, None, AfterFailure::Failed),
            Watch::Workers(rescue) => {
                (Some(Rescue::new(rescue.clone())), Some(settings.interval), AfterFailure::DeadLetter)
            }
        };
        let (retry, fencing) = (settings.retry(), settings.fencing);
        let mut worker = Self {
            life: Life::Starting,
            pid,
            beats: Beats::new(settings, worker.clone()),
            rules: Rules { worker, retry, fencing, job_beat, end },
            rescue,
            claim_poll: settings.claim_poll,
            shutdown_grace: settings.shutdown_grace,
            patience: settings.patience,
            claim: None,
            slots: (0..settings.concurrency).map(Slot::new).collect(),
            desk: Desk::new(),
        };
        worker.await_store();
        worker
    }

    /// Jobs in work.
    #[must_use]
    pub fn active(&self) -> u32 {
        let active = self.slots.iter().filter(|slot| !slot.is_free()).count();
        u32::try_from(active).unwrap_or(u32::MAX)
    }

    fn await_store(&mut self) {
        let ready = Command::AwaitReady { store: Store::Postgres, within: READY_WAIT };
        self.desk.send(Owner::Start, ready);
    }

    fn reply(&mut self, now: Now, id: CommandId, result: Result<Reply, StoreError>) {
        match self.desk.take(id, &result) {
            None => {}
            Some(Owner::Start) if result == Ok(Reply::Ready(true)) => self.beats.start(now, &mut self.desk),
            Some(Owner::Start) => self.desk.set_after(now, Timer::Start, READY_RETRY),
            Some(Owner::Beat) => {
                self.beats.replied(id, result, &mut self.desk);
                if self.life == Life::Starting && self.beats.is_known() {
                    self.life = Life::Running;
                    self.desk.emit(FleetEvent::Ready { pid: self.pid });
                    self.look(now);
                }
            }
            Some(Owner::JobBeat(index)) => {
                self.in_slot(index, |slot, rules, desk| slot.beaten(now, &result, rules, desk));
            }
            Some(Owner::Rescue) => {
                if let Some(rescue) = self.rescue.as_ref().filter(|_| self.life == Life::Running) {
                    rescue.replied(now, result, &mut self.desk);
                }
            }
            Some(Owner::Query(query)) => {
                let online = result == Ok(Reply::Ready(true));
                self.desk.output(Output::Answer { query, online, stale: false });
            }
            Some(Owner::Claim) => self.claimed(now, result),
            Some(Owner::Slot(index)) => {
                self.in_slot(index, |slot, rules, desk| slot.replied(now, result, rules, desk));
            }
        }
    }

    fn timer(&mut self, now: Now, timer: Timer, due: Instant) {
        match timer {
            Timer::Start => self.await_store(),
            Timer::Beat => self.beats.due(now, due, &mut self.desk),
            Timer::JobBeat(index) => {
                self.in_slot(index, |slot, rules, desk| slot.beat(now, due, rules, desk));
            }
            Timer::Rescue => self.look(now),
            // The next claim follows from the timer's not being set.
            Timer::Claim => {}
            Timer::Timeout(index) => self.in_slot(index, Slot::timed_out),
            Timer::Resend(index) => self.in_slot(index, Slot::resend),
            Timer::Grace => self.grace_over(now),
            Timer::Farewell => self.exit(true),
        }
    }

    fn look(&mut self, now: Now) {
        if let Some(rescue) = &mut self.rescue {
            rescue.look(now, &mut self.desk);
        }
    }

    fn claimed(&mut self, now: Now, result: Result<Reply, StoreError>) {
        self.claim = None;
        let Ok(Reply::Claimed(Some(job))) = result else {
            return self.desk.set_after(now, Timer::Claim, self.claim_poll);
        };
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.is_free()) else {
            debug_assert!(false, "a job is claimed for a free slot");
            return;
        };
        if self.life == Life::Running {
            slot.begin(now, *job, &self.rules, &mut self.desk);
        } else {
            slot.hand_back(*job, &self.rules, &mut self.desk);
        }
    }

    /// Lets a slot act; a slot that is free then need not wait for the poll.
    fn in_slot(&mut self, index: u32, act: impl FnOnce(&mut Slot, &Rules, &mut TableDesk)) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            debug_assert!(false, "slot {index} does not exist");
            return;
        };
        let was_free = slot.is_free();
        act(slot, &self.rules, &mut self.desk);
        if slot.is_free() && !was_free {
            self.desk.stop(Timer::Claim);
        }
    }

    /// What follows from the state, whatever the input was.
    fn settle(&mut self) {
        let idle = self.claim.is_none() && self.slots.iter().all(Slot::is_free);
        match self.life {
            Life::Running if self.slots.iter().any(Slot::is_free) => self.ask(),
            Life::Draining if idle => self.exit(false),
            Life::HandingBack if idle => self.exit(true),
            _ => {}
        }
    }

    /// Asks for a job, unless an answer or the poll's wait is pending.
    fn ask(&mut self) {
        if self.claim.is_none() && !self.desk.is_set(Timer::Claim) {
            let holding: Vec<JobId> = self.slots.iter().filter_map(Slot::job).cloned().collect();
            let claim = TableCommand::Claim { worker: self.rules.worker.clone(), holding };
            self.claim = Some(self.desk.send(Owner::Claim, Command::Table(claim)));
        }
    }

    fn shut_down(&mut self, now: Now) {
        if matches!(self.life, Life::Starting | Life::Running) {
            self.life = Life::Draining;
            self.desk.stop(Timer::Claim);
            self.desk.stop(Timer::Rescue);
            self.desk.emit(FleetEvent::ShuttingDown { active: self.active() });
            self.desk.set_after(now, Timer::Grace, self.shutdown_grace);
        }
    }

    fn grace_over(&mut self, now: Now) {
        debug_assert_eq!(self.life, Life::Draining, "the grace is for jobs in work");
        self.life = Life::HandingBack;
        if let Some(claim) = self.claim.take() {
            self.desk.forget(claim);
        }
        for slot in &mut self.slots {
            slot.release(&self.rules, &mut self.desk);
        }
        self.desk.set_after(now, Timer::Farewell, self.rules.retry.saturating_mul(FAREWELL_RETRIES));
    }

    fn exit(&mut self, forced: bool) {
        self.life = Life::Gone;
        self.desk.exit(forced);
    }
}

impl Machine for TableWorker {
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
            Input::Query { query } => {
                let ready = Command::AwaitReady { store: Store::Postgres, within: self.patience };
                self.desk.send(Owner::Query(query), ready);
            }
            Input::Memory { .. } | Input::Panic => {
                debug_assert!(false, "such a worker measures nothing, and looks after nobody");
            }
        }
        // Timers that are due are served after any input, so a process that was paused catches up in
        // one turn. Each is set again later than `now`.
        while let Some((timer, due)) = self.desk.pop_due(now) {
            self.timer(now, timer, due);
        }
        self.settle();
    }

    fn poll(&mut self) -> Option<Output> {
        self.desk.poll()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.desk.next_timeout()
    }
}
