//! A laboratory for tests: workers on a small model of both stores, in virtual time.
//!
//! It knows kills, pauses, outages and latency, no more. The simulator proper is another part.

pub mod store;

use std::collections::BTreeMap;

use store::MiniStore;

use crate::names::{JobId, ProcessName, Store};
use crate::protocol::{
    Backoff, Command, CommandId, FleetEvent, FleetSettings, HeartbeatSettings, Input, JobSpec, Machine,
    Output, Pool, QueueSettings, Reply, StoreError, Worker,
};
use crate::time::{Instant, Now, Span, UnixMillis};

const STEPS_MAX: u32 = 2_000_000;

pub fn secs(secs: u64) -> Span {
    Span::from_secs(secs)
}

pub fn millis(millis: u64) -> Span {
    Span::from_millis(millis)
}

pub fn at(span: Span) -> Instant {
    Instant::ZERO + span
}

/// BullMQ's defaults, one slot, one queue, no heartbeat.
pub fn settings() -> FleetSettings {
    FleetSettings {
        prefix: "app:test".to_owned(),
        queue: QueueSettings {
            queues: vec!["regular".to_owned()],
            concurrency: 1,
            lock_duration: secs(30),
            lock_renew: secs(15),
            stalled_interval: secs(30),
            max_stalled_count: 1,
            claim_poll: secs(1),
            shutdown_grace: secs(20),
            keep_failed: secs(7 * 86_400),
            fencing: true,
        },
        heartbeat: None,
        pool: None,
        planted_bug: None,
    }
}

/// The settings of source 000 after its fix.
pub fn new_heartbeat() -> HeartbeatSettings {
    HeartbeatSettings {
        interval: secs(15),
        ttl: secs(30),
        threshold: secs(45),
        retries: 2,
        retry_backoff: millis(500),
        ready_wait: secs(3),
        lock_ttl: secs(60),
        lock_interval: secs(10),
    }
}

/// The settings of source 000 before its fix.
pub fn old_heartbeat() -> HeartbeatSettings {
    HeartbeatSettings {
        interval: secs(10),
        ttl: secs(10),
        threshold: secs(15),
        retries: 0,
        ..new_heartbeat()
    }
}

/// A job of so many steps of this length each, three attempts, exponential from 1 s.
pub fn job(id: &str, steps: usize, step: Span) -> JobSpec {
    JobSpec {
        id: id.into(),
        steps: vec![step; steps],
        attempts: 3,
        backoff: Backoff::Exponential(secs(1)),
        delay: Span::ZERO,
        timeout: None,
        failing_attempts: 0,
        hanging_attempts: 0,
        tool: None,
    }
}

pub struct Lab {
    pub now: Instant,
    pub store: MiniStore,
    /// Every event, with its time and its process.
    pub log: Vec<(Instant, usize, FleetEvent)>,
    /// Every command that arrived, with its time and its process.
    pub commands: Vec<(Instant, usize, Command)>,
    /// When processes exited, and whether forced.
    pub exits: BTreeMap<usize, (Instant, bool)>,
    /// One way. Jitter is added in turn: none, half, whole.
    pub latency: Span,
    pub jitter: Span,
    /// What a process reads of its memory: used, and the limit.
    pub memory: (u64, Option<u64>),
    /// Until then the work of every slot fails as soon as it begins.
    pub work_fails_until: Instant,
    settings: FleetSettings,
    processes: Vec<Process>,
    agenda: BTreeMap<(Instant, u64), Step>,
    serial: u64,
}

struct Process {
    machine: Box<dyn Machine>,
    alive: bool,
    paused_until: Instant,
    /// The work of each slot; a cancelled one's end is not delivered.
    works: BTreeMap<u32, u64>,
}

#[derive(Debug, Clone)]
pub enum Step {
    Arrive {
        process: usize,
        id: CommandId,
        command: Command,
    },
    Reply {
        process: usize,
        id: CommandId,
        result: Result<Reply, StoreError>,
    },
    WorkDone {
        process: usize,
        slot: u32,
        work: u64,
    },
    WorkFailed {
        process: usize,
        slot: u32,
        work: u64,
    },
    Start,
    Kill(usize),
    Pause(usize, Span),
    Shutdown(usize),
    /// Of a pool's worker.
    Panic(usize),
    Enqueue(JobSpec),
    Outage(Store, Span),
}

impl Lab {
    pub fn new(settings: FleetSettings) -> Self {
        Self {
            now: Instant::ZERO,
            store: MiniStore::default(),
            log: Vec::new(),
            commands: Vec::new(),
            exits: BTreeMap::new(),
            latency: millis(1),
            jitter: Span::ZERO,
            memory: (0, None),
            work_fails_until: Instant::ZERO,
            settings,
            processes: Vec::new(),
            agenda: BTreeMap::new(),
            serial: 0,
        }
    }

    pub fn at(&mut self, when: Span, step: Step) -> &mut Self {
        self.plan(at(when), step);
        self
    }

    pub fn run_until(&mut self, end: Span) -> &mut Self {
        self.run_while(end, |_| true);
        self
    }

    /// Runs until the time, or until the log shows what is looked for; says when that was.
    pub fn run_to(&mut self, end: Span, found: impl Fn(&FleetEvent) -> bool) -> Option<Instant> {
        let from = self.log.len();
        let is_found =
            |lab: &Self| lab.log[from..].iter().find(|(_, _, event)| found(event)).map(|(at, ..)| *at);
        self.run_while(end, |lab| is_found(lab).is_none());
        is_found(self)
    }

    fn run_while(&mut self, end: Span, goes_on: impl Fn(&Self) -> bool) {
        for _ in 0..STEPS_MAX {
            if !goes_on(self) {
                return;
            }
            let planned = self.agenda.first_key_value().map(|((when, _), _)| *when);
            let timeout = (0..self.processes.len()).filter_map(|p| Some((self.wakeup(p)?, p))).min();
            let next = [planned, timeout.map(|(when, _)| when)].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= at(end)) else {
                self.now = at(end);
                return;
            };
            assert!(next >= self.now, "time goes forwards");
            self.now = next;
            if planned == Some(next) {
                let (_, step) = self.agenda.pop_first().expect("something is planned");
                self.act(step);
            } else if let Some((_, process)) = timeout {
                self.feed(process, Input::Timeout);
            }
        }
        panic!("the run does not end: something spins");
    }

    pub fn events(&self, process: usize) -> Vec<FleetEvent> {
        self.log.iter().filter(|(_, p, _)| *p == process).map(|(.., event)| event.clone()).collect()
    }

    pub fn count(&self, found: impl Fn(&FleetEvent) -> bool) -> usize {
        self.log.iter().filter(|(.., event)| found(event)).count()
    }

    /// The steps of the job whose save a worker saw acknowledged, in that order.
    pub fn acknowledged_steps(&self, job: &JobId) -> Vec<u32> {
        let steps = self.log.iter().filter_map(|(.., event)| match event {
            FleetEvent::StepDone { job: of, step, .. } if of == job => Some(*step),
            _ => None,
        });
        steps.collect()
    }

    fn wakeup(&self, process: usize) -> Option<Instant> {
        let process = &self.processes[process];
        process.machine.next_timeout().filter(|_| process.alive).map(|at| at.max(process.paused_until))
    }

    fn plan(&mut self, when: Instant, step: Step) {
        self.serial += 1;
        self.agenda.insert((when.max(self.now), self.serial), step);
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::Arrive { process, id, command } => self.arrive(process, id, command),
            Step::Reply { process, id, ref result } => {
                let result = result.clone();
                self.deliver(process, step, Input::Reply { id, result });
            }
            Step::WorkDone { process, slot, work } => {
                if self.processes[process].works.get(&slot) == Some(&work) {
                    self.deliver(process, step, Input::WorkDone { slot });
                }
            }
            Step::WorkFailed { process, slot, work } => {
                if self.processes[process].works.get(&slot) == Some(&work) {
                    let error = "no such page".to_owned();
                    self.deliver(process, step, Input::WorkFailed { slot, error });
                }
            }
            Step::Shutdown(process) => self.deliver(process, step, Input::Shutdown),
            Step::Panic(process) => self.deliver(process, step, Input::Panic),
            Step::Start => self.start(),
            Step::Kill(process) => self.processes[process].alive = false,
            Step::Pause(process, span) => self.processes[process].paused_until = self.now + span,
            Step::Enqueue(spec) => self.store.enqueue(self.now, "regular", spec),
            Step::Outage(store, span) => self.store.down_until[store as usize] = self.now + span,
        }
    }

    fn start(&mut self) {
        let process = self.processes.len();
        let name = ProcessName::from(format!("worker-{}", process + 1));
        let (settings, instance, now) = (&self.settings, format!("i{process}"), self.clock());
        let machine: Box<dyn Machine> = match &settings.pool {
            Some(pool) => Box::new(Pool::new(settings, pool, &name, 1, &instance, now)),
            None => Box::new(Worker::new(settings, &name, 1, &instance, now)),
        };
        self.processes.push(Process {
            machine,
            alive: true,
            paused_until: Instant::ZERO,
            works: BTreeMap::new(),
        });
        self.drain(process);
    }

    fn arrive(&mut self, process: usize, id: CommandId, command: Command) {
        let is_up = self.store.is_up(self.now, command.store());
        let mut after = self.one_way();
        let result = match &command {
            Command::AwaitReady { within, .. } => {
                after = if is_up { after } else { *within };
                Ok(Reply::Ready(is_up))
            }
            _ if !is_up => Err(StoreError::Unavailable("down".to_owned())),
            _ => Ok(self.store.execute(self.now, &command)),
        };
        self.commands.push((self.now, process, command));
        self.plan(self.now + after, Step::Reply { process, id, result });
    }

    fn deliver(&mut self, process: usize, step: Step, input: Input) {
        let paused_until = self.processes[process].paused_until;
        if paused_until > self.now {
            self.plan(paused_until, step);
        } else if self.processes[process].alive {
            if let Input::WorkDone { slot } | Input::WorkFailed { slot, .. } = &input {
                self.processes[process].works.remove(slot);
            }
            self.feed(process, input);
        }
    }

    fn feed(&mut self, process: usize, input: Input) {
        let now = self.clock();
        self.processes[process].machine.handle(now, input);
        self.drain(process);
        let next = self.processes[process].machine.next_timeout();
        assert!(next.is_none_or(|next| next > self.now), "an input leaves nothing due");
    }

    fn drain(&mut self, process: usize) {
        while let Some(output) = self.processes[process].machine.poll() {
            match output {
                Output::Send { id, command } => {
                    let when = self.now + self.one_way();
                    self.plan(when, Step::Arrive { process, id, command });
                }
                Output::Work { slot, lasting, .. } => {
                    let work = self.serial;
                    let before = self.processes[process].works.insert(slot, work);
                    assert_eq!(before, None, "a slot has one work at a time");
                    if self.now < self.work_fails_until {
                        self.plan(self.now + self.latency, Step::WorkFailed { process, slot, work });
                    } else {
                        self.plan(self.now + lasting, Step::WorkDone { process, slot, work });
                    }
                }
                Output::CancelWork { slot } => {
                    let work = self.processes[process].works.remove(&slot);
                    assert!(work.is_some(), "only work that is there is cancelled");
                }
                Output::MeasureMemory => {
                    let (used, limit) = self.memory;
                    let now = self.clock();
                    self.processes[process].machine.handle(now, Input::Memory { used, limit });
                }
                Output::Emit(event) => self.log.push((self.now, process, event)),
                Output::Exit { forced } => {
                    self.processes[process].alive = false;
                    self.exits.insert(process, (self.now, forced));
                }
                Output::Answer { .. } | Output::Run { .. } => {
                    panic!("a worker answers nobody and runs nothing")
                }
            }
        }
    }

    fn one_way(&mut self) -> Span {
        self.serial += 1;
        self.latency + Span::from_nanos(self.jitter.as_nanos() / 2 * (self.serial % 3))
    }

    fn clock(&self) -> Now {
        Now { mono: self.now, wall: UnixMillis(1_700_000_000_000 + (self.now.as_nanos() / 1_000_000) as i64) }
    }
}
