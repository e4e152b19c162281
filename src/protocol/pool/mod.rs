//! The pool (S4): several workers in one process, and who looks after them.

pub mod event;
mod memory;
mod record;
pub mod settings;
mod tag;

use std::collections::BTreeSet;

use crate::names::{ProcessName, Store};
use crate::protocol::desk::{Desk, next_due};
use crate::protocol::pool::event::{Memory, PoolEvent, PoolHealth};
use crate::protocol::pool::memory::Pressure;
use crate::protocol::pool::record::Records;
use crate::protocol::pool::settings::{MEMORY_PER_WORKER, PoolSettings};
use crate::protocol::pool::tag::{Part, Tag};
use crate::protocol::{
    Command, CommandId, FleetEvent, FleetSettings, Input, Machine, Output, Reply, StoreError, Worker,
};
use crate::time::{Instant, Now};

/// The error of a worker whose task was made to panic.
const PANICKED: &str = "the worker's task panicked";

/// A pool process, from its start to its exit.
///
/// It runs [`Worker`]s, each with its own slots, its own claims and its own stalled checks, over the
/// process's connections. A worker whose task panics is gone with all that it knew, as it would be if
/// its process had died: its jobs' locks lapse, and the stalled check gives them back. The pool starts
/// a new worker in its place after `restart_after`, unless it is told to stop.
///
/// Each health check asks Redis for a sign of life and reads the memory. `redis_connected` follows
/// the last answer of Redis to any command, or the last wait for one that ended without: what the
/// service can know. An idle pool asks each `claim_poll`; one whose slots are all busy asks when it
/// renews a lock, and at the health checks.
///
/// At or over the memory's threshold each worker takes at most half of its jobs, one at least, until
/// `relief` has passed without such a reading. Jobs in work go on.
///
/// Stop (SIGTERM): every worker ends as [`Worker`] does, with the same grace, and a worker that was
/// to be started again is not. The exit is forced if that of any worker is.
#[derive(Debug)]
pub struct Pool {
    settings: FleetSettings,
    pool: PoolSettings,
    name: ProcessName,
    pid: u32,
    instance: String,
    started: Instant,
    life: Life,
    members: Vec<Member>,
    /// Slots, in the pool's numbers, that work.
    works: BTreeSet<u32>,
    records: Records,
    pressure: Pressure,
    limit: u32,
    restarts: u32,
    redis_connected: bool,
    /// Stores of which it was said that they fail.
    failing: [bool; Store::ALL.len()],
    pings: u64,
    ping: Option<CommandId>,
    desk: Desk<(), Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Some worker has not been ready yet.
    Starting,
    Running,
    Stopping {
        forced: bool,
    },
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Health,
    Restart(usize),
    Relief,
}

/// The place of one worker, and of those that take it over.
#[derive(Debug)]
struct Member {
    worker: Option<Box<Worker>>,
    ready: bool,
    /// From 1.
    starts: u32,
    /// The last number of a command of the earlier workers, and of any.
    base: u64,
    last: u64,
}

impl Pool {
    /// `instance` tells this process from every other that had its name and pid.
    #[must_use]
    pub fn new(
        settings: &FleetSettings,
        pool: &PoolSettings,
        name: &ProcessName,
        pid: u32,
        instance: &str,
        now: Now,
    ) -> Self {
        let member = || Member { worker: None, ready: false, starts: 0, base: 0, last: 0 };
        let mut this = Self {
            settings: settings.clone(),
            pool: pool.clone(),
            name: name.clone(),
            pid,
            instance: instance.to_owned(),
            started: now.mono,
            life: Life::Starting,
            members: (0..pool.workers.max(1)).map(|_| member()).collect(),
            works: BTreeSet::new(),
            records: Records::default(),
            pressure: Pressure::new(pool.memory_threshold_ppm),
            limit: settings.queue.concurrency,
            restarts: 0,
            redis_connected: false,
            failing: [false; Store::ALL.len()],
            pings: 0,
            ping: None,
            desk: Desk::new(),
        };
        for place in 0..this.members.len() {
            this.start(now, place);
        }
        if let Some(interval) = pool.health_interval {
            this.desk.set_after(now, Timer::Health, interval);
            this.desk.output(Output::MeasureMemory);
        }
        this
    }

    /// Its opinion of itself.
    #[must_use]
    pub fn health(&self) -> PoolHealth {
        let active_workers = self.members.iter().filter(|member| member.ready).count() as u32;
        let total_workers = self.members.len() as u32;
        PoolHealth {
            healthy: matches!(self.life, Life::Starting | Life::Running)
                && self.redis_connected
                && active_workers == total_workers
                && !self.pressure.is_high(),
            total_workers,
            active_workers,
            restarts: self.restarts,
            memory: self.pressure.last(),
            redis_connected: self.redis_connected,
            started: self.started,
        }
    }

    fn active_jobs(&self) -> u32 {
        self.members.iter().filter_map(|member| member.worker.as_ref()).map(|worker| worker.active()).sum()
    }

    fn start(&mut self, now: Now, place: usize) {
        let member = &mut self.members[place];
        member.starts += 1;
        member.base = member.last;
        let instance = format!("{}:{}:{}", self.instance, place + 1, member.starts);
        let mut worker = Worker::new(&self.settings, &self.name, self.pid, &instance, now);
        worker.limit_to(now, self.limit);
        self.members[place].worker = Some(Box::new(worker));
        self.relay(now, place);
    }

    /// Lets a worker act, and passes on what it wishes.
    fn feed(&mut self, now: Now, place: usize, input: Input) {
        if let Some(worker) = &mut self.members[place].worker {
            worker.handle(now, input);
            self.relay(now, place);
        }
    }

    fn relay(&mut self, now: Now, place: usize) {
        while let Some(output) = self.members[place].worker.as_mut().and_then(|worker| worker.poll()) {
            self.pass_on(now, place, output);
        }
    }

    fn pass_on(&mut self, now: Now, place: usize, output: Output) {
        match output {
            Output::Send { id: CommandId(number), command } => {
                let member = &mut self.members[place];
                member.last = member.base + number;
                let tag = Tag { part: Part::Worker(place), store: command.store(), number: member.last };
                self.desk.output(Output::Send { id: tag.pack(self.members.len()), command });
            }
            Output::Work { slot, job, step, lasting } => {
                let slot = self.slot_of_pool(place, slot);
                self.works.insert(slot);
                self.desk.output(Output::Work { slot, job, step, lasting });
            }
            Output::CancelWork { slot } => {
                let slot = self.slot_of_pool(place, slot);
                self.works.remove(&slot);
                self.desk.output(Output::CancelWork { slot });
            }
            Output::Emit(event) => self.hear(now, place, event),
            Output::Exit { forced } => self.closed(place, forced),
            Output::Answer { .. } | Output::MeasureMemory | Output::Run { .. } => {
                debug_assert!(false, "a worker answers no queries, measures nothing and runs no programs");
            }
        }
    }

    /// What a worker says of itself becomes what the pool says of it; the rest is passed on.
    fn hear(&mut self, now: Now, place: usize, event: FleetEvent) {
        match event {
            FleetEvent::Ready { .. } => self.worker_ready(place),
            FleetEvent::ShuttingDown { .. } | FleetEvent::Stopped { .. } => {}
            FleetEvent::StoreFailed { store, .. } => {
                if !std::mem::replace(&mut self.failing[store as usize], true) {
                    self.desk.emit(event);
                }
            }
            event => {
                let result = self.records.hear(now.mono, &event, self.pressure.last());
                self.desk.emit(event);
                if let Some(result) = result {
                    self.tell(PoolEvent::Result(Box::new(result)));
                }
            }
        }
    }

    fn worker_ready(&mut self, place: usize) {
        let member = &mut self.members[place];
        member.ready = true;
        let start = member.starts;
        self.restarts += u32::from(start > 1);
        self.tell(PoolEvent::WorkerReady { worker: number(place), start });
        if self.life == Life::Starting && self.members.iter().all(|member| member.ready) {
            self.life = Life::Running;
            let workers = self.members.len() as u32;
            self.desk.emit(FleetEvent::Ready { pid: self.pid });
            self.tell(PoolEvent::Started { workers, concurrency: self.settings.queue.concurrency });
        }
        self.tell_health();
    }

    fn closed(&mut self, place: usize, forced: bool) {
        let member = &mut self.members[place];
        member.worker = None;
        member.ready = false;
        self.tell(PoolEvent::WorkerClosed { worker: number(place) });
        if let Life::Stopping { forced: already } = &mut self.life {
            *already |= forced;
        }
    }

    /// The worker with the most jobs in work, the first of several: where a panic does most harm.
    fn panic(&mut self, now: Now) {
        let running = self.members.iter().enumerate().filter_map(|(place, member)| {
            let worker = member.worker.as_ref()?;
            Some((worker.active(), std::cmp::Reverse(place)))
        });
        let Some((_, std::cmp::Reverse(place))) = running.max() else { return };
        let member = &mut self.members[place];
        let Some(worker) = member.worker.take() else { return };
        member.ready = false;
        member.base = member.last;
        let jobs: Vec<_> = worker.jobs().cloned().collect();
        for slot in 0..self.settings.queue.concurrency {
            let slot = self.slot_of_pool(place, slot);
            if self.works.remove(&slot) {
                self.desk.output(Output::CancelWork { slot });
            }
        }
        for job in &jobs {
            self.hear(now, place, FleetEvent::Abandoned { job: job.clone() });
        }
        self.tell(PoolEvent::WorkerError { worker: number(place), error: PANICKED.to_owned(), jobs });
        if matches!(self.life, Life::Starting | Life::Running) {
            self.desk.set_after(now, Timer::Restart(place), self.pool.restart_after);
        }
        self.tell_health();
    }

    fn reply(&mut self, now: Now, id: CommandId, result: Result<Reply, StoreError>) {
        let Tag { part, store, number } = Tag::unpack(id, self.members.len());
        self.learn(store, &result);
        match part {
            Part::Own if self.ping == Some(id) => {
                self.ping = None;
                self.tell_health();
            }
            Part::Own => {}
            Part::Worker(place) => {
                let Some(member) = self.members.get(place) else {
                    debug_assert!(false, "worker {place} does not exist");
                    return;
                };
                // A reply to a worker that is gone has come too late.
                let Some(number) = number.checked_sub(member.base).filter(|number| *number > 0) else {
                    return;
                };
                if let Ok(Reply::Claimed(Some(job))) = &result {
                    let pages = u32::try_from(job.spec.steps.len()).unwrap_or(u32::MAX);
                    self.records.begin(now.mono, job.spec.id.clone(), pages);
                }
                self.feed(now, place, Input::Reply { id: CommandId(number), result });
            }
        }
    }

    fn learn(&mut self, store: Store, result: &Result<Reply, StoreError>) {
        // A command that the server refused has reached it.
        let answers = !matches!(
            result,
            Err(StoreError::Unavailable(_) | StoreError::Timeout) | Ok(Reply::Ready(false))
        );
        if answers {
            self.failing[store as usize] = false;
        }
        if store == Store::Redis && std::mem::replace(&mut self.redis_connected, answers) != answers {
            self.tell_health();
        }
    }

    fn check_health(&mut self, now: Now, due: Instant) {
        if let Some(interval) = self.pool.health_interval {
            self.desk.set(now, Timer::Health, next_due(due, interval, now));
        }
        self.desk.output(Output::MeasureMemory);
        if self.ping.is_none() {
            self.pings += 1;
            let tag = Tag { part: Part::Own, store: Store::Redis, number: self.pings };
            let id = tag.pack(self.members.len());
            self.ping = Some(id);
            let command = Command::AwaitReady { store: Store::Redis, within: self.settings.patience() };
            self.desk.output(Output::Send { id, command });
        }
    }

    fn memory_read(&mut self, now: Now, used: u64, limit: Option<u64>) {
        let budget = MEMORY_PER_WORKER.saturating_mul(self.members.len() as u64);
        let memory = Memory { used, total: limit.unwrap_or(budget) };
        let finding = self.pressure.read(memory);
        if finding.high {
            self.tell(PoolEvent::HighMemoryUsage { memory });
            self.desk.set_after(now, Timer::Relief, self.pool.relief);
            self.limit_to(now, (self.settings.queue.concurrency / 2).max(1));
        }
        if let Some(rise_ppm) = finding.leak_rise_ppm {
            self.tell(PoolEvent::LeakSuspected { rise_ppm });
        }
    }

    fn limit_to(&mut self, now: Now, per_worker: u32) {
        if std::mem::replace(&mut self.limit, per_worker) == per_worker {
            return;
        }
        self.tell(PoolEvent::Concurrency { per_worker });
        for place in 0..self.members.len() {
            if let Some(worker) = &mut self.members[place].worker {
                worker.limit_to(now, per_worker);
                self.relay(now, place);
            }
        }
    }

    fn shut_down(&mut self, now: Now) {
        if !matches!(self.life, Life::Starting | Life::Running) {
            return;
        }
        self.life = Life::Stopping { forced: false };
        self.desk.emit(FleetEvent::ShuttingDown { active: self.active_jobs() });
        self.desk.stop(Timer::Health);
        for place in 0..self.members.len() {
            self.desk.stop(Timer::Restart(place));
            self.feed(now, place, Input::Shutdown);
        }
        self.tell_health();
    }

    fn timer(&mut self, now: Now, timer: Timer, due: Instant) {
        match timer {
            Timer::Health => self.check_health(now, due),
            Timer::Restart(place) => self.start(now, place),
            Timer::Relief => self.limit_to(now, self.settings.queue.concurrency),
        }
    }

    fn tell(&mut self, event: PoolEvent) {
        self.desk.emit(FleetEvent::Pool(event));
    }

    fn tell_health(&mut self) {
        if self.pool.tells_health {
            let health = self.health();
            self.tell(PoolEvent::HealthUpdate(Box::new(health)));
        }
    }

    fn slot_of_pool(&self, place: usize, slot: u32) -> u32 {
        place as u32 * self.settings.queue.concurrency + slot
    }

    /// Passes the end of a slot's work on to the worker whose slot it is.
    fn work_ended(&mut self, now: Now, slot: u32, input: impl FnOnce(u32) -> Input) {
        // The end of a work that was cancelled may have been on its way.
        if self.works.remove(&slot) {
            let concurrency = self.settings.queue.concurrency;
            self.feed(now, (slot / concurrency) as usize, input(slot % concurrency));
        }
    }

    fn settle(&mut self) {
        if let Life::Stopping { forced } = self.life
            && self.members.iter().all(|member| member.worker.is_none())
        {
            self.life = Life::Gone;
            self.desk.exit(forced);
        }
    }
}

const fn number(place: usize) -> u32 {
    place as u32 + 1
}

impl Machine for Pool {
    fn handle(&mut self, now: Now, input: Input) {
        if self.life == Life::Gone {
            return;
        }
        match input {
            Input::Timeout => {}
            Input::Reply { id, result } => self.reply(now, id, result),
            Input::WorkDone { slot } => self.work_ended(now, slot, |slot| Input::WorkDone { slot }),
            Input::WorkFailed { slot, error } => {
                self.work_ended(now, slot, |slot| Input::WorkFailed { slot, error });
            }
            Input::Query { query } => {
                let online = self.health().healthy;
                self.desk.output(Output::Answer { query, online, stale: false });
            }
            Input::Memory { used, limit } => self.memory_read(now, used, limit),
            Input::Panic => self.panic(now),
            Input::Shutdown => self.shut_down(now),
        }
        while let Some((timer, due)) = self.desk.pop_due(now) {
            self.timer(now, timer, due);
        }
        // A worker that is behind catches up in one turn.
        for place in 0..self.members.len() {
            let due = self.members[place].worker.as_ref().and_then(|worker| worker.next_timeout());
            if due.is_some_and(|due| due <= now.mono) {
                self.feed(now, place, Input::Timeout);
            }
        }
        self.settle();
    }

    fn poll(&mut self) -> Option<Output> {
        self.desk.poll()
    }

    fn next_timeout(&self) -> Option<Instant> {
        let workers = self.members.iter().filter_map(|member| member.worker.as_ref());
        workers.filter_map(|worker| worker.next_timeout()).chain(self.desk.next_timeout()).min()
    }
}

#[cfg(test)]
mod tests;
